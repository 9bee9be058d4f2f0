"""Sums and stacks of maps, with a closed form if the parts are diagonal in a common basis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalMap, DiagonalNormalMap
from skmetainv.operators.maps.composed import composed
from skmetainv.operators.maps.masks import MaskMap


def added(maps: Sequence[ForwardMap]) -> ForwardMap:
    """Return the sum of maps; if all are diagonal in one basis, their spectra are added."""
    if not all(isinstance(A, LinearMap) for A in maps):
        return AddedMap(maps)
    basis = _common_basis(maps)
    if basis is None:
        return AddedLinearMap(maps)
    diagonal: Any = maps
    spectrum = _total(A.spectrum for A in diagonal)
    return DiagonalMap(maps[0].image_shape, spectrum, basis, _observed_by_any(maps))


def stacked(maps: Sequence[ForwardMap]) -> ForwardMap:
    """Return the stack of maps; if all are diagonal in one basis, it has a closed form."""
    if not all(isinstance(A, LinearMap) for A in maps):
        return StackedMap(maps)
    basis = _common_basis(maps)
    return StackedLinearMap(maps) if basis is None else StackedNormalMap(maps, basis)


def _observed_by_any(maps: Sequence[ForwardMap]) -> torch.Tensor | None:
    """Return where at least one of the maps measures, or None if one of the maps has no mask."""
    masks = [A.observed for A in maps if A.observed is not None]
    return reduce(torch.logical_or, masks) if len(masks) == len(maps) else None


def _common_basis(maps: Sequence[Any]) -> Basis | None:
    """Return the basis in which all maps are diagonal, or None if there is no such basis.

    A multiple of the identity is diagonal in every basis.
    """
    if not all(isinstance(A, DiagonalMap) for A in maps):
        return None
    bases = [A.basis for A in maps if A.power.ndim] or [maps[0].basis]
    return bases[0] if all(basis.is_same(bases[0]) for basis in bases) else None


class AddedMap(ForwardMap):
    """``sum_i A_i(x)`` for maps without missing samples.

    Parameters
    ----------
    maps : sequence of ForwardMap
        Maps with the same shapes of images and measurements.
    """

    maps: Any

    def __init__(self, maps: Sequence[ForwardMap]):
        super().__init__(maps[0].image_shape, maps[0].measurement_shape, _observed_by_any(maps))
        self.maps = torch.nn.ModuleList(maps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of all measurements."""
        return _total(A(x) for A in self.maps)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the sum of all vector-Jacobian products."""
        return _total(A.vjp(x, v) for A in self.maps)


class AddedLinearMap(AddedMap, LinearMap):
    """``sum_i A_i`` of linear maps, see `AddedMap`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' y``."""
        return _total(A.adjoint(y) for A in self.maps)


class StackedMap(ForwardMap):
    """The measurements of several maps of one image, flattened and concatenated.

    Parameters
    ----------
    maps : sequence of ForwardMap
        Maps with the same shape of images.
    """

    maps: Any

    def __init__(self, maps: Sequence[ForwardMap]):
        lengths = [math.prod(A.measurement_shape) for A in maps]
        super().__init__(maps[0].image_shape, (sum(lengths),), _side_by_side(maps))
        self.maps, self.lengths = torch.nn.ModuleList(maps), lengths
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
        pieces = zip(self.maps, y.split(self.lengths, dim=1), strict=True)
        return [piece.reshape(-1, *A.measurement_shape) for A, piece in pieces]

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with the masks of all parts drawn, in the order of the parts."""
        return self._rebuilt([A.draw(generators) for A in self.maps])

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of all parts read from the NaN of `y`."""
        parts = zip(self.maps, self.split(y), strict=True)
        A = self._rebuilt([A.with_masks_of(part) for A, part in parts])
        observed = ~y.isnan()
        as_masked = observed if A.observed is None else observed | ~A.observed
        if as_masked.all():
            return A
        # `y` has more NaN than the masks of the parts explain: the images have missing pixels
        return composed(MaskMap(self.measurement_shape, observed, math.nan).to(y), A)

    def _rebuilt(self, maps: Sequence[ForwardMap]) -> ForwardMap:
        unchanged = all(A is part for A, part in zip(maps, self.maps, strict=True))
        return self if unchanged else stacked(maps)


class StackedLinearMap(StackedMap, LinearMap):
    """The measurements of several linear maps, flattened and concatenated; see `StackedMap`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' y_i``."""
        parts = zip(self.maps, self.split(y), strict=True)
        return _total(A.adjoint(part) for A, part in parts)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' A_i x``."""
        return _total(A.normal(x) for A in self.maps)


class StackedNormalMap(DiagonalNormalMap, StackedLinearMap):
    """The measurements of several diagonal maps, flattened and concatenated.

    Parameters
    ----------
    maps : sequence of DiagonalMap
        Maps with the same shape of images.
    basis : Basis
        The basis in which all maps are diagonal.
    """

    def __init__(self, maps: Sequence[Any], basis: Basis):
        StackedLinearMap.__init__(self, maps)
        self.keep_normal(_total(A.power for A in maps), basis)


def _total(terms: Iterable[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, terms)


def _side_by_side(maps: Sequence[ForwardMap]) -> torch.Tensor | None:
    """Return the masks of all maps, flattened and concatenated; None if no map has a mask.

    The mask of a map that has none is True.
    """
    masks = [A.observed for A in maps if A.observed is not None]
    if not masks:
        return None
    whole, n_images = masks[0].new_ones(1), max(map(len, masks))
    observed = [whole if A.observed is None else A.observed for A in maps]
    sizes = [(n_images, *A.measurement_shape) for A in maps]
    flat = [mask.expand(size).flatten(1) for mask, size in zip(observed, sizes, strict=True)]
    return torch.cat(flat, dim=1)
