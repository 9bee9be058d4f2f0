"""A convolutional network that reads a measurement before the first inner step."""

from dataclasses import KW_ONLY
from typing import Literal

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.operators.maps.data_terms import NETWORK_INPUTS
from skmetainv.parameters import COUNT, ParameterObject, StrOptions
from skmetainv.representations.he_weights import he_weights

# Features are averaged to this number of cells along each axis.
_CELLS = 4


class Encoder(ParameterObject):
    """Small convolutional network that initializes a representation from the measurement.

    With an encoder, Algorithm 1 starts from a different image for each measurement. Before the
    first inner step, the encoder predicts features, which the representation adds: one to each
    hidden unit of a coordinate network, or one to each pixel and channel of `PixelGrid` and
    `ModuleRepresentation`. The encoder's weights are learned in the outer loop and shared by all
    images.

    The network has ``depth`` 3 x 3 convolutions with stride 2 and SiLU activations. Their result is
    averaged over 4 x 4 cells, for images of any size. A linear layer, initialized to 0, then
    returns the features.

    Parameters
    ----------
    width : int, default=16
        Number of channels of each convolution.
    depth : int, default=3
        Number of convolutions.
    start : {"adjoint", "pseudo_inverse", "measurement"}, default="adjoint"
        The input image, scaled so that the data range is [-1, 1]. "adjoint" is ``A' y / ||A||^2``
        and "pseudo_inverse" is ``A^+ y``, both for linear operators only. "measurement" is
        ``y / ||A||`` (``y`` itself for nonlinear operators); measurements must then have the shape
        of images. A mask is one more input channel. If the operator's mask has the image's height
        and width, the channel is 1 at observed pixels (those with at least one observed channel)
        and 0 elsewhere; otherwise it is 1 everywhere.

    Notes
    -----
    The convolutions are initialized as in He et al. (2015). The last layer has ``16 * width``
    weights for each feature. This is much memory for representations with one feature per pixel.

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
        "width": [COUNT],
        "depth": [COUNT],
        "start": [StrOptions(NETWORK_INPUTS)],
    }

    def build(self, channels: int, n_features: int) -> "EncoderModule":
        """Build the network for given numbers of channels and of features.

        Parameters
        ----------
        channels : int
            Number of channels of the input image, without the mask.
        n_features : int
            Number of features for each image.

        Returns
        -------
        encoder : EncoderModule
            A module without weights of its own.
        """
        return EncoderModule([channels + 1, *[self.width] * self.depth], n_features, self.start)


class EncoderModule(nn.Module):
    """The function that maps weights, images and masks to features; it holds no weights.

    Parameters
    ----------
    widths : list of int
        Numbers of channels before and after each convolution.
    n_features : int
        Number of features for each image.
    start : str
        The input image, see `Encoder`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.representations import Encoder
    >>> encoder = Encoder(width=4).build(channels=1, n_features=8)
    >>> weights = encoder.initial_weights(np.random.default_rng(0))
    >>> x = torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    >>> encoder(weights, x, observed=torch.ones_like(x)).shape
    torch.Size([2, 8])
    """

    autocasts = True

    def __init__(self, widths: list[int], n_features: int, start: str):
        super().__init__()
        self.widths, self.n_features, self.start = widths, n_features, start
        self.depth = len(widths) - 1

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights, in float64, by name; the network returns zeros with them."""
        weights = he_weights(self.widths, generator, "encoder.", (3, 3))
        last, shape = f"encoder.{self.depth}", (self.n_features, self.widths[-1] * _CELLS**2)
        weights[f"{last}.weight"] = torch.zeros(shape, dtype=torch.float64)
        weights[f"{last}.bias"] = torch.zeros(self.n_features, dtype=torch.float64)
        return weights

    def forward(self, weights: Tensors, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Return the features of each image.

        Parameters
        ----------
        weights : mapping of str to tensor
            The weights, by the names of `initial_weights`; others are ignored.
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
