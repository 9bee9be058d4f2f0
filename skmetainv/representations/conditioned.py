"""What all representations of this library share: units, and what they take of a measurement."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.operators import DataTerm
from skmetainv.parameters import HasMethods, StrOptions
from skmetainv.representations.base import ImageModule, Representation
from skmetainv.representations.encoder import Encoder
from skmetainv.representations.refiner import Refiner


class Conditioning(NamedTuple):
    """What a network takes of a measurement."""

    residual: str | None
    """The start that the network's image is added to, of `skmetainv.operators.DataTerm`."""
    encoder: Encoder | None
    """What predicts features of the network."""
    refiner: Refiner | None
    """What corrects the start."""


class _Estimator(HasMethods):
    """An estimator that restores images, told by its methods: they stand on floors above."""

    def instead_of(self, value: Any) -> str | None:
        """Return the estimator around a module, see `ParameterObject`."""
        return "DeepInverseReconstructor(model)" if isinstance(value, torch.nn.Module) else None


class ConditionedRepresentation(Representation):
    """What the representations of this library have in common.

    Parameters
    ----------
    residual : {"adjoint", "pseudo_inverse"} or estimator, default=None
        The image that the network's is added to. An estimator restores it from the measurement:
        `skmetainv.LinearReconstructor`, a `ClassicalReconstructor`, `UNetReconstructor` or
        `UnrolledReconstructor`, for instance. `MetaInverseSolver` fits a copy with its own `fit`,
        unless it is in a `FrozenEstimator`. What was fitted to the training images restores them
        too well; so the starts of training images come from copies that were fitted to the other
        images (five parts, in turn), and those of `predict` from the copy that was fitted to all.
    encoder : Encoder, default=None
        What predicts features of the network from the measurement.
    refiner : Refiner, default=None
        What corrects the image of `residual`.
    """

    _: KW_ONLY
    residual: Any = None
    encoder: Encoder | None = None
    refiner: Refiner | None = None

    _parameter_constraints = {
        "residual": [
            StrOptions({"adjoint", "pseudo_inverse"}),
            _Estimator(["fit", "predict"]),
            None,
        ],
        "encoder": [Encoder, None],
        "refiner": [Refiner, None],
    }

    def _conditioning(self) -> Conditioning:
        """Return what modules are built with: an estimator's image is given with the data."""
        by_name = self.residual is None or isinstance(self.residual, str)
        if self.refiner is not None and self.residual is None:
            raise ValueError(
                f"The 'refiner' parameter of {type(self).__name__} must be None without a "
                f"'residual' to correct. Got {self.refiner!r} instead."
            )
        return Conditioning(self.residual if by_name else "given", self.encoder, self.refiner)


class Condition(NamedTuple):
    """What an image depends on of its measurement."""

    start: torch.Tensor | None
    """The image that the network's is added to."""
    features: torch.Tensor | None
    """What the encoder predicts, one row per image."""


class ConditionedModule(ImageModule):
    """An image in the units of the data; a subclass writes `network_weights` and `image`.

    ``phi = c + r image(theta, features)``, with ``c`` the middle and ``r`` half the width of the
    data range; with a residual, ``phi = start + r (correction(start) + image(theta, features))``,
    whose two last layers begin at 0: so training begins at the start's quality.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    conditioning : Conditioning
        What is taken of the measurement.
    n_features : int
        How many features `image` takes.

    Attributes
    ----------
    last : tuple of str
        The weights of the network's last layer, in which its image is linear.
    """

    last: tuple[str, ...] = ()

    def __init__(
        self,
        image_shape: tuple[int, ...],
        data_range: tuple[float, float],
        conditioning: Conditioning,
        n_features: int,
    ):
        super().__init__()
        residual, encoder, refiner = conditioning
        self.image_shape, self.residual = tuple(image_shape), residual
        self.centre, self.radius = sum(data_range) / 2, (data_range[1] - data_range[0]) / 2
        self.encoder = None if encoder is None else encoder.build(image_shape[0], n_features)
        self.refiner = None
        if refiner is not None:
            self.refiner = refiner.build(image_shape[0])
            self.own_rates = dict.fromkeys(self.refiner.names, refiner.lr)

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights of the network without its encoder, see `ImageModule`."""
        raise NotImplementedError(f"{type(self).__name__} does not define network_weights.")

    def image(self, weights: Tensors, features: torch.Tensor | None) -> torch.Tensor:
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
        """Return weights to begin training with, in float64, by name; the shared ones come last."""
        weights = self.network_weights(generator)
        if self.residual is not None:
            weights |= {name: torch.zeros_like(weights[name]) for name in self.last}
        for part in (self.encoder, self.refiner):
            if part is not None:
                weights |= part.initial_weights(generator)
        return weights

    def condition(self, weights: Tensors, data: DataTerm) -> Condition | None:
        """Return the start and the features, see `ImageModule.condition`."""
        start = features = None
        if self.residual is not None:
            start = _start(data, self.residual)
        if self.encoder is not None:
            x = self._nominal(_start(data, self.encoder.start))
            features = self.encoder(weights, x, data.observed_pixels())
        if self.refiner is not None and start is not None:
            correction = self.refiner(weights, self._nominal(start), data.observed_pixels())
            start = start + self.radius * correction
        return None if start is None and features is None else Condition(start, features)

    def _nominal(self, x: torch.Tensor) -> torch.Tensor:
        """Return images in units in which the data range is [-1, 1]."""
        return (x - self.centre) / self.radius

    def forward(self, weights: Tensors, condition: Condition | None = None) -> torch.Tensor:
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
