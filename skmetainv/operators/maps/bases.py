"""Orthonormal bases in which a map, ``A' A`` or ``A A'`` is diagonal."""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import nn

from skmetainv.operators.maps.base import Shape


class Basis(nn.Module):
    """An orthonormal basis ``B``: the standard basis of entries, unless a subclass changes it."""

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B x``, the coefficients."""
        return x

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return ``B' coefficients``."""
        return coefficients

    @property
    def is_standard(self) -> bool:
        """Whether this is the standard basis."""
        return type(self) is Basis

    def is_same(self, other: Basis) -> bool:
        """Return whether two objects are the same basis."""
        return self is other or (self.is_standard and other.is_standard)


class FourierBasis(Basis):
    """The half of the orthonormal two-dimensional Fourier transform that real images need.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images.
    """

    def __init__(self, size: Shape):
        super().__init__()
        self.size = tuple(size)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, shape ``(..., height, width // 2 + 1)``, complex."""
        return torch.fft.rfft2(x, norm="ortho")

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the real image with the given half spectrum."""
        return torch.fft.irfft2(coefficients, s=self.size, norm="ortho")

    def is_same(self, other: Basis) -> bool:
        """Return whether two objects are the same basis."""
        return isinstance(other, FourierBasis) and self.size == other.size


class VectorBasis(Basis):
    """A basis, or a part of one, given by its vectors.

    Parameters
    ----------
    vectors : tensor of shape (n, n_vectors)
        One flat vector per column.
    shape : tuple of int
        Shape of the analysed arrays, with `n` entries.
    """

    vectors: torch.Tensor

    def __init__(self, vectors: torch.Tensor, shape: Shape):
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.shape = shape

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, shape ``(batch, n_vectors)``."""
        return x.flatten(1) @ self.vectors

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the sum of vectors with these coefficients."""
        return (coefficients @ self.vectors.mT).reshape(-1, *self.shape)


def cosine_matrix(n: int) -> NDArray[np.float64]:
    """Return the matrix of the orthonormal discrete cosine transform of type II."""
    return scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
