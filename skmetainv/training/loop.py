"""The training loop for everything that learns: batches, an optimiser, a history, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.arrays import Tensors
from skmetainv.exceptions import warn
from skmetainv.operators.maps.unsolved_systems import Watch
from skmetainv.training.batches import Batches
from skmetainv.training.checkpoints import Keeper, TrainingState
from skmetainv.training.early_stopping import BestWeights
from skmetainv.training.history import Figures, History
from skmetainv.training.learning_rates import Constant, LearningRate
from skmetainv.training.optimizers import load_arrays, state_to_arrays, step_unless
from skmetainv.training.processes import (
    from_all_processes,
    from_first_process,
    rank_and_size,
    sum_gradients,
)
from skmetainv.training.progress import Progress
from skmetainv.training.termination import Termination


class Observer(Protocol):
    """An object that is notified of epochs."""

    def begin(self) -> None:
        """Handle the start of an epoch."""

    def end(self) -> bool:
        """Handle the end of an epoch; return whether to stop."""


class TrainingLoop:
    """Iterate over batches: the body of the loop adds gradients, `descend` makes the step.

    ::

        for batch in loop:
            loss = ...  # one value per image
            loss.sum().backward()
            loop.descend(outer_loss=loss)

    The body sums gradients over the images of its batch. `descend` divides the sums by the number
    of images in the batches of all processes. So the optimiser uses the gradient of the mean loss.

    A step is skipped if its loss or its squared gradient is not finite (Adam's average of squares
    would never recover), or if `watch` counted unsolved linear systems in it. If all steps of an
    epoch are skipped, training ends. At the end of the loop, a `ConvergenceWarning` reports the
    number of skipped steps. On a CUDA device with Adam and in a single process, the device decides:
    the processor does not wait for the step.

    Parameters
    ----------
    batches : Batches
        The training data.
    optimizer : torch.optim.Optimizer
        The optimiser whose steps `descend` makes.
    weights : mapping of str to tensor
        All learned weights, by name. Checkpoints and early stopping save them.
    max_epochs : int
        Number of epochs.
    first_epoch : int, default=0
        Number of epochs before this loop, if training is resumed.
    learning_rate : LearningRate, default=None
        The schedule; None is `Constant`.
    planned_epochs : range, default=None
        The epochs that the schedule spans; None is the epochs of this loop.
    max_grad_norm : float, default=None
        Largest norm of the gradient of all weights together; larger gradients are scaled down.
        With None, gradients are not clipped.
    validate : callable, default=None
        Returns the validation PSNR; called after every epoch.
    best_weights : BestWeights, default=None
        Keeps the weights with the best validation PSNR, and decides when to stop.
    keeper : Keeper, default=None
        Writes checkpoints, and holds the state from which to resume.
    observer : Observer, default=None
        Notified of every epoch.
    watch : Watch, default=None
        Counts unsolved linear systems in the body, see
        `skmetainv.operators.maps.unsolved_systems.watched`; None is a new one.
    show_progress : bool, default=False
        Show progress, see `Progress`.

    Attributes
    ----------
    history : dict of str to list
        For each epoch: the means over images of the figures passed to `descend`,
        ``validation_psnr`` if there is validation, ``learning_rate`` (of the first group, at the
        end of the epoch), and ``seconds``.
    epoch : int
        Number of finished epochs, including those before this loop.
    termination : Termination
        Within ``with loop.termination``, SIGTERM ends the loop after the current step, if there is
        a keeper.
    is_terminated : bool
        Whether SIGTERM ended the loop.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.training import Batches, TrainingLoop
    >>> x = torch.linspace(1, 2, 8)
    >>> batches = Batches(len(x), batch_size=4, seed=0, read=lambda indices, epoch: x[indices])
    >>> w = torch.zeros((), requires_grad=True)
    >>> loop = TrainingLoop(batches, torch.optim.SGD([w], lr=0.1), {"w": w}, max_epochs=20)
    >>> for x_i in loop:
    ...     loss = (w * x_i - 3 * x_i).square()
    ...     loss.sum().backward()
    ...     loop.descend(loss=loss)
    >>> round(w.item(), 3)
    3.0
    >>> len(loop.history["loss"])
    20
    """

    def __init__(
        self,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        weights: Tensors,
        *,
        max_epochs: int,
        first_epoch: int = 0,
        learning_rate: LearningRate | None = None,
        planned_epochs: range | None = None,
        max_grad_norm: float | None = None,
        validate: Callable[[], float] | None = None,
        best_weights: BestWeights | None = None,
        keeper: Keeper | None = None,
        observer: Observer | None = None,
        watch: Watch | None = None,
        show_progress: bool = False,
    ):
        self.batches, self.optimizer, self.weights = batches, optimizer, weights
        self.epochs = range(first_epoch, first_epoch + max_epochs)
        self.learning_rate = Constant() if learning_rate is None else learning_rate
        self.planned_epochs = self.epochs if planned_epochs is None else planned_epochs
        self.max_grad_norm, self.validate = max_grad_norm, validate
        self.best_weights, self.keeper, self.observer = best_weights, keeper, observer
        self.history: History = {}
        self.watch = Watch() if watch is None else watch
        self._n_unsolved_so_far = self._n_unsolved = 0
        self.epoch, self._step, self._stopped = first_epoch, 0, False
        self._n_skipped: int | torch.Tensor = 0  # a tensor on the device after the first step
        self._consistent = True
        self.termination, self.is_terminated = Termination(active=keeper is not None), False
        self._figures = Figures()
        self._show_progress = show_progress and rank_and_size()[0] == 0
        self._progress = Progress(0, 0, show=False)  # until the first epoch
        self._rates = [group["lr"] for group in optimizer.param_groups]
        if keeper is not None and keeper.saved_state is not None:
            self._resume(keeper.saved_state)

    @property
    def n_epochs(self) -> int:
        """Number of epochs finished by this loop."""
        return self.epoch - self.epochs.start

    @property
    def is_over(self) -> bool:
        """Whether all epochs are finished, or training was stopped early."""
        return self.epoch >= self.epochs.stop or self._stopped

    def __iter__(self) -> Iterator[Any]:
        keeper = None if self.is_over else self.keeper  # a finished file is not written again
        if keeper is not None:
            state = self._state()
            from_first_process(lambda: keeper.begin(state))
        n_per_epoch = len(self.batches)
        n_done = self.n_epochs * n_per_epoch + self._step
        self._progress = Progress(len(self.epochs) * n_per_epoch, n_done, show=self._show_progress)
        while not self.is_over and not self.is_terminated:
            self._progress.begin_epoch(f"epoch {self.epoch + 1}/{self.epochs.stop}")
            if self.observer is not None:
                self.observer.begin()
            yield from self._one_epoch()
            if self.is_terminated or not self._figures.n_images:
                break
            self._end_epoch()
            if self.keeper is not None:
                self.is_terminated = any(from_all_processes(self.termination.requested))
            self._progress.end_epoch(self.history)
        self.close()
        if keeper is not None:
            keeper.write(self._state())
        if self._n_skipped:
            warn(" ".join(self._about_skipped_steps()), ConvergenceWarning)

    def _one_epoch(self) -> Iterator[Any]:
        """Yield the remaining batches of the epoch."""
        began = time.perf_counter() - self._figures.seconds
        for batch in self.batches.epoch(self.epoch, self._step):
            self._set_learning_rates(self._step)
            self.optimizer.zero_grad()
            if batch is None:  # all images of this batch belong to other processes
                self.descend()
            else:
                yield batch
            self._step += 1
            self._consistent = True
            self._figures.seconds = time.perf_counter() - began
            self._progress.step()
            if self.keeper is not None and self._saves_after_step(self.keeper):
                return
        self._figures.wait()
        self._figures.seconds = time.perf_counter() - began

    def _saves_after_step(self, keeper: Keeper) -> bool:
        """Write the checkpoint if it is due; return whether SIGTERM ends training."""
        messages = from_all_processes((keeper.is_due(), self.termination.requested))
        is_due = messages[0][0]  # the first process writes
        self.is_terminated = any(requested for _, requested in messages)
        if is_due and not self.is_terminated:
            keeper.write(self._state())
        return self.is_terminated

    def descend(self, **figures: torch.Tensor) -> None:
        """Take a step of the optimiser, and record figures for the history.

        Parameters
        ----------
        **figures : tensor of shape (batch,) or (batch, k)
            Losses of each image, on the device of the weights. If one is not finite, the step is
            skipped.
        """
        self._consistent = False
        values = {name: figure.detach() for name, figure in figures.items()}
        n_images = len(next(iter(values.values()))) if values else 0
        solved = self.watch.n_unsolved == self._n_unsolved_so_far
        self._n_unsolved_so_far = self.watch.n_unsolved
        n_all, is_valid = self._average_gradients(n_images, [*values.values()], solved)
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters(), self.max_grad_norm)
        step_unless(self.optimizer, is_valid.logical_not())
        self._figures.add(values, n_all, is_valid)
        self._n_skipped = self._n_skipped + is_valid.logical_not()
        self._n_unsolved += not solved

    def _parameters(self) -> list[torch.Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _average_gradients(
        self, n_images: int, figures: list[torch.Tensor], solved: bool
    ) -> tuple[int, torch.Tensor]:
        """Average gradients over the images of all processes, and return the number of images.

        Also return whether the step is valid: in all processes, all figures and squared gradients
        are finite, and all linear systems are solved. The flag stays on the device of the weights.
        """
        parameters = self._parameters()
        is_valid = parameters[0].new_full((), solved, dtype=torch.bool)
        n_all, is_valid = sum_gradients(parameters, n_images, _all_finite(figures, is_valid))
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            torch._foreach_div_(gradients, n_all)
        return n_all, _all_finite([gradient.square().sum() for gradient in gradients], is_valid)

    def _set_learning_rates(self, step: int) -> None:
        steps = len(self.planned_epochs) * len(self.batches)
        done = (self.epoch - self.planned_epochs.start) * len(self.batches) + step + 0.5
        factor = self.learning_rate.factor(min(1.0, done / steps))
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _end_epoch(self) -> None:
        psnr = None
        if self.validate is not None:
            local_psnr = self.validate()
            psnr = from_first_process(lambda: local_psnr)  # GPUs may differ by rounding
        self._consistent = False
        self._figures.end_epoch(self.history, psnr, self.optimizer.param_groups[0]["lr"])
        self._figures = Figures()
        self.epoch, self._step = self.epoch + 1, 0
        if self.best_weights is not None and psnr is not None:
            self._stopped = self.best_weights.is_over(psnr, self.weights)
        self._consistent = True
        if self.observer is not None and self.observer.end():
            self._stopped = True
        self._stopped = any(from_all_processes(self._stopped))
        if self.keeper is not None and self.keeper.is_due(self.n_epochs):
            self.keeper.write(self._state())

    # ------------------------------------------------------------------ saving and resuming

    def write_checkpoint(self) -> None:
        """Write a checkpoint after an interrupt, unless it came in the middle of a step."""
        if self.keeper is not None and self._consistent:
            self.keeper.write(self._state())

    def close(self) -> None:
        """Close the progress bar, however the loop ended."""
        self._progress.close()

    def _state(self) -> TrainingState:
        """Return the complete state of training."""
        stopping = (None, {}) if self.best_weights is None else self.best_weights.state()
        return TrainingState(
            {
                "weights": {name: w.detach().cpu().numpy() for name, w in self.weights.items()},
                "optimizer": state_to_arrays(self.optimizer),
                "figures": self._figures.sums(),
                "best": stopping[1],
            },
            {
                "epoch": self.epoch,
                "step": self._step,
                "n_skipped": int(self._n_skipped),
                "n_unsolved": self._n_unsolved,
                "stopped": self._stopped,
                "finished": self.is_over,
                "seconds": self._figures.seconds,
                "n_images": self._figures.n_images,
                "history": self.history,
                "early_stopping": stopping[0],
            },
        )

    def _resume(self, state: TrainingState) -> None:
        arrays, record = state
        with torch.no_grad():
            for name, array in arrays["weights"].items():
                self.weights[name].copy_(torch.from_numpy(array))
        load_arrays(self.optimizer, arrays["optimizer"])
        self._figures = Figures(arrays["figures"], record["n_images"], record["seconds"])
        if self.best_weights is not None:
            self.best_weights.resume(record["early_stopping"], arrays["best"])
        self.epoch, self._step = record["epoch"], record["step"]
        self._n_skipped, self._stopped = record["n_skipped"], record["stopped"]
        self._n_unsolved = record["n_unsolved"]
        self.history = record["history"]
        if self._step:  # if the epoch has no step left, no step sets the rates
            self._set_learning_rates(self._step - 1)

    def _about_skipped_steps(self) -> Iterator[str]:
        n_diverged = int(self._n_skipped) - self._n_unsolved
        if n_diverged:
            yield (
                f"Training diverged: {n_diverged} step(s) had a loss or a squared gradient that is "
                "not finite and were skipped. Smaller inner and outer learning rates, or images "
                "within the data range, may help."
            )
        if self._n_unsolved:
            yield (
                f"{self._n_unsolved} step(s) of training had linear systems that could not be "
                "solved. These steps were skipped."
            )
            if self.watch.n_unsolved:  # 0 if all were before the checkpoint that was resumed
                yield self.watch.describe()
        if not self.is_over and not self.is_terminated:
            yield "All steps of the last epoch were skipped: training stopped."


def _all_finite(tensors: list[torch.Tensor], is_valid: torch.Tensor) -> torch.Tensor:
    """Return whether all tensors are finite and `is_valid`, without looking at the device."""
    return torch.stack([is_valid, *(t.isfinite().all() for t in tensors)]).all()


def backward(loss: torch.Tensor) -> None:
    """Add the gradients of a training loss to the `grad` of the weights.

    Raises
    ------
    ValueError
        If the loss does not depend on any weight.
    """
    if not loss.requires_grad:
        raise ValueError(
            "The training loss does not depend on the weights, so that there is nothing to learn: "
            "the loss function is constant, or the solver's result does not depend on them."
        )
    loss.backward()
