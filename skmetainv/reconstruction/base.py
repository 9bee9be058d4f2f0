"""What every estimator that restores images shares: arrays in, arrays out, simulation, score."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from skmetainv.arrays import ArraySource, image_layout, is_complex_shape, measurement_layout
from skmetainv.metrics import mean_over_batches, psnr
from skmetainv.noise import NOISE_CONSTRAINTS, Noise, as_noise
from skmetainv.operators import ForwardMap, Identity, Operator
from skmetainv.operators.maps.verdicts import Watch, watched
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval, StrOptions
from skmetainv.randomness import evaluation_generators, integer_seed
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.reconstruction.geometry import (
    Geometry,
    Problem,
    Reconstruct,
    channels_last,
    match_type,
    n_not_finite,
)
from skmetainv.reconstruction.validation import (
    are_images,
    check_device,
    check_image_shape,
    check_images,
    check_measurements,
    check_nothing_simulates,
    check_pair,
    check_range,
    check_shape,
)

Module = TypeVar("Module", bound=torch.nn.Module)

#: Gives the measurements of clean images, from these and from their places in the data.
Measure: TypeAlias = Callable[[torch.Tensor, np.ndarray], torch.Tensor]

# What weights and images are computed in; under "bfloat16" networks round it further.
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


class Reconstructor(BaseEstimator, metaclass=ABCMeta):
    """What the estimators that restore images from measurements have in common.

    A subclass has the parameters `operator`, `noise`, `image_shape`, `data_range`, `clip`,
    `precision`, `device`, `batch_size` and `random_state`, writes `_reconstruct`, and a `fit` that
    calls `_fit`.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "operator": [Operator, None],
        "noise": NOISE_CONSTRAINTS,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "image_shape": [tuple, list, None],
        "data_range": [Interval(Real, 0, None, closed="neither"), tuple, list, None],
        "clip": [tuple, list, None],
        "precision": [StrOptions(set(_DTYPES))],
        "device": [str, torch.device],
        "random_state": ["random_state", np.random.Generator],
    }

    operator: Operator | None
    noise: float | Noise
    batch_size: int
    image_shape: tuple[int, ...] | None
    data_range: Any
    clip: tuple[float, float] | None
    precision: str
    device: str | torch.device
    random_state: Any

    @abstractmethod
    def _reconstruct(self, y: torch.Tensor) -> torch.Tensor:
        """Return the images of a batch of measurements, both as tensors."""

    def predict(self, X: Any) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements; missing entries are NaN where the operator has such. Complex ones may
            also be a complex array, without the last axis of real and imaginary parts.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            In the layout and the units of the training images, as floats.
        """
        self._check_ready()
        return self._restore(X, *self._begin())

    def _begin(self) -> tuple[Reconstruct, Callable[[int, int], None]]:
        """Return what restores a batch, and what is told how many of all images went wrong."""
        return self._reconstruct, self._warn_of_divergence

    @torch.inference_mode(False)
    def _restore(
        self,
        X: Any,
        reconstruct: Reconstruct,
        tell: Callable[[int, int], None],
        geometry: Geometry | None = None,
    ) -> Any:
        """Return what `reconstruct` makes of a user's measurements, batch by batch."""
        reconstruct, tell = self._watched(reconstruct, tell)
        measurements, geometry = self._measurements(X, geometry)
        images, n_bad = self._new_images(len(measurements), geometry), 0
        for indices in self._chunks(len(measurements)):
            x = reconstruct(measurements.read(indices))
            n_bad += n_not_finite(x)
            images[indices] = geometry.images.to_array(self._clipped(x))
        tell(n_bad, len(images))
        return match_type(X, images)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean peak signal-to-noise ratio, in decibels; higher is better.

        Parameters
        ----------
        X : array-like
            Clean images without NaN, whose measurements are simulated with a fixed seed; with
            `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`, without NaN. A 1-D `y` is ignored.

        Returns
        -------
        score : float
            See `skmetainv.metrics.psnr`.
        """
        return mean_over_batches(psnr, self.restorations(X, y), self.data_range_)

    @torch.inference_mode(False)
    def restorations(
        self,
        X: Any,
        y: Any = None,
        *,
        operator: Operator | None = None,
        noise: float | Noise | None = None,
        random_state: Any = 0,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over clean images and their restorations, batch by batch.

        Parameters
        ----------
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.
        operator : Operator, default=None
            Simulate with this operator, not with the fitted one.
        noise : float or Noise, default=None
            Simulate with this noise, not with the estimator's.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.

        Returns
        -------
        pairs : iterator of (clean, restored)
            Two arrays of shape (batch, height, width, channels), floats in the units of the
            training images.

        Raises
        ------
        ValueError
            If `operator` gives measurements that the fitted one does not, or if it or `noise` is
            given with pairs, of which nothing is simulated.
        """
        self._check_ready()
        clean, measured = self._pairs(X, y)
        if measured is not None:
            check_nothing_simulates(operator, noise)
        A = self._parts()["A"] if operator is None else self._other_map(operator)
        noise = self.noise if noise is None else noise
        measure = self._measure(A, noise, integer_seed(random_state), measured)
        return self._restored(clean, measure, *self._watched(*self._begin()))

    def _measure(
        self, A: ForwardMap, noise: float | Noise, seed: int, measured: ArraySource | None
    ) -> Measure:
        """Return what gives the measurements of clean images: those taken of them, or simulated."""
        noisy = as_noise(noise).build()

        def measure(x: torch.Tensor, indices: np.ndarray) -> torch.Tensor:
            if measured is not None:
                return measured.read(indices)
            return A.simulate(x, noisy, evaluation_generators(seed, indices))

        return measure

    @torch.inference_mode(False)
    def _restored(
        self,
        clean: ArraySource,
        measure: Measure,
        reconstruct: Reconstruct,
        tell: Callable[[int, int], None],
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        n_bad = 0
        for indices in self._chunks(len(clean)):
            x = clean.read(indices)
            restored = reconstruct(measure(x, indices))
            n_bad += n_not_finite(restored)
            yield channels_last(x), channels_last(self._clipped(restored))
        tell(n_bad, len(clean))

    @torch.inference_mode(False)
    def simulate(self, X: Any, random_state: Any = None) -> Any:
        """Return measurements of clean images, as training simulates them.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of masks and noise; None takes the estimator's own.

        Returns
        -------
        measurements : ndarray of shape (n, ...), or a tensor if `X` is one
            Laid out as the images are where their shapes allow it.
        """
        self._check_parameters()
        images = check_images(X, self, allow_nan=has_missing(self.operator))
        geometry, _, A = self._geometry(images.shape)
        A = self._placed(A)
        noise = as_noise(self.noise).build()
        seed = integer_seed(self.random_state if random_state is None else random_state)
        source = self._source(images, geometry, allow_nan=has_missing(self.operator))
        measurements = [
            A.simulate(source.read(indices), noise, evaluation_generators(seed, indices))
            for indices in self._chunks(len(source))
        ]
        return match_type(X, geometry.measurements.to_array(torch.cat(measurements)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.target_tags.multi_output = True
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = has_missing(self.operator)
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {**state, "_cache": {}} if "_cache" in state else state

    # ------------------------------------------------------------------ checks

    def _check_parameters(self) -> None:
        """Check all parameters that can be checked without data."""
        self._validate_params()
        check_range(self.data_range)
        check_image_shape(self.image_shape)
        check_device(self.device)
        if self.clip is not None:
            check_pair(self.clip, "clip")

    def _check_ready(self) -> None:
        """Check what every method needs that restores images."""
        check_is_fitted(self)
        self._check_parameters()

    def _check_names(self, X: Any) -> None:
        """Compare the column names of a data frame with those that were fitted."""
        if hasattr(self, "feature_names_in_"):
            validate_data(self, X, skip_check_array=True, reset=False, ensure_2d=False)

    def _warn_of_divergence(self, n_bad: int, n_images: int) -> None:
        if n_bad:
            warnings.warn(
                f"{n_bad} of {n_images} reconstructions are not finite: the iterations diverged. "
                "Smaller step sizes, or measurements nearer to those of training, may help.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _watched(
        self, reconstruct: Reconstruct, tell: Callable[[int, int], None]
    ) -> tuple[Reconstruct, Callable[[int, int], None]]:
        """Return the same two; the second also warns of linear systems that were not solved."""
        watch = Watch(self.operator_)

        def told(n_bad: int, n_images: int) -> None:
            tell(n_bad, n_images)
            self._warn_of_unsolved(watch)

        return watched(watch)(reconstruct), told

    def _warn_of_unsolved(self, watch: Watch) -> None:
        if watch.n_unsolved:
            warnings.warn(watch.describe(), ConvergenceWarning, stacklevel=5)

    # ------------------------------------------------------------------ fitting

    @torch.inference_mode(False)
    def _fit(
        self,
        X: Any,
        y: Any,
        learn: Callable[[Problem], dict[str, Any]],
        *,
        known: tuple[Geometry, Operator] | None = None,
    ) -> Self:
        """Check what was given, and keep the fitted attributes that `learn` makes of it.

        What is `known` of an estimator that goes on stays as it is.
        """
        self._check_parameters()
        if known is not None:
            self._check_names(X)
        problem = self._problem(X, y, known)
        if known is None:
            validate_data(
                BaseEstimator(), X, skip_check_array=True
            )  # column names, before long work
        fitted = learn(problem)
        if known is None:
            validate_data(self, X, skip_check_array=True, reset=True)
            fitted = fitted_attributes(problem) | fitted
        for name, value in fitted.items():
            setattr(self, name, value)
        self._cache: dict[Any, Any] = {}
        return self

    def _problem(self, X: Any, y: Any, known: tuple[Geometry, Operator] | None) -> Problem:
        """Check what `fit` was given, in the order in which scikit-learn does."""
        allow_nan = has_missing(self.operator if known is None else known[1])
        paired = are_images(y)
        X_ = check_images(X, self, allow_nan=allow_nan, allow_complex=paired)
        y_ = check_images(y, self, allow_nan=allow_nan, name="y") if paired else None
        if y is not None:
            check_consistent_length(X_, y)
        clean, name = (X_, "X") if y_ is None else (y_, "y")
        if known is None:
            geometry, operator, A = self._geometry(clean.shape, name)
        else:
            geometry, operator = self._geometry_for(clean, known[0], name=name), known[1]
            A = operator.build(geometry.images.tensor_shape)
        if y_ is not None:
            check_measurements(X_, geometry.images, geometry.measurements)
        measured = None if y_ is None else X_
        return Problem(clean, measured, geometry, operator, self._placed(A))

    def _geometry(
        self, shape: tuple[int, ...], name: str = "X"
    ) -> tuple[Geometry, Operator, ForwardMap]:
        """Return the layouts, a copy of the operator, and what it builds for images of `shape`."""
        operator = Identity() if self.operator is None else clone(self.operator)
        images = image_layout(tuple(shape), self.image_shape, name)
        A = operator.build(images.tensor_shape)
        geometry = Geometry(
            images,
            measurement_layout(A.measurement_shape, images),
            check_range(self.data_range),
            self.data_range is None,
        )
        return geometry, operator, A

    # ------------------------------------------------------------------ arrays

    def _source(
        self,
        array: Any,
        geometry: Geometry,
        *,
        measured: bool = False,
        allow_nan: bool = False,
        name: str = "X",
    ) -> ArraySource:
        return ArraySource(
            array,
            geometry.measurements if measured else geometry.images,
            dtype=self._dtype(),
            device=check_device(self.device),
            rescale_integers=geometry.rescale_integers,
            allow_nan=allow_nan,
            name=name,
        )

    def _measurements(
        self, X: Any, geometry: Geometry | None = None
    ) -> tuple[ArraySource, Geometry]:
        """Return what `predict` was given, checked, and how it lies."""
        self._check_names(X)
        own = self._geometry_ if geometry is None else geometry
        allow_nan = has_missing(self.operator_)
        allow_complex = is_complex_shape(own.measurements.tensor_shape)
        array = check_images(X, self, allow_nan=allow_nan, allow_complex=allow_complex)
        own = self._geometry_for(array, own, measured=True)
        return self._source(array, own, measured=True, allow_nan=allow_nan), own

    def _geometry_for(
        self, array: Any, geometry: Geometry, *, measured: bool = False, name: str = "X"
    ) -> Geometry:
        """Return how images or measurements lie, checked against those that are expected."""
        layout = geometry.measurements if measured else geometry.images
        check_shape(array, layout.shape, self, "measurements" if measured else "images", name)
        return geometry

    def _pairs(self, X: Any, y: Any) -> tuple[ArraySource, ArraySource | None]:
        """Return what `score` was given, checked: clean images and perhaps measurements."""
        if y is not None:
            check_consistent_length(X, y)
        if are_images(y):
            measured, clean, name = self._measurements(X)[0], check_images(y, self, name="y"), "y"
        else:
            self._check_names(X)
            measured, clean, name = None, check_images(X, self), "X"
        geometry = self._geometry_for(clean, self._geometry_, name=name)
        return self._source(clean, geometry, name=name), measured

    def _chunks(self, n: int) -> Iterator[np.ndarray]:
        for start in range(0, n, self.batch_size):
            yield np.arange(start, min(start + self.batch_size, n))

    def _new_images(self, n: int, geometry: Geometry) -> np.ndarray:
        dtype = str(self._dtype()).removeprefix("torch.")
        return np.empty((n, *geometry.images.shape), dtype=dtype)

    def _clipped(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.clip is None else x.clamp(*self.clip)

    # ------------------------------------------------------------------ built modules

    def _parts(self, geometry: Geometry | None = None) -> dict[str, Any]:
        """Return the built parts of the fitted estimator, built once per device, type and shape.

        They depend on fitted attributes alone, so that `set_params` cannot make them stale.
        """
        own = self._geometry_ if geometry is None else geometry
        key = (str(check_device(self.device)), self.precision, own.images.tensor_shape)
        if key not in self._cache:
            self._cache[key] = self._build_parts(own)
        return self._cache[key]

    def _build_parts(self, geometry: Geometry) -> dict[str, Any]:
        return {"A": self._placed(self.operator_.build(geometry.images.tensor_shape))}

    def _other_map(self, operator: Operator) -> ForwardMap:
        """Return the map of an operator to simulate with, whose measurements can be restored."""
        if not isinstance(operator, Operator):
            raise ValueError(
                f"The 'operator' to simulate with must be an Operator. Got {operator!r} instead."
            )
        A = self._placed(operator.build(self._geometry_.images.tensor_shape))
        fitted = self._parts()["A"]
        if A.measurement_shape != fitted.measurement_shape:
            raise ValueError(
                f"{operator!r} gives measurements of shape {A.measurement_shape}, but the fitted "
                f"{self.operator_!r} takes {fitted.measurement_shape}."
            )
        if has_missing(operator) and not has_missing(self.operator_):
            raise ValueError(
                f"{operator!r} gives measurements with missing values, which the fitted "
                f"{self.operator_!r} does not have."
            )
        return A

    def _placed(self, module: Module) -> Module:
        """Return `module` where, and in the type in which, everything is computed."""
        device = check_device(self.device)
        if self.precision == "bfloat16":
            autocast_networks(module, device)
        return module.to(device, self._dtype())

    def _dtype(self) -> torch.dtype:
        return _DTYPES[self.precision]


def fitted_attributes(problem: Problem) -> dict[str, Any]:
    """Return what every fitted estimator keeps of what it was fitted to."""
    return {
        "operator_": problem.operator,
        "image_shape_": problem.geometry.image_shape,
        "measurement_shape_": problem.geometry.measurements.shape,
        "data_range_": problem.geometry.data_range,
        "_geometry_": problem.geometry,
    }
