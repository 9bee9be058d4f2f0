"""Arrays to tensors and back, and nothing else: the one place where layouts and types change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Layout:
    """How one image, or one measurement, lies in a user's array and in a tensor.

    Parameters
    ----------
    shape : tuple of int
        Shape in the user's array, without the first axis.
    tensor_shape : tuple of int
        Shape in a tensor, without the first axis; three entries are channels, height, width, and
        four ending in 2 the same with real and imaginary parts.
    """

    shape: tuple[int, ...]
    tensor_shape: tuple[int, ...]

    def resized(self, height: int, width: int) -> Layout:
        """Return the layout of images of another height and width that lie as these do."""
        tensor_shape = (self.tensor_shape[0], height, width)
        if len(self.shape) == 1:
            return Layout((prod(tensor_shape),), tensor_shape)
        return Layout((height, width, *self.shape[2:]), tensor_shape)

    def to_tensor(self, values: torch.Tensor) -> torch.Tensor:
        """Return a batch of the user's shape in the tensor's."""
        if not is_image_shape(self.tensor_shape):
            return values.reshape(-1, *self.tensor_shape)
        channels, height, width, *parts = self.tensor_shape
        values = values.reshape(-1, height, width, channels, *parts)
        return values.movedim(3, 1).contiguous()

    def to_array(self, tensor: torch.Tensor) -> np.ndarray:
        """Return a batch of the tensor's shape as an array of the user's."""
        if is_image_shape(self.tensor_shape):
            tensor = tensor.movedim(1, 3)
        return tensor.detach().cpu().numpy().reshape(-1, *self.shape)


def is_image_shape(tensor_shape: tuple[int, ...]) -> bool:
    """Whether a shape is (channels, height, width), or this of complex numbers."""
    return len(tensor_shape) == 3 or (len(tensor_shape) == 4 and is_complex_shape(tensor_shape))


def is_complex_shape(tensor_shape: tuple[int, ...]) -> bool:
    """Whether a shape, of flat measurements or of an image, ends in real and imaginary parts."""
    return len(tensor_shape) in (2, 4) and tensor_shape[-1] == 2


def channels_last_order(tensor_shape: tuple[int, ...]) -> np.ndarray:
    """Return where each entry of a flat tensor lies in the user's flat array."""
    if len(tensor_shape) != 3:
        return np.arange(prod(tensor_shape))
    channels, height, width = tensor_shape
    places = np.arange(prod(tensor_shape)).reshape(height, width, channels)
    return places.transpose(2, 0, 1).ravel()


def image_layout(
    shape: tuple[int, ...], image_shape: tuple[int, ...] | None, name: str = "X"
) -> Layout:
    """Return the layout of images whose array has `shape`.

    Parameters
    ----------
    shape : tuple of int
        ``(n, height, width)``, ``(n, height, width, channels)`` or, flat, ``(n, n_pixels)``.
    image_shape : tuple of int or None
        ``(height, width)`` or ``(height, width, channels)``. With None a flat image is square
        if it can be, else one row.
    name : str, default="X"
        What error messages call the array.

    Returns
    -------
    layout : Layout
        The layout of one image.

    Raises
    ------
    ValueError
        If `shape` is not of images, or not of images of `image_shape`.
    """
    own = shape[1:]
    if len(own) not in (1, 2, 3) or 0 in own:
        raise ValueError(
            "Images must have shape (n, height, width), (n, height, width, channels) or, flat, "
            f"(n, n_pixels), with at least one pixel. Got {shape} instead."
        )
    if image_shape is None:
        side = isqrt(own[0])
        flat_shape = (side, side) if side * side == own[0] else (1, own[0])
        grid = own if len(own) > 1 else flat_shape
    else:
        grid = tuple(image_shape)
        if own not in (grid, (prod(grid),)):
            raise ValueError(
                f"{name} has images of shape {own}, but the 'image_shape' parameter says "
                f"{grid}: pass images of that shape, or flat ones of {prod(grid)} values."
            )
    height, width, *channels = grid
    return Layout(own, (*(channels or [1]), height, width))


def measurement_layout(measurement_shape: tuple[int, ...], images: Layout) -> Layout:
    """Return the layout of measurements of `measurement_shape` that go with `images`.

    Parameters
    ----------
    measurement_shape : tuple of int
        Shape of a measurement as a tensor. That of an image, real or complex, is laid out as the
        images are (gray, colour or flat), real and imaginary parts last; any other stays as it
        is.
    images : Layout
        The layout of the images.

    Returns
    -------
    layout : Layout
        The layout of one measurement.
    """
    if not is_image_shape(measurement_shape):
        return Layout(measurement_shape, measurement_shape)
    channels, height, width, *parts = measurement_shape
    own: tuple[int, ...] = (height, width, channels, *parts)
    if len(images.shape) == 1:
        own = (channels * height * width, *parts)
    elif len(images.shape) == 2 and channels == 1:
        own = (height, width, *parts)
    return Layout(own, measurement_shape)


class RealView:
    """An array of complex measurements as one of their real and imaginary parts, a last axis.

    Parameters
    ----------
    array : array-like of complex numbers, shape (n, ...)
        Anything with `shape`, `dtype` and indexing by an array of integers.
    """

    def __init__(self, array: Any):
        self.array = array
        self.shape = (*array.shape, 2)
        self.dtype = np.empty(0, dtype=array.dtype).real.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        values = np.ascontiguousarray(self.array[indices])
        return values.view(self.dtype).reshape(-1, *self.shape[1:])


class Subset:
    """Some of the images of an array, none of which is read before it is asked for.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Anything with `shape`, `dtype` and indexing by an array of integers.
    indices : ndarray of int
        Which images, in increasing order.
    """

    def __init__(self, array: Any, indices: np.ndarray):
        self.array, self.indices = array, indices
        self.shape = (len(indices), *array.shape[1:])
        self.dtype = array.dtype

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, places: Any) -> Any:
        return self.array[self.indices[places]]


class ArraySource:
    """Batches of images, or of measurements, of any array-like as tensors.

    Only the batch asked for is read, copied and converted.

    Parameters
    ----------
    array : array-like of shape (n, *layout.shape)
        Anything with `shape`, `dtype` and indexing by an array of integers.
    layout : Layout
        How one image lies in it.
    dtype : torch.dtype
        Type of the tensors.
    device : torch.device
        Where the tensors go.
    rescale_integers : bool, default=True
        Divide integers by their type's maximum; else take their values as they are.
    allow_nan : bool, default=False
        NaN stands for a missing value.
    name : str, default="X"
        What error messages call the array.
    """

    def __init__(
        self,
        array: Any,
        layout: Layout,
        *,
        dtype: torch.dtype,
        device: torch.device,
        rescale_integers: bool = True,
        allow_nan: bool = False,
        name: str = "X",
    ):
        self.array, self.layout, self.name = array, layout, name
        self.dtype, self.device, self.allow_nan = dtype, device, allow_nan
        kind = np.dtype(array.dtype)
        rescaled = rescale_integers and kind.kind in "iu"
        self.maximum = np.iinfo(kind).max if rescaled else 1

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def read(self, indices: np.ndarray) -> torch.Tensor:
        """Return some of the images.

        Parameters
        ----------
        indices : ndarray of int
            Which images, in increasing order.

        Returns
        -------
        images : tensor of shape (len(indices), *layout.tensor_shape)
            Always a copy.

        Raises
        ------
        ValueError
            If an image has NaN or infinity where it may not, or nothing but NaN.
        """
        return self._tensor(self.array[indices], indices, self.layout)

    def patch(self, index: int, rows: slice, columns: slice) -> torch.Tensor:
        """Return a part of one image.

        Parameters
        ----------
        index : int
            Which image.
        rows, columns : slice
            Which part.

        Returns
        -------
        patch : tensor of shape (channels, height, width)
            A copy. The image is read whole, and, unless it is flat, converted in part.
        """
        indices = np.array([index])
        if len(self.layout.shape) == 1:
            return self.read(indices)[0][:, rows, columns]
        part = np.asarray(self.array[indices])[:, rows, columns]
        shape = part.shape[1:]
        layout = Layout(shape, (self.layout.tensor_shape[0], *shape[:2]))
        return self._tensor(part, indices, layout)[0]

    def _tensor(self, values: Any, indices: np.ndarray, layout: Layout) -> torch.Tensor:
        number = "float64" if self.dtype == torch.float64 else "float32"
        with np.errstate(over="ignore"):
            values = np.array(values, dtype=number)
        values /= self.maximum
        self._check_values(values, indices)
        return layout.to_tensor(torch.from_numpy(values).to(self.device, self.dtype))

    def _check_values(self, values: np.ndarray, indices: np.ndarray) -> None:
        missing = np.isnan(values).reshape(len(values), -1)
        if missing.any() and not self.allow_nan:
            raise ValueError(f"Input {self.name} contains NaN.")
        if missing.all(axis=1).any():
            raise ValueError(
                f"Entry {indices[missing.all(axis=1)][0]} of {self.name} is all NaN: at least one "
                "value must be observed."
            )
        if np.isinf(values).any():
            raise ValueError(
                f"Input {self.name} contains infinity or a value too large for {values.dtype!r}."
            )


def to_numpy(tensors: Mapping[str, torch.Tensor], prefix: str = "") -> dict[str, np.ndarray]:
    """Return copies of named tensors as arrays, `prefix` before their names."""
    return {prefix + name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}


def to_tensors(
    arrays: Mapping[str, np.ndarray], prefix: str, dtype: torch.dtype, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return copies, as tensors, of the arrays whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): torch.tensor(array, dtype=dtype, device=device)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
