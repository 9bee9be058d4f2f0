"""A nonlinear map near one image: its Jacobian."""

from __future__ import annotations

import torch

from skmetainv.operators.maps.base import ForwardMap, LinearMap, pushed_forward


class LinearizedMap(LinearMap):
    """``J_A(x)``, the Jacobian of a map at one image.

    Parameters
    ----------
    A : ForwardMap
        The map; its vector-Jacobian product must be differentiable.
    x : tensor of shape (1, channels, height, width)
        The image.
    """

    x: torch.Tensor

    def __init__(self, A: ForwardMap, x: torch.Tensor):
        super().__init__(A.image_shape, A.measurement_shape, A.observed)
        self.A = A
        self.register_buffer("x", x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the Jacobian times `x`, see `pushed_forward`."""
        return pushed_forward(self.A, self.x.expand_as(x), x)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``J_A' y``."""
        return self.A.vjp(self.x.expand(len(y), *self.image_shape), y)
