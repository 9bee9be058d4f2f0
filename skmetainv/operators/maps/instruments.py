"""Maps of several instruments, one for each image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, cast

import numpy as np
import torch
from torch import nn

from skmetainv.noise import NoiseFunction
from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.data_terms import DataTerm, LinearDataTerm
from skmetainv.operators.maps.per_image import spread

_UNKNOWN = (
    "A RandomOperator stands for many instruments. The one that took these measurements must be "
    "named: predict, staged_predict, score and data_fidelity have the argument operator=."
)


def instrument_pool(maps: Sequence[ForwardMap], nominal: float = 0.0) -> InstrumentPool:
    """Return the map that draws one of several maps for each image; it is linear if they are.

    See `InstrumentPool`.
    """
    all_linear = all(isinstance(A, LinearMap) for A in maps)
    return (LinearInstrumentPool if all_linear else InstrumentPool)(maps, nominal)


def check_pools(owner: object, A: ForwardMap) -> None:
    """Raise an error if a map has parts that stand for many instruments.

    Parameters
    ----------
    owner : object
        The operator that built the map.
    A : ForwardMap
        The map.
    """
    if any(isinstance(part, InstrumentPool) for part in A.modules() if part is not A):
        raise ValueError(
            f"A RandomOperator cannot be part of another operator. Got {owner!r}. Let it draw "
            "parameters of the whole, as in "
            'RandomOperator(MissingPixels() @ GaussianBlur(), {"inner__sigma": [1.0, 2.0]}).'
        )


class InstrumentPool(ForwardMap):
    """Several maps, one of which is drawn for each image.

    Methods that need to know the instrument raise an error, until `instruments` has drawn it.

    Parameters
    ----------
    maps : sequence of ForwardMap
        Maps of images of one shape to measurements of one shape.
    nominal : float, default=0.0
        The probability of the first map. The others are equally likely. With 0, all are.
    """

    def __init__(self, maps: Sequence[ForwardMap], nominal: float = 0.0):
        super().__init__(maps[0].image_shape, maps[0].measurement_shape)
        self.maps, self.nominal = nn.ModuleList(maps), nominal
        self.missing_value = maps[0].missing_value

    @property
    def each(self) -> list[ForwardMap]:
        return list(cast(Iterable[ForwardMap], self.maps))

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each map."""
        n = len(self.each)
        if not self.nominal:
            return np.full(n, 1 / n)
        return np.array([self.nominal] + [(1 - self.nominal) / (n - 1)] * (n - 1))

    def instruments(self, generators: Sequence[np.random.Generator]) -> PerImageMap:
        """Return the map that measures each image by a map that its generator draws."""
        return per_image_map([self._drawn(g) for g in generators])

    def _drawn(self, generator: np.random.Generator) -> ForwardMap:
        """Return the map of one image."""
        maps = self.each
        if self.nominal:
            maps = maps[:1] if generator.random() < self.nominal else maps[1:]
        return maps[int(generator.integers(len(maps)))]

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

    def bind(self, y: torch.Tensor, start: torch.Tensor | None = None) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)

    def with_masks_of(self, y: torch.Tensor) -> NoReturn:
        """Raise an error, because the instrument is not known."""
        raise ValueError(_UNKNOWN)


class LinearInstrumentPool(InstrumentPool, LinearMap):
    """Several linear maps, one of which is drawn for each image, see `InstrumentPool`."""

    def __init__(self, maps: Sequence[ForwardMap], nominal: float = 0.0):
        super().__init__(maps, nominal)
        self.has_closed_form = all(cast(LinearMap, A).has_closed_form for A in maps)

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
        The map of each group. If masks vary between images, it has the masks of its group's images.
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
            self.observed = self.together([_whole_mask(*group) for group in self.groups()])

    @property
    def place(self) -> torch.Tensor:
        return self.maps[0].place

    @property
    def each(self) -> list[ForwardMap]:
        return list(self.maps)

    def groups(self) -> list[tuple[ForwardMap, list[int]]]:
        """Return the map and the images of each group."""
        return list(zip(self.maps, self.rows, strict=True))

    def together(self, of_groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the results of the groups in the order of the images."""
        return of_groups[0] if len(of_groups) == 1 else torch.cat(list(of_groups))[self._order]

    def by_instrument(
        self, compute: Callable[..., torch.Tensor], *tensors: torch.Tensor
    ) -> torch.Tensor:
        if len(self.rows) == 1:
            return compute(*tensors, self.maps[0])
        return self.together(
            [compute(*(tensor[rows] for tensor in tensors), A) for A, rows in self.groups()]
        )

    def check_batch(self, n_images: int) -> None:
        """Raise an error if there is not one map for each image."""
        n_maps = sum(len(rows) for rows in self.rows)
        if n_maps != n_images:
            raise ValueError(
                f"A list of operators must have one for each measurement. Got {n_maps} operators "
                f"for {n_images} measurements."
            )

    def part(self, first: int, last: int) -> ForwardMap:
        """Return the map of the images from `first` to `last`, which is excluded."""
        return per_image_map(self._in_order()[first:last])

    def of_images(self, y: torch.Tensor) -> list[ForwardMap]:
        return self._in_order()

    def _in_order(self) -> list[ForwardMap]:
        """Return the map of each image."""
        map_of = {i: A for A, rows in self.groups() for i in rows}
        return [map_of[i] for i in range(len(map_of))]

    @property
    def squared_norm(self) -> torch.Tensor:  # type: ignore[override]
        """``||A||^2`` of each image's map, shape ``(batch, 1, 1, 1)``."""
        return spread(self.place.new_tensor([A.squared_norm for A in self._in_order()]), 4)

    def norm(self) -> torch.Tensor:
        """Return the largest norm of the maps."""
        return torch.stack([A.norm() for A in self.maps]).max()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the measurement of each image by its map."""
        return self.by_instrument(lambda x_k, A: A(x_k), x)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the vector-Jacobian product of each image's map."""
        return self.by_instrument(lambda x_k, v_k, A: A.vjp(x_k, v_k), x, v)

    def simulate(
        self,
        x: torch.Tensor,
        noise: NoiseFunction,
        generators: Sequence[np.random.Generator],
    ) -> torch.Tensor:
        """Return measurements by each image's map, see `ForwardMap.simulate`."""
        return self.together(
            [A.simulate(x[rows], noise, [generators[i] for i in rows]) for A, rows in self.groups()]
        )

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with the masks of all groups drawn."""
        drawn = [A.draw([generators[i] for i in rows]) for A, rows in self.groups()]
        return self._rebuilt(drawn)

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the masks of all groups read from the NaN of `y`."""
        return self._rebuilt([A.with_masks_of(y[rows]) for A, rows in self.groups()])

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

    def __init__(self, A: LinearPerImageMap, y: torch.Tensor):
        DataTerm.__init__(self, A, y)  # the terms of the maps have computed A' y
        terms = [cast(LinearMap, B).data_term(y[rows]) for B, rows in A.groups()]
        self._of_map = dict(zip(A.maps, terms, strict=True))
        self.adjoint_y = A.together([cast(LinearDataTerm, term).adjoint_y for term in terms])

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return the proximal step of each image, in closed form where its map has one."""
        if not isinstance(rho, torch.Tensor) or not rho.ndim:
            return self.A.by_instrument(lambda z_k, A: self._of_map[A].prox(z_k, rho), z)
        return self.A.by_instrument(
            lambda z_k, rho_k, A: self._of_map[A].prox(z_k, rho_k), z, rho.expand(len(z), 1, 1, 1)
        )


def _whole_mask(A: ForwardMap, rows: list[int]) -> torch.Tensor:
    """Return the mask of each image of a group."""
    shape = (len(rows), *A.measurement_shape)
    observed = torch.ones((), dtype=torch.bool) if A.observed is None else A.observed
    return observed.to(A.place.device).expand(shape)
