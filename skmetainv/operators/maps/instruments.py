"""Maps of several instruments, one for each image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NoReturn, cast

import numpy as np
import torch
from torch import nn

from skmetainv.noise import NoiseFunction
from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.data_terms import DataTerm, LinearDataTerm
from skmetainv.operators.maps.per_image import spread

_UNKNOWN = (
    "A RandomOperator stands for many instruments. Name the one that took these measurements, as "
    "in predict(X, operator=GaussianBlur(sigma=1.5))."
)


def instrument_pool(maps: Sequence[ForwardMap]) -> InstrumentPool:
    """Return the map that draws one of several maps for each image; it is linear if they are."""
    all_linear = all(isinstance(A, LinearMap) for A in maps)
    return (LinearInstrumentPool if all_linear else InstrumentPool)(maps)


class InstrumentPool(ForwardMap):
    """Several maps, one of which is drawn for each image.

    Methods that need to know the instrument raise an error, until `instruments` has drawn it.

    Parameters
    ----------
    maps : sequence of ForwardMap
        Maps of images of one shape to measurements of one shape.
    """

    def __init__(self, maps: Sequence[ForwardMap]):
        super().__init__(maps[0].image_shape, maps[0].measurement_shape)
        self.maps = nn.ModuleList(maps)
        self.missing_value = maps[0].missing_value

    @property
    def each(self) -> list[ForwardMap]:
        return list(cast(Iterable[ForwardMap], self.maps))

    def instruments(self, generators: Sequence[np.random.Generator]) -> PerImageMap:
        """Return the map that measures each image by a map that its generator draws."""
        maps = self.each
        return per_image_map([maps[int(g.integers(len(maps)))] for g in generators])

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with an instrument, and then its masks, drawn for each image."""
        return self.instruments(generators).draw(generators)

    def simulate(
        self,
        x: torch.Tensor,
        noise: NoiseFunction,
        generators: Sequence[np.random.Generator],
    ) -> torch.Tensor:
        """Return measurements by drawn instruments, see `ForwardMap.simulate`."""
        return self.instruments(generators).simulate(x, noise, generators)

    def norm(self) -> torch.Tensor:
        """Return the largest norm of the maps."""
        return torch.stack([A.norm() for A in self.each]).max()

    def by_instrument(
        self, compute: Callable[..., torch.Tensor], *tensors: torch.Tensor
    ) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)

    def forward(self, x: torch.Tensor) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)

    def bind(self, y: torch.Tensor, start_image: torch.Tensor | None = None) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)

    def with_masks_of(self, y: torch.Tensor) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)


class LinearInstrumentPool(InstrumentPool, LinearMap):
    """Several linear maps, one of which is drawn for each image, see `InstrumentPool`."""

    def adjoint(self, y: torch.Tensor) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)


def per_image_map(maps: Sequence[ForwardMap]) -> PerImageMap:
    """Return the map that measures image i by ``maps[i]``; images with one map are a group."""
    distinct = list(dict.fromkeys(maps))
    rows = [torch.tensor([i for i, A in enumerate(maps) if A is B]) for B in distinct]
    return _of_groups(distinct, rows)


def _of_groups(maps: Sequence[ForwardMap], rows: Sequence[torch.Tensor]) -> PerImageMap:
    all_linear = all(isinstance(A, LinearMap) for A in maps)
    return (LinearPerImageMap if all_linear else PerImageMap)(maps, rows)


class PerImageMap(ForwardMap):
    """A batch's map: one map for each group of images.

    It is made on the device and in the type of its maps, and does not move.

    Parameters
    ----------
    maps : sequence of ForwardMap
        The map of each group. Its masks, if it has one for each image, are those of the group.
    rows : sequence of tensor
        The images of each group: together, each index of the batch once.
    """

    _order: torch.Tensor

    def __init__(self, maps: Sequence[ForwardMap], rows: Sequence[torch.Tensor]):
        super().__init__(maps[0].image_shape, maps[0].measurement_shape)
        # A tuple, not a ModuleList: the maps belong to the pool, and are already in place.
        self.maps, self.rows = tuple(maps), [group.tolist() for group in rows]
        self.missing_value = maps[0].missing_value
        order = torch.cat(list(rows)).argsort()
        self.register_buffer("_order", order.to(maps[0].place.device))
        if any(A.observed is not None for A in maps):
            self.observed = self._together([_whole_mask(*group) for group in self._groups()])

    @property
    def place(self) -> torch.Tensor:
        return self.maps[0].place

    @property
    def each(self) -> list[ForwardMap]:
        return list(self.maps)

    def _groups(self) -> Sequence[tuple[ForwardMap, list[int]]]:
        return list(zip(self.maps, self.rows, strict=True))

    def _together(self, of_groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the results of the groups in the order of the images."""
        return of_groups[0] if len(of_groups) == 1 else torch.cat(list(of_groups))[self._order]

    def by_instrument(
        self, compute: Callable[..., torch.Tensor], *tensors: torch.Tensor
    ) -> torch.Tensor:
        if len(self.rows) == 1:
            return compute(*tensors, self.maps[0])
        return self._together(
            [compute(*(tensor[rows] for tensor in tensors), A) for A, rows in self._groups()]
        )

    def part(self, first: int, last: int) -> ForwardMap:
        """Return the map of the images from `first` to `last`, which is excluded."""
        map_of = {i: A for A, rows in self._groups() for i in rows}
        return per_image_map([map_of[i] for i in range(first, min(last, len(map_of)))])

    @cached_property
    def squared_norms(self) -> torch.Tensor:
        """``||A||^2`` of each image, shape ``(batch, 1, 1, 1)``."""
        norms = {i: A.squared_norm for A, rows in self._groups() for i in rows}
        values = self.place.new_tensor([norms[i] for i in range(len(norms))])
        return spread(values, 4)

    def norm(self) -> torch.Tensor:
        """Return the largest norm of the maps."""
        return torch.stack([A.norm() for A in self.maps]).max()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the measurement of each image by its map."""
        return self.by_instrument(lambda x_k, A: A(x_k), x)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the vector-Jacobian product of each image's map."""
        return self.by_instrument(lambda x_k, v_k, A: A.vjp(x_k, v_k), x, v)

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with the masks of all groups drawn."""
        drawn = [A.draw([generators[i] for i in rows]) for A, rows in self._groups()]
        return self._rebuilt(drawn)

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of all groups read from the NaN of `y`."""
        return self._rebuilt([A.with_masks_of(y[rows]) for A, rows in self._groups()])

    def _rebuilt(self, maps: Sequence[ForwardMap]) -> ForwardMap:
        if all(new is old for new, old in zip(maps, self.maps, strict=True)):
            return self
        return _of_groups(maps, [torch.tensor(rows) for rows in self.rows])


class LinearPerImageMap(PerImageMap, LinearMap):
    """A batch's map: one linear map for each group of images, see `PerImageMap`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y`` of each image's map."""
        return self.by_instrument(lambda y_k, A: A.adjoint(y_k), y)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x`` of each image's map."""
        return self.by_instrument(lambda x_k, A: A.normal(x_k), x)

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        """Return ``A^+ y`` of each image's map."""
        return self.by_instrument(lambda y_k, A: A.pseudo_inverse(y_k, rcond), y)

    def data_term(self, y: torch.Tensor) -> DataTerm:
        return _PerImageDataTerm(self, y)


class _PerImageDataTerm(LinearDataTerm):
    """The data fidelity of several linear maps; proximal steps use the closed form of each."""

    A: LinearPerImageMap
    unmasked: LinearPerImageMap

    @property
    def squared_norm(self) -> torch.Tensor:
        """``||A||^2`` of each image, shape ``(batch, 1, 1, 1)``."""
        return self.unmasked.squared_norms

    def in_image_units(self, y: torch.Tensor) -> torch.Tensor:
        """Return each measurement divided by the norm of its map."""
        return y / spread(self.squared_norm.flatten().sqrt(), y.ndim)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return the proximal step of each image, in closed form where its map has one."""
        rho = torch.as_tensor(rho, dtype=z.dtype, device=z.device).expand(len(z), 1, 1, 1)
        return self.A.by_instrument(
            lambda y_k, z_k, rho_k, A: A.data_term(y_k).prox(z_k, rho_k), self.y, z, rho
        )


def _whole_mask(A: ForwardMap, rows: list[int]) -> torch.Tensor:
    """Return the mask of each image of a group."""
    shape = (len(rows), *A.measurement_shape)
    observed = torch.ones((), dtype=torch.bool) if A.observed is None else A.observed
    return observed.to(A.place.device).expand(shape)
