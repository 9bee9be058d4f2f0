"""Training figures: sums over the images of an epoch, and the history of their means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch

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
        known = dict(sums or {}) if rank_and_size()[0] == 0 else {}
        self._sums = {name: torch.as_tensor(total) for name, total in known.items()}
        self._n_images: int | torch.Tensor = n_images
        self.seconds = seconds

    @property
    def n_images(self) -> int:
        """Number of images in the sums."""
        return int(self._n_images)

    def wait(self) -> None:
        """Wait until the device has added all figures."""
        int(self._n_images)

    def add(
        self, values: Mapping[str, torch.Tensor], n_images: int, is_valid: torch.Tensor
    ) -> None:
        """Add figures of a batch of `n_images`, one row per image of this process's share.

        Unless `is_valid`, a flag on the device of the figures, is True, nothing is added.
        """
        for name, value in values.items():
            total = torch.where(is_valid, value.double().sum(dim=0), 0.0)
            if name in self._sums:
                total += self._sums[name].to(total.device)
            self._sums[name] = total
        self._n_images = self._n_images + n_images * is_valid

    def sums(self) -> dict[str, np.ndarray]:
        """Return the sums over the images of all processes; all of them must call this."""
        own = {name: total.cpu().numpy() for name, total in self._sums.items()}
        total: dict[str, Any] = {}
        for sums in from_all_processes(own):
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
