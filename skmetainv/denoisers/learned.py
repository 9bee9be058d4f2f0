"""Denoisers that learn: estimators whose network is the prior of a solver."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY
from functools import partial
from inspect import signature
from itertools import chain
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, check_consistent_length
from torch import nn

from skmetainv.arrays import ArraySource, to_numpy, to_tensors
from skmetainv.denoisers.base import Denoiser, DenoiserModule
from skmetainv.denoisers.network import LearnedModule, Network, initial_weights
from skmetainv.denoisers.published import Published, check_architecture, check_channels
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.any_size import AnySizeReader, by_size, differ_in_size
from skmetainv.inputs.first_look import look_at_noise_levels
from skmetainv.inputs.problem import Images
from skmetainv.inputs.validation import are_images, check_device, check_pair, check_range
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.operators import ForwardMap, Identity
from skmetainv.parameters import Interval
from skmetainv.randomness import integer_seed, weights_generator
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restore, Restorer
from skmetainv.reconstruction.tiles import Tiles, as_tiles
from skmetainv.training import Batches, NoisyPatches, TrainingLoop
from skmetainv.weight_files import StateDict, check_state, read_weights

# Learning rates, from the beginning and from weights that were trained before.
_LR, _FINE_TUNING_LR = 1e-3, 1e-4


class LearnedDenoiser(Denoiser, TrainedReconstructor):
    """What denoisers with a network have in common: they learn from patches with noise.

    A subclass has the parameters of this class and writes two methods: `_network`, and `_published`
    for files that hold one of the names `_first_weights`. It names in `_architecture` the
    parameters that the network depends on, each with the value that None stands for.

    Parameters
    ----------
    noise_level : float or (float, float), default=0.1
        Standard deviation of the noise to train with, in the units of the images, or a range, from
        which that of every patch is drawn.
    patch_size : int, default=40
        Rows and columns of the patches to learn from; smaller images are taken whole, or, beside
        larger ones, continued as in a mirror.
    patches_per_image : int, default=None
        Patches drawn of an image in an epoch; None is as many as cover its area.
    augment : bool, default=True
        Turn patches by right angles, and mirror them, at random.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        What training minimises between denoised and clean patches, see `skmetainv.losses`.
    lr : float, default=None
        Learning rate. None is 1e-3, or 1e-4 with `weights`, so that the network keeps what it
        knows.
    max_epochs : int, default=None
        How often `fit` sees as many patches as cover every image. None: as many epochs as make 600
        steps, and at least two.
    batch_size : int, default=16
        Patches in a step, and images that `predict` denoises at a time.
    """

    noise_level: float | tuple[float, float] = 0.1
    _: KW_ONLY
    weights: str | PathLike[str] | None = None
    patch_size: int = 40
    patches_per_image: int | None = None
    loss: LossLike = "l2"
    lr: float | None = None

    _architecture: ClassVar[dict[str, Any]] = {}
    _first_weights: ClassVar[tuple[str, ...]] = ()
    _parameter_constraints = {
        **TrainedReconstructor._parameter_constraints,
        "noise_level": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "weights": [str, PathLike, None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "patches_per_image": [Interval(Integral, 1, None, closed="left"), None],
        "loss": LOSS_CONSTRAINTS,
        "lr": [Interval(Real, 0, None, closed="neither"), None],
    }

    operator = None  # what is measured is the image itself

    @abstractmethod
    def _network(self, channels: int, **architecture: Any) -> Network:
        """Return the network for images of so many channels, in float64, its weights not set.

        Its weights have the names that published ones have.
        """

    @abstractmethod
    def _published(self, state: StateDict) -> Published:
        """Return what the weights of a file are in `_network`, or raise with what does not fit."""

    def _constrain(self, network: nn.Module) -> None:
        """Bring the weights back to where they may be, after a step of the optimiser."""

    # ------------------------------------------------------------------ the estimator

    def fit(self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn to denoise from clean images, or from noisy images and their clean ones.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, to which noise is added anew in every epoch; or a list of arrays of shape
            (height, width) or (height, width, channels), each of its own size. See :doc:`/arrays`
            for all that is taken. With `y`: noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. If `noise_level` is a range, a network that
            takes a noise level is told its middle. A 1-D `y` is taken for labels and ignored.
        X_val, y_val : array-like, or list of arrays, default=None
            Images like `X` and `y`, not learned from: their PSNR after every epoch is written into
            ``history_``, and early stopping goes by it.

        Returns
        -------
        self : estimator
            Fitted; with `weights`, training begins with those. After an error other than an
            interrupt it is as it was.

        Raises
        ------
        FileNotFoundError
            If there is no file `weights`.
        ValueError
            If a parameter is out of its range; if the arrays are not images, or may be one image
            as well as several; if `weights` do not fit the network or the images; if a checkpoint
            is damaged, or of other parameters or data.

        Warns
        -----
        ConvergenceWarning
            If steps were skipped because a loss or a gradient was not finite, or if training was
            interrupted: see `MetaInverseSolver.fit`.
        DataConversionWarning
            If images or the noise are in units that can hardly be meant, if flat images are taken
            for square ones, or a last axis of many entries for channels.
        WeightsWarning
            See the class.
        """
        fitted: Self = super().fit(X, y, X_val, y_val)
        return fitted

    def predict(
        self,
        X: Any,
        *,
        noise_level: float | None = None,
        image_shape: tuple[int, ...] | None = None,
        tile: int | tuple[int, int] | None = None,
        overlap: int | None = None,
    ) -> Any:
        """Denoise images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Noisy images, of any height and width; or a list of arrays, each of its own size. One
            image may come without the first axis, unless it is flat.
        noise_level : float, default=None
            Standard deviation of the noise, for a network that takes it, in the units of the
            images. None is the `noise_level` of the estimator; if that is a range, its middle.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, channels)`` of flat images, if it is not that
            of training. Images that are not flat need none.
        tile : int or (int, int), default=None
            Height and width of the tiles that the network is run on, one after another. Its
            activations then take the memory of a tile, not of the image. None runs it on the whole
            image. Sizes are rounded up to multiples of 8 for `DRUNet`.
        overlap : int, default=None
            Pixels of the image around each tile that the network is given with it, rounded up as
            `tile` is. None is the radius of its receptive field: the result is then that of the
            whole image, up to rounding. With fewer it is faster and an approximation, which may
            show seams. The radius is `depth` for `DnCNN`, and 192 for `DRUNet` with four blocks.

        Returns
        -------
        images : ndarray of the shape of `X`, or a tensor if `X` is one
            Floats in the units of ``data_range_``; one image, if `X` is one. If `X` is a list of
            images of different sizes, a list. If `X` is a data frame, an ndarray, as predictions
            are in scikit-learn.

        Raises
        ------
        NotFittedError
            If the denoiser is neither fitted nor given `weights`.
        ValueError
            If the images do not have the channels of training, or, flat, not the `image_shape`. If
            `noise_level` is given to a network that takes none. If `tile` or `overlap` is out of
            its range, or if `overlap` is given without `tile`.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite.
        DataConversionWarning
            If images are in units that can hardly be meant, or if `noise_level` is larger than the
            width of their range.
        """
        ready = self._ready(X, image_shape)
        if noise_level is not None:
            ready._check_level(noise_level)
            look_at_noise_levels(
                {"noise_level": noise_level}, ready.data_range_, f"{type(self).__name__}.predict"
            )
        geometry = ready._resized(image_shape)
        tiles = as_tiles(tile, overlap, ready._denoiser().network.extent)

        def restored(x: Any) -> Any:
            restorer = ready._restorer(geometry, noise_level=noise_level, tiles=tiles)
            return ready._restore(x, geometry, restorer)

        return [restored(x[None])[0] for x in X] if differ_in_size(X) else restored(X)

    def score(self, X: Any, y: Any = None, *, image_shape: tuple[int, ...] | None = None) -> float:
        """Return the mean peak signal-to-noise ratio, in decibels; higher is better.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images, to which noise is added with a fixed seed: of `noise_level`, or of the
            middle of that range. With `y`, noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. A 1-D `y` is ignored.
        image_shape : tuple of int, default=None
            Shape of flat images, see `predict`.

        Returns
        -------
        score : float
            See `skmetainv.metrics.psnr`.

        Raises
        ------
        NotFittedError
            If the denoiser is neither fitted nor given `weights`.
        ValueError
            If the arrays are not images of the channels of training, or noisy and clean images do
            not have the same shape.

        Warns
        -----
        ConvergenceWarning
            As in `predict`.
        DataConversionWarning
            If images or the noise are in units that can hardly be meant.
        """
        return super(LearnedDenoiser, self._ready(X, image_shape)).score(
            X, y, image_shape=image_shape
        )

    def restorations(
        self, X: Any, y: Any = None, *, random_state: Any = 0, **simulation: Any
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over clean images and denoised ones, batch by batch.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images; with `y`, noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. A 1-D `y` is ignored.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        **simulation : dict
            `operator` and `noise` to simulate with instead of the estimator's, and the
            `image_shape` of flat images, see `predict`.

        Returns
        -------
        pairs : iterator of (clean, restored)
            Two arrays of shape (batch, height, width, channels), floats in the units of
            ``data_range_``.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted.
        ValueError
            If the arrays are not images of the channels of training, or noisy and clean images do
            not have the same shape. If the measurements of `operator` have another shape than
            images. If `operator` or `noise` is given with noisy images `X`, for nothing is
            simulated then.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If images or the noise are in units that can hardly be meant.
        """
        restorations = super().restorations
        if not differ_in_size(X):
            return restorations(X, y, random_state=random_state, **simulation)
        if y is not None:
            check_consistent_length(X, y)
        seed, clean = integer_seed(random_state), y if are_images(y) else [None] * len(X)
        single = (
            restorations(
                x[None], x_[None] if x_ is not None else None, random_state=seed + i, **simulation
            )
            for i, (x, x_) in enumerate(zip(X, clean, strict=True))
        )
        return chain.from_iterable(single)

    def simulate(
        self, X: Any, random_state: Any = None, *, image_shape: tuple[int, ...] | None = None
    ) -> Any:
        """Return noisy copies of clean images.

        The noise level is `noise_level`; if that is a range, its middle.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of the noise; None takes the estimator's own.
        image_shape : tuple of int, default=None
            Shape of flat images; None takes the estimator's own.

        Returns
        -------
        images : ndarray of the shape of `X`
            A tensor if `X` is one. If `X` is a list of images of different sizes, a list.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or if `X` does not hold images or may be one image
            as well as several flat ones.

        Warns
        -----
        DataConversionWarning
            If images, or the noise, are in units that can hardly be meant.
        """
        if not differ_in_size(X):
            return super().simulate(X, random_state, image_shape=image_shape)
        seed = integer_seed(self.random_state if random_state is None else random_state)
        simulate = super().simulate
        return [simulate(x[None], seed + i, image_shape=image_shape)[0] for i, x in enumerate(X)]

    @property
    def noise(self) -> float:  # type: ignore[override]
        """The noise that `score` and `simulate` add: `noise_level`, or the middle of that range."""
        return sum(self._levels()) / 2

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.weights is None
        return tags

    # ------------------------------------------------------------------ the denoiser

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`.

        Raises
        ------
        NotFittedError
            If it has no weights: neither fitted, nor from a file.
        ValueError
            If it was fitted to images of another number of channels.
        """
        if hasattr(self, "weights_"):
            own = self._geometry_.images.tensor_shape[0]
            if image_shape[0] != own:
                raise ValueError(
                    f"This {type(self).__name__} was fitted to images of {own} channel(s), and "
                    f"these have {image_shape[0]}."
                )
            return self._module(self.weights_, self._architecture_, own, self.data_range_)
        if self.weights is None:
            name = type(self).__name__
            raise NotFittedError(
                f"This {name} instance is not fitted yet. An estimator around its solver fits "
                f"it; or pass FrozenEstimator({name}(...).fit(images)) as the denoiser."
            )
        self._check_parameters()
        channels, seed = image_shape[0], integer_seed(self.random_state)
        first = self._first_network(channels, seed)
        return self._module(*first, channels, check_range(self.data_range))

    def _module(
        self,
        weights: Mapping[str, np.ndarray],
        architecture: Mapping[str, Any],
        channels: int,
        data_range: tuple[float, float],
    ) -> LearnedModule:
        """Return the denoiser with some weights, in float64 on the CPU."""
        network = self._network(channels, **architecture)
        cpu = torch.device("cpu")
        network.load_state_dict(to_tensors(weights, "", torch.float64, cpu))
        # channels last: a quarter to a third less time on a CPU
        fast = network.to(memory_format=torch.channels_last)
        return LearnedModule(fast, data_range, self.noise)

    def _build(self, geometry: Geometry, A: ForwardMap) -> LearnedModule:
        channels = geometry.images.tensor_shape[0]
        D = self._module(self.weights_, self._architecture_, channels, self.data_range_)
        return self._placed(D).requires_grad_(False)

    def _denoiser(self) -> LearnedModule:
        """Return the network, one for images of all sizes."""
        _, D = self._parts()
        denoiser: LearnedModule = D
        return denoiser

    def _map(self, geometry: Geometry) -> ForwardMap:
        return self._placed(Identity().build(geometry.images.tensor_shape))

    def _restorer(self, geometry: Geometry, **options: Any) -> Restorer:
        return Restorer(partial(self._denoised, self._denoiser(), **options), self.operator_)

    def _denoised(
        self,
        D: DenoiserModule,
        y: torch.Tensor,
        noise_level: float | None = None,
        tiles: Tiles | None = None,
    ) -> torch.Tensor:
        level = self.noise if noise_level is None else noise_level
        n = images_at_once(self.batch_size, tuple(y.shape[1:]), y.device)
        denoise: Restore = partial(D, noise_level=level)
        if tiles is not None:
            denoise = partial(tiles.run, denoise)
        return in_equal_chunks(denoise, y, n)

    # ------------------------------------------------------------------ training

    def _first_network(
        self, channels: int, seed: int
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the weights before any training, and the parameters of their network."""
        if self.weights is None:
            architecture = self._chosen_architecture({})
            network = self._network(channels, **architecture)
            state = initial_weights(network, weights_generator(seed), network.gain)
        else:
            state, architecture = self._read(self.weights, channels)
            network = self._network(channels, **architecture)
        network.load_state_dict(state)
        self._constrain(network)
        return to_numpy(network.to(self._dtype()).state_dict()), architecture

    def _read(self, path: str | PathLike[str], channels: int) -> tuple[StateDict, dict[str, Any]]:
        """Return the weights of a file, and the parameters of their network."""
        given = {name: getattr(self, name) for name in self._architecture}

        def understand(state: StateDict) -> tuple[StateDict, dict[str, Any]]:
            published = self._published(state)
            check_architecture(published.architecture, given)
            check_channels(published.channels, channels)
            architecture = self._chosen_architecture(published.architecture)
            check_state(published.state, self._network(channels, **architecture).state_dict())
            return published.state, architecture

        name, own = type(self).__name__, signature(type(self)).parameters
        settings = [f"{key}={v!r}" for key, v in given.items() if v != own[key].default]
        advice = (
            " Or take the network itself, as FunctionDenoiser(lambda x, noise_level: network(x))."
        )
        owner = f"{name}({', '.join(settings)})" if settings else name
        return read_weights(path, owner, self._first_weights, understand, advice)

    def _chosen_architecture(self, decided: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the network: as given, else as decided, else the defaults."""
        given = {name: getattr(self, name) for name in self._architecture}
        chosen = {name: value for name, value in given.items() if value is not None}
        return {**self._architecture, **decided, **chosen}

    def _initialize(self, problem: Problem) -> None:
        channels = problem.tensor_shape[0]
        self.weights_, self._architecture_ = self._first_network(channels, self._seed_)

    def _training_loss(self) -> LossLike:
        return self.loss

    def _learning_rate(self) -> float:
        if self.lr is not None:
            return self.lr
        return _LR if self.weights is None else _FINE_TUNING_LR

    def _learner(self, problem: Problem, criterion: Criterion) -> Learner:
        channels, data_range = problem.tensor_shape[0], problem.geometry.data_range
        D = self._placed(self._module(self.weights_, self._architecture_, channels, data_range))

        def learn(loop: TrainingLoop) -> None:
            # with the step, which a process without images of a batch makes, too
            loop.optimizer.register_step_post_hook(lambda *_: self._constrain(D.network))
            for x, y, noise_level in loop:
                loss = criterion(D(y, noise_level), x)
                loss.sum().backward()
                loop.descend(loss=loss)

        return Learner(
            weights=D.network.state_dict(keep_vars=True),
            groups=[{"params": list(D.parameters()), "lr": self._learning_rate()}],
            learn=learn,
            restore=partial(self._denoised, D),
        )

    def _batches(self, problem: Problem) -> Batches:
        measured = problem.measured
        patches = NoisyPatches(
            _listed(problem.clean),
            None if measured is None else _listed(measured),
            self._levels(),
            self.patch_size,
            self.patches_per_image,
            self.augment,
            self._seed_,
        )
        return Batches(len(patches), self.batch_size, self._seed_, patches)

    def _held_out_pairs(
        self, learner: Learner, part: Problem
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        restored = super()._held_out_pairs
        return chain.from_iterable(restored(learner, one) for one in by_size(part, self._map))

    # ------------------------------------------------------------------ checks and arrays

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._levels()

    def _levels(self) -> tuple[float, float]:
        """Return the least and the largest noise level."""
        if not isinstance(self.noise_level, tuple | list):
            return float(self.noise_level), float(self.noise_level)
        low, high = check_pair(self.noise_level, "noise_level")
        if low < 0:
            raise ValueError(
                f"The 'noise_level' parameter of {type(self).__name__} must be positive, or a "
                f"range (low, high) with 0 <= low < high. Got {self.noise_level!r} instead."
            )
        return low, high

    def _check_level(self, noise_level: Any) -> None:
        """Check the noise level that `predict` was given."""
        if not isinstance(noise_level, Real) or not 0 < float(noise_level) < np.inf:
            raise ValueError(f"The 'noise_level' must be positive. Got {noise_level!r} instead.")
        if not self._denoiser().takes_noise_level:
            raise ValueError(
                f"This {type(self).__name__} takes no noise level. Got {noise_level!r} instead."
            )

    def _ready(self, X: Any, image_shape: tuple[int, ...] | None = None) -> Self:
        """Return the estimator, fitted: itself, or a copy with the weights of the file."""
        if hasattr(self, "weights_") or self.weights is None:
            self._check_ready()
            return self
        first = X[0][None] if differ_in_size(X) else X
        copy: Self = clone(self)
        if image_shape is not None:
            copy.set_params(image_shape=image_shape)
        return copy._untrained(first)

    def _untrained(self, X: Any) -> Self:
        """Take the weights of the file, as those of images like `X`."""
        with self._fitting(X, None, looks=False) as (fitted, problem):
            fitted._seed_ = integer_seed(self.random_state)
            fitted._start_training(problem)
        return self

    def _reader(self) -> AnySizeReader:
        return AnySizeReader(self, self._dtype(), check_device(self.device))


def _listed(images: Images) -> list[ArraySource]:
    return images if isinstance(images, list) else [images]
