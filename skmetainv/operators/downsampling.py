"""Downsampling: every block of an image becomes one pixel."""

from __future__ import annotations

from dataclasses import KW_ONLY

import numpy as np
import torch
from torch.nn.functional import interpolate

from skmetainv.operators.blur import gaussian_kernel
from skmetainv.operators.checks import check_image, pixels
from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.blocks import BlockMeanMap, DecimationMap
from skmetainv.operators.maps.convolutions import convolution_matrix
from skmetainv.operators.maps.separable import SeparableMap
from skmetainv.operators.operator import Operator
from skmetainv.parameters import COUNT, StrOptions


class Downsampling(Operator):
    """``A(x) = S (k * x)``: smooth, then keep one pixel of every block.

    Parameters
    ----------
    factor : int, default=2
        Number of rows and of columns of a block. The image's height and width must be multiples of
        `factor`.
    prefilter : {"nearest", "area", "gaussian", "bicubic"}, default="area"
        The value of a block. "nearest": its first pixel. "area": its mean. "gaussian": the linearly
        interpolated value at its centre, after a Gaussian blur of standard deviation
        ``(factor - 1) / 2`` with mirrored boundaries (the edge is not repeated). "bicubic": the
        mean of the pixels around its centre, weighted by the bicubic kernel with ``a = -1/2``,
        stretched by `factor`. The weights of the pixels inside the image are scaled to sum 1.

    Raises
    ------
    ValueError
        By `build`, if `factor` does not divide height and width.

    Notes
    -----
    "nearest" and "bicubic" equal `torch.nn.functional.interpolate` in these modes, "bicubic" with
    ``antialias=True``, as in Pillow. "area" equals `skimage.transform.downscale_local_mean`.
    "gaussian" equals `skimage.transform.resize` with ``order=1, anti_aliasing=True``.

    References
    ----------
    Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on
    Acoustics, Speech, and Signal Processing, 1981.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Downsampling
    >>> A = Downsampling(factor=2).build(image_shape=(1, 2, 4)).to(torch.float32)
    >>> A(torch.arange(8.0).reshape(1, 1, 2, 4))
    tensor([[[[2.5000, 4.5000]]]])
    """

    factor: int = 2
    _: KW_ONLY
    prefilter: str = "area"

    _parameter_constraints = {
        "factor": [COUNT],
        "prefilter": [StrOptions({"nearest", "area", "gaussian", "bicubic"})],
    }

    def build(self, image_shape: Shape) -> LinearMap:
        check_image(self, image_shape)
        size = image_shape[1:]
        if any(n % self.factor for n in size):
            rest = tuple(n - n % self.factor for n in size)
            crop = f"Crop them to {pixels(rest)}, or take" if all(rest) else "Take"
            raise ValueError(
                "Downsampling takes images whose height and width are multiples of its 'factor', "
                f"{self.factor!r}. Got images of {pixels(size)} instead. {crop} another factor."
            )
        if self.prefilter == "nearest":
            return DecimationMap(image_shape, self.factor)
        if self.prefilter == "area":
            return BlockMeanMap(image_shape, self.factor)
        matrix = _gaussian if self.prefilter == "gaussian" else _bicubic
        rows, columns = (matrix(n, self.factor) for n in size)
        return SeparableMap(image_shape, rows, columns)


def _gaussian(n: int, factor: int) -> torch.Tensor:
    """Return the matrix that blurs, then interpolates linearly, along an axis of `n` pixels."""
    if factor == 1:
        return torch.eye(n, dtype=torch.float64)
    blur = convolution_matrix(n, gaussian_kernel((factor - 1) / 2, truncate=4.0), "reflect")
    middle = np.zeros(factor)  # weight 1 on the middle pixel, or 1/2 on each of the two
    middle[(factor - 1) // 2] += 0.5
    middle[factor // 2] += 0.5
    return torch.from_numpy(np.kron(np.eye(n // factor), middle) @ blur)


def _bicubic(n: int, factor: int) -> torch.Tensor:
    """Return the matrix of bicubic interpolation along an axis of `n` pixels."""
    columns = torch.eye(n, dtype=torch.float64)[None, None]
    size = (n // factor, n)
    return interpolate(columns, size, mode="bicubic", antialias=True)[0, 0]
