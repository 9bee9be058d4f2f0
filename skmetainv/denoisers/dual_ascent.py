"""Accelerated projected gradient ascent in the dual of total variation, with manual derivatives.

The updates consist of many small operations, and autograd would add several for each of them. All
updates are therefore one `torch.autograd.Function`. Its derivative is a second such function, and
the derivative of that is a third. Inside these functions, everything is computed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from skmetainv.denoisers.differences import SQUARED_NORM


def dual_ascent(u: torch.Tensor, n_iter: int) -> torch.Tensor:
    """Return dual variables ``p`` of ``min_x 1/2 ||x - u||^2 + sum |grad x|``.

    ``u - grad' p`` approximates the minimiser. The method of Beck and Teboulle makes `n_iter`
    updates from ``p_0 = q_0 = 0``, with ``||grad||^2 <= 8`` and ``t_0 = 1``::

        p_k+1 = q_k + grad(u - grad' q_k) / 8, projected onto the ball of radius 1
        t_k+1 = (1 + sqrt(1 + 4 t_k^2)) / 2
        q_k+1 = p_k+1 + (t_k - 1) / t_k+1 (p_k+1 - p_k)

    First and second derivatives are exactly those of `n_iter` updates. Third derivatives raise an
    error.

    Parameters
    ----------
    u : tensor of shape (batch, channels, height, width)
        Images, divided by the weight of total variation.
    n_iter : int
        Number of updates, at least 1.

    Returns
    -------
    p : tensor of shape (2, batch, channels, height, width)
        ``p`` after the last update. As in `gradient`, it is 0 in the last row or column.

    References
    ----------
    Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation image
    denoising and deblurring problems", IEEE Transactions on Image Processing, 2009.
    """
    last: torch.Tensor = _Ascent.apply(u, n_iter, u.requires_grad and torch.is_grad_enabled())[0]
    return last


class _Projections(NamedTuple):
    """Derivatives of the projections of all updates: ``v -> scale v - (along . v) along``."""

    scale: torch.Tensor
    along: torch.Tensor

    def second(self, v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the second derivatives of all projections, applied to `v` and `w`."""
        scale, along = self.scale, self.along
        av, aw, vw = _products(along, v), _products(along, w), _products(v, w)
        radial = (vw * scale).addcmul_(av, aw, value=-3)[:, None] * along
        across = radial.addcmul_(v, (aw * scale)[:, None]).addcmul_(w, (av * scale)[:, None])
        return across.mul_(-scale.sqrt()[:, None])


def _products(v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the inner products of the pixels' vectors for all updates."""
    return (v[:, 0] * w[:, 0]).addcmul_(v[:, 1], w[:, 1])


class _Ascent(torch.autograd.Function):
    """All updates.

    The first output is the last ``p``. The second output stands for the arguments of all
    projections, but holds only zeros. It is there for second derivatives, which need gradients with
    respect to these arguments. Autograd passes them to `backward` as the gradient of the second
    output. One backward pass then propagates them together with the gradient of ``p``.
    """

    @staticmethod
    def forward(
        ctx: Any, u: torch.Tensor, n_iter: int, keep: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kept = n_iter if keep else min(2, n_iter)
        projected, scale = u.new_empty(kept, 2, *u.shape), u.new_empty(kept, *u.shape)
        place = list(zip(projected, scale, strict=True))

        def project(k: int, s: torch.Tensor) -> torch.Tensor:
            p, r = place[k % kept]
            down, along = s
            torch.mul(down, down, out=r).addcmul_(along, along).clamp_(min=1).rsqrt_()
            return torch.mul(s, r, out=p)

        p = _forth(u, n_iter, project)
        s = u.new_zeros(()).expand(n_iter, *p.shape)
        if keep:
            along = projected.mul_((scale * (scale < 1)).sqrt_()[:, None])
            ctx.projections = _Projections(scale, along)
            ctx.save_for_backward(s)
            ctx.set_materialize_grads(False)
        return p, s

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        (s,) = ctx.saved_tensors
        keep = torch.is_grad_enabled()
        return _Adjoint.apply(s, *gradients, ctx.projections, keep), None, None


class _Adjoint(torch.autograd.Function):
    """The derivative of `_Ascent`, transposed."""

    @staticmethod
    def forward(
        ctx: Any,
        s: torch.Tensor,
        g: torch.Tensor | None,
        sources: torch.Tensor | None,
        projections: _Projections,
        keep: bool,
    ) -> torch.Tensor:
        g = s.new_zeros(s.shape[1:]) if g is None else g
        reached = g.new_empty(len(s) if keep else 1, *g.shape)
        ctx.projections, ctx.reached = projections, reached
        ctx.save_for_backward(s)
        return _back(g, sources, projections, reached)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (s,) = ctx.saved_tensors
        by_s, by_g = _Second.apply(s, gradients[0], ctx.projections, ctx.reached)
        return by_s, by_g, None, None, None


class _Second(torch.autograd.Function):
    """The derivative of `_Adjoint`, transposed: gradients with respect to ``s`` and ``g``."""

    @staticmethod
    def forward(
        ctx: Any,
        s: torch.Tensor,
        du: torch.Tensor,
        projections: _Projections,
        reached: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        moved = torch.empty_like(reached)
        of_update = list(zip(*projections, moved, strict=True))
        out = torch.empty_like(moved[:2])

        def project(k: int, ds: torch.Tensor) -> torch.Tensor:
            scale, along, kept = of_update[k]
            return _derivative(scale, along, kept.copy_(ds), out[k % len(out)])

        dg = _forth(du, len(moved), project)
        return projections.second(reached, moved), dg

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise RuntimeError(
            "TotalVariation has first and second derivatives only, but a third one was requested. "
            "Differentiate twice at most, or use a denoiser that autograd differentiates."
        )


def _derivative(
    scale: torch.Tensor, along: torch.Tensor, v: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Return the derivative of one projection, which is symmetric, applied to `v`."""
    first, second = torch.mul(along, v, out=out)
    product = first + second
    return torch.mul(scale, v, out=out).addcmul_(along, product, value=-1)


class _Step:
    """``q <- q + grad x / 8`` with ``x = u - grad' q``, in place."""

    def __init__(self, u: torch.Tensor, q: torch.Tensor):
        self.u, self.q, self.x = u, q.unbind(), torch.empty_like(q[0])
        x, down, along = self.x, q[0][..., :-1, :], q[1][..., :-1]
        self.pairs = (down, x[..., :-1, :], x[..., 1:, :]), (along, x[..., :-1], x[..., 1:])

    def __call__(self) -> None:
        torch.add(self.u, self.q[0], out=self.x).add_(self.q[1])
        for difference, _, next_pixel in self.pairs:
            next_pixel.sub_(difference)
        for difference, pixel, next_pixel in self.pairs:
            difference.add_(next_pixel, alpha=1 / SQUARED_NORM).sub_(pixel, alpha=1 / SQUARED_NORM)


def _forth(
    u: torch.Tensor, n_iter: int, project: Callable[[int, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return the last ``p``; `project` is the projection or, for differentials, its derivative."""
    p, q = torch.unbind(u.new_zeros(2, 2, *u.shape))
    step = _Step(u, q)
    for k, momentum in enumerate(_momenta(n_iter)):
        step()
        p, last_p = project(k, q), p
        torch.lerp(last_p, p, 1 + momentum, out=q)
    return q


def _back(
    g: torch.Tensor,
    sources: torch.Tensor | None,
    projections: _Projections,
    reached: torch.Tensor,
) -> torch.Tensor:
    """Return the gradient with respect to ``u``, given `g`, the one with respect to the last ``p``.

    `sources` are added to the gradients with respect to the arguments of the projections. The
    gradients with respect to the projections' results are stored in `reached`. If it has only one
    entry, each update overwrites it.
    """
    q, after = g.clone(memory_format=torch.contiguous_format), torch.zeros_like(g)
    total, later = g.new_zeros(g.shape[1:]), 0.0
    q[0][..., -1, :], q[1][..., -1] = 0, 0  # where p is always 0
    step, places = _Step(torch.zeros_like(total), q), reached.unbind()
    of_update = list(zip(_momenta(len(projections.scale)), *projections, strict=True))
    for k, (momentum, scale, along) in reversed(list(enumerate(of_update))):
        v = torch.mul(q, 1 + momentum, out=places[k % len(places)]).sub_(after, alpha=later)
        later = momentum
        after.copy_(q)
        _derivative(scale, along, v, out=q)
        if sources is not None:
            q.add_(sources[k])
        step()
        total.sub_(step.x, alpha=1 / SQUARED_NORM)  # x is minus grad' of the gradients q
    return total


@cache
def _momenta(n_iter: int) -> list[float]:
    """Return ``(t_k - 1) / t_k+1`` of all updates but the last, which has 0: its ``q`` is ``p``."""
    momenta, t = [], 1.0
    for _ in range(n_iter - 1):
        next_t = (1 + (1 + 4 * t * t) ** 0.5) / 2
        momenta.append((t - 1) / next_t)
        t = next_t
    return [*momenta, 0.0]
