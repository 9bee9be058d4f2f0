"""Whether linear systems were solved, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from textwrap import shorten

import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.exceptions import warn

# So many characters of an operator are shown: a matrix has many.
_LONGEST_NAME = 100


class Watch:
    """What became of linear systems: how many were not solved, and the worst residual.

    Parameters
    ----------
    operator : object, default=None
        The operator of the systems, named by `describe`.

    Attributes
    ----------
    n_unsolved : int
        Systems that conjugate gradients gave up, one per image and solve.
    worst : float
        The largest residual of those, relative to the right-hand side.
    """

    def __init__(self, operator: object = None):
        self.operator, self.n_unsolved, self.worst = operator, 0, 0.0

    def note(self, unsolved: list[float]) -> None:
        """Take note of the relative residuals of systems that were not solved."""
        self.n_unsolved += len(unsolved)
        self.worst = max([self.worst, *(r if r == r else inf for r in unsolved)])

    def describe(self) -> str:
        """Return the text of a warning about them."""
        name = shorten(repr(self.operator), _LONGEST_NAME, placeholder=" ...")
        where = "" if self.operator is None else f" of {name}"
        return (
            f"{self.n_unsolved} linear system(s) (A'A + rho I) x = b{where} could not be solved: "
            f"relative residual up to {self.worst:.2g}. A larger penalty or precision='float64' "
            "may help. If the operator is your own, check its adjoint, <A x, y> = <x, A' y>: "
            "skmetainv.testing.check_operator does."
        )


class _Alone(Watch):
    """Where nobody watches, the solve itself warns."""

    def note(self, unsolved: list[float]) -> None:
        own = Watch()
        own.note(unsolved)
        warn(own.describe(), ConvergenceWarning)


_CURRENT: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[Watch]:
    """Have `watch` take note of all linear systems in the block, those of derivatives included.

    Outside of any such block, a system that is not solved causes a `ConvergenceWarning`.
    """
    token = _CURRENT.set(watch)
    try:
        yield watch
    finally:
        _CURRENT.reset(token)


def current_watch() -> Watch:
    """Return the watch of the innermost block of `watched`; outside, one that warns."""
    watch = _CURRENT.get()
    return _Alone() if watch is None else watch


def tell(watch: Watch, solved: torch.Tensor, residuals: torch.Tensor) -> None:
    """Tell a watch of the residuals of those systems that were not solved, if there are such."""
    if not solved.all():
        watch.note(residuals[~solved].tolist())
