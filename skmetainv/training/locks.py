"""A lock of a file, which ends with the process that holds it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import IO
from weakref import WeakSet

from skmetainv.storage import checked_path

if sys.platform != "win32":
    import fcntl


class Lock:
    """A lock of a file, which at most one `Lock` holds at a time. It ends with the process, too.

    It is advisory: it does not prevent reading and writing. Where files cannot be locked
    (a new lock in a read-only folder, Windows, some file systems), `acquire` always returns True,
    and `is_held` is False.

    Parameters
    ----------
    path : path-like
        The file to lock, which need not exist. The lock itself is a hidden file in its folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skmetainv.training.locks import Lock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = (Lock(Path(folder, "run.ckpt")) for _ in range(2))
    ...     print(first.acquire(), second.acquire())
    ...     first.release()
    ...     print(second.acquire())
    ...     second.release()
    True False
    True
    """

    def __init__(self, path: str | PathLike[str]):
        resolved = checked_path(path)
        self._path = resolved.with_name(f".{resolved.name}.lock")
        self._file: IO[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock; False where files cannot be locked."""
        return self._file is not None

    def acquire(self) -> bool:
        """Acquire the lock; return False if another holds it."""
        if sys.platform == "win32":
            return True
        while True:
            try:
                # A file object, which is closed even if an interrupt comes in the next lines.
                opener = partial(os.open, mode=0o600)
                file = open(self._path, "ab", opener=opener)  # noqa: SIM115
            except OSError:
                return True
            with suppress(FileNotFoundError):  # its holder has removed it just now: try again
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                except OSError:  # a file system without locks
                    return True
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self._path)):
                    self._file = file
                    _held.add(self)
                    return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


#: The locks of this process. A process that it forks must not hold them, too.
_held: WeakSet[Lock] = WeakSet()


def _close_inherited() -> None:
    for lock in list(_held):
        if lock._file is not None:
            lock._file.close()
            lock._file = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
