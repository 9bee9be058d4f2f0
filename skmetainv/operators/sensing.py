"""Compressed sensing: random linear combinations of all pixels, fewer than there are pixels."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.fft
import scipy.linalg
import torch

from skmetainv.operators.checks import as_count, check_image
from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import Basis, cosine_matrix
from skmetainv.operators.maps.closed_forms import DiagonalGramMap
from skmetainv.operators.maps.matrices import dense_map
from skmetainv.operators.maps.separable import AxisMatrices
from skmetainv.operators.operator import Operator
from skmetainv.parameters import COUNT, Interval, StrOptions


class CompressedSensing(Operator):
    """``A(x) = M x``: random combinations of an image's entries, with ``E ||A x||^2 = ||x||^2``.

    Parameters
    ----------
    n_measurements : float or int, default=0.25
        Number `m` of combinations. An integer is a count. A float in (0, 1] is a share of `n`, the
        number of entries of an image; the share is rounded to at least one combination.
    matrix : {"gaussian", "rademacher", "hadamard", "cosine"}, default="gaussian"
        "gaussian" and "rademacher" are dense matrices. "gaussian" has independent normal entries of
        variance ``1 / m``. "rademacher" has entries ``1 / sqrt(m)`` and ``-1 / sqrt(m)`` with equal
        probability. "hadamard" and "cosine" are structured matrices ``sqrt(n / m) P T D``, which
        are not stored. ``D`` is a diagonal of random signs, ``T`` is an orthonormal transform of
        channels, rows and columns, and ``P`` keeps `m` of its coefficients, drawn without
        replacement. For "cosine", ``T`` is the discrete cosine transform of type II. For
        "hadamard", ``T`` is Sylvester's Hadamard matrix. Along a side of length ``2^k q`` with `q`
        odd, "hadamard" uses the Kronecker product of Sylvester's matrix for ``2^k`` and the cosine
        transform for `q`.
    random_state : int, default=0
        Seed of the matrix. Training and prediction must use the same one.

    Raises
    ------
    ValueError
        By `build`, if there are more measurements than entries.

    Notes
    -----
    A dense matrix takes `8 m n` bytes. If `m` is at most 2048, it is decomposed once, in the order
    of `m^2 n` operations. A dense matrix is practical up to about 64 x 64 pixels. A structured
    matrix takes `n (height + width)` operations per product, and its rows are orthogonal.

    References
    ----------
    Candes, Romberg and Tao, "Robust uncertainty principles: exact signal reconstruction from
    highly incomplete frequency information", IEEE Transactions on Information Theory, 2006.
    Do, Gan, Nguyen and Tran, "Fast and efficient compressive sensing using structurally random
    matrices", IEEE Transactions on Signal Processing, 2012.

    Examples
    --------
    >>> from skmetainv.operators import CompressedSensing
    >>> A = CompressedSensing(n_measurements=0.25, matrix="cosine").build(image_shape=(1, 8, 8))
    >>> A.measurement_shape, A.norm()
    ((16,), tensor(2., dtype=torch.float64))
    """

    n_measurements: Any = 0.25
    _: KW_ONLY
    matrix: str = "gaussian"
    random_state: int = 0

    _parameter_constraints = {
        "n_measurements": [Interval(Real, 0, 1, closed="right"), COUNT],
        "matrix": [StrOptions({"gaussian", "rademacher", "hadamard", "cosine"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def build(self, image_shape: Shape) -> LinearMap:
        n = math.prod(image_shape)
        m = as_count(self.n_measurements, n)
        if m > n:
            raise ValueError(
                f"The 'n_measurements' parameter of CompressedSensing must be at most {n}, the "
                f"number of entries of an image. Got {self.n_measurements!r} instead."
            )
        generator = np.random.default_rng(self.random_state)
        if self.matrix in ("hadamard", "cosine"):
            check_image(self, image_shape)
            signs = generator.choice([-1.0, 1.0], size=image_shape)
            rows = np.sort(generator.permutation(n)[:m])
            axis = hadamard_matrix if self.matrix == "hadamard" else cosine_matrix
            transform = [axis(side) for side in image_shape]
            return SubsampledTransformMap(image_shape, signs, transform, rows)
        if self.matrix == "gaussian":
            entries = generator.standard_normal((m, n))
        else:
            entries = generator.choice([-1.0, 1.0], size=(m, n))
        return dense_map(image_shape, (m,), torch.from_numpy(entries / math.sqrt(m)))


class SubsampledTransformMap(DiagonalGramMap):
    """``A x = sqrt(n / m) P T D x``: a subsampled transform of an image with random signs.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    signs : ndarray of shape image_shape
        The diagonal of ``D``.
    transform : sequence of three ndarrays, orthogonal
        ``T``, the matrices of channels, rows and columns.
    rows : ndarray of int, shape (m,)
        Indices of the coefficients that ``P`` keeps, in the order of a flat image.
    """

    signs: torch.Tensor
    rows: torch.Tensor

    def __init__(
        self, image_shape: Shape, signs: np.ndarray, transform: list[np.ndarray], rows: np.ndarray
    ):
        super().__init__(image_shape, (len(rows),))
        gram = torch.tensor(math.prod(image_shape) / len(rows), dtype=torch.float64)
        self.keep_gram(gram, Basis())
        self.register_buffer("signs", gram.sqrt() * torch.from_numpy(signs))
        self.register_buffer("rows", torch.from_numpy(rows))
        T_c, T_h, T_w = map(torch.from_numpy, transform)
        self.transform = AxisMatrices(T_h, T_w, None if len(T_c) == 1 else T_c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``sqrt(n / m) P T D x``."""
        return self.transform(self.signs * x).flatten(1).index_select(1, self.rows)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sqrt(n / m) D T' P' y``."""
        coefficients = y.new_zeros(len(y), math.prod(self.image_shape))
        coefficients = coefficients.index_copy(1, self.rows, y).reshape(-1, *self.image_shape)
        return self.signs * self.transform.transposed(coefficients)


def hadamard_matrix(n: int) -> np.ndarray:
    """Return the matrix for a side of length `n` that `CompressedSensing` calls "hadamard"."""
    power = n & -n  # the largest power of 2 that divides n
    return np.kron(scipy.linalg.hadamard(power) / math.sqrt(power), cosine_matrix(n // power))
