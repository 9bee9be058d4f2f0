"""Maps that keep some entries of an image and leave out the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from skmetainv.arrays import is_complex_shape
from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap, DiagonalMap

DrawMask: TypeAlias = Callable[[np.random.Generator], np.ndarray]


class IdentityMap(DiagonalMap):
    """``A x = x``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    """

    def __init__(self, image_shape: Shape):
        super().__init__(image_shape, torch.ones((), dtype=torch.float64), Basis())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` itself."""
        return x

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return `y` itself."""
        return y

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` itself."""
        return x


class MaskMap(DiagonalMap):
    """``A x = m x``, with one mask for all images or one for each.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the masked arrays; for images, (channels, height, width).
    observed : tensor of bool
        The mask ``m``, broadcastable to ``(batch, *image_shape)``.
    missing_value : float, default=0.0
        Value of the missing entries of a simulated measurement.
    """

    observed: torch.Tensor

    def __init__(self, image_shape: Shape, observed: torch.Tensor, missing_value: float = 0.0):
        super().__init__(image_shape, observed.double(), Basis(), observed)
        self.missing_value = missing_value


class RandomMaskMap(DiagonalMap):
    """The identity until masks are drawn, or read from the NaN of measurements.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the masked arrays; for images, (channels, height, width).
    draw_mask : callable
        ``draw_mask(generator)`` returns one mask, a boolean array that is broadcastable to
        `image_shape`.
    """

    missing_value = torch.nan

    def __init__(self, image_shape: Shape, draw_mask: DrawMask):
        super().__init__(image_shape, torch.ones((), dtype=torch.float64), Basis())
        self.draw_mask = draw_mask

    def draw(self, generators: Sequence[np.random.Generator]) -> MaskMap:
        """Return the map with a mask for each image."""
        masks = np.stack([self.draw_mask(generator) for generator in generators])
        return self._masked(torch.from_numpy(masks).to(self.power.device, non_blocking=True))

    def with_masks_of(self, y: torch.Tensor) -> MaskMap:
        """Return the map whose mask is True where `y` is not NaN."""
        observed = ~y.isnan()
        if is_complex_shape(self.image_shape):
            observed = observed.all(-1, keepdim=True)
        return self._masked(observed)

    def _masked(self, observed: torch.Tensor) -> MaskMap:
        masked = MaskMap(self.image_shape, observed, missing_value=self.missing_value)
        return masked.to(self.power)


class SelectionMap(DiagonalGramMap):
    """``A x`` holds some entries of ``x``, each at most once.

    A subclass selects them, and calls ``keep_gram`` with 1, because ``A A is the identity.
    """


def draw_entries(
    mask_shape: Shape, counts: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Return a mask that is True at random entries; `counts` is the range of their number."""
    mask = np.zeros(mask_shape, dtype=bool)
    count = generator.integers(*counts, endpoint=True)
    mask.flat[generator.permutation(mask.size)[:count]] = True
    return mask
