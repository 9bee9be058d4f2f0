"""Restoration of batches of measurements, with warnings about failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.exceptions import warn
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.maps.unsolved_systems import Watch, watched

#: ``restore(y, A)`` restores the images of a batch of measurements by the map of one instrument.
Restore: TypeAlias = Callable[[torch.Tensor, ForwardMap], torch.Tensor]


class Restorer:
    """A function from measurements to images that counts failures.

    Parameters
    ----------
    restore : callable
        ``restore(y, A)`` restores the images of a batch of measurements by the map ``A``.
    operator : Operator
        The operator of the measurements. Warnings about linear systems name it.
    watch : Watch, default=None
        Counts unsolved linear systems; None creates a new one.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.reconstruction import Restorer
    >>> restorer = Restorer(lambda y, A: A.pseudo_inverse(y), Identity())
    >>> restorer(torch.ones(2, 1, 4, 4), Identity().build((1, 4, 4)).float()).shape
    torch.Size([2, 1, 4, 4])
    >>> restorer.n_images, restorer.n_diverged
    (2, 0)
    """

    def __init__(self, restore: Restore, operator: Operator, watch: Watch | None = None):
        self.restore, self.watch = restore, Watch(operator) if watch is None else watch
        self.n_images = self.n_diverged = 0

    def __call__(self, y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        """Return the images of a batch of measurements by the map `A`."""
        with watched(self.watch):
            x = self.restore(y, A)
        self.n_images += len(x)
        self.n_diverged += int((~x.isfinite()).flatten(1).any(dim=1).sum())
        return x

    def warn(self) -> None:
        """Warn of images that are not finite, and of linear systems that were not solved."""
        self.warn_of_images()
        if self.watch.n_unsolved:
            warn(self.watch.describe(), ConvergenceWarning)

    def warn_of_images(self) -> None:
        """Warn of images that are not finite."""
        if self.n_diverged:
            warn(
                f"{self.n_diverged} of {self.n_images} reconstructions are not finite: the "
                "iterations diverged. Smaller step sizes, or measurements closer to those of "
                "training, may help.",
                ConvergenceWarning,
            )
