"""Checkpoints: where training stood, in one file that can be gone on from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skmetainv.parameters import Interval, ParameterObject
from skmetainv.storage import DamagedFileError, read, write
from skmetainv.training.processes import rank_and_size

_FORMAT = 2


class Checkpoint(ParameterObject):
    """Where, and how often, training writes what it would need to go on.

    Parameters
    ----------
    path : path-like
        The file; a later `fit` with the same parameters and data goes on from it. It is replaced
        in one step: whenever training is killed, the file is whole.
    minutes : float, default=10.0
        Write after so many minutes, in the midst of an epoch too. None does not.
    epochs : int, default=None
        Write after so many epochs. None does not.

    Notes
    -----
    A file of safetensors, with a JSON record and a checksum in its header. It is written once more
    when training is over; `fit` then gives its result without training. Candidates of a search
    would share the file, and refuse it: give `checkpoint` to single fits. If several processes
    train together, the first one reads and writes it, so that only its machine needs the file.
    Functions are the same parameters if their source is the same, comments aside. A denoiser that
    is fitted with the estimator around its solver is not in the file, and is fitted anew: give it a
    `checkpoint` of its own, or fit it before.

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
        "minutes": [Interval(Real, 0, None, closed="left"), None],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def build(self, identity: Mapping[str, Any]) -> Keeper:
        """Return what reads and writes the file.

        Parameters
        ----------
        identity : mapping of str to {"text": str, "identity": str}
            What training depends on: how messages name it, and what tells it from others.

        Raises
        ------
        ValueError
            If there is a file, and it is damaged or of another training.
        """
        self._validate_params()
        path = Path(self.path)
        if not path.parent.is_dir() or path.is_dir():
            raise ValueError(
                f"The 'checkpoint' parameter must be a file in a folder that exists. Got "
                f"{str(path)!r} instead."
            )
        return Keeper(path, self.minutes, self.epochs, dict(identity))


#: What a parameter that takes a checkpoint accepts.
CHECKPOINT_CONSTRAINTS = [str, PathLike, Checkpoint, None]


def as_checkpoint(checkpoint: str | PathLike[str] | Checkpoint) -> Checkpoint:
    """Return the checkpoint that a path is shorthand for; a `Checkpoint` is returned as it is."""
    return checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)


class TrainingState(NamedTuple):
    """Where training stands."""

    arrays: dict[str, dict[str, np.ndarray]]
    """Arrays by kind and name."""
    record: dict[str, Any]
    """All the rest, what JSON can hold."""


class Keeper:
    """The file of one training.

    Parameters
    ----------
    path : Path
        The file.
    minutes : float or None
        After how many minutes a state is due.
    epochs : int or None
        After how many epochs a state is due.
    identity : dict of str to object
        What training depends on.

    Attributes
    ----------
    found : TrainingState or None
        The state to go on from.
    seed : int or None
        Its seed.
    """

    def __init__(
        self, path: Path, minutes: float | None, epochs: int | None, identity: dict[str, Any]
    ):
        self.path, self.minutes, self.epochs, self.identity = path, minutes, epochs, identity
        self.seed: int | None = None
        self.found = self._read() if path.exists() else None
        self._written = time.monotonic()

    def is_due(self, n_epochs: int | None = None) -> bool:
        """Return whether it is time to write, in an epoch or after `n_epochs` of them."""
        if n_epochs is not None:
            return self.epochs is not None and n_epochs % self.epochs == 0
        return self.minutes is not None and time.monotonic() - self._written >= 60 * self.minutes

    def write(self, state: TrainingState) -> None:
        """Replace the file."""
        self._written = time.monotonic()
        if rank_and_size()[0]:
            return
        arrays = {
            f"{kind}/{name}": array
            for kind, named in state.arrays.items()
            for name, array in named.items()
        }
        record = {"format": _FORMAT, "identity": self.identity, "seed": self.seed, **state.record}
        write(self.path, arrays, record)

    def _read(self) -> TrainingState:
        try:
            arrays, record = read(self.path)
        except DamagedFileError as error:
            raise ValueError(f"The checkpoint cannot be gone on from: {error}") from error
        if record.pop("format", None) != _FORMAT:
            raise ValueError(f"The checkpoint {self.path} is of another version of skmetainv.")
        differences = _differences(record.pop("identity"), self.identity)
        if differences:
            raise ValueError(
                f"The checkpoint {self.path} is of another training: {'; '.join(differences)}. "
                "Remove the file, or give another path, to begin anew."
            )
        self.seed = record.pop("seed")
        kinds: dict[str, dict[str, np.ndarray]] = {
            kind: {} for kind in ("weights", "optimizer", "figures", "best")
        }
        for key, array in arrays.items():
            kind, _, name = key.partition("/")
            kinds[kind][name] = array
        return TrainingState(kinds, record)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what two trainings differ in, in words."""
    told = []
    for name in {**before, **now}:
        both = [part.get(name, {"text": "nothing", "identity": ""}) for part in (before, now)]
        if both[0]["identity"] != both[1]["identity"]:
            texts = [value["text"] for value in both]
            changed = " and is now ".join(texts) if texts[0] != texts[1] else "of other values"
            told.append(f"{name} was {changed}")
    return told
