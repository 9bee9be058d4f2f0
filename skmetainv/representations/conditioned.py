"""Base classes of the library's representations, which may depend on the measurement."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.operators import DataTerm
from skmetainv.operators.maps.data_terms import RESIDUALS
from skmetainv.parameters import HasMethods, StrOptions
from skmetainv.representations.base import ImageModule, Representation
from skmetainv.representations.encoder import Encoder
from skmetainv.representations.refiner import Refiner


class Setting(NamedTuple):
    """The images of a representation, and its parts that depend on the measurement."""

    image_shape: tuple[int, ...]
    """Channels, height and width."""
    data_range: tuple[float, float]
    """The least and the largest value that images nominally have."""
    residual: str | None = None
    """The name of the start to which the network's image is added, see
    `skmetainv.operators.DataTerm.start`."""
    encoder: Encoder | None = None
    """The encoder that predicts features of the network."""
    refiner: Refiner | None = None
    """The network that corrects the start."""


class _Estimator(HasMethods):
    """An estimator, recognised by its methods, because this package cannot import estimators."""

    def instead_of(self, value: Any) -> str | None:
        """Return the estimator that wraps a module, see `ParameterObject`."""
        return "DeepInverseReconstructor(model)" if isinstance(value, torch.nn.Module) else None


class ConditionedRepresentation(Representation):
    """Base class of the library's representations; a subclass writes `_network`.

    Parameters
    ----------
    residual : {"adjoint", "pseudo_inverse"} or estimator, default=None
        The image to which the network's image is added. An estimator restores it from the
        measurement, for instance a `skmetainv.LinearReconstructor`, `ClassicalReconstructor`,
        `UNetReconstructor` or `UnrolledReconstructor`. `MetaInverseSolver` fits a copy of the
        estimator in its own `fit`, unless the estimator is in a `FrozenEstimator`. A fitted
        estimator restores its own training images better than new images. The starts of training
        images are therefore cross-fitted: the images are split into five parts, and each start
        comes from a copy that was fitted to the four parts without its image. The starts in
        `predict` come from the copy that was fitted to all images.
    encoder : Encoder, default=None
        Network that predicts features of the representation from the measurement.
    refiner : Refiner, default=None
        Network that corrects the image of `residual`.

    Examples
    --------
    With the initial weights, the image is that of `residual`:

    >>> import numpy as np, torch
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.representations import Siren
    >>> phi = Siren(width=8, depth=3, residual="adjoint").build(image_shape=(1, 6, 6))
    >>> data = GaussianBlur().build((1, 6, 6)).bind(torch.rand(2, 1, 6, 6).double())
    >>> weights = phi.initial_weights(np.random.default_rng(0))
    >>> images = phi(weights, phi.condition(weights, data))
    >>> torch.equal(images, data.start("adjoint"))
    True
    """

    _: KW_ONLY
    residual: Any = None
    encoder: Encoder | None = None
    refiner: Refiner | None = None

    _parameter_constraints = {
        "residual": [StrOptions(RESIDUALS), _Estimator(["fit", "predict"]), None],
        "encoder": [Encoder, None],
        "refiner": [Refiner, None],
    }

    def build(
        self, image_shape: tuple[int, ...], data_range: tuple[float, float] = (0.0, 1.0)
    ) -> ImageModule:
        if self.refiner is not None and self.residual is None:
            raise ValueError(
                f"The 'refiner' parameter of {type(self).__name__} must be None without a "
                f"'residual' to correct. Got {self.refiner!r} instead."
            )
        # An estimator's image is the data term's start named "given"
        by_name = self.residual is None or isinstance(self.residual, str)
        residual = self.residual if by_name else "given"
        return self._network(
            Setting(tuple(image_shape), data_range, residual, self.encoder, self.refiner)
        )

    def _network(self, setting: Setting) -> ImageModule:
        """Return the network for these images."""
        raise NotImplementedError(f"{type(self).__name__} does not define _network.")


class Condition(NamedTuple):
    """The condition of images, computed from the measurements."""

    start: torch.Tensor | None
    """The image to which the network's image is added."""
    features: torch.Tensor | None
    """The features from the encoder, one row per image."""
    pixels: Any = None
    """The pixels to compute, see `ImageModule.restricted`; None is all."""


class ConditionedModule(ImageModule):
    """An image in the units of the data; a subclass implements `network_weights` and `image`.

    ``phi = c + r image(theta, features)``, where ``c`` is the middle and ``r`` half the width of
    the data range. With a residual, ``phi = start + r (correction(start) + image(theta,
    features))``; if the refiner reads the start's uncertainty, this multiplies the correction. The
    last layers of the refiner and of the network are initialized to 0, so that
    ``phi`` begins as the start. `ModuleRepresentation` is an exception, because it does not know
    the last layer of its module.

    Parameters
    ----------
    setting : Setting
        The images, and the parts that depend on the measurement.
    n_features : int
        The number of features that `image` takes for each image.

    Attributes
    ----------
    last : tuple of str
        The weights of the network's last layer, in which the image is linear. They are initialized
        to 0 if there is a residual.

    Examples
    --------
    Images whose rows are equal:

    >>> import numpy as np, torch
    >>> from skmetainv.representations.conditioned import ConditionedModule, Setting
    >>> class EqualRows(ConditionedModule):
    ...     adapted = ("row",)
    ...
    ...     def network_weights(self, generator):
    ...         return {"row": torch.zeros(self.image_shape[2], dtype=torch.float64)}
    ...
    ...     def image(self, weights, features):
    ...         row = weights["row"].reshape(-1, 1, 1, self.image_shape[2])
    ...         return row.expand(-1, *self.image_shape)
    >>> phi = EqualRows(Setting((1, 2, 3), (0.0, 1.0)), n_features=0)
    >>> phi(phi.initial_weights(np.random.default_rng(0))).unique()
    tensor([0.5000], dtype=torch.float64)
    """

    last: tuple[str, ...] = ()

    def __init__(self, setting: Setting, n_features: int):
        super().__init__()
        image_shape, data_range, residual, encoder, refiner = setting
        self.image_shape, self.residual = image_shape, residual
        self.centre, self.radius = sum(data_range) / 2, (data_range[1] - data_range[0]) / 2
        self.encoder = None if encoder is None else encoder.build(image_shape[0], n_features)
        self.refiner, self.reads_uncertainty = None, False
        if refiner is not None:
            self.reads_uncertainty = refiner.uncertainty
            self.refiner = refiner.build(image_shape[0])
            self.own_rates = dict.fromkeys(self.refiner.names, refiner.lr)

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the network's initial weights, without those of encoder and refiner."""
        raise NotImplementedError(f"{type(self).__name__} does not define network_weights.")

    def image(self, weights: Tensors, features: torch.Tensor | None) -> torch.Tensor:
        """Return the images, nominally in [-1, 1].

        Parameters
        ----------
        weights : mapping of str to tensor
            One set for all images, or one per image, see `ImageModule.forward`.
        features : tensor of shape (batch, n_features) or None
            The features from the encoder.

        Returns
        -------
        images : tensor of shape (batch, channels, height, width)
            One image per set of weights or per row of features.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define image.")

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights, in float64, by name; the encoder's and refiner's are last."""
        weights = self.network_weights(generator)
        if self.residual is not None:
            weights |= {name: torch.zeros_like(weights[name]) for name in self.last}
        for part in (self.encoder, self.refiner):
            if part is not None:
                weights |= part.initial_weights(generator)
        return weights

    def condition(self, weights: Tensors, data: DataTerm) -> Condition | None:
        start = features = None
        if self.residual is not None:
            start = _start(data, self.residual)
        if self.encoder is not None:
            x = self._nominal(_start(data, self.encoder.start))
            features = self.encoder(weights, x, data.observed_pixels())
        if self.refiner is not None and start is not None:
            reads, x = self.reads_uncertainty, self._nominal(start)
            beside = data.uncertainty() if reads else data.observed_pixels()
            correction = self.refiner(weights, x, beside)
            start = start + self.radius * (beside * correction if reads else correction)
        return None if start is None and features is None else Condition(start, features)

    def conditioned_image(self, weights: Tensors, condition: Condition) -> torch.Tensor:
        """Return `image` under a condition; a subclass with `restricted` writes it anew."""
        return self.image(weights, condition.features)

    def _nominal(self, x: torch.Tensor) -> torch.Tensor:
        """Return images scaled so that the data range is [-1, 1]."""
        return (x - self.centre) / self.radius

    def forward(self, weights: Tensors, condition: Condition | None = None) -> torch.Tensor:
        if condition is None:
            if self.residual is not None or self.encoder is not None:
                raise ValueError(
                    "A representation with 'residual' or 'encoder' depends on the measurement: "
                    "forward needs the result of condition(weights, data). Got None instead."
                )
            condition = Condition(start=None, features=None)
        images = self.conditioned_image(weights, condition)
        images = images.to(next(iter(weights.values())).dtype)
        start = self.centre if condition.start is None else condition.start
        return start + self.radius * images


def _start(data: DataTerm, start: str) -> torch.Tensor:
    with in_full_precision(data.y):
        return data.start(start)


def with_features(images: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
    """Return images plus one feature per pixel and channel."""
    return images if features is None else images + features.reshape(-1, *images.shape[1:])


def in_full_precision(like: torch.Tensor) -> torch.autocast:
    """Return a context without autocast on the device of `like`."""
    return torch.autocast(like.device.type, enabled=False)
