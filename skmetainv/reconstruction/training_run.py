"""One training run of an estimator: the work of `fit` and `partial_fit` after the checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.arrays import to_numpy
from skmetainv.exceptions import concerning, warn
from skmetainv.inputs import Problem
from skmetainv.inputs.splits import cut_off
from skmetainv.inputs.validation import check_device
from skmetainv.losses import as_loss
from skmetainv.metrics import known_pixels, mean_over_batches, psnr
from skmetainv.operators.maps.unsolved_systems import Watch, ignoring_unsolved_systems, watched
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction.callbacks import CallbackNotifier
from skmetainv.reconstruction.identity import data_identity, outline, parameter_identity
from skmetainv.training import (
    Batches,
    EarlyStopping,
    LearningRate,
    TrainingLoop,
    as_checkpoint,
    as_early_stopping,
    as_learning_rate,
    as_optimizer,
    load_arrays,
    state_to_arrays,
)
from skmetainv.training.checkpoints import Keeper
from skmetainv.training.history import continued, empty_history
from skmetainv.training.processes import (
    check_agreement,
    from_first_process,
    join_processes,
    rank_and_size,
)
from skmetainv.training.termination import EXIT_STATUS, PostponedInterrupt

if TYPE_CHECKING:
    from skmetainv.reconstruction.trained import Learner, TrainedReconstructor


class TrainingRun:
    """Trains an estimator once.

    Parameters
    ----------
    estimator : TrainedReconstructor
        The estimator to train. It has the fitted attributes that describe images.
    passed : Problem
        The images that were passed to learn from.
    held_out : Problem or None
        The validation images that were passed.
    continues : bool
        Whether training starts from the fitted weights.
    is_partial : bool
        Whether the run is that of `partial_fit`: one epoch, without checkpoint, early stopping and
        callbacks.

    Attributes
    ----------
    problem : Problem
        The images that the run learns from: `passed`, without those that early stopping holds out.
    held_out : Problem or None
        The validation images. If none were passed, those that early stopping holds out.
    batches : Batches
        The training data.
    learner : Learner
        The weights, and the functions that learn and restore with them.
    loop : TrainingLoop
        The loop over the epochs.
    """

    batches: Batches
    learner: Learner
    loop: TrainingLoop

    def __init__(
        self,
        estimator: TrainedReconstructor,
        passed: Problem,
        held_out: Problem | None,
        *,
        continues: bool,
        is_partial: bool,
    ):
        self.estimator, self.passed, self.held_out = estimator, passed, held_out
        self.problem = passed
        self.continues, self.is_partial = continues, is_partial

    @torch.enable_grad()
    def train(self, original: TrainedReconstructor, interrupt: PostponedInterrupt) -> None:
        """Train the estimator, and set its fitted attributes.

        Parameters
        ----------
        original : TrainedReconstructor
            The user's estimator, whose callbacks are notified.
        interrupt : PostponedInterrupt
            Postpones an interrupt that ends the loop.
        """
        estimator = self.estimator
        join_processes(check_device(estimator.device))
        self._check_agreement()
        with self._checkpoint() as keeper:
            seed = self._seed(keeper)
            stopping = self._early_stopping()
            if stopping is not None and self.held_out is None:
                self.problem, self.held_out = cut_off(
                    self.passed, stopping.validation_fraction, seed
                )
            problem = self.problem

            self._check_optimizer()
            with concerning("the training loss, 'loss' or 'outer_loss'"):
                criterion = as_loss(estimator._training_loss()).build(problem.geometry.data_range)
            if self.continues:
                estimator._continue_training()
            else:
                estimator._start_anew(seed)
                estimator._initialize(problem)
            self.batches = estimator._batches(problem)
            if not self.continues:
                with ignoring_unsolved_systems():  # training itself warns of them
                    estimator._choose_open_values(problem, self.batches, criterion)
            self.learner = estimator._learner(problem, criterion)

            self.loop = self._new_loop(keeper, stopping)
            notifier = self.loop.observer = self._notifier(original)
            notifier.begin_training()
            self._run_loop(interrupt)
            notifier.end_training()
            estimator.__dict__.update(self._results())

    # ------------------------------------------------------------------ before the loop

    def _check_agreement(self) -> None:
        """Raise if several processes that train together have different data or parameters."""
        if rank_and_size()[1] == 1:
            return
        estimator = self.estimator
        max_epochs = 1 if self.is_partial else estimator.max_epochs
        size = estimator.batch_size
        data = data_identity(self.passed, self.held_out, {}, batch_size=size, whole=False)
        check_agreement(outline(estimator, max_epochs) | data)

    @contextmanager
    def _checkpoint(self) -> Iterator[Keeper | None]:
        """Yield the keeper of checkpoints, or None; if the file exists, the keeper reads it."""
        estimator = self.estimator
        if estimator.checkpoint is None or self.is_partial:
            yield None
            return
        chosen = as_checkpoint(estimator.checkpoint)
        weights = estimator.weights_ if self.continues else {}

        def read() -> Keeper:
            size = estimator.batch_size
            data = data_identity(self.passed, self.held_out, weights, batch_size=size)
            return chosen.build(parameter_identity(estimator) | data)

        keeper = from_first_process(read)
        try:
            yield keeper
        finally:
            keeper.close()

    def _seed(self, keeper: Keeper | None) -> int:
        """Return the seed of the checkpoint, of earlier training, or a new one.

        The keeper stores it in the checkpoint.
        """
        estimator = self.estimator
        new = estimator._seed_ if self.continues else integer_seed(estimator.random_state)
        seed = from_first_process(lambda: new)
        if keeper is None:
            return seed
        if keeper.seed is None:
            keeper.seed = seed
        return keeper.seed

    def _early_stopping(self) -> EarlyStopping | None:
        """Return the rule for early stopping, or None if training does not stop early."""
        if self.is_partial:
            return None
        groups, n_images = self.passed.groups, len(self.passed)
        n_groups = n_images if groups is None else len(np.unique(groups))
        return as_early_stopping(self.estimator.early_stopping, n_images, n_groups)

    def _check_optimizer(self) -> None:
        """Build an optimiser, so that a wrong parameter raises before any long work."""
        as_optimizer(self.estimator.optimizer).build([{"params": [torch.zeros(1)], "lr": 0.0}])

    # ------------------------------------------------------------------ the loop

    def _new_loop(self, keeper: Keeper | None, stopping: EarlyStopping | None) -> TrainingLoop:
        """Return the loop over the epochs of this run."""
        estimator, learner, held_out = self.estimator, self.learner, self.held_out
        scheduled = self._scheduled_epochs()
        return TrainingLoop(
            self.batches,
            self._optimizer(),
            learner.weights,
            max_epochs=1 if self.is_partial else len(scheduled),
            first_epoch=estimator.n_epochs_,
            learning_rate=self._learning_rate(scheduled),
            planned_epochs=scheduled,
            max_grad_norm=as_optimizer(estimator.optimizer).max_grad_norm,
            show_progress=bool(estimator.verbose),
            validate=None if held_out is None else partial(self._validation_psnr, held_out),
            best_weights=None if stopping is None else stopping.build(),
            keeper=keeper,
            watch=Watch(estimator.operator_),
        )

    def _scheduled_epochs(self) -> range:
        """Return the epochs over which the learning rate is scheduled, those of `fit`."""
        first = 0 if self.is_partial else self.estimator.n_epochs_
        return range(first, first + self.estimator._n_epochs(self.batches.n_images))

    def _learning_rate(self, scheduled: range) -> LearningRate:
        """Return the schedule of the learning rate; warn if the schedule has ended at 0."""
        schedule = as_optimizer(self.estimator.optimizer).schedule
        if self.is_partial and self.estimator.max_epochs is None:
            schedule = "constant"
        learning_rate = as_learning_rate(schedule)
        if self.estimator.n_epochs_ >= scheduled.stop and not learning_rate.factor(1.0):
            warn(
                f"The learning rate is 0: its schedule ended after max_epochs={scheduled.stop}.",
                ConvergenceWarning,
            )
        return learning_rate

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser, with the state of earlier runs if they used the same type."""
        optimizer = as_optimizer(self.estimator.optimizer).build(self.learner.parameter_groups)
        earlier = self.estimator._optimizer_state_
        if earlier.get("type") == type(optimizer).__name__:
            load_arrays(optimizer, earlier["averages"])
        return optimizer

    def _validation_psnr(self, held_out: Problem) -> float:
        """Return the mean PSNR of held-out images, restored with the current weights."""
        pairs = known_pixels(self.estimator._held_out_pairs(self.learner, held_out))
        with ignoring_unsolved_systems():  # the loop counts those of training steps only
            return mean_over_batches(psnr, pairs, held_out.geometry.data_range)

    def _notifier(self, original: TrainedReconstructor) -> CallbackNotifier:
        """Return the observer of epochs that notifies the callbacks of `fit`."""
        X, y = self.passed.arguments()
        return CallbackNotifier(
            None if self.is_partial else original,
            n_epochs=len(self.loop.epochs),
            X=X,
            y=y,
            attributes=self._attributes_so_far,
        )

    def _run_loop(self, interrupt: PostponedInterrupt) -> None:
        """Run the loop; postpone an interrupt that ends it."""
        loop = self.loop
        # With several processes, an interrupt is not postponed: the other processes may be at
        # another step, or waiting for this one.
        postponed = nullcontext() if rank_and_size()[1] > 1 else interrupt.postponed()
        try:
            with watched(loop.watch), loop.termination:
                with postponed:
                    self.learner.learn(loop)
                if interrupt.error is not None:
                    with suppress(KeyboardInterrupt):  # a second one must not lose what was learned
                        loop.write_checkpoint()
        finally:
            loop.close()
            if loop.is_terminated or loop.termination.requested:
                raise SystemExit(EXIT_STATUS)

    # ------------------------------------------------------------------ results

    def _results(self) -> dict[str, Any]:
        """Return the fitted attributes that training so far has changed."""
        loop, estimator = self.loop, self.estimator
        best = {} if loop.best_weights is None else loop.best_weights.weights
        figures = empty_history(estimator._loss_names, validated=loop.validate is not None)
        return {
            "weights_": best or to_numpy(self.learner.weights),
            "history_": continued(estimator.history_, figures | loop.history),
            "n_epochs_": loop.epoch,
            "_optimizer_state_": {
                "type": type(loop.optimizer).__name__,
                "averages": state_to_arrays(loop.optimizer),
            },
        }

    def _attributes_so_far(self) -> dict[str, Any]:
        """Return the fitted attributes after the epochs so far, for callbacks."""
        fitted = {name: v for name, v in vars(self.estimator).items() if name.endswith("_")}
        # The estimator that a callback makes needs a cache of its own.
        return {**fitted, **self._results(), "_cache": {}}
