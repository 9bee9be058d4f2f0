"""Training figures: sums over the images of an epoch, and the history of their means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from skmetainv.training.processes import from_all_processes, rank_and_size

#: Lists by the name of the figure, with one entry per epoch.
History: TypeAlias = dict[str, list[Any]]

_SHOWN = 4


def empty_history(names: Iterable[str], *, validated: bool = False) -> History:
    """Return a history without epochs: an empty list for each figure.

    Parameters
    ----------
    names : iterable of str
        Names of the losses: the keyword arguments of `TrainingLoop.descend`.
    validated : bool, default=False
        Whether there is a validation PSNR.

    Returns
    -------
    history : dict of str to list
        Empty lists.
    """
    columns = [*names, *["validation_psnr"] * validated, "learning_rate", "seconds"]
    return {name: [] for name in columns}


class Figures:
    """The figures of the current epoch, as sums over its images so far.

    With several processes, each holds the sums over its share of the images.

    Parameters
    ----------
    sums : mapping of str to ndarray, default=None
        Sums over all processes, if an epoch is resumed.
    n_images : int, default=0
        Number of images in these sums.
    seconds : float, default=0.0
        Time spent on these images.
    """

    def __init__(
        self,
        sums: Mapping[str, np.ndarray] | None = None,
        n_images: int = 0,
        seconds: float = 0.0,
    ):
        self._sums: dict[str, Any] = dict(sums or {}) if rank_and_size()[0] == 0 else {}
        self.n_images, self.seconds = n_images, seconds

    def add(self, values: Mapping[str, np.ndarray], n_images: int) -> None:
        """Add figures of a batch of `n_images`, one row per image of this process's share."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.sum(axis=0, dtype=float)
        self.n_images += n_images

    def sums(self) -> dict[str, np.ndarray]:
        """Return the sums over the images of all processes; all of them must call this."""
        total: dict[str, Any] = {}
        for sums in from_all_processes(self._sums):
            for name, values in sums.items():
                total[name] = total.get(name, 0.0) + values
        return {name: np.asarray(value) for name, value in total.items()}

    def end_epoch(self, history: History, psnr: float | None, learning_rate: float) -> None:
        """Append the means over the images of all processes to a history."""
        for name, total in self.sums().items():
            history.setdefault(name, []).append((total / self.n_images).tolist())
        if psnr is not None:
            history.setdefault("validation_psnr", []).append(psnr)
        history.setdefault("learning_rate", []).append(learning_rate)
        history.setdefault("seconds", []).append(self.seconds)


def continued(earlier: History, later: History) -> History:
    """Concatenate two histories, with NaN for figures that only one of them has."""
    n_earlier, n_later = len(earlier.get("seconds", [])), len(later.get("seconds", []))
    return {
        name: earlier.get(name, [np.nan] * n_earlier) + later.get(name, [np.nan] * n_later)
        for name in {**earlier, **later}
    }


def as_text(history: History) -> dict[str, str]:
    """Return the figures of the last epoch as short texts."""
    return {
        name: " ".join(f"{v:.{_SHOWN}g}" for v in np.ravel(values[-1]))
        for name, values in history.items()
        if np.size(values[-1])
    }
