"""Calls of an operator on a user's arrays and tensors; each call builds the map.

Images have the layouts that an estimator's methods take (`skmetainv.arrays`), except that images
are never flat. An array of two axes is therefore one gray image.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from skmetainv.arrays import (
    Layout,
    MaskedView,
    RealView,
    as_array,
    has_mask,
    image_layout,
    integer_unit,
    is_one_image,
    measurement_layout,
)
from skmetainv.arrays.layouts import warn_of_planes
from skmetainv.arrays.units import warn_of_type
from skmetainv.arrays.views import check_dense
from skmetainv.exceptions import concerning
from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.data_terms import LinearDataTerm, needs_linear
from skmetainv.operators.maps.foreign_functions import as_real
from skmetainv.parameters import InvalidParameterError, integers
from skmetainv.randomness import evaluation_generators, integer_seed


class Builds(Protocol):
    """The part of an operator that a call needs."""

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape."""


def measured(operator: Builds, x: Any, random_state: Any) -> Any:
    """Return the measurements of a user's images, see `Operator.__call__`."""
    images = _images(x)
    A = operator.build(images.layout.tensor_shape).to(images.values)
    generators = evaluation_generators(integer_seed(random_state), range(len(images.values)))
    y = A.simulate(images.values, lambda exact, _: exact, generators)
    return images.like(y, measurement_layout(A.measurement_shape, images.layout))


def mapped_back(operator: Builds, y: Any, image_shape: Any, method: str) -> Any:
    """Return the "adjoint" or the "pseudo_inverse" applied to a user's measurements."""
    values = _values(y, "y")
    A, images, y_layout = _map_for_unknown_shape(operator, tuple(values.shape), image_shape)
    measurements = _UserArray(values, y_layout, y)
    data = A.to(values).bind(measurements.values)
    if not isinstance(data, LinearDataTerm):
        raise ValueError(needs_linear(f"`{method}`", data.A))
    x = data.adjoint_y if method == "adjoint" else data.A.pseudo_inverse(data.y)
    return measurements.like(x, images)


def mean_squared_residuals(operator: Builds, x: Any, y: Any) -> Any:
    """Return ``||A(x) - y||^2 / m`` per image, see `Operator.data_fidelity`."""
    images, values = _images(x), _values(y, "y")
    A, layout = _map_of_layout(operator, images.layout)
    expected = layout.shape if images.is_one else (len(images.values), *layout.shape)
    if tuple(values.shape) != expected:
        raise ValueError(
            f"y must have the shape of the measurements of x by {operator!r}, {expected}. "
            f"Got shape {tuple(values.shape)} instead."
        )
    data = A.to(images.values).bind(layout.to_tensor(values.to(images.values)))
    return images.like(data.mean_squared_residuals(images.values), Layout((), ()))


class _UserArray(NamedTuple):
    """A user's images or measurements, with their layout."""

    array: torch.Tensor
    layout: Layout
    source: Any

    @property
    def is_one(self) -> bool:
        """Whether the array is a single image or measurement, without a batch axis."""
        return self.array.ndim == len(self.layout.shape)

    @property
    def values(self) -> torch.Tensor:
        """The batch as a tensor, shape ``(n, *layout.tensor_shape)``."""
        return self.layout.to_tensor(self.array)

    def like(self, tensor: torch.Tensor, layout: Layout) -> Any:
        """Return a batch in the source's form: array or tensor, with or without the batch axis."""
        if isinstance(self.source, torch.Tensor):
            result: Any = layout.from_tensor(tensor)
        else:
            result = layout.to_array(tensor)
        return result[0] if self.is_one else result


def _images(x: Any) -> _UserArray:
    """Return a user's images with their layout."""
    values = _values(x, "x")
    if isinstance(x, torch.Tensor):
        warn_of_planes(tuple(values.shape), "x")
    return _UserArray(values, _layout(tuple(values.shape), "x"), x)


def _layout(shape: Shape, name: str) -> Layout:
    """Return the layout of the images in an array of `shape`, which may be one image."""
    is_one = len(shape) == 2 or is_one_image(shape, None)
    return image_layout((1, *shape) if is_one else shape, None, name)


def _values(X: Any, name: str) -> torch.Tensor:
    """Return values as a real float tensor, which keeps a tensor's device and autograd graph.

    Masked entries become NaN, complex numbers get a last axis, and integers are divided by their
    unit.
    """
    is_tensor = isinstance(X, torch.Tensor) and (X.is_floating_point() or X.is_complex())
    array: Any = X if is_tensor else as_array(X, name)
    if not is_tensor and not has_mask(array):
        array = np.asarray(array)
    if array.ndim == 0 or 0 in array.shape or not (is_tensor or array.dtype.kind in "buifc"):
        raise ValueError(
            f"{name} must be a non-empty array or tensor of numbers. Got {array.dtype}, shape "
            f"{tuple(array.shape)} instead."
        )
    if is_tensor:
        with concerning(name):
            check_dense(array)
        real = as_real(array)
        return real.to(torch.float64 if real.dtype == torch.float64 else torch.float32)
    dtype = array.dtype
    unit = integer_unit(array)
    warn_of_type(array, unit, name)
    if has_mask(array):
        array = MaskedView(array)[:]
    if dtype.kind == "c":
        array = RealView(array)[:]
    is_double = dtype.kind in "fc" and array.dtype.itemsize > 4  # size of one real number
    numbers = torch.from_numpy(array.astype(np.float64 if is_double else np.float32)) / unit
    return numbers.to(X.device) if isinstance(X, torch.Tensor) else numbers


def _map_for_unknown_shape(
    operator: Builds, shape: Shape, image_shape: Any
) -> tuple[ForwardMap, Layout, Layout]:
    """Return the map for measurements of `shape`, and the layouts of images and measurements.

    If `image_shape` is None, images have the shape of the measurements, without a last axis of real
    and imaginary parts.
    """
    if image_shape is not None:
        return _map_for_shape(operator, shape, image_shape)
    reason: ValueError | None = None
    for guess in (shape, shape[:-1]) if shape[-1:] == (2,) else (shape,):
        try:
            images = _layout(guess, "y")
            A, measurements = _map_of_layout(operator, images)
        except InvalidParameterError:
            raise
        except ValueError as error:  # the operator takes no images of this shape
            reason = error
            continue
        are_images = measurements.shape[: len(images.shape)] == images.shape
        if are_images and measurements.shape in (shape, shape[1:]):
            return A, images, measurements
    raise ValueError(
        f"The shape of the images that {operator!r} measures cannot be inferred from y of shape "
        f"{shape}. Pass image_shape=(height, width), (height, width, channels) or (channels, "
        "height, width), in the layout of your arrays."
    ) from reason


def _map_for_shape(
    operator: Builds, shape: Shape, image_shape: Any
) -> tuple[ForwardMap, Layout, Layout]:
    """Return the same as `_map_for_unknown_shape` for images of the user's `image_shape`."""
    images = layout_of_one(image_shape)
    A, measurements = _map_of_layout(operator, images)
    if measurements.shape not in (shape, shape[1:]):
        raise ValueError(
            f"y must hold one or several measurements of shape {measurements.shape}: {operator!r} "
            f"measures images of shape {images.shape}. Got shape {shape} instead."
        )
    return A, images, measurements


def _map_of_layout(operator: Builds, images: Layout) -> tuple[ForwardMap, Layout]:
    """Return the map for images, and the layout of their measurements."""
    A = operator.build(images.tensor_shape)
    return A, measurement_layout(A.measurement_shape, images)


def layout_of_one(image_shape: Any) -> Layout:
    """Return the layout of images of a shape that a user gave.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width)``, ``(height, width, channels)`` or ``(channels, height, width)``.

    Raises
    ------
    ValueError
        If it is not such a tuple of positive integers.
    """
    shape = integers(tuple(image_shape) if np.iterable(image_shape) else None, 2, 3)
    if shape is None:
        raise ValueError(
            "The 'image_shape' parameter must be (height, width), (height, width, channels) or "
            f"(channels, height, width), in positive integers. Got {image_shape!r} instead."
        )
    return image_layout((1, *shape), None, "image_shape")
