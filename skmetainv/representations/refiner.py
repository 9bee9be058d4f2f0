"""A convolutional network that corrects the start of a representation."""

from dataclasses import KW_ONLY
from numbers import Integral

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.parameters import COUNT, NOT_NEGATIVE, Interval, ParameterObject
from skmetainv.representations.he_weights import he_weights


class Refiner(ParameterObject):
    """Small convolutional network that corrects the start of a representation.

    With a refiner, a representation replaces ``start``, the image of its `residual`, by ``start +
    r R(start)``, where ``r`` is half the width of the data range. The correction ``R`` is computed
    before the first inner step. The refiner's weights are learned in the outer loop and shared by
    all images. Its last layer is initialized to 0, so that training begins without a correction.

    The network has ``depth`` 3 x 3 convolutions, with SiLU activations between them. Its inputs are
    the start, scaled so that the data range is [-1, 1], and the mask of observed pixels (see
    `Encoder`) or the start's uncertainty. The dilation of the kernels grows by 1 from layer to
    layer up to the middle, and then decreases. Images may have any height and width.

    Parameters
    ----------
    width : int, default=32
        Number of channels between the convolutions.
    depth : int, default=5
        Number of convolutions, at least 2. Five have a receptive field of 19 x 19 pixels.
    uncertainty : bool, default=False
        Whether the network reads the uncertainty ``u`` of the start instead of the mask. This is
        the standard deviation of the start's error, divided by that of the images: 0 where a pixel
        is known, 1 where the measurement tells nothing of it. The correction is then ``r u R(start,
        u)``, so that pixels known exactly are not corrected. The residual must be a
        `LinearReconstructor` that needs no conjugate gradients (see its Notes).
    lr : float, default=4e-3
        Learning rate in the outer loop. Convolutions learn faster than coordinate networks.

    Notes
    -----
    All convolutions but the last are initialized as in He et al. (2015).

    References
    ----------
    Jin, McCann, Froustey and Unser, "Deep convolutional neural network for inverse problems in
    imaging", IEEE Transactions on Image Processing, 2017 (which corrects an analytic inverse).

    Zhang, Zuo, Gu and Zhang, "Learning deep CNN denoiser prior for image restoration", CVPR, 2017
    (its dilations).

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import Refiner, Siren
    >>> phi = Siren(width=8, depth=3, residual="adjoint", refiner=Refiner(width=4))
    >>> sorted(phi.build((1, 6, 6)).initial_weights(np.random.default_rng(0)))[-2:]
    ['refiner.4.bias', 'refiner.4.weight']
    """

    width: int = 32
    _: KW_ONLY
    depth: int = 5
    uncertainty: bool = False
    lr: float = 4e-3

    _parameter_constraints = {
        "width": [COUNT],
        "depth": [Interval(Integral, 2, None, closed="left")],
        "uncertainty": ["boolean"],
        "lr": [NOT_NEGATIVE],
    }

    def build(self, channels: int) -> "RefinerModule":
        """Build the network for a given number of channels.

        Parameters
        ----------
        channels : int
            Number of channels of the images.

        Returns
        -------
        refiner : RefinerModule
            A module without weights of its own.
        """
        n_inputs = 2 * channels if self.uncertainty else channels + 1
        return RefinerModule([n_inputs, *[self.width] * (self.depth - 1), channels])


class RefinerModule(nn.Module):
    """The function that maps weights and images to corrections; it holds no weights.

    Parameters
    ----------
    widths : list of int
        Numbers of channels before and after each convolution.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.representations import Refiner
    >>> refiner = Refiner(width=4).build(channels=1)
    >>> weights = refiner.initial_weights(np.random.default_rng(0))
    >>> x = torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    >>> refiner(weights, x, torch.ones_like(x)).shape
    torch.Size([2, 1, 6, 6])
    """

    autocasts = True

    def __init__(self, widths: list[int]):
        super().__init__()
        self.widths, self.depth = widths, len(widths) - 1
        self.dilations = [1 + min(k, self.depth - 1 - k) for k in range(self.depth)]

    @property
    def names(self) -> list[str]:
        """The names of its weights."""
        layers = range(self.depth)
        return [f"refiner.{layer}.{part}" for layer in layers for part in ("weight", "bias")]

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights, in float64, by name; the network returns zeros with them."""
        weights = he_weights(self.widths, generator, "refiner.", (3, 3))
        weights[f"refiner.{self.depth - 1}.weight"].zero_()
        return weights

    def forward(self, weights: Tensors, x: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Return the corrections of images.

        Parameters
        ----------
        weights : mapping of str to tensor
            The weights, by the names of `initial_weights`; others are ignored.
        x : tensor of shape (batch, channels, height, width)
            Images, nominally in [-1, 1].
        beside : tensor of shape (batch, 1 or channels, height, width)
            The mask of observed pixels, or the uncertainty.

        Returns
        -------
        correction : tensor of shape (batch, channels, height, width)
            In the type of the weights.
        """
        h = torch.cat([x, beside.to(x.dtype)], dim=1)
        h = h.contiguous(memory_format=torch.channels_last)  # a fifth to a third less time
        for layer, dilation in enumerate(self.dilations):
            h = h if layer == 0 else nn.functional.silu(h)
            weight, bias = weights[f"refiner.{layer}.weight"], weights[f"refiner.{layer}.bias"]
            h = nn.functional.conv2d(h, weight, bias, padding=dilation, dilation=dilation)
        return h.to(weight.dtype)
