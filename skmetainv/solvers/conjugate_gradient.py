"""Conjugate gradients on the normal equations."""

from numbers import Real
from typing import cast

import torch

from skmetainv.operators import DataTerm, LinearMap
from skmetainv.operators.maps.base import LinearDataTerm
from skmetainv.operators.maps.normal_equations import TOLERANCE, Residuals, begin, dot, update
from skmetainv.parameters import Interval
from skmetainv.solvers.base import IterativeSolver, Solver, State
from skmetainv.solvers.schedules import Schedule

# Updates between two that begin with the true residual.
_REPLACED_EVERY = 8


class ConjugateGradient(Solver):
    """Conjugate gradients on the normal equations, ``(A' A + damping I) x = A' y``.

    Minimises ``1/2 ||A x - y||^2 + damping/2 ||x||^2`` over growing Krylov spaces of the start's
    residual, and ends at the solution within as many updates as there are pixels; a few regularise.
    Unlike the proximal step of a data term, which is differentiated as a solution, this is a fixed
    number of updates and is differentiated as such.

    Parameters
    ----------
    n_iter : int, default=10
        Number of updates.
    damping : float, default=0.0
        Weight of ``||x||^2 / 2``; one number, for all updates solve the same equations.
    learnable : tuple of str, default=()
        What training may change: "damping", where it is not 0.

    Notes
    -----
    Every eighth update computes the true residual in place of the one that is carried along, from
    which it drifts away by rounding, most of all if the start is far from the solution (van der
    Vorst and Ye, 2000).

    An image stays as it is once its residual is 1e-13 (in single precision 1e-6) of the right-hand
    side, or of ``||A||^2 ||x||`` if that is larger. What is left is rounding: its directions would
    lead away again if ``A`` has a null space, and its derivatives would be large.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of
    Research of the National Bureau of Standards, 1952.

    van der Vorst and Ye, "Residual replacement strategies for Krylov subspace iterative methods for
    the convergence of true residuals", SIAM Journal on Scientific Computing, 2000.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import ConjugateGradient
    >>> data = Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1))
    >>> f = ConjugateGradient(damping=1.0).build((1, 1, 1)).float()
    >>> f(torch.zeros(1, 1, 1, 1), data)
    tensor([[[[0.5000]]]])
    """

    scheduled = ("damping",)
    _parameter_constraints = {
        **Solver._parameter_constraints,
        "damping": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_iter: int = 10, damping: float = 0.0, learnable: tuple[str, ...] = ()):
        self.n_iter = n_iter
        self.damping = damping
        self.learnable = learnable

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        """Return the solver for images of one shape, see `Solver.build`."""
        self._validate_params()
        if self.damping == 0 and not self.learnable:
            return _ConjugateGradient(self.n_iter, None)
        return _ConjugateGradient(self.n_iter, **self._schedules())


class _ConjugateGradient(IterativeSolver):
    """The equations are divided by ``||A||^2``, so that squares neither vanish nor overflow."""

    def __init__(self, n_iter: int, damping: Schedule | None):
        super().__init__(n_iter)
        self.damping = damping

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        if not isinstance(data.A, LinearMap):
            raise ValueError(
                "ConjugateGradient needs a linear operator, and this one is nonlinear: "
                "GradientDescent takes nonlinear operators."
            )
        return *begin(x, self._residual(x, data)), self._enough(x, data)

    def step(self, state: State, data: DataTerm, k: int) -> State:
        *residuals, enough = state
        before = Residuals(*residuals)
        if k and k % _REPLACED_EVERY == 0:
            before = self._replaced(before, data)
            enough = self._enough(before.x, data)
        return *update(lambda p: self._matrix(p, data), before, before.rr > enough), enough

    def _residual(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        r = -data.gradient(x)
        return (r if self.damping is None else r - self.damping(0) * x) / data.squared_norm

    def _replaced(self, state: Residuals, data: DataTerm) -> Residuals:
        """Return the state with its true residual; what was mostly rounding begins anew."""
        r = self._residual(state.x, data)
        off, rr = r - state.r, dot(r, r)
        p = torch.where(dot(off, off) <= 0.01 * rr, state.p + off, r)
        return Residuals(state.x, r, p, rr)

    @torch.no_grad()
    def _enough(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return the squared residual below which there is only rounding."""
        b = cast(LinearDataTerm, data).adjoint_y / data.squared_norm
        return TOLERANCE.get(x.dtype, 1e-6) ** 2 * torch.maximum(dot(b, b), dot(x, x))

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        return 1.0, 0.0, 0.0, 0.0, 0.0  # residuals and directions vanish in their own time

    def _matrix(self, p: torch.Tensor, data: DataTerm) -> torch.Tensor:
        A = cast(LinearMap, data.A)
        normal = A.normal(p)
        damped = normal if self.damping is None else normal + self.damping(0) * p
        return damped / data.squared_norm
