"""What every estimator that learns by the training loop shares: from `fit` to fitted attributes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from skmetainv.arrays import ArraySource, pairs_of, to_numpy
from skmetainv.exceptions import warn
from skmetainv.losses import Criterion, LossLike, as_loss
from skmetainv.metrics import mean_over_batches, psnr
from skmetainv.noise import as_noise
from skmetainv.operators import Operator
from skmetainv.operators.maps.verdicts import Watch, watched
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction.base import (
    Measure,
    Reconstruct,
    Reconstructor,
    fitted_attributes,
)
from skmetainv.reconstruction.callbacks import CallbackSupportMixin, Epochs, with_callbacks
from skmetainv.reconstruction.geometry import Geometry, Problem
from skmetainv.reconstruction.held_out import cut_off, known_pixels
from skmetainv.reconstruction.identity import data_identity, outline, parameter_identity
from skmetainv.reconstruction.validation import check_device, check_observed
from skmetainv.training import (
    CHECKPOINT_CONSTRAINTS,
    EARLY_STOPPING_CONSTRAINTS,
    OPTIMIZER_CONSTRAINTS,
    Batches,
    Checkpoint,
    EarlyStopping,
    MeasuredPairs,
    Optimizer,
    SimulatedPairs,
    TrainingLoop,
    as_checkpoint,
    as_early_stopping,
    as_learning_rate,
    as_optimizer,
    continued,
    empty_history,
    load_arrays,
    state_to_arrays,
)
from skmetainv.training.processes import (
    check_agreement,
    join_processes,
    rank_and_size,
    told_by_first,
)

# The seed of validation measurements: those of `score`.
_VALIDATION_SEED = 0


class Learner(NamedTuple):
    """What learns, as the training loop needs it."""

    weights: Mapping[str, torch.Tensor]
    """All that is learned, by the names of `weights_`; changed in place."""
    groups: list[dict[str, Any]]
    """The same for the optimiser: ``params`` and their learning rate ``lr``."""
    learn: Callable[[TrainingLoop], None]
    """Takes batches from the loop until it is over."""
    restore: Reconstruct
    """Restores the images of a batch of measurements with the weights as they are."""


class Run(NamedTuple):
    """What one call of `fit` or `partial_fit` asks of training."""

    n_epochs: int
    """0 until it is known how many there are."""
    held_out: tuple[Any, Any]
    groups: Any
    go_on: bool
    resumable: bool
    stopping: EarlyStopping | None = None


def _without_early_stopping(estimator: Any) -> bool:
    if estimator.early_stopping in (False, "auto"):
        return True
    raise AttributeError(
        f"partial_fit does not support early_stopping={estimator.early_stopping!r}."
    )


class TrainedReconstructor(CallbackSupportMixin, Reconstructor):
    """What the estimators that learn in epochs have in common.

    A subclass has the parameters of a `Reconstructor` and those below, and writes `_initial_state`,
    `_training_loss` and `_learner`.

    Parameters
    ----------
    optimizer : {"adam", "adamw", "sgd"} or Optimizer, default="adam"
        How gradients change the weights, see `skmetainv.training`.
    augment : bool, default=True
        Mirror half of the clean images left to right, and shift about 100 of them, at most half, by
        up to a twelfth of their height and width, drawn anew in every epoch. Pairs that `fit` is
        given stay as they are.
    max_epochs : int, default=None
        How often `fit` sees every image. None: as many epochs as make 600 steps, and at least two.
    early_stopping : bool, "auto" or EarlyStopping, default="auto"
        Stop when the validation PSNR no longer rises, and keep the best weights. "auto" does so if
        `fit` has at least 1000 images. See `skmetainv.training.EarlyStopping`.
    checkpoint : path-like or Checkpoint, default=None
        A file that `fit` writes from time to time and goes on from, see
        `skmetainv.training.Checkpoint`.
    warm_start : bool, default=False
        Let `fit` begin with the weights of the last call, and add epochs to it.
    verbose : int, default=0
        1 shows progress, with the figures of `history_`: a bar in a terminal or a notebook, a line
        per epoch elsewhere.
    """

    _: KW_ONLY
    optimizer: str | Optimizer = "adam"
    augment: bool = True
    max_epochs: int | None = None
    early_stopping: bool | str | EarlyStopping = "auto"
    checkpoint: str | PathLike[str] | Checkpoint | None = None
    warm_start: bool = False
    verbose: int = 0

    _parameter_constraints = {
        **Reconstructor._parameter_constraints,
        "optimizer": OPTIMIZER_CONSTRAINTS,
        "augment": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "early_stopping": EARLY_STOPPING_CONSTRAINTS,
        "checkpoint": CHECKPOINT_CONSTRAINTS,
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    #: What `history_` tells of the losses, by the names that the training loop is given.
    _figures: ClassVar[tuple[str, ...]] = ("loss",)
    #: How many steps training makes where `max_epochs` is None, and in how many epochs at least.
    _enough: ClassVar[tuple[int, int]] = (600, 2)

    @abstractmethod
    def _initial_state(self, problem: Problem, seed: int) -> dict[str, Any]:
        """Return the fitted attributes before any training, `weights_` among them."""

    @abstractmethod
    def _reconstruct(self, y: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return the images of a batch of measurements, both as tensors."""

    def _begin(
        self, geometry: Geometry, **how: Any
    ) -> tuple[Reconstruct, Callable[[int, int], None]]:
        return partial(self._reconstruct, geometry=geometry, **how), self._warn_of_divergence

    @abstractmethod
    def _training_loss(self) -> LossLike:
        """Return what training minimises between restored and clean images."""

    @abstractmethod
    def _learner(self, problem: Problem, state: Mapping[str, Any], criterion: Criterion) -> Learner:
        """Return what learns by `criterion`, with the weights of `state`."""

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None, groups: Any = None
    ) -> Self:
        """Learn from clean images, or from measurements and their clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, whose measurements are simulated anew in every epoch. If the operator has
            missing values, pixels that nobody knows may be NaN (`score` takes complete images
            only). Channels may come first; data sets, lazy arrays, lists and data frames are taken,
            see :doc:`/arrays`. A data set of pairs holds `X` and `y`. With `y`: measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`; `noise` then plays no part. A 1-D `y` is
            taken for labels and ignored.
        X_val : array-like, default=None
            Images like `X`, not learned from: their PSNR after every epoch is written into
            ``history_``, and early stopping goes by it. Their measurements are simulated with a
            fixed seed. The PSNR is over the pixels that are known.
        y_val : array-like of two or more dimensions, default=None
            The clean images of the measurements `X_val`.
        groups : array-like of shape (n,), default=None
            A label of each image, the person it shows for instance. Images of one group are never
            on both sides of a split: neither of `validation_fraction`, nor where a start is
            cross-fitted.

        Returns
        -------
        self : estimator
            Fitted. After an error other than an interrupt it is as it was.

        Raises
        ------
        ValueError
            If a parameter is out of its range; if the arrays are not images, may be one image as
            well as several, or are not measurements and their clean images in this order; if a
            checkpoint is damaged, or of other parameters or data.

        Warns
        -----
        ConvergenceWarning
            If steps were skipped because a loss or a gradient was not finite or linear systems
            were not solved, or if training was interrupted.
        AdaptationWarning
            By `MetaInverseSolver`, if its inner steps make results worse than the learned start's.
        DataConversionWarning
            If images, measurements or the noise are in units that can hardly be meant, if flat
            images are taken for square ones, or a last axis of many entries for channels.

        Notes
        -----
        An interrupt (Ctrl-C) ends training, writes the checkpoint if there is one, and is raised
        again, so that it ends a search or a script around it, too. The estimator is then fitted,
        and can be used at the prompt or in the next cell: it has the weights that it came to, or
        with early stopping the best ones. ``n_iter_`` and ``history_`` count finished epochs only:
        in the midst of the first one ``n_iter_`` is 0, and the lists of ``history_`` are empty. If
        several processes train together, nothing is kept but the checkpoint that was written last.
        """
        go_on = self.warm_start and hasattr(self, "weights_")
        return self._train(X, y, Run(0, (X_val, y_val), groups, go_on, resumable=True))

    @available_if(_without_early_stopping)
    def partial_fit(
        self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None, groups: Any = None
    ) -> Self:
        """Learn for one more epoch, from where the last call ended.

        With a constant learning rate and the same data, `k` calls give what one `fit` with
        ``max_epochs=k`` gives. Another schedule is laid over `max_epochs` and ends there; if
        `max_epochs` is None, the rate is constant. What the weights belong to stays as the first
        call found it, whatever `set_params` says since: the operator, the networks, the inner loss
        and its step sizes, the units and the seed. Noise, the loss of training, learning rates and
        `batch_size` may change from call to call.
        No checkpoint is written. Early stopping needs `fit`.

        Parameters
        ----------
        X, y, X_val, y_val, groups : array-like
            See `fit`.

        Returns
        -------
        self : estimator
            Fitted. After an error it is as it was; for interrupts see `fit`.

        Raises
        ------
        AttributeError
            If `early_stopping` is True or an `EarlyStopping`.
        ValueError
            As in `fit`.

        Warns
        -----
        ConvergenceWarning
            As in `fit`, or if the learning rate is 0 because its schedule ended.
        DataConversionWarning
            As in `fit`.
        """
        go_on = hasattr(self, "weights_")
        return self._train(X, y, Run(1, (X_val, y_val), groups, go_on, resumable=False))

    def _train(self, X: Any, y: Any, run: Run) -> Self:
        known = (self._geometry_, self.operator_) if run.go_on else None
        interrupts: list[KeyboardInterrupt] = []
        reports: list[Callable[[], None]] = []
        learn = partial(self._learn, run=run, interrupts=interrupts, reports=reports)
        try:
            self._fit(X, y, learn, known=known)
            if interrupts:
                self._warn_of_interrupt()
        finally:
            if interrupts:  # whatever else happens: a search goes on after other errors
                raise interrupts[0]
        for report in reports:
            report()
        return self

    def _warn_of_interrupt(self) -> None:
        warn(
            f"Training was interrupted in epoch {self.n_iter_ + 1}: this {type(self).__name__} has "
            "the weights that it came to, and can be used.",
            ConvergenceWarning,
        )

    # ------------------------------------------------------------------ learning

    @torch.enable_grad()
    def _learn(
        self,
        problem: Problem,
        *,
        run: Run,
        interrupts: list[KeyboardInterrupt],
        reports: list[Callable[[], None]],
    ) -> dict[str, Any]:
        """Return the fitted attributes after training, also one that an interrupt ended.

        What is to be reported of it once they are set is added to `reports`.
        """
        join_processes(check_device(self.device))
        problem = problem.grouped(run.groups)
        given = problem
        held_out = self._given_held_out(problem, *run.held_out)
        if rank_and_size()[1] > 1:
            data = data_identity([problem, *held_out], {}, whole=False)
            check_agreement(outline(self, run.n_epochs or self.max_epochs) | data)
        keeper = None
        if self.checkpoint is not None and run.resumable:
            kept, begun = as_checkpoint(self.checkpoint), self.weights_ if run.go_on else {}
            keeper = told_by_first(
                lambda: kept.build(
                    parameter_identity(self) | data_identity([problem, *held_out], begun)
                )
            )
        own = self._seed_ if run.go_on else integer_seed(self.random_state)
        seed = told_by_first(lambda: own)
        if keeper is not None:
            seed = keeper.seed = seed if keeper.seed is None else keeper.seed
        if run.resumable:
            n = len(problem.clean)
            n_groups = n if problem.groups is None else len(np.unique(problem.groups))
            stopping = as_early_stopping(self.early_stopping, n, n_groups)
            run = run._replace(stopping=stopping)
        if run.stopping is not None and not held_out:
            problem, own = cut_off(problem, run.stopping.validation_fraction, seed)
            held_out = [own]
        criterion = self._checked_training(problem)
        before = self._going_on() if run.go_on else self._begun(problem, seed)
        batches = self._batches(problem, seed, before)
        run = run._replace(n_epochs=run.n_epochs or self._n_epochs(batches.n_images))
        if not run.go_on:
            with watched(Watch()):  # of systems that are not solved training itself tells
                before = before | self._tried(problem, batches, before, criterion)
        learner = self._learner(problem, before, criterion)
        loop = self._loop(learner, batches, before, run, keeper)
        loop.watch = Watch(problem.operator)
        loop.validate = self._validation(learner, held_out)
        epochs = loop.observer = self._epochs(loop, learner, before, given, run)
        try:
            with watched(loop.watch):
                learner.learn(loop)
        except KeyboardInterrupt as interrupt:
            if rank_and_size()[1] > 1:  # the others are at another step, or wait for this process
                raise
            loop.keep()
            interrupts.append(interrupt)
        finally:
            loop.close()
        if epochs is not None:
            epochs.end_training()
        if run.resumable and not interrupts and rank_and_size()[0] == 0:
            reports.append(partial(self._report, batches, held_out))
        return before | self._progress(loop, learner, before)

    def _n_epochs(self, n_images: int) -> int:
        """Return how often `fit` sees so many images, or patches."""
        if self.max_epochs is not None:
            return self.max_epochs
        n_steps, n_epochs = self._enough
        return max(n_epochs, -(-n_steps // -(-n_images // self.batch_size)))

    def _checked_training(self, problem: Problem) -> Criterion:
        """Return the criterion; what only training needs is checked before long work."""
        chosen = as_optimizer(self.optimizer)
        chosen.build([{"params": [torch.zeros(1)], "lr": 0.0}])
        as_learning_rate(chosen.schedule)._validate_params()
        return as_loss(self._training_loss()).build(problem.geometry.data_range)

    def _going_on(self) -> dict[str, Any]:
        """Return all fitted attributes, to go on from."""
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def _begun(self, problem: Problem, seed: int) -> dict[str, Any]:
        """Return all fitted attributes before any training."""
        nothing = {"n_iter_": 0, "history_": empty_history(self._figures), "_optimizer_state_": {}}
        return self._initial_state(problem, seed) | nothing | {"_seed_": seed}

    def _untrained(self, problem: Problem) -> dict[str, Any]:
        """Return the same, with a seed of the estimator's own."""
        return self._begun(problem, integer_seed(self.random_state))

    def _loop(
        self,
        learner: Learner,
        batches: Batches,
        before: Mapping[str, Any],
        run: Run,
        keeper: Any,
    ) -> TrainingLoop:
        """Return the loop that goes on from what was fitted before."""
        chosen = as_optimizer(self.optimizer)
        optimizer = chosen.build(learner.groups)
        if before["_optimizer_state_"].get("of") == type(optimizer).__name__:
            load_arrays(optimizer, before["_optimizer_state_"]["averages"])
        open_ended = not run.resumable and self.max_epochs is None
        schedule = as_learning_rate("constant" if open_ended else chosen.schedule)
        n_epochs = self._n_epochs(batches.n_images)
        if not run.resumable and before["n_iter_"] >= n_epochs and not schedule.factor(1.0):
            warn(
                f"The learning rate is 0: its schedule ended after max_epochs={n_epochs}.",
                ConvergenceWarning,
            )
        return TrainingLoop(
            batches,
            optimizer,
            learner.weights,
            max_epochs=run.n_epochs,
            first_epoch=before["n_iter_"],
            learning_rate=schedule,
            schedule=None if run.resumable else range(n_epochs),
            max_grad_norm=chosen.max_grad_norm,
            best_weights=None if run.stopping is None else run.stopping.build(),
            keeper=keeper,
            show_progress=bool(self.verbose),
        )

    def _progress(
        self, loop: TrainingLoop, learner: Learner, before: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the fitted attributes that training changed."""
        best = {} if loop.best_weights is None else loop.best_weights.weights
        told = empty_history(self._figures, validated=loop.validate is not None)
        return {
            "weights_": best or to_numpy(learner.weights),
            "history_": continued(before["history_"], told | loop.history),
            "n_iter_": loop.epoch,
            "_optimizer_state_": {
                "of": type(loop.optimizer).__name__,
                "averages": state_to_arrays(loop.optimizer),
            },
        }

    def _epochs(
        self,
        loop: TrainingLoop,
        learner: Learner,
        before: Mapping[str, Any],
        problem: Problem,
        run: Run,
    ) -> Epochs | None:
        """Return what tells scikit-learn's callbacks of every epoch, where there are any."""
        if not run.resumable:
            return None
        clean, measured = _one_by_one(problem.clean), _one_by_one(problem.measured)
        X, y = (clean, None) if measured is None else (measured, clean)

        def attributes() -> dict[str, Any]:
            known = {} if run.go_on else fitted_attributes(problem)
            n_features = len(X[0]) if isinstance(X, list) else X.shape[1]
            shape: dict[str, Any] = {"n_features_in_": n_features, "_cache": {}}
            return shape | known | dict(before) | self._progress(loop, learner, before)

        return Epochs(self, run.n_epochs, X, y, attributes)

    def _tried(
        self, problem: Problem, batches: Batches, before: Mapping[str, Any], criterion: Criterion
    ) -> dict[str, Any]:
        """Return the fitted attributes that the first images tell, before any training."""
        return {}

    def _report(self, batches: Batches, held_out: list[Problem]) -> None:
        """Tell of a training that is over, by the fitted attributes."""
        return

    def _batches(self, problem: Problem, seed: int, state: Mapping[str, Any]) -> Batches:
        """Return the batches that training iterates over."""
        allow_nan, geometry = has_missing(problem.operator), problem.geometry
        name = "X" if problem.measured is None else "y"
        images = self._source(problem.clean, geometry, allow_nan=allow_nan, name=name)
        if problem.measured is None:
            noise = as_noise(self.noise).build()
            read: Any = SimulatedPairs(images, problem.A, noise, seed, self.augment)
        else:
            measured = self._source(problem.measured, geometry, measured=True, allow_nan=allow_nan)
            read = MeasuredPairs(images, measured)
        batches = Batches(len(images), self.batch_size, seed, read)
        if allow_nan:
            check_observed(read(np.arange(min(len(images), self.batch_size)), 0)[1])
        return batches

    # ------------------------------------------------------------------ validation

    def _given_held_out(self, problem: Problem, X_val: Any, y_val: Any) -> list[Problem]:
        """Return the validation images that `fit` was given, checked."""
        if X_val is None:
            if y_val is not None:
                raise ValueError("y_val was given without the measurements X_val.")
            return []
        X_val, y_val = pairs_of(X_val, y_val, "X_val")
        known: tuple[Geometry, Operator] = (problem.geometry, problem.operator)
        names = "X_val", "y_val"
        try:
            held_out = self._problem(X_val, y_val, known, names)
            self._look_at(held_out, names)
        except ValueError as error:
            error.add_note("This is about X_val and y_val.")
            raise
        return [held_out]

    def _validation(self, learner: Learner, held_out: list[Problem]) -> Callable[[], float] | None:
        """Return what gives the mean PSNR of held-out images."""
        if not held_out:
            return None

        def validate() -> float:
            pairs = (pair for part in held_out for pair in self._held_out_pairs(learner, part))
            width = held_out[0].geometry.data_range
            with watched(Watch()):  # of training steps the loop is told, not of these
                return mean_over_batches(psnr, known_pixels(pairs), width)

        return validate

    def _held_out_pairs(
        self, learner: Learner, part: Problem
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield held-out images and what the weights as they are make of their measurements."""
        clean, measure = self._held_out_source(part)
        return self._restored(clean, measure, learner.restore, lambda n_bad, n_images: None)

    def _held_out_source(self, part: Problem) -> tuple[ArraySource, Measure]:
        """Return held-out images, and what gives their measurements."""
        read = partial(self._source, allow_nan=has_missing(part.operator), name="X_val")
        clean, measured = read(part.clean, part.geometry), None
        if part.measured is not None:
            measured = read(part.measured, part.geometry, measured=True)
        return clean, self._measure(part.A, self.noise, _VALIDATION_SEED, measured)


def _one_by_one(images: Any) -> Any:
    """Return a list of arrays of one image each as a list of images, as `fit` was given it."""
    return [x[0] for x in images] if isinstance(images, list) else images
