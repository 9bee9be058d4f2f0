"""Finite differences of images, their adjoint, and the projection onto the dual ball."""

import torch
from torch.nn.functional import pad

#: ``||gradient||^2`` is at most this.
SQUARED_NORM = 8.0


def gradient(x: torch.Tensor) -> torch.Tensor:
    """Return forward differences.

    Parameters
    ----------
    x : tensor of shape (batch, channels, height, width)
        Images.

    Returns
    -------
    differences : tensor of shape (2, batch, channels, height, width)
        Vertical differences, 0 in the last row, and horizontal ones, 0 in the last column.
    """
    down = pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    along = pad(x[..., 1:] - x[..., :-1], (0, 1))
    return torch.stack([down, along])


def gradient_adjoint(p: torch.Tensor) -> torch.Tensor:
    """Return the adjoint of `gradient`, which is minus the divergence."""
    down, along = p[0][..., :-1, :], p[1][..., :-1]
    return (
        pad(down, (0, 0, 1, 0)) - pad(down, (0, 0, 0, 1)) + pad(along, (1, 0)) - pad(along, (0, 1))
    )


def project(p: torch.Tensor, radius: float | torch.Tensor) -> torch.Tensor:
    """Return `p` with every pixel's vector projected onto the ball of a positive `radius`.

    All derivatives are finite, even at 0.
    """
    radius = torch.as_tensor(radius, dtype=p.dtype, device=p.device)
    length = torch.maximum(p.square().sum(0), radius.square()).sqrt()
    return p * (radius / length)
