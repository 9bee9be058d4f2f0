"""Convolutions: Gaussian, along a line, with any kernel; with every boundary."""

from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike

from skmetainv.operators.diagonal import DiagonalMap
from skmetainv.operators.maps import LinearMap, Shape
from skmetainv.operators.operator import Operator
from skmetainv.parameters import Interval, StrOptions

# numpy.pad's names of the boundaries that pad.
_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "zero": "constant"}


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
        one = _gaussian(self.sigma, self.truncate)
        return CircularConvolution(image_shape, _one_period(np.outer(one, one), image_shape[1:]))


class Blur(Operator):
    """``A(x) = k * x``, convolution of every channel with one kernel.

    Parameters
    ----------
    kernel : array-like of shape (rows, columns)
        The kernel ``k``; its origin is the pixel ``(rows // 2, columns // 2)``, as in
        `scipy.ndimage.convolve`.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        What lies outside the image: the image again; its mirror image, the outermost pixel not
        repeated (`numpy.pad`'s "reflect"); the nearest pixel; zeros. "valid" measures only where
        the kernel lies inside the image, ``rows - 1`` by ``columns - 1`` fewer pixels.

    Raises
    ------
    ValueError
        By `build`, if the kernel is not two-dimensional and finite, or, with "valid", larger than
        the image.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Blur
    >>> A = Blur([[0.25, 0.5, 0.25]], boundary="zero").build((1, 1, 3)).to(torch.float32)
    >>> A(torch.ones(1, 1, 1, 3))
    tensor([[[[0.7500, 1.0000, 0.7500]]]])
    """

    _parameter_constraints = {
        "kernel": ["array-like"],
        "boundary": [StrOptions({"circular", "valid", *_PAD_MODES})],
    }

    def __init__(self, kernel: ArrayLike, boundary: str = "circular"):
        self.kernel = kernel
        self.boundary = boundary

    def build(self, image_shape: Shape) -> LinearMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        kernel = np.asarray(self.kernel, dtype=np.float64)
        if kernel.ndim != 2 or kernel.size == 0 or not np.isfinite(kernel).all():
            raise ValueError(
                "The 'kernel' parameter of Blur must be a finite array of shape (rows, columns). "
                f"Got shape {kernel.shape} instead."
            )
        if self.boundary == "circular":
            return CircularConvolution(image_shape, _one_period(kernel, image_shape[1:]))
        if self.boundary == "valid" and any(np.array(kernel.shape) > image_shape[1:]):
            raise ValueError(
                "With boundary='valid' the 'kernel' parameter of Blur must not be larger than the "
                f"image, {tuple(image_shape[1:])}. Got shape {kernel.shape} instead."
            )
        return PaddedConvolution(image_shape, kernel, self.boundary)


class MotionBlur(Blur):
    """Blur along a straight line: the camera, or the object, moves while the shutter is open.

    Parameters
    ----------
    length : float, default=7.0
        Length of the path, in pixels.
    angle : float, default=0.0
        Its direction in degrees, counter-clockwise from the direction of the columns (horizontal).
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        See `Blur`.

    Notes
    -----
    The kernel has sum 1; each pixel holds the share of the path that bilinear interpolation gives
    it, at 16 points per pixel of the path.

    Examples
    --------
    >>> from skmetainv.operators import MotionBlur
    >>> MotionBlur(length=3).kernel.shape
    (3, 5)
    """

    _parameter_constraints = {
        "length": [Interval(Real, 0, None, closed="neither")],
        "angle": [Interval(Real, None, None, closed="neither")],
        "boundary": Blur._parameter_constraints["boundary"],
    }

    def __init__(self, length: float = 7.0, angle: float = 0.0, boundary: str = "circular"):
        self.length = length
        self.angle = angle
        self.boundary = boundary

    @property
    def kernel(self) -> np.ndarray:  # type: ignore[override]
        """The kernel, an array of odd shape with sum 1."""
        n_points = 16 * int(np.ceil(self.length)) + 1
        along = np.linspace(-self.length / 2, self.length / 2, n_points)
        radians = np.deg2rad(self.angle)
        rows, columns = -along * np.sin(radians), along * np.cos(radians)
        reach = [int(np.floor(np.abs(c).max() + 1e-9)) + 1 for c in (rows, columns)]
        kernel = np.zeros([2 * r + 1 for r in reach])
        for row_part in (0, 1):
            for column_part in (0, 1):
                i, j = np.floor(rows) + row_part, np.floor(columns) + column_part
                weight = (1 - np.abs(rows - i)) * (1 - np.abs(columns - j))
                inside = weight > 0
                at = (i[inside].astype(int) + reach[0], j[inside].astype(int) + reach[1])
                np.add.at(kernel, at, weight[inside])
        return kernel / kernel.sum()


def _gaussian(sigma: float, truncate: float) -> np.ndarray:
    """Return the samples of a Gaussian of sum 1, its centre in the middle."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _one_period(kernel: np.ndarray, size: Shape) -> np.ndarray:
    """Return a kernel wrapped around an image of `size`, its origin at index (0, 0)."""
    rows, columns = (
        (np.arange(n) - n // 2) % period for n, period in zip(kernel.shape, size, strict=True)
    )
    period = np.zeros(size)
    np.add.at(period, (rows[:, None], columns), kernel)
    return period


class CircularConvolution(DiagonalMap):
    """``A x = k * x`` with periodic boundaries, each channel alike.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    kernel : ndarray of shape (height, width)
        One period of ``k``, its origin at index (0, 0).
    """

    _transform: torch.Tensor

    def __init__(self, image_shape: Shape, kernel: np.ndarray):
        super().__init__(image_shape)
        even = np.allclose(kernel, np.roll(kernel[::-1, ::-1], 1, axis=(0, 1)), rtol=0, atol=1e-15)
        transform = torch.fft.rfft2(torch.from_numpy(kernel))
        # As real numbers, so that `.to(dtype)` converts them; an even kernel's are real anyway.
        stored = transform.real if even else torch.view_as_real(transform)
        self.register_buffer("_transform", stored.contiguous())
        self._is_real = even

    @property
    def spectrum(self) -> torch.Tensor:  # type: ignore[override]
        """The transform of the kernel, real where the kernel is even."""
        return self._transform if self._is_real else torch.view_as_complex(self._transform)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the half of the orthonormal Fourier transform that a real image needs."""
        return torch.fft.rfft2(x, norm="ortho")

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the real image of half a spectrum."""
        return torch.fft.irfft2(coefficients, s=self.image_shape[1:], norm="ortho")


class PaddedConvolution(LinearMap):
    """``A x = k * pad(x)`` where the kernel lies inside the padded image, each channel alike.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    kernel : ndarray of shape (rows, columns)
        ``k``, its origin at ``(rows // 2, columns // 2)``.
    boundary : {"reflect", "replicate", "zero", "valid"}
        See `Blur`.
    """

    weight: torch.Tensor
    sources_0: torch.Tensor
    sources_1: torch.Tensor

    def __init__(self, image_shape: Shape, kernel: np.ndarray, boundary: str):
        channels, *size = image_shape
        valid = boundary == "valid"
        shape = [n - k + 1 if valid else n for n, k in zip(size, kernel.shape, strict=True)]
        super().__init__(image_shape, (channels, *shape))
        # conv2d correlates: the kernel is turned, and so is what lies before its origin
        turned = torch.from_numpy(kernel[::-1, ::-1].copy())
        self.register_buffer("weight", turned.expand(channels, 1, *kernel.shape).contiguous())
        self.margins = [(0, 0) if valid else ((k - 1) // 2, k // 2) for k in kernel.shape]
        self.boundary = boundary
        for axis, (n, margin) in enumerate(zip(size, self.margins, strict=True)):
            if boundary in ("reflect", "replicate"):
                sources = np.pad(np.arange(n), margin, mode=_PAD_MODES[boundary])  # type: ignore
                self.register_buffer(f"sources_{axis}", torch.from_numpy(sources))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``k * pad(x)``."""
        if self.boundary == "zero":
            (top, bottom), (left, right) = self.margins
            x = torch.nn.functional.pad(x, (left, right, top, bottom))
        elif self.boundary != "valid":
            x = x.index_select(-2, self.sources_0).index_select(-1, self.sources_1)
        return torch.nn.functional.conv2d(x, self.weight, groups=self.image_shape[0])
