"""What all representations of this library share: units, and what they take of a measurement."""

from typing import Any, NamedTuple

import numpy as np
import torch

from skmetainv.operators import DataTerm
from skmetainv.parameters import StrOptions
from skmetainv.representations.base import ImageModule, Weights
from skmetainv.representations.encoder import Encoder

CONSTRAINTS: dict[str, list[Any]] = {
    "residual": [StrOptions({"adjoint", "pseudo_inverse"}), None],
    "encoder": [Encoder, None],
}


class Condition(NamedTuple):
    """What an image depends on of its measurement."""

    start: torch.Tensor | None
    """The image that the network's is added to."""
    features: torch.Tensor | None
    """What the encoder predicts, one row per image."""


class ConditionedModule(ImageModule):
    """An image in the units of the data; a subclass writes `network_weights` and `image`.

    ``phi = c + r image(theta, features)``, with ``c`` the middle and ``r`` half the width of the
    data range; with `residual`, ``phi = start + r image(theta, features)``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    residual : str or None
        The start that the network's image is added to.
    encoder : Encoder or None
        What predicts features from the measurement.
    n_features : int
        How many features `image` takes.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        data_range: tuple[float, float],
        residual: str | None,
        encoder: Encoder | None,
        n_features: int,
    ):
        super().__init__()
        self.image_shape, self.residual = tuple(image_shape), residual
        self.centre, self.radius = sum(data_range) / 2, (data_range[1] - data_range[0]) / 2
        self.encoder = None if encoder is None else encoder.build(image_shape[0], n_features)

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights of the network without its encoder, see `ImageModule`."""
        raise NotImplementedError(f"{type(self).__name__} does not define network_weights.")

    def image(self, weights: Weights, features: torch.Tensor | None) -> torch.Tensor:
        """Return the images, nominally in [-1, 1].

        Parameters
        ----------
        weights : mapping of str to tensor
            One set for all images, or one per image, see `ImageModule.forward`.
        features : tensor of shape (batch, n_features) or None
            What the encoder predicts.

        Returns
        -------
        images : tensor of shape (batch, channels, height, width)
            One image per set of weights or per row of features.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define image.")

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return weights to begin training with, in float64, by name; the encoder's come last."""
        weights = self.network_weights(generator)
        return (
            weights if self.encoder is None else weights | self.encoder.initial_weights(generator)
        )

    def condition(self, weights: Weights, data: DataTerm) -> Condition | None:
        """Return the start and the features, see `ImageModule.condition`."""
        start = features = None
        if self.residual is not None:
            start = _start(data, self.residual)
        if self.encoder is not None:
            x = (_start(data, self.encoder.start) - self.centre) / self.radius
            features = self.encoder(weights, x, data.observed_pixels())
        return None if start is None and features is None else Condition(start, features)

    def forward(self, weights: Weights, condition: Condition | None = None) -> torch.Tensor:
        """Return the images ``phi`` of `weights`, see `ImageModule.forward`."""
        if condition is None:
            if self.residual is not None or self.encoder is not None:
                raise ValueError(
                    "A representation with 'residual' or 'encoder' depends on the measurement: "
                    "forward needs what condition(weights, data) gives. Got None instead."
                )
            condition = Condition(start=None, features=None)
        images = self.image(weights, condition.features).to(next(iter(weights.values())).dtype)
        start = self.centre if condition.start is None else condition.start
        return start + self.radius * images


def _start(data: DataTerm, kind: str) -> torch.Tensor:
    with in_full_precision(data.y):
        return data.start(kind)


def with_features(images: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
    """Return images plus one feature per pixel and channel."""
    return images if features is None else images + features.reshape(-1, *images.shape[1:])


def in_full_precision(like: torch.Tensor) -> torch.autocast:
    """Return the context in which nothing is cast on the device of `like`."""
    return torch.autocast(like.device.type, enabled=False)
