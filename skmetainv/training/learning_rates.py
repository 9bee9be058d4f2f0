"""Learning-rate schedules, as functions of the completed share of training."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from numbers import Real

from skmetainv.parameters import Interval, ParameterObject, StrOptions


class LearningRate(ParameterObject):
    """A factor by which the learning rates are multiplied in the course of training.

    A subclass implements `after_warmup`.

    Parameters
    ----------
    warmup : float, default=0.0
        Share of training, at its start, over which the factor grows linearly from 0.

    Examples
    --------
    >>> from skmetainv.training import Adam, LearningRate
    >>> class Linear(LearningRate):
    ...     final: float = 0.5
    ...
    ...     def after_warmup(self, done):
    ...         return 1 - (1 - self.final) * done
    >>> Adam(schedule=Linear(warmup=0.2)).schedule.factor(done=1.0)
    0.5
    """

    warmup: float = 0.0

    _parameter_constraints = {"warmup": [Interval(Real, 0, 1, closed="left")]}

    def factor(self, done: float) -> float:
        """Return the factor after the share `done` of training, in [0, 1].

        Parameters
        ----------
        done : float
            The share of training, in [0, 1].

        Returns
        -------
        factor : float
            The factor of all learning rates.
        """
        if done < self.warmup:
            return done / self.warmup
        return self.after_warmup((min(done, 1.0) - self.warmup) / (1 - self.warmup))

    def after_warmup(self, done: float) -> float:
        """Return the factor after the share `done`, in [0, 1], of training after the warm-up.

        Parameters
        ----------
        done : float
            The share of training after the warm-up, in [0, 1].

        Returns
        -------
        factor : float
            The factor of all learning rates.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define after_warmup.")


class Constant(LearningRate):
    """Constant learning rates, after the warm-up.

    Examples
    --------
    >>> from skmetainv.training import Constant
    >>> schedule = Constant(warmup=0.2)
    >>> schedule.factor(done=0.1), schedule.factor(done=0.5)
    (0.5, 1.0)
    """

    def after_warmup(self, done: float) -> float:
        return 1.0


class Cosine(LearningRate):
    """Cosine annealing from the given learning rates down to a share of them.

    Parameters
    ----------
    final : float, default=0.0
        The factor at the end.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR, 2017.

    Examples
    --------
    >>> from skmetainv.training import Cosine
    >>> schedule = Cosine(final=0.1)
    >>> [round(schedule.factor(done), 3) for done in (0.0, 0.5, 1.0)]
    [1.0, 0.55, 0.1]
    """

    _: KW_ONLY
    final: float = 0.0

    _parameter_constraints = {
        **LearningRate._parameter_constraints,
        "final": [Interval(Real, 0, 1, closed="both")],
    }

    def after_warmup(self, done: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


_SHORTHANDS: dict[str, type[LearningRate]] = {"constant": Constant, "cosine": Cosine}

#: The constraints of a parameter for a schedule.
LEARNING_RATE_CONSTRAINTS = [
    StrOptions(_SHORTHANDS, {"none": "constant", "cos": "cosine", "cosine_annealing": "cosine"}),
    LearningRate,
]


def as_learning_rate(schedule: str | LearningRate) -> LearningRate:
    """Return the schedule for a name; return a `LearningRate` as it is."""
    return _SHORTHANDS[schedule]() if isinstance(schedule, str) else schedule
