"""SIREN: a coordinate network with sine activations."""

from dataclasses import KW_ONLY
from itertools import pairwise

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.parameters import COUNT, POSITIVE, StrOptions
from skmetainv.representations.base import ImageModule
from skmetainv.representations.conditioned import ConditionedRepresentation, Setting
from skmetainv.representations.coordinates import CoordinateModule, Pixels, pixel_coordinates
from skmetainv.representations.sine_layers import sine_layers


class Siren(ConditionedRepresentation):
    """Coordinate network with sine activations, ``h <- sin(omega_0 (W h + b))``.

    A pixel of the image is the network's value at the pixel's coordinates in [-1, 1] x [-1, 1]; the
    last layer is linear and returns the channels. The network's values in [-1, 1] are mapped to
    `data_range`. The weights represent images of any height and width.

    Parameters
    ----------
    width : int, default=256
        Number of units in each hidden layer.
    depth : int, default=5
        Number of linear layers, including the last one: ``depth - 1`` sine layers.
    omega_0 : float, default=30.0
        Frequency of the sines.
    adapted : {"all", "last"}, default="all"
        The layers that Algorithm 1 adapts to each image. With "last" (almost no inner loop, ANIL),
        the image is linear in the adapted weights. All images then share the hidden layers, so that
        these are computed once for a batch.

    Notes
    -----
    The initial weights are those of the SIREN paper and its authors' code: uniform in ``+-1 / n``
    in the first layer and in ``+-sqrt(6 / n) / omega_0`` in the others; biases are uniform in
    ``+-1 / sqrt(n)``. n is the fan-in of the layer.

    First and second derivatives with respect to the weights are exact, as Algorithm 2 needs them.
    Third derivatives raise an error. Transforms of torch.func are not supported.

    References
    ----------
    Raghu, Raghu, Bengio and Vinyals, "Rapid learning or feature reuse? Towards understanding the
    effectiveness of MAML", ICLR, 2020 (which adapts the last layer).

    Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with
    periodic activation functions", NeurIPS, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import Siren
    >>> phi = Siren(width=8, depth=3).build(image_shape=(3, 4, 5))
    >>> weights = phi.initial_weights(np.random.default_rng(0))
    >>> phi(weights).shape
    torch.Size([1, 3, 4, 5])
    """

    width: int = 256
    _: KW_ONLY
    depth: int = 5
    omega_0: float = 30.0
    adapted: str = "all"

    _parameter_constraints = {
        "width": [COUNT],
        "depth": [COUNT],
        "omega_0": [POSITIVE],
        "adapted": [StrOptions({"all", "last"})],
        **ConditionedRepresentation._parameter_constraints,
    }

    def _network(self, setting: Setting) -> ImageModule:
        return SirenModule(setting, self.width, self.depth, self.omega_0, self.adapted)


class SirenModule(CoordinateModule):
    """The network of a SIREN.

    Parameters
    ----------
    setting, width, depth, adapted
        See `CoordinateModule`.
    omega_0 : float
        Frequency of the sines.
    """

    def __init__(
        self, setting: Setting, width: int, depth: int, omega_0: float, adapted: str = "all"
    ):
        inputs = pixel_coordinates(*setting.image_shape[1:])
        super().__init__(setting, inputs, width, depth, adapted)
        self.omega_0 = omega_0

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the published initial weights, see `Siren`."""
        weights = {}
        for layer, (n, n_out) in enumerate(pairwise(self.widths)):
            bound = 1 / n if layer == 0 else np.sqrt(6 / n) / self.omega_0
            weights[f"{layer}.weight"] = generator.uniform(-bound, bound, (n_out, n))
            weights[f"{layer}.bias"] = generator.uniform(-1 / np.sqrt(n), 1 / np.sqrt(n), n_out)
        return {name: torch.from_numpy(weight) for name, weight in weights.items()}

    @property
    def by_sine_layers(self) -> bool:
        """Whether `sine_layers` computes the image."""
        return self.adapted != self.last

    @property
    def computes_padding(self) -> bool:
        return not (self.by_sine_layers and self.inputs.is_cpu)

    def image(
        self, weights: Tensors, features: torch.Tensor | None, pixels: Pixels | None = None
    ) -> torch.Tensor:
        """Return the images, nominally in [-1, 1], see `CoordinateModule.image`.

        `sine_layers` computes them, unless only the last layer is adapted or scales are modulated.
        """
        if not self.by_sine_layers:
            return super().image(weights, features, pixels)
        _, shifts = self.modulations(weights, features)
        layers = range(self.n_hidden + 1)
        matrices = [weights[f"{layer}.weight"] for layer in layers]
        biases = [weights[f"{layer}.bias"] for layer in layers]
        if shifts is not None:
            shifted = [b + s.squeeze(-2) for b, s in zip(biases[:-1], shifts, strict=True)]
            biases = [*shifted, biases[-1]]
        matrices = [W if W.ndim == 3 else W[None] for W in matrices]
        biases = [b if b.ndim == 2 else b[None] for b in biases]
        inputs = self.inputs[None] if pixels is None else pixels.inputs
        counts = None if pixels is None else pixels.counts
        device = self.inputs.device.type
        mixed = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if mixed else None
        with torch.autocast(device, enabled=False):
            values = sine_layers(inputs, matrices, biases, self.omega_0, dtype, counts)
        return self.as_images(values, pixels)

    def activation(self, h: torch.Tensor) -> torch.Tensor:
        """Return ``sin(omega_0 h)``."""
        return torch.sin(self.omega_0 * h)
