"""Initial weights of layers that are followed by a rectifier."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np
import torch


def he_weights(
    widths: Sequence[int],
    generator: np.random.Generator,
    prefix: str = "",
    kernel: tuple[int, ...] = (),
) -> dict[str, torch.Tensor]:
    """Return initial weights of a stack of layers, in float64, as in He et al. (2015).

    Parameters
    ----------
    widths : sequence of int
        Units or channels before and after each layer.
    generator : numpy.random.Generator
        Draws the weights; biases are 0.
    prefix : str, default=""
        Prefix of the names ``<layer>.weight`` and ``<layer>.bias``.
    kernel : tuple of int, default=()
        Height and width of convolutions; () for linear layers.
    """
    weights = {}
    for layer, (n, n_out) in enumerate(pairwise(widths)):
        drawn = generator.normal(0, np.sqrt(2 / (prod(kernel) * n)), (n_out, n, *kernel))
        weights[f"{prefix}{layer}.weight"] = torch.from_numpy(drawn)
        weights[f"{prefix}{layer}.bias"] = torch.zeros(n_out, dtype=torch.float64)
    return weights
