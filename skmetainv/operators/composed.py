"""Maps made of maps: one after another, scaled, added, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps import ForwardMap, LinearMap


class ComposedMap(ForwardMap):
    """``outer(inner(x))``.

    Parameters
    ----------
    outer, inner : ForwardMap
        The image of `outer` is the measurement of `inner`; samples can be missing in `outer` only.
    """

    def __init__(self, outer: ForwardMap, inner: ForwardMap):
        super().__init__(inner.image_shape, outer.measurement_shape, outer.observed)
        self.outer, self.inner, self.missing_value = outer, inner, outer.missing_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``outer(inner(x))``."""
        return self.outer(self.inner(x))

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``J_inner(x)' J_outer(inner(x))' v``."""
        return self.inner.vjp(x, self.outer.vjp(self.inner(x), v))

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with both parts drawn, the inner one first."""
        inner = self.inner.draw(generators)
        return type(self)(self.outer.draw(generators), inner)

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of the outer part read from the NaN of `y`."""
        return type(self)(self.outer.with_masks_of(y), self.inner)


class ComposedLinearMap(ComposedMap, LinearMap):
    """``outer inner`` of two linear maps.

    Parameters
    ----------
    outer, inner : LinearMap
        The image of `outer` is the measurement of `inner`.
    """

    outer: LinearMap
    inner: LinearMap

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``inner' outer' y``."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``inner' outer' v``."""
        return self.adjoint(v)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``inner' outer' outer inner x``."""
        return self.inner.adjoint(self.outer.normal(self.inner(x)))


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
        return type(self)([A.draw(generators) for A in self.maps])

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of all parts read from the NaN of `y`."""
        parts = zip(self.maps, self.split(y), strict=True)
        return type(self)([A.with_masks_of(part) for A, part in parts])


class StackedLinearMap(StackedMap, LinearMap):
    """The measurements of several linear maps, flat, side by side; see `StackedMap`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' y_i``."""
        parts = zip(self.maps, self.split(y), strict=True)
        return _total(A.adjoint(part) for A, part in parts)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i A_i' A_i x``."""
        return _total(A.normal(x) for A in self.maps)


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
