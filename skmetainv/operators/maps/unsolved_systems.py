"""Counts of the updates of linear systems, and warnings about those that could not be solved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from math import inf
from textwrap import shorten

from sklearn.exceptions import ConvergenceWarning

from skmetainv.exceptions import warn

# Most characters that a warning quotes of an operator; the text of a matrix would be long.
_LONGEST_NAME = 100


class Watch:
    """A record of linear systems: the updates they took, and those that could not be solved.

    Parameters
    ----------
    operator : object, default=None
        The operator of the systems, named in the warning.

    Attributes
    ----------
    n_updates : int
        Number of updates of conjugate gradients, each for all images of a batch.
    n_unsolved : int
        Number of systems that conjugate gradients could not solve; each image is a system.
    worst : float
        The largest of their residuals, relative to the right-hand side.
    """

    def __init__(self, operator: object = None):
        self.operator, self.n_updates = operator, 0
        self.n_unsolved, self.worst = 0, 0.0

    def note(self, unsolved: list[float]) -> None:
        """Record the relative residuals of systems that were not solved."""
        self.n_unsolved += len(unsolved)
        self.worst = max([self.worst, *(r if r == r else inf for r in unsolved)])

    def describe(self) -> str:
        """Return the text of the warning about these systems."""
        name = shorten(repr(self.operator), _LONGEST_NAME, placeholder=" ...")
        where = "" if self.operator is None else f" of {name}"
        return (
            f"{self.n_unsolved} linear system(s) (A'A + rho I) x = b{where} could not be solved: "
            f"relative residual up to {self.worst:.2g}. A larger penalty or precision='float64' "
            "may help. If the operator is your own, check its adjoint, <A x, y> = <x, A' y>, with "
            "skmetainv.testing.check_operator."
        )


class _Alone(Watch):
    """A watch outside of any `watched` block: it warns at once."""

    def note(self, unsolved: list[float]) -> None:
        watch = Watch()
        watch.note(unsolved)
        warn(watch.describe(), ConvergenceWarning)


_CURRENT: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[Watch]:
    """Record all unsolved linear systems of the block in `watch`, including those of derivatives.

    Outside of such a block, a system that is not solved causes a `ConvergenceWarning`.
    """
    token = _CURRENT.set(watch)
    try:
        yield watch
    finally:
        _CURRENT.reset(token)


def ignoring_unsolved_systems() -> AbstractContextManager[Watch]:
    """Within the ``with`` block, do not warn of systems that are not solved."""
    return watched(Watch())


def current_watch() -> Watch:
    """Return the watch of the innermost `watched` block, or one that warns if there is none."""
    watch = _CURRENT.get()
    return _Alone() if watch is None else watch
