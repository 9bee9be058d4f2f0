"""A ReLU network on random Fourier features of the coordinates."""

import math
from dataclasses import KW_ONLY
from numbers import Integral

import numpy as np
import torch

from skmetainv.parameters import COUNT, POSITIVE, Interval
from skmetainv.representations.base import ImageModule
from skmetainv.representations.conditioned import ConditionedRepresentation, Setting
from skmetainv.representations.coordinates import CoordinateModule, pixel_coordinates
from skmetainv.representations.he_weights import he_weights


class FourierMLP(ConditionedRepresentation):
    """ReLU network on random Fourier features, ``[cos(2 pi B v), sin(2 pi B v)]``.

    v holds the coordinates of a pixel in [-1, 1] x [-1, 1]. The entries of B are drawn once from
    ``N(0, sigma^2)``. Hidden layers are ``h <- max(W h + b, 0)``; the last layer is linear and
    returns the channels. The network's values in [-1, 1] are mapped to `data_range`. All weights (B
    is not a weight) are adapted to each image. They represent images of any height and width.

    Parameters
    ----------
    width : int, default=256
        Number of units in each hidden layer.
    depth : int, default=4
        Number of linear layers, including the last one: ``depth - 1`` ReLU layers.
    n_frequencies : int, default=128
        Number of rows of B, half the number of features.
    sigma : float, default=5.0
        Standard deviation of the frequencies, in cycles per half image. The default is 10 cycles
        per image, which equals ``sigma = 10`` of the authors, who use coordinates in [0, 1]. They
        found it best for natural images of 512 x 512 pixels, trained on every second pixel. If a
        side has n pixels, frequencies above ``n / 4`` alias. Smaller images therefore need a
        smaller `sigma`.
    random_state : int, default=0
        Seed of B.

    Notes
    -----
    Initial weights are normal with variance ``2 / n``, where n is the fan-in of the layer (He et
    al., 2015); biases are 0. At the kinks of ReLU, second derivatives count as 0.

    References
    ----------
    Tancik, Srinivasan, Mildenhall, Fridovich-Keil, Raghavan, Singhal, Ramamoorthi, Barron and Ng,
    "Fourier features let networks learn high frequency functions in low dimensional domains",
    NeurIPS, 2020.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import FourierMLP
    >>> phi = FourierMLP(width=8, depth=3, n_frequencies=4).build(image_shape=(3, 4, 5))
    >>> phi(phi.initial_weights(np.random.default_rng(0))).shape
    torch.Size([1, 3, 4, 5])
    """

    width: int = 256
    _: KW_ONLY
    depth: int = 4
    n_frequencies: int = 128
    sigma: float = 5.0
    random_state: int = 0

    _parameter_constraints = {
        "width": [COUNT],
        "depth": [COUNT],
        "n_frequencies": [COUNT],
        "sigma": [POSITIVE],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        **ConditionedRepresentation._parameter_constraints,
    }

    def _network(self, setting: Setting) -> ImageModule:
        generator = np.random.default_rng(self.random_state)
        B = torch.from_numpy(generator.normal(0, self.sigma, (self.n_frequencies, 2)))
        return _FourierMLP(setting, B, self.width, self.depth)


class _FourierMLP(CoordinateModule):
    def __init__(self, setting: Setting, frequencies: torch.Tensor, width: int, depth: int):
        phases = 2 * math.pi * pixel_coordinates(*setting.image_shape[1:]) @ frequencies.T
        inputs = torch.cat([phases.cos(), phases.sin()], dim=1)
        super().__init__(setting, inputs, width, depth)
        self.register_buffer("frequencies", frequencies)

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        return he_weights(self.widths, generator)

    def activation(self, h: torch.Tensor) -> torch.Tensor:
        return torch.relu(h)
