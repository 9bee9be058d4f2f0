"""iMAML: the outer gradient of the point where the inner steps come to rest."""

from __future__ import annotations

from dataclasses import KW_ONLY
from numbers import Integral, Real

import torch

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Adapt, Algorithm, OuterLosses, Task, by_step
from skmetainv.meta.inner_loss import InnerObjective, Proximal
from skmetainv.operators.maps.normal_equations import begin, update
from skmetainv.parameters import Interval
from skmetainv.solvers.schedules import Schedule


class IMAML(Algorithm):
    """Implicit MAML: differentiate the optimality of the adapted weights, not the steps to them.

    The inner steps descend ``G(theta_i) = L(theta_i) + prox / 2 ||theta_i - theta||^2``, in
    training and in prediction. Where its gradient is 0, ``d theta_i / d theta = (I + H / prox)^-1``
    with the Hessian ``H`` of ``L``, so that the outer gradient is ``prox v`` with ``(H + prox I) v
    = grad L_outer(theta_i)``, by conjugate gradients; shared weights, the solver and the weights of
    the inner loss get theirs in the same way. Memory does not grow with the number of inner steps.

    The updates begin at ``v = grad L_outer / prox``, which gives first-order MAML's gradient, and
    stop at a direction in which ``H + prox I`` is not positive: there the adapted weights are no
    minimum, and a larger `prox` would make them one.

    Parameters
    ----------
    prox : float, default=1.0
        Weight of the distance, positive. The gradient is right where the inner steps have
        converged: these need about ``(||H|| + prox) / prox`` of them, at a step size below
        ``2 / (||H|| + prox)``.
    n_cg : int, default=5
        Updates of conjugate gradients.

    Notes
    -----
    There is no gradient for inner step sizes: estimators refuse to learn them.

    References
    ----------
    Rajeswaran, Finn, Kakade and Levine, "Meta-learning with implicit gradients", NeurIPS, 2019.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import IMAML
    >>> est = MetaInverseSolver(algorithm=IMAML(prox=2.0), n_inner=10)
    """

    prox: float = 1.0
    _: KW_ONLY
    n_cg: int = 5

    learns = ("inner_loss", "solver", "encoder", "refiner")
    keeps_steps = False
    _parameter_constraints = {
        **Algorithm._parameter_constraints,
        "prox": [Interval(Real, 0, None, closed="neither")],
        "n_cg": [Interval(Integral, 1, None, closed="left")],
    }

    def objective(self, loss: InnerObjective) -> InnerObjective:
        """Return the inner loss with the proximal term."""
        return Proximal(loss, Schedule(self.prox, learnable=False))

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
        """Add the implicit gradients of some images, see `Algorithm.add_gradients`."""
        data = task.data
        _, losses, adapted = adapt(theta, alpha, data, inner, learning=False)
        with torch.enable_grad():
            theta_i = {name: w.detach().requires_grad_() for name, w in adapted.items()}
            leaves = list(theta_i.values())
            phi = inner.phi({**theta, **theta_i}, inner.phi.condition(theta, data))
            x = inner.f(phi, data)
            seen = x if inner.through_solver else phi
            G, L_outer = inner.loss(seen, data, theta_i, theta), task.loss(x)
            g = torch.autograd.grad(G.sum(), leaves, create_graph=True)
            b = torch.autograd.grad(L_outer.sum(), leaves, retain_graph=True)
            v = self._solve(_rows(b, len(x)), _rows(g, len(x)), leaves)
            # at rest grad G = 0 whatever the weights: the second term is what theta_i does then
            (L_outer.sum() - (_rows(g, len(x)) * v).sum()).backward()
        return OuterLosses(L_outer.detach(), by_step(losses, L_outer))

    def _solve(self, b: torch.Tensor, g: torch.Tensor, leaves: list[torch.Tensor]) -> torch.Tensor:
        """Return `n_cg` updates towards ``(H + prox I)^-1 b``, each image on its own."""

        def hessian(v: torch.Tensor) -> torch.Tensor:
            product = torch.autograd.grad((g * v).sum(), leaves, retain_graph=True)
            return _rows(product, len(b))

        v = b / self.prox  # the solution for H = 0, which stays where the curvature is negative
        state = begin(v, b - hessian(v))
        for _ in range(self.n_cg):
            state = update(hessian, state, state.rr > 0)
        return state.x


def _rows(tensors: tuple[torch.Tensor, ...], n_images: int) -> torch.Tensor:
    """Return tensors of several images as one vector per image."""
    return torch.cat([t.reshape(n_images, -1) for t in tensors], dim=1)
