"""Base class of networks on the coordinates of pixels."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch

from skmetainv.arrays import Tensors
from skmetainv.representations.conditioned import (
    Condition,
    ConditionedModule,
    Setting,
    in_full_precision,
)

# Products with fewer inputs or outputs than this are not in bfloat16: they cost little, and the
# eight bits of bfloat16 would blur coordinates and pixels.
_THIN = 16

# All pixels are computed if at least this share would be computed otherwise. Selecting pixels takes
# time, too, and so does computing the others later, if a stage's image is asked for.
_NEARLY_ALL = 0.75

# Scales or shifts of the units of each hidden layer; None without modulation.
Modulation = Sequence[torch.Tensor] | None


class Pixels(NamedTuple):
    """Some pixels of each image, padded to the largest number."""

    places: torch.Tensor
    """Their row-major indices, shape (1 or batch, n); that of padding is the number of pixels."""
    inputs: torch.Tensor
    """The network's inputs, shape (1 or batch, n, n_inputs)."""
    counts: Sequence[int]
    """The number of pixels of each image, without padding."""


class CoordinateModule(ConditionedModule):
    """A network that maps the coordinates of a pixel to the values of the pixel.

    Each hidden layer is ``h <- activation((1 + g) (W h + b) + s)``, with the scales g and shifts s
    from `modulations`; the last layer is linear. A subclass implements `network_weights` and
    `activation`.

    Parameters
    ----------
    setting : Setting
        See `ConditionedModule`. The encoder predicts one shift per hidden unit.
    inputs : tensor of shape (height * width, n_inputs)
        The inputs of the first layer for each pixel, row by row.
    width : int
        Number of units in each hidden layer.
    depth : int
        Number of linear layers, including the last one.
    adapted : {"all", "last"}
        Which layers are adapted.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations.conditioned import Setting
    >>> from skmetainv.representations.coordinates import CoordinateModule, pixel_coordinates
    >>> from skmetainv.representations.he_weights import he_weights
    >>> class TanhModule(CoordinateModule):
    ...     def network_weights(self, generator):
    ...         return he_weights(self.widths, generator)
    ...
    ...     def activation(self, h):
    ...         return h.tanh()
    >>> setting = Setting((1, 4, 5), data_range=(0.0, 1.0))
    >>> phi = TanhModule(setting, pixel_coordinates(4, 5), width=8, depth=3)
    >>> phi(phi.initial_weights(np.random.default_rng(0))).shape
    torch.Size([1, 1, 4, 5])
    """

    continuous = True
    inputs: torch.Tensor

    def __init__(
        self, setting: Setting, inputs: torch.Tensor, width: int, depth: int, adapted: str = "all"
    ):
        if setting.encoder is not None and depth == 1:
            raise ValueError(
                "The 'encoder' parameter must be None if there are no hidden units to shift: "
                "it needs a 'depth' of at least 2. Got depth=1 instead."
            )
        self.n_hidden, self.width = depth - 1, width
        super().__init__(setting, self.n_hidden * width)
        self.widths = [inputs.shape[1], *[width] * self.n_hidden, self.image_shape[0]]
        names = [f"{layer}.{part}" for layer in range(depth) for part in ("weight", "bias")]
        self.last = tuple(names[-2:])
        self.adapted = self.last if adapted == "last" else tuple(names)
        self.register_buffer("inputs", inputs)

    def activation(self, h: torch.Tensor) -> torch.Tensor:
        """Return the activation of hidden units."""
        raise NotImplementedError(f"{type(self).__name__} does not define activation.")

    def modulations(
        self, weights: Tensors, features: torch.Tensor | None
    ) -> tuple[Modulation, Modulation]:
        """Return the scales and the shifts of the hidden layers."""
        return None, None if features is None else self.by_layer(features)

    @property
    def computes_padding(self) -> bool:
        """Whether all images of a batch cost as much as the one with the most `Pixels`."""
        return True

    def by_layer(self, modulation: torch.Tensor) -> Sequence[torch.Tensor]:
        """Split values (..., n_hidden * width) into one tensor (..., 1, width) per hidden layer."""
        return torch.unflatten(modulation, -1, (self.n_hidden, 1, self.width)).unbind(-3)

    def restricted(self, condition: Condition | None, seen: torch.Tensor) -> Condition | None:
        if self.adapted == self.last and len(seen) > 1:
            return condition  # the images share the hidden layers, so they need the same pixels
        seen = seen.flatten(1)
        counts = seen.sum(1).tolist()
        n = max(1, *counts)
        n_computed = len(seen) * n if self.computes_padding else sum(counts)
        if n_computed >= _NEARLY_ALL * seen.numel():
            return condition
        # A stable sort puts the seen pixels first, in their order.
        places = seen.logical_not().byte().argsort(dim=1, stable=True)[:, :n]
        is_padding = ~seen.gather(1, places)
        pixels = Pixels(places.masked_fill(is_padding, seen.shape[1]), self.inputs[places], counts)
        start, features = (None, None) if condition is None else condition[:2]
        return Condition(start, features, pixels)

    def conditioned_image(self, weights: Tensors, condition: Condition) -> torch.Tensor:
        """Return `image` at the pixels of the condition; the others are 0."""
        if condition.pixels is None:
            return self.image(weights, condition.features)
        return self.image(weights, condition.features, condition.pixels)

    def image(
        self, weights: Tensors, features: torch.Tensor | None, pixels: Pixels | None = None
    ) -> torch.Tensor:
        """Return the images, nominally in [-1, 1], see `ConditionedModule.image`.

        If `pixels` are given, only these are computed, and the others are 0.
        """
        scales, shifts = self.modulations(weights, features)
        h = self.inputs if pixels is None else pixels.inputs
        for layer in range(self.n_hidden):
            h = linear(h, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            if scales is not None:
                h = (1 + scales[layer]) * h
            if shifts is not None:
                h = h + shifts[layer]
            h = self.activation(h)
        last = self.n_hidden
        return self.as_images(linear(h, weights[f"{last}.weight"], weights[f"{last}.bias"]), pixels)

    def as_images(self, values: torch.Tensor, pixels: Pixels | None = None) -> torch.Tensor:
        """Return values (..., n, channels) as images (batch, channels, height, width)."""
        if pixels is not None:
            places = pixels.places[..., None].expand(values.shape)
            empty = values.new_zeros(len(values), len(self.inputs) + 1, values.shape[-1])
            values = empty.scatter(1, places, values)[:, :-1]  # the last place is that of padding
        return values.reshape(-1, *self.image_shape[1:], self.image_shape[0]).permute(0, 3, 1, 2)


def linear(h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return ``W h + b`` at every pixel, for one shared layer or for one layer per image.

    Parameters
    ----------
    h : tensor of shape (n_pixels, n) or (batch, n_pixels, n)
        The inputs, shared by all images or one per image.
    weight : tensor of shape (n_out, n) or (batch, n_out, n)
        One matrix for all images, or one per image.
    bias : tensor of shape (n_out,) or (batch, n_out)
        The biases.

    Returns
    -------
    h : tensor of shape (n_pixels, n_out) or (batch, n_pixels, n_out)
        In the type of the weights, even under autocast. Products with few inputs or outputs are not
        autocast.
    """
    is_thin = min(weight.shape[-2:]) < _THIN
    with in_full_precision(h) if is_thin else nullcontext():
        if weight.ndim == 2:
            product = torch.nn.functional.linear(h, weight, bias)
        else:
            product = torch.baddbmm(bias.unsqueeze(1), h.expand(len(weight), -1, -1), weight.mT)
    return product.to(weight.dtype)


def pixel_coordinates(height: int, width: int) -> torch.Tensor:
    """Return the coordinates of all pixels in [-1, 1], row by row; a single row or column is at 0.

    The outermost pixels are at -1 and 1. If one axis has ``2 n - 1`` pixels and another has ``n``,
    every second pixel of the first is at the place of a pixel of the second.
    """
    rows, columns = (
        torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1).double()
        for n in (height, width)
    )
    return torch.cartesian_prod(rows, columns)
