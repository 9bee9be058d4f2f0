"""Convolutions of the networks that read the measurement."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch


def initial_convolutions(
    name: str, widths: Sequence[int], generator: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Return initial weights of 3 x 3 convolutions, in float64, as in He et al. (2015).

    Parameters
    ----------
    name : str
        Prefix of their names, ``<name>.<layer>.weight`` and ``<name>.<layer>.bias``.
    widths : sequence of int
        Channels before and after each convolution.
    generator : numpy.random.Generator
        Draws the kernels; biases are 0.
    """
    weights = {}
    for layer, (n, n_out) in enumerate(pairwise(widths)):
        kernels = generator.normal(0, np.sqrt(2 / (9 * n)), (n_out, n, 3, 3))
        weights[f"{name}.{layer}.weight"] = torch.from_numpy(kernels)
        weights[f"{name}.{layer}.bias"] = torch.zeros(n_out, dtype=torch.float64)
    return weights
