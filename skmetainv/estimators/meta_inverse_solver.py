"""The library's main estimator: a classical solver with a meta-learned start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skmetainv.arrays import ArraySource, match_type, to_numpy, to_tensors
from skmetainv.arrays.weights import INIT, INNER_LOSS, INNER_LR, PARTS, SOLVER, in_part, of_part
from skmetainv.bars import write_line
from skmetainv.estimators.adaptation_report import (
    qualities,
    reported_batches,
    summary,
    warn_of_adaptation,
)
from skmetainv.estimators.default_init import check_uncertainty, default_init, with_fast_start
from skmetainv.estimators.residuals import (
    cross_fitted_starts,
    residual_of,
    start_restorer,
    with_fitted_residual,
)
from skmetainv.estimators.solvers import counted_beside, ready_solver, with_fitted_denoisers
from skmetainv.exceptions import InnerStepsWarning, warn
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.validation import check_device
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.meta import (
    ALGORITHM_CONSTRAINTS,
    INNER_LOSS_CONSTRAINTS,
    TUNE_SOLVER_CONSTRAINTS,
    Algorithm,
    InnerLoop,
    InnerLoss,
    MetaLearner,
    TuneSolver,
    as_algorithm,
    as_inner_loss,
    as_tuning,
    choose_open_values,
    meta_learn,
    no_solver,
    with_rate_of,
)
from skmetainv.noise import Noise
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.maps.unsolved_systems import Watch, ignoring_unsolved_systems
from skmetainv.operators.operator import require_operator
from skmetainv.parameters import NOT_NEGATIVE, POSITIVE, Interval, StrOptions
from skmetainv.randomness import weights_generator
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.built import outside_inference_mode
from skmetainv.reconstruction.chunks import batches_of
from skmetainv.reconstruction.restorer import Restorer
from skmetainv.reconstruction.training_run import TrainingRun
from skmetainv.representations import ImageModule, Representation
from skmetainv.solvers import GradientDescent, Solver
from skmetainv.training import Batches, WithStarts
from skmetainv.training.processes import from_first_process

# The number of images on which values left at "auto" are chosen, and on which `fit` checks at its
# end whether the inner steps help.
_N_TRIED = 16
# The number of images of that check if `fit` prints a report.
_N_REPORTED = 64


class MetaInverseSolver(TrainedReconstructor):
    """Restore images by a classical solver with a meta-learned start.

    A coordinate network (SIREN) with weights ``theta`` represents the image ``phi_theta`` from
    which the solver ``f`` starts. `predict` adapts the weights to each measurement, from ``theta_i
    = theta``, by a few gradient steps on the data fidelity of the solver's result (Algorithm 1 of
    the paper)::

        theta_i <- theta_i - alpha grad || A f(phi_theta_i) - y_i ||^2,    n_inner times
        x_i = f(phi_theta_i)

    `fit` learns the initial weights and the step sizes ``alpha`` that bring the results close to
    the clean images (Algorithm 2)::

        theta <- theta - beta grad_theta mean_i L_outer(x_i(theta), x_i^clean)

    The default optimizer of these outer steps is Adam. With ``algorithm="maml"``, the gradient
    includes all second-order terms.

    If the network is continuous (`Siren`, for instance), the same weights represent an image at any
    size. Images of other sizes than those of training can then be restored, see `predict`; the
    coordinates of their pixels span the same field of view. A large image cannot be restored tile
    by tile: one set of weights represents the whole image, and the inner loss is a mean over the
    whole measurement.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising).
    solver : Solver, default=None
        The classical solver ``f``. With None, the network's image is the result. If the solver has
        a learned denoiser, `fit` trains the denoiser on the clean images, unless it is in a
        `FrozenEstimator` or has `weights`.
    init : Representation, default=None
        The network. The paper uses ``Siren()``. None is ``Siren(width=64, depth=3,
        residual=LinearReconstructor(), refiner=Refiner(uncertainty=True), adapted="last")``. This
        is a small SIREN added to the linear estimate of the image, which a `Refiner` corrects; the
        inner steps adapt only the SIREN's last layer. It restores images of the training size only.

        Exceptions are:

        - If masks vary from image to image, the refiner reads the mask instead of the uncertainty,
          which would take too long.
        - If the linear estimate needs conjugate gradients for every image (above about 64 x 64
          pixels), or masks vary and measurements have more than 1280 entries, the refiner reads the
          mask, too, and the residual is ``LinearReconstructor(shrinkage=1.0, n_components=1)``. If
          a start of one of four training images then takes more than 1000 updates, the residual
          also has ``noise_floor=0.04``. If a start still takes more, the residual is "adjoint". If
          the operator is nonlinear, there is neither residual nor refiner.
        - With Reptile there is no refiner, because Reptile computes no gradient for it.
    noise : float or Noise, default=0.0
        Noise of simulated measurements; a number is the standard deviation of Gaussian noise,
        in the units of the measurement.
    n_inner : int, default=3
        Number of inner steps ``m``. If it is raised after fitting, the additional steps use the
        last learned step sizes, with an `InnerStepsWarning`. It may change from one `partial_fit`
        to the next.
    inner_lr : "auto" or float, default="auto"
        The inner step size, or the initial value of learned step sizes. "auto" is the median of the
        step sizes for 16 training images. For each image, this is the step that minimises the
        linearised inner loss along its gradient. It is limited to the inverse of the largest
        curvature, because longer steps diverge when they are repeated. If the loss has no gradient
        yet, or no curvature ("l1"), "auto" is 0.01, with a warning. The value is stored as
        `inner_lr_`.
    inner_loss : str, Loss, dict, callable or InnerLoss, default="l2"
        The loss that the inner steps minimise: a data fidelity (equation 4), given like
        `outer_loss`, or an `skmetainv.meta.InnerLoss`, which can add a regulariser or a proximal
        term. By default, the loss is the data fidelity of the solver's result. If the solver fits
        the data closely by itself, the loss is that of the solver's start instead (`InnerLoss.of`).
    outer_loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        The loss between results and clean images that `fit` minimises (equation 5): a name, an
        object of `skmetainv.losses`, a weighted sum of them (``{"l2": 1.0, "lpips": 0.1}``), or a
        function of two tensors that returns one value per image.
    algorithm : {"maml", "fomaml", "reptile", "imaml"} or Algorithm, default="maml"
        How the outer gradient is computed; with MAML, also how the inner step sizes are learned.
        ``MAML(step_sizes="per_parameter")`` learns one for each weight and inner step, for
        instance. Reptile and iMAML learn no step sizes. See `skmetainv.meta`.
    outer_lr : float, default=1e-4
        Learning rate ``beta`` of ``theta``; a `Refiner` has its own learning rate.
    tune_solver : "auto", bool or TuneSolver, default="auto"
        Which parts of the solver are trained with ``theta``, see `skmetainv.meta.TuneSolver`. True
        is ``TuneSolver("all")``: all numbers that are set, and the weights of the denoiser. False
        trains nothing. "auto" is ``TuneSolver("numbers")`` if there is a solver and the algorithm
        computes the gradient of the solver's numbers; otherwise it is False. By default,
        ``TuneSolver("numbers")`` trains the numbers that were left open. Training works on copies
        of the solver and its denoiser, and does not enforce the denoiser's `spectral_norm`.
    batch_size : int, default=16
        Images per outer step, and images that `predict` restores at a time.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations. With "bfloat16", the matrix products of networks
        are bfloat16 (autocast), and so are the hidden units of a SIREN; weights, images and the
        physics are float32.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All learned values, each with a prefix: ``theta`` (``init.``), ``alpha`` or, if it is kept
        positive, its logarithm (``inner_lr.``), the logarithms of the inner loss's learned numbers
        (``inner_loss.``), and the values of a trained solver (``solver.``).
    history_ : dict of str to list
        For each finished epoch: ``outer_loss``, ``inner_loss``, ``validation_psnr`` (if there are
        validation images), ``learning_rate`` (of ``theta``) and ``seconds``. The losses are means
        over the images. An entry of ``inner_loss`` is a list: the loss before each inner step.
    n_epochs_ : int
        Number of epochs trained.
    inner_lr_ : float
        The inner step size at the start of training.
    step_sizes_ : dict of str to ndarray of shape (n_inner, ...)
        The step sizes ``alpha`` of each weight that is adapted, for each inner step.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    operator_, solver_, init_, inner_loss_, algorithm_ : object
        Copies of the parameters with which the weights were learned. `predict` and `partial_fit`
        use these copies, even if the parameters have changed since. Only a changed `algorithm` is
        used: its engine by `predict`, all of it by `partial_fit`, which raises an error if its
        proximal term is another.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    References
    ----------
    Zhao, "Meta-learning for Solving Inverse Problems", Stanford University.

    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks",
    ICML 2017.

    Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with periodic
    activation functions", NeurIPS 2020.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import Inpainting
    >>> from skmetainv.representations import Siren
    >>> faces = load_faces()
    >>> est = MetaInverseSolver(
    ...     Inpainting(), init=Siren(width=16, depth=3), max_epochs=1, random_state=0
    ... )
    >>> measured = est.simulate(faces[:3])
    >>> est.fit(faces[3:20]).predict(measured).shape
    (3, 25, 25)
    """

    operator: Operator | None = None
    solver: Solver | None = None
    _: KW_ONLY
    init: Representation | None = None
    noise: float | Noise = 0.0
    n_inner: int = 3
    inner_lr: float | str = "auto"
    inner_loss: LossLike | InnerLoss = "l2"
    outer_loss: LossLike = "l2"
    algorithm: str | Algorithm = "maml"
    outer_lr: float = 1e-4
    tune_solver: bool | str | TuneSolver = "auto"

    _parameter_constraints = {
        **TrainedReconstructor._parameter_constraints,
        "solver": [Solver, None],
        "init": [Representation, None],
        "n_inner": [Interval(Integral, 0, None, closed="left")],
        "inner_lr": [POSITIVE, StrOptions({"auto"})],
        "inner_loss": INNER_LOSS_CONSTRAINTS,
        "outer_loss": LOSS_CONSTRAINTS,
        "algorithm": ALGORITHM_CONSTRAINTS,
        "outer_lr": [NOT_NEGATIVE],
        "tune_solver": TUNE_SOLVER_CONSTRAINTS,
    }
    _loss_names = ("outer_loss", "inner_loss")

    @classmethod
    def recommended(cls, operator: Operator | None = None, *, noise: float | Noise = 0.0) -> Self:
        """Return an estimator with the settings of `benchmarks.headline`.

        They are gradient descent and one inner step. All others are the defaults.

        Parameters
        ----------
        operator : Operator, default=None
            The forward model. To restore measurements of other instruments, too, give a
            `skmetainv.operators.RandomOperator`, perhaps with ``nominal=0.5``.
        noise : float or Noise, default=0.0
            Noise of simulated measurements, as in `MetaInverseSolver`.

        Returns
        -------
        estimator : MetaInverseSolver
            An estimator that is not fitted.

        Examples
        --------
        >>> from skmetainv import MetaInverseSolver
        >>> from skmetainv.operators import GaussianBlur
        >>> est = MetaInverseSolver.recommended(GaussianBlur(sigma=1.6), noise=0.015)
        >>> est.solver, est.n_inner
        (GradientDescent(), 1)
        """
        if operator is not None:
            require_operator(operator, f"The 'operator' parameter of {cls.__name__}")
        return cls(operator, GradientDescent(), noise=noise, n_inner=1)

    @outside_inference_mode
    def staged_predict(
        self,
        X: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> Iterator[Any]:
        """Return the restored images before and after each inner step.

        The iterator computes each stage on demand, from the start on, and keeps nothing between
        stages. So all stages together take ``n_inner (n_inner + 1) / 2`` inner steps. Arguments are
        checked immediately.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements. If the operator has missing values, missing entries are NaN. Complex
            measurements may be a complex array, without the last axis of real and imaginary parts.
            One measurement may come without the first axis, unless it is flat.
        operator : Operator or list of Operator, default=None
            The operator that took these measurements, or a list with one operator for each. Their
            measurements must have the same shape as in training. None is the fitted operator,
            unless that is a `RandomOperator`, which cannot restore.
        image_shape : tuple of int, default=None
            Height and width (and channels, as in training) of the images to restore. None is the
            shape of the training images. For another shape, the operator is built anew, and `X`
            must have the shape of the measurements of such images.

        Returns
        -------
        stages : iterator of ndarray of shape (n, ...), or of tensors if `X` is one
            ``n_inner + 1`` arrays; the last equals the result of `predict`. Floats in the layout of
            the training images and the units of ``data_range_``. If `X` is one measurement, each
            array is one image without the first axis. If `X` is a data frame, the arrays are
            ndarrays, because scikit-learn's predictions are arrays, too.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of such measurements, or if images of `image_shape`
            cannot be restored: the estimator or its operator may only support the training shape.

        Warns
        -----
        InnerStepsWarning
            If `n_inner` is larger than the number of steps for which step sizes were learned.
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
        DataConversionWarning
            If measurements are in implausible units, or look like clean images.
        """
        self._check_ready()
        self._warn_of_inner_steps()
        geometry = self._resized(image_shape)
        A = self._named_map(operator, geometry)
        measurements, geometry, is_single = self._reader().to_restore(X, geometry, A)
        stages = self._each_stage(measurements, geometry, A or self._map(geometry))
        return (match_type(X, images[0] if is_single else images) for images in stages)

    @outside_inference_mode
    def _each_stage(
        self, measurements: ArraySource, geometry: Geometry, A: ForwardMap
    ) -> Iterator[np.ndarray]:
        """Yield the images of each stage, recomputed from the first inner step on."""
        meta, watch = self._current_meta(geometry), Watch(self.operator_)
        for m in range(self.n_inner + 1):
            stage = replace(meta, inner=replace(meta.inner, m=m))
            restorer = Restorer(stage.restore, self.operator_, watch)
            yield self._images(measurements, geometry, A, restorer)
        restorer.warn()  # of images of the last stage, and of linear systems of all stages

    # ------------------------------------------------------------------ Algorithms 1 and 2

    def _build(
        self, geometry: Geometry, A: ForwardMap, tuning: TuneSolver | None = None
    ) -> MetaLearner:
        """Return the meta-learner (Algorithms 1 and 2) for images of one shape, with `weights_`.

        Training passes `tuning`. Without it, the result depends on fitted attributes, `n_inner` and
        `batch_size`. It can be cached, because `_current_meta` sets the last two anew.
        """
        shape, data_range = geometry.tensor_shape, geometry.data_range
        phi = self._placed(self.init_.build(shape, data_range))
        loss = self.algorithm_.objective(self.inner_loss_.build(shape, data_range))
        tuned = None if tuning is None else tuning.part
        weights = self._weight_tensors()
        tensors = {part: of_part(weights, part) for part in PARTS}
        meta = MetaLearner(
            theta=tensors[INIT],
            alpha=tensors[INNER_LR],
            image_shape=shape,
            inner=InnerLoop(
                phi=phi,
                f=self._built_solver(shape, tuned),
                loss=self._placed(loss),
                step_size=self._step_size_rule_,
                m=self.n_inner,
                adapted=phi.adapted,
                second_order=self.algorithm_.second_order,
                recompute=self.algorithm_.recompute,
                # "auto" counts as "result", until `_choose_open_values` has chosen.
                through_solver=self.inner_loss_.of != "start",
            ),
            algorithm=self.algorithm_,
            tuned=tuned,
            restore_start=start_restorer(self.init_, geometry.image_shape, self.operator_),
            batch_size=self.batch_size,
        )
        meta.load_modules(tensors)
        return meta

    def _built_solver(self, shape: tuple[int, ...], tuned: str | None) -> Any:
        """Return the solver ``f``. Its learned numbers, now or in earlier calls, are parameters.

        Their gradients are off, until `_learner` turns them on.
        """
        if self.solver_ is None:
            return no_solver
        has_learned_weights = tuned == "all" or bool(of_part(self.weights_, SOLVER))
        # `trainable` changes nothing if `learnable` is set, by the user or by `opened`.
        solver = self.solver_.trainable() if has_learned_weights else self.solver_
        return self._placed(solver.build(shape)).requires_grad_(False)

    def _weight_tensors(self) -> dict[str, torch.Tensor]:
        return to_tensors(self.weights_, self._dtype(), check_device(self.device))

    def _current_meta(self, geometry: Geometry) -> MetaLearner:
        """Return the meta-learner with the current `n_inner`, `batch_size` and engine.

        Of `algorithm`, prediction uses the engine only: the objective was built by `algorithm_`.
        """
        _, meta = self._built(geometry)
        inner, algorithm = replace(meta.inner, m=self.n_inner), as_algorithm(self.algorithm)
        return replace(meta, inner=inner, algorithm=algorithm, batch_size=self.batch_size)

    # ----------------------------- training: what `TrainingRun.train` calls, in the order of calls

    def _training_loss(self) -> LossLike:
        return self.outer_loss

    def _initialize(self, problem: Problem) -> None:
        self.algorithm_ = clone(as_algorithm(self.algorithm))
        self._step_size_rule_ = self.algorithm_.rule
        self.solver_, self.inner_loss_ = self.solver, as_inner_loss(self.inner_loss)
        self.init_ = (
            default_init(self.algorithm_, problem.A, problem.operator)
            if self.init is None
            else self.init
        )
        phi = self.init_.build(problem.tensor_shape, problem.geometry.data_range)
        # Before denoisers and residuals are trained
        self._check_algorithm(phi)
        check_uncertainty(self.init_, problem)

        if self.solver_ is not None:
            self.solver_ = ready_solver(self.solver_, problem, self, self._seed_)
        self.init_ = with_fitted_residual(self.init_, problem, self, self._seed_)
        if self.init is None:
            self.init_ = with_fast_start(self.init_, problem, self, self._seed_)
        self.inner_loss_ = with_fitted_denoisers(self.inner_loss_, problem, self, self._seed_)
        theta = phi.initial_weights(weights_generator(self._seed_))
        # Step sizes follow in `_choose_open_values`, because their initial value may be "auto".
        self.weights_ = in_part(to_numpy(theta), INIT)

    def _continue_training(self) -> None:
        algorithm = clone(as_algorithm(self.algorithm))
        if algorithm.proximity != self.algorithm_.proximity:
            raise ValueError(
                "The 'algorithm' parameter must have the proximal term with which the weights were "
                f"learned, that of {self.algorithm_!r}. Got {self.algorithm!r} instead."
            )
        self._warn_of_inner_steps()
        self.algorithm_ = algorithm
        # The weights are step sizes of the rule, so it stays. Only its learning rate may change.
        self._step_size_rule_ = with_rate_of(algorithm.rule, self._step_size_rule_)
        self._check_algorithm(self.init_.build(self._geometry_.tensor_shape, self.data_range_))

    def _batches(self, problem: Problem) -> Batches:
        batches = super()._batches(problem)
        starts = cross_fitted_starts(self.init_, problem, self, self._seed_)
        if starts is not None:
            batches = replace(batches, read=WithStarts(batches.read, starts))
        return batches

    def _choose_open_values(self, problem: Problem, batches: Batches, criterion: Criterion) -> None:
        """Choose the values at "auto" or None; add step sizes and the solver's to `weights_`."""
        tuning, scales_solver = self._tuning(), False
        if self.solver_ is not None and tuning is not None and tuning.part == "numbers":
            scales_solver = not self.solver_.learnable  # else the user has chosen the numbers
            self.solver_ = self.solver_.opened(problem.tensor_shape)
        # A learner for trials. It has no step sizes yet; `_learner` builds the one that is trained.
        meta = self._build(problem.geometry, problem.A, tuning)
        low, high = problem.geometry.data_range
        n_tried = min(_N_TRIED, batches.n_images)
        chosen = from_first_process(
            lambda: choose_open_values(
                meta,
                [batches.read(indices, 0) for indices in batches_of(n_tried, self.batch_size)],
                criterion,
                loss_of=self.inner_loss_.of,
                inner_lr=self.inner_lr,
                scales_solver=scales_solver,
                width=high - low,
            )
        )
        self.inner_lr_ = chosen.inner_lr
        self.inner_loss_.set_params(of=chosen.loss_of)  # a clone would lose a fitted denoiser
        adapted = {name: meta.theta[name] for name in meta.inner.adapted}
        alpha = self._step_size_rule_.initial(adapted, max(1, self.n_inner), self.inner_lr_)
        self.weights_ = {**self.weights_, **in_part(to_numpy(alpha), INNER_LR), **chosen.solver}

    def _learner(self, problem: Problem, criterion: Criterion) -> Learner:
        tuning, rule = self._tuning(), self._step_size_rule_
        meta = self._build(problem.geometry, problem.A, tuning)
        by_part = meta.weights_by_part()
        if tuning is not None and self.tune_solver != "auto" and not by_part[SOLVER]:
            raise self._nothing_to_tune()

        # The solver's learned weights are kept even if this call does not tune them.
        weights = self._weight_tensors()
        for part, tensors in by_part.items():
            weights |= in_part(tensors, part)

        learned = {p: tensors for p, tensors in by_part.items() if p != INNER_LR or rule.learned}
        for tensors in learned.values():
            for tensor in tensors.values():
                tensor.requires_grad_()
        return Learner(
            weights=weights,
            parameter_groups=meta.parameter_groups(learned, self._learning_rates(tuning)),
            learn=partial(meta_learn, meta, criterion),
            restore=meta.restore,
        )

    @outside_inference_mode
    def _report(self, run: TrainingRun) -> None:
        _, meta = self._newly_built(self._geometry_)  # not cached: no prediction was asked for
        n_reported = _N_REPORTED if self.verbose else _N_TRIED
        with ignoring_unsolved_systems():
            batches = reported_batches(meta, run, n_reported, self.noise)
            psnrs = qualities(meta, batches, self.data_range_)
        which = "training images" if run.held_out is None else "held-out images"
        if self.verbose:
            write_line(self._values_line())
            write_line(summary(psnrs, self.history_, which))
        warn_of_adaptation(psnrs, which)

    # ------------------------------------------------------------------ parts of training

    def _tuning(self) -> TuneSolver | None:
        """Return which weights of the solver are learned, or None; raise if there is no solver."""
        trainable = self.solver_ is not None and "solver" in self.algorithm_.learns
        tuning = as_tuning(self.tune_solver, trainable=trainable)
        if tuning is not None and self.solver_ is None:
            raise self._nothing_to_tune()
        return tuning

    def _learning_rates(self, tuning: TuneSolver | None) -> dict[str, float]:
        """Return the learning rate of each part of the weights."""
        return {
            INIT: self.outer_lr,
            INNER_LR: self._step_size_rule_.learning_rate(self.inner_lr_),
            INNER_LOSS: as_inner_loss(self.inner_loss).learning_rate(),
            SOLVER: 0.0 if tuning is None else tuning.learning_rate(self.outer_lr),
        }

    def _nothing_to_tune(self) -> ValueError:
        return ValueError(
            "The 'tune_solver' parameter must be False if the solver has nothing to learn. Got "
            f"{self.tune_solver!r} with solver={self.solver!r} instead."
        )

    def _check_algorithm(self, phi: ImageModule) -> None:
        """Check that the algorithm has gradients for everything that is learned."""
        rule = self._step_size_rule_
        learned = {
            "inner_lr": rule if rule.learned else None,
            "inner_loss": self.inner_loss_.learnable,
            "solver": self._tuning(),
            "encoder": getattr(phi, "encoder", None),
            "refiner": getattr(phi, "refiner", None),
        }
        self.algorithm_.check(self.n_inner, {part: by for part, by in learned.items() if by})

    def _values_line(self) -> str:
        """Return a line with the initial step size, the inner loss and the learned numbers."""
        n_learned = len(of_part(self.weights_, SOLVER))
        learned = f", {n_learned} parameter(s) of the solver learned" if n_learned else ""
        return (
            f"At the start: inner_lr={self.inner_lr_:.3g}, the inner loss is that of "
            f"the {self.inner_loss_.of}{learned}."
        )

    # ------------------------------------------------------------------ prediction

    def _warn_of_inner_steps(self) -> None:
        n_learned = self._step_size_rule_.n_steps(of_part(self.weights_, INNER_LR))
        if n_learned is not None and self.n_inner > n_learned:
            warn(
                f"n_inner is {self.n_inner}, but step sizes were learned for {n_learned} inner "
                "steps: the additional steps use the last ones.",
                InnerStepsWarning,
            )

    def _restorer(self, geometry: Geometry) -> Restorer:
        self._warn_of_inner_steps()
        return Restorer(self._current_meta(geometry).restore, self.operator_)

    # ------------------------------------------------------------------ the fitted estimator

    @property
    def step_sizes_(self) -> dict[str, np.ndarray]:
        """The step sizes of the inner steps, by the name of the adapted weight."""
        check_is_fitted(self)
        _, meta = self._built()
        steps, at = range(self.n_inner), meta.inner.step_size.at
        return {
            name: np.array([at(meta.alpha, k, name).detach().cpu().numpy() for k in steps])
            for name in meta.inner.adapted
        }

    def _weight_holders(self) -> list[Any]:
        start = residual_of(self.init_)
        of_solver = counted_beside(self.weights_, self.solver_)
        of_start = [] if start is None else start._weight_holders()
        return [self.weights_, self.inner_loss_, *of_solver, *of_start]

    def _bound_to_size(self) -> str | None:
        _, meta = self._built()
        if not meta.inner.phi.continuous:
            return (
                f"The weights of {self.init_!r} represent images of shape {self.image_shape_} only."
            )
        residual = residual_of(self.init_)
        reason = None if residual is None else residual._bound_to_size()
        if reason is None:
            return None
        return (
            f"{reason} Another representation supports any size: init=Siren(), or "
            'Siren(64, depth=3, residual="adjoint", refiner=Refiner(), adapted="last").'
        )
