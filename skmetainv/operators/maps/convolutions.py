"""Convolutions of every channel with one kernel, for every boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import FourierBasis
from skmetainv.operators.maps.closed_forms import DiagonalMap
from skmetainv.operators.maps.separable import SeparableMap

Floats = NDArray[np.float64]

# Names in numpy.pad of the boundaries that extend an image by its own values.
_PAD_MODES: dict[str, Any] = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
#: The names of all boundaries.
BOUNDARIES = {*_PAD_MODES, "zero", "valid"}
# Largest side of images for which the matrices of a separable kernel are decomposed.
_SEPARABLE_SIDE = 1024


def convolution(image_shape: Shape, kernel: Floats, boundary: str) -> LinearMap:
    """Return ``A x = k * x``, with a closed form if the boundary or the kernel has one.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    kernel : ndarray of shape (rows, columns)
        ``k``, its origin at ``(rows // 2, columns // 2)``.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}
        See `skmetainv.operators.Blur`.

    Returns
    -------
    A : DiagonalMap, SeparableMap or PaddedConvolution
        A `DiagonalMap` if the boundary is circular. Otherwise a `SeparableMap` if the kernel is
        separable and no side of the image is above 1024, else a `PaddedConvolution`.
    """
    size = image_shape[1:]
    if boundary == "circular":
        return circular_convolution(image_shape, one_period(kernel, size))
    factors = separate(kernel)
    if factors is None or max(size) > _SEPARABLE_SIDE:
        return PaddedConvolution(image_shape, kernel, boundary)
    along = zip(size, factors, strict=True)
    rows, columns = (convolution_matrix(n, factor, boundary) for n, factor in along)
    return SeparableMap(image_shape, torch.from_numpy(rows), torch.from_numpy(columns))


def circular_convolution(image_shape: Shape, period: Floats) -> DiagonalMap:
    """Return the convolution with one period of a kernel, its origin at index (0, 0)."""
    spectrum = torch.fft.rfft2(torch.from_numpy(period))
    turned = np.roll(period[::-1, ::-1], 1, axis=(0, 1))
    even = np.allclose(period, turned, rtol=0, atol=1e-15)  # then the spectrum is real
    return DiagonalMap(
        image_shape, spectrum.real if even else spectrum, FourierBasis(image_shape[1:])
    )


def one_period(kernel: Floats, size: Shape) -> Floats:
    """Return one period of a kernel repeated every `size` pixels, its origin at index (0, 0)."""
    rows, columns = (
        (np.arange(n) - n // 2) % period for n, period in zip(kernel.shape, size, strict=True)
    )
    period = np.zeros(size)
    np.add.at(period, (rows[:, None], columns), kernel)
    return period


def separate(kernel: Floats) -> tuple[Floats, Floats] | None:
    """Return the column and the row whose outer product is the kernel; None if there are none."""
    U, S, Vh = np.linalg.svd(kernel, full_matrices=False)
    if S[1:].max(initial=0.0) > 1e-13 * S[0]:
        return None
    return S[0] * U[:, 0], Vh[0]


def convolution_matrix(n: int, kernel: Floats, boundary: str) -> Floats:
    """Return the matrix of a convolution of `n` values, for any boundary."""
    sources = _sources(n, len(kernel), boundary)
    # row i holds the flipped kernel at the padded values i, i + 1, ...
    n_out = len(sources) - len(kernel) + 1
    matrix = np.zeros((n_out, n + 1))  # the last column is for the padded zeros
    where = sources[np.arange(n_out)[:, np.newaxis] + np.arange(len(kernel))]
    np.add.at(matrix, (np.arange(n_out)[:, np.newaxis], where), kernel[::-1])
    return matrix[:, :n]


def _sources(n: int, n_kernel: int, boundary: str) -> NDArray[np.intp]:
    """Return the index of the value that each padded value copies; index `n` means zero."""
    if boundary == "valid":
        return np.arange(n)
    margin = ((n_kernel - 1) // 2, n_kernel // 2)
    if boundary == "zero":
        return np.pad(np.arange(n), margin, constant_values=n)
    return np.pad(np.arange(n), margin, mode=_PAD_MODES[boundary])


class PaddedConvolution(LinearMap):
    """``A x = k * pad(x)`` for every channel, where the kernel lies inside the padded image.

    It is computed in Fourier space, where the cost does not depend on the size of the kernel.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    kernel : ndarray of shape (rows, columns)
        ``k``, its origin at ``(rows // 2, columns // 2)``.
    boundary : {"reflect", "replicate", "zero", "valid"}
        See `skmetainv.operators.Blur`.
    """

    padding: Any  # a torch.nn.ModuleList, whose entries have no type
    transform: torch.Tensor

    def __init__(self, image_shape: Shape, kernel: Floats, boundary: str):
        channels, *size = image_shape
        valid = boundary == "valid"
        pairs = list(zip(size, kernel.shape, strict=True))
        super().__init__(image_shape, (channels, *(n - k + 1 if valid else n for n, k in pairs)))
        copies = boundary in ("reflect", "replicate")
        self.padding = torch.nn.ModuleList(
            _Padding(n, k, boundary, axis)
            for axis, (n, k) in zip((-2, -1), pairs, strict=True)
            if copies
        )
        # Large enough that wrapped values lie outside of the measurement
        self._size = tuple(next_fast_len(n + k - 1, real=True) for n, k in pairs)
        self._padded = tuple(n + k - 1 if copies else n for n, k in pairs)
        self._first = tuple(k // 2 if boundary == "zero" else k - 1 for k in kernel.shape)
        transform = torch.fft.rfft2(torch.from_numpy(kernel.copy()), s=self._size)
        self.register_buffer("transform", transform)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``k * pad(x)``."""
        for pad in self.padding:
            x = pad(x)
        coefficients = torch.fft.rfft2(x, s=self._size) * self.transform
        (top, left), (height, width) = self._first, self.measurement_shape[1:]
        around = torch.fft.irfft2(coefficients, s=self._size)
        return around[..., top : top + height, left : left + width]

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``pad'`` of the correlation of `y` with ``k``."""
        (top, left), (height, width) = self._first, self._padded
        y = torch.nn.functional.pad(y, (left, 0, top, 0))
        coefficients = torch.fft.rfft2(y, s=self._size) * self.transform.conj()
        x = torch.fft.irfft2(coefficients, s=self._size)[..., :height, :width]
        for pad in reversed(self.padding):
            x = pad.adjoint(x)
        return x


class _Padding(torch.nn.Module):
    """Padding of one axis by copies of its values, and the adjoint, which sums the copies."""

    before: torch.Tensor
    after: torch.Tensor

    def __init__(self, n: int, n_kernel: int, boundary: str, axis: int):
        super().__init__()
        self.n, self.axis = n, axis
        sources = torch.from_numpy(_sources(n, n_kernel, boundary))
        n_before = (n_kernel - 1) // 2
        self.register_buffer("before", sources[:n_before].clone())
        self.register_buffer("after", sources[n_before + n :].clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copies = [x.index_select(self.axis, where) for where in (self.before, self.after)]
        return torch.cat([copies[0], x, copies[1]], dim=self.axis)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        lengths = (len(self.before), self.n, len(self.after))
        before, x, after = torch.split(y, list(lengths), dim=self.axis)
        x = x.index_add(self.axis, self.before, before)
        return x.index_add(self.axis, self.after, after)
