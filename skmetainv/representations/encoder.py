"""A convolutional network that reads a measurement before the first inner step."""

from dataclasses import KW_ONLY
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.parameters import Interval, ParameterObject, StrOptions
from skmetainv.representations.convolutions import initial_convolutions

# What is seen of a measurement is averaged to this many cells along each axis.
_CELLS = 4


class Encoder(ParameterObject):
    """Small convolutional network that sets out a representation by the measurement.

    A representation that has one begins Algorithm 1 from an image of its own for each measurement:
    the features that the encoder predicts are added inside the representation (each says where)
    before the first inner step. The encoder's weights are learned in the outer loop and shared by
    all images. ``depth`` convolutions of 3 x 3 with stride 2 and SiLU activations are averaged to
    4 x 4 cells, whatever the size of the image; a linear layer, 0 at the beginning of training,
    gives the features.

    Parameters
    ----------
    width : int, default=16
        Channels of each convolution.
    depth : int, default=3
        Number of convolutions.
    start : {"adjoint", "pseudo_inverse", "measurement"}, default="adjoint"
        The image that it sees, scaled so that the data range becomes [-1, 1]: ``A' y / ||A||^2``
        or ``A^+ y``, for linear operators; or ``y / ||A||`` (``y`` itself for nonlinear ones),
        where a measurement has the shape of an image. A channel beside it says which pixels are
        observed, where the operator has a mask of the image's height and width (a pixel counts as
        observed when one of its channels is); it is 1 elsewhere.

    Notes
    -----
    The convolutions begin as He et al. (2015) have it. The last layer has ``16 * width`` weights
    for each feature: many, for representations that have one feature per pixel.

    References
    ----------
    Perez, Strub, de Vries, Dumoulin and Courville, "FiLM: Visual reasoning with a general
    conditioning layer", AAAI, 2018.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV, 2015.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.operators import Inpainting
    >>> from skmetainv.representations import Encoder, Siren
    >>> phi = Siren(width=8, depth=3, encoder=Encoder(width=4)).build(image_shape=(1, 6, 6))
    >>> weights = phi.initial_weights(np.random.default_rng(0))
    >>> data = Inpainting().build((1, 6, 6)).bind(torch.rand(5, 1, 6, 6).double())
    >>> phi(weights, phi.condition(weights, data)).shape
    torch.Size([5, 1, 6, 6])
    """

    width: int = 16
    _: KW_ONLY
    depth: int = 3
    start: Literal["adjoint", "pseudo_inverse", "measurement"] = "adjoint"

    _parameter_constraints = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "start": [StrOptions({"adjoint", "pseudo_inverse", "measurement"})],
    }

    def build(self, channels: int, n_features: int) -> "EncoderModule":
        """Return the network for images of one number of channels.

        Parameters
        ----------
        channels : int
            Channels of the image that it sees, the mask not counted.
        n_features : int
            How many numbers it gives for each image.

        Returns
        -------
        encoder : EncoderModule
            A module without weights of its own.
        """
        self._validate_params()
        return EncoderModule([channels + 1, *[self.width] * self.depth], n_features, self.start)


class EncoderModule(nn.Module):
    """The function from weights and an image with its mask to features; it holds no weights.

    Parameters
    ----------
    widths : list of int
        Channels before and after each convolution.
    n_features : int
        How many numbers it gives for each image.
    start : str
        The image that it sees, see `Encoder`.
    """

    autocasts = True

    def __init__(self, widths: list[int], n_features: int, start: str):
        super().__init__()
        self.widths, self.n_features, self.start = widths, n_features, start
        self.depth = len(widths) - 1

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return weights to begin training with, in float64, by name: it gives zeros."""
        weights = initial_convolutions("encoder", self.widths, generator)
        last, shape = f"encoder.{self.depth}", (self.n_features, self.widths[-1] * _CELLS**2)
        weights[f"{last}.weight"] = torch.zeros(shape, dtype=torch.float64)
        weights[f"{last}.bias"] = torch.zeros(self.n_features, dtype=torch.float64)
        return weights

    def forward(self, weights: Tensors, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Return the features of each image.

        Parameters
        ----------
        weights : mapping of str to tensor
            With the names of `initial_weights`; others are left alone.
        x : tensor of shape (batch, channels, height, width)
            Images, nominally in [-1, 1].
        observed : tensor of shape (batch, 1, height, width)
            1 where a pixel is observed, 0 elsewhere.

        Returns
        -------
        features : tensor of shape (batch, n_features)
            In the type of the weights.
        """
        h = torch.cat([x, observed.to(x.dtype)], dim=1)
        for layer in range(self.depth):
            weight, bias = weights[f"encoder.{layer}.weight"], weights[f"encoder.{layer}.bias"]
            h = nn.functional.silu(nn.functional.conv2d(h, weight, bias, stride=2, padding=1))
        cells = nn.functional.adaptive_avg_pool2d(h, _CELLS).flatten(1)
        weight, bias = (weights[f"encoder.{self.depth}.{part}"] for part in ("weight", "bias"))
        return nn.functional.linear(cells, weight, bias).to(weight.dtype)
