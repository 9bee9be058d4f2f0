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

    def __init__(self, values: float | Sequence[float], learnable: bool):
        super().__init__()
        numbers = torch.atleast_1d(torch.as_tensor(values, dtype=torch.float64))
        self.values: list[float] = numbers.tolist()
        self.logarithm = nn.Parameter(numbers.log()) if learnable else None

    def forward(self, k: int) -> float | torch.Tensor:
        """Return the number of update `k`, counted from 0; past the last one, the last.

        A fixed one is a float, so that data terms keep what they computed for it.
        """
        if self.logarithm is None:
            return self.values[min(k, len(self.values) - 1)]
        return self.logarithm[min(k, len(self.logarithm) - 1)].exp()

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self.values)


def check_schedule(values: Any, n_iter: int, name: str, owner: str) -> None:
    """Raise unless `values` is a positive number, or `n_iter` of them."""
    numbers = [values] if isinstance(values, Real) else values
    sequence = isinstance(numbers, list | tuple | np.ndarray) and np.ndim(numbers) == 1
    if not sequence or not all(
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
