"""The inner step size that a problem asks for, and whether its solver leaves a step anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch

from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.operators import DataTerm

Tensors: TypeAlias = Mapping[str, torch.Tensor]

# An inner loss below this is rounding: losses are in units of the data range.
_NO_MISFIT = 1e-9
# Of a change of the start a solver leaves this share of its squared length in the measurement, or
# the inner loss is blind to it.
_BLIND = 1e-3


def cauchy_steps(theta: Tensors, data: DataTerm, inner: InnerLoop) -> list[float]:
    """Return, for each image, the step that minimises the linearised inner loss along its gradient.

    ``||g||^2 / g' G g``, Cauchy's step, with the gradient ``g`` of the inner loss ``L(x(theta))``
    and the Gauss-Newton curvature ``G = J' H J``: ``J`` is the Jacobian of the image ``x`` by the
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
    Nocedal and Wright, "Numerical Optimization", Springer, 2006, chapters 4 and 10.
    """
    generator = np.random.default_rng(0)
    with torch.enable_grad():
        theta_i = {name: _of_each(theta[name], len(data.y)) for name in inner.adapted}
        weights = list(theta_i.values())
        start = inner.phi({**theta, **theta_i}, inner.phi.condition(theta, data))
        x = inner.f(start, data) if inner.through_solver else start
        at = x.detach().requires_grad_()
        L = inner.loss(at, data, theta_i, theta)
        slope = torch.autograd.grad(L.sum(), at, create_graph=True)[0]
        noise = torch.from_numpy(generator.standard_normal(tuple(x.shape))).to(x)
        blank = (L < _NO_MISFIT).reshape(-1, 1, 1, 1)
        v = torch.where(blank, noise, slope).detach().requires_grad_()
        pulled = torch.autograd.grad(x, weights, v, create_graph=True)
        g = [part.detach() for part in pulled]
        products = [(p * q).sum() for p, q in zip(pulled, g, strict=True)]
        pushed = torch.autograd.grad(torch.stack(products).sum(), v)[0]  # J g: J' v is linear in v
        bent = torch.autograd.grad(slope, at, pushed)[0]  # H J g
    curvature = (bent * pushed).flatten(1).sum(1)
    squares = sum(part.square().reshape(len(x), -1).sum(1) for part in g)
    steps = (squares / curvature).tolist()
    return [step for step in steps if np.isfinite(step) and step > 0]


def sees_the_start(start: torch.Tensor, data: DataTerm, inner: InnerLoop, width: float) -> bool:
    """Return whether the data fidelity of the solver's result still depends on its start.

    The measurements of two results are compared, from `start` and from the same images turned by
    180 degrees under a ramp of the data range's `width`, with those of the starts themselves.
    """
    with torch.no_grad():
        start = start.expand(len(data.y), *start.shape[1:])
        ramp = torch.linspace(width, 0, start.shape[-2]).to(start)  # of what turning leaves alone
        other = start.flip(-1, -2) + ramp[:, None]
        starts = data.A(other) - data.A(start)
        results = data.A(inner.f(other, data)) - data.A(inner.f(start, data))
    return bool(results.square().sum() > _BLIND * starts.square().sum())


def _of_each(weight: torch.Tensor, n_images: int) -> torch.Tensor:
    """Return the weight once for each image."""
    own = weight.detach()
    return (own if n_images == 1 else own.repeat(n_images, *[1] * own.ndim)).requires_grad_()
