"""Linear maps that multiply each axis of an image by a matrix."""

from __future__ import annotations

import torch
from torch import nn

from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap


class AxisMatrices(nn.Module):
    """Matrices that act on the rows, the columns and the channels of a batch of images.

    Parameters
    ----------
    rows, columns : tensor of shape (n_out, n_in)
        One matrix per axis.
    channels : tensor of shape (n_out, n_in), default=None
        The matrix of the channels. If None, they are unchanged.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    channels: torch.Tensor | None

    def __init__(
        self, rows: torch.Tensor, columns: torch.Tensor, channels: torch.Tensor | None = None
    ):
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)
        self.register_buffer("channels", channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` with every axis multiplied by its matrix."""
        x = self.rows @ (x @ self.columns.mT)
        return x if self.channels is None else torch.einsum("ij,bjhw->bihw", self.channels, x)

    def transposed(self, y: torch.Tensor) -> torch.Tensor:
        """Return `y` with every axis multiplied by the transpose of its matrix."""
        y = self.rows.mT @ (y @ self.columns)
        return y if self.channels is None else torch.einsum("ji,bjhw->bihw", self.channels, y)


class SeparableBasis(Basis):
    """A basis whose vectors are products of vectors along the rows and the columns.

    Parameters
    ----------
    rows, columns : tensor of shape (n, n_vectors)
        One vector per column.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor):
        super().__init__()
        self.vectors = AxisMatrices(rows, columns)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients."""
        return self.vectors.transposed(x)

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the sum of vectors with these coefficients."""
        return self.vectors(coefficients)


class SeparableMap(DiagonalGramMap):
    """``A = M_h (x) M_w`` for every channel, the Kronecker product of a matrix for each axis.

    The singular values of ``A`` are the products of the singular values of its matrices. One small
    decomposition per axis therefore gives the proximal step in closed form.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    rows, columns : tensor of shape (n_out, n_in)
        The matrices of the two axes.
    """

    def __init__(self, image_shape: Shape, rows: torch.Tensor, columns: torch.Tensor):
        super().__init__(image_shape, (image_shape[0], len(rows), len(columns)))
        self.matrices = AxisMatrices(rows, columns)
        (U_h, S_h, Vt_h), (U_w, S_w, Vt_w) = (
            torch.linalg.svd(M, full_matrices=False) for M in (rows, columns)
        )
        self.keep_gram((S_h[:, None] * S_w).square(), SeparableBasis(U_h, U_w))
        # C A, along each axis
        self._rotated = AxisMatrices(S_h[:, None] * Vt_h, S_w[:, None] * Vt_w)

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
        M, N = self.matrices, inner.matrices
        return SeparableMap(inner.image_shape, M.rows @ N.rows, M.columns @ N.columns)
