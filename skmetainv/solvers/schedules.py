"""Positive numbers that a solver goes by: one, or one per update; fixed or learnable."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn


class Schedule(nn.Module):
    """A positive number for every update.

    Parameters
    ----------
    values : float or sequence of float
        One for all updates, or one for each.
    learnable : bool
        Whether training may change them. They are then powers of e whose exponents are learned,
        so that they stay positive, and one step of an optimiser changes them by a share.
    """

    values: torch.Tensor | None
    logarithm: nn.Parameter

    def __init__(self, values: float | Sequence[float], learnable: bool):
        super().__init__()
        numbers = torch.atleast_1d(torch.as_tensor(values, dtype=torch.float64))
        if learnable:
            self.logarithm = nn.Parameter(numbers.log())
        self.register_buffer("values", None if learnable else numbers)

    def numbers(self) -> torch.Tensor:
        """Return all numbers, one or one per update."""
        return self.logarithm.exp() if self.values is None else self.values

    def forward(self, k: int) -> torch.Tensor:
        """Return the number of update `k`, counted from 0; past the last one, the last."""
        numbers = self.numbers()
        return numbers[min(k, len(numbers) - 1)]


def check_schedule(values: Any, n_iter: int, name: str, owner: str) -> None:
    """Raise unless `values` is a positive number, or `n_iter` of them."""
    numbers = [values] if isinstance(values, Real) else values
    if not isinstance(numbers, list | tuple | np.ndarray) or not all(
        isinstance(v, Real) and v is not True and 0 < float(v) < np.inf for v in numbers
    ):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a positive number, or a sequence of them, "
            f"one per update. Got {values!r} instead."
        )
    if not isinstance(values, Real) and len(numbers) != n_iter:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be one number, or one per update: n_iter is "
            f"{n_iter}. Got {len(numbers)} numbers instead."
        )
