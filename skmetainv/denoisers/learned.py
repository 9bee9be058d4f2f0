"""Denoisers that learn: estimators whose network is the prior of a solver."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY
from functools import partial
from inspect import signature
from itertools import chain
from numbers import Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, check_consistent_length
from torch import nn

from skmetainv.arrays import ArraySource, differ_in_size, to_numpy, to_tensors
from skmetainv.arrays.units import check_range
from skmetainv.denoisers.base import Denoiser, DenoiserModule
from skmetainv.denoisers.network import LearnedModule, Network, initial_weights
from skmetainv.denoisers.published import Published, check_architecture, check_channels
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.any_size import AnySizeReader, by_size
from skmetainv.inputs.first_look import look_at_noise_levels
from skmetainv.inputs.problem import Images
from skmetainv.inputs.validation import are_images
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.operators import ForwardMap, Identity
from skmetainv.parameters import COUNT, POSITIVE, increasing_pair
from skmetainv.randomness import integer_seed, weights_generator
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restore, Restorer
from skmetainv.reconstruction.tiles import Tiles, as_tiles
from skmetainv.training import Batches, NoisyPatches, TrainingLoop
from skmetainv.weight_files import StateDict, check_state, read_weights

# Learning rates, for new weights and for weights that were trained before.
_LR, _FINE_TUNING_LR = 1e-3, 1e-4


class LearnedDenoiser(Denoiser, TrainedReconstructor):
    """The base class of denoisers with a network, which is trained on noisy patches.

    A subclass writes two methods: `_network`, and `_published` for files that hold one of the names
    in `_first_weights`. Its `_architecture` maps each parameter of the network to the value used
    for None.

    Parameters
    ----------
    noise_level : float or (float, float), default=0.1
        Standard deviation of the training noise, in the units of the images. If a range, one is
        drawn from it for every patch.
    patch_size : int, default=40
        Number of rows and of columns of the training patches, at most those of the largest image.
        Smaller images are extended by reflection.
    patches_per_image : int, default=None
        Number of patches drawn from an image in an epoch. If None, the number that covers its area.
    augment : bool, default=True
        Whether to rotate patches by multiples of 90 degrees and to flip them, at random.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        Training loss between denoised and clean patches, see `skmetainv.losses`.
    lr : float, default=None
        Learning rate. If None, 1e-3, or 1e-4 with `weights`, so that training only fine-tunes them.
    max_epochs : int, default=None
        Number of epochs of `fit`; one epoch has `patches_per_image` patches of every image. If
        None, the number of epochs that makes 600 steps, at least two.
    batch_size : int, default=16
        Number of patches per step, and of images that `predict` denoises at once.
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
        "noise_level": [POSITIVE, tuple, list],
        "weights": [str, PathLike, None],
        "patch_size": [COUNT],
        "patches_per_image": [COUNT, None],
        "loss": LOSS_CONSTRAINTS,
        "lr": [POSITIVE, None],
    }

    _reads = AnySizeReader
    operator = None  # measurements are images

    @abstractmethod
    def _network(self, channels: int, **architecture: Any) -> Network:
        """Return the network for images with these channels, in float64, with weights not set.

        Its weights have the names of the published ones.
        """

    @abstractmethod
    def _published(self, state: StateDict) -> Published:
        """Return the weights of a file for `_network`, or raise an error if they do not fit."""

    def _constrain(self, network: nn.Module) -> None:
        """Project the weights onto their constraints after a step of the optimiser."""

    # ------------------------------------------------------------------ the estimator

    def fit(self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Train on clean images, or on pairs of noisy and clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images; every epoch adds new noise to them. It may be a list of arrays of shape
            (height, width) or (height, width, channels) and of different sizes. See :doc:`/arrays`
            for all accepted types. With `y`: noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. If `noise_level` is a range, a network that
            takes a noise level gets the middle of the range. A 1-D `y` holds labels and is ignored.
        X_val, y_val : array-like, or list of arrays, default=None
            Validation images, like `X` and `y`. Their PSNR after every epoch is recorded in
            ``history_`` and used for early stopping.

        Returns
        -------
        self : estimator
            The fitted estimator. With `weights`, training starts from these. After an error other
            than an interrupt, the estimator is unchanged.

        Raises
        ------
        FileNotFoundError
            If there is no file `weights`.
        ValueError
            If a parameter is out of its range; if the arrays are not images, or if it is ambiguous
            whether they hold one image or several; if `weights` do not fit the network or the
            images; if a checkpoint is damaged or belongs to other parameters or data.

        Warns
        -----
        ConvergenceWarning
            If steps were skipped because a loss or a gradient was not finite, or if training was
            interrupted, see `MetaInverseSolver.fit`.
        DataConversionWarning
            If the units of images or of the noise are implausible, if flat images are assumed to be
            square, or if a last axis of many entries is assumed to be channels.
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
            Noisy images of any height and width, or a list of arrays of different sizes. A single
            image may lack the first axis, unless it is flat.
        noise_level : float, default=None
            Standard deviation of the noise, in the units of the images, for a network that takes
            it. If None, the estimator's `noise_level`, or the middle of that range.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, channels)`` of flat images, if it differs from
            that of training. Other images do not need it.
        tile : int or (int, int), default=None
            Height and width of the tiles on which the network is run one after another. Its
            activations then take the memory of a tile, not of the image. If None, it is run on the
            whole image. For `DRUNet`, sizes are rounded up to multiples of 8.
        overlap : int, default=None
            Number of pixels by which each tile is extended on every side, rounded up like `tile`.
            If None, the radius of the network's receptive field: up to rounding, the result is then
            that of the whole image. Smaller values are faster, but approximate and may show seams.
            The radius is `depth` for `DnCNN`, and 192 for `DRUNet` with four blocks.

        Returns
        -------
        images : ndarray of the shape of `X`, or a tensor if `X` is one
            Denoised images, floats in the units of ``data_range_``; one image if `X` is one. If `X`
            is a list of images of different sizes, a list. If `X` is a data frame, an ndarray, as
            in scikit-learn.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted and has no `weights`.
        ValueError
            If the images do not have the channels of training, or if flat images do not have the
            `image_shape`; if `noise_level` is passed to a network that takes none; if `tile` or
            `overlap` is out of its range; or if `overlap` is passed without `tile`.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite.
        DataConversionWarning
            If the units of images are implausible, or if `noise_level` is larger than the width of
            their range.
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
            Clean images, to which noise is added with a fixed seed. Its level is `noise_level`, or
            the middle of that range. With `y`, noisy images.
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
            If the denoiser is not fitted and has no `weights`.
        ValueError
            If the arrays are not images with the channels of training, or if noisy and clean images
            do not have the same shape.

        Warns
        -----
        ConvergenceWarning
            As in `predict`.
        DataConversionWarning
            If the units of images or of the noise are implausible.
        """
        return super(LearnedDenoiser, self._ready(X, image_shape)).score(
            X, y, image_shape=image_shape
        )

    def restorations(
        self, X: Any, y: Any = None, *, random_state: Any = 0, **simulation: Any
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over pairs of clean and denoised images, batch by batch.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images; with `y`, noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. A 1-D `y` is ignored.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        **simulation : dict
            `operator` and `noise` for the simulation, instead of the estimator's, and the
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
            If the arrays are not images with the channels of training; if noisy and clean images do
            not have the same shape; if the measurements of `operator` do not have the shape of
            images; or if `operator` or `noise` is passed with noisy images `X`, which are not
            simulated.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If the units of images or of the noise are implausible.
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

        The standard deviation of the noise is `noise_level`, or the middle of that range.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of the noise. If None, the estimator's.
        image_shape : tuple of int, default=None
            Shape of flat images. If None, the estimator's.

        Returns
        -------
        images : ndarray of the shape of `X`
            Noisy images; a tensor if `X` is one. If `X` is a list of images of different sizes, a
            list.

        Raises
        ------
        ValueError
            If a parameter is out of its range; if `X` does not hold images; or if it is ambiguous
            whether it is one image or several flat ones.

        Warns
        -----
        DataConversionWarning
            If the units of images or of the noise are implausible.
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
            If it has no weights, neither fitted nor from a file.
        ValueError
            If it was fitted to images with another number of channels.
        """
        if hasattr(self, "weights_"):
            own = self._geometry_.images.tensor_shape[0]
            if image_shape[0] != own:
                raise ValueError(
                    f"This {type(self).__name__} was fitted to images of {own} channel(s). Got "
                    f"images of {image_shape[0]} instead."
                )
            return self._module(self.weights_, self._architecture_, own, self.data_range_)
        if self.weights is None:
            name = type(self).__name__
            raise NotFittedError(
                f"This {name} instance is not fitted yet. An estimator fits the denoisers in its "
                f"solver. Otherwise, pass FrozenEstimator({name}(...).fit(images)) as the denoiser."
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
        """Return the denoiser with the given weights, in float64 on the CPU."""
        network = self._network(channels, **architecture)
        cpu = torch.device("cpu")
        network.load_state_dict(to_tensors(weights, "", torch.float64, cpu))
        # channels last takes a quarter to a third less time on a CPU
        fast = network.to(memory_format=torch.channels_last)
        return LearnedModule(fast, data_range, self.noise)

    def _build(self, geometry: Geometry, A: ForwardMap) -> LearnedModule:
        channels = geometry.images.tensor_shape[0]
        D = self._module(self.weights_, self._architecture_, channels, self.data_range_)
        return self._placed(D).requires_grad_(False)

    def _denoiser(self) -> LearnedModule:
        """Return the network, which takes images of all sizes."""
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
        """Return the initial weights and the parameters of their network."""
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
        """Return the weights of a file and the parameters of their network."""
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
        advice = " Or wrap the network itself: FunctionDenoiser(lambda x, noise_level: network(x))."
        owner = f"{name}({', '.join(settings)})" if settings else name
        return read_weights(path, owner, self._first_weights, understand, advice)

    def _chosen_architecture(self, decided: Mapping[str, Any]) -> dict[str, Any]:
        """Return the network's parameters: as set, as the weights decide, or the defaults."""
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
            # a hook of the step, because processes without images of a batch step, too
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
        """Return the smallest and the largest noise level."""
        if not isinstance(self.noise_level, tuple | list):
            return float(self.noise_level), float(self.noise_level)
        levels = increasing_pair(self.noise_level)
        if levels is None or levels[0] < 0:
            raise ValueError(
                f"The 'noise_level' parameter of {type(self).__name__} must be positive, or a "
                f"range (low, high) with 0 <= low < high. Got {self.noise_level!r} instead."
            )
        return levels

    def _check_level(self, noise_level: Any) -> None:
        """Check the noise level passed to `predict`."""
        if not isinstance(noise_level, Real) or not 0 < float(noise_level) < np.inf:
            raise ValueError(f"The 'noise_level' must be positive. Got {noise_level!r} instead.")
        if not self._denoiser().takes_noise_level:
            raise ValueError(
                f"This {type(self).__name__} takes no noise level. Got {noise_level!r} instead."
            )

    def _ready(self, X: Any, image_shape: tuple[int, ...] | None = None) -> Self:
        """Return a fitted estimator: itself, or a copy with the weights of the file."""
        if hasattr(self, "weights_") or self.weights is None:
            self._check_ready()
            return self
        first = X[0][None] if differ_in_size(X) else X
        copy: Self = clone(self)
        if image_shape is not None:
            copy.set_params(image_shape=image_shape)
        return copy._untrained(first)

    def _untrained(self, X: Any) -> Self:
        """Load the weights of the file, for images like `X`."""
        with self._fitting(X, None, looks=False) as (fitted, problem):
            fitted._start_training(problem, integer_seed(self.random_state))
        return self


def _listed(images: Images) -> list[ArraySource]:
    return images if isinstance(images, list) else [images]
