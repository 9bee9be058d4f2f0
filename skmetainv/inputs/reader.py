"""Reading of a user's arrays for an estimator, with checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import validate_data

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
from skmetainv.arrays.units import check_range, tells_its_range
from skmetainv.inputs.first_look import (
    look_at_images,
    look_at_measurements,
    look_at_pairs,
    look_at_simulated,
)
from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.problem import Problem
from skmetainv.inputs.validation import (
    are_images,
    as_batch,
    check_images,
    check_lengths,
    check_measurements,
    check_one_noise,
    check_shape,
    how_to_rearrange,
)
from skmetainv.noise import Noise, as_noise
from skmetainv.operators import ForwardMap, Identity, Operator, RandomOperator


class Reader:
    """Reads the arguments of `fit`, `predict` and `score` of an estimator.

    `Reconstructor._reader` makes it, and passes it the methods of the estimator that it needs.

    Parameters
    ----------
    estimator : Reconstructor
        The estimator. Error messages name it. Its attributes `image_shape`, `data_range`,
        `batch_size`, `operator` and, if it is fitted, `operator_` are used.
    fitted : Geometry or None
        The geometry of `fit`, which arrays must match; None if the estimator is not fitted.
    map_of : callable
        Returns the forward map of the fitted estimator for a geometry.
    bound_to_size : callable
        Returns the reason why the fitted estimator restores images of one size only, or None.
    place : callable
        Moves a module to the estimator's device and precision, and returns it.
    dtype : torch.dtype
        Type of the tensors.
    device : torch.device
        Device of the tensors.
    """

    def __init__(
        self,
        estimator: Any,
        fitted: Geometry | None,
        *,
        map_of: Callable[[Geometry], ForwardMap],
        bound_to_size: Callable[[], str | None],
        place: Callable[[ForwardMap], ForwardMap],
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.estimator, self.map_of = estimator, map_of
        self.bound_to_size, self.place = bound_to_size, place
        self.fitted: Any = fitted  # methods for fitted estimators do not expect None
        self.dtype, self.device = dtype, device

    # ------------------------------------------------------------------ fitting

    def problem(
        self, X: Any, y: Any, names: tuple[str, str] = ("X", "y"), *, as_fitted: bool = False
    ) -> Problem:
        """Return the problem for the arguments of `fit`.

        Parameters
        ----------
        X, y : array-like
            Clean images, or measurements and their clean images.
        names : (str, str), default=("X", "y")
            Their names in errors.
        as_fitted : bool, default=False
            If True, images must have the geometry of `fit`, and the fitted operator is used.
        """
        operator = self.estimator.operator_ if as_fitted else self.estimator.operator
        allow_nan = getattr(operator, "has_missing", False)  # None is the identity
        clean, measured, name = X, None, names[0]
        if are_images(y):
            if isinstance(operator, RandomOperator):
                raise ValueError(
                    f"The instrument of each measurement in {names[0]} is not known: with a "
                    "RandomOperator, pass clean images alone. Their measurements are simulated."
                )
            measured = check_images(
                X, self.estimator, allow_nan=allow_nan, allow_complex=True, name=names[0]
            )
            clean, name = y, names[1]
        if as_fitted:
            clean = check_images(clean, self.estimator, allow_nan=allow_nan, name=name)
            clean, geometry, is_single = self.expected(clean, self.fitted, name=name, hints=False)
            A = operator.build(geometry.tensor_shape)
        else:
            image_shape = self.estimator.image_shape
            clean, is_single = self.images(clean, image_shape, allow_nan=allow_nan, name=name)
            geometry, operator, A = self.geometry(clean, image_shape, name)
        source = self.source(clean, geometry, allow_nan=allow_nan, name=name)
        measurements = None
        if measured is not None:
            measured = Single(measured) if is_single else measured
            check_lengths(**{names[0]: measured, names[1]: clean})
            check_measurements(measured, geometry, lambda: self._are_swapped(measured, clean))
            measurements = self.source(
                measured, geometry, measured=True, allow_nan=allow_nan, name=names[0]
            )
        elif not is_single:
            check_lengths(**{names[0]: clean, names[1]: y})
        return Problem(source, measurements, geometry, operator, self.place(A))

    def images(
        self,
        X: Any,
        image_shape: tuple[int, ...] | None,
        *,
        allow_nan: bool = False,
        name: str = "X",
    ) -> tuple[Any, bool]:
        """Return clean images as a batch, and whether `X` is one image without a first axis."""
        array = check_images(X, self.estimator, allow_nan=allow_nan, name=name)
        return as_batch(array, image_shape, X, name)

    def geometry(
        self, array: Any, image_shape: tuple[int, ...] | None, name: str = "X"
    ) -> tuple[Geometry, Operator, ForwardMap]:
        """Return the geometry of clean images, a copy of the operator, and its map."""
        chosen, data_range = self.estimator.operator, self.estimator.data_range
        operator = Identity() if chosen is None else clone(chosen)
        images = image_layout(tuple(array.shape), image_shape, name)
        A = operator.build(images.tensor_shape)
        geometry = Geometry(
            images,
            measurement_layout(A.measurement_shape, images),
            check_range(data_range),
            data_range is None,
            None if tells_its_range(array.dtype) else integer_unit(array),
        )
        return geometry, operator, A

    # ------------------------------------------------------------------ after fitting

    def to_restore(
        self, X: Any, geometry: Geometry, A: ForwardMap | None = None
    ) -> tuple[ArraySource, Geometry, bool]:
        """Return the measurements given to `predict`, with warnings if they are implausible.

        Parameters
        ----------
        X : array-like
            The measurements.
        geometry : Geometry
            That of the images to restore.
        A : ForwardMap, default=None
            The map of the measurements. None is that of the fitted operator.

        Returns
        -------
        measurements : ArraySource
            The measurements.
        geometry : Geometry
            Their geometry.
        is_single : bool
            Whether `X` is one measurement without the first axis.
        """
        source, geometry, is_single = self.measurements(X, geometry, A)
        A = A or self.map_of(geometry)
        A.check_batch(len(source))
        look_at_measurements(source, A, geometry.data_range)
        return source, geometry, is_single

    def measurements(
        self, X: Any, geometry: Geometry, A: ForwardMap | None = None
    ) -> tuple[ArraySource, Geometry, bool]:
        """Return measurements, their geometry, and whether `X` is a single measurement."""
        self.check_names(X, geometry.measurement_layout)
        fitted = self.estimator.operator_
        allow_nan = fitted.has_missing if A is None else math.isnan(A.missing_value)
        allow_complex = is_complex_shape(geometry.measurement_layout.tensor_shape)
        X = as_array(X)
        is_flat = not is_image_shape(geometry.measurement_layout.tensor_shape)
        is_alone = is_flat and len(getattr(X, "shape", ())) == 1 < len(geometry.image_layout.shape)
        array = check_images(
            X[np.newaxis] if is_alone else X,
            self.estimator,
            allow_nan=allow_nan,
            allow_complex=allow_complex,
        )
        array, geometry, is_single = self.expected(array, geometry, measured=True)
        source = self.source(array, geometry, measured=True, allow_nan=allow_nan)
        return source, geometry, is_single or is_alone

    def to_score(self, X: Any, y: Any, geometry: Geometry, A: ForwardMap | None = None) -> Problem:
        """Return the problem for the arguments of `score`: clean images or pairs.

        `A` is the map of the measurements. None is that of the fitted operator.
        """
        X, y = pairs_of(X, y)
        operator, measured, name = self.estimator.operator_, None, "X"
        if are_images(y):
            measured, name = self.measurements(X, geometry, A)[0], "y"
            clean = check_images(y, self.estimator, allow_nan=operator.has_missing, name=name)
        else:
            self.check_names(X, self.fitted.image_layout)
            clean = check_images(X, self.estimator)
        clean, geometry, is_single = self.expected(clean, geometry, name=name)
        source = self.source(clean, geometry, name=name)
        if measured is not None:
            check_lengths(X=measured, y=source)
        elif not is_single:
            check_lengths(X=source, y=y)
        A = A or self.map_of(geometry)
        A.check_batch(len(source))
        return Problem(source, measured, geometry, operator, A)

    def to_compare(
        self, X: Any, images: Any, geometry: Geometry, A: ForwardMap | None = None
    ) -> tuple[Problem, bool]:
        """Return measurements and images to compare, and whether `X` is a single measurement."""
        measured, geometry, is_single = self.measurements(X, geometry, A)
        array = check_images(images, self.estimator, name="images")
        array, geometry, _ = self.expected(array, geometry, name="images")
        source = self.source(array, geometry, name="images")
        check_lengths(X=measured, images=source)
        A = A or self.map_of(geometry)
        A.check_batch(len(source))
        return Problem(source, measured, geometry, self.estimator.operator_, A), is_single

    def check_names(self, X: Any, layout: Layout) -> None:
        """Compare the column names of a data frame with those of the fitted `X`.

        The names are compared only if `layout` is flat with one entry per column of the fitted `X`.
        If the numbers differ, one of the two arrays holds images and the other measurements, so
        their columns have different names.
        """
        if layout.shape == (len(getattr(self.estimator, "feature_names_in_", ())),):
            validate_data(self.estimator, X, skip_check_array=True, reset=False, ensure_2d=False)

    def known_shape(self, X: Any) -> tuple[int, ...] | None:
        """Return the fitted image shape if `X` has images of this shape, else None."""
        if self.fitted is None:
            return None
        shape, expected = tuple(getattr(X, "shape", ())), self.fitted.image_layout.shape
        is_one = shape == expected and len(expected) > 1
        return self.fitted.image_shape if is_one or shape[1:] == expected else None

    # ------------------------------------------------------------------ plausibility

    def look_at(self, problem: Problem, noise: float | Noise) -> None:
        """Warn, or raise, if the first images of a problem are implausible."""
        clean, A, data_range = problem.clean, problem.A, problem.geometry.data_range
        if problem.measured is not None:
            look_at_pairs(problem.measured, clean, A, data_range)
            return
        look_at_images(clean, data_range)
        check_one_noise(A, noise)
        first = np.arange(min(len(clean), self.estimator.batch_size))
        batch = problem.batch(first, as_noise(noise).build(), seed=0)
        own = batch.A.noises()
        look_at_simulated(batch.y, batch.x, batch.A, data_range, own[0] if own else noise)

    # ------------------------------------------------------------------ arrays

    def source(
        self,
        array: Any,
        geometry: Geometry,
        *,
        measured: bool = False,
        allow_nan: bool = False,
        name: str = "X",
    ) -> ArraySource:
        """Return an array as a source of tensors."""
        return ArraySource(
            array,
            geometry.measurement_layout if measured else geometry.image_layout,
            dtype=self.dtype,
            device=self.device,
            unit=geometry.unit(array),
            allow_nan=allow_nan,
            name=name,
        )

    def expected(
        self,
        array: Any,
        geometry: Geometry,
        *,
        measured: bool = False,
        name: str = "X",
        hints: bool = True,
    ) -> tuple[Any, Geometry, bool]:
        """Return an array with a first axis, its geometry, and whether that axis was missing.

        The array holds images or measurements. Shapes are checked. With `hints`, an error about the
        fitted shape says how to fix the layout or restore another size. `geometry` is returned
        unchanged, except by `AnySizeReader`, which returns the array's own.
        """
        layout = geometry.measurement_layout if measured else geometry.image_layout
        is_single = tuple(array.shape) == layout.shape
        array = Single(array) if is_single else array
        hint = ""
        if hints and geometry is self.fitted:
            hint = self._shape_hint(tuple(array.shape), layout, name)
        what = "measurements" if measured else "images"
        check_shape(array, layout.shape, self.estimator, what, name, hint)
        return array, geometry, is_single

    def _are_swapped(self, measured: Any, clean: Any) -> bool:
        """Return whether `clean` has the shape that measurements of `measured` would have."""
        try:
            geometry, _, _ = self.geometry(measured, self.estimator.image_shape)
        except ValueError:
            return False
        return geometry.measurement_layout.shape == tuple(clean.shape[1:])

    # ------------------------------------------------------------------ hints in errors

    def _shape_hint(self, shape: tuple[int, ...], layout: Layout, name: str) -> str:
        """Return a hint on how to fix an array of another shape, or an empty string."""
        if shape[1:] == layout.shape:
            return ""
        if shape[1:] == self.fitted.image_layout.shape:
            return (
                f"{name} has the shape of images: simulate({name}) returns their measurements. In "
                "pairs, measurements come first."
            )
        if shape[1:] == self.fitted.measurement_layout.shape:
            return f"{name} has the shape of measurements, which come first in pairs."
        return how_to_rearrange(shape, layout, name) or self._size_hint(shape, layout)

    def _size_hint(self, shape: tuple[int, ...], layout: Layout) -> str:
        """Return a hint on how to restore images of another size, or why this is not possible."""
        images = self.fitted.image_layout
        is_flat = len(shape) - 1 == len(layout.shape) == 1 == len(images.shape)
        is_one = layout.is_another_size(shape)
        if not is_flat and not is_one and not layout.is_another_size(shape[1:]):
            return ""
        reason = self.bound_to_size()
        if reason is not None:
            return reason
        size: Any = "(height, width)"
        if layout == images and not is_flat:
            size = layout.size_in(shape if is_one else shape[1:])
        return (
            f"For images of another size, write predict(..., image_shape={size}); score has this "
            "parameter, too."
        )
