"""The linear minimum-mean-square-error estimate, as an estimator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.model_selection import KFold

from skmetainv.arrays import ArraySource
from skmetainv.estimators.image_statistics import Statistics, learn_statistics
from skmetainv.estimators.linear_estimates import LinearEstimate, LinearSystem
from skmetainv.noise import GaussianNoise, Noise, as_noise
from skmetainv.operators import Operator
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval, StrOptions
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.base import Measure
from skmetainv.reconstruction.geometry import (
    Geometry,
    Problem,
    Reconstruct,
    images_to_stack,
    in_equal_chunks,
)
from skmetainv.reconstruction.validation import check_device

# The shares of the stationary covariance among which "auto" chooses.
_SHRINKAGES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)

# Statistics are learned from images of so many values altogether.
_MOST_VALUES = 2**28

# Values that are read at a time.
_VALUES_AT_ONCE = 2**22

# The sample covariance has at most so many components, and so many values.
_MOST_COMPONENTS, _MOST_FACTORS = 1024, 2**26

# Shrinkage is chosen by folds, of more images by one split that holds out so many; the variance of
# noise is found with so many.
_FOLDS, _MOST_OF_FOLDS, _HELD_OUT = 5, 1000, 100

# The mean variance of the noise counts as so many measurements of an entry's own.
_NOISE_PRIOR = 10


class LinearReconstructor(Reconstructor):
    """Restore images by the linear estimate of least mean squared error.

    ``x = mu + C A' (A C A' + R)^-1 (y - A mu)``, with the mean ``mu`` and the covariance ``C`` of
    the images that `fit` was given and the variances ``R`` of the noise (empirical Bayes). Other
    fields call it the Wiener filter, Gaussian process regression or kriging.
    """

    _parameter_constraints = {
        **Reconstructor._parameter_constraints,
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "flips": ["boolean"],
    }

    def __init__(
        self,
        operator: Operator | None = None,
        *,
        noise: float | Noise = 0.0,
        shrinkage: float | str = "auto",
        n_components: int | None = None,
        flips: bool = False,
        batch_size: int = 5,
        image_shape: tuple[int, ...] | None = None,
        data_range: float | tuple[float, float] | None = None,
        clip: tuple[float, float] | None = None,
        precision: str = "float32",
        device: str | torch.device = "auto",
        random_state: Any = None,
    ):
        self.operator = operator
        self.noise = noise
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.flips = flips
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.data_range = data_range
        self.clip = clip
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and covariance of clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images. See :doc:`/arrays` for all that is taken. With `y`: measurements, from
            which the noise is learned, too.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is taken for labels and ignored.

        Returns
        -------
        self : estimator
            Fitted. After an error it is as it was.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if the arrays are not images, or if the operator
            does not take them.
        """
        return self._fit(X, y, self._learn)

    # ------------------------------------------------------------------ fitting

    def _learn(self, problem: Problem) -> dict[str, Any]:
        geometry, allow_nan = problem.geometry, has_missing(problem.operator)
        clean = self._source(problem.clean, geometry, allow_nan=allow_nan)
        measured = None
        if problem.measured is not None:
            measured = self._source(problem.measured, geometry, measured=True, allow_nan=allow_nan)
        measure = self._measure(problem.A, self.noise, integer_seed(self.random_state), measured)
        places = _spread(len(clean), _MOST_VALUES // math.prod(geometry.images.tensor_shape))
        variance = self._variance(problem, clean, places, measure)
        shrinkage = self.shrinkage
        if shrinkage == "auto":
            shrinkage = self._chosen(problem, clean, places, measure, variance)
        statistics = self._statistics(clean, places, geometry)
        return {
            "weights_": statistics._asdict(),
            "shrinkage_": float(shrinkage),
            "noise_variance_": geometry.measurements.to_array(variance[None])[0],
        }

    def _statistics(self, clean: ArraySource, places: np.ndarray, geometry: Geometry) -> Statistics:
        low, high = geometry.data_range
        shape = geometry.images.tensor_shape
        n_images = len(places) * (1 + self.flips)
        most = min(_MOST_COMPONENTS, _MOST_FACTORS // math.prod(shape)) or 1
        n_components = min(self.n_components or most, math.prod(shape), n_images)

        def batches() -> Iterator[torch.Tensor]:
            for own in _portions(places, _VALUES_AT_ONCE // math.prod(shape) or 1):
                x = clean.read(own)
                yield torch.cat([x, x.flip(-1)]) if self.flips else x

        return learn_statistics(batches, n_images, n_components, high - low)

    def _variance(
        self, problem: Problem, clean: ArraySource, places: np.ndarray, measure: Measure
    ) -> torch.Tensor:
        """Return the variance of the noise of each entry of a measurement."""
        shape = problem.A.measurement_shape
        noise = as_noise(self.noise)
        total = torch.zeros(shape, dtype=torch.float64, device=clean.device)
        if problem.measured is None and isinstance(noise, GaussianNoise):
            return total + noise.noise_level**2
        count = torch.zeros_like(total)
        for own in self._batches_of(_some(places, _HELD_OUT)):
            x = clean.read(own)
            y = measure(x, own)
            r = y - problem.A(x)
            seen = ~r.isnan()
            if problem.A.observed is not None:
                seen &= problem.A.observed
            total += torch.where(seen, r, 0.0).double().square().sum(0)
            count += seen.sum(0)
        mean = total.sum() / count.sum().clamp(min=1)
        return (total + _NOISE_PRIOR * mean) / (count + _NOISE_PRIOR)

    def _batches_of(self, places: np.ndarray) -> Iterator[np.ndarray]:
        return _portions(places, self.batch_size)

    def _chosen(
        self,
        problem: Problem,
        clean: ArraySource,
        places: np.ndarray,
        measure: Measure,
        variance: torch.Tensor,
    ) -> float:
        """Return the shrinkage with which images held out are restored best."""
        n_images = len(places)
        if n_images == 1:
            return 1.0
        errors = np.zeros(len(_SHRINKAGES))
        for known, held_out in _folds(n_images):
            statistics = self._statistics(clean, places[known], problem.geometry)
            system = self._system(problem, statistics, variance)
            for k, shrinkage in enumerate(_SHRINKAGES):
                G = system.estimate(shrinkage)
                for own in self._batches_of(places[held_out]):
                    x = clean.read(own)
                    errors[k] += _error(x, self._restored_by(G, problem.A, measure(x, own)))
        return _SHRINKAGES[int(errors.argmin())]

    def _system(
        self, problem: Problem, statistics: Statistics, variance: torch.Tensor
    ) -> LinearSystem:
        A = problem.operator.build(problem.geometry.images.tensor_shape)
        varies = has_missing(problem.operator)
        return LinearSystem(A.to(variance.device), statistics, variance, varies, self._dtype())

    # ------------------------------------------------------------------ prediction

    def _begin(
        self, geometry: Geometry, **how: Any
    ) -> tuple[Reconstruct, Callable[[int, int], None]]:
        parts = self._parts(geometry)
        return (
            lambda y: self._restored_by(parts["G"], parts["A"], y),
            self._warn_of_divergence,
        )

    def _restored_by(self, G: LinearEstimate, A: Any, y: torch.Tensor) -> torch.Tensor:
        n = images_to_stack(self.batch_size, A.image_shape, y.device)
        return in_equal_chunks(lambda y_i: G(A.bind(y_i)), y, n)

    def _build_parts(self, geometry: Geometry) -> dict[str, Any]:
        problem = Problem(None, None, geometry, self.operator_, None)  # type: ignore[arg-type]
        variance = geometry.measurements.to_tensor(
            torch.from_numpy(np.array(self.noise_variance_))[None]
        )[0].to(check_device(self.device))
        system = self._system(problem, Statistics(**self.weights_), variance)
        return {**super()._build_parts(geometry), "G": system.estimate(self.shrinkage_)}

    def _bound_to_size(self) -> str | None:
        return (
            "LinearReconstructor has learned mean and covariance of images of the shape "
            f"{self.image_shape_}, and restores images of this shape only: fit it to images of "
            "the other."
        )


def _spread(n: int, most: int) -> np.ndarray:
    """Return the places of at most so many of `n` images, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, max(most, 1))).round().astype(int))


def _some(places: np.ndarray, most: int) -> np.ndarray:
    return places[_spread(len(places), most)]


def _portions(places: np.ndarray, n: int) -> Iterator[np.ndarray]:
    for start in range(0, len(places), n):
        yield places[start : start + n]


def _folds(n_images: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of images to learn from, and of those held out."""
    if n_images <= _MOST_OF_FOLDS:
        yield from KFold(min(_FOLDS, n_images)).split(np.empty(n_images))
    else:
        yield np.arange(n_images - _HELD_OUT), np.arange(n_images - _HELD_OUT, n_images)


def _error(x: torch.Tensor, restored: torch.Tensor) -> float:
    """Return the sum over images of the logarithm of the mean squared error."""
    squares = (restored - x).double().square().flatten(1)
    return float(squares.nanmean(1).clamp(min=1e-300).log().sum())
