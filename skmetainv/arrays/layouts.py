"""The layout of an image in a user's array and in a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

import numpy as np
import torch
from sklearn.exceptions import DataConversionWarning

from skmetainv.exceptions import warn

# If only the shape is known, an axis with at most this many entries may be the channels.
MOST_CHANNELS = 4

# In a tensor, a first axis with this many entries may be the colours.
_COLOURS = 3

# An array of three axes, the last with 1 to 4 entries, is one image (height, width, channels) if
# each of the other two axes has at least this many entries. Otherwise it is a batch of gray images.
_LEAST_OF_COLOUR = 8


@dataclass(frozen=True)
class Layout:
    """The layout of one image, or one measurement, in a user's array and in a tensor.

    Parameters
    ----------
    shape : tuple of int
        Shape in the user's array, without the first axis.
    tensor_shape : tuple of int
        Shape in a tensor, without the first axis. Three entries are channels, height, width. For
        complex numbers there is a fourth entry, 2: real and imaginary parts.
    channels_first : bool, default=False
        Whether channels come first in the user's array, as they do in the tensor.
    """

    shape: tuple[int, ...]
    tensor_shape: tuple[int, ...]
    channels_first: bool = False

    def to_tensor(self, values: torch.Tensor) -> torch.Tensor:
        """Convert a batch from the user's shape to the tensor's."""
        if self.channels_first or not is_image_shape(self.tensor_shape):
            return values.reshape(-1, *self.tensor_shape)
        channels, height, width, *parts = self.tensor_shape
        values = values.reshape(-1, height, width, channels, *parts)
        return values.movedim(3, 1).contiguous()

    def from_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Convert a batch from the tensor's shape to the user's; gradients pass through this."""
        if is_image_shape(self.tensor_shape) and not self.channels_first:
            tensor = tensor.movedim(1, 3)
        return tensor.reshape(-1, *self.shape)

    def to_array(self, tensor: torch.Tensor) -> np.ndarray:
        """Convert a batch from the tensor's shape to an array of the user's shape."""
        return self.from_tensor(tensor.detach()).cpu().numpy()

    def size_in(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of an image of `shape` in this layout."""
        height, width = shape[1:3] if self.channels_first else shape[:2]
        return height, width

    def is_another_size(self, shape: tuple[int, ...]) -> bool:
        """Whether `shape` equals this layout's shape, apart from height and width."""
        return (
            len(self.tensor_shape) == 3
            and len(shape) == len(self.shape) > 1
            and 0 not in shape
            and self.resized(*self.size_in(shape)).shape == shape
        )

    def resized(self, height: int, width: int) -> Layout:
        """Return the layout of images of another height and width."""
        return measurement_layout((self.tensor_shape[0], height, width), self)


def is_image_shape(tensor_shape: tuple[int, ...]) -> bool:
    """Whether a shape is (channels, height, width) or, if complex, (channels, height, width, 2)."""
    return len(tensor_shape) == 3 or (len(tensor_shape) == 4 and is_complex_shape(tensor_shape))


def is_complex_shape(tensor_shape: tuple[int, ...]) -> bool:
    """Whether the shape of a measurement or an image ends in real and imaginary parts."""
    return len(tensor_shape) in (2, 4) and tensor_shape[-1] == 2


def channels_last_order(tensor_shape: tuple[int, ...]) -> np.ndarray:
    """Return, for each entry of a flat tensor, its index in the user's flat array."""
    if len(tensor_shape) != 3:
        return np.arange(prod(tensor_shape))
    channels, height, width = tensor_shape
    places = np.arange(prod(tensor_shape)).reshape(height, width, channels)
    return places.transpose(2, 0, 1).ravel()


def is_one_image(shape: tuple[int, ...], image_shape: tuple[int, ...] | None) -> bool:
    """Whether an array with this shape is a single image, not a batch.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole array.
    image_shape : tuple of int or None
        ``(height, width)`` or ``(height, width, channels)``; None if unknown. If None, an array of
        three axes is one image, ``(height, width, channels)``, if the last axis has 1 to 4 entries
        and the others have 8 or more.

    Returns
    -------
    is_one : bool
        True for one image.
    """
    if image_shape is None:
        is_coloured = len(shape) == 3 and 0 < shape[2] <= MOST_CHANNELS
        return is_coloured and min(shape[:2]) >= _LEAST_OF_COLOUR
    grid = tuple(image_shape)
    is_flat = len(shape) == 2 and shape[1] == prod(grid)
    in_front = channels_first_shape(grid) if len(grid) == 3 else grid  # (1, h, w) is a batch of one
    return not is_flat and shape in (grid, in_front)


def warn_of_planes(shape: tuple[int, ...], name: str) -> None:
    """Warn if a tensor read as gray images may be one colour image, channels first."""
    if len(shape) == 3 and shape[0] == _COLOURS < shape[1]:
        warn(
            f"{name} is a tensor of shape {shape}, and is read as {_COLOURS} gray images: for one "
            f"colour image with its channels first, pass {name}[None].",
            DataConversionWarning,
        )


def image_layout(
    shape: tuple[int, ...], image_shape: tuple[int, ...] | None, name: str = "X"
) -> Layout:
    """Return the layout of images from the shape of their array.

    Parameters
    ----------
    shape : tuple of int
        ``(n, height, width)``, ``(n, height, width, channels)``, ``(n, channels, height, width)``
        or, flat, ``(n, n_pixels)``.
    image_shape : tuple of int or None
        ``(height, width)`` or ``(height, width, channels)``. If None, the shape of the array
        decides. Channels come first if the second of four axes has 1 to 4 entries and the last has
        more than 4. A flat image is square if its number of pixels is a square number, else one
        row.
    name : str, default="X"
        Name of the array in error messages.

    Returns
    -------
    layout : Layout
        The layout of one image.

    Raises
    ------
    ValueError
        If `shape` is not that of images, or contradicts `image_shape`.
    """
    shape_of_one = shape[1:]
    if len(shape_of_one) not in (1, 2, 3) or 0 in shape_of_one:
        raise ValueError(
            "Images must have shape (n, height, width), (n, height, width, channels), (n, "
            "channels, height, width) or, flat, (n, n_pixels), with at least one pixel. The first "
            f"axis counts images: pass one image as {name}[np.newaxis]. {name} has shape {shape} "
            "instead."
        )
    if image_shape is None:
        if len(shape_of_one) == 3 and shape_of_one[0] <= MOST_CHANNELS < shape_of_one[2]:
            return Layout(shape_of_one, shape_of_one, channels_first=True)
        grid = shape_of_one if len(shape_of_one) > 1 else size_of_flat(shape_of_one[0])
    else:
        grid = tuple(image_shape)
        if shape_of_one != grid and shape_of_one == channels_first_shape(grid):
            return Layout(shape_of_one, shape_of_one, channels_first=True)
        if shape_of_one not in (grid, (prod(grid),)):
            raise ValueError(
                f"{name} has images of shape {shape_of_one}, but the 'image_shape' parameter says "
                f"{grid}: pass images of that shape, or flat ones of {prod(grid)} values."
            )
    return Layout(shape_of_one, channels_first_shape(grid))


def size_of_flat(n_pixels: int) -> tuple[int, int]:
    """Return height and width of a flat image: square if possible, else one row."""
    side = isqrt(n_pixels)
    return (side, side) if side * side == n_pixels else (1, n_pixels)


def channels_first_shape(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image with its channels first; a gray image has one channel."""
    height, width, *channels = grid
    return (*(channels or [1]), height, width)


def measurement_layout(measurement_shape: tuple[int, ...], images: Layout) -> Layout:
    """Return the layout of measurements that belong to images of a given layout.

    Parameters
    ----------
    measurement_shape : tuple of int
        Shape of a measurement as a tensor. If it is the shape of an image, real or complex, the
        measurement has the layout of the images (gray, colour or flat), with real and imaginary
        parts last. Any other shape is used unchanged.
    images : Layout
        The layout of the images.

    Returns
    -------
    layout : Layout
        The layout of one measurement.
    """
    if not is_image_shape(measurement_shape):
        return Layout(measurement_shape, measurement_shape)
    if images.channels_first:
        return Layout(measurement_shape, measurement_shape, channels_first=True)
    channels, height, width, *parts = measurement_shape
    shape: tuple[int, ...] = (height, width, channels, *parts)
    if len(images.shape) == 1:
        shape = (channels * height * width, *parts)
    elif len(images.shape) == 2 and channels == 1:
        shape = (height, width, *parts)
    return Layout(shape, measurement_shape)
