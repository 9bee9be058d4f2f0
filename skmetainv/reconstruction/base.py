"""The base class of all estimators that restore images: prediction, simulation, score."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any, ClassVar, Self, cast

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
from skmetainv.arrays.units import check_range
from skmetainv.inputs import Geometry, Problem, Reader
from skmetainv.inputs.validation import (
    are_images,
    check_device,
    check_image_shape,
    check_nothing_simulates,
)
from skmetainv.metrics import mean_over_batches, psnr
from skmetainv.noise import NOISE_CONSTRAINTS, Noise, as_noise
from skmetainv.operators import ForwardMap, Operator, RandomOperator
from skmetainv.parameters import COUNT, POSITIVE, Interval, StrOptions
from skmetainv.randomness import evaluation_generators, integer_seed
from skmetainv.reconstruction.built import DTYPES, Built, outside_inference_mode
from skmetainv.reconstruction.chunks import batches_of
from skmetainv.reconstruction.restorer import Restore, Restorer
from skmetainv.training import Augmentation, Batch, MeasuredPairs, SimulatedPairs


class Reconstructor(Built, metaclass=ABCMeta):
    """Base class of estimators that restore images from measurements.

    A subclass has the parameters `operator` and `noise`. It implements `_restorer`, `_build`, and a
    `fit` that uses `_fitting`.

    Parameters
    ----------
    batch_size : int, default=16
        Number of images that are processed together.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of flat images. If None, a flat image
        counts as square if its size allows it, else as one row.
    data_range : float or (float, float), default=None
        The largest value of images, or the least and the largest. Values are then used unscaled.
        If None, floats are nominally in [0, 1], and uint8 and uint16 are divided by the maximum of
        their type. Other integers are divided by 255 if they lie in 0..255 and exceed 1.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of all random draws: masks, noise and, for trained estimators, initial weights, batches
        and augmentation.

    Examples
    --------
    An estimator that learns nothing:

    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import Downsampling, Operator
    >>> from skmetainv.reconstruction import Reconstructor, Restorer
    >>> class PseudoInverse(Reconstructor):
    ...     operator: Operator | None = None
    ...
    ...     def fit(self, X, y=None):
    ...         with self._fitting(X, y):
    ...             pass
    ...         return self
    ...
    ...     def _build(self, geometry, A):
    ...         return lambda y, A: A.pseudo_inverse(y)
    ...
    ...     def _restorer(self, geometry):
    ...         _, restore = self._built(geometry)
    ...         return Restorer(restore, self.operator_)
    >>> faces = load_faces()[:4, :24, :24]
    >>> est = PseudoInverse(Downsampling(2)).fit(faces)
    >>> est.predict(est.simulate(faces)).shape
    (4, 24, 24)
    """

    _: KW_ONLY
    batch_size: int = 16
    image_shape: tuple[int, ...] | None = None
    data_range: float | tuple[float, float] | None = None
    random_state: Any = None

    _reader_class: ClassVar[type[Reader]] = Reader

    # Not annotated, so that they are no dataclass fields here: each subclass declares them itself.
    operator = cast("Operator | None", None)
    noise = cast("float | Noise", 0.0)
    _parameter_constraints = {
        "operator": [Operator, None],
        "noise": NOISE_CONSTRAINTS,
        "batch_size": [COUNT],
        "image_shape": [tuple, list, None],
        "data_range": [POSITIVE, tuple, list, None],
        "precision": [StrOptions(set(DTYPES))],
        "device": [str, torch.device],
        "random_state": [
            Interval(Integral, 0, 2**32 - 1, closed="both"),
            np.random.RandomState,
            np.random.Generator,
            None,
        ],
    }

    def predict(
        self,
        X: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements. If the operator has missing values, missing entries are NaN. Complex
            measurements may be a complex array, without the last axis of real and imaginary parts.
            One measurement may come without the first axis, unless it is flat.
        operator : Operator or list of Operator, default=None
            The operator that took these measurements, or a list with one operator for each. Their
            measurements must have the same shape as in training. None is the fitted operator,
            unless that is a `RandomOperator`, which cannot restore.
        image_shape : tuple of int, default=None
            Height and width (and channels, as in training) of the images to restore. None is the
            shape of the training images. For another shape, the operator is built anew, and `X`
            must have the shape of its measurements.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            Floats in the layout of the training images and the units of ``data_range_``. One image
            if `X` is one measurement. For a data frame, the result is an ndarray, as in
            scikit-learn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of measurements of such images. If images of
            `image_shape` cannot be restored, because the estimator or its operator supports only
            the training shape. If the measurements of `operator` have another shape than those of
            the fitted operator, or if it is needed and missing.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
        DataConversionWarning
            If measurements are in implausible units, or look like clean images.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        return self._predicted(X, geometry, self._restorer(geometry), operator)

    @abstractmethod
    def _restorer(self, geometry: Geometry) -> Restorer:
        """Return the restorer for batches of measurements with this geometry."""

    def _predicted(
        self,
        X: Any,
        geometry: Geometry,
        restorer: Restorer,
        operator: Operator | Sequence[Operator] | None = None,
    ) -> Any:
        """Return the images that a restorer makes from a user's measurements, with warnings."""
        return self._all_predicted(X, geometry, [restorer], operator)[0]

    @outside_inference_mode
    def _all_predicted(
        self,
        X: Any,
        geometry: Geometry,
        restorers: Sequence[Restorer],
        operator: Operator | Sequence[Operator] | None = None,
    ) -> list[Any]:
        """Return the images of each restorer, with warnings."""
        A = self._named_map(operator, geometry)
        measurements, geometry, is_single = self._reader().to_restore(X, geometry, A)
        arrays = [
            self._images(measurements, geometry, A or self._map(geometry), restorer)
            for restorer in restorers
        ]
        for restorer in restorers:
            restorer.warn()
        return [match_type(X, array[0] if is_single else array) for array in arrays]

    def _images(
        self, measurements: ArraySource, geometry: Geometry, A: ForwardMap, restorer: Restorer
    ) -> np.ndarray:
        """Return the images that a restorer makes from measurements, batch by batch."""
        dtype = str(self._dtype()).removeprefix("torch.")
        images = np.empty((len(measurements), *geometry.image_layout.shape), dtype=dtype)
        for indices in batches_of(len(measurements), self.batch_size):
            A_of_batch = A.part(indices[0], indices[-1] + 1)
            x = A_of_batch.by_instrument(restorer, measurements.read(indices))
            images[indices] = geometry.image_layout.to_array(x)
        return images

    def score(
        self,
        X: Any,
        y: Any = None,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> float:
        """Return the mean peak signal-to-noise ratio, in decibels; higher is better.

        Parameters
        ----------
        X : array-like
            Clean images without NaN, whose measurements are simulated with a fixed seed. If `y` is
            given: measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`, without NaN. A 1-D `y` is ignored.
        operator : Operator or list of Operator, default=None
            See `restorations`.
        image_shape : tuple of int, default=None
            Shape of the images; None is that of training. See `predict`.

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
            or if their shape is neither that of training nor `image_shape`. If images of
            `image_shape` cannot be restored, see `predict`.

        Warns
        -----
        ConvergenceWarning
            As in `predict`.
        DataConversionWarning
            If images, measurements or the noise are in implausible units, or if measurements look
            like clean images.
        """
        pairs = self.restorations(X, y, operator=operator, image_shape=image_shape)
        return mean_over_batches(psnr, pairs, self.data_range_)

    @outside_inference_mode
    def restorations(
        self,
        X: Any,
        y: Any = None,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        noise: float | Noise | None = None,
        random_state: Any = 0,
        image_shape: tuple[int, ...] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over clean images and their restorations, batch by batch.

        Parameters
        ----------
        X : array-like
            Clean images. If `y` is given: measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.
        operator : Operator or list of Operator, default=None
            If `X` holds clean images, the operator that simulates their measurements. The fitted
            operator restores them, unless it is a `RandomOperator`: then `operator` restores, too.
            If `X` holds measurements, the operator that took them, as in `predict`. None is the
            fitted operator.
        noise : float or Noise, default=None
            The noise of the simulation; None is the operator's own (`WithNoise`) or the
            estimator's.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        image_shape : tuple of int, default=None
            Shape of the images; None is that of training. See `predict`.

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
            or if their shape is neither that of training nor `image_shape`. If images of
            `image_shape` cannot be restored, see `predict`. If the measurements of `operator` have
            another shape than those of the fitted operator. If `noise` is given with measurements
            `X`, because nothing is simulated then, or with an operator that has its own.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If images, measurements or the noise are in implausible units, or if measurements look
            like clean images.
        """
        self._check_ready()
        geometry, reader = self._resized(image_shape), self._reader()
        problem = reader.to_score(X, y, geometry, self._named_map(operator, geometry))
        fixed = None
        if problem.measured is not None:
            check_nothing_simulates(None, noise)
        elif operator is not None and not isinstance(self.operator_, RandomOperator):
            fixed = self._map(problem.geometry)
        if noise is None:
            noise = 0.0 if problem.A.noises() else self.noise
        reader.look_at(problem, noise)
        restorer, seed = self._restorer(problem.geometry), integer_seed(random_state)
        restore = restorer if fixed is None else lambda y, _: restorer(y, fixed)
        pairs = self._restored_pairs(problem, noise, seed, restore)
        return self._with_warnings(pairs, restorer)

    def _with_warnings(
        self, pairs: Iterator[tuple[np.ndarray, np.ndarray]], restorer: Restorer
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # A separate generator, so that `restorations` checks its arguments when it is called.
        yield from pairs
        restorer.warn()

    @outside_inference_mode
    def _restored_pairs(
        self, problem: Problem, noise: float | Noise, seed: int, restore: Restore
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield clean images and their restorations, batch by batch, channels last."""
        noisy = as_noise(noise).build()
        for indices in batches_of(len(problem), self.batch_size):
            batch = problem.batch(indices, noisy, seed)
            z = batch.A.by_instrument(restore, batch.y)
            yield channels_last(batch.x), channels_last(z)

    def _drawn_maps(
        self, X: Any, y: Any, operator: Operator | None, seed: int
    ) -> Callable[[np.ndarray], ForwardMap]:
        """Return a function from indices of images to the map with the masks of these images.

        The masks are read from measurements `X`. If `X` holds clean images, they are the masks with
        which `restorations` simulates.
        """
        X, y = pairs_of(X, y)
        geometry = self._geometry_
        A = self._named_map(operator, geometry) or self._map(geometry)
        if are_images(y):
            measured, _, _ = self._reader().measurements(X, geometry, A)
            return lambda indices: A.with_masks_of(measured.read(indices))
        return lambda indices: A.draw(evaluation_generators(seed, indices))

    @outside_inference_mode
    def simulate(
        self,
        X: Any,
        random_state: Any = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        return_operators: bool = False,
    ) -> Any:
        """Return measurements of clean images, as training simulates them.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, of any height and width that the operator accepts. Channels may come
            first, see :doc:`/guide/data`. One colour image may come without the first axis.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of masks and noise; None is the estimator's `random_state`.
        image_shape : tuple of int, default=None
            Shape of flat images; None is the estimator's `image_shape`.
        return_operators : bool, default=False
            Return the operators along with the measurements.

        Returns
        -------
        measurements : ndarray of shape (n, ...), or a tensor if `X` is one
            If measurements are images, they have the layout of `X`. If `X` is one image, the result
            is one measurement. If `X` is a pandas data frame and measurements are flat, the result
            is a data frame with the same rows. It keeps the column names if the number of columns
            is the same.
        operators : list of Operator
            Only with ``return_operators=True``. The operator of each measurement, for instance for
            ``predict(measurements, operator=operators)``.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if `X` does not hold images, if it may be either one
            image or several flat images, or if the operator does not accept such images.

        Warns
        -----
        DataConversionWarning
            If images, or the noise, are in implausible units.
        """
        self._check_parameters()
        check_image_shape(image_shape)
        reader, allow_nan = self._reader(), getattr(self.operator, "has_missing", False)
        grid = self.image_shape if image_shape is None else image_shape
        images, is_single = reader.images(X, grid or reader.known_shape(X), allow_nan=allow_nan)
        geometry, operator, A = reader.geometry(images, grid)
        source = reader.source(images, geometry, allow_nan=allow_nan)
        problem = Problem(source, None, geometry, operator, self._placed(A))
        reader.look_at(problem, self.noise)
        noise = as_noise(self.noise).build()
        seed = integer_seed(self.random_state if random_state is None else random_state)
        batches = [
            problem.batch(indices, noise, seed)
            for indices in batches_of(len(source), self.batch_size)
        ]
        array = geometry.measurement_layout.to_array(torch.cat([batch.y for batch in batches]))
        measurements = match_container(X, array[0] if is_single else array)
        if not return_operators:
            return measurements
        return measurements, [A.built_by for batch in batches for A in batch.A.of_images(batch.y)]

    @outside_inference_mode
    def data_fidelity(
        self,
        X: Any,
        images: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> np.ndarray | float:
        """Return the data fidelity of images to measurements, ``||A(x) - y||^2 / m``.

        It is the mean squared residual of each image over its ``m`` observed samples. For the
        ground truth, it is about the variance of the noise. A reconstruction with a much larger
        value does not explain the measurement; one with a much smaller value fits the noise.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements, as `predict` takes them.
        images : array-like of shape (n, ...)
            Images to compare with them: those from `predict`, or any others.
        operator : Operator or list of Operator, default=None
            The operator that took the measurements, see `predict`.
        image_shape : tuple of int, default=None
            Shape of the images; None is that of training. See `predict`.

        Returns
        -------
        values : ndarray of shape (n,), or float
            One nonnegative value per image, in squared units of the measurements. ``A`` is
            `operator`, or else the fitted operator. Real and imaginary parts count as two samples.
            A float if `X` is one measurement.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` and `images` are not measurements and images of these shapes, or differ in
            number.

        See Also
        --------
        skmetainv.operators.Operator.data_fidelity : Data fidelity without an estimator.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        A = self._named_map(operator, geometry)
        problem, is_single = self._reader().to_compare(X, images, geometry, A)
        with torch.no_grad():
            values = [
                problem.A.part(indices[0], indices[-1] + 1)
                .bind(problem.measured.read(indices))
                .mean_squared_residuals(problem.clean.read(indices))
                for indices in batches_of(len(problem), self.batch_size)
            ]
        array = torch.cat(values).cpu().numpy()
        return float(array[0]) if is_single else array

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.target_tags.multi_output = True
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = getattr(self.operator, "has_missing", False)
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {**state, "_cache": {}} if "_cache" in state else state

    # ------------------------------------------------------------------ checks

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self.data_range)
        check_image_shape(self.image_shape)

    def _check_parameters(self) -> None:
        """Check all parameters that can be checked without data."""
        self._validate_params()
        check_device(self.device)  # parts may have been fitted on another device

    def _without_search(self) -> Self:
        """Return an unfitted copy; parameters have the values that `fit` found by a search."""
        return clone(self)

    def _depends_on_images(self) -> bool:
        """Return whether `fit` learns more from images than their shape and data range."""
        return True

    def _check_ready(self) -> None:
        """Check that the estimator is fitted, and its parameters."""
        check_is_fitted(self)
        self._check_parameters()

    # ------------------------------------------------------------------ fitting

    @contextmanager
    def _fitting(
        self, X: Any, y: Any, *, continues: bool = False, looks: bool = True
    ) -> Iterator[tuple[Self, Problem]]:
        """Check the arguments of `fit`; yield a copy of the estimator to fit, and the problem.

        On success the estimator takes over the copy's fitted attributes. After an error, the
        estimator is unchanged. With `continues`, the fitted operator and geometry are kept. Without
        `looks`, the units of images are not checked.
        """
        with torch.inference_mode(False):
            self._check_parameters()
            X, y = pairs_of(X, y)
            reader = self._reader()
            if continues:
                layouts = self._geometry_
                reader.check_names(
                    X, layouts.measurement_layout if are_images(y) else layouts.image_layout
                )
            problem = reader.problem(X, y, as_fitted=continues)
            if looks:
                self._look_at(problem)
            # A copy is fitted, so that an error leaves the estimator as it was.
            plain, copy = self._with_plain_numbers(), self.__new__(type(self))
            copy.__dict__.update(plain.__dict__, _cache={})
            if not continues:
                copy._take_shapes(as_array(X), problem)
            yield copy, problem
        # Only fitted attributes are taken over: parameters stay the user's objects.
        parameters = self.get_params(deep=False)
        self.__dict__.update({n: v for n, v in vars(copy).items() if n not in parameters})

    def _take_shapes(self, columns: Any, problem: Problem) -> None:
        """Set the fitted attributes that describe images and measurements."""
        validate_data(self, columns, skip_check_array=True)
        self.operator_, self._geometry_ = problem.operator, problem.geometry
        self.image_shape_ = problem.geometry.image_shape
        self.measurement_shape_ = problem.geometry.measurement_layout.shape
        self.data_range_ = problem.geometry.data_range

    def _look_at(self, problem: Problem) -> None:
        """Warn, or raise, if the arguments of `fit` are implausible."""
        self._reader().look_at(problem, self.noise)

    def _pairs(
        self, problem: Problem, seed: int, augmentation: Augmentation | None = None
    ) -> SimulatedPairs | MeasuredPairs:
        """Return images with measurements, simulated if only images are given."""
        if problem.measured is not None:
            return MeasuredPairs(problem.clean, problem.measured, problem.A)
        noise = as_noise(self.noise).build()
        return SimulatedPairs(problem.clean, problem.A, noise, seed, augmentation)

    def _first_batch(self, problem: Problem, seed: int) -> Batch:
        """Return the first image with its measurement."""
        return self._pairs(problem, seed)(np.array([0]), 0)

    def _start(self, geometry: Geometry) -> Restore:
        """Return the function that restores starts for a representation, see `ForwardMap.bind`."""
        # Failures are counted by the outer estimator's restorer, so this one does not count.
        restore = self._restorer(geometry).restore
        return lambda y, A: restore(y, A)[:, None]

    def _uncertain_start(self, geometry: Geometry) -> Restore:
        """Return the same function with uncertainty, if the estimator knows it."""
        raise NotImplementedError(f"{type(self).__name__} does not know the uncertainty.")

    # ------------------------------------------------------------------ arrays

    def _reader(self) -> Reader:
        """Return the reader that converts a user's arrays for this estimator."""
        return self._reader_class(
            self,
            getattr(self, "_geometry_", None),
            map_of=self._map,
            bound_to_size=self._bound_to_size,
            place=self._placed,
            dtype=self._dtype(),
            device=check_device(self.device),
        )
