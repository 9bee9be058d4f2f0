"""The layout and the units of a user's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skmetainv.arrays import Layout
from skmetainv.arrays.units import integer_unit, tells_its_range


@dataclass(frozen=True)
class Geometry:
    """The layout and the units of images and measurements in a user's arrays."""

    image_layout: Layout
    measurement_layout: Layout
    data_range: tuple[float, float]
    rescale_integers: bool
    integers: float | None = None
    """Divisor of integers of types other than uint8 and uint16. None if the clean images
    were uint8, uint16 or floats; each array's own values then determine its divisor."""

    def unit(self, array: Any) -> float:
        """Return the number by which the values of an array are divided."""
        if not self.rescale_integers:
            return 1.0
        if self.integers is None or tells_its_range(array.dtype):
            return integer_unit(array)
        return self.integers

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return self.image_layout.tensor_shape

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width), or (height, width, channels) for colour images."""
        channels, height, width = self.tensor_shape
        gray = channels == 1 and len(self.image_layout.shape) != 3
        return (height, width) if gray else (height, width, channels)
