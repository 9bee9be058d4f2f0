"""The protocol of representations: networks whose weights stand for an image."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from skmetainv.operators import DataTerm
from skmetainv.parameters import ParameterObject, is_function

Weights = Mapping[str, torch.Tensor]


class Representation(ParameterObject):
    """A network ``phi_theta`` whose image is the start of a solver: no tensors.

    A subclass stores its hyper-parameters and writes `build`.
    """

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        """Return the adapter that makes a representation of `value`, see `ParameterObject`."""
        if isinstance(value, nn.Module):
            return "ModuleRepresentation(module)"
        return "ModuleRepresentation(factory)" if is_function(value) else None

    def build(
        self, image_shape: tuple[int, ...], data_range: tuple[float, float] = (0.0, 1.0)
    ) -> "ImageModule":
        """Return the network for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.
        data_range : (float, float), default=(0.0, 1.0)
            The least and the largest value that images nominally have.

        Returns
        -------
        phi : ImageModule
            A module without weights of its own, in float64 on the CPU.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class ImageModule(nn.Module):
    """The function from weights to an image; it holds no weights.

    A subclass writes `initial_weights` and `forward`, and sets `adapted`; one that looks at the
    measurement also writes `condition`.

    Attributes
    ----------
    adapted : tuple of str
        The weights that Algorithm 1 adapts to each image; all others are shared by all images.
    continuous : bool
        Whether the same weights stand for images of any height and width: then a module built for
        another shape with as many channels takes them.
    autocasts : bool
        Whether it may be computed under `torch.autocast`: its large products are then in bfloat16,
        and the images still in the type of the weights.
    own_rates : mapping of str to float
        Outer learning rates of the weights that have their own.
    """

    adapted: tuple[str, ...] = ()
    continuous: bool = False
    autocasts: bool = True
    own_rates: Mapping[str, float] = MappingProxyType({})

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return weights to begin training with, in float64, by name."""
        raise NotImplementedError(f"{type(self).__name__} does not define initial_weights.")

    def condition(self, weights: Weights, data: DataTerm) -> Any:
        """Return what the images depend on of the measurement, None where they do not.

        It is computed once, before the first inner step, with the weights shared by all images.

        Parameters
        ----------
        weights : mapping of str to tensor
            The weights, as for `forward`.
        data : DataTerm
            The batch of measurements.

        Returns
        -------
        condition : object
            Whatever `forward` takes.
        """
        return None

    def forward(self, weights: Weights, condition: Any = None) -> torch.Tensor:
        """Return the images ``phi`` of `weights`.

        Parameters
        ----------
        weights : mapping of str to tensor
            The shared ones as they are; the adapted ones as one set for all images, or as one set
            per image, with the images along a first axis.
        condition : object, default=None
            What `condition` gives.

        Returns
        -------
        phi : tensor of shape (batch, channels, height, width)
            One image per set of weights or per measurement; of one set without a condition, one.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")
