"""Batches and chunks: the number of images that are computed at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

# All numbers were measured on two cores of a CPU.
# If all images share their weights: the number of image values at the best speed.
_SHARED_VALUES = 2**14
# If some weights differ from image to image: the number of pixels, and the largest number of such
# weights. Networks had 64 to 256 units, and images 25 x 25 to 128 x 128 pixels.
_PIXELS, _WEIGHTS = 2**13, 2**21
# If few weights differ, more pixels are better: the number of pixels times weights per image.
_PIXELS_TIMES_WEIGHTS = 2**24


def images_at_once(
    batch_size: int,
    image_shape: tuple[int, ...],
    device: torch.device,
    *,
    n_weights_per_image: int = 0,
) -> int:
    """Return the number of images to compute together, for the best speed.

    A GPU computes the whole batch. A CPU computes small images together, and large images one by
    one, so that they stay in the cache. The batch is then nearly a multiple of the number, because
    equal chunks compute padding, too.

    Parameters
    ----------
    batch_size : int
        Maximum number of images.
    image_shape : tuple of int
        Shape of an image.
    device : torch.device
        Device of the computations.
    n_weights_per_image : int, default=0
        Number of weights that differ from image to image; 0 if all images share a network.
    """
    if device.type != "cpu":
        return int(batch_size)
    most, n_pixels = _SHARED_VALUES // math.prod(image_shape), math.prod(image_shape[1:])
    if n_weights_per_image:
        for_few_weights = _PIXELS_TIMES_WEIGHTS // (n_weights_per_image * n_pixels)
        most = max(for_few_weights, min(_PIXELS // n_pixels, _WEIGHTS // n_weights_per_image))
    most = min(int(batch_size), max(1, most))  # torch takes no NumPy integers
    return min(range(most, (most - 1) // 2, -1), key=lambda n: -batch_size % n)


def equal_chunks(y: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
    """Split a batch into parts of `n`, the last one padded with the last entry of the batch.

    All parts have the same size, so that no bit of a restored image depends on the others in its
    batch. Two exceptions hold up to rounding, about 3e-7 of the data range in single precision: a
    network that computes only the seen pixels, if their number differs from image to image; and an
    encoder or a refiner, because products of matrices round differently from row to row.
    """
    return torch.cat([y, y[-1:].expand(-len(y) % n, *y.shape[1:])]).split(n)


def in_equal_chunks(
    restore: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor, n: int
) -> torch.Tensor:
    """Apply `restore` to a batch in equal chunks, without gradients; see `equal_chunks`."""
    with torch.no_grad():
        return torch.cat([restore(y_i) for y_i in equal_chunks(y, n)])[: len(y)]


def batches_of(n: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the indices of `n` images, batch by batch."""
    for start in range(0, n, batch_size):
        yield np.arange(start, min(start + batch_size, n))
