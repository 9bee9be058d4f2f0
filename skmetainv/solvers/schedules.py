"""Positive numbers of a solver: one, or one per update; fixed or learnable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from skmetainv.operators import DataTerm, ForwardMap

#: One number for all updates, or one for each.
Values: TypeAlias = float | Sequence[float] | np.ndarray
#: Values, or "auto" for a default that scales with the operator's norm.
ValuesOrAuto: TypeAlias = Values | Literal["auto"]
#: Values and a power: ``values (||A||^2)^power``.
ValuesAndPower: TypeAlias = tuple[Values, int]
#: An object that has the norm of an operator.
HasNorm: TypeAlias = ForwardMap | DataTerm

# Losses up to 3 percent above the lowest count as equally good.
_AS_GOOD = 0.03


def squared_norm(normed: HasNorm | None) -> float | torch.Tensor:
    """Return ``||A||^2``; if it cannot be computed, the error has advice."""
    if normed is None:
        raise ValueError(
            "This schedule scales with ||A||^2. Pass the map or the data term: schedule(k, data)."
        )
    try:
        return normed.squared_norm
    except ValueError as error:
        error.add_note(
            "The solver's default scales with this norm. Pass a number, as in "
            "GradientDescent(step_size=0.1)."
        )
        raise


class Schedule(nn.Module):
    """A positive number for every update: one for all updates, or one for each.

    Parameters
    ----------
    values : float or sequence of float
        One number for all updates, or one for each.
    learnable : bool
        Whether training may change them. Training then changes their logarithms, so that they stay
        positive and an optimiser's step changes them by a relative amount.
    power : {-1, 0, 1}, default=0
        Power of ``||A||^2`` by which the values are multiplied: -1 for step sizes, 1 for penalties,
        0 for absolute numbers.

    Examples
    --------
    Step sizes for an operator with norm 2:

    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import Schedule
    >>> A = (2.0 * Identity()).build((1, 4, 4))
    >>> step_size = Schedule([1.0, 0.5], learnable=False, power=-1)
    >>> [step_size(k, A) for k in range(3)]
    [0.25, 0.125, 0.125]
    """

    def __init__(self, values: Values, learnable: bool, power: int = 0):
        super().__init__()
        self.power = power
        numbers = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
        self.values: list[float] = numbers.tolist()
        self.logarithm = nn.Parameter(numbers.log()) if learnable else None

    def factor(self, k: int) -> float | torch.Tensor:
        """Return the multiple of the unit in update `k`; updates after the last value repeat it.

        Parameters
        ----------
        k : int
            Index of the update, from 0.

        Returns
        -------
        factor : float, or tensor of shape ()
            The multiple; a tensor if it is learned.
        """
        place = min(k, len(self.values) - 1)
        return self.values[place] if self.logarithm is None else self.logarithm[place].exp()

    def forward(self, k: int, normed: HasNorm | None = None) -> float | torch.Tensor:
        """Return the value for update `k`.

        Parameters
        ----------
        k : int
            Index of the update, from 0.
        normed : ForwardMap or DataTerm, default=None
            The object that has the norm ``||A||``; not needed if `power` is 0.

        Returns
        -------
        number : float, or tensor of shape () or (batch, 1, 1, 1)
            The number. A fixed one is a float, so that data terms can reuse results for it. If
            `normed` has a norm for each image, the number is a tensor with one value per image.

        Raises
        ------
        ValueError
            If the norm is needed and `normed` is None, or if the norm cannot be computed.
        """
        factor = self.factor(k)
        return factor * squared_norm(normed) ** self.power if self.power else factor

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.values)


def scale_numbers(module: Any, losses: Callable[[], torch.Tensor]) -> None:
    """Multiply each learnable schedule of a module by a factor that makes a loss low.

    All combinations of the factors 1/512, 1/64, 1/8, ..., 512 are tried. Combinations
    whose loss is within 3 percent of the lowest count as equally good. The one of them with factors
    closest to 1 is used. Losses that are not finite count as infinite.

    Parameters
    ----------
    module : nn.Module
        A solver; its schedules are changed in place.
    losses : callable
        Returns the losses of some images with the current schedules; their mean is minimised.
    """
    schedules = [part for part in module.modules() if isinstance(part, Schedule)]
    logarithms = [part.logarithm for part in schedules if part.logarithm is not None]
    initial_logs = [logarithm.detach().clone() for logarithm in logarithms]
    mean_losses = {}
    with torch.no_grad():
        for powers in product(range(-3, 4), repeat=len(logarithms)):
            _scale(logarithms, initial_logs, powers)
            mean_losses[powers] = float(losses().mean().nan_to_num(math.inf, math.inf))
        lowest = min(mean_losses.values())
        enough = lowest + _AS_GOOD * abs(lowest)
        good = [powers for powers, loss in mean_losses.items() if loss <= enough]
        _scale(logarithms, initial_logs, min(good, key=lambda powers: sum(map(abs, powers))))


def _scale(
    logarithms: Sequence[torch.Tensor], initial_logs: Sequence[torch.Tensor], powers: Sequence[int]
) -> None:
    for logarithm, initial_log, power in zip(logarithms, initial_logs, powers, strict=True):
        logarithm.copy_(initial_log + power * math.log(8))
