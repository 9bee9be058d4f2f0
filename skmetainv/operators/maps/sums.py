"""Maps scaled, added, and side by side, with a closed form where the parts leave one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps.base import ForwardMap, LinearDataTerm, LinearMap
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalMap, DiagonalNormalMap


def scaled(A: ForwardMap, factor: float) -> ForwardMap:
    """Return ``factor A``; every closed form of ``A`` is one of it."""
    if not isinstance(A, LinearMap):
        return WeightedSum([A], [factor])
    if isinstance(A, DiagonalMap):
        return DiagonalMap(A.image_shape, factor * A.spectrum, A.basis)
    return ScaledMap(A, factor)


def added(maps: Sequence[ForwardMap]) -> ForwardMap:
    """Return the sum of maps; of those that are diagonal in one basis the spectra add up."""
    if not all(isinstance(A, LinearMap) for A in maps):
        return WeightedSum(maps, [1.0] * len(maps))
    parts: list[Any] = list(maps)
    basis = _common_basis(parts)
    if basis is None:
        return WeightedLinearSum(maps, [1.0] * len(maps))
    return DiagonalMap(maps[0].image_shape, _total(A.spectrum for A in parts), basis)


def stacked(maps: Sequence[ForwardMap]) -> ForwardMap:
    """Return maps side by side; in one basis the eigenvalues of ``A' A`` add up."""
    if not all(isinstance(A, LinearMap) for A in maps):
        return StackedMap(maps)
    basis = _common_basis(maps)
    return StackedLinearMap(maps) if basis is None else StackedNormalMap(maps, basis)


def _common_basis(maps: Sequence[Any]) -> Basis | None:
    """Return the basis in which all maps are diagonal, None if there is none.

    A multiple of the identity is diagonal in every basis.
    """
    if not all(isinstance(A, DiagonalMap) for A in maps):
        return None
    bases = [A.basis for A in maps if A.power.ndim] or [maps[0].basis]
    return bases[0] if all(basis.is_same(bases[0]) for basis in bases) else None


class ScaledMap(LinearMap):
    """``factor A``.

    Parameters
    ----------
    A : LinearMap
        Without missing samples.
    factor : float
        Not 0.
    """

    def __init__(self, A: LinearMap, factor: float):
        super().__init__(A.image_shape, A.measurement_shape)
        self.A, self.factor = A, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``factor A x``."""
        return self.factor * self.A(x)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``factor A' y``."""
        return self.factor * self.A.adjoint(y)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``factor^2 A' A x``."""
        return self.factor**2 * self.A.normal(x)

    def norm(self) -> torch.Tensor:
        """Return the largest singular value."""
        return abs(self.factor) * self.A.norm()

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        """Return the least-squares solution of least norm, see `LinearMap.pseudo_inverse`."""
        return self.A.pseudo_inverse(y / self.factor, rcond)

    def data_term(self, y: torch.Tensor) -> ScaledDataTerm:
        """Return the data fidelity."""
        return ScaledDataTerm(self, y)


class ScaledDataTerm(LinearDataTerm):
    """The data fidelity of a `ScaledMap`: that of ``A`` with ``y / factor``, times ``factor^2``."""

    A: ScaledMap

    def __init__(self, A: ScaledMap, y: torch.Tensor):
        super().__init__(A, y)
        self._unscaled: Any = A.A.data_term(y / A.factor)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return the proximal step of ``A`` with the penalty ``rho / factor^2``."""
        return self._unscaled.prox(z, rho / self.A.factor**2)


class WeightedSum(ForwardMap):
    """``sum_i weight_i A_i(x)``, of maps without missing samples.

    Parameters
    ----------
    maps : sequence of ForwardMap
        With the same images and measurements.
    weights : sequence of float
        One for each.
    """

    maps: Any

    def __init__(self, maps: Sequence[ForwardMap], weights: Sequence[float]):
        super().__init__(maps[0].image_shape, maps[0].measurement_shape)
        self.maps, self.weights = torch.nn.ModuleList(maps), tuple(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of all measurements."""
        return _total(w * A(x) for w, A in self._terms())

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of all vector-Jacobian products."""
        return _total(w * A.vjp(x, v) for w, A in self._terms())

    def _terms(self) -> list[tuple[float, Any]]:
        return list(zip(self.weights, self.maps, strict=True))


class WeightedLinearSum(WeightedSum, LinearMap):
    """``sum_i weight_i A_i`` of linear maps, see `WeightedSum`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i weight_i A_i' y``."""
        return _total(w * A.adjoint(y) for w, A in self._terms())


class StackedMap(ForwardMap):
    """The measurements of several maps of one image, flat, side by side.

    Parameters
    ----------
    maps : sequence of ForwardMap
        With the same images.
    """

    maps: Any

    def __init__(self, maps: Sequence[ForwardMap]):
        lengths = [math.prod(A.measurement_shape) for A in maps]
        observed = _side_by_side(maps) if any(A.observed is not None for A in maps) else None
        super().__init__(maps[0].image_shape, (sum(lengths),), observed)
        self.maps, self.ends = torch.nn.ModuleList(maps), np.cumsum([0, *lengths]).tolist()
        if any(math.isnan(A.missing_value) for A in maps):
            self.missing_value = math.nan

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return all measurements, shape ``(batch, sum of lengths)``."""
        return torch.cat([A(x).flatten(1) for A in self.maps], dim=1)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the sum of all vector-Jacobian products."""
        parts = zip(self.maps, self.split(v), strict=True)
        return _total(A.vjp(x, part) for A, part in parts)

    def split(self, y: torch.Tensor) -> list[torch.Tensor]:
        """Return the measurement of each map, in its own shape."""
        pieces = [y[:, start:end] for start, end in pairwise(self.ends)]
        return [
            piece.reshape(-1, *A.measurement_shape)
            for A, piece in zip(self.maps, pieces, strict=True)
        ]

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with all parts drawn, in their order."""
        return stacked([A.draw(generators) for A in self.maps])

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of all parts read from the NaN of `y`."""
        parts = zip(self.maps, self.split(y), strict=True)
        return stacked([A.with_masks_of(part) for A, part in parts])


class StackedLinearMap(StackedMap, LinearMap):
    """The measurements of several linear maps, flat, side by side; see `StackedMap`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' y_i``."""
        parts = zip(self.maps, self.split(y), strict=True)
        return _total(A.adjoint(part) for A, part in parts)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' A_i x``."""
        return _total(A.normal(x) for A in self.maps)


class StackedNormalMap(DiagonalNormalMap, StackedLinearMap):
    """The measurements of several diagonal maps, flat, side by side.

    Parameters
    ----------
    maps : sequence of DiagonalMap
        With the same images.
    basis : Basis
        In which all are diagonal.
    """

    def __init__(self, maps: Sequence[Any], basis: Basis):
        StackedLinearMap.__init__(self, maps)
        self.keep_normal(_total(A.power for A in maps), basis)


def _total(terms: Iterable[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, terms)


def _side_by_side(maps: Sequence[ForwardMap]) -> torch.Tensor:
    """Return the masks of all maps, flat, True for maps without."""
    masks = []
    n_images = max(1 if A.observed is None else len(A.observed) for A in maps)
    device = next(A.observed.device for A in maps if A.observed is not None)
    for A in maps:
        whole = torch.ones((), dtype=torch.bool, device=device)
        mask = whole if A.observed is None else A.observed
        masks.append(mask.expand(n_images, *A.measurement_shape).flatten(1))
    return torch.cat(masks, dim=1)
