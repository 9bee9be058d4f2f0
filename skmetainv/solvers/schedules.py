"""Positive numbers that a solver goes by: one, or one per update; fixed or learnable."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn


class HasNorm(Protocol):
    """What has the norm of an operator: a map, or a data term."""

    @property
    def squared_norm(self) -> float:
        """``||A||^2``."""


class Schedule(nn.Module):
    """A positive number for every update.

    Parameters
    ----------
    values : float or sequence of float
        One for all updates, or one for each.
    learnable : bool
        Whether training may change them. They are then powers of e whose exponents are learned,
        so that they stay positive, and one step of an optimiser changes them by a share.
    power : {-1, 0, 1}, default=0
        The numbers are in units of ``||A||^2`` to this power: -1 for step sizes and 1 for penalties
        that are relative to the operator, 0 for those that are not.
    """

    def __init__(self, values: float | Sequence[float], learnable: bool, power: int = 0):
        super().__init__()
        self.power = power
        numbers = torch.atleast_1d(torch.as_tensor(values, dtype=torch.float64))
        self.values: list[float] = numbers.tolist()
        self.logarithm = nn.Parameter(numbers.log()) if learnable else None

    def forward(self, k: int, of: HasNorm | None = None) -> float | torch.Tensor:
        """Return the number of update `k`, counted from 0; past the last one, the last.

        A fixed one is a float, so that data terms keep what they computed for it. Where `power` is
        not 0, the norm is that `of` a map or a data term; without one the factor is returned.
        """
        place = min(k, len(self.values) - 1)
        value = self.values[place] if self.logarithm is None else self.logarithm[place].exp()
        return value if not self.power or of is None else value * of.squared_norm**self.power

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self.values)


def check_schedule(
    values: Any, n_iter: int, name: str, owner: str, *, or_auto: bool = False
) -> None:
    """Raise unless a parameter is a positive number, or one for each update.

    Parameters
    ----------
    values : object
        What was given.
    n_iter : int
        Number of updates.
    name, owner : str
        The parameter, and the class that has it.
    or_auto : bool, default=False
        Whether it may be "auto".

    Raises
    ------
    ValueError
        If it is neither.
    """
    if or_auto and isinstance(values, str) and values == "auto":
        return
    numbers = [values] if isinstance(values, Real) else values
    also = ", or 'auto'" if or_auto else ""
    sequence = isinstance(numbers, list | tuple | np.ndarray) and np.ndim(numbers) == 1
    if not sequence or not all(
        isinstance(v, Real) and v is not True and 0 < float(v) < np.inf for v in numbers
    ):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a positive number, or a sequence of them, "
            f"one per update{also}. Got {values!r} instead."
        )
    if not isinstance(values, Real) and len(numbers) != n_iter:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be one number, or one per update: n_iter is "
            f"{n_iter}. Got {len(numbers)} numbers instead."
        )
