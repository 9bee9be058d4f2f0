"""The protocol of representations: networks whose weights stand for an image."""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from skmetainv.operators import DataTerm

Weights = Mapping[str, torch.Tensor]


class Representation(BaseEstimator):
    """A network ``phi_theta`` whose image is the start of a solver: no tensors.

    A subclass stores its hyper-parameters and writes `build`.
    """

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

    A subclass writes `initial_weights` and `forward`, and sets `adapted`.

    Attributes
    ----------
    adapted : tuple of str
        The weights that Algorithm 1 adapts to each image; all others are shared by all images.
    """

    adapted: tuple[str, ...] = ()

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return weights to begin training with, in float64, by name."""
        raise NotImplementedError(f"{type(self).__name__} does not define initial_weights.")

    def forward(self, weights: Weights, data: DataTerm) -> torch.Tensor:
        """Return the images ``phi`` of `weights`.

        Parameters
        ----------
        weights : mapping of str to tensor
            One set of weights for all images; or, for the adapted ones, one set per image, with
            the images along a first axis.
        data : DataTerm
            What was measured, for representations that start from it.

        Returns
        -------
        phi : tensor of shape (batch, channels, height, width)
            One image per set of weights; of one set, one image.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")
