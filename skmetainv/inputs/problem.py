"""The data of `fit` or `score`: clean images, with measurements or the map that simulates them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from sklearn.utils import check_consistent_length

from skmetainv.arrays import ArraySource
from skmetainv.exceptions import concerning
from skmetainv.inputs.geometry import Geometry
from skmetainv.noise import NoiseFunction
from skmetainv.operators import ForwardMap, Operator
from skmetainv.randomness import evaluation_generators
from skmetainv.training import Batch

#: Images of one size, or a list with one source per image if sizes differ.
Images: TypeAlias = ArraySource | list[ArraySource]


@dataclass(frozen=True)
class Problem:
    """Checked images and measurements, read lazily.

    Parameters
    ----------
    clean : ArraySource or list of ArraySource
        The clean images.
    measured : ArraySource, list of ArraySource or None
        Their measurements; None if measurements are simulated.
    geometry : Geometry
        The layout and units of images and measurements. If sizes differ, those of the first image.
    operator : Operator
        The operator that maps images to measurements.
    A : ForwardMap
        The map of the operator, for images of this geometry.
    groups : ndarray of shape (n,) or None, default=None
        Group label of each image. Images of one group are never on both sides of a split.
    """

    clean: Any
    measured: Any
    geometry: Geometry
    operator: Operator
    A: ForwardMap
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return self.geometry.tensor_shape

    def grouped(self, groups: Any) -> Problem:
        """Return the problem with these group labels, or unchanged if `groups` is None."""
        if groups is None:
            return self
        with concerning("X and groups"):
            check_consistent_length(self.clean, groups)
        return replace(self, groups=np.asarray(groups))

    def part(self, which: np.ndarray) -> Problem:
        """Return a part of the problem, selected by indices or a mask; no image is read."""
        indices = np.arange(len(self))[which]
        return replace(
            self,
            clean=_part(self.clean, indices),
            measured=None if self.measured is None else _part(self.measured, indices),
            groups=None if self.groups is None else self.groups[indices],
        )

    def arguments(self) -> tuple[Any, Any]:
        """Return the arguments `X` and `y` of `fit`."""
        clean = _arrays(self.clean)
        return (clean, None) if self.measured is None else (_arrays(self.measured), clean)

    def batch(self, indices: np.ndarray, noise: NoiseFunction, seed: int) -> Batch:
        """Return the clean images at `indices`, and their measurements, real or simulated."""
        x, A = self.clean.read(indices), self.A.part(indices[0], indices[-1] + 1)
        if self.measured is not None:
            return Batch(x, self.measured.read(indices), A)
        generators = evaluation_generators(seed, indices)
        A = A.instruments(generators)
        return Batch(x, A.simulate(x, noise, generators), A)


def _part(images: Images, indices: np.ndarray) -> Images:
    return [images[i] for i in indices] if isinstance(images, list) else images.part(indices)


def _arrays(images: Images) -> Any:
    return [source.array[0] for source in images] if isinstance(images, list) else images.array
