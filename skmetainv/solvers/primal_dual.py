"""The primal-dual method of Chambolle and Pock for total variation."""

from dataclasses import KW_ONLY

import torch

from skmetainv.denoisers.differences import SQUARED_NORM, gradient, gradient_adjoint, project
from skmetainv.operators import DataTerm
from skmetainv.solvers.base import Solver
from skmetainv.solvers.iterative import IterativeSolver, State
from skmetainv.solvers.schedules import Schedule, ValuesOrAuto


class PrimalDual(Solver):
    """Total-variation reconstruction by the primal-dual method of Chambolle and Pock.

    Minimises ``1/2 ||A x - y||^2 + weight sum |grad x|`` with isotropic total variation. At each
    pixel, ``grad x`` is the vector of two forward differences, and ``|grad x|`` is its length. Each
    channel has its own total variation. The update is::

        x_k+1 = argmin_x 1/2 ||A x - y||^2 + 1/(2 tau) ||x - (x_k - tau grad' p_k)||^2
        p_k+1 = p_k + sigma grad(2 x_k+1 - x_k), projected onto the ball of radius weight

    with ``tau = step_size`` and ``sigma = 1 / (8 tau)``. With a constant step size, the updates
    converge from any start, for any norm of ``A``.

    Parameters
    ----------
    n_iter : int, default=100
        Number of updates.
    weight : "auto", float or sequence of float, default="auto"
        Weight of the total variation; one number, or one per update. "auto" is ``0.01 ||A||^2``,
        see `skmetainv.operators.ForwardMap.norm`.
    step_size : "auto", float or sequence of float, default="auto"
        ``tau``; one number, or one per update. "auto" is ``1 / ||A||^2``. Large step sizes change
        the image quickly, small ones change its edges quickly. If you set `weight`, set this, too:
        ``0.01 / weight`` needs few updates for images in [0, 1], as "auto" does at the default
        weight.
    learnable : tuple of str, default=()
        Parameters that training may change: "weight", "step_size". For a parameter at "auto",
        training changes the factor.

    References
    ----------
    Chambolle and Pock, "A first-order primal-dual algorithm for convex problems with applications
    to imaging", Journal of Mathematical Imaging and Vision, 2011.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import PrimalDual
    >>> data = Identity().build((1, 1, 2)).bind(torch.tensor([[[[0.0, 2.0]]]]))
    >>> f = PrimalDual(weight=0.5).build((1, 1, 2)).float()
    >>> f(data.start("zeros"), data)
    tensor([[[[0.5000, 1.5000]]]])
    """

    n_iter: int = 100
    _: KW_ONLY
    weight: ValuesOrAuto = "auto"
    step_size: ValuesOrAuto = "auto"
    learnable: tuple[str, ...] = ()

    number_names = ("weight", "step_size")
    automatic = {"weight": (0.01, 1), "step_size": (1.0, -1)}

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        return _PrimalDual(self.n_iter, **self.build_schedules())


class _PrimalDual(IterativeSolver):
    def __init__(self, n_iter: int, weight: Schedule, step_size: Schedule):
        super().__init__(n_iter)
        self.weight, self.step_size = weight, step_size

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        return x, x.new_zeros(len(x), 2, *x.shape[1:])

    def step(self, state: State, data: DataTerm, k: int) -> State:
        x_k, p = state
        p = p.movedim(1, 0)  # states have the images first
        tau = self.step_size(k, data)
        x = data.prox(x_k - tau * gradient_adjoint(p), 1 / tau)
        p = project(p + gradient(2 * x - x_k) / (SQUARED_NORM * tau), self.weight(k, data))
        return x, p.movedim(0, 1)

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        return 1.0, float(self.step_size(k, data))  # tau grad' p has the units of x
