"""SIREN: a coordinate network with sine activations."""

from numbers import Integral, Real

import numpy as np
import torch

from skmetainv.operators import DataTerm
from skmetainv.parameters import Interval
from skmetainv.representations.base import ImageModule, Representation, Weights


class Siren(Representation):
    """Coordinate network with sine activations, ``h <- sin(omega_0 (W h + b))``.

    The pixel at row i, column j of an image is the network's value at its coordinates in
    [-1, 1] x [-1, 1]; a last linear layer gives the channels. The network's values in [-1, 1]
    are mapped to `data_range`. All weights are adapted to each image.

    Parameters
    ----------
    width : int, default=256
        Units in each hidden layer.
    depth : int, default=5
        Number of linear layers, the last one included: ``depth - 1`` sine layers.
    omega_0 : float, default=30.0
        Frequency of the sines.

    Notes
    -----
    The initial weights are those of the paper and of its authors' code: the first layer's are
    uniform in ``+-1 / n``, all others in ``+-sqrt(6 / n) / omega_0``, the biases in
    ``+-1 / sqrt(n)``, with n the layer's number of inputs.

    References
    ----------
    Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit neural representations with
    periodic activation functions", NeurIPS, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import Siren
    >>> phi = Siren(width=8, depth=3).build(image_shape=(3, 4, 5))
    >>> weights = phi.initial_weights(np.random.default_rng(0))
    >>> phi(weights, data=None).shape
    torch.Size([1, 3, 4, 5])
    """

    _parameter_constraints = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "omega_0": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, width: int = 256, depth: int = 5, omega_0: float = 30.0):
        self.width = width
        self.depth = depth
        self.omega_0 = omega_0

    def build(
        self, image_shape: tuple[int, ...], data_range: tuple[float, float] = (0.0, 1.0)
    ) -> ImageModule:
        """Return the network for images of one shape, see `Representation.build`."""
        self._validate_params()
        widths = [2, *[self.width] * (self.depth - 1), image_shape[0]]
        return _Siren(image_shape, data_range, widths, self.omega_0)


class _Siren(ImageModule):
    coordinates: torch.Tensor

    def __init__(
        self,
        image_shape: tuple[int, ...],
        data_range: tuple[float, float],
        widths: list[int],
        omega_0: float,
    ):
        super().__init__()
        self.image_shape, self.widths, self.omega_0 = image_shape, widths, omega_0
        self.centre, self.radius = sum(data_range) / 2, (data_range[1] - data_range[0]) / 2
        self.n_layers = len(widths) - 1
        self.adapted = tuple(
            f"{layer}.{part}" for layer in range(self.n_layers) for part in ("weight", "bias")
        )
        self.register_buffer("coordinates", _pixel_coordinates(*image_shape[1:]))

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        weights = {}
        for layer, (n, n_out) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            bound = 1 / n if layer == 0 else np.sqrt(6 / n) / self.omega_0
            weights[f"{layer}.weight"] = generator.uniform(-bound, bound, (n_out, n))
            weights[f"{layer}.bias"] = generator.uniform(-1 / np.sqrt(n), 1 / np.sqrt(n), n_out)
        return {name: torch.from_numpy(weight) for name, weight in weights.items()}

    def forward(self, weights: Weights, data: DataTerm) -> torch.Tensor:
        h = self.coordinates
        for layer in range(self.n_layers):
            h = _linear(h, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            if layer < self.n_layers - 1:
                h = torch.sin(self.omega_0 * h)
        images = h.reshape(-1, *self.image_shape[1:], self.image_shape[0])
        return self.centre + self.radius * images.permute(0, 3, 1, 2)


def _linear(h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return ``W h + b`` at every pixel, for one layer or for one per image."""
    if weight.ndim == 2:
        return torch.nn.functional.linear(h, weight, bias)
    return torch.baddbmm(bias.unsqueeze(1), h.expand(len(weight), -1, -1), weight.mT)


def _pixel_coordinates(height: int, width: int) -> torch.Tensor:
    """Return the coordinates of all pixels, row by row; those of a single one are 0."""
    rows, columns = (
        torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1).double()
        for n in (height, width)
    )
    return torch.cartesian_prod(rows, columns)
