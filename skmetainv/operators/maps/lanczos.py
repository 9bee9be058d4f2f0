"""The largest eigenvalue of a symmetric matrix, from matrix-vector products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from skmetainv.operators.maps.per_image import dot


def largest_eigenvalue(
    matrix: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, n_steps: int
) -> torch.Tensor:
    """Return the largest eigenvalue in a batch of symmetric matrices, by Lanczos' method."""
    v = start / dot(start, start).sqrt()
    scale = matrix(v).abs().max()  # divides the matrix, whose squares could overflow
    scale = torch.where(scale > 0, scale, 1.0)
    basis, diagonal, off_diagonal = [v], [], []
    for _ in range(n_steps):
        w = matrix(basis[-1]) / scale
        size = dot(w, w).sqrt()
        diagonal.append(dot(w, basis[-1]).flatten())
        for u in basis + basis:  # two passes keep the basis orthogonal
            w = w - dot(w, u) * u
        length = dot(w, w).sqrt()
        # In an invariant subspace, the remainder is rounding, not a new direction
        length = torch.where(length > 1e3 * torch.finfo(w.dtype).eps * size, length, 0.0)
        off_diagonal.append(length.flatten())
        basis.append(torch.where(length > 0, w / torch.where(length > 0, length, 1.0), 0.0))
    lower = torch.diag_embed(torch.stack(off_diagonal, 1)[:, :-1], -1)
    tridiagonal = torch.diag_embed(torch.stack(diagonal, 1)) + lower
    return scale * torch.linalg.eigvalsh(tridiagonal, UPLO="L").max()
