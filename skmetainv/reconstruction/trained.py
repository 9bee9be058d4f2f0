"""Base class of estimators that learn by the training loop, from `fit` to fitted attributes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from math import ceil
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from skmetainv.arrays import pairs_of, to_numpy
from skmetainv.bars import write_line
from skmetainv.exceptions import concerning, warn
from skmetainv.inputs import Problem
from skmetainv.inputs.augmentation import suitable_augmentation
from skmetainv.inputs.splits import cut_off
from skmetainv.inputs.validation import check_device, check_observed
from skmetainv.losses import Criterion, LossLike, as_loss
from skmetainv.metrics import known_pixels, mean_over_batches, psnr
from skmetainv.noise import as_noise
from skmetainv.operators.maps.unsolved_systems import Watch, ignoring_unsolved_systems, watched
from skmetainv.parameters import COUNT, StrOptions
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.callbacks import (
    CallbackNotifier,
    CallbackSupportMixin,
    with_callbacks,
)
from skmetainv.reconstruction.identity import data_identity, outline, parameter_identity
from skmetainv.reconstruction.restorer import Restore
from skmetainv.training import (
    CHECKPOINT_CONSTRAINTS,
    EARLY_STOPPING_CONSTRAINTS,
    OPTIMIZER_CONSTRAINTS,
    Augmentation,
    Batches,
    Checkpoint,
    EarlyStopping,
    LearningRate,
    MeasuredPairs,
    Optimizer,
    SimulatedPairs,
    TrainingLoop,
    as_checkpoint,
    as_early_stopping,
    as_learning_rate,
    as_optimizer,
    load_arrays,
    state_to_arrays,
)
from skmetainv.training.checkpoints import Keeper
from skmetainv.training.history import History, continued, empty_history
from skmetainv.training.processes import (
    check_agreement,
    from_first_process,
    join_processes,
    rank_and_size,
)
from skmetainv.training.termination import EXIT_STATUS, PostponedInterrupt

# The seed of validation measurements, the same as in `score`.
VALIDATION_SEED = 0


class Learner(NamedTuple):
    """The weights and functions that the training loop needs."""

    weights: Mapping[str, torch.Tensor]
    """All learned weights, by the names of `weights_`. Training changes these tensors in place, so
    `parameter_groups`, `learn` and `restore` must use the same objects."""
    parameter_groups: list[dict[str, Any]]
    """The parameter groups of the optimiser: ``params`` and their learning rate ``lr``."""
    learn: Callable[[TrainingLoop], None]
    """Iterates over the batches of the loop, and learns from them."""
    restore: Restore
    """Restores the images of a batch of measurements with the current weights."""


class EpochPlan(NamedTuple):
    """The epochs of one call of `fit` or `partial_fit`."""

    n_epochs: int
    """Number of epochs of this call."""
    scheduled: range
    """The epochs over which the learning rate is scheduled, counted from the first training."""
    learning_rate: LearningRate
    """The schedule."""


class TrainingData(NamedTuple):
    """The training batches and the held-out images of a training run."""

    batches: Batches
    held_out: Problem | None


@dataclass(frozen=True)
class FitCall:
    """The arguments of one call of `fit` or `partial_fit` beside `X` and `y`."""

    validation_arrays: tuple[Any, Any]
    """`X_val` and `y_val`."""
    groups: Any
    continues: bool
    """Whether training starts from the fitted weights."""
    is_partial: bool
    """Whether the call is `partial_fit`: one epoch, without checkpoints and early stopping."""


def _without_early_stopping(estimator: Any) -> bool:
    if estimator.early_stopping in (False, "auto"):
        return True
    raise AttributeError(
        f"partial_fit does not support early_stopping={estimator.early_stopping!r}."
    )


class FittedByTraining:
    """The attributes of trained estimators."""

    weights_: Mapping[str, np.ndarray]
    history_: History
    n_epochs_: int
    _seed_: int
    _optimizer_state_: Mapping[str, Any]


class TrainedReconstructor(FittedByTraining, CallbackSupportMixin, Reconstructor):
    """Base class of estimators that learn in epochs.

    A subclass has the parameters of a `Reconstructor` and those below. Besides `_build` and
    `_restorer` of `Reconstructor` it implements `_training_loss`, `_initialize` and `_learner`. It
    may extend the other methods of the section "for subclasses".

    Parameters
    ----------
    optimizer : {"adam", "adamw", "sgd"} or Optimizer, default="adam"
        The optimiser, see `skmetainv.training`.
    augment : bool or "auto", default="auto"
        Augment clean images anew in every epoch: mirror each left to right with probability 1/2,
        and shift about 100 of them (at most half) by up to a twelfth of their height and width.
        "auto" leaves out a change that makes images unlike the others: images that were registered
        (heads, all in the middle) are not shifted, and images with a left and a right (digits) are
        not mirrored. Pairs given to `fit` are not augmented. Images are not cropped, because the
        operator is built for their size.
    max_epochs : int, default=None
        Number of epochs of `fit`. None is the number that makes 600 steps, but at least two epochs.
    early_stopping : bool, "auto" or EarlyStopping, default="auto"
        Stop when the validation PSNR no longer rises, and keep the best weights. "auto" does so if
        there are at least 1000 images. See `skmetainv.training.EarlyStopping`.
    checkpoint : path-like or Checkpoint, default=None
        A file to which `fit` regularly saves its state, and from which it resumes, see
        `skmetainv.training.Checkpoint`.
    warm_start : bool, default=False
        Let `fit` start from the weights of the last call, and train for more epochs.
    verbose : int, default=0
        1 shows progress, with the figures of `history_`: a bar in a terminal or a notebook, a line
        per epoch elsewhere.

    Examples
    --------
    An estimator that learns by which number to multiply ``A' y / ||A||^2``:

    >>> import numpy as np
    >>> import torch
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur, Operator
    >>> from skmetainv.reconstruction import Learner, TrainedReconstructor
    >>> from skmetainv.reconstruction.restorer import Restorer
    >>> class Multiple(TrainedReconstructor):
    ...     operator: Operator | None = None
    ...
    ...     def _initialize(self, problem):
    ...         self.weights_ = {"factor": np.ones((), dtype=np.float32)}
    ...
    ...     def _training_loss(self):
    ...         return "l2"
    ...
    ...     def _learner(self, problem, criterion):
    ...         factor, restore = self._build(problem.geometry, problem.A)
    ...
    ...         def learn(loop):
    ...             for x, y in loop:
    ...                 loss = criterion(restore(y), x, None)
    ...                 loss.sum().backward()
    ...                 loop.descend(loss=loss)
    ...
    ...         groups = [{"params": [factor], "lr": 0.01}]
    ...         return Learner({"factor": factor}, groups, learn, torch.no_grad()(restore))
    ...
    ...     def _build(self, geometry, A):
    ...         factor = torch.tensor(self.weights_["factor"]).to(A.place).requires_grad_()
    ...         return factor, lambda y: factor * A.bind(y).start("adjoint")
    ...
    ...     def _restorer(self, geometry):
    ...         _, (_, restore) = self._built(geometry)
    ...         return Restorer(torch.no_grad()(restore), self.operator_)
    >>> faces = load_faces()[:20]
    >>> est = Multiple(GaussianBlur(sigma=1.0), max_epochs=5, random_state=0).fit(faces)
    >>> len(est.history_["loss"])
    5
    >>> est.predict(est.simulate(faces)).shape
    (20, 25, 25)
    """

    _: KW_ONLY
    optimizer: str | Optimizer = "adam"
    augment: bool | str = "auto"
    max_epochs: int | None = None
    early_stopping: bool | str | EarlyStopping = "auto"
    checkpoint: str | PathLike[str] | Checkpoint | None = None
    warm_start: bool = False
    verbose: int = 0

    _parameter_constraints = {
        **Reconstructor._parameter_constraints,
        "optimizer": OPTIMIZER_CONSTRAINTS,
        "augment": ["boolean", StrOptions({"auto"})],
        "max_epochs": [COUNT, None],
        "early_stopping": EARLY_STOPPING_CONSTRAINTS,
        "checkpoint": CHECKPOINT_CONSTRAINTS,
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    #: The names of the losses in `history_`, as passed to the training loop.
    _loss_names: ClassVar[tuple[str, ...]] = ("loss",)
    #: If `max_epochs` is None: the number of steps, and the least number of epochs.
    _default_length: ClassVar[tuple[int, int]] = (600, 2)

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None, groups: Any = None
    ) -> Self:
        """Learn from clean images, or from measurements and their clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, whose measurements are simulated anew in every epoch. If the operator has
            missing values, unknown pixels may be NaN (`score` accepts complete images only).
            Channels may come first; data sets, lazy arrays, lists and data frames are accepted, see
            :doc:`/guide/data`. A data set of pairs holds `X` and `y`. If `y` is given:
            measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`; `noise` is then not used. A 1-D `y` counts as
            labels and is ignored.
        X_val : array-like, default=None
            Validation images, like `X`. Their PSNR after every epoch is recorded in ``history_``
            and used for early stopping. Their measurements are simulated with a fixed seed. The
            PSNR is computed over the known pixels.
        y_val : array-like of two or more dimensions, default=None
            The clean images of the measurements `X_val`.
        groups : array-like of shape (n,), default=None
            A label for each image, for instance the person that it shows. Images of one group are
            never on both sides of a split. This holds for the images held out by
            `validation_fraction`, and for the cross-fitting of starts.

        Returns
        -------
        self : estimator
            The fitted estimator. After an error other than an interrupt, it is unchanged.

        Raises
        ------
        OSError
            If the checkpoint cannot be written before the first step.
        ValueError
            If a parameter is out of its range; if the arrays are not images, may be either one
            image or several, or are not measurements and their clean images in this order; if a
            checkpoint is damaged, belongs to other parameters or data, or is in use.

        Warns
        -----
        CheckpointWarning
            If a checkpoint could not be written later.
        ConvergenceWarning
            If steps were skipped because a loss or a gradient was not finite or linear systems
            were not solved, or if training was interrupted.
        AdaptationWarning
            By `MetaInverseSolver`, if its results are worse than the learned start, or than the
            start that an estimator restores.
        DataConversionWarning
            If images, measurements or the noise are in implausible units, if flat images are
            assumed to be square, or if a last axis with many entries is assumed to be channels.

        Notes
        -----
        An interrupt (Ctrl-C) ends training, writes the checkpoint if there is one, and is raised
        again, so that it also ends an enclosing search or script. The estimator is then fitted, and
        can be used at the prompt or in the next cell: it has the current weights or, with early
        stopping, the best ones. ``n_epochs_`` and ``history_`` count finished epochs only: within
        the first epoch, ``n_epochs_`` is 0, and the lists of ``history_`` are empty. If several
        processes train together, an interrupt leaves no fitted estimator, only the last checkpoint
        written before it. For SIGTERM, see `skmetainv.training.Checkpoint`.
        """
        self._check_parameters()  # before `warm_start` counts as True
        continues = self.warm_start and hasattr(self, "weights_")
        return self._train(X, y, FitCall((X_val, y_val), groups, continues, is_partial=False))

    @available_if(_without_early_stopping)
    def partial_fit(
        self, X: Any, y: Any = None, X_val: Any = None, y_val: Any = None, groups: Any = None
    ) -> Self:
        """Train for one more epoch, starting from the current weights.

        With a constant learning rate and the same data, `k` calls are equivalent to one `fit` with
        ``max_epochs=k``. Other schedules span `max_epochs` epochs and end there; if `max_epochs` is
        None, the learning rate is constant. No checkpoint is written. Early stopping needs `fit`.

        The first call fixes the operator, the networks, the inner loss and its step sizes, the
        units and the seed: `set_params` does not change them afterwards. Noise, the training loss,
        learning rates and `batch_size` may change from call to call.

        Parameters
        ----------
        X, y, X_val, y_val, groups : array-like
            See `fit`.

        Returns
        -------
        self : estimator
            The fitted estimator. After an error, it is unchanged; for interrupts, see `fit`.

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
        continues = hasattr(self, "weights_")
        return self._train(X, y, FitCall((X_val, y_val), groups, continues, is_partial=True))

    def _train(self, X: Any, y: Any, call: FitCall) -> Self:
        """Train a copy, take over its fitted attributes, and report."""
        # An error in the block of `_fitting` discards the copy, so an interrupt is raised after it.
        with PostponedInterrupt() as interrupt:
            with self._fitting(X, y, continues=call.continues) as (copy, problem):
                training = copy._train_copy(problem, call, self, interrupt)
            if interrupt.error is not None:
                warn(
                    f"Training was interrupted in epoch {self.n_epochs_ + 1}: this "
                    f"{type(self).__name__} has the weights learned so far, and can be used.",
                    ConvergenceWarning,
                )
        if not call.is_partial and rank_and_size()[0] == 0:
            self._report(training)
        return self

    # ------------------------------------------------------------------ training

    @torch.enable_grad()
    def _train_copy(
        self, problem: Problem, call: FitCall, original: Self, interrupt: PostponedInterrupt
    ) -> TrainingData:
        """Train this copy of an estimator; postpone an interrupt that ends the loop."""
        join_processes(check_device(self.device))
        problem = problem.grouped(call.groups)
        held_out = self._validation_problem(*call.validation_arrays)
        self._check_agreement(problem, held_out, call)

        X, y = problem.arguments()  # all images, for callbacks: `problem` loses those held out
        with self._checkpoint_of(problem, held_out, call) as keeper:
            seed = self._common_seed(keeper, call)
            stopping = None if call.is_partial else self._early_stopping(problem)
            if stopping is not None and held_out is None:
                problem, held_out = cut_off(problem, stopping.validation_fraction, seed)

            self._check_optimizer()
            with concerning("the training loss, 'loss' or 'outer_loss'"):
                criterion = as_loss(self._training_loss()).build(problem.geometry.data_range)
            if call.continues:
                self._continue_training()
                batches = self._batches(problem)
            else:
                self._reset(problem, seed)
                batches = self._batches(problem)
                with ignoring_unsolved_systems():  # training itself warns of them
                    self._choose_open_values(problem, batches, criterion)
            learner = self._learner(problem, criterion)

            plan = self._epoch_plan(batches.n_images, call)
            loop = self._loop(learner, batches, plan, held_out, stopping, keeper)
            notifier = CallbackNotifier(
                None if call.is_partial else original,
                n_epochs=plan.n_epochs,
                X=X,
                y=y,
                attributes=partial(self._attributes_so_far, loop, learner),
            )
            loop.observer = notifier

            notifier.begin_training()
            self._run(loop, learner, interrupt)
            notifier.end_training()
            self.__dict__.update(self._results(loop, learner))
            return TrainingData(batches, held_out)

    # ----------------------------------------------------- for subclasses, in the order of calls

    @abstractmethod
    def _training_loss(self) -> LossLike:
        """Return the loss between restored and clean images that training minimises."""

    @abstractmethod
    def _initialize(self, problem: Problem) -> None:
        """Set the subclass's fitted attributes before training, and the initial `weights_`."""

    def _continue_training(self) -> None:
        """Check the parameters for training on fitted weights; take over those that may change."""

    def _batches(self, problem: Problem) -> Batches:
        """Return the batches that training iterates over."""
        if problem.measured is None:
            noise = as_noise(self.noise).build()
            changes = self._augmentation(problem)
            read: Any = SimulatedPairs(problem.clean, problem.A, noise, self._seed_, changes)
        else:
            read = MeasuredPairs(problem.clean, problem.measured)
        if problem.clean.allow_nan:
            check_observed(read(np.arange(min(len(problem), self.batch_size)), 0)[1])
        return Batches(len(problem), self.batch_size, self._seed_, read)

    def _augmentation(self, problem: Problem) -> Augmentation | None:
        """Return the random changes of training images."""
        if self.augment != "auto":
            return Augmentation(mirrors=True, shifts=True) if self.augment else None
        changes = suitable_augmentation(problem, self.batch_size)
        kept = {"mirrored": changes.mirrors, "shifted": changes.shifts}
        if self.verbose and rank_and_size()[0] == 0 and not all(kept.values()):
            names = " or ".join(name for name, is_kept in kept.items() if not is_kept)
            write_line(f"Training images are not {names}, because they would be unlike the others.")
        return changes

    def _choose_open_values(self, problem: Problem, batches: Batches, criterion: Criterion) -> None:
        """Choose values for the parameters at "auto" or None, by trials on the first images."""

    @abstractmethod
    def _learner(self, problem: Problem, criterion: Criterion) -> Learner:
        """Return the learner that minimises `criterion`, starting from the current weights."""

    def _held_out_pairs(
        self, learner: Learner, held_out: Problem
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield held-out images, and their restorations by the current weights."""
        return self._restored_pairs(held_out, self.noise, VALIDATION_SEED, learner.restore)

    def _report(self, training: TrainingData) -> None:
        """Report the result at the end of `fit`."""

    # ----------------------------------------------- parts of a training run, in the order of calls

    def _check_agreement(self, problem: Problem, held_out: Problem | None, call: FitCall) -> None:
        """Raise if several processes that train together have different data or parameters."""
        if rank_and_size()[1] > 1:
            size = self.batch_size
            data = data_identity(problem, held_out, {}, batch_size=size, whole=False)
            check_agreement(outline(self, 1 if call.is_partial else self.max_epochs) | data)

    @contextmanager
    def _checkpoint_of(
        self, problem: Problem, held_out: Problem | None, call: FitCall
    ) -> Iterator[Keeper | None]:
        """Yield the keeper of checkpoints, or None; if the file exists, the keeper reads it."""
        if self.checkpoint is None or call.is_partial:
            yield None
            return
        chosen = as_checkpoint(self.checkpoint)
        weights = self.weights_ if call.continues else {}

        def read() -> Keeper:
            data = data_identity(problem, held_out, weights, batch_size=self.batch_size)
            return chosen.build(parameter_identity(self) | data)

        keeper = from_first_process(read)
        try:
            yield keeper
        finally:
            keeper.close()

    def _common_seed(self, keeper: Keeper | None, call: FitCall) -> int:
        """Return the seed of the checkpoint, of earlier training, or a new one.

        The keeper stores it in the checkpoint.
        """
        new = self._seed_ if call.continues else integer_seed(self.random_state)
        seed = from_first_process(lambda: new)
        if keeper is None:
            return seed
        if keeper.seed is None:
            keeper.seed = seed
        return keeper.seed

    def _early_stopping(self, problem: Problem) -> EarlyStopping | None:
        """Return the rule for early stopping, or None if training does not stop early."""
        n_groups = len(problem if problem.groups is None else np.unique(problem.groups))
        return as_early_stopping(self.early_stopping, len(problem), n_groups)

    def _check_optimizer(self) -> None:
        """Check the optimiser and its schedule before any long work."""
        chosen = as_optimizer(self.optimizer)
        chosen.build([{"params": [torch.zeros(1)], "lr": 0.0}])  # raises if a parameter is wrong
        as_learning_rate(chosen.schedule)._validate_params()  # raises if one is out of range

    def _reset(self, problem: Problem, seed: int) -> None:
        """Set the fitted attributes of no training yet, then those of the subclass."""
        self._seed_, self._optimizer_state_ = seed, {}
        self.history_, self.n_epochs_ = empty_history(self._loss_names), 0
        self._initialize(problem)

    def _epoch_plan(self, n_images: int, call: FitCall) -> EpochPlan:
        """Return the epochs of this call; warn if its learning rate is 0."""
        n_epochs, schedule = self._n_epochs(n_images), as_optimizer(self.optimizer).schedule
        if not call.is_partial:
            scheduled = range(self.n_epochs_, self.n_epochs_ + n_epochs)
            return EpochPlan(n_epochs, scheduled, as_learning_rate(schedule))
        learning_rate = as_learning_rate("constant" if self.max_epochs is None else schedule)
        if self.n_epochs_ >= n_epochs and not learning_rate.factor(1.0):
            warn(
                f"The learning rate is 0: its schedule ended after max_epochs={n_epochs}.",
                ConvergenceWarning,
            )
        return EpochPlan(1, range(n_epochs), learning_rate)

    def _n_epochs(self, n_images: int) -> int:
        """Return the number of epochs of `fit` for `n_images` images or patches."""
        if self.max_epochs is not None:
            return self.max_epochs
        n_steps, least_epochs = self._default_length
        steps_per_epoch = ceil(n_images / self.batch_size)
        return max(least_epochs, ceil(n_steps / steps_per_epoch))

    def _loop(
        self,
        learner: Learner,
        batches: Batches,
        plan: EpochPlan,
        held_out: Problem | None,
        stopping: EarlyStopping | None,
        keeper: Keeper | None,
    ) -> TrainingLoop:
        """Return the loop over the epochs of this call."""
        return TrainingLoop(
            batches,
            self._built_optimizer(learner),
            learner.weights,
            max_epochs=plan.n_epochs,
            first_epoch=self.n_epochs_,
            learning_rate=plan.learning_rate,
            planned_epochs=plan.scheduled,
            max_grad_norm=as_optimizer(self.optimizer).max_grad_norm,
            show_progress=bool(self.verbose),
            validate=self._validation(learner, held_out),
            best_weights=None if stopping is None else stopping.build(),
            keeper=keeper,
            watch=Watch(self.operator_),
        )

    def _built_optimizer(self, learner: Learner) -> torch.optim.Optimizer:
        """Return the optimiser, with the state of earlier calls if they used the same type."""
        optimizer = as_optimizer(self.optimizer).build(learner.parameter_groups)
        if self._optimizer_state_.get("type") == type(optimizer).__name__:
            load_arrays(optimizer, self._optimizer_state_["averages"])
        return optimizer

    def _attributes_so_far(self, loop: TrainingLoop, learner: Learner) -> dict[str, Any]:
        """Return the fitted attributes after the epochs so far, for callbacks."""
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        # The estimator that a callback makes needs a cache of its own.
        return {**fitted, **self._results(loop, learner), "_cache": {}}

    def _run(self, loop: TrainingLoop, learner: Learner, interrupt: PostponedInterrupt) -> None:
        """Run the training loop; postpone an interrupt that ends it."""
        # Of several processes, the others may be at another step, or wait for this one.
        postponed = nullcontext() if rank_and_size()[1] > 1 else interrupt.postponed()
        try:
            with watched(loop.watch), loop.termination:
                with postponed:
                    learner.learn(loop)
                if interrupt.error is not None:
                    with suppress(KeyboardInterrupt):  # a second one must not lose what was learned
                        loop.write_checkpoint()
        finally:
            loop.close()
            if loop.is_terminated or loop.termination.requested:
                raise SystemExit(EXIT_STATUS)

    def _results(self, loop: TrainingLoop, learner: Learner) -> dict[str, Any]:
        """Return the fitted attributes that training so far has changed."""
        best = {} if loop.best_weights is None else loop.best_weights.weights
        figures = empty_history(self._loss_names, validated=loop.validate is not None)
        return {
            "weights_": best or to_numpy(learner.weights),
            "history_": continued(self.history_, figures | loop.history),
            "n_epochs_": loop.epoch,
            "_optimizer_state_": {
                "type": type(loop.optimizer).__name__,
                "averages": state_to_arrays(loop.optimizer),
            },
        }

    # ------------------------------------------------------------------ validation

    def _validation_problem(self, X_val: Any, y_val: Any) -> Problem | None:
        """Return the validation images that were passed to `fit`, checked."""
        if X_val is None:
            if y_val is not None:
                raise ValueError("y_val was given without the measurements X_val.")
            return None
        X_val, y_val = pairs_of(X_val, y_val, "X_val")
        reader = self._reader()
        with concerning("X_val and y_val"):
            held_out = reader.problem(X_val, y_val, ("X_val", "y_val"), as_fitted=True)
            reader.look_at(held_out, self.noise)
        return held_out

    def _validation(self, learner: Learner, held_out: Problem | None) -> Callable[[], float] | None:
        """Return a function that computes the mean PSNR of held-out images."""
        if held_out is None:
            return None

        def validate() -> float:
            pairs = known_pixels(self._held_out_pairs(learner, held_out))
            with ignoring_unsolved_systems():  # the loop counts those of training steps only
                return mean_over_batches(psnr, pairs, held_out.geometry.data_range)

        return validate
