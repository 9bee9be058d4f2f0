"""An estimator that restores images by the linear minimum-mean-square-error estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, replace
from functools import partial
from numbers import Real
from typing import Any, Self, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.base import clone

from skmetainv.arrays import ArraySource
from skmetainv.estimators.image_statistics import Statistics, learn_statistics, log_likelihoods
from skmetainv.estimators.linear_estimates import (
    DirectEstimate,
    LinearEstimate,
    LinearSystem,
    MapMatrices,
    smallest_space,
)
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.splits import split_in_folds
from skmetainv.inputs.validation import check_device
from skmetainv.noise import GaussianNoise, Noise, as_noise
from skmetainv.operators import ForwardMap, LinearMap, MissingPixels, Operator
from skmetainv.operators.maps.instruments import InstrumentPool
from skmetainv.operators.maps.linearized import LinearizedMap
from skmetainv.parameters import COUNT, POSITIVE, Interval, StrOptions
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.canonical import canonical
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restore, Restorer
from skmetainv.training import Batch

# The candidates of shrinkage="auto".
_SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)

# Statistics are learned from at most this number of values, over all images.
_MOST_VALUES = 2**28

# The number of image values that are read at a time.
_VALUES_AT_ONCE = 2**22

# The largest number of components of the sample covariance, and of values in its factor.
_MOST_COMPONENTS, _MOST_FACTORS = 1024, 2**26

# Cross-validation: the number of folds, and the number of images restored in each fold. Only the
# first fold is used for more than `_MOST_OF_FOLDS` images, or `_PIXELS_OF_FOLDS` values per image.
_FOLDS, _MOST_OF_FOLDS, _PIXELS_OF_FOLDS, _HELD_OUT = 4, 1000, 2048, 20

# The number of images from which the variance of the noise is estimated.
_NOISE_IMAGES = 100

# The noise variance of each entry is averaged with the mean over all entries. This mean has the
# weight of this number of measurements.
_NOISE_PRIOR = 10

# Unknown pixels of clean images are estimated in `_FILLED` rounds, with this shrinkage.
_FILLED, _FILLING_SHRINKAGE = 3, 0.9

#: ``measure(indices)`` returns the clean images at `indices` with their measurements.
Measure: TypeAlias = Callable[[np.ndarray], Batch]

#: For each fold, the indices of the images to learn from, and those of the held-out images.
Splits: TypeAlias = list[tuple[np.ndarray, np.ndarray]]


class LinearReconstructor(Reconstructor):
    """Restore images by the linear estimate with the least mean squared error.

    ``x = mu + C A' (A C A' + R)^-1 (y - A mu)``, with the mean ``mu`` and covariance ``C`` of the
    training images and the variances ``R`` of the noise. No other linear estimate has a smaller
    mean squared error on images with this mean and covariance. This estimate is also known as the
    Wiener filter, Gaussian process regression, kriging or empirical Bayes.

    The covariance is ``C = (1 - a) L L' + a E S E``. ``L L'`` is the sample covariance; its rank is
    limited by `n_components`. ``S`` is a stationary covariance. It is block-diagonal in the cosine
    basis: each frequency has one covariance matrix of the channels. The diagonal matrix ``E`` gives
    each pixel its own variance.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising). A nonlinear operator is
        linearized at the mean image. The error of this linearization on the training images counts
        as noise.
    noise : float or Noise, default=0.0
        Noise of measurements; a number is the standard deviation of Gaussian noise, in the units of
        the measurement. For any other noise, and for nonlinear operators, `fit` estimates the
        variance of each entry from simulated measurements of up to 100 images. If `fit` is given
        pairs, it estimates the variances from ``y - A x`` instead, and `noise` is not used.
    shrinkage : float or "auto", default="auto"
        The share ``a`` of the stationary covariance, in [0, 1]; see Notes for "auto". The fewer
        the images, the larger it should be.
    n_components : int, default=None
        Maximum rank of the sample covariance; None is 1024, or less if images have more than 65536
        values.
    flips : bool or "auto", default="auto"
        Whether to learn also from the images mirrored left to right. "auto" tries both, and chooses
        the one that restores held-out images better; see Notes for exceptions.
    noise_floor : float, default=None
        The least variance of the noise of any sample, relative to the mean variance of noiseless
        measurements. None is 1e-8, or 1e-3 for conjugate gradients. With a larger floor, conjugate
        gradients need fewer updates, but measurements with less noise are fitted less closely.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of the images and of conjugate gradients. "bfloat16" is the same as
        "float32", because there is no network. Matrices are factorised in double precision.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the masks and the noise of simulated measurements, and of the folds of held-out
        images.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The learned statistics, for images of shape (channels, height, width): ``mean``;
        ``factor``, the rows of ``L'``; ``scale``, the diagonal of ``E``; ``power``, the covariance
        of the channels at each frequency, of shape (height, width, channels, channels).
    shrinkage_ : float
        The share of the stationary covariance.
    flips_ : bool
        Whether `fit` learned also from mirrored images.
    noise_variance_ : ndarray of shape `measurement_shape_`
        The variance of the noise; with a `RandomOperator`, the mean over its instruments. It is not
        used for instruments that have their own Gaussian noise (`WithNoise`).
    operator_ : Operator
        A copy of the parameter.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    Notes
    -----
    With ``shrinkage="auto"``, eleven values are ranked by the likelihood of held-out images. The
    best value and its two neighbours are then tried: each restores up to 20 held-out images in each
    of four folds. Only the first fold is used if there are more than 1000 images, or if images have
    more than 2048 values. The mean of the logarithms of the images' squared errors decides. Images
    of one group are never on both sides of a fold. With one or two images, or a single group,
    nothing can be held out: the shrinkage is then 1, and ``flips="auto"`` is True (False for a
    single image).

    A few images are not enough to estimate the variance of each pixel and the power of each
    frequency. So each variance is averaged with the mean variance, which has the weight of ten
    images. Each power is averaged with the mean power of frequencies of about the same radius,
    which has the weight of five images.

    The linear system is solved in measurement space or in image space, whichever is smaller. If its
    matrix has at most 16 million entries (for images of 64 x 64 pixels, say), one matrix that
    restores all images is computed once. If masks vary from image to image, each image needs its
    own factorisation instead. Larger systems (if masks vary, with more than 4096 entries; with
    ``n_components=1``, 512) are solved for each image by conjugate gradients,
    preconditioned in the cosine basis. For these, the likeliest shrinkage is taken without a trial,
    ``flips="auto"`` is False, and there are no standard deviations.

    Images are read in batches, also from memory maps. If they have more than 2**28 values
    altogether, an evenly spaced subset of this size is read.

    The default `noise_floor` is so small that, with ``noise=0``, the estimate trusts almost every
    digit of a measurement. If blurred images are noisy, give the standard deviation of their noise.

    NaN pixels of clean images are left out of the mean and the variances. For the covariances,
    their values are estimated from the other pixels, in three rounds. In large images, they are
    replaced by the mean instead.

    References
    ----------
    Kay, "Fundamentals of statistical signal processing: estimation theory", Prentice Hall, 1993,
    chapter 12.

    Rasmussen and Williams, "Gaussian processes for machine learning", MIT Press, 2006.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis, 2004.

    Examples
    --------
    >>> from skmetainv import LinearReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import Inpainting
    >>> faces = load_faces()
    >>> est = LinearReconstructor(Inpainting(), random_state=0).fit(faces[:80])
    >>> est.predict(est.simulate(faces[80:])).shape
    (20, 25, 25)
    >>> est.score(faces[80:]) > 27.5
    True
    """

    operator: Operator | None = None
    _: KW_ONLY
    noise: float | Noise = 0.0
    shrinkage: float | str = "auto"
    n_components: int | None = None
    flips: bool | str = "auto"
    noise_floor: float | None = None

    _parameter_constraints = {
        **Reconstructor._parameter_constraints,
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "n_components": [COUNT, None],
        "flips": ["boolean", StrOptions({"auto"})],
        "noise_floor": [POSITIVE, None],
    }

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Learn the mean and covariance of clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images. See :doc:`/guide/data` for all accepted arrays. If `y` is given:
            measurements, from which the noise is learned, too.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` counts as labels and is ignored.
        groups : array-like of shape (n,), default=None
            Labels of images that belong together (pictures of one person, say). Images of one group
            are held out together when `shrinkage` and `flips` are chosen.

        Returns
        -------
        self : estimator
            The fitted estimator. After an error, it is unchanged.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if the arrays are not images, if `groups` has
            another length, if the operator does not accept the images, or if a nonlinear operator
            cannot be differentiated twice.

        Warns
        -----
        DataConversionWarning
            If images, measurements or the noise are in implausible units.
        """
        with self._fitting(X, y) as (fitted, problem):
            fitted._learn(problem.grouped(groups))
        return self

    # ------------------------------------------------------------------ fitting

    def _learn(self, problem: Problem) -> None:
        """Set the fitted attributes."""
        places = spread(len(problem), _MOST_VALUES // math.prod(problem.tensor_shape))
        seed = integer_seed(self.random_state)
        measure = partial(problem.batch, noise=as_noise(self.noise).build(), seed=seed)
        variance = self._variance(problem, measure, some(places, _NOISE_IMAGES))
        self.noise_variance_ = problem.geometry.measurement_layout.to_array(variance[None])[0]
        splits = _splits(problem, places, seed)
        self.flips_, self.shrinkage_ = self._chosen(problem, splits, variance, seed)
        self.weights_ = self._statistics(problem, places, self.flips_)._asdict()

    def _without_search(self) -> Self:
        return clone(self).set_params(shrinkage=self.shrinkage_, flips=self.flips_)

    def _statistics(self, problem: Problem, places: np.ndarray, flips: bool) -> Statistics:
        """Return the statistics of the images at some indices."""
        low, high = problem.geometry.data_range
        n_pixels = math.prod(problem.tensor_shape)
        n_images = len(places) * (1 + flips)
        most = max(1, min(_MOST_COMPONENTS, _MOST_FACTORS // n_pixels, n_pixels))
        n_components = most if self.n_components is None else min(self.n_components, n_pixels)

        def batches() -> Iterator[torch.Tensor]:
            for indices in portions(places, _VALUES_AT_ONCE // n_pixels):
                x = problem.clean.read(indices)
                yield torch.cat([x, x.flip(-1)]) if flips else x

        learn = partial(learn_statistics, batches, n_images, n_components, high - low)
        statistics = learn()
        if problem.operator.has_missing and any(x.isnan().any() for x in batches()):
            for _ in range(_FILLED):
                statistics = learn(fill=filling(statistics, problem.clean))
        return statistics

    def _variance(self, problem: Problem, measure: Measure, places: np.ndarray) -> torch.Tensor:
        """Return the variance of each entry of a measurement around its linear prediction.

        It is the mean over the instruments, if there are several.
        """
        A = problem.A
        total = torch.zeros(A.measurement_shape, dtype=torch.float64, device=problem.clean.device)
        is_linear = isinstance(A, LinearMap)
        noises = [as_noise(self.noise) if B.own_noise is None else B.own_noise for B in A.each]
        if problem.measured is not None and problem.operator.has_noise:
            raise ValueError(
                "With pairs, LinearReconstructor learns the noise, and the operator must have none "
                f"of its own. Got {problem.operator!r}."
            )
        levels = [noise.noise_level for noise in noises if isinstance(noise, GaussianNoise)]
        if is_linear and problem.measured is None and len(levels) == len(noises):
            weights = A.probabilities if isinstance(A, InstrumentPool) else None
            return total + np.average(np.square(levels), weights=weights)
        count = torch.zeros_like(total)
        with torch.no_grad():
            mean = None if is_linear else _mean(problem, places)
            for indices in portions(places, self.batch_size):
                x, y, A, _ = measure(indices)
                r = y - (A(x) if mean is None else A.by_instrument(partial(_linearized, mean), x))
                seen = ~r.isnan() if A.observed is None else A.observed & ~r.isnan()
                total += torch.where(seen, r, 0.0).double().square().sum(0)
                count += seen.sum(0)
        mean = total.sum() / count.sum().clamp(min=1)
        return (total + _NOISE_PRIOR * mean) / (count + _NOISE_PRIOR)

    # ------------------------------------------------------------------ choices by held-out images

    def _chosen(
        self, problem: Problem, splits: Splits, variance: torch.Tensor, seed: int
    ) -> tuple[bool, float]:
        """Return the choice of `flips` and of the shrinkage.

        For large systems, restoring held-out images takes too long: "auto" then mirrors no images,
        and chooses the shrinkage by likelihood. With a `RandomOperator`, the first instrument is
        used.
        """
        A = problem.A.each[0]
        operator = A.built_by
        measure = partial(
            replace(problem, A=A).batch, noise=as_noise(self.noise).build(), seed=seed
        )
        n_instruments, is_stationary = len(problem.A.each), self.n_components == 1
        space = smallest_space(A, operator.has_missing, n_instruments, is_stationary)
        direct = space != "iterative"
        mirrored = (False, True)[: 1 + direct] if self.flips == "auto" else (bool(self.flips),)
        shrinkages = _SHRINKAGES if self.shrinkage == "auto" else (float(self.shrinkage),)
        if len(mirrored) == len(shrinkages) == 1 or not splits:
            return mirrored[-1 if len(problem) > 1 else 0], shrinkages[-1]
        exact = operator.build(A.image_shape).to(variance.device)
        system_of = self._systems(exact, len(problem.A.each))
        best = (math.inf, False, 1.0)
        for flips in mirrored:
            folds = [
                (self._statistics(problem, learned, flips), some(left_out, _HELD_OUT))
                for learned, left_out in splits
            ]
            near = _likely(folds, problem.clean, shrinkages, 1 if direct else 0)
            errors = np.zeros(len(near))
            for statistics, held_out in folds if len(near) * len(mirrored) > 1 else ():
                batch, system = measure(held_out), system_of(statistics, variance)
                estimates = (system.estimate(shrinkage, for_few=True) for shrinkage in near)
                errors += [_error(self._by(G, batch.y, A), batch.x) for G in estimates]
            best = min(best, (errors.min(), flips, near[int(errors.argmin())]))
        return best[1:]

    def _systems(self, A: ForwardMap, n_instruments: int) -> Callable[..., LinearSystem]:
        """Return a function that builds the systems of a map, one of some instruments.

        The map is in double precision. The function takes statistics and noise variances.
        """
        varies = math.isnan(A.missing_value)
        return partial(
            LinearSystem,
            A,
            varies=varies,
            dtype=self._dtype(),
            matrices=MapMatrices(A, varies) if isinstance(A, LinearMap) else None,
            n_instruments=n_instruments,
            noise_floor=self.noise_floor,
            is_stationary=self.n_components == 1,
        )

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        X: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
        return_std: bool = False,
    ) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements, see `MetaInverseSolver.predict`.
        operator : Operator or list of Operator, default=None
            The operator that took these measurements, or a list with one operator for each. None is
            the fitted operator, unless that is a `RandomOperator`.
        image_shape : tuple of int, default=None
            Shape of the images. Only that of training can be restored.
        return_std : bool, default=False
            Return the standard deviations, too, as scikit-learn's `GaussianProcessRegressor` does.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            See `MetaInverseSolver.predict`.
        std : ndarray or tensor of the same shape
            Only with ``return_std=True``. The standard deviation of each pixel's error, if images
            are Gaussian with mean ``mu`` and covariance ``C``: square roots of the diagonal of ``C
            - C A' (A C A' + R)^-1 A C``, in units of the images.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of measurements of such images, if the measurements of
            `operator` have another shape than those of the fitted operator, if `operator` is needed
            and missing, or if the linear system is too large for standard deviations (see Notes).

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
        DataConversionWarning
            If measurements are in implausible units, or look like clean images.
        """
        if not return_std:
            return super().predict(X, operator=operator, image_shape=image_shape)
        self._check_ready()
        geometry = self._resized(image_shape)
        # Deviations come first, because they may be refused.
        restorers = [Restorer(self._deviations(geometry), self.operator_), self._restorer(geometry)]
        std, images = self._all_predicted(X, geometry, restorers, operator)
        return images, std

    def _deviations(self, geometry: Geometry, *, relative: bool = False) -> Restore:
        """Return the function that has the deviations of the errors of images.

        With `relative`, they are divided by those of the images.
        """
        _, estimate_of = self._built(geometry)

        def deviations(y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
            G = estimate_of(A)
            if not isinstance(G, DirectEstimate):
                raise ValueError(
                    f"The linear system of {A.built_by!r} for images of shape {self.image_shape_} "
                    "is too large for the standard deviations of pixels, which return_std=True "
                    "and Refiner(uncertainty=True) need."
                )
            return (G.uncertainty if relative else G.deviation)(A.with_masks_of(y).observed, y)

        return deviations

    def _restorer(self, geometry: Geometry) -> Restorer:
        _, estimate_of = self._built(geometry)
        return Restorer(lambda y, A: self._by(estimate_of(A), y, A), self.operator_)

    def _uncertain_start(self, geometry: Geometry) -> Restore:
        restore = self._restorer(geometry).restore
        uncertainty = self._deviations(geometry, relative=True)
        return lambda y, A: torch.stack([restore(y, A), uncertainty(y, A)], dim=1)

    def _by(self, G: LinearEstimate, y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        """Return the images that an estimate restores from measurements by the map `A`."""
        n = 1 if G.one_by_one else images_at_once(self.batch_size, A.image_shape, y.device)
        return in_equal_chunks(lambda y_i: G(A.bind(y_i)), y, n)

    def _build(self, geometry: Geometry, A: ForwardMap) -> Callable[[ForwardMap], LinearEstimate]:
        """Return the function that has the estimate of each map; it builds an estimate once."""
        variance = torch.from_numpy(np.array(self.noise_variance_)).to(check_device(self.device))
        variance = geometry.measurement_layout.to_tensor(variance[None])[0]
        statistics, n_fitted = Statistics(**self.weights_), len(A.each)
        # By operator, because other threads may have built other maps of the same operators.
        fitted = {canonical(B.built_by) for B in A.each}
        known: WeakKeyDictionary[ForwardMap, LinearEstimate] = WeakKeyDictionary()

        def estimate_of(A: ForwardMap) -> LinearEstimate:
            if A not in known:
                is_fitted = canonical(A.built_by) in fitted
                exact = A.built_by.build(A.image_shape).to(variance.device)
                exact.own_noise = A.own_noise  # a start's map may have another than its operator
                system = self._systems(exact, n_fitted)(statistics, variance)
                known[A] = system.estimate(self.shrinkage_, for_few=not is_fitted)
            return known[A]

        return estimate_of

    def _bound_to_size(self) -> str | None:
        return (
            "LinearReconstructor has learned the mean and covariance of images of shape "
            f"{self.image_shape_}, and restores images of this shape only: fit it to images of "
            "the other shape."
        )


def filling(statistics: Statistics, source: ArraySource) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that replaces NaN pixels of images by estimates from the other pixels."""
    shape = source.layout.tensor_shape
    A = MissingPixels().build(shape).to(source.device)
    none = torch.zeros((), dtype=torch.float64, device=source.device)
    system = LinearSystem(A, statistics, none, True, source.dtype)
    if system.space == "iterative":
        return lambda x: x
    G = system.estimate(_FILLING_SHRINKAGE)
    return lambda x: torch.where(x.isnan(), G(A.bind(x)), x)


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spaced indices of `n` images."""
    return np.unique(np.linspace(0, n - 1, min(n, max(most, 1))).round().astype(int))


def some(places: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the indices, evenly spaced."""
    return places[spread(len(places), most)]


def portions(places: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Yield the indices, at most `n` at a time."""
    yield from (places[k : k + max(n, 1)] for k in range(0, len(places), max(n, 1)))


def _mean(problem: Problem, places: np.ndarray) -> torch.Tensor:
    """Return the mean of some images, a batch of one; unknown pixels count as 0."""
    images = (problem.clean.read(indices) for indices in portions(places, 1))
    total = sum(x.nan_to_num().sum(0) for x in images)
    return torch.as_tensor(total)[None] / len(places)


def _linearized(mean: torch.Tensor, x: torch.Tensor, A: ForwardMap) -> torch.Tensor:
    """Return the linear approximation of ``A(x)`` at the mean of the images."""
    return A(mean) + LinearizedMap(A, mean)(x - mean)


def _splits(problem: Problem, places: np.ndarray, seed: int) -> Splits:
    """Return the indices of training and held-out images, fold by fold.

    With fewer than three images there are no folds: a fold of two images would leave one image to
    learn from, which shows no variation. For many or large images, there is only the first fold.
    """
    if len(places) < 3:
        return []
    folds = split_in_folds(len(places), problem.part(places).groups, _FOLDS, seed)
    n_pixels = math.prod(problem.tensor_shape)
    if len(places) > _MOST_OF_FOLDS or n_pixels > _PIXELS_OF_FOLDS:
        folds = folds[:1]
    return [(places[learned], places[left_out]) for learned, left_out in folds]


def _likely(
    folds: Sequence[tuple[Statistics, np.ndarray]],
    clean: ArraySource,
    shrinkages: Sequence[float],
    beside: int,
) -> Sequence[float]:
    """Return the shrinkage most likely for held-out images, and `beside` on each side of it.

    A fold has the statistics that were learned without these images, and their indices.
    """
    if len(shrinkages) == 1:
        return shrinkages
    values = [log_likelihoods(model, clean.read(places), shrinkages) for model, places in folds]
    k = int(np.sum(values, axis=0).argmax())
    return shrinkages[max(k - beside, 0) : k + beside + 1]


def _error(restored: torch.Tensor, x: torch.Tensor) -> float:
    """Return the sum, over images, of the logarithm of an image's mean squared error."""
    squares = (restored - x).double().square().flatten(1)
    return float(squares.nanmean(1).clamp(min=1e-300).log().sum())
