"""An image whose pixels are the weights."""

import math

import numpy as np
import torch

from skmetainv.arrays import Tensors
from skmetainv.representations.base import ImageModule
from skmetainv.representations.conditioned import (
    ConditionedModule,
    ConditionedRepresentation,
    Setting,
    with_features,
)


class PixelGrid(ConditionedRepresentation):
    """The image itself: one weight per pixel and channel, adapted to each image.

    ``phi = c + r theta``, where ``c`` is the middle and ``r`` half the width of `data_range`. The
    initial weights, ``theta = 0``, represent a gray image. Algorithm 1 is then gradient descent on
    the image, from a learned start that all images share. Step sizes per parameter are step sizes
    per pixel. The weights represent images of one height and width only.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.representations import PixelGrid
    >>> phi = PixelGrid().build(image_shape=(1, 1, 3))
    >>> phi(phi.initial_weights(np.random.default_rng(0)))
    tensor([[[[0.5000, 0.5000, 0.5000]]]], dtype=torch.float64)
    """

    def _network(self, setting: Setting) -> ImageModule:
        return _PixelGrid(setting, n_features=math.prod(setting.image_shape))


class _PixelGrid(ConditionedModule):
    adapted = ("image",)

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        return {"image": torch.zeros(self.image_shape, dtype=torch.float64)}

    def image(self, weights: Tensors, features: torch.Tensor | None) -> torch.Tensor:
        return with_features(weights["image"].reshape(-1, *self.image_shape), features)
