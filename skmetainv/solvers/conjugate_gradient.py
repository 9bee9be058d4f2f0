"""Conjugate gradients on the normal equations."""

from dataclasses import KW_ONLY
from typing import cast

import torch

from skmetainv.operators import DataTerm, LinearMap
from skmetainv.operators.maps.closed_forms import DiagonalNormalMap
from skmetainv.operators.maps.data_terms import LinearDataTerm, needs_linear
from skmetainv.operators.maps.normal_equations import (
    CGState,
    begin,
    normalized,
    tolerance,
    update,
)
from skmetainv.operators.maps.per_image import dot
from skmetainv.parameters import NOT_NEGATIVE
from skmetainv.solvers.base import Solver
from skmetainv.solvers.iterative import IterativeSolver, State
from skmetainv.solvers.schedules import Schedule, ValuesAndPower

# Largest number of residuals that are stored. All later ones are made orthogonal to these.
_KEPT = 64
# Number of updates between two checks of images that have stopped.
_CHECKED_EVERY = 8


class ConjugateGradient(Solver):
    """Conjugate gradients on the normal equations, ``(A' A + damping I) x = A' y``.

    Minimises ``1/2 ||A x - y||^2 + damping/2 ||x||^2`` over growing Krylov spaces of the start's
    residual. It reaches the solution after at most one update per pixel; stopping after a few
    updates regularises. It makes a fixed number of updates, and autograd differentiates through
    them. The proximal step of a data term, in contrast, is differentiated as an exact solution.

    Parameters
    ----------
    n_iter : int, default=10
        Number of updates.
    damping : float, default=0.0
        Weight of ``||x||^2 / 2``; one number, as all updates solve the same equations.
    learnable : tuple of str, default=()
        Parameters that training may change: "damping", if it is not 0.

    Notes
    -----
    *Orthogonality.* Without rounding, the residuals are orthogonal to each other. Rounding destroys
    this, which costs several updates (Parlett and Scott, 1979, who also describe a cheaper,
    selective remedy). Each residual is therefore made orthogonal to the stored ones by one pass of
    Gram and Schmidt. The first ``n_iter - 1`` residuals are stored, but at most 64; later ones are
    orthogonal to these. Each stored residual takes the memory of one image.

    *Stopping.* An image stops when its residual is only rounding error: at most 1e-13 (single
    precision: 1e-6) of the larger of ``||A' y||`` and ``||A||^2 ||x||``. Further updates would
    follow this error into the null space of ``A``, with large derivatives. Residuals are updated,
    not computed anew, and may drift away from the true ones. At every eighth update, the true
    residuals of stopped images are therefore computed, and images whose true residual is above the
    bound restart.

    *Precision.* A circular convolution has many equal eigenvalues. In exact arithmetic, one update
    handles all that are equal. Rounding in single precision would separate them, which costs
    updates. For circular convolutions and Fourier samples, the updates are therefore computed in
    double precision.

    Without noise, single and double precision then agree to 0.1 dB for up to 50 updates of
    tomography and of blurs of up to 1.6 pixels. With noise or a wider blur, they differ by the
    rounding of the operator itself. For example, ten updates from the start "adjoint" restore faces
    of 24 x 24 pixels from ``GaussianBlur(3.0)`` with noise of 0.02 to 8.1 dB in single and 8.8 dB
    in double precision. Without noise, the same updates for ``Radon()`` give 33.5 dB in single and
    33.9 dB in double precision. This is an exception: in double precision, the start is so accurate
    along the largest singular vector that one update is saved.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of
    Research of the National Bureau of Standards, 1952.

    Parlett and Scott, "The Lanczos algorithm with selective orthogonalization", Mathematics of
    Computation, 1979.

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

    n_iter: int = 10
    _: KW_ONLY
    damping: float = 0.0
    learnable: tuple[str, ...] = ()

    number_names = ("damping",)
    _parameter_constraints = {
        **Solver._parameter_constraints,
        "damping": [NOT_NEGATIVE],
    }

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        if self.damping == 0 and not self.learnable:
            return _ConjugateGradient(self.n_iter, None)
        return _ConjugateGradient(self.n_iter, **self.build_schedules())

    def _checked_numbers(self, name: str) -> ValuesAndPower:
        undamped = self.damping == 0 and not self.learnable
        return (0.0, 0) if undamped else super()._checked_numbers(name)


class _ConjugateGradient(IterativeSolver):
    """CG on ``(A' A + damping I) / ||A||^2``: unscaled, squares could underflow or overflow."""

    def __init__(self, n_iter: int, damping: Schedule | None):
        super().__init__(n_iter)
        self.damping = damping

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        if not isinstance(data.A, LinearMap):
            raise ValueError(
                f"{needs_linear('ConjugateGradient', data.A)} GradientDescent takes nonlinear "
                "operators."
            )
        if isinstance(data.A, DiagonalNormalMap) and not data.A.basis.is_standard:
            x = x.double()  # single precision would separate equal eigenvalues
        b = self._right_side(x, data)
        bb = dot(b, b).detach()
        # The residual after the last update is not used
        earlier = x.new_zeros(len(x), min(max(0, self.n_iter - 1), _KEPT), x[0].numel())
        return *begin(x, b - self._system(x, data)), bb, earlier

    def step(self, state: State, data: DataTerm, k: int) -> State:
        x, r, p, rr, bb, earlier = state
        cg = CGState(x, r, p, rr)
        # The tolerance is relative to the larger of ||b|| and ||A||^2 ||x||. Both are divided by
        # ||A||^2 here.
        enough = tolerance(x.dtype) ** 2 * bb.maximum(dot(x, x))
        going = cg.rr > enough
        if k and k % _CHECKED_EVERY == 0 and not going.all():
            cg = self._restarted(cg, going, data)
            # Forget the directions of restarted images; `going[:, 0]` has shape (batch, 1, 1).
            earlier = earlier * going[:, 0]
            going = cg.rr > enough
        if not going.any():
            return *cg, bb, earlier
        if k < earlier.shape[1]:
            earlier = earlier.select_scatter(normalized(cg, going), 1, k)
        stored = earlier[:, : k + 1]
        return *update(lambda p: self._system(p, data), cg, going, stored), bb, earlier

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        return 1.0, 0.0, 0.0, 0.0, 0.0, 0.0  # of x, r, p, rr, bb, earlier: only x must converge

    def _restarted(self, cg: CGState, going: torch.Tensor, data: DataTerm) -> CGState:
        """Return the state in which each stopped image starts again from its true residual."""
        true_r = self._right_side(cg.x, data) - self._system(cg.x, data)
        r = torch.where(going, cg.r, true_r)
        return CGState(cg.x, r, torch.where(going, cg.p, r), dot(r, r))

    def _system(self, p: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return ``(A' A + damping I) p / ||A||^2``."""
        normal = cast(LinearMap, data.A).normal(p)
        damped = normal if self.damping is None else normal + self.damping(0) * p
        return damped / data.squared_norm

    def _right_side(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return ``A' y / ||A||^2``, in the type of `x`.

        The adjoint is computed in this type, so that the result lies in the range of ``A'``.
        """
        kept = cast(LinearDataTerm, data)
        same = x.dtype == data.y.dtype
        adjoint_y = kept.adjoint_y if same else kept.A.adjoint(data.y.to(x.dtype))
        return adjoint_y / data.squared_norm
