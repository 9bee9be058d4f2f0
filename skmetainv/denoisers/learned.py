"""Denoisers that learn: estimators whose network is the prior of a solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY
from functools import partial
from itertools import chain
from numbers import Real
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, check_consistent_length

from skmetainv.arrays import ArraySource, differ_in_size, to_tensors
from skmetainv.arrays.units import check_range
from skmetainv.denoisers.base import Denoiser, DenoiserModule
from skmetainv.denoisers.network import LearnedModule
from skmetainv.denoisers.published import WithNetwork
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.any_size import AnySizeReader, by_size
from skmetainv.inputs.first_look import look_at_noise_levels
from skmetainv.inputs.problem import Images
from skmetainv.inputs.validation import are_images
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.operators import ForwardMap, Identity
from skmetainv.parameters import COUNT, POSITIVE, increasing_pair
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restorer
from skmetainv.reconstruction.tiles import Tiles, as_tiles
from skmetainv.training import Batches, NoisyPatches, TrainingLoop, backward

# Learning rates, for new weights and for weights that were trained before.
_LR, _FINE_TUNING_LR = 1e-3, 1e-4


class LearnedDenoiser(WithNetwork, Denoiser, TrainedReconstructor):
    """The base class of denoisers whose network is trained on noisy patches.

    Images may have any size. If their sizes differ, noise is added to them, and they are denoised,
    one by one. A subclass writes the methods of `WithNetwork`.

    Parameters
    ----------
    noise_level : float or (float, float), default=0.1
        Standard deviation of the training noise, in the units of the images. If a range, a
        level is drawn from it for every patch.
    sha256 : str, default=None
        SHA-256 checksum of the file `weights`, or at least its first 8 hexadecimal digits. Another
        file raises an error. If None, the checksum is not compared.
    patch_size : int, default=40
        Height and width of the training patches, limited to those of the largest image.
        Smaller images are extended by reflection.
    patches_per_image : int, default=None
        Number of patches from an image in an epoch. If None, enough to cover the image's area.
    augment : bool, default=True
        Whether to rotate patches by multiples of 90 degrees and to flip them, at random.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        Training loss between denoised and clean patches, see `skmetainv.losses`.
    lr : float, default=None
        Learning rate. If None, 1e-3, or 1e-4 with `weights`, so that training only fine-tunes them.
    max_epochs : int, default=None
        Number of epochs of `fit`; one epoch has `patches_per_image` patches of every image. If
        None, the number of epochs that makes 600 steps, but at least eight. If eight are more than
        6000 steps, it is the smallest number that makes 6000.
    batch_size : int, default=16
        Number of patches per step, and of images that `predict` denoises at once.
    """

    noise_level: float | tuple[float, float] = 0.1
    _: KW_ONLY
    augment: bool = True
    weights: str | PathLike[str] | None = None
    sha256: str | None = None
    patch_size: int = 40
    patches_per_image: int | None = None
    loss: LossLike = "l2"
    lr: float | None = None

    _parameter_constraints = {
        **TrainedReconstructor._parameter_constraints,
        "noise_level": [POSITIVE, tuple, list],
        "augment": ["boolean"],
        "weights": [str, PathLike, None],
        "sha256": [str, None],
        "patch_size": [COUNT],
        "patches_per_image": [COUNT, None],
        "loss": LOSS_CONSTRAINTS,
        "lr": [POSITIVE, None],
    }

    operator = None  # measurements are images
    _reader_class = AnySizeReader

    # ------------------------------------------------------------------ the estimator

    def fit(self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Train on clean images, or on pairs of noisy and clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images; every epoch adds new noise to them. With `y`: noisy images. Images of
            different sizes are passed as a list of arrays of shape (height, width) or (height,
            width, channels). See :doc:`/guide/data` for all accepted types.
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

    def predict(  # type: ignore[override]  # images are their own measurements
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
            it. If None, the estimator's `noise_level`, or its middle if it is a range.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, channels)`` of flat images, if it differs from
            that of training. Other images do not need it.
        tile : int or (int, int), default=None
            Height and width of the tiles on which the network is run one after another. Its
            activations then take the memory of a tile, not of the image. If None, the network is
            run on the whole image. For `DRUNet`, sizes are rounded up to multiples of 8.
        overlap : int, default=None
            Number of pixels by which each tile is extended on every side, rounded up like `tile`.
            If None, the radius of the network's receptive field: the result is then the same as
            without tiles, up to rounding errors. Smaller values are faster, but approximate and may
            show seams. The radius is `depth` for `DnCNN`, and 192 for `DRUNet` with four blocks.

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
            ``data_range_``.
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
            return ready._predicted(x, geometry, restorer)

        return [restored(x[None])[0] for x in X] if differ_in_size(X) else restored(X)

    def score(  # type: ignore[override]  # images are their own measurements
        self, X: Any, y: Any = None, *, image_shape: tuple[int, ...] | None = None
    ) -> float:
        """Return the mean peak signal-to-noise ratio, in decibels; higher is better.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images, to which noise is added with a fixed seed. Its level is `noise_level` or,
            if that is a range, its middle. With `y`, noisy images.
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
        ready = self._ready(X, image_shape)
        return super(LearnedDenoiser, ready).score(X, y, image_shape=image_shape)

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
            If the denoiser is not fitted and has no `weights`.
        ValueError
            If the arrays are not images with the channels of training; if noisy and clean images do
            not have the same shape; if the measurements of `operator` do not have the shape of
            images; or if `operator` or `noise` is passed together with `y`, as nothing is then
            simulated.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If the units of images or of the noise are implausible.
        """
        ready = self._ready(X, simulation.get("image_shape"))
        restorations = super(LearnedDenoiser, ready).restorations
        if not differ_in_size(X):
            return restorations(X, y, random_state=random_state, **simulation)
        check_consistent_length(X, y)
        clean = [x[None] for x in y] if are_images(y) else [None] * len(X)
        seed = integer_seed(random_state)
        single = (
            restorations(x[None], clean_x, random_state=seed + i, **simulation)
            for i, (x, clean_x) in enumerate(zip(X, clean, strict=True))
        )
        return chain.from_iterable(single)

    def simulate(  # type: ignore[override]  # images are their own measurements
        self, X: Any, random_state: Any = None, *, image_shape: tuple[int, ...] | None = None
    ) -> Any:
        """Return noisy copies of clean images.

        The standard deviation of the noise is `noise_level` or, if that is a range, its middle.

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
            whether `X` is one image or several flat ones.

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
        """The noise of `score` and `simulate`: `noise_level`, or its middle if it is a range."""
        return sum(self._levels()) / 2

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.weights is None
        return tags

    # ------------------------------------------------------------------ the denoiser

    def build(self, image_shape: tuple[int, ...]) -> LearnedModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`.

        Raises
        ------
        NotFittedError
            If it has no weights, neither fitted nor from a file.
        ValueError
            If it was fitted to images with another number of channels.
        """
        name, channels = type(self).__name__, image_shape[0]
        if hasattr(self, "weights_"):
            fitted_channels = self._geometry_.tensor_shape[0]
            if channels != fitted_channels:
                raise ValueError(
                    f"This {name} was fitted to images of {fitted_channels} channel(s). Got images "
                    f"of {channels} instead."
                )
            weights, architecture = self.weights_, self._architecture_
            data_range = self.data_range_
        elif self.weights is None:
            raise NotFittedError(
                f"This {name} instance is not fitted yet. An estimator fits the denoisers in its "
                f"solver. Otherwise, pass FrozenEstimator({name}(...).fit(images)) as the denoiser."
            )
        else:
            self._check_parameters()
            seed = integer_seed(self.random_state)
            weights, architecture = self._first_network(channels, seed, self._dtype())
            data_range = check_range(self.data_range)
        network = self._network(channels, **architecture)
        network.load_state_dict(to_tensors(weights, torch.float64, torch.device("cpu")))
        # channels last takes a quarter to a third less time on a CPU
        fast = network.to(memory_format=torch.channels_last)
        return LearnedModule(fast, data_range, self.noise)

    def _build(self, geometry: Geometry, A: ForwardMap) -> LearnedModule:
        return self._placed(self.build(geometry.tensor_shape)).requires_grad_(False)

    def _denoiser(self) -> LearnedModule:
        """Return the fitted denoiser, which takes images of all sizes."""
        denoiser: LearnedModule = self._built()[1]
        return denoiser

    def _map(self, geometry: Geometry) -> ForwardMap:
        return self._placed(Identity().build(geometry.tensor_shape))

    def _restorer(self, geometry: Geometry, **options: Any) -> Restorer:
        return Restorer(partial(self._denoised, self._denoiser(), **options), self.operator_)

    def _denoised(
        self,
        D: DenoiserModule,
        y: torch.Tensor,
        A: ForwardMap,
        noise_level: float | None = None,
        tiles: Tiles | None = None,
    ) -> torch.Tensor:
        level = self.noise if noise_level is None else noise_level
        n = images_at_once(self.batch_size, tuple(y.shape[1:]), y.device)
        denoise: Callable[[torch.Tensor], torch.Tensor] = partial(D, noise_level=level)
        if tiles is not None:
            denoise = partial(tiles.run, denoise)
        return in_equal_chunks(denoise, y, n)

    # ------------------------------------------------------------------ training

    def _initialize(self, problem: Problem) -> None:
        self.weights_, self._architecture_ = self._first_network(
            problem.tensor_shape[0], self._seed_, self._dtype()
        )

    def _training_loss(self) -> LossLike:
        return self.loss

    def _learner(self, problem: Problem, criterion: Criterion) -> Learner:
        D = self._placed(self.build(problem.tensor_shape))
        lr = self.lr or (_LR if self.weights is None else _FINE_TUNING_LR)

        def learn(loop: TrainingLoop) -> None:
            # A hook, because a parallel process without images of a batch makes the step, too.
            loop.optimizer.register_step_post_hook(lambda *_: self._constrain(D.network))
            for x, y, noise_level in loop:
                loss = criterion(D(y, noise_level), x)
                backward(loss.sum())
                loop.descend(loss=loss)

        return Learner(
            weights=D.network.state_dict(keep_vars=True),
            parameter_groups=[{"params": list(D.parameters()), "lr": lr}],
            learn=learn,
            restore=partial(self._denoised, D),
        )

    def _held_out_pairs(
        self, learner: Learner, held_out: Problem
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        restored = super()._held_out_pairs
        return chain.from_iterable(restored(learner, one) for one in by_size(held_out, self._map))

    def _batches(self, problem: Problem) -> Batches:
        measured = problem.measured
        patches = NoisyPatches(
            _as_list(problem.clean),
            None if measured is None else _as_list(measured),
            self._levels(),
            self.patch_size,
            self.patches_per_image,
            self.augment,
            self._seed_,
        )
        return Batches(len(patches), self.batch_size, self._seed_, patches)

    # ------------------------------------------------------------------ checks and arrays

    def _validate_params(self) -> None:
        super()._validate_params()
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
        """Return this denoiser if it is fitted, else a copy with the weights of its file."""
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
            fitted._start_anew(integer_seed(self.random_state))
            fitted._initialize(problem)
        return self


def _as_list(images: Images) -> list[ArraySource]:
    return images if isinstance(images, list) else [images]
