"""Solve ``(A' A + rho I) x = b`` by conjugate gradients, with exact derivatives of every order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from skmetainv.operators.maps.per_image import dot, spread
from skmetainv.operators.maps.unsolved_systems import Watch, current_watch, watched

_MAX_ITER = 10_000
# Updates of an image end when its residual has not halved for _PATIENCE updates and for half of all
# updates so far (checked every _EVERY updates), or has grown by _GROWTH.
_PATIENCE = 512
_EVERY = 16
_GROWTH = 1e6

Matrix = Callable[[torch.Tensor], torch.Tensor]


def tolerance(dtype: torch.dtype) -> float:
    """Return the relative residual at which the system of an image counts as solved."""
    return 1e-13 if dtype == torch.float64 else 1e-6


def solve(
    normal: Matrix, b: torch.Tensor, rho: torch.Tensor, start: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the solution of ``(A' A + rho I) x = b`` for each image on its own.

    Conjugate gradients solve for a correction to `start`, and then for further corrections until
    the *true* residual is small. The residual that conjugate gradients update is not reliable,
    because rounding makes it drift away from the true one.

    The derivative is that of the exact solution, not of the iterations, because conjugate gradients
    that stop early are not a linear map of `b`. This function also computes the derivative: it
    solves the same system with another right-hand side. The derivative therefore has derivatives
    of every order, too.

    Parameters
    ----------
    normal : callable
        ``A' A`` applied to a batch of images, or any symmetric positive semidefinite matrix applied
        to tensors of the shape of `b`. Tensors inside the function get no gradient.
    b : tensor of shape (batch, ...)
        Right-hand sides, usually images.
    rho : tensor of shape () or (batch, 1, ...)
        Penalty, positive. It may be 0 if the matrix is positive definite.
    start : tensor of the shape of `b`, default=None
        Initial solution. If None, 0. The closer it is to the solution, the fewer iterations are
        needed.

    Returns
    -------
    x : tensor of the shape of `b`
        Solutions. The residual relative to `b` is at most 1e-13 in float64 and 1e-6 in float32, or
        as small as rounding allows.

    Warns
    -----
    ConvergenceWarning
        If a residual stays above 1e-3 (float32) or 3e-7 (float64) of ``||b||``, and rounding does
        not explain it. In a block of `skmetainv.operators.maps.unsolved_systems.watched`, the watch
        records it instead.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of
    Research of the National Bureau of Standards, 1952.

    Higham, "Accuracy and stability of numerical algorithms", SIAM, 2002, chapter 12 (iterative
    refinement).
    """
    return _Solve.apply(b, rho, normal, start, current_watch())


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        b: torch.Tensor,
        rho: torch.Tensor,
        normal: Matrix,
        start: torch.Tensor | None,
        watch: Watch,
    ) -> torch.Tensor:
        x = _solution(lambda v: normal(v) + rho * v, b, start, watch)
        ctx.normal, ctx.watch = normal, watch
        ctx.save_for_backward(x, rho)
        return x

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        x, rho = ctx.saved_tensors
        # M x = b with M = A' A + rho I symmetric, so for the gradient g of x:
        # u = M^-1 g, db = u, drho = -u' x
        with watched(ctx.watch):  # autograd may run this in a thread of its own
            u = solve(ctx.normal, gradients[0], rho)
        return u, -(u * x).sum_to_size(rho.shape), None, None, None


class CGState(NamedTuple):
    """The state of conjugate gradients between two updates, one row per image."""

    x: torch.Tensor
    """The solutions so far."""
    r: torch.Tensor
    """The residuals, ``b - (A' A + rho I) x``."""
    p: torch.Tensor
    """The search directions."""
    rr: torch.Tensor
    """``||r||^2``, shape ``(batch, 1, 1, 1)``."""


def begin(x: torch.Tensor, r: torch.Tensor) -> CGState:
    """Return the state of conjugate gradients before the first update."""
    return CGState(x, r, r, dot(r, r))


def update(
    matrix: Matrix, state: CGState, going: torch.Tensor, earlier: torch.Tensor | None = None
) -> CGState:
    """Return the state after one update (Hestenes and Stiefel), with ``q = (A' A + rho I) p``.

    ::

        step = ||r||^2 / p' q,         x <- x + step p,   r <- r - step q
        beta = ||r_new||^2 / ||r||^2,  p <- r + beta p

    Where `going` is False or ``p' q`` is not positive, step and beta are 0: x and r stay, p becomes
    r. The derivatives are then finite, even if r is 0.

    `earlier` holds flat residuals of length 1, shape ``(batch, n_earlier, n_pixels)``. If given,
    the new residuals are made orthogonal to them; without rounding, they would already be.
    """
    x, r, p, rr = state
    q = matrix(p)
    pq = dot(p, q)
    going = going & (pq > 0)
    step = _ratio(rr, pq, going)
    x, r = torch.addcmul(x, step, p), torch.addcmul(r, step, q, value=-1)
    if earlier is not None:
        r = torch.where(going, _orthogonal(r, earlier), r)
    new_rr = dot(r, r)
    beta = _ratio(new_rr, rr, going)
    return CGState(x, r, torch.addcmul(r, beta, p), new_rr)


def normalized(state: CGState, going: torch.Tensor) -> torch.Tensor:
    """Return flat residuals, divided by their lengths; 0 for images that are not `going`."""
    rr = state.rr.where(going, torch.ones_like(state.rr))
    return torch.where(going, state.r * rr.rsqrt(), 0.0).flatten(1)


def _orthogonal(r: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    """Return ``r - V V' r``, where the rows of ``V'`` are those of `earlier`."""
    row = r.flatten(1)[:, None]  # a column would be ten times slower
    return torch.baddbmm(row, row @ earlier.mT, earlier, alpha=-1).reshape(r.shape)


def _ratio(u: torch.Tensor, v: torch.Tensor, going: torch.Tensor) -> torch.Tensor:
    """Return ``u / v`` where `going`, else 0, with finite derivatives."""
    return torch.where(going, u / v.where(going, torch.ones_like(v)), 0.0)


def _solution(
    matrix: Matrix, b: torch.Tensor, start: torch.Tensor | None, watch: Watch
) -> torch.Tensor:
    """Return the solution of ``matrix(x) = b``, for a symmetric positive definite matrix."""
    x = torch.zeros_like(b) if start is None else start
    r = b if start is None else b - matrix(x)
    size, error = _length(b), _length(r)
    allowed = tolerance(b.dtype) * size
    going, n_left = error > allowed, min(_MAX_ITER, 10 * b[0].numel())
    while n_left > 0 and going.any():
        # In units of the residual, so that squares neither vanish nor overflow
        unit = torch.where(going, error, 1.0)
        correction, n_made = _correction(matrix, r / unit, going, allowed / unit, n_left)
        new_x = torch.addcmul(x, unit, correction)
        new_r = b - matrix(new_x)
        new_error, n_left = _length(new_r), n_left - n_made
        watch.n_updates += n_made
        better = going & (new_error < error)
        going = better & (new_error > allowed) & (new_error < error / 2)
        x, r = torch.where(better, new_x, x), torch.where(better, new_r, r)
        error = torch.where(better, new_error, error)
    _judge(matrix, x, error, size, watch)
    return x


def _correction(
    matrix: Matrix, r: torch.Tensor, going: torch.Tensor, allowed: torch.Tensor, n_most: int
) -> tuple[torch.Tensor, int]:
    """Run conjugate gradients from 0; return the solution and the number of updates made.

    The right-hand sides `r` have length 1. An image stops when the length of its residual is at
    most `allowed`, or when it is given up.
    """
    state, allowed = begin(torch.zeros_like(r), r), allowed.square()
    halved, since = state.rr, torch.zeros_like(state.rr)
    for k in range(n_most):
        going = going & (state.rr > allowed)
        if not going.any():
            return state.x, k
        previous, state = state, update(matrix, state, going)
        if k % _EVERY == _EVERY - 1:
            lower = state.rr < halved / 4
            halved, since = torch.where(lower, state.rr, halved), (since + _EVERY) * ~lower
            hopeful = (since < max(_PATIENCE, k // 2)) & (state.rr < _GROWTH**2)
            # An unchanged residual means that ``p' q`` was not positive, see `update`
            going = going & hopeful & (state.rr != previous.rr)
    return state.x, n_most


def _judge(
    matrix: Matrix, x: torch.Tensor, error: torch.Tensor, size: torch.Tensor, watch: Watch
) -> None:
    """Record in `watch` the images whose residual is neither small nor explained by rounding."""
    solved = (error <= tolerance(x.dtype) ** 0.5 * size) | ~size.isfinite()
    if not solved.all():
        rounding = 100 * torch.finfo(x.dtype).eps * _norm(matrix, x) * _length(x)
        unsolved = ~(solved | (error <= rounding))
        if unsolved.any():
            watch.note((error / size)[unsolved].tolist())


def _norm(matrix: Matrix, x: torch.Tensor) -> torch.Tensor:
    """Return a lower estimate of the norm of a matrix, by the power method."""
    v = torch.ones_like(x)
    norm = _length(v)
    for _ in range(5):
        v = matrix(v / norm)
        norm = _length(v)
    return norm


def _length(u: torch.Tensor) -> torch.Tensor:
    """Return the length of each image, shape ``(batch, 1, ...)``, without overflow or underflow."""
    largest = spread(u.abs().flatten(1).amax(1), u.ndim)
    unit = torch.where(largest > 0, largest, 1.0)
    v = u / unit
    return unit * dot(v, v).sqrt()
