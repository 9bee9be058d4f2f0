"""How many images are computed with at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

# Values of images that are worth one operation on a CPU, as measured on two cores: with a network
# that all images share; in a classical solver; and times the weights, with networks of 32 to 256
# units of which every image has its own (images of 25 x 25 and 64 x 64 pixels).
_OF_SHARED, _OF_SOLVER, _OF_OWN = 2**14, 2**13, 2**24


def images_at_once(
    batch_size: int,
    image_shape: tuple[int, ...],
    device: torch.device,
    *,
    n_own_weights: int = 0,
    solved: bool = False,
) -> int:
    """Return how many images to compute with at the same time, for the best speed.

    A GPU takes them all. On a CPU small images share each operation; large ones go one by one, so
    that they stay in the cache.

    Parameters
    ----------
    batch_size : int
        How many there are at most.
    image_shape : tuple of int
        Shape of one.
    device : torch.device
        Where they are computed.
    n_own_weights : int, default=0
        Weights that every image has its own of; 0 if all share a network.
    solved : bool, default=False
        Whether images with weights of their own pass a classical solver, too.
    """
    if device.type != "cpu":
        return batch_size
    n_values = math.prod(image_shape)
    most = _OF_SHARED // n_values
    if n_own_weights:
        most = max(_OF_OWN // (n_own_weights * n_values), _OF_SOLVER // n_values if solved else 1)
    return min(batch_size, max(1, most))


def equal_chunks(y: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
    """Return a batch in parts of `n`, the last one filled up with the batch's last entry.

    All parts have one size, so that no bit of a restored image depends on those beside it.
    """
    return torch.cat([y, y[-1:].expand(-len(y) % n, *y.shape[1:])]).split(n)


def in_equal_chunks(
    restore: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor, n: int
) -> torch.Tensor:
    """Return what `restore` makes of a batch, without gradients, see `equal_chunks`."""
    with torch.no_grad():
        return torch.cat([restore(y_i) for y_i in equal_chunks(y, n)])[: len(y)]


def batches_of(n: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the places of `n` images, batch by batch."""
    for start in range(0, n, batch_size):
        yield np.arange(start, min(start + batch_size, n))
