"""Accelerated projected gradient ascent of total variation's dual, and its derivatives by hand.

Hundreds of small images' worth of operations, one after the other: recorded by autograd they cost
thirty times what the numbers do. So all updates are one `torch.autograd.Function`, its derivative
is another, and that one's derivative is written here as well. Inside, all is in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from skmetainv.denoisers.differences import SQUARED_NORM

_Project = Callable[[int, torch.Tensor], torch.Tensor]


def dual_ascent(u: torch.Tensor, p: torch.Tensor, n_iter: int) -> torch.Tensor:
    """Return dual variables of ``min_x 1/2 ||x - u||^2 + sum |grad x|``, whose ``x`` is
    ``u - grad' p``.

    ``n_iter`` updates of the method of Beck and Teboulle from `p`, with ``||grad||^2 <= 8``::

        p_k+1 = q_k + grad(u - grad' q_k) / 8, every vector longer than 1 brought to length 1
        q_k+1 = p_k+1 + (t_k - 1) / t_k+1 (p_k+1 - p_k)

    The result is differentiable twice, exactly, as that many updates; not a third time.

    Parameters
    ----------
    u : tensor of shape (batch, channels, height, width)
        Images, in units of the weight of the total variation.
    p : tensor of shape (2, batch, channels, height, width)
        Where to begin, vectors no longer than 1.
    n_iter : int
        Number of updates, at least 1.
    """
    return _Ascent.apply(u, p, n_iter)


class _Projection(NamedTuple):
    """The derivatives of the projections of all updates: ``v -> scale v - (along . v) along``."""

    scale: torch.Tensor
    along: torch.Tensor

    @classmethod
    def of(cls, p: torch.Tensor, scale: torch.Tensor) -> _Projection:
        """Make it of projected vectors and of what they were multiplied by; `p` is overwritten."""
        return cls(scale, p.mul_((scale * (scale < 1)).sqrt_()[:, None]))

    def apply(self, k: int, v: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Apply the derivative of update `k`, which is symmetric."""
        along = self.along[k]
        torch.mul(along, v, out=out)
        dot = out[0] + out[1]
        return torch.mul(self.scale[k], v, out=out).addcmul_(along, dot, value=-1)

    def second(self, v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the second derivatives of all updates along `v` and `w`; symmetric, too."""
        scale, along = self.scale[:, None], self.along
        av, aw, vw = ((a * b).sum(1, keepdim=True) for a, b in ((along, v), (along, w), (v, w)))
        radial = (vw * scale).sub_(av * aw, alpha=3)
        return (radial * along).add_(v * aw * scale).add_(w * av * scale).mul_(-(scale.sqrt()))


class _Ascent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, p: torch.Tensor, n_iter: int) -> torch.Tensor:
        kept = n_iter if any(ctx.needs_input_grad) else 2
        projected, scale = u.new_empty(kept, *p.shape), u.new_empty(kept, *u.shape)

        def project(k: int, s: torch.Tensor) -> torch.Tensor:
            r = scale[k % kept]
            torch.mul(s[0], s[0], out=r).addcmul_(s[1], s[1]).clamp_(min=1).rsqrt_()
            return torch.mul(s, r, out=projected[k % kept])

        result = _forward(u, p, n_iter, project)
        if kept == n_iter:
            ctx.save_for_backward(u, p)
            ctx.projection = _Projection.of(projected, scale)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        return *_Adjoint.apply(*ctx.saved_tensors, gradients[0], ctx.projection), None


class _Adjoint(torch.autograd.Function):
    """The derivative of `_Ascent`, transposed."""

    @staticmethod
    def forward(
        ctx: Any, u: torch.Tensor, p: torch.Tensor, g: torch.Tensor, projection: _Projection
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.projection, ctx.reached = projection, torch.empty_like(projection.along)
        return _reverse(g, projection, reached=ctx.reached)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        du, dp = gradients
        projection, moved = ctx.projection, torch.empty_like(ctx.reached)
        out = [torch.empty_like(dp), torch.empty_like(dp)]

        def project(k: int, s: torch.Tensor) -> torch.Tensor:
            moved[k].copy_(s)
            return projection.apply(k, s, out[k % 2])

        dg = _forward(du, dp, len(moved), project)
        u, p = _reverse(torch.zeros_like(dp), projection, projection.second(ctx.reached, moved))
        return u, p, dg, None


class _Step:
    """``q <- q + grad x / 8`` with ``x = u - grad' q``, in place."""

    def __init__(self, u: torch.Tensor, q: torch.Tensor):
        self.u, self.q, self.x = u, q, torch.empty_like(q[0])
        down, along, x = q[0][..., :-1, :], q[1][..., :-1], self.x
        self.pairs = (down, x[..., 1:, :], x[..., :-1, :]), (along, x[..., 1:], x[..., :-1])

    def __call__(self) -> None:
        self.x.copy_(self.u)
        for difference, after, before in self.pairs:
            before.add_(difference)
            after.sub_(difference)
        for difference, after, before in self.pairs:
            difference.add_(after, alpha=1 / SQUARED_NORM).sub_(before, alpha=1 / SQUARED_NORM)


def _forward(u: torch.Tensor, p: torch.Tensor, n_iter: int, project: _Project) -> torch.Tensor:
    """Return ``p`` after all updates, with a projection or with its derivative."""
    q = p.clone(memory_format=torch.contiguous_format)
    step = _Step(u, q)
    for k, momentum in enumerate(_momenta(n_iter)):
        step()
        p, before = project(k, q), p
        torch.lerp(before, p, 1 + momentum, out=q)
    return q


def _reverse(
    g: torch.Tensor,
    projection: _Projection,
    sources: torch.Tensor | None = None,
    reached: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `g`, the gradient of the result, becomes for ``u`` and the first ``p``.

    `sources` are gradients that come in at what every update projects; in `reached` those of what
    it gives are kept.
    """
    q, after, v = g.clone(memory_format=torch.contiguous_format), *g.new_zeros(2, *g.shape)
    step, total, later = _Step(g.new_zeros(g.shape[1:]), q), g.new_zeros(g.shape[1:]), 0.0
    for k, momentum in reversed(list(enumerate(_momenta(len(projection.scale))))):
        torch.mul(q, 1 + momentum, out=v).sub_(after, alpha=later)
        if reached is not None:
            reached[k].copy_(v)
        after.copy_(q)
        projection.apply(k, v, out=q)
        if sources is not None:
            q.add_(sources[k])
        step()
        total.sub_(step.x, alpha=1 / SQUARED_NORM)  # x is minus grad' q
        later = momentum
    return total, q


@cache
def _momenta(n_iter: int) -> list[float]:
    """Return the factors of Beck and Teboulle; 0 at the end, where ``q`` is then ``p``."""
    momenta, t = [], 1.0
    for _ in range(n_iter - 1):
        t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        momenta.append((before - 1) / t)
    return [*momenta, 0.0]
