"""Convolutions: Gaussian, along a line, with any kernel; with every boundary."""

from dataclasses import KW_ONLY, field
from numbers import Real
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.convolutions import PAD_MODES, convolution
from skmetainv.operators.operator import Operator, check_image, check_numbers, pixels
from skmetainv.parameters import Interval, StrOptions

_BOUNDARY = [StrOptions({"circular", "valid", *PAD_MODES})]


class _Convolution(Operator):
    """A convolution with a kernel of odd shape: a subclass has a `kernel` and a `boundary`."""

    _: KW_ONLY
    boundary: str = "circular"

    kernel = cast("ArrayLike", None)

    def build(self, image_shape: Shape) -> LinearMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
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
                f"{pixels(image_shape[1:])} instead, which boundary='reflect' takes."
            )
        return convolution(image_shape, kernel, self.boundary)


class Blur(_Convolution):
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

    kernel: ArrayLike = field()  # required: without it that of the base class were its default

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
        The kernel ends at this many standard deviations.
    boundary : {"circular", "reflect", "replicate", "zero", "valid"}, default="circular"
        See `Blur`.

    Notes
    -----
    The kernel is that of `scipy.ndimage.gaussian_filter`, whose modes "wrap", "mirror", "nearest"
    and "constant" are the first four boundaries. Where it is larger than the image it goes on
    around it, back and forth, or beyond it.

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
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "truncate": [Interval(Real, 0, None, closed="neither")],
        "boundary": _BOUNDARY,
    }

    @property
    def kernel(self) -> np.ndarray:  # type: ignore[override]
        """The kernel, an array of odd shape with sum 1."""
        one = gaussian_kernel(self.sigma, self.truncate)
        return np.outer(one, one)


class MotionBlur(_Convolution):
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

    length: float = 7.0
    _: KW_ONLY
    angle: float = 0.0

    _parameter_constraints = {
        "length": [Interval(Real, 0, None, closed="neither")],
        "angle": [Interval(Real, None, None, closed="neither")],
        "boundary": _BOUNDARY,
    }

    @property
    def kernel(self) -> NDArray[np.float64]:  # type: ignore[override]
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
        scaled: NDArray[np.float64] = kernel / kernel.sum()
        return scaled


def gaussian_kernel(sigma: float, truncate: float) -> NDArray[np.float64]:
    """Return the samples of a Gaussian of sum 1, its centre in the middle."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    scaled: NDArray[np.float64] = kernel / kernel.sum()
    return scaled
