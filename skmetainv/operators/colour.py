"""Colour: cameras that measure one channel per pixel, and gray values of colour images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skmetainv.operators.checks import check_channels, check_numbers
from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.closed_forms import DiagonalGramMap
from skmetainv.operators.maps.masks import SelectionMap
from skmetainv.operators.operator import Operator
from skmetainv.parameters import StrOptions


class Mosaic(Operator):
    """``A(x)`` keeps one of three channels at every pixel: a camera with a colour filter array.

    Parameters
    ----------
    pattern : {"RGGB", "BGGR", "GRBG", "GBRG"}, default="RGGB"
        Bayer's pattern: the colours of the first two rows and columns, row by row.

    Raises
    ------
    ValueError
        By `build`, if an image does not have three channels.

    References
    ----------
    Bayer, "Color imaging array", US patent 3971065, 1976.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Mosaic
    >>> A = Mosaic().build(image_shape=(3, 2, 2)).to(torch.float32)
    >>> A(torch.arange(3.0).reshape(1, 3, 1, 1).expand(1, 3, 2, 2))
    tensor([[[[0., 1.],
              [1., 2.]]]])
    """

    pattern: str = "RGGB"

    _parameter_constraints = {"pattern": [StrOptions({"RGGB", "BGGR", "GRBG", "GBRG"})]}

    def build(self, image_shape: Shape) -> LinearMap:
        check_channels(self, image_shape, 3)
        channels = ["RGB".index(colour) for colour in self.pattern]
        return MosaicMap(image_shape, np.array(channels).reshape(2, 2))


class Grayscale(Operator):
    """``A(x) = sum_c weights_c x_c``, a gray value for every pixel.

    Parameters
    ----------
    weights : sequence of float, default=(0.2125, 0.7154, 0.0721)
        One weight per channel. The default weights are those of `skimage.color.rgb2gray`, the
        luminance of ITU-R BT.709.

    Raises
    ------
    ValueError
        By `build`, if the number of weights is not the number of channels, or if all are zero.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Grayscale
    >>> A = Grayscale().build(image_shape=(3, 1, 1)).to(torch.float32)
    >>> A(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1))
    tensor([[[[0.2125]]]])
    """

    weights: Sequence[float] = (0.2125, 0.7154, 0.0721)

    _parameter_constraints = {"weights": ["array-like"]}

    def build(self, image_shape: Shape) -> LinearMap:
        weights = check_numbers(self.weights, "weights", self).astype(np.float64)
        if weights.ndim != 1 or not weights.any():
            raise ValueError(
                "The 'weights' parameter of Grayscale must be a number for each channel, not all "
                f"0. Got {self.weights!r} instead."
            )
        check_channels(self, image_shape, len(weights), ", one for each of its 'weights'")
        return GrayMap(image_shape, torch.from_numpy(weights.reshape(-1, 1, 1)))


class GrayMap(DiagonalGramMap):
    """``A x = sum_c weights_c x_c``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    weights : tensor broadcastable to image_shape
        One weight per channel, or one for each entry of an image. The sum of their squares must be
        the same at every pixel.
    """

    weights: torch.Tensor

    def __init__(self, image_shape: Shape, weights: torch.Tensor):
        super().__init__(image_shape, (1, *image_shape[1:]))
        self.register_buffer("weights", weights)
        # The sum is the same at every pixel.
        self.keep_gram(weights.square().sum(0)[0, 0].clone(), Basis())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of the channels."""
        return (self.weights * x).sum(1, keepdim=True)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``weights_c y`` for every channel."""
        return self.weights * y


class MosaicMap(GrayMap, SelectionMap):
    """``A x`` keeps one of three channels at every pixel: its weight is 1, that of the others 0.

    Parameters
    ----------
    image_shape : (int, int, int)
        Three channels, height and width.
    block : ndarray of int, shape (2, 2)
        Index of the channel in the first two rows and columns; the block repeats over the image.
    """

    def __init__(self, image_shape: Shape, block: np.ndarray):
        weights = torch.zeros(image_shape, dtype=torch.float64)
        for (row, column), channel in np.ndenumerate(block):
            weights[channel, row::2, column::2] = 1
        super().__init__(image_shape, weights)
