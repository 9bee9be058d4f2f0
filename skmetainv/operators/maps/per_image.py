"""Numbers per image of a batch."""

from __future__ import annotations

import torch


def spread(numbers: torch.Tensor, ndim: int) -> torch.Tensor:
    """Return numbers, one per image, as a tensor of `ndim` axes that broadcasts with the batch."""
    return numbers.reshape(-1, *[1] * (ndim - 1))


def dot(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return the inner products of the images of two batches, shape ``(batch, 1, ...)``."""
    return spread((u * v).flatten(1).sum(1), u.ndim)
