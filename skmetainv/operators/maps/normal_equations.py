"""Solve ``(A' A + rho I) x = b`` by conjugate gradients, with exact derivatives of every order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

# Relative residual at which an image is solved, by floating-point type.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-13}
_MAX_ITER = 10_000

Matrix = Callable[[torch.Tensor], torch.Tensor]


def solve(
    normal: Matrix, b: torch.Tensor, rho: torch.Tensor, start: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``x`` with ``(A' A + rho I) x = b``, each image on its own.

    Conjugate gradients that stop early are not a linear map of `b`, so it is the solution that
    is differentiated, not the iterations: the derivative is the solution of the same system with
    another right-hand side, found by this very function, and so can be differentiated again.

    Parameters
    ----------
    normal : callable
        ``A' A`` on a batch of images; constants of it get no gradient.
    b : tensor of shape (batch, channels, height, width)
        Right-hand sides.
    rho : tensor of shape () or (batch, 1, 1, 1)
        Penalty, positive.
    start : tensor of the shape of `b`, default=None
        Where to begin, None for 0: the nearer, the fewer iterations.

    Returns
    -------
    x : tensor of shape (batch, channels, height, width)
        Solutions to a residual of 1e-13 in float64, 1e-6 in float32, relative to `b`, or as near
        as rounding lets it come.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of
    Research of the National Bureau of Standards, 1952.
    """
    return _Solve.apply(b, rho, normal, start)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        b: torch.Tensor,
        rho: torch.Tensor,
        normal: Matrix,
        start: torch.Tensor | None,
    ) -> torch.Tensor:
        x = _conjugate_gradients(lambda v: normal(v) + rho * v, b, start)
        ctx.normal = normal
        ctx.save_for_backward(x, rho)
        return x

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        x, rho = ctx.saved_tensors
        u = solve(ctx.normal, gradients[0], rho)
        return u, -(u * x).sum_to_size(rho.shape), None, None


class Residuals(NamedTuple):
    """What one update of conjugate gradients leaves to the next, one row per image."""

    x: torch.Tensor
    """The solutions so far."""
    r: torch.Tensor
    """What is left of the right-hand sides, ``b - (A' A + rho I) x``."""
    p: torch.Tensor
    """Directions."""
    rr: torch.Tensor
    """``||r||^2``, shape ``(batch, 1, 1, 1)``."""


def begin(x: torch.Tensor, r: torch.Tensor) -> Residuals:
    """Return the state of conjugate gradients before the first update."""
    return Residuals(x, r, r, dot(r, r))


def update(matrix: Matrix, state: Residuals, going: torch.Tensor) -> Residuals:
    """Return the state after one update; images that are not `going` stay as they are.

    So do those along whose direction the matrix is 0, where it is singular.

    Derivatives are finite, where a residual is 0, too, if its image is not going.
    """
    x, r, p, rr = state
    q = matrix(p)
    curvature = dot(p, q)
    going = going & (curvature > 0)
    step = _ratio(rr, curvature, going)
    x, r = torch.addcmul(x, step, p), torch.addcmul(r, step, q, value=-1)
    rr, before = dot(r, r), rr
    return Residuals(x, r, torch.addcmul(r, _ratio(rr, before, going), p), rr)


def dot(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return the inner product of each image of two batches, shape ``(batch, 1, 1, 1)``."""
    return (u * v).flatten(1).sum(1).reshape(-1, *[1] * (u.ndim - 1))


def _ratio(u: torch.Tensor, v: torch.Tensor, going: torch.Tensor) -> torch.Tensor:
    return torch.where(going, u / v.where(going, torch.ones_like(v)), 0.0)


def _conjugate_gradients(
    matrix: Matrix, b: torch.Tensor, start: torch.Tensor | None
) -> torch.Tensor:
    """Return the solution of ``matrix(x) = b``, for a symmetric positive definite matrix."""
    state = begin(torch.zeros_like(b), b) if start is None else begin(start, b - matrix(start))
    enough = TOLERANCE.get(b.dtype, 1e-6) ** 2 * dot(b, b)
    for _ in range(min(_MAX_ITER, 10 * b[0].numel())):
        going = state.rr > enough
        if not going.any():
            break
        state = update(matrix, state, going)
    return state.x
