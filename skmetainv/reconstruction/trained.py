"""Base class of estimators that learn by the training loop, from `fit` to fitted attributes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY
from math import ceil
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from skmetainv.arrays import pairs_of
from skmetainv.bars import write_line
from skmetainv.exceptions import concerning, warn
from skmetainv.inputs import Problem
from skmetainv.inputs.augmentation import suitable_augmentation
from skmetainv.inputs.validation import check_observed
from skmetainv.losses import Criterion, LossLike
from skmetainv.parameters import COUNT, StrOptions
from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.callbacks import CallbackSupportMixin, with_callbacks
from skmetainv.reconstruction.restorer import Restore
from skmetainv.reconstruction.training_run import TrainingRun
from skmetainv.training import (
    CHECKPOINT_CONSTRAINTS,
    EARLY_STOPPING_CONSTRAINTS,
    OPTIMIZER_CONSTRAINTS,
    Augmentation,
    Batches,
    Checkpoint,
    EarlyStopping,
    Optimizer,
    TrainingLoop,
)
from skmetainv.training.history import History, empty_history
from skmetainv.training.processes import from_first_process, rank_and_size
from skmetainv.training.termination import PostponedInterrupt

# The seed of validation measurements, the same as in `score`.
VALIDATION_SEED = 0
# With many images, the default length of training is this many times the least number of steps.
_MANY = 10


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


def _without_early_stopping(estimator: Any) -> bool:
    if estimator.early_stopping in (False, "auto"):
        return True
    raise AttributeError(
        f"partial_fit does not support early_stopping={estimator.early_stopping!r}."
    )


class FittedByTraining:
    """The attributes of trained estimators, see `Fitted`."""

    weights_: Mapping[str, np.ndarray]
    history_: History
    n_epochs_: int
    _seed_: int
    _augmentation_: tuple[bool, bool] | None
    _optimizer_state_: Mapping[str, Any]


class TrainedReconstructor(FittedByTraining, CallbackSupportMixin, Reconstructor):
    """Base class of estimators that learn in epochs.

    A subclass has the parameters of a `Reconstructor` and those below. Besides `_build` and
    `_restorer` of `Reconstructor` it implements `_training_loss`, `_initialize` and `_learner`. It
    may extend the other methods of the section "for subclasses". `TrainingRun.train` calls them.

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
        Number of epochs of `fit`. None is the number that makes 600 steps, but at least eight. If
        eight are more than 6000 steps, it is the smallest number that makes 6000.
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
    >>> from skmetainv.reconstruction import Learner, Restorer, TrainedReconstructor
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
    ...             for batch in loop:
    ...                 loss = criterion(restore(batch.y, batch.A), batch.x, None)
    ...                 loss.sum().backward()
    ...                 loop.descend(loss=loss)
    ...
    ...         groups = [{"params": [factor], "lr": 0.01}]
    ...         return Learner({"factor": factor}, groups, learn, torch.no_grad()(restore))
    ...
    ...     def _build(self, geometry, A):
    ...         factor = torch.tensor(self.weights_["factor"]).to(A.place).requires_grad_()
    ...         return factor, lambda y, A: factor * A.bind(y).start("adjoint")
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
    #: If `max_epochs` is None: the least number of steps, and of epochs.
    _default_length: ClassVar[tuple[int, int]] = (600, 8)

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
            start that an estimator restores, or if ``inner_lr="auto"`` finds no step size.
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
        return self._train(X, y, X_val, y_val, groups, continues=continues, is_partial=False)

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
        return self._train(X, y, X_val, y_val, groups, continues=continues, is_partial=True)

    def _train(
        self,
        X: Any,
        y: Any,
        X_val: Any,
        y_val: Any,
        groups: Any,
        *,
        continues: bool,
        is_partial: bool,
    ) -> Self:
        """Train a copy, take over its fitted attributes, and report."""
        # An error in the block of `_fitting` discards the copy, so an interrupt is raised after it.
        with PostponedInterrupt() as interrupt:
            with self._fitting(X, y, continues=continues) as (copy, problem):
                run = TrainingRun(
                    copy,
                    problem.grouped(groups),
                    copy._validation_problem(X_val, y_val),
                    continues=continues,
                    is_partial=is_partial,
                )
                run.train(self, interrupt)
            if interrupt.error is not None:
                warn(
                    f"Training was interrupted in epoch {self.n_epochs_ + 1}: this "
                    f"{type(self).__name__} has the weights learned so far, and can be used.",
                    ConvergenceWarning,
                )
        if not is_partial and rank_and_size()[0] == 0:
            self._report(run)
        return self

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

    def _start_anew(self, seed: int) -> None:
        """Set the fitted attributes of no training yet."""
        self._seed_, self._optimizer_state_ = seed, {}
        self._augmentation_ = None
        self.history_, self.n_epochs_ = empty_history(self._loss_names), 0

    def _augmentation(self, problem: Problem) -> Augmentation:
        """Return the random changes of training images; "auto" chooses them once."""
        if self.augment != "auto":
            return Augmentation(mirrors=bool(self.augment), shifts=bool(self.augment))
        # Files of earlier versions do not have the attribute.
        kept: tuple[bool, bool] | None = getattr(self, "_augmentation_", None)
        if kept is None:
            chosen = from_first_process(lambda: suitable_augmentation(problem, self.batch_size))
            kept = self._augmentation_ = (chosen.mirrors, chosen.shifts)
            if self.verbose and rank_and_size()[0] == 0 and not all(kept):
                names = zip(("mirrored", "shifted"), kept, strict=True)
                omitted = " or ".join(name for name, is_kept in names if not is_kept)
                write_line(
                    f"Training images are not {omitted}, because they would be unlike the others."
                )
        mirrors, shifts = kept
        return Augmentation(mirrors, shifts)

    def _n_epochs(self, n_images: int) -> int:
        """Return the number of epochs of `fit` for `n_images` images or patches."""
        if self.max_epochs is not None:
            return self.max_epochs
        n_steps, n_epochs = self._default_length
        steps_per_epoch = ceil(n_images / self.batch_size)
        many = min(n_epochs, ceil(_MANY * n_steps / steps_per_epoch))
        return max(many, ceil(n_steps / steps_per_epoch))

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
        augmentation = None if problem.measured is not None else self._augmentation(problem)
        read = self._pairs(problem, self._seed_, augmentation)
        if problem.clean.allow_nan:
            check_observed(read(np.arange(min(len(problem), self.batch_size)), 0).y)
        return Batches(len(problem), self.batch_size, self._seed_, read)

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

    def _report(self, run: TrainingRun) -> None:
        """Report the result at the end of `fit`."""
