"""What ends training early: SIGTERM, which batch schedulers send, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

#: The exit status of a process that SIGTERM ended.
EXIT_STATUS = 128 + signal.SIGTERM


class Termination:
    """Within a ``with`` block, records SIGTERM instead of ending the process at once.

    A second SIGTERM ends the process. Outside the main thread, and if the signal already has a
    handler, nothing changes.

    Parameters
    ----------
    active : bool
        Whether to record the signal.

    Attributes
    ----------
    requested : bool
        Whether the signal was received.

    Examples
    --------
    >>> import signal
    >>> from skmetainv.training.termination import Termination
    >>> with Termination(active=True) as termination:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> termination.requested
    True
    """

    def __init__(self, active: bool):
        self.requested = False
        self._active = active

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._active = (
            self._active and in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        )
        if self._active:
            signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._active:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class PostponedInterrupt:
    """Postpones a KeyboardInterrupt from an inner ``with`` block to the end of an outer one.

    The rest of the outer block runs as if the inner one had ended normally; then the interrupt is
    raised. It replaces any other error of that rest, after which a search would continue. It does
    not replace SystemExit.

    Attributes
    ----------
    error : KeyboardInterrupt or None
        The interrupt; None if there was none.

    Examples
    --------
    >>> from skmetainv.training.termination import PostponedInterrupt
    >>> try:
    ...     with PostponedInterrupt() as interrupt:
    ...         with interrupt.postponed():
    ...             raise KeyboardInterrupt
    ...         print("the results are stored")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    the results are stored
    interrupted
    """

    error: KeyboardInterrupt | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *error: Any) -> None:
        if self.error is not None and kind is not SystemExit:
            raise self.error

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Return the inner block."""
        try:
            yield
        except KeyboardInterrupt as error:
            self.error = error
