"""Multiples of a map, with its closed forms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.closed_forms import DiagonalMap
from skmetainv.operators.maps.data_terms import LinearDataTerm


def scaled(A: ForwardMap, factor: float) -> ForwardMap:
    """Return ``factor A``, linear if ``A`` is."""
    if not isinstance(A, LinearMap):
        return ScaledMap(A, factor)
    draws_masks = type(A).draw is not ForwardMap.draw
    if not isinstance(A, DiagonalMap) or draws_masks:
        return ScaledLinearMap(A, factor)
    multiple = DiagonalMap(A.image_shape, factor * A.spectrum, A.basis, A.observed)
    multiple.missing_value = A.missing_value
    return multiple


class ScaledMap(ForwardMap):
    """``factor A(x)``.

    Parameters
    ----------
    A : ForwardMap
        The map.
    factor : float
        The factor, not 0.
    """

    A: ForwardMap

    def __init__(self, A: ForwardMap, factor: float):
        super().__init__(A.image_shape, A.measurement_shape, A.observed)
        self.A, self.factor, self.missing_value = A, factor, A.missing_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``factor A(x)``."""
        return self.factor * self.A(x)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``factor J_A(x)' v``."""
        return self.factor * self.A.vjp(x, v)

    def norm(self) -> torch.Tensor:
        """Return ``|factor| ||A||``."""
        return abs(self.factor) * self.A.norm()

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the multiple of the map with its masks drawn."""
        return self._rebuilt(self.A.draw(generators))

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the multiple of the map with its masks read from the NaN of `y`."""
        return self._rebuilt(self.A.with_masks_of(y))

    def _rebuilt(self, A: ForwardMap) -> ForwardMap:
        return self if A is self.A else scaled(A, self.factor)


class ScaledLinearMap(ScaledMap, LinearMap):
    """``factor A`` of a linear map, see `ScaledMap`."""

    A: LinearMap

    def __init__(self, A: LinearMap, factor: float):
        super().__init__(A, factor)
        self.has_closed_form = A.has_closed_form

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``factor A' y``."""
        return self.factor * self.A.adjoint(y)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``factor^2 A' A x``."""
        return self.factor**2 * self.A.normal(x)

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        return self.A.pseudo_inverse(y / self.factor, rcond)

    def data_term(self, y: torch.Tensor) -> ScaledDataTerm:
        """Return the data fidelity."""
        return ScaledDataTerm(self, y)


class ScaledDataTerm(LinearDataTerm):
    """The data fidelity of a `ScaledLinearMap`: ``factor^2`` times that of ``y / factor``."""

    A: ScaledLinearMap

    def __init__(self, A: ScaledLinearMap, y: torch.Tensor):
        super().__init__(A, y)
        self._unscaled = A.A.data_term(y / A.factor)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return the proximal step of ``A`` for ``y / factor``, with penalty ``rho / factor^2``."""
        return self._unscaled.prox(z, rho / self.A.factor**2)
