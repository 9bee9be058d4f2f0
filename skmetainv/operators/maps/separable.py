"""Linear maps that multiply each axis of an image by a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import nn

from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap


class AxisMatrices(nn.Module):
    """Matrices that act on the channels, the rows and the columns of a batch of images.

    Parameters
    ----------
    matrices : sequence of three entries, each a tensor of shape (n_out, n_in) or None
        One matrix per axis: channels, rows, columns. An axis with None is unchanged.
    """

    def __init__(self, matrices: Sequence[torch.Tensor | None]):
        super().__init__()
        for name, matrix in zip(("channels", "rows", "columns"), matrices, strict=True):
            self.register_buffer(name, matrix)

    channels: torch.Tensor | None
    rows: torch.Tensor | None
    columns: torch.Tensor | None

    if TYPE_CHECKING:  # `__call__` of torch.nn.Module returns Any

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            """Return the result of `forward`."""

    def all(self) -> tuple[torch.Tensor | None, ...]:
        """Return the three matrices."""
        return self.channels, self.rows, self.columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` with every axis multiplied by its matrix."""
        return _multiply(x, *self.all())

    def transposed(self, y: torch.Tensor) -> torch.Tensor:
        """Return `y` with every axis multiplied by the transpose of its matrix."""
        return _multiply(y, *(None if matrix is None else matrix.mT for matrix in self.all()))


class SeparableBasis(Basis):
    """A basis whose vectors are products of vectors along the axes.

    Parameters
    ----------
    vectors : sequence of three entries, each a tensor of shape (n, n_vectors) or None
        For each axis, one vector per column. An axis with None has the standard basis.
    """

    def __init__(self, vectors: Sequence[torch.Tensor | None]):
        super().__init__()
        self.vectors = AxisMatrices(vectors)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients."""
        return self.vectors.transposed(x)

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the sum of vectors with these coefficients."""
        return self.vectors(coefficients)


class SeparableMap(DiagonalGramMap):
    """``A = M_c (x) M_h (x) M_w``, the Kronecker product of a matrix for each axis.

    The singular values of ``A`` are the products of the singular values of its matrices. One small
    decomposition per axis therefore gives the proximal step in closed form.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    matrices : sequence of three entries, each a tensor of shape (n_out, n_in) or None
        The matrices of channels, rows and columns. An axis with None is unchanged.
    """

    def __init__(self, image_shape: Shape, matrices: Sequence[torch.Tensor | None]):
        sizes = zip(image_shape, matrices, strict=True)
        super().__init__(image_shape, tuple(n if M is None else len(M) for n, M in sizes))
        self.matrices = AxisMatrices(matrices)
        decomposed = [None if M is None else torch.linalg.svd(M, False) for M in matrices]
        like = next((M for M in matrices if M is not None), torch.ones(1).double())
        values = [like.new_ones(1) if d is None else d.S for d in decomposed]
        gram = values[0][:, None, None] * values[1][:, None] * values[2]
        self.keep_gram(gram.square(), SeparableBasis([d and d.U for d in decomposed]))
        # C A, along each axis
        self._rotated = AxisMatrices([d and d.S[:, None] * d.Vh for d in decomposed])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A x``."""
        return self.matrices(x)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y``."""
        return self.matrices.transposed(y)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``C A x``."""
        return self._rotated(x)

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return ``A' C' coefficients``."""
        return self._rotated.transposed(coefficients)

    def after(self, inner: SeparableMap) -> SeparableMap:
        """Return ``A inner``, which is separable, too."""
        pairs = zip(self.matrices.all(), inner.matrices.all(), strict=True)
        products = [
            reduce(torch.matmul, matrices) if matrices else None
            for matrices in ([M for M in pair if M is not None] for pair in pairs)
        ]
        return SeparableMap(inner.image_shape, products)


def _multiply(
    x: torch.Tensor,
    channels: torch.Tensor | None,
    rows: torch.Tensor | None,
    columns: torch.Tensor | None,
) -> torch.Tensor:
    if columns is not None:
        x = x @ columns.mT
    if rows is not None:
        x = rows @ x
    if channels is not None:
        x = torch.einsum("ij,bjhw->bihw", channels, x)
    return x
