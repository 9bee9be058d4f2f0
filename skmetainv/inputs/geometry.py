"""How the arrays of a user lie, and in which units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skmetainv.arrays import Layout
from skmetainv.arrays.units import integer_unit, tells_its_range


@dataclass(frozen=True)
class Geometry:
    """How images and measurements lie in a user's arrays, and in which units."""

    images: Layout
    measurements: Layout
    data_range: tuple[float, float]
    rescale_integers: bool
    integers: float | None = None
    """Integers of types that pictures do not have are divided by it; None if clean images were no
    such integers, so that it is not known."""

    def unit(self, array: Any) -> float:
        """Return the divisor of the numbers of an array."""
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
