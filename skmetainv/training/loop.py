"""The one loop for everything that learns: batches, an optimiser, a history, a progress bar."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from skmetainv.training.batches import Batches


class TrainingLoop:
    """Iterate over batches; the body computes gradients, `descend` makes the step.

    ::

        for x, y in loop:
            loss = ...
            loss.mean().backward()
            loop.descend(outer_loss=loss)

    A step whose loss, or gradient squared, is not finite is skipped (Adam's average of squares
    would never recover); an epoch without any finite step ends training. Either is told by a
    `ConvergenceWarning` when the loop ends.

    Parameters
    ----------
    batches : Batches
        What to learn from.
    optimizer : torch.optim.Optimizer
        What `descend` steps.
    max_epochs : int
        How often to see every image.
    first_epoch : int, default=0
        Epochs seen before, when training goes on.
    show_progress : bool, default=False
        Draw a progress bar.

    Attributes
    ----------
    history : dict of str to list
        For each epoch: ``seconds``, and the mean over images of what `descend` was given.
    n_epochs : int
        Number of epochs finished.
    """

    def __init__(
        self,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        *,
        max_epochs: int,
        first_epoch: int = 0,
        show_progress: bool = False,
    ):
        self.batches, self.optimizer = batches, optimizer
        self.epochs = range(first_epoch, first_epoch + max_epochs)
        self.show_progress = show_progress
        self.history: dict[str, list[Any]] = {}
        self._totals: dict[str, Any] = {}
        self._n_images = 0
        self._n_skipped = 0
        self.n_epochs = 0

    def __iter__(self) -> Iterator[Any]:
        total = len(self.epochs) * len(self.batches)
        with tqdm(total=total, unit="step", disable=not self.show_progress) as bar:
            for epoch in self.epochs:
                bar.set_description(f"epoch {epoch + 1}/{self.epochs.stop}")
                began = time.perf_counter()
                self._totals, self._n_images = {}, 0
                for batch in self.batches.epoch(epoch):
                    self.optimizer.zero_grad()
                    yield batch
                    bar.update()
                if not self._n_images:
                    break
                self._end_epoch(time.perf_counter() - began)
                bar.set_postfix(self._last_figures())
        self._warn_of_divergence()

    def descend(self, **figures: torch.Tensor) -> None:
        """Make the optimiser's step, and note figures for the history.

        Parameters
        ----------
        **figures : tensor of shape (batch,) or (batch, k)
            Losses of each image; where one is not finite the step is skipped.
        """
        values = {name: figure.detach().cpu().numpy() for name, figure in figures.items()}
        finite = all(np.isfinite(value).all() for value in values.values())
        if not (finite and self._gradient_is_finite()):
            self._n_skipped += 1
            return
        self.optimizer.step()
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + value.sum(axis=0, dtype=float)
        self._n_images += len(value)  # every figure has one row per image

    def _gradient_is_finite(self) -> bool:
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        squares = [g.square().sum() for g in gradients if g is not None]
        return bool(torch.stack(squares).isfinite().all()) if squares else True

    def _end_epoch(self, seconds: float) -> None:
        self.n_epochs += 1
        self.history.setdefault("seconds", []).append(seconds)
        for name, total in self._totals.items():
            self.history.setdefault(name, []).append((total / self._n_images).tolist())

    def _warn_of_divergence(self) -> None:
        if not self._n_skipped:
            return
        stopped = self.n_epochs < len(self.epochs)
        warnings.warn(
            f"Training diverged: {self._n_skipped} step(s) had a loss or a squared gradient that "
            "is not finite and were skipped. "
            f"{'No step of the last epoch was finite: training stopped. ' * stopped}"
            "Smaller inner and outer learning rates, or images within the data range, may help.",
            ConvergenceWarning,
            stacklevel=2,
        )

    def _last_figures(self) -> dict[str, str]:
        scalars = {name: values[-1] for name, values in self.history.items() if name != "seconds"}
        return {name: f"{v:.3g}" for name, v in scalars.items() if np.ndim(v) == 0}
