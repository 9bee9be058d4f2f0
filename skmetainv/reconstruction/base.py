"""What every estimator that restores images shares: arrays in, arrays out, simulation, score."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY
from functools import partial
from numbers import Integral, Real
from typing import Any, Self, TypeAlias, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from skmetainv.arrays import (
    ArraySource,
    Layout,
    Single,
    as_array,
    image_layout,
    integer_unit,
    is_complex_shape,
    is_image_shape,
    measurement_layout,
    pairs_of,
)
from skmetainv.arrays.units import tells_its_range
from skmetainv.exceptions import warn
from skmetainv.metrics import mean_over_batches, psnr
from skmetainv.noise import NOISE_CONSTRAINTS, Noise, as_noise
from skmetainv.operators import ForwardMap, Identity, Operator
from skmetainv.operators.maps.verdicts import Watch, watched
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval, StrOptions
from skmetainv.randomness import evaluation_generators, integer_seed, training_generators
from skmetainv.reconstruction.built import DTYPES, Built
from skmetainv.reconstruction.first_look import (
    look_at_images,
    look_at_measurements,
    look_at_pairs,
    look_at_simulated,
)
from skmetainv.reconstruction.geometry import (
    Geometry,
    Problem,
    Reconstruct,
    channels_last,
    match_container,
    match_type,
    n_not_finite,
)
from skmetainv.reconstruction.validation import (
    are_images,
    as_batch,
    check_device,
    check_image_shape,
    check_images,
    check_measurements,
    check_nothing_simulates,
    check_pair,
    check_range,
    check_shape,
)

#: Gives the measurements of clean images, from these and from their places in the data.
Measure: TypeAlias = Callable[[torch.Tensor, np.ndarray], torch.Tensor]


class Reconstructor(Built, metaclass=ABCMeta):
    """What the estimators that restore images from measurements have in common.

    A subclass has the parameters `operator` and `noise`, writes `_begin`, and a `fit` that calls
    `_fit`.

    Parameters
    ----------
    batch_size : int, default=16
        Images that are processed together.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of flat images; with None they are
        square if they can be, else one row.
    data_range : float or (float, float), default=None
        The largest value of images, or the least and the largest; all values are then taken as
        they are. With None floats are nominally in [0, 1], and integers of pictures (uint8,
        uint16) are divided by their type's maximum; other integers from 0 to 255 count as 8 bits.
    clip : (float, float), default=None
        Clip predictions to this range.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of all draws: of masks and noise, and where something is trained, of its initial
        weights, its batches and how images are augmented.
    """

    _: KW_ONLY
    batch_size: int = 16
    image_shape: tuple[int, ...] | None = None
    data_range: float | tuple[float, float] | None = None
    clip: tuple[float, float] | None = None
    random_state: Any = None

    operator = cast("Operator | None", None)
    noise = cast("float | Noise", 0.0)
    _parameter_constraints = {
        "operator": [Operator, None],
        "noise": NOISE_CONSTRAINTS,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "image_shape": [tuple, list, None],
        "data_range": [Interval(Real, 0, None, closed="neither"), tuple, list, None],
        "clip": [tuple, list, None],
        "precision": [StrOptions(set(DTYPES))],
        "device": [str, torch.device],
        "random_state": ["random_state", np.random.Generator],
    }

    def predict(self, X: Any, *, image_shape: tuple[int, ...] | None = None) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements. If the operator has missing values, missing entries are NaN. Complex
            measurements may be a complex array, without the last axis of real and imaginary parts.
            One measurement may come without the first axis, unless it is flat.
        image_shape : tuple of int, default=None
            Height and width (and channels, as in training) of the images to restore, if they are
            not those of training. The operator is then built for this shape, and `X` has what it
            measures of such images.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            Floats in the layout of the training images and the units of ``data_range_``; one image,
            if `X` is one measurement. If `X` is a data frame, an ndarray, as predictions are in
            scikit-learn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of such measurements, or if images of `image_shape`
            cannot be restored: the estimator, or its operator, may be bound to the shape of
            training.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
        DataConversionWarning
            If measurements are in units that can hardly be meant, or may be clean images.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        return self._restore(X, *self._begin(geometry), geometry)

    @abstractmethod
    def _begin(
        self, geometry: Geometry, **how: Any
    ) -> tuple[Reconstruct, Callable[[int, int], None]]:
        """Return what restores a batch, and what is told how many of all images went wrong.

        What `how` may be is the subclass's: its `predict` passes it on.
        """

    @torch.inference_mode(False)
    def _restore(
        self,
        X: Any,
        reconstruct: Reconstruct,
        tell: Callable[[int, int], None],
        geometry: Geometry,
    ) -> Any:
        """Return what `reconstruct` makes of a user's measurements, batch by batch."""
        reconstruct, tell = self._watched(reconstruct, tell)
        measurements, geometry, is_single = self._measurements(X, geometry)
        look_at_measurements(measurements, self._map(geometry), geometry.data_range)
        images, n_bad = self._new_images(len(measurements), geometry), 0
        for indices in self._chunks(len(measurements)):
            x = reconstruct(measurements.read(indices))
            n_bad += n_not_finite(x)
            images[indices] = geometry.images.to_array(self._clipped(x))
        tell(n_bad, len(images))
        return match_type(X, images[0] if is_single else images)

    def score(self, X: Any, y: Any = None, *, image_shape: tuple[int, ...] | None = None) -> float:
        """Return the mean peak signal-to-noise ratio, in decibels; higher is better.

        Parameters
        ----------
        X : array-like
            Clean images without NaN, whose measurements are simulated with a fixed seed; with
            `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`, without NaN. A 1-D `y` is ignored.
        image_shape : tuple of int, default=None
            Shape of the images, if it is not that of training, see `predict`.

        Returns
        -------
        score : float
            See `skmetainv.metrics.psnr`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the arrays are not images, or not measurements and their clean images in this order,
            of the shape of training or of `image_shape`; if images of `image_shape` cannot be
            restored, see `predict`.

        Warns
        -----
        ConvergenceWarning
            As in `predict`.
        DataConversionWarning
            If images, measurements or the noise are in units that can hardly be meant, or if
            measurements may be clean images.
        """
        pairs = self.restorations(X, y, image_shape=image_shape)
        return mean_over_batches(psnr, pairs, self.data_range_)

    @torch.inference_mode(False)
    def restorations(
        self,
        X: Any,
        y: Any = None,
        *,
        operator: Operator | None = None,
        noise: float | Noise | None = None,
        random_state: Any = 0,
        image_shape: tuple[int, ...] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over clean images and their restorations, batch by batch.

        Parameters
        ----------
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.
        operator : Operator, default=None
            The operator to simulate with; None is the fitted one.
        noise : float or Noise, default=None
            The noise to simulate with; None is the estimator's.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        image_shape : tuple of int, default=None
            Shape of the images, if it is not that of training, see `predict`.

        Returns
        -------
        pairs : iterator of (clean, restored)
            Two arrays of shape (batch, height, width, channels), floats in the units of
            ``data_range_``.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the arrays are not images, or not measurements and their clean images in this order,
            of the shape of training or of `image_shape`; if images of `image_shape` cannot be
            restored, see `predict`. If the measurements of `operator` have another shape than
            those of the fitted one. If `operator` or `noise` is given with measurements `X`, for
            nothing is simulated then.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If images, measurements or the noise are in units that can hardly be meant, or if
            measurements may be clean images.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        clean, measured = self._pairs(X, y, geometry)
        if measured is not None:
            check_nothing_simulates(operator, noise)
        A = self._parts(geometry)["A"] if operator is None else self._other_map(operator, geometry)
        noise = self.noise if noise is None else noise
        if measured is None:
            self._look_at_simulation(clean, A, noise, self.data_range_)
        measure = self._measure(A, noise, integer_seed(random_state), measured)
        return self._restored(clean, measure, *self._watched(*self._begin(geometry)))

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
    def simulate(
        self, X: Any, random_state: Any = None, *, image_shape: tuple[int, ...] | None = None
    ) -> Any:
        """Return measurements of clean images, as training simulates them.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, of any height and width that the operator takes. Channels may come first,
            see :doc:`/arrays`. One colour image may come without the first axis.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of masks and noise; None takes the estimator's own.
        image_shape : tuple of int, default=None
            Shape of flat images; None takes the estimator's own.

        Returns
        -------
        measurements : ndarray of shape (n, ...), or a tensor if `X` is one
            If a measurement is an image, it lies as the images do. If `X` is one image, one
            measurement. If `X` is a data frame of pandas and measurements are flat, a data frame
            with the same rows and, if there are as many, the same columns.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if `X` does not hold images or may be one image as
            well as several flat ones, or if the operator does not take such images.

        Warns
        -----
        DataConversionWarning
            If images, or the noise, are in units that can hardly be meant.
        """
        self._check_parameters()
        check_image_shape(image_shape)
        grid = self.image_shape if image_shape is None else image_shape
        images, is_single = self._images(
            X, grid or self._known_shape(X), allow_nan=has_missing(self.operator)
        )
        geometry, _, A = self._geometry(images, grid)
        A = self._placed(A)
        noise = as_noise(self.noise).build()
        seed = integer_seed(self.random_state if random_state is None else random_state)
        source = self._source(images, geometry, allow_nan=has_missing(self.operator))
        self._look_at_simulation(source, A, self.noise, geometry.data_range)
        measurements = [
            A.simulate(source.read(indices), noise, evaluation_generators(seed, indices))
            for indices in self._chunks(len(source))
        ]
        array = geometry.measurements.to_array(torch.cat(measurements))
        return match_container(X, array[0] if is_single else array)

    @torch.inference_mode(False)
    def data_fidelity(
        self, X: Any, images: Any, *, image_shape: tuple[int, ...] | None = None
    ) -> np.ndarray | float:
        """Return how far images are from explaining measurements, ``||A(x) - y||^2 / m``.

        It is the mean squared residual of each image over its ``m`` observed samples. That of the
        ground truth is about the variance of the noise: a reconstruction far above it leaves out
        what was measured, and one far below it fits the noise.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements, as `predict` takes them.
        images : array-like of shape (n, ...)
            Images that should explain them: what `predict` gives, or any others.
        image_shape : tuple of int, default=None
            Shape of the images, if it is not that of training, see `predict`.

        Returns
        -------
        values : ndarray of shape (n,), or float
            One per image, from 0 upwards, in squared units of the measurements, by the fitted
            operator. Real and imaginary parts count as two samples. A float of one measurement.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` and `images` are not measurements and images of these shapes, as many of both.

        See Also
        --------
        skmetainv.operators.Operator.data_fidelity : The same without an estimator.
        """
        self._check_ready()
        measured, geometry, is_single = self._measurements(X, self._resized(image_shape))
        array = check_images(images, self, name="images")
        array, geometry, _ = self._geometry_to_restore(array, geometry, name="images")
        source, A = self._source(array, geometry, name="images"), self._map(geometry)
        check_consistent_length(measured, source)
        with torch.no_grad():
            values = [
                A.bind(measured.read(indices)).mean_squared_residuals(source.read(indices))
                for indices in self._chunks(len(source))
            ]
        array = torch.cat(values).cpu().numpy()
        return float(array[0]) if is_single else array

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

    def _without_search(self) -> Self:
        """Return a copy, not fitted, that takes what this one's `fit` searched for as it is."""
        return clone(self)

    def _learns(self) -> bool:
        """Whether `fit` learns from images more than their shape and their units."""
        return True

    def _check_ready(self) -> None:
        """Check what every method needs that restores images."""
        check_is_fitted(self)
        self._check_parameters()

    def _check_names(self, X: Any, layout: Layout) -> None:
        """Compare the column names of a data frame with those that were fitted.

        They are names of what lies as the fitted `X` did: the images' say nothing of measurements
        that have another number of entries, nor the other way round.
        """
        if layout.shape == (len(getattr(self, "feature_names_in_", ())),):
            validate_data(self, X, skip_check_array=True, reset=False, ensure_2d=False)

    def _warn_of_divergence(self, n_bad: int, n_images: int) -> None:
        if n_bad:
            warn(
                f"{n_bad} of {n_images} reconstructions are not finite: the iterations diverged. "
                "Smaller step sizes, or measurements nearer to those of training, may help.",
                ConvergenceWarning,
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
            warn(watch.describe(), ConvergenceWarning)

    # ------------------------------------------------------------------ fitting

    @torch.inference_mode(False)
    def _fit(
        self,
        X: Any,
        y: Any,
        learn: Callable[[Problem], dict[str, Any]],
        *,
        known: tuple[Geometry, Operator] | None = None,
        look: bool = True,
    ) -> Self:
        """Check what was given, and keep the fitted attributes that `learn` makes of it.

        What is `known` of an estimator that goes on stays as it is. Where `look` is False the
        units of the images are not looked at.
        """
        self._check_parameters()
        X, y = pairs_of(X, y)
        if known is not None:
            self._check_names(X, known[0].measurements if are_images(y) else known[0].images)
        problem = self._problem(X, y, known)
        if look:
            self._look_at(problem)
        columns = as_array(X)
        if known is None:  # names of columns, before long work
            validate_data(BaseEstimator(), columns, skip_check_array=True)
        fitted = learn(problem)
        if known is None:
            validate_data(self, columns, skip_check_array=True, reset=True)
            fitted = fitted_attributes(problem) | fitted
        for name, value in fitted.items():
            setattr(self, name, value)
        self._cache: dict[Any, Any] = {}
        return self

    def _problem(
        self,
        X: Any,
        y: Any,
        known: tuple[Geometry, Operator] | None,
        names: tuple[str, str] = ("X", "y"),
    ) -> Problem:
        """Check what `fit` was given, in the order in which scikit-learn does."""
        allow_nan = has_missing(self.operator if known is None else known[1])
        paired = are_images(y)
        measured = None
        if paired:
            measured = check_images(X, self, allow_nan=allow_nan, allow_complex=True, name=names[0])
        clean, name = (y, names[1]) if paired else (X, names[0])
        if known is None:
            grid = self.image_shape
            clean, is_single = self._images(clean, grid, allow_nan=allow_nan, name=name)
            geometry, operator, A = self._geometry(clean, grid, name)
        else:
            clean = check_images(clean, self, allow_nan=allow_nan, name=name)
            clean, geometry, is_single = self._geometry_for(clean, known[0], name=name)
            operator = known[1]
            A = operator.build(geometry.images.tensor_shape)
        if measured is not None:
            measured = Single(measured) if is_single else measured
            check_consistent_length(measured, clean)
            swapped = partial(self._are_swapped, measured, clean)
            check_measurements(measured, geometry.images, geometry.measurements, swapped)
        elif y is not None and not is_single:
            check_consistent_length(clean, y)
        return Problem(clean, measured, geometry, operator, self._placed(A))

    def _first_measurement(self, problem: Problem, seed: int) -> torch.Tensor:
        """Return the first measurement that `fit` was given, or simulates."""
        first, allow_nan = np.array([0]), has_missing(problem.operator)
        if problem.measured is not None:
            return self._source(
                problem.measured, problem.geometry, measured=True, allow_nan=allow_nan
            ).read(first)
        x = self._source(problem.clean, problem.geometry, allow_nan=allow_nan).read(first)
        noise = as_noise(self.noise).build()
        return problem.A.simulate(x, noise, training_generators(seed, 0, first))

    def _known_shape(self, X: Any) -> tuple[int, ...] | None:
        """Return the shape of images, if `X` is one, or several, as `fit` has seen them."""
        shape = tuple(getattr(X, "shape", ()))
        if not hasattr(self, "_geometry_"):
            return None
        own = self._geometry_.images.shape
        is_one = shape == own and len(own) > 1
        return self._geometry_.image_shape if is_one or shape[1:] == own else None

    def _are_swapped(self, measured: Any, clean: Any) -> bool:
        """Whether what is called clean has the shape that what is called measured would give."""
        try:
            geometry = self._geometry(measured, self.image_shape)[0]
        except ValueError:
            return False
        return geometry.measurements.shape == tuple(clean.shape[1:])

    def _images(
        self,
        X: Any,
        image_shape: tuple[int, ...] | None,
        *,
        allow_nan: bool = False,
        name: str = "X",
    ) -> tuple[Any, bool]:
        """Return clean images before anything is fitted, and whether they are one without axis."""
        array = check_images(X, self, allow_nan=allow_nan, name=name)
        kinds = {"is_table": hasattr(X, "iloc"), "is_tensor": isinstance(X, torch.Tensor)}
        return as_batch(array, image_shape, **kinds, name=name)

    def _geometry(
        self, array: Any, image_shape: tuple[int, ...] | None, name: str = "X"
    ) -> tuple[Geometry, Operator, ForwardMap]:
        """Return the layouts, a copy of the operator, and what it builds for clean images."""
        operator = Identity() if self.operator is None else clone(self.operator)
        images = image_layout(tuple(array.shape), image_shape, name)
        A = operator.build(images.tensor_shape)
        geometry = Geometry(
            images,
            measurement_layout(A.measurement_shape, images),
            check_range(self.data_range),
            self.data_range is None,
            None if tells_its_range(array.dtype) else integer_unit(array),
        )
        return geometry, operator, A

    # ------------------------------------------------------------------ what the first images tell

    def _look_at(self, problem: Problem, names: tuple[str, str] = ("X", "y")) -> None:
        """Warn, or raise, of what the first images of a problem tell."""
        geometry, allow_nan = problem.geometry, has_missing(problem.operator)
        name = names[0] if problem.measured is None else names[1]
        clean = self._source(problem.clean, geometry, allow_nan=allow_nan, name=name)
        if problem.measured is None:
            self._look_at_simulation(clean, problem.A, self.noise, geometry.data_range)
            return
        measured = self._source(
            problem.measured, geometry, measured=True, allow_nan=allow_nan, name=names[0]
        )
        self._look_at_pairs(measured, clean, problem.A, geometry)

    def _look_at_pairs(
        self, measured: ArraySource, clean: ArraySource, A: ForwardMap, geometry: Geometry
    ) -> None:
        look_at_pairs(measured, clean, A)
        look_at_images(clean, geometry.data_range)
        look_at_measurements(measured, A, geometry.data_range)

    def _look_at_simulation(
        self,
        clean: ArraySource,
        A: ForwardMap,
        noise: float | Noise,
        data_range: tuple[float, float],
    ) -> None:
        """Warn of units of clean images, or of a noise, that can hardly be meant."""
        look_at_images(clean, data_range)
        first = np.arange(min(len(clean), self.batch_size))
        x, generators = clean.read(first), evaluation_generators(0, first)
        y = A.simulate(x, as_noise(noise).build(), generators)
        look_at_simulated(y, x, A, data_range, noise)

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
            unit=geometry.unit(array),
            allow_nan=allow_nan,
            name=name,
        )

    def _measurements(self, X: Any, geometry: Geometry) -> tuple[ArraySource, Geometry, bool]:
        """Return what `predict` was given, checked, how it lies, and whether it is one alone."""
        self._check_names(X, geometry.measurements)
        allow_nan = has_missing(self.operator_)
        allow_complex = is_complex_shape(geometry.measurements.tensor_shape)
        X = as_array(X)
        is_flat = not is_image_shape(geometry.measurements.tensor_shape)
        is_alone = is_flat and len(getattr(X, "shape", ())) == 1 < len(geometry.images.shape)
        array = check_images(
            X[np.newaxis] if is_alone else X,
            self,
            allow_nan=allow_nan,
            allow_complex=allow_complex,
        )
        array, own, is_single = self._geometry_to_restore(array, geometry, measured=True)
        source = self._source(array, own, measured=True, allow_nan=allow_nan)
        return source, own, is_single or is_alone

    def _map(self, geometry: Geometry) -> ForwardMap:
        """Return what measures images that lie as `geometry` says."""
        return self._parts(geometry)["A"]

    def _geometry_for(
        self,
        array: Any,
        geometry: Geometry,
        *,
        measured: bool = False,
        name: str = "X",
        hint: str = "",
    ) -> tuple[Any, Geometry, bool]:
        """Return images or measurements, how they lie, and whether they are one alone.

        They are checked against those that are expected; one alone gets its first axis.
        """
        layout = geometry.measurements if measured else geometry.images
        is_single = tuple(array.shape) == layout.shape
        array = Single(array) if is_single else array
        what = "measurements" if measured else "images"
        check_shape(array, layout.shape, self, what, name, hint)
        return array, geometry, is_single

    def _geometry_to_restore(
        self, array: Any, geometry: Geometry, *, measured: bool = False, name: str = "X"
    ) -> tuple[Any, Geometry, bool]:
        """Return the same after `fit`, when another size can be asked for."""
        hint = self._shape_hint(array, measured, name) if geometry is self._geometry_ else ""
        return self._geometry_for(array, geometry, measured=measured, name=name, hint=hint)

    def _pairs(self, X: Any, y: Any, geometry: Geometry) -> tuple[ArraySource, ArraySource | None]:
        """Return what `score` was given, checked: clean images and perhaps measurements."""
        X, y = pairs_of(X, y)
        if are_images(y):
            measured, name = self._measurements(X, geometry)[0], "y"
            clean = check_images(y, self, allow_nan=has_missing(self.operator_), name=name)
        else:
            self._check_names(X, self._geometry_.images)
            measured, clean, name = None, check_images(X, self), "X"
        clean, own, is_single = self._geometry_to_restore(clean, geometry, name=name)
        source = self._source(clean, own, name=name)
        if measured is not None:
            check_consistent_length(measured, source)
            self._look_at_pairs(measured, source, self._map(own), own)
        elif y is not None and not is_single:
            check_consistent_length(source, y)
        return source, measured

    def _chunks(self, n: int) -> Iterator[np.ndarray]:
        for start in range(0, n, self.batch_size):
            yield np.arange(start, min(start + self.batch_size, n))

    def _new_images(self, n: int, geometry: Geometry) -> np.ndarray:
        dtype = str(self._dtype()).removeprefix("torch.")
        return np.empty((n, *geometry.images.shape), dtype=dtype)

    def _clipped(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.clip is None else x.clamp(*self.clip)


def fitted_attributes(problem: Problem) -> dict[str, Any]:
    """Return what every fitted estimator keeps of what it was fitted to."""
    return {
        "operator_": problem.operator,
        "image_shape_": problem.geometry.image_shape,
        "measurement_shape_": problem.geometry.measurements.shape,
        "data_range_": problem.geometry.data_range,
        "_geometry_": problem.geometry,
    }
