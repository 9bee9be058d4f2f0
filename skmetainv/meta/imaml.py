"""iMAML: the outer gradient by implicit differentiation at the minimum of the inner loss."""

from __future__ import annotations

from dataclasses import KW_ONLY

import torch

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Adapt, Algorithm, OuterLosses, Task, by_step
from skmetainv.meta.inner_loss import InnerObjective, Proximal
from skmetainv.operators.maps.normal_equations import begin, update
from skmetainv.parameters import COUNT, POSITIVE
from skmetainv.solvers.schedules import Schedule
from skmetainv.training import backward


class IMAML(Algorithm):
    """Implicit MAML: differentiate the optimality condition of the adapted weights.

    In training and in prediction, the inner steps minimise
    ``G(theta_i) = L(theta_i) + w / 2 ||theta_i - theta||^2``, where ``w`` is `proximity`. At its
    minimum, ``d theta_i / d theta = (I + H / w)^-1`` with the Hessian ``H`` of ``L``. The outer
    gradient is therefore ``w v``, where ``v`` solves ``(H + w I) v = grad L_outer(theta_i)``. A few
    updates of conjugate gradients solve this system approximately. The gradients of shared weights,
    of the solver and of the weights of the inner loss follow in the same way. Memory does not grow
    with the number of inner steps.

    Conjugate gradients start at ``v = grad L_outer / w``, which gives the gradient of
    first-order MAML. An update along a direction ``p`` is skipped if ``p' (H + w I) p`` is not
    positive. The adapted weights are then not at a minimum, and `proximity` should be larger.

    Parameters
    ----------
    proximity : float, default=1.0
        Weight of the squared distance to ``theta``, positive. The gradient is correct only if the
        inner steps have converged. Convergence takes about ``(||H|| + w) / w`` steps, and needs a
        step size below ``2 / (||H|| + w)``.
    n_cg : int, default=5
        Number of updates of conjugate gradients.

    Notes
    -----
    There is no gradient for inner step sizes: estimators raise an error if they are to be learned.

    References
    ----------
    Rajeswaran, Finn, Kakade and Levine, "Meta-learning with implicit gradients", NeurIPS, 2019.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import IMAML
    >>> est = MetaInverseSolver(algorithm=IMAML(proximity=2.0), n_inner=10)
    """

    proximity: float = 1.0
    _: KW_ONLY
    n_cg: int = 5

    learns = ("inner_loss", "solver", "encoder", "refiner")
    _parameter_constraints = {
        **Algorithm._parameter_constraints,
        "proximity": [POSITIVE],
        "n_cg": [COUNT],
    }

    def objective(self, loss: InnerObjective) -> InnerObjective:
        return Proximal(loss, Schedule(self.proximity, learnable=False))

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
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
            # The second term has the gradient through theta_i, from d(grad G) = 0 at the minimum
            backward(L_outer.sum() - (_rows(g, len(x)) * v).sum())
        return OuterLosses(L_outer.detach(), by_step(losses, L_outer))

    def _solve(self, b: torch.Tensor, g: torch.Tensor, leaves: list[torch.Tensor]) -> torch.Tensor:
        """Approximate ``(H + proximity I)^-1 b`` by `n_cg` updates, each image on its own."""

        def hessian(v: torch.Tensor) -> torch.Tensor:
            product = torch.autograd.grad((g * v).sum(), leaves, retain_graph=True)
            return _rows(product, len(b))

        v = b / self.proximity  # the solution for H = 0, kept if the curvature is not positive
        state = begin(v, b - hessian(v))
        for _ in range(self.n_cg):
            state = update(hessian, state, state.rr > 0)
        return state.x


def _rows(tensors: tuple[torch.Tensor, ...], n_images: int) -> torch.Tensor:
    """Return tensors of several images as one vector per image."""
    return torch.cat([t.reshape(n_images, -1) for t in tensors], dim=1)
