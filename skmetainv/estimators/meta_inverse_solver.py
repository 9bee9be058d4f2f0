"""The library's main estimator: a classical solver with a meta-learned start."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import torch
from sklearn.base import clone

from skmetainv.arrays import to_numpy, to_tensors
from skmetainv.estimators.solvers import ready_solver
from skmetainv.exceptions import InnerStepsWarning
from skmetainv.losses import LOSS_CONSTRAINTS, Loss, as_loss
from skmetainv.meta import (
    STEP_SIZE_RULES,
    InnerLoop,
    StepSizeRule,
    adapt,
    images_at_once,
    meta_learn,
)
from skmetainv.noise import Noise
from skmetainv.operators import DataTerm, Operator
from skmetainv.parameters import Interval, StrOptions
from skmetainv.randomness import integer_seed, weights_generator
from skmetainv.reconstruction import TrainedReconstructor
from skmetainv.reconstruction.geometry import (
    Geometry,
    Problem,
    equal_chunks,
    match_type,
    n_not_finite,
)
from skmetainv.reconstruction.validation import check_device
from skmetainv.representations import Representation, Siren
from skmetainv.solvers import Solver

Tensors: TypeAlias = Mapping[str, torch.Tensor]


class MetaInverseSolver(TrainedReconstructor):
    """Restore images by a classical solver from a start that meta-learning found.

    A coordinate network (SIREN) with weights ``theta`` gives the image ``phi_theta`` from which
    the solver ``f`` starts. `predict` adapts the weights to each measurement by a few gradient
    steps on the data fidelity of the solver's result (Algorithm 1 of the paper)::

        theta_i <- theta_i - alpha grad || A f(phi_theta_i) - y_i ||^2,    n_inner times
        x_i = f(phi_theta_i)

    `fit` learns the weights to start from, and the step sizes ``alpha``, such that the results
    are near the clean images (Algorithm 2)::

        theta <- theta - beta grad_theta mean_i L_outer(x_i(theta), x_i^clean)

    Second-order gradients are exact.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising).
    solver : Solver, default=None
        The classical solver ``f``; None takes the network's image as the solution. Its denoiser,
        where it has a learned one, is fitted on the clean images, unless it is in a
        `FrozenEstimator` or has weights of a file. Then it stays as it is: neither its weights nor
        numbers that its parameter `learnable` names are trained.
    init : Representation, default=None
        The network; None is ``Siren()``.
    noise : float or Noise, default=0.0
        Noise of simulated measurements; a number is the standard deviation of Gaussian noise,
        in the units of the measurement.
    n_inner : int, default=3
        Number of inner steps ``m``. If it is raised after fitting, the further steps take the
        last step sizes that were learned, with an `InnerStepsWarning`. It may change from one
        `partial_fit` to the next: rows of ``history_["inner_loss"]`` then have other lengths.
    inner_lr : float, default=0.01
        The inner step size, or where the learned ones begin. The data fidelity is a mean, so a
        good value depends on the solver, not on the image's size: the more of the fidelity the
        solver takes away, the larger.
    inner_lr_rule : {"fixed", "per_step", "per_parameter"}, default="per_step"
        Learn no step size, one per inner step, or one per parameter and inner step.
    inner_lr_lr : float, default=None
        Adam's learning rate for the inner step sizes; None is ``inner_lr / 100``.
    inner_loss : {"l1", "l2"} or Loss, default="l2"
        The data fidelity that the inner steps descend (equation 4).
    outer_loss : {"l1", "l2"} or Loss, default="l2"
        What `fit` minimises between results and clean images (equation 5).
    outer_lr : float, default=1e-4
        Adam's learning rate ``beta`` for ``theta``.
    max_epochs : int, default=20
        How often `fit` sees every image.
    batch_size : int, default=5
        Images per outer step, and images that `predict` restores at a time.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of flat images; with None they are
        square if they can be, else one row.
    data_range : float or (float, float), default=None
        The largest value of images, or the least and the largest. With None floats are
        nominally in [0, 1] and integers are divided by their type's maximum; otherwise all
        values are taken as they are.
    clip : (float, float), default=None
        Clip predictions to this range.
    precision : {"float32", "float64"}, default="float32"
        Floating-point type of all computations.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device when there is one, else the CPU.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of initial weights, batches, masks and noise. On the CPU, with the same number of
        threads, the same integer gives the same bits.
    verbose : int, default=0
        1 draws a progress bar.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All that was learned: ``theta`` (prefix ``init.``) and ``alpha`` (``inner_lr.``).
    history_ : dict of str to list
        For each epoch: ``outer_loss``, ``inner_loss`` (one per inner step, before it), means
        over the images, and ``seconds``.
    n_iter_ : int
        Number of epochs trained.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    operator_, solver_, init_, inner_loss_, inner_lr_rule_ : object
        Copies of the parameters that the weights belong to: `predict` and `partial_fit` go by
        them, whatever the parameters are set to since.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, where `X` was a data frame.

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

    _parameter_constraints = {
        **TrainedReconstructor._parameter_constraints,
        "solver": [Solver, None],
        "init": [Representation, None],
        "n_inner": [Interval(Integral, 0, None, closed="left")],
        "inner_lr": [Interval(Real, 0, None, closed="neither")],
        "inner_lr_rule": [StrOptions(set(STEP_SIZE_RULES))],
        "inner_lr_lr": [Interval(Real, 0, None, closed="left"), None],
        "inner_loss": LOSS_CONSTRAINTS,
        "outer_loss": LOSS_CONSTRAINTS,
        "outer_lr": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        operator: Operator | None = None,
        solver: Solver | None = None,
        *,
        init: Representation | None = None,
        noise: float | Noise = 0.0,
        n_inner: int = 3,
        inner_lr: float = 0.01,
        inner_lr_rule: str = "per_step",
        inner_lr_lr: float | None = None,
        inner_loss: str | Loss = "l2",
        outer_loss: str | Loss = "l2",
        outer_lr: float = 1e-4,
        max_epochs: int = 20,
        batch_size: int = 5,
        image_shape: tuple[int, ...] | None = None,
        data_range: float | tuple[float, float] | None = None,
        clip: tuple[float, float] | None = None,
        precision: str = "float32",
        device: str | torch.device = "auto",
        random_state: Any = None,
        verbose: int | bool = 0,
    ):
        self.operator = operator
        self.solver = solver
        self.init = init
        self.noise = noise
        self.n_inner = n_inner
        self.inner_lr = inner_lr
        self.inner_lr_rule = inner_lr_rule
        self.inner_lr_lr = inner_lr_lr
        self.inner_loss = inner_loss
        self.outer_loss = outer_loss
        self.outer_lr = outer_lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.data_range = data_range
        self.clip = clip
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def staged_predict(self, X: Any) -> Iterator[Any]:
        """Return the restored images before and after each inner step.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements, see `predict`.

        Returns
        -------
        stages : iterator of ndarray of shape (n, ...), or of tensors if `X` is one
            ``n_inner + 1`` of them; the last is what `predict` returns.
        """
        self._check_ready()
        measurements, geometry = self._measurements(X)
        stages = [self._new_images(len(measurements), geometry) for _ in range(self.n_inner + 1)]
        n_bad = 0
        for indices in self._chunks(len(measurements)):
            batch = self._stages(measurements.read(indices))
            n_bad += n_not_finite(batch[-1])
            for images, x in zip(stages, batch, strict=True):
                images[indices] = geometry.images.to_array(self._clipped(x))
        self._warn_of_divergence(n_bad, len(measurements))
        return (match_type(X, images) for images in stages)

    # ------------------------------------------------------------------ training

    def _initial_state(self, problem: Problem) -> dict[str, Any]:
        init = Siren() if self.init is None else clone(self.init)
        seed = integer_seed(self.random_state)
        phi = init.build(problem.geometry.images.tensor_shape)
        theta = phi.initial_weights(weights_generator(seed))
        adapted = {name: theta[name] for name in phi.adapted}
        rule = STEP_SIZE_RULES[self.inner_lr_rule](self.inner_lr)
        alpha = rule.initial(adapted, max(1, self.n_inner))
        return {
            "init_": init,
            "solver_": None
            if self.solver is None
            else ready_solver(self.solver, problem, self, seed),
            "inner_lr_rule_": self.inner_lr_rule,
            "inner_loss_": clone(as_loss(self.inner_loss)),
            "weights_": to_numpy(theta, "init.") | to_numpy(alpha, "inner_lr."),
            "history_": {"seconds": [], "outer_loss": [], "inner_loss": []},
            "n_iter_": 0,
            "_optimizer_state_": {},
            "_seed_": seed,
        }

    def _train(self, problem: Problem, state: Mapping[str, Any], n_epochs: int) -> dict[str, Any]:
        theta, alpha = self._weights(state["weights_"])
        inner = self._inner_loop(state, problem.geometry)
        optimizer = self._optimizer(theta, alpha, inner.step_size)
        batches = self._batches(problem, state["_seed_"])
        loop = self._loop(batches, optimizer, state, n_epochs)
        outer_loss = as_loss(self.outer_loss).build(problem.geometry.data_range)
        meta_learn(theta, alpha, problem.A, inner, outer_loss, loop)
        return {
            "weights_": to_numpy(theta, "init.") | to_numpy(alpha, "inner_lr."),
            **self._progress(loop, state),
        }

    def _optimizer(
        self, theta: Tensors, alpha: Tensors, rule: StepSizeRule
    ) -> torch.optim.Optimizer:
        """Return Adam over ``theta``, and over ``alpha`` where it is learned."""
        groups = [{"params": _leaves(theta), "lr": self.outer_lr}]
        if rule.learned:
            lr = self.inner_lr / 100 if self.inner_lr_lr is None else self.inner_lr_lr
            groups.append({"params": _leaves(alpha), "lr": lr})
        return torch.optim.Adam(groups)

    # ------------------------------------------------------------------ prediction

    def _check_ready(self) -> None:
        super()._check_ready()
        learned = [len(v) for k, v in self.weights_.items() if k.startswith("inner_lr.") and v.ndim]
        if learned and self.n_inner > learned[0]:
            warnings.warn(
                f"n_inner is {self.n_inner}, but step sizes were learned for {learned[0]} inner "
                "steps: the further steps take the last.",
                InnerStepsWarning,
                stacklevel=3,
            )

    def _reconstruct(self, y: torch.Tensor) -> torch.Tensor:
        return self._stages(y)[-1]

    def _stages(self, y: torch.Tensor) -> list[torch.Tensor]:
        """Return the images of a batch of measurements before and after each inner step."""
        A, inner, theta, alpha = (self._parts()[k] for k in ("A", "inner", "theta", "alpha"))
        inner = replace(inner, m=self.n_inner)
        n = images_at_once(theta, A, self.batch_size)
        chunks = [
            adapt(theta, alpha, A.bind(y_i), inner, learning=False).stages
            for y_i in equal_chunks(y, n)
        ]
        return [torch.cat(stage)[: len(y)] for stage in zip(*chunks, strict=True)]

    def _build_parts(self) -> dict[str, Any]:
        theta, alpha = self._weights(self.weights_)
        inner = self._inner_loop(vars(self), self._geometry_)
        return {**super()._build_parts(), "inner": inner, "theta": theta, "alpha": alpha}

    # ------------------------------------------------------------------ both

    def _inner_loop(self, state: Mapping[str, Any], geometry: Geometry) -> InnerLoop:
        """Return what Algorithm 1 requires, built for images of one shape."""
        image_shape, data_range = geometry.images.tensor_shape, geometry.data_range
        solver = state["solver_"]
        f = None if solver is None else self._placed(solver.build(image_shape))
        return InnerLoop(
            phi=self._placed(state["init_"].build(image_shape, data_range)),
            f=_start if f is None else f.requires_grad_(False),
            loss=state["inner_loss_"].build(data_range),
            step_size=STEP_SIZE_RULES[state["inner_lr_rule_"]](self.inner_lr),
            m=self.n_inner,
        )

    def _weights(self, arrays: dict[str, np.ndarray]) -> tuple[Tensors, Tensors]:
        """Return ``theta`` and ``alpha`` as tensors, where they are computed with."""
        dtype, device = self._dtype(), check_device(self.device)
        theta, alpha = (to_tensors(arrays, p, dtype, device) for p in ("init.", "inner_lr."))
        return theta, alpha


def _start(x: torch.Tensor, data: DataTerm) -> torch.Tensor:
    """Return the start of the solver: what ``f`` is without one."""
    return x


def _leaves(tensors: Tensors) -> list[torch.Tensor]:
    return [tensor.requires_grad_() for tensor in tensors.values()]
