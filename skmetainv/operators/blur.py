"""Convolutions with periodic boundaries, computed by fast Fourier transforms."""

from numbers import Real

import numpy as np
import torch

from skmetainv.operators.diagonal import DiagonalMap
from skmetainv.operators.maps import Shape
from skmetainv.operators.operator import Operator
from skmetainv.parameters import Interval


class GaussianBlur(Operator):
    """``A(x) = k * x``, circular convolution with a sampled Gaussian kernel of sum 1.

    Parameters
    ----------
    sigma : float, default=1.0
        Standard deviation of the kernel, in pixels.
    truncate : float, default=4.0
        The kernel ends at this many standard deviations.

    Notes
    -----
    The kernel is that of `scipy.ndimage.gaussian_filter` with ``mode="wrap"``. Where it is
    larger than the image it goes around it as often as it takes.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import GaussianBlur
    >>> A = GaussianBlur(sigma=1.0).build(image_shape=(1, 8, 8)).to(torch.float32)
    >>> A(torch.ones(1, 1, 8, 8)).mean().round(decimals=4)
    tensor(1.)
    """

    _parameter_constraints = {
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "truncate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, sigma: float = 1.0, truncate: float = 4.0):
        self.sigma = sigma
        self.truncate = truncate

    def build(self, image_shape: Shape) -> DiagonalMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        rows, columns = (_wrapped(_gaussian(self.sigma, self.truncate), n) for n in image_shape[1:])
        return CircularConvolution(image_shape, np.outer(rows, columns))


def _gaussian(sigma: float, truncate: float) -> np.ndarray:
    """Return the samples of a Gaussian of sum 1, its centre in the middle."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _wrapped(kernel: np.ndarray, n: int) -> np.ndarray:
    """Return a centred kernel as one period of `n` samples, its centre at index 0."""
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    return np.bincount(offsets % n, weights=kernel, minlength=n)


class CircularConvolution(DiagonalMap):
    """``A x = k * x`` with periodic boundaries and an even kernel, each channel alike.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    kernel : ndarray of shape (height, width)
        One period of ``k``, its origin at index (0, 0); even, ``k[-i, -j] = k[i, j]``, so that
        its Fourier transform is real.
    """

    def __init__(self, image_shape: Shape, kernel: np.ndarray):
        super().__init__(image_shape)
        self.register_buffer("spectrum", torch.fft.rfft2(torch.from_numpy(kernel)).real)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the half of the orthonormal Fourier transform that a real image needs."""
        return torch.fft.rfft2(x, norm="ortho")

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the real image of half a spectrum."""
        return torch.fft.irfft2(coefficients, s=self.image_shape[1:], norm="ortho")
