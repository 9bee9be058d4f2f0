"""How the arrays of a problem lie, and the small steps between tensors and a user's arrays."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from sklearn.utils import check_consistent_length

from skmetainv.arrays import Layout
from skmetainv.arrays.units import integer_unit, tells_its_range
from skmetainv.operators import ForwardMap, Operator

#: Restores the images of a batch of measurements, both as tensors.
Reconstruct: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

# Pixels that are worth stacking on a CPU: as many small images share each operation.
_CPU_PIXELS = 2**14


@dataclass(frozen=True)
class Geometry:
    """How images and measurements lie in a user's arrays, and in which units."""

    images: Layout
    measurements: Layout
    data_range: tuple[float, float]
    rescale_integers: bool
    integers: float | None = None
    """What integers of other types than pictures have are divided by; None where it is not known,
    for clean images were none."""

    def unit(self, array: Any) -> float:
        """Return what the numbers of an array are divided by."""
        if not self.rescale_integers:
            return 1.0
        if self.integers is None or tells_its_range(array.dtype):
            return integer_unit(array)
        return self.integers

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width), or (height, width, channels) for colour images."""
        channels, height, width = self.images.tensor_shape
        gray = channels == 1 and len(self.images.shape) != 3
        return (height, width) if gray else (height, width, channels)


class Problem(NamedTuple):
    """What a fit learns from, checked."""

    clean: Any
    measured: Any | None
    geometry: Geometry
    operator: Operator
    A: ForwardMap
    groups: np.ndarray | None = None
    """Images of one group are never on both sides of a split."""

    def grouped(self, groups: Any) -> Problem:
        """Return the problem with a user's labels of its images, None where there are none."""
        if groups is None:
            return self
        check_consistent_length(self.clean, groups)
        return self._replace(groups=np.asarray(groups))


def n_not_finite(x: torch.Tensor) -> int:
    """Return how many images of a batch have a value that is not finite."""
    return int((~x.isfinite()).flatten(1).any(dim=1).sum())


def channels_last(x: torch.Tensor) -> np.ndarray:
    """Return a batch of tensors as an array of (batch, height, width, channels)."""
    return x.permute(0, 2, 3, 1).cpu().numpy()


def equal_chunks(y: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
    """Return a batch in parts of `n`, the last filled up with the batch's last entry.

    When always as many are stacked, what is restored beside an image changes no bit of it.
    """
    return torch.cat([y, y[-1:].expand(-len(y) % n, *y.shape[1:])]).split(n)


def in_equal_chunks(restore: Reconstruct, y: torch.Tensor, n: int) -> torch.Tensor:
    """Return what `restore` makes of a batch, without gradients, see `equal_chunks`."""
    with torch.no_grad():
        return torch.cat([restore(y_i) for y_i in equal_chunks(y, n)])[: len(y)]


def images_to_stack(batch_size: int, image_shape: tuple[int, ...], device: torch.device) -> int:
    """Return how many images to compute with at a time: on a CPU, as many as are small together."""
    if device.type != "cpu":
        return batch_size
    return min(batch_size, max(1, _CPU_PIXELS // math.prod(image_shape)))


def match_type(X: Any, array: np.ndarray) -> Any:
    """Return a tensor where the user's `X` is one, on its device."""
    return torch.from_numpy(array).to(X.device) if isinstance(X, torch.Tensor) else array


def match_container(X: Any, array: np.ndarray) -> Any:
    """Return measurements of `X` in its type, also where it is a data frame of pandas.

    Rows keep their index; columns keep their names where there are as many, else they are numbered.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame) or array.ndim != 2:
        return match_type(X, array)
    columns = X.columns if array.shape[1] == X.shape[1] else None
    return pandas.DataFrame(array, index=X.index, columns=columns)
