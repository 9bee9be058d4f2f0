"""Blurs: Gaussian blur, motion blur and convolution with any kernel, with several boundaries."""

from dataclasses import KW_ONLY, field
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmetainv.operators.checks import check_image, check_numbers, pixels
from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.convolutions import BOUNDARIES, convolution
from skmetainv.operators.operator import Operator
from skmetainv.parameters import FINITE, POSITIVE, StrOptions

_BOUNDARY = [StrOptions(BOUNDARIES)]

# Kernels have up to the square of twice this number of entries.
_LARGEST_REACH = 2000


class _Convolution(Operator):
    """A convolution: a subclass has a `kernel` and a `boundary`."""

    _: KW_ONLY
    boundary: str = "circular"

    kernel = cast("ArrayLike", None)

    def build(self, image_shape: Shape) -> LinearMap:
        check_image(self, image_shape)
        kernel = check_numbers(self.kernel, "kernel", self).astype(np.float64)
        if kernel.ndim != 2 or kernel.size == 0:
            raise ValueError(
                f"The kernel of {type(self).__name__} must be an array of shape (rows, "
                f"columns). Got shape {kernel.shape} instead."
            )
        if self.boundary == "valid" and any(np.array(kernel.shape) > image_shape[1:]):
            raise ValueError(
                f"With boundary='valid' {type(self).__name__} takes images that are not smaller "
                f"than its kernel, {pixels(kernel.shape)}. Got images of "
                f"{pixels(image_shape[1:])} instead. boundary='reflect' takes smaller images, too."
            )
        return convolution(image_shape, kernel, self.boundary)


class Blur(_Convolution):
    """``A(x) = k * x``, convolution of every channel with one kernel.

    Parameters
    ----------
    kernel : array-like of shape (rows, columns)
        The kernel ``k``. Its origin is the pixel ``(rows // 2, columns // 2)``, as in
        `scipy.ndimage.convolve`.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        Extension of the image beyond its edges. "circular": the image repeats. "reflect": its
        mirror image, without repeating the outermost pixel (`numpy.pad`'s "reflect"). "replicate":
        the nearest pixel. "zero": zeros. "valid" has no extension: it measures only where the
        kernel lies inside the image, so a measurement has ``rows - 1`` fewer rows and
        ``columns - 1`` fewer columns.

    Raises
    ------
    ValueError
        By `build`, if the kernel is not two-dimensional and finite, or if it is larger than the
        image with "valid".

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Blur
    >>> A = Blur([[0.25, 0.5, 0.25]], boundary="zero").build((1, 1, 3)).to(torch.float32)
    >>> A(torch.ones(1, 1, 1, 3))
    tensor([[[[0.7500, 1.0000, 0.7500]]]])
    """

    kernel: ArrayLike = field()  # no default: a bare annotation would take the base class's None

    _parameter_constraints = {
        "kernel": ["array-like"],
        "boundary": _BOUNDARY,
    }


class GaussianBlur(_Convolution):
    """``A(x) = k * x``, convolution with a sampled Gaussian kernel of sum 1.

    Parameters
    ----------
    sigma : float, default=1.0
        Standard deviation of the kernel, in pixels.
    truncate : float, default=4.0
        Radius at which the kernel is cut off, in standard deviations.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        See `Blur`.

    Raises
    ------
    ValueError
        By `build`, if the kernel is larger than the image with "valid".

    Notes
    -----
    The kernel is that of `scipy.ndimage.gaussian_filter`, whose modes "wrap", "mirror", "nearest"
    and "constant" are the first four boundaries, in this order. If the kernel is larger than the
    image, these boundaries extend the image as far as needed.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import GaussianBlur
    >>> A = GaussianBlur(sigma=1.0).build(image_shape=(1, 8, 8)).to(torch.float32)
    >>> A(torch.ones(1, 1, 8, 8)).mean().round(decimals=4)
    tensor(1.)
    """

    sigma: float = 1.0
    _: KW_ONLY
    truncate: float = 4.0

    _parameter_constraints = {
        "sigma": [POSITIVE],
        "truncate": [POSITIVE],
        "boundary": _BOUNDARY,
    }

    @property
    def kernel(self) -> np.ndarray:  # type: ignore[override]
        """The kernel, an array of odd shape with sum 1."""
        _check_reach(self.truncate * self.sigma, self)
        one = gaussian_kernel(self.sigma, self.truncate)
        return np.outer(one, one)


class MotionBlur(_Convolution):
    """Blur along a straight line: the camera, or the object, moves while the shutter is open.

    Parameters
    ----------
    length : float, default=7.0
        Length of the path, in pixels.
    angle : float, default=0.0
        Direction of the path in degrees, counter-clockwise from the horizontal.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        See `Blur`.

    Raises
    ------
    ValueError
        By `build`, if the kernel is larger than the image with "valid".

    Notes
    -----
    The path is sampled at 16 points per pixel, and bilinear interpolation distributes each point
    over the four nearest pixels. The kernel has sum 1.

    Examples
    --------
    >>> from skmetainv.operators import MotionBlur
    >>> MotionBlur(length=3).kernel.shape
    (3, 5)
    """

    length: float = 7.0
    _: KW_ONLY
    angle: float = 0.0

    _parameter_constraints = {
        "length": [POSITIVE],
        "angle": [FINITE],
        "boundary": _BOUNDARY,
    }

    @property
    def kernel(self) -> NDArray[np.float64]:  # type: ignore[override]
        """The kernel, an array of odd shape with sum 1."""
        _check_reach(self.length / 2, self)
        n_points = 16 * int(np.ceil(self.length)) + 1
        along = np.linspace(-self.length / 2, self.length / 2, n_points)
        radians = np.deg2rad(self.angle)
        rows, columns = -along * np.sin(radians), along * np.cos(radians)
        kernel = _shares(rows) @ _shares(columns).T
        return kernel / kernel.sum()


def _check_reach(reach: float, operator: Operator) -> None:
    """Raise an error if a kernel reaches farther than any image does."""
    if reach > _LARGEST_REACH:
        raise ValueError(
            f"The kernel of {operator!r} reaches {reach:.3g} pixels from its centre, but at most "
            f"{_LARGEST_REACH} are supported."
        )


def _shares(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each point, a column, that each pixel, a row, gets by interpolation."""
    reach = int(np.floor(np.abs(points).max() + 1e-9)) + 1
    centres = np.arange(-reach, reach + 1)[:, np.newaxis]
    return np.maximum(0, 1 - np.abs(centres - points))


def gaussian_kernel(sigma: float, truncate: float) -> NDArray[np.float64]:
    """Return a sampled, centred Gaussian of sum 1."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()
