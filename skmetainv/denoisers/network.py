"""Networks as denoisers of images in any range."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.utils import skip_init

from skmetainv.denoisers.base import ClassicalModule
from skmetainv.reconstruction.tiles import Extent


class Network(nn.Module):
    """A network that denoises images in [0, 1]; a subclass writes `forward`.

    Attributes
    ----------
    takes_noise_level : bool
        Whether `forward` uses the noise level.
    autocasts : bool
        Whether the network may be computed under `torch.autocast`, in bfloat16.
    gain : float
        Initial weights have the standard deviation ``gain / sqrt(fan_in)``.
    extent : Extent
        The receptive field of the network, for denoising tile by tile.
    """

    takes_noise_level = False
    autocasts = True
    gain = 2**0.5
    extent: Extent

    def forward(self, x: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        """Return denoised images.

        The noise level has shape () or (batch, 1, 1, 1). A network that takes none ignores it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class LearnedModule(ClassicalModule):
    """A network as a denoiser of images in any range.

    Parameters
    ----------
    network : Network
        A network for images in [0, 1].
    data_range : (float, float)
        The smallest and the largest nominal value of images.
    noise_level : float
        The noise level that is used if `forward` gets None.
    """

    def __init__(self, network: Network, data_range: tuple[float, float], noise_level: float):
        super().__init__(noise_level)
        self.network = network
        self.low, self.width = data_range[0], data_range[1] - data_range[0]
        self.takes_noise_level = network.takes_noise_level

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        level = torch.as_tensor(noise_level / self.width, dtype=x.dtype, device=x.device)
        in_unit_range = (self.low, self.width) == (0.0, 1.0)
        z = x if in_unit_range else (x - self.low) / self.width
        denoised: torch.Tensor = self.network(z, level).to(x.dtype)
        return denoised if in_unit_range else self.low + self.width * denoised


def layer(cls: type[nn.Module], n_in: int, n_out: int, size: int, **options: Any) -> nn.Module:
    """Return a convolutional layer in float64 with uninitialised weights."""
    convolution: nn.Module = skip_init(cls, n_in, n_out, size, dtype=torch.float64, **options)
    return convolution


def convolutions(widths: Sequence[int], bias: bool = True) -> list[nn.Module]:
    """Return 3 x 3 convolutions, each with a ReLU after it.

    Parameters
    ----------
    widths : sequence of int
        Numbers of channels: before the first convolution, and after each one.
    bias : bool, default=True
        Whether the convolutions have biases.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [layer(nn.Conv2d, n_in, n_out, 3, padding=1, bias=bias), nn.ReLU(inplace=True)]
    return layers


def with_noise_level(x: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
    """Return images with the noise level as an additional channel."""
    return torch.cat([x, noise_level.expand(len(x), 1, *x.shape[2:])], dim=1)


def extended(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of images until both sides are multiples of `multiple`."""
    height, width = x.shape[-2:]
    return pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def initial_weights(
    network: nn.Module,
    generator: np.random.Generator,
    gain: float = 2**0.5,
    unrectified: Collection[nn.Module] = (),
) -> dict[str, torch.Tensor]:
    """Return normally distributed initial weights, and biases of 0.

    Parameters
    ----------
    network : torch.nn.Module
        The network; its current weights are ignored.
    generator : numpy.random.Generator
        The generator of the weights.
    gain : float, default=2**0.5
        The standard deviation is ``gain / sqrt(fan_in)``. The fan-in is the number of inputs that
        are summed into one output.
    unrectified : collection of torch.nn.Module, default=()
        Layers that are not followed by a rectifier: their gain is 1.
    """
    weights = {}
    for name, like in network.state_dict().items():
        if like.ndim == 1:
            weights[name] = torch.zeros_like(like)
        else:
            layer = network.get_submodule(name.rpartition(".")[0])
            scale = (1.0 if layer in unrectified else gain) / _fan_in(layer, like) ** 0.5
            weights[name] = torch.from_numpy(scale * generator.standard_normal(like.shape))
    return weights


def _fan_in(layer: nn.Module, weight: torch.Tensor) -> float:
    """Return the fan-in of a layer, away from the border."""
    if isinstance(layer, nn.ConvTranspose2d):  # its weight is (inputs, outputs, height, width)
        return weight[:, 0].numel() / math.prod(layer.stride)
    return weight[0].numel()
