"""Gradient descent on the data fidelity."""

from dataclasses import KW_ONLY

from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.solvers.base import Solver
from skmetainv.solvers.iterative import IterativeSolver, State, warn_of_step_size
from skmetainv.solvers.schedules import Schedule, ValuesOrAuto


class GradientDescent(Solver):
    """Gradient descent on the data fidelity (Landweber's iteration): equation 6 of Zhao's paper.

    The update is ``x <- x - step_size A'(A x - y)``. If the operator is linear, the updates
    converge to a least-squares solution for step sizes below ``2 / ||A||^2``. If the operator is
    nonlinear, the vector-Jacobian product replaces ``A'``.

    Parameters
    ----------
    n_iter : int, default=1
        Number of updates.
    step_size : "auto", float or sequence of float, default="auto"
        Step size; one number, or one per update. "auto" is ``0.9 / ||A||^2``, see
        `skmetainv.operators.ForwardMap.norm`. For inpainting ``||A||`` is 1, so this is 0.9, as in
        Zhao's paper. A step of 1 would copy the measurement into the image and leave the inner loss
        at 0.
    learnable : tuple of str, default=()
        Parameters that training may change: "step_size" (for "auto", the factor 0.9).

    References
    ----------
    Landweber, "An iteration formula for Fredholm integral equations of the first kind",
    American Journal of Mathematics, 1951.

    Qingqing Zhao, "Meta-learning for Solving Inverse Problems", Stanford University.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import GradientDescent
    >>> data = Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1))
    >>> f = GradientDescent(n_iter=2, step_size=0.5).build((1, 1, 1)).float()
    >>> f(torch.zeros(1, 1, 1, 1), data)
    tensor([[[[0.7500]]]])
    """

    n_iter: int = 1
    _: KW_ONLY
    step_size: ValuesOrAuto = "auto"
    learnable: tuple[str, ...] = ()

    number_names = ("step_size",)
    automatic = {"step_size": (0.9, -1)}

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        return _GradientDescent(self.n_iter, **self.build_schedules())


class _GradientDescent(IterativeSolver):
    def __init__(self, n_iter: int, step_size: Schedule):
        super().__init__(n_iter)
        self.step_size = step_size

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        return (x - self.step_size(k, data) * data.gradient(x),)

    def check(self, A: ForwardMap) -> None:
        warn_of_step_size(self.step_size, A, "GradientDescent")
