"""Values that are found on the first images: step size and loss of the inner steps, penalties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Task
from skmetainv.meta.learner import MetaLearner
from skmetainv.operators import DataTerm
from skmetainv.solvers.schedules import scale_numbers

# An inner loss below this is a rounding error; losses are in units of the data range.
_NO_MISFIT = 1e-9
# The inner loss does not see the start if the solver reduces the effect of a change of the start on
# the measurement to less than this share, in squared norm. One update of `GradientDescent` leaves
# 1e-2. An HQS that left 4.5e-3 took five times as long to train with the loss of its result, for
# the same PSNR.
_BLIND = 5e-3
# Steps of the power method: it finds the largest curvature to a few percent, from below.
_POWER_STEPS = 12


def scale_penalties(
    meta: MetaLearner, batches: Iterable[Sequence[torch.Tensor]], criterion: Criterion
) -> None:
    """Scale the learnable numbers of the solver so that its results have a low loss.

    They are scaled in place, see `skmetainv.solvers.schedules.scale_numbers`.

    Parameters
    ----------
    meta : MetaLearner
        The weights: the solver starts from their images before any inner step.
    batches : iterable of sequence of tensor
        Clean images, their measurements and, if an estimator restored them, their starts.
    criterion : callable
        The loss between the results and the clean images.
    """
    pairs = [(x, meta.A.bind(*y)) for x, *y in batches]
    known = [(meta.first_images(data), data, x, data.known(x)) for x, data in pairs]

    def losses() -> torch.Tensor:
        return torch.cat(
            [criterion(meta.inner.f(start, data), x, m) for start, data, x, m in known]
        )

    scale_numbers(meta.inner.f, losses)


def sees_the_start(meta: MetaLearner, batch: Sequence[torch.Tensor], width: float) -> bool:
    """Return whether the data fidelity of the solver's result depends on its start.

    The solver is run from the images before any inner step and from a second start: the same
    images, rotated by 180 degrees, plus a ramp. The difference between the measurements of both
    results is compared with that between the measurements of both starts.

    Parameters
    ----------
    meta : MetaLearner
        The weights and the solver.
    batch : sequence of tensor
        Clean images, their measurements and, if an estimator restored them, their starts.
    width : float
        The width of the data range, which is the height of the ramp.
    """
    A, f, data = meta.A, meta.inner.f, meta.A.bind(*batch[1:])
    start = meta.first_images(data)
    with torch.no_grad():
        ramp = torch.linspace(width, 0, start.shape[-2]).to(start)  # for symmetric images
        other = start.flip(-1, -2) + ramp[:, None]
        starts = A(other) - A(start)
        results = A(f(other, data)) - A(f(start, data))
    return bool(results.square().sum() > _BLIND * starts.square().sum())


def stable_steps(
    meta: MetaLearner, batches: Iterable[Sequence[torch.Tensor]], criterion: Criterion
) -> list[float]:
    """Return an inner step size for each image.

    The step size is ``||g||^2 / g' G g`` (the Cauchy step, which minimises the linearised inner
    loss along its gradient), or ``1 / ||G||`` if that is smaller: if longer steps were repeated,
    the loss would grow along other directions. ``g`` is the gradient of the inner loss
    ``L(x(theta))``, and ``G = J' H J`` is its Gauss-Newton curvature: ``J`` is the Jacobian of the
    image ``x`` with respect to the adapted weights, through the solver, and ``H`` is the Hessian of
    ``L`` with respect to the image. If the loss is 0 up to rounding, white noise replaces its
    gradient with respect to the image.

    Parameters
    ----------
    meta : MetaLearner
        The weights and the inputs of Algorithm 1.
    batches : iterable of sequence of tensor
        Clean images, their measurements and, if an estimator restored them, their starts.
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
        for x_i, *y_i in meta.in_chunks(batch):
            task = Task(x_i, meta.A.bind(*y_i), criterion, epoch=0)
            inner = meta.algorithm.trained_loop(meta.inner, meta.theta, task)
            steps += _steps(_GaussNewton(meta.theta, task.data, inner))
    return [step for step in steps if np.isfinite(step) and step > 0]


def _steps(G: _GaussNewton) -> list[float]:
    blank = (G.L < _NO_MISFIT).reshape(-1, 1, 1, 1)
    noise = np.random.default_rng(0).standard_normal(tuple(G.slope.shape))
    g = G.pull(torch.where(blank, torch.from_numpy(noise).to(G.slope), G.slope.detach()))
    cauchy = g.square().sum(1) / (g * G(g)).sum(1)
    v, largest = g, torch.zeros_like(cauchy)
    for _ in range(_POWER_STEPS):
        v = G(v / v.norm(dim=1, keepdim=True))
        largest = v.norm(dim=1)
    return torch.minimum(cauchy, 1 / largest).tolist()


class _GaussNewton:
    """The curvature ``J' H J`` of the inner losses, one row of weights per image.

    If the losses depend on the weights directly, by a proximal term, its curvature is added.
    """

    def __init__(self, theta: Tensors, data: DataTerm, inner: InnerLoop):
        self.n_images = len(data.y)
        with torch.enable_grad():
            theta_i = {name: _of_each(theta[name], self.n_images) for name in inner.adapted}
            self.weights = list(theta_i.values())
            x = inner.phi({**theta, **theta_i}, inner.phi.condition(theta, data))
            self.x = inner.f(x, data) if inner.through_solver else x
            self.at = self.x.detach().requires_grad_()
            self.L = inner.loss(self.at, data, theta_i, theta)
            (self.slope,) = torch.autograd.grad(self.L.sum(), self.at, create_graph=True)
            self.v = torch.zeros_like(self.at, requires_grad=True)
            pulled = torch.autograd.grad(self.x, self.weights, self.v, create_graph=True)
            self.pulled = self._rows(pulled)
            of_weights = torch.autograd.grad(
                self.L.sum(), self.weights, create_graph=True, materialize_grads=True
            )
            self.of_weights = self._rows(of_weights)  # the gradient of a proximal term

    def pull(self, v: torch.Tensor) -> torch.Tensor:
        """Return ``J' v``."""
        return self._rows(torch.autograd.grad(self.x, self.weights, v, retain_graph=True))

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        """Return the product of the curvature with `g`.

        ``J g`` is the derivative of ``J' v``, which is linear in ``v``.
        """
        (pushed,) = torch.autograd.grad(self.pulled, self.v, g, retain_graph=True)
        bent = self.pull(torch.autograd.grad(self.slope, self.at, pushed, retain_graph=True)[0])
        if not self.of_weights.requires_grad:
            return bent
        return bent + self._rows(
            torch.autograd.grad(
                self.of_weights, self.weights, g, retain_graph=True, materialize_grads=True
            )
        )

    def _rows(self, parts: Iterable[torch.Tensor]) -> torch.Tensor:
        return torch.cat([part.reshape(self.n_images, -1) for part in parts], dim=1)


def _of_each(weight: torch.Tensor, n_images: int) -> torch.Tensor:
    """Return a copy of the weight for each image."""
    copy = weight.detach()
    return (copy if n_images == 1 else copy.repeat(n_images, *[1] * copy.ndim)).requires_grad_()
