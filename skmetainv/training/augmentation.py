"""Random changes of training images: mirroring and small shifts."""

from dataclasses import dataclass

import numpy as np
import torch

# Images are shifted by up to 1 / _LARGEST_SHIFT of their height and width.
_LARGEST_SHIFT = 12
# About this number of images are shifted in an epoch, but at most half of them.
_N_SHIFTED = 100


def mirrored(x: torch.Tensor) -> torch.Tensor:
    """Return images mirrored left to right; the last axis is the width."""
    return x.flip(-1)


def shifted(x: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Return images shifted at random by up to a twelfth of their height and width.

    All are shifted by the same number of pixels. Pixels from outside repeat the border.
    """
    for axis in (-2, -1):
        n = x.shape[axis]
        shift = int(generator.integers(-(n // _LARGEST_SHIFT), n // _LARGEST_SHIFT + 1))
        places = (torch.arange(n, device=x.device) + shift).clamp(0, n - 1)
        x = x.index_select(axis, places)
    return x


@dataclass(frozen=True)
class Augmentation:
    """The random changes of an image, drawn anew in every epoch.

    Shifts prevent overfitting to a few images. But the position of pixels is information, too: if
    there are many images, most stay in place.

    Parameters
    ----------
    mirrors : bool
        Mirror each image left to right with probability 1/2.
    shifts : bool
        Shift about 100 images of an epoch, but at most half of them, see `shifted`.
    """

    mirrors: bool
    shifts: bool

    def __call__(
        self, x: torch.Tensor, generator: np.random.Generator, n_images: int
    ) -> torch.Tensor:
        """Return the image `x`, one of `n_images` of an epoch, after random changes."""
        is_mirrored = generator.random() < 0.5
        is_shifted = generator.random() < min(0.5, _N_SHIFTED / n_images)
        if self.mirrors and is_mirrored:
            x = mirrored(x)
        return shifted(x, generator) if self.shifts and is_shifted else x
