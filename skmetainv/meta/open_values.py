"""Choose values for open parameters: the inner step size, the inner loss, the solver's numbers.

A parameter is open if it is "auto" or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.arrays.weights import SOLVER, in_part, to_numpy
from skmetainv.exceptions import AdaptationWarning, warn
from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import InnerLoop, one_per_image
from skmetainv.meta.algorithms import Task
from skmetainv.meta.learner import MetaLearner
from skmetainv.operators import DataTerm
from skmetainv.solvers.schedules import scale_numbers
from skmetainv.training import Batch

# An inner loss below this is a rounding error; losses are in units of the data range.
_NO_MISFIT = 1e-9
# The inner loss is that of the result if more than this share of a change in the start remains in
# the result (squared norm of the measurements); else it is that of the start. One update of
# `GradientDescent` has the share 1e-2. For an HQS with the share 4.5e-3, training with the loss of
# the result took five times as long as with the loss of the start, for the same PSNR.
_LEAST_SHARE = 5e-3
# Steps of the power method: its estimate of the largest curvature is a few percent too low.
_POWER_STEPS = 12
# The inner step size for "auto" if no image has a step size, see `stable_steps`.
_LR_WITHOUT_STEPS = 0.01


class OpenValues(NamedTuple):
    """The values of parameters that were open; the others as they were set."""

    loss_of: str
    """Whether the inner loss is that of the "result" or of the "start"."""
    inner_lr: float
    """The initial inner step size."""
    solver: dict[str, np.ndarray]
    """All weights of the solver that are tuned, after scaling, by their names in `weights_`."""


def choose_open_values(
    meta: MetaLearner,
    batches: Sequence[Batch],
    criterion: Criterion,
    *,
    loss_of: str,
    inner_lr: float | str,
    scales_solver: bool,
    width: float,
) -> OpenValues:
    """Choose the open values by trials on some training images.

    Parameters
    ----------
    meta : MetaLearner
        The weights, the solver and the inputs of Algorithm 1.
    batches : sequence of Batch
        The images and their measurements, in batches.
    criterion : callable
        The loss between the results and the clean images.
    loss_of : {"auto", "result", "start"}
        The `of` parameter of the inner loss, see `InnerLoss`.
    inner_lr : float or "auto"
        The inner step size.
    scales_solver : bool
        Whether to scale the tuned numbers of the solver, in place.
    width : float
        The width of the data range.

    Returns
    -------
    values : OpenValues
        The chosen values, and those that were set.
    """
    if scales_solver:
        scale_solver_numbers(meta, batches, criterion)
    if loss_of == "auto":
        loss_of = "result" if sees_the_start(meta, batches[0], width) else "start"
        meta = replace(meta, inner=replace(meta.inner, through_solver=loss_of == "result"))
    if isinstance(inner_lr, str):
        steps = stable_steps(meta, batches, criterion)
        inner_lr = float(np.median(steps)) if steps else _LR_WITHOUT_STEPS
        if not steps and meta.inner.m:
            warn(
                'inner_lr="auto" found no step size: the inner loss has no gradient or, like the '
                f"mean absolute error, no curvature. inner_lr={inner_lr} is used instead.",
                AdaptationWarning,
            )
    numbers = to_numpy(meta.weights_by_part()[SOLVER])
    return OpenValues(loss_of, inner_lr, in_part(numbers, SOLVER))


def scale_solver_numbers(meta: MetaLearner, batches: Iterable[Batch], criterion: Criterion) -> None:
    """Scale the learnable numbers of the solver so that its results have a low loss.

    They are scaled in place, see `skmetainv.solvers.schedules.scale_numbers`.

    Parameters
    ----------
    meta : MetaLearner
        The solver and the weights. The solver starts from the images of the weights before any
        inner step.
    batches : iterable of Batch
        The images and their measurements, in batches.
    criterion : callable
        The loss between the results and the clean images.
    """
    f = meta.inner.f
    tasks = [Task(batch.x, batch.data, criterion, epoch=0) for batch in batches]
    starts = [meta.first_images(task.data) for task in tasks]

    def losses() -> torch.Tensor:
        pairs = zip(tasks, starts, strict=True)
        return torch.cat([task.loss(f(start, task.data)) for task, start in pairs])

    scale_numbers(f, losses)


def sees_the_start(meta: MetaLearner, batch: Batch, width: float) -> bool:
    """Return whether the data fidelity of the solver's result depends on its start.

    The solver is run from two starts: the images before any inner step, and the same images,
    rotated by 180 degrees, plus a ramp. The forward model is applied to both starts and to both
    results. The difference between the results is then compared with that between the starts.

    Parameters
    ----------
    meta : MetaLearner
        The weights and the solver.
    batch : Batch
        Some images and their measurements.
    width : float
        The width of the data range, which is the height of the ramp.
    """
    A, f, data = batch.A, meta.inner.f, batch.data
    start = meta.first_images(data)
    with torch.no_grad():
        ramp = torch.linspace(width, 0, start.shape[-2]).to(start)  # changes symmetric images
        other = start.flip(-1, -2) + ramp[:, None]
        starts = A(other) - A(start)
        results = A(f(other, data)) - A(f(start, data))
    return bool(results.square().sum() > _LEAST_SHARE * starts.square().sum())


def stable_steps(meta: MetaLearner, batches: Iterable[Batch], criterion: Criterion) -> list[float]:
    """Return an inner step size for each image.

    It is ``min(||g||^2 / g' G g, 1 / ||G||)``. The first value is the Cauchy step. It minimises the
    quadratic model of the inner loss with curvature ``G`` along the gradient ``g``. Repeated steps
    of more than twice the second value diverge along other directions.

    - ``g`` is the gradient of the inner loss ``L(x(theta))`` with respect to the adapted weights.
    - ``G = J' H J`` is its Gauss-Newton curvature. ``J`` is the Jacobian of the image ``x`` with
      respect to the adapted weights, through the solver. ``H`` is the Hessian of ``L`` with respect
      to the image.

    If the loss is 0 up to rounding, white noise replaces its gradient with respect to the image.

    Parameters
    ----------
    meta : MetaLearner
        The weights and the inputs of Algorithm 1.
    batches : iterable of Batch
        The images, in batches.
    criterion : callable
        The loss between the results and the clean images.

    Returns
    -------
    steps : list of float
        The step sizes that are finite and positive.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", Springer, 2006, chapters 3, 4 and 10.
    """
    steps = []
    for batch in batches:
        for chunk in meta.in_chunks(batch):
            task = Task(chunk.x, chunk.data, criterion, epoch=0)
            inner = meta.algorithm.trained_loop(meta.inner, meta.theta, task)
            steps += _step_sizes(_GaussNewton(meta.theta, task.data, inner))
    return [step for step in steps if np.isfinite(step) and step > 0]


def _step_sizes(G: _GaussNewton) -> list[float]:
    """Return ``min(||g||^2 / g' G g, 1 / ||G||)`` per image; ``||G||`` by the power method."""
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(G.grad_x.shape)))
    exact = (G.L < _NO_MISFIT).reshape(-1, 1, 1, 1)
    g = G.transposed(torch.where(exact, noise.to(G.grad_x), G.grad_x.detach()))
    cauchy = g.square().sum(1) / (g * G(g)).sum(1)
    v, norm = g, torch.zeros_like(cauchy)
    for _ in range(_POWER_STEPS):
        v = G(v / v.norm(dim=1, keepdim=True))
        norm = v.norm(dim=1)
    return torch.minimum(cauchy, 1 / norm).tolist()


class _GaussNewton:
    """The curvature ``J' H J`` of the inner losses, to multiply one row of weights per image.

    A proximal term depends on the weights directly; its curvature is added.
    """

    def __init__(self, theta: Tensors, data: DataTerm, inner: InnerLoop):
        self.n_images = len(data.y)
        with torch.enable_grad():
            values = one_per_image(theta, inner.adapted, self.n_images)
            self.weights = [v.detach().clone().requires_grad_() for v in values]
            theta_i = dict(zip(inner.adapted, self.weights, strict=True))
            x = inner.phi({**theta, **theta_i}, inner.phi.condition(theta, data))
            self.x = inner.f(x, data) if inner.through_solver else x
            self.x_leaf = self.x.detach().requires_grad_()
            self.L = inner.loss(self.x_leaf, data, theta_i, theta)
            (self.grad_x,) = torch.autograd.grad(self.L.sum(), self.x_leaf, create_graph=True)
            # The derivative of (J' v)' g with respect to v is J g.
            self.v = torch.zeros_like(self.x_leaf, requires_grad=True)
            self.Jt_v = self._rows(
                torch.autograd.grad(self.x, self.weights, self.v, create_graph=True)
            )
            self.prox_gradient = self._rows(
                torch.autograd.grad(
                    self.L.sum(), self.weights, create_graph=True, materialize_grads=True
                )
            )

    def transposed(self, v: torch.Tensor) -> torch.Tensor:
        """Return ``J' v``."""
        return self._rows(torch.autograd.grad(self.x, self.weights, v, retain_graph=True))

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        """Return the product of the curvature with `g`."""
        (Jg,) = torch.autograd.grad(self.Jt_v, self.v, g, retain_graph=True)
        (HJg,) = torch.autograd.grad(self.grad_x, self.x_leaf, Jg, retain_graph=True)
        if not self.prox_gradient.requires_grad:
            return self.transposed(HJg)
        return self.transposed(HJg) + self._rows(
            torch.autograd.grad(
                self.prox_gradient, self.weights, g, retain_graph=True, materialize_grads=True
            )
        )

    def _rows(self, parts: Iterable[torch.Tensor]) -> torch.Tensor:
        return torch.cat([part.reshape(self.n_images, -1) for part in parts], dim=1)
