"""A SIREN shared by all images, and adapted to each by feature-wise modulations."""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.parameters import COUNT, POSITIVE, Interval, StrOptions
from skmetainv.representations.base import ImageModule
from skmetainv.representations.conditioned import (
    ConditionedRepresentation,
    Setting,
    in_full_precision,
)
from skmetainv.representations.coordinates import Modulation
from skmetainv.representations.siren import SirenModule

_ADAPTED = {"shift": ("shift",), "scale_shift": ("scale", "shift"), "latent": ()}


class ModulatedSiren(ConditionedRepresentation):
    """SIREN shared by all images, and adapted to each by modulations of its hidden units.

    Algorithm 1 adapts one or two numbers per hidden unit, or one short vector, instead of all
    weights. The images of a batch share the matrices of the layers. The outer loop learns these
    matrices, and the values of the modulations before the first inner
    step, which are 0 before training. With ``z = W h + b``, a sine layer is

    - "shift": ``sin(omega_0 (z + s))``, one shift s per hidden unit;
    - "scale_shift": ``sin(omega_0 ((1 + g) z + s))``, one scale g and one shift s per hidden unit;
    - "latent": ``sin(omega_0 (z + s))``, where the shifts s of all layers are ``V l``, with a
      shared matrix V and one short vector l per image. (A constant term is not needed, because the
      layers have biases.)

    Scales and shifts are named after their layer, ``<layer>.scale`` and ``<layer>.shift``, so that
    step sizes can be learned per layer. The weights represent images of any height and width.

    Parameters
    ----------
    width : int, default=256
        Number of units in each hidden layer.
    depth : int, default=5
        Number of linear layers, including the last one: ``depth - 1`` sine layers, at least one.
    omega_0 : float, default=30.0
        Frequency of the sines.
    modulation : {"shift", "scale_shift", "latent"}, default="shift"
        The modulation that is adapted to each image.
    latent_size : int, default=64
        Length of the vector that "latent" adapts.

    Notes
    -----
    The layers are initialized as in `Siren`, and V with normal entries of variance
    ``1 / latent_size``. The diagonal of ``V V'`` is then about 1, so that an inner step changes a
    shift about as much as with "shift".

    References
    ----------
    Perez, Strub, de Vries, Dumoulin and Courville, "FiLM: Visual reasoning with a general
    conditioning layer", AAAI, 2018.

    Dupont, Kim, Eslami, Rezende and Rosenbaum, "From data to functa: Your data point is a function
    and you can treat it like one", ICML, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import ModulatedSiren
    >>> phi = ModulatedSiren(width=8, depth=3, modulation="latent").build(image_shape=(3, 4, 5))
    >>> phi.adapted
    ('latent',)
    >>> phi(phi.initial_weights(np.random.default_rng(0))).shape
    torch.Size([1, 3, 4, 5])
    """

    width: int = 256
    _: KW_ONLY
    depth: int = 5
    omega_0: float = 30.0
    modulation: Literal["shift", "scale_shift", "latent"] = "shift"
    latent_size: int = 64

    _parameter_constraints = {
        "width": [COUNT],
        "depth": [Interval(Integral, 2, None, closed="left")],
        "omega_0": [POSITIVE],
        "modulation": [StrOptions(set(_ADAPTED))],
        "latent_size": [COUNT],
        **ConditionedRepresentation._parameter_constraints,
    }

    def _network(self, setting: Setting) -> ImageModule:
        parts = _ADAPTED[self.modulation]
        return _ModulatedSiren(
            parts, self.latent_size, setting, self.width, self.depth, self.omega_0
        )


class _ModulatedSiren(SirenModule):
    def __init__(self, parts: tuple[str, ...], latent_size: int, *siren: Any):
        super().__init__(*siren)
        self.parts, self.latent_size = parts, latent_size
        layers = range(self.n_hidden)
        self.adapted = tuple(f"{k}.{part}" for k in layers for part in parts) or ("latent",)

    @property
    def by_sine_layers(self) -> bool:
        return "scale" not in self.parts

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        weights, size = super().network_weights(generator), self.width
        if not self.parts:
            shape, size = (self.n_hidden * self.width, self.latent_size), self.latent_size
            V = generator.normal(0, 1 / np.sqrt(self.latent_size), shape)
            weights["mapping.weight"] = torch.from_numpy(V)
        return weights | {name: torch.zeros(size, dtype=torch.float64) for name in self.adapted}

    def modulations(
        self, weights: Tensors, features: torch.Tensor | None
    ) -> tuple[Modulation, Modulation]:
        if self.parts:
            shifts: Sequence[torch.Tensor] = self._of_layers(weights, "shift")
        else:
            with in_full_precision(weights["latent"]):
                shifts = self.by_layer(weights["latent"] @ weights["mapping.weight"].mT)
        if features is not None:
            shifts = [s + more for s, more in zip(shifts, self.by_layer(features), strict=True)]
        return self._of_layers(weights, "scale") if "scale" in self.parts else None, shifts

    def _of_layers(self, weights: Tensors, part: str) -> list[torch.Tensor]:
        """Return the modulations of all hidden layers, each (..., 1, width)."""
        return [weights[f"{layer}.{part}"].unsqueeze(-2) for layer in range(self.n_hidden)]
