"""Maps given by a matrix, dense or sparse."""

from __future__ import annotations

import warnings

import scipy.sparse
import torch

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import VectorBasis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap
from skmetainv.operators.maps.pairs import apply_linear

# A matrix with at most this many rows or columns is decomposed, which takes seconds.
_LARGEST_DECOMPOSED = 2048


class DenseMap(LinearMap):
    """``A x = M x`` for flat images and a matrix that is too large to decompose.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    measurement_shape : tuple of int
        Shape of a measurement.
    matrix : tensor of shape (n_measurements, n_pixels)
        ``M``.
    """

    matrix: torch.Tensor

    def __init__(self, image_shape: Shape, measurement_shape: Shape, matrix: torch.Tensor):
        super().__init__(image_shape, measurement_shape)
        self.register_buffer("matrix", matrix)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``M x``."""
        return (x.flatten(1) @ self.matrix.mT).reshape(-1, *self.measurement_shape)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``M' y``."""
        return (y.flatten(1) @ self.matrix).reshape(-1, *self.image_shape)


class DecomposedMap(DiagonalGramMap, DenseMap):
    """``A x = M x`` with a stored eigendecomposition of ``M M'``.

    Parameters
    ----------
    image_shape, measurement_shape, matrix
        See `DenseMap`.
    """

    def __init__(self, image_shape: Shape, measurement_shape: Shape, matrix: torch.Tensor):
        DenseMap.__init__(self, image_shape, measurement_shape, matrix)
        if len(matrix) <= matrix.shape[1]:
            gram, vectors = torch.linalg.eigh(matrix @ matrix.mT)
        else:
            vectors, singular_values, _ = torch.linalg.svd(matrix, full_matrices=False)
            gram = singular_values.square()
        self.keep_gram(gram.clamp(min=0), VectorBasis(vectors, measurement_shape))


def dense_map(image_shape: Shape, measurement_shape: Shape, matrix: torch.Tensor) -> DenseMap:
    """Return the map of a dense matrix, decomposed if it is small enough."""
    small = min(matrix.shape) <= _LARGEST_DECOMPOSED
    return (DecomposedMap if small else DenseMap)(image_shape, measurement_shape, matrix)


class SparseMap(LinearMap):
    """``A x = M x`` for flat images and a sparse matrix, whose transpose is stored, too.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    measurement_shape : tuple of int
        Shape of a measurement.
    matrix : scipy sparse matrix of shape (n_measurements, n_pixels)
        ``M``. If images and measurements have the same number of channels, it may be the matrix of
        a single channel, which is applied to each.
    """

    def __init__(
        self, image_shape: Shape, measurement_shape: Shape, matrix: scipy.sparse.csr_array
    ):
        super().__init__(image_shape, measurement_shape)
        self._rows = _CompressedRows(matrix)
        self._columns = _CompressedRows(matrix.T.tocsr())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``M x``."""
        y = apply_linear(x.reshape(-1, self._rows.shape[1]), self._rows, self._columns)
        return y.reshape(-1, *self.measurement_shape)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``M' y``."""
        x = apply_linear(y.reshape(-1, self._columns.shape[1]), self._columns, self._rows)
        return x.reshape(-1, *self.image_shape)


class _CompressedRows(torch.nn.Module):
    """A sparse matrix as buffers, which are moved and converted with the module."""

    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    def __init__(self, matrix: scipy.sparse.csr_array):
        super().__init__()
        self.shape = matrix.shape
        self.register_buffer("starts", torch.from_numpy(matrix.indptr))
        self.register_buffer("columns", torch.from_numpy(matrix.indices))
        self.register_buffer("values", torch.from_numpy(matrix.data))
        with warnings.catch_warnings():  # torch warns once that sparse CSR tensors are in beta
            warnings.simplefilter("ignore", UserWarning)
            self._matrix()

    def _matrix(self) -> torch.Tensor:
        return torch.sparse_csr_tensor(
            self.starts, self.columns, self.values, self.shape, check_invariants=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product with every row of `x`."""
        return (self._matrix() @ x.mT).mT
