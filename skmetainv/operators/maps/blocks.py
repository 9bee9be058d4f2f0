"""One value for every block of an image: its first pixel, or its mean."""

from __future__ import annotations

import torch

from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap
from skmetainv.operators.maps.masks import SelectionMap


class DecimationMap(SelectionMap):
    """``A x`` is the first pixel of every block of ``factor`` by ``factor``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width, multiples of `factor`.
    factor : int
        Rows and columns of a block.
    """

    def __init__(self, image_shape: Shape, factor: int):
        channels, height, width = image_shape
        super().__init__(image_shape, (channels, height // factor, width // factor))
        self.factor = factor
        self.keep_gram(torch.ones((), dtype=torch.float64), Basis())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the first pixels, a view of `x`."""
        return x[..., :: self.factor, :: self.factor]

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y`` at the first pixel of every block, 0 at the others."""
        x = y.new_zeros(len(y), *self.image_shape)
        x[..., :: self.factor, :: self.factor] = y
        return x

    def axis_matrix(self, n: int) -> torch.Tensor:
        """Return the matrix of ``A`` along an axis of `n` pixels."""
        return torch.eye(n, dtype=torch.float64)[:: self.factor]


class BlockMeanMap(DiagonalGramMap):
    """``A x`` is the mean of every block of ``factor`` by ``factor``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width, multiples of `factor`.
    factor : int
        Rows and columns of a block.
    """

    def __init__(self, image_shape: Shape, factor: int):
        channels, height, width = image_shape
        super().__init__(image_shape, (channels, height // factor, width // factor))
        self.factor = factor
        self.keep_gram(torch.tensor(factor**-2, dtype=torch.float64), Basis())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means."""
        return torch.nn.functional.avg_pool2d(x, self.factor)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y / factor^2`` at every pixel of a block."""
        f = self.factor
        blocks = (self.gram * y)[..., None, :, None].expand(*y.shape[:-1], f, y.shape[-1], f)
        return blocks.reshape(-1, *self.image_shape)

    def axis_matrix(self, n: int) -> torch.Tensor:
        """Return the matrix of ``A`` along an axis of `n` pixels."""
        block = torch.full((1, self.factor), 1 / self.factor, dtype=torch.float64)
        return torch.kron(torch.eye(n // self.factor, dtype=torch.float64), block)
