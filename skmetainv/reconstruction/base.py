"""The base class of all estimators that restore images: prediction, simulation, score."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, replace
from numbers import Integral, Real
from typing import Any, Self, cast

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skmetainv.arrays import (
    ArraySource,
    as_array,
    channels_last,
    match_container,
    match_type,
    pairs_of,
)
from skmetainv.inputs import Geometry, Problem, Reader
from skmetainv.inputs.validation import (
    are_images,
    check_device,
    check_image_shape,
    check_nothing_simulates,
    check_range,
)
from skmetainv.metrics import mean_over_batches, psnr
from skmetainv.noise import NOISE_CONSTRAINTS, Noise, as_noise
from skmetainv.operators import Operator
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval, StrOptions
from skmetainv.randomness import integer_seed, training_generators
from skmetainv.reconstruction.built import DTYPES, Built
from skmetainv.reconstruction.chunks import batches_of
from skmetainv.reconstruction.restorer import Restore, Restorer


class Reconstructor(Built, metaclass=ABCMeta):
    """What the estimators that restore images from measurements have in common.

    A subclass has the parameters `operator` and `noise`, writes `_restorer` and `_build`, and a
    `fit` around `_fitting`.

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
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of all draws: of masks and noise, and where something is trained, of its initial
        weights, its batches and how images are augmented.
    """

    _: KW_ONLY
    batch_size: int = 16
    image_shape: tuple[int, ...] | None = None
    data_range: float | tuple[float, float] | None = None
    random_state: Any = None

    operator = cast("Operator | None", None)
    noise = cast("float | Noise", 0.0)
    _parameter_constraints = {
        "operator": [Operator, None],
        "noise": NOISE_CONSTRAINTS,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "image_shape": [tuple, list, None],
        "data_range": [Interval(Real, 0, None, closed="neither"), tuple, list, None],
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
        return self._restore(X, geometry, self._restorer(geometry))

    @abstractmethod
    def _restorer(self, geometry: Geometry, **options: Any) -> Restorer:
        """Return what restores batches of measurements that lie as `geometry` says.

        Which options there are is the subclass's: its `predict` passes them on.
        """

    @torch.inference_mode(False)
    def _restore(self, X: Any, geometry: Geometry, restorer: Restorer) -> Any:
        """Return what a restorer makes of a user's measurements, and warn of what went wrong."""
        measurements, geometry, is_single = self._reader().to_restore(X, geometry)
        images = self._images(measurements, geometry, restorer)
        restorer.warn()
        return match_type(X, images[0] if is_single else images)

    def _images(
        self, measurements: ArraySource, geometry: Geometry, restorer: Restorer
    ) -> np.ndarray:
        """Return what a restorer makes of measurements, batch by batch."""
        dtype = str(self._dtype()).removeprefix("torch.")
        images = np.empty((len(measurements), *geometry.images.shape), dtype=dtype)
        for indices in batches_of(len(measurements), self.batch_size):
            x = restorer(measurements.read(indices))
            images[indices] = geometry.images.to_array(x)
        return images

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
        geometry, reader = self._resized(image_shape), self._reader()
        problem = reader.to_score(X, y, geometry)
        if problem.measured is not None:
            check_nothing_simulates(operator, noise)
        if operator is not None:
            problem = replace(problem, A=self._other_map(operator, geometry))
        noise = self.noise if noise is None else noise
        if problem.measured is None:
            reader.look_at(problem, noise)
        restorer, seed = self._restorer(problem.geometry), integer_seed(random_state)
        return self._restored_and_warned(problem, noise, seed, restorer)

    def _restored_and_warned(
        self, problem: Problem, noise: float | Noise, seed: int, restorer: Restorer
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from self._restored(problem, noise, seed, restorer)
        restorer.warn()

    @torch.inference_mode(False)
    def _restored(
        self, problem: Problem, noise: float | Noise, seed: int, restore: Restore
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield clean images and their restorations, batch by batch, channels last."""
        noisy = as_noise(noise).build()
        for indices in batches_of(len(problem), self.batch_size):
            x = problem.clean.read(indices)
            z = restore(problem.measure(x, indices, noisy, seed))
            yield channels_last(x), channels_last(z)

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
        reader, allow_nan = self._reader(), has_missing(self.operator)
        grid = self.image_shape if image_shape is None else image_shape
        images, is_single = reader.images(X, grid or reader.known_shape(X), allow_nan=allow_nan)
        geometry, operator, A = reader.geometry(images, grid)
        source = reader.source(images, geometry, allow_nan=allow_nan)
        problem = Problem(source, None, geometry, operator, self._placed(A))
        reader.look_at(problem, self.noise)
        noise = as_noise(self.noise).build()
        seed = integer_seed(self.random_state if random_state is None else random_state)
        measurements = [
            problem.measure(source.read(indices), indices, noise, seed)
            for indices in batches_of(len(source), self.batch_size)
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
        problem, is_single = self._reader().to_compare(X, images, self._resized(image_shape))
        with torch.no_grad():
            values = [
                problem.A.bind(problem.measured.read(indices)).mean_squared_residuals(
                    problem.clean.read(indices)
                )
                for indices in batches_of(len(problem), self.batch_size)
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

    # ------------------------------------------------------------------ fitting

    @contextmanager
    def _fitting(
        self, X: Any, y: Any, *, resumes: bool = False, looks: bool = True
    ) -> Iterator[tuple[Self, Problem]]:
        """Check what `fit` was given, and give it with a copy of the estimator to fit.

        At the end the estimator takes the copy's attributes; after an error it is as it was. If it
        `resumes`, operator and geometry stay as they were fitted. Unless it `looks`, units of
        images are not looked at.
        """
        with torch.inference_mode(False):
            self._check_parameters()
            X, y = pairs_of(X, y)
            problem = self._fitted_problem(X, y) if resumes else self._reader().problem(X, y)
            if looks:
                self._look_at(problem)
            copy = self.__new__(type(self))
            copy.__dict__.update(self.__dict__, _cache={})
            if not resumes:
                copy._take_shapes(as_array(X), problem)
            yield copy, problem
        parameters = self.get_params(deep=False)
        self.__dict__.update({n: v for n, v in vars(copy).items() if n not in parameters})

    def _fitted_problem(self, X: Any, y: Any) -> Problem:
        """Return what `fit` was given after an earlier one, of the same shapes."""
        reader, fitted = self._reader(), self._geometry_
        reader.check_names(X, fitted.measurements if are_images(y) else fitted.images)
        return reader.another_problem(X, y, fitted, self.operator_)

    def _take_shapes(self, columns: Any, problem: Problem) -> None:
        """Set the fitted attributes that say what images and measurements are."""
        validate_data(self, columns, skip_check_array=True)
        self.operator_, self._geometry_ = problem.operator, problem.geometry
        self.image_shape_ = problem.geometry.image_shape
        self.measurement_shape_ = problem.geometry.measurements.shape
        self.data_range_ = problem.geometry.data_range

    def _look_at(self, problem: Problem) -> None:
        """Warn, or raise, if what `fit` was given is hardly what is meant."""
        self._reader().look_at(problem, self.noise)

    def _first_measurement(self, problem: Problem, seed: int) -> torch.Tensor:
        """Return the first measurement that `fit` was given, or simulates."""
        first = np.array([0])
        if problem.measured is not None:
            return problem.measured.read(first)
        noise = as_noise(self.noise).build()
        x = problem.clean.read(first)
        return problem.A.simulate(x, noise, training_generators(seed, 0, first))

    # ------------------------------------------------------------------ arrays

    def _reader(self) -> Reader:
        """Return what makes of a user's arrays what the estimator computes with."""
        return Reader(self, self._dtype(), check_device(self.device))
