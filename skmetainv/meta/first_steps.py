"""The inner step size that a problem asks for, and whether its solver leaves a step anything."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.operators import DataTerm

# An inner loss below this is rounding: losses are in units of the data range.
_NO_MISFIT = 1e-9
# Of a change of the start a solver leaves this share of its squared length in the measurement, or
# the inner loss is blind to it.
_BLIND = 1e-3
# Of the power method; the largest curvature is found to a few percent, from below.
_POWER_STEPS = 12


def stable_steps(theta: Tensors, data: DataTerm, inner: InnerLoop) -> list[float]:
    """Return the inner step that each image asks for.

    It is the one that minimises the linearised inner loss along its gradient, Cauchy's step
    ``||g||^2 / g' G g``, or ``1 / ||G||`` if that is less: repeated, longer ones would let the
    loss grow along other directions. ``g`` is the gradient of the inner loss ``L(x(theta))`` and
    ``G = J' H J`` its Gauss-Newton curvature: ``J`` is the Jacobian of the image ``x`` by the
    adapted weights, through the solver, and ``H`` the Hessian of ``L`` by the image. Where the loss
    is 0 to rounding, the gradient is that of a random image.

    Parameters
    ----------
    theta : mapping of str to tensor
        The weights.
    data : DataTerm
        Measurements of some images.
    inner : InnerLoop
        What Algorithm 1 requires.

    Returns
    -------
    steps : list of float
        Of the images of which it is finite and positive.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", Springer, 2006, chapters 3, 4 and 10.
    """
    G = _GaussNewton(theta, data, inner)
    blank = (G.L < _NO_MISFIT).reshape(-1, 1, 1, 1)
    noise = np.random.default_rng(0).standard_normal(tuple(G.slope.shape))
    g = G.pull(torch.where(blank, torch.from_numpy(noise).to(G.slope), G.slope.detach()))
    cauchy = g.square().sum(1) / (g * G(g)).sum(1)
    v, largest = g, torch.zeros_like(cauchy)
    for _ in range(_POWER_STEPS):
        v = G(v / v.norm(dim=1, keepdim=True))
        largest = v.norm(dim=1)
    steps = torch.minimum(cauchy, 1 / largest).tolist()
    return [step for step in steps if np.isfinite(step) and step > 0]


class _GaussNewton:
    """The curvature ``J' H J`` of the inner losses, one row of weights per image.

    What the losses have of the weights themselves, a proximal term, is added.
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
            self.of_weights = self._rows(of_weights)  # a proximal term is of the weights themselves

    def pull(self, v: torch.Tensor) -> torch.Tensor:
        """Return ``J' v``."""
        return self._rows(torch.autograd.grad(self.x, self.weights, v, retain_graph=True))

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        """Return its product with `g`.

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


def sees_the_start(start: torch.Tensor, data: DataTerm, inner: InnerLoop, width: float) -> bool:
    """Return whether the data fidelity of the solver's result still depends on its start.

    The measurements of two results are compared, from `start` and from the same images turned by
    180 degrees under a ramp of the data range's `width`, with those of the starts themselves.
    """
    with torch.no_grad():
        ramp = torch.linspace(width, 0, start.shape[-2]).to(start)  # of what turning leaves alone
        other = start.flip(-1, -2) + ramp[:, None]
        starts = data.A(other) - data.A(start)
        results = data.A(inner.f(other, data)) - data.A(inner.f(start, data))
    return bool(results.square().sum() > _BLIND * starts.square().sum())


def _of_each(weight: torch.Tensor, n_images: int) -> torch.Tensor:
    """Return the weight once for each image."""
    own = weight.detach()
    return (own if n_images == 1 else own.repeat(n_images, *[1] * own.ndim)).requires_grad_()
