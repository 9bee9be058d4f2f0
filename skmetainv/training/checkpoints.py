"""Checkpoints: the state of training in one file, from which `fit` can resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError

from skmetainv.exceptions import CheckpointWarning, warn
from skmetainv.parameters import COUNT, NOT_NEGATIVE, ParameterObject
from skmetainv.storage import (
    DamagedFileError,
    checked_path,
    read,
    read_header,
    remove_orphans,
    try_to_write,
    write,
)
from skmetainv.training.locks import Lock
from skmetainv.training.processes import rank_and_size

_KIND, _FORMAT = "checkpoint", 3


class Checkpoint(ParameterObject):
    """The file in which training saves its state, and how often.

    Parameters
    ----------
    path : path-like
        The file. A later `fit` with the same parameters and data resumes from it. It is replaced
        atomically: if training is killed, the file is intact.
    minutes : float, default=10.0
        Write every `minutes` minutes, also within an epoch. If None, the file is not written at
        time intervals.
    epochs : int, default=None
        Write every `epochs` epochs. If None, the file is not written at the end of epochs.

    Notes
    -----
    The file is in safetensors format, with a JSON record and checksums in its header. It is also
    written before the first step, so that a full disk is found in time, and at the end of training;
    a later `fit` returns that result without training again. If a later write fails, training goes
    on, and `fit` tries again when the next write is due. Only the first failure issues a warning.

    Batch schedulers send SIGTERM before they end a job. If `fit` runs in the main thread, and the
    script has no handler of SIGTERM, the signal ends training after the current step: `fit` writes
    the file, and the process exits with status 143.

    While one fit trains, a second fit with the same file raises an error. (Windows and file systems
    without locks do not detect this.) The candidates of a search would share the file, and raise an
    error, too: use `checkpoint` for single fits only. If several processes train together, only the
    first one reads and writes the file, so only its machine needs it.

    Two functions count as equal if their source without comments, their default arguments and the
    values in their closures are equal. A denoiser that is fitted as part of an estimator's solver
    is not in the file, and is fitted again on resuming: give it its own `checkpoint`, or fit it
    beforehand.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.training import Checkpoint
    >>> est = MetaInverseSolver(checkpoint=Checkpoint("run.ckpt", minutes=5.0))
    """

    path: str | PathLike[str]
    _: KW_ONLY
    minutes: float | None = 10.0
    epochs: int | None = None

    _parameter_constraints = {
        "path": [str, PathLike],
        "minutes": [NOT_NEGATIVE, None],
        "epochs": [COUNT, None],
    }

    def build(self, identity: Mapping[str, Any]) -> Keeper:
        """Return the object that reads and writes the file.

        Parameters
        ----------
        identity : mapping of str to {"text": str, "identity": str}
            The parameters and data of training, by name. "text" is the value in messages, and
            "identity" is the text that is compared.

        Returns
        -------
        keeper : Keeper
            It has read the file, if there was one.

        Raises
        ------
        ValueError
            If the path cannot name a file in an existing folder, or if the file is damaged, comes
            from a different training run, or is in use by another `fit`.
        OSError
            If the file cannot be written.
        """
        try:
            path = checked_path(self.path)
        except (OSError, RuntimeError, ValueError) as error:  # also a loop of links
            raise ValueError(
                "The 'checkpoint' parameter must be a file in an existing folder. Got the path "
                f"{str(self.path)!r} instead: {error}"
            ) from error
        return Keeper(path, self.minutes, self.epochs, dict(identity))


#: The constraints of a parameter for a checkpoint.
CHECKPOINT_CONSTRAINTS = [str, PathLike, Checkpoint, None]


def as_checkpoint(checkpoint: str | PathLike[str] | Checkpoint) -> Checkpoint:
    """Return the checkpoint for a path; return a `Checkpoint` as it is."""
    return checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)


class TrainingState(NamedTuple):
    """The state of training."""

    arrays: dict[str, dict[str, np.ndarray]]
    """Groups of arrays by name: "weights", "optimizer", "figures" of the epoch, "best" weights."""
    record: dict[str, Any]
    """Everything else, as JSON."""


class Keeper:
    """Reads and writes the checkpoint file of one training run.

    Unless the training in the file has finished, it locks the file until `close`.

    Parameters
    ----------
    path : Path
        The file.
    minutes : float or None
        Interval in minutes, see `Checkpoint`.
    epochs : int or None
        Interval in epochs, see `Checkpoint`.
    identity : dict of str to object
        The parameters and data of training, see `Checkpoint.build`.

    Attributes
    ----------
    saved_state : TrainingState or None
        The state from which to resume.
    seed : int or None
        The seed of training.
    """

    def __init__(
        self, path: Path, minutes: float | None, epochs: int | None, identity: dict[str, Any]
    ):
        self.path, self.minutes, self.epochs, self.identity = path, minutes, epochs, identity
        self.seed: int | None = None
        self._written, self._has_warned = time.monotonic(), False
        self._lock: Lock | None = None
        self.saved_state: TrainingState | None = None
        if not path.exists() or not self._checked(self._read(read_header)[1])["finished"]:
            self._lock_file()
        try:
            if path.exists():
                self.saved_state = self._state()
        except BaseException:
            self.close()
            raise

    def _lock_file(self) -> None:
        """Lock the file, and try to write beside it."""
        self._lock = Lock(self.path)
        if not self._lock.acquire():
            raise ValueError(
                f"Another fit is using the checkpoint {self.path}. Use another path, or wait until "
                "it ends."
            )
        if self._lock.is_held:
            remove_orphans(self.path)
        with self._before_training():
            try_to_write(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lock": None}  # only the first of several processes has the lock

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()

    def is_due(self, n_epochs: int | None = None) -> bool:
        """Return whether to write now: within an epoch, or after `n_epochs` epochs if given."""
        if n_epochs is not None:
            return self.epochs is not None and n_epochs % self.epochs == 0
        return self.minutes is not None and time.monotonic() - self._written >= 60 * self.minutes

    def begin(self, state: TrainingState) -> None:
        """Write the file before the first step, in the first process only.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        with self._before_training():
            self._replace(state)

    @contextmanager
    def _before_training(self) -> Iterator[None]:
        """Say in errors of writing that training did not start."""
        try:
            yield
        except OSError as error:
            self.close()
            reason = (
                "Training did not start, because its checkpoint cannot be written: "
                f"{error.strerror or error}"
            )
            raise OSError(error.errno, reason, str(self.path)) from error

    def write(self, state: TrainingState) -> None:
        """Replace the file, in the first process only; if this fails, warn once."""
        try:
            self._replace(state)
        except (OSError, MemoryError, SafetensorError) as error:
            if not self._has_warned:
                self._has_warned = True
                warn(
                    f"The checkpoint {self.path} could not be written: {error}. Training goes on; "
                    "the next write is tried when it is due.",
                    CheckpointWarning,
                )

    def _replace(self, state: TrainingState) -> None:
        self._written = time.monotonic()
        if rank_and_size()[0]:
            return
        arrays = {
            f"{group}/{name}": array
            for group, named in state.arrays.items()
            for name, array in named.items()
        }
        known = {"kind": _KIND, "format": _FORMAT, "identity": self.identity, "seed": self.seed}
        write(self.path, arrays, known | state.record)

    def _read(self, by: Callable[[Path], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Read the file by a function of `storage`."""
        try:
            return by(self.path)
        except DamagedFileError as error:
            raise ValueError(f"Training cannot resume from the checkpoint: {error}") from error

    def _checked(self, record: Any) -> dict[str, Any]:
        """Return a record, or raise if it is not that of a state of this training run."""
        if not isinstance(record, dict) or record.get("kind") != _KIND:
            raise ValueError(f"{self.path} is not a training checkpoint.")
        if record.get("format") != _FORMAT:
            raise ValueError(f"The checkpoint {self.path} is from another version of skmetainv.")
        differences = _differences(record["identity"], self.identity)
        if differences:
            raise ValueError(
                f"The checkpoint {self.path} is from a different training run: "
                f"{'; '.join(differences)}. Remove the file, or use another path, to start anew."
            )
        return record

    def _state(self) -> TrainingState:
        """Return the state in the file."""
        arrays, record = self._read(read)
        self.seed = self._checked(record)["seed"]
        groups: dict[str, dict[str, np.ndarray]] = {
            group: {} for group in ("weights", "optimizer", "figures", "best")
        }
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            groups[group][name] = array
        return TrainingState(groups, record)


def _differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Describe the differences between the identities of a saved and the current training run."""
    changes = []
    for name in {**saved, **current}:
        both = [part.get(name, {"text": "nothing", "identity": ""}) for part in (saved, current)]
        if both[0]["identity"] != both[1]["identity"]:
            texts = [value["text"] for value in both]
            alike = f"different (both are shown as {texts[0]})"
            changed = " and is now ".join(texts) if texts[0] != texts[1] else alike
            changes.append(f"{name} was {changed}")
    return changes
