"""The operator that measures the image itself."""

import torch

from skmetainv.operators.diagonal import DiagonalMap
from skmetainv.operators.maps import Shape
from skmetainv.operators.operator import Operator


class Identity(Operator):
    """``A(x) = x``: denoising.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> A = Identity().build(image_shape=(1, 2, 2))
    >>> A(torch.ones(1, 1, 2, 2)).sum()
    tensor(4.)
    """

    def build(self, image_shape: Shape) -> DiagonalMap:
        """Return the map for images of one shape, see `Operator.build`."""
        return _IdentityMap(image_shape)


class _IdentityMap(DiagonalMap):
    def __init__(self, image_shape: Shape):
        super().__init__(image_shape)
        self.register_buffer("spectrum", torch.ones((), dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x
