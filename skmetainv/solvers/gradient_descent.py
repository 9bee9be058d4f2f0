"""Gradient descent on the data fidelity."""

from numbers import Integral, Real

import torch

from skmetainv.operators import DataTerm
from skmetainv.parameters import Interval
from skmetainv.solvers.base import IterativeSolver, Solver


class GradientDescent(Solver):
    """Gradient descent, Landweber's iteration: equation 6 of the paper.

    ``x <- x - step_size A'(A x - y)``, with the vector-Jacobian product in place of ``A'`` for
    a nonlinear operator. For a linear one it converges for step sizes below ``2 / ||A||^2``.

    Parameters
    ----------
    n_iter : int, default=1
        Number of updates.
    step_size : float, default=0.9
        Step size. The paper takes 0.9 for inpainting, where a step of 1 would fill in the
        measurement and leave the inner loss nothing to learn from.

    References
    ----------
    Landweber, "An iteration formula for Fredholm integral equations of the first kind",
    American Journal of Mathematics, 1951.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import GradientDescent
    >>> data = Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1))
    >>> GradientDescent(n_iter=2, step_size=0.5).build((1, 1, 1))(torch.zeros(1, 1, 1, 1), data)
    tensor([[[[0.7500]]]])
    """

    _parameter_constraints = {
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "step_size": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, n_iter: int = 1, step_size: float = 0.9):
        self.n_iter = n_iter
        self.step_size = step_size

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        """Return the solver for images of one shape, see `Solver.build`."""
        self._validate_params()
        return _GradientDescent(self.n_iter, self.step_size)


class _GradientDescent(IterativeSolver):
    def __init__(self, n_iter: int, step_size: float):
        super().__init__(n_iter)
        self.step_size = step_size

    def step(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        return x - self.step_size * data.gradient(x)
