"""Batches of measurements and their clean images, read from any array-like."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from skmetainv.arrays import ArraySource
from skmetainv.noise import NoiseFunction
from skmetainv.operators import ForwardMap
from skmetainv.randomness import augmentation_generator, order_generator, training_generators
from skmetainv.training.processes import share_of_this_process

#: Clean images ``x``, their measurements ``y`` and, if an estimator restores starts, these starts.
Batch: TypeAlias = Sequence[torch.Tensor]
#: Clean images ``x`` and their measurements ``y``.
Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]

# Images are shifted by up to 1 / _LARGEST_SHIFT of their height and width.
_LARGEST_SHIFT = 12
# About this number of images are shifted in an epoch, but at most half of them.
_N_SHIFTED = 100


@dataclass(frozen=True)
class Batches:
    """The batches of each epoch: every image once, in a new random order.

    Parameters
    ----------
    n_images : int
        Number of images.
    batch_size : int
        Number of images in a batch, over all processes; the last batch may have fewer.
    seed : int
        Seed of the order.
    read : callable
        ``read(indices, epoch)`` returns a batch, for instance of clean images and measurements;
        the indices increase.
    """

    n_images: int
    batch_size: int
    seed: int
    read: Callable[[np.ndarray, int], Any]

    def __len__(self) -> int:
        return -(-self.n_images // self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch, starting at batch number `first`.

        With several processes, each yields its share of every batch, or None if the share is empty.
        """
        order = order_generator(self.seed, epoch).permutation(self.n_images)
        for start in range(first * self.batch_size, self.n_images, self.batch_size):
            of_batch = np.sort(order[start : start + self.batch_size])
            indices = share_of_this_process(of_batch)
            yield self.read(indices, epoch) if len(indices) else None


def augmented(x: torch.Tensor, generator: np.random.Generator, n_images: int) -> torch.Tensor:
    """Return an image, randomly mirrored left to right and randomly shifted by a few pixels.

    Shifts prevent overfitting to a few images. But the position of pixels is information, too: if
    there are many images, most stay in place.

    Parameters
    ----------
    x : tensor of shape (channels, height, width)
        The image.
    generator : numpy.random.Generator
        Draws whether to mirror, whether to shift, and by how much: at most a twelfth of the height
        and width. Pixels that come in from outside repeat the border.
    n_images : int
        Number of images in an epoch. About 100 of them, but at most half, are shifted.
    """
    if generator.random() < 0.5:
        x = x.flip(-1)
    if generator.random() >= min(0.5, _N_SHIFTED / n_images):
        return x
    for axis in (-2, -1):
        n = x.shape[axis]
        shift = int(generator.integers(-(n // _LARGEST_SHIFT), n // _LARGEST_SHIFT + 1))
        places = (torch.arange(n, device=x.device) + shift).clamp(0, n - 1)
        x = x.index_select(axis, places)
    return x


@dataclass(frozen=True)
class SimulatedPairs:
    """Clean images, with measurements that are simulated anew in every epoch.

    Parameters
    ----------
    images : ArraySource
        The clean images.
    A : ForwardMap
        The operator's map.
    noise : callable
        Adds the noise.
    seed : int
        The draws of image i depend only on the seed, the epoch and i.
    augment : bool, default=False
        Augment the clean images in every epoch, see `augmented`.
    """

    images: ArraySource
    A: ForwardMap
    noise: NoiseFunction
    seed: int
    augment: bool = False

    def __call__(self, indices: np.ndarray, epoch: int) -> Pair:
        """Return the clean images and the measurements of `epoch`."""
        x = self.images.read(indices)
        if self.augment:
            generators = [augmentation_generator(self.seed, epoch, int(i)) for i in indices]
            drawn = zip(x, generators, strict=True)
            x = torch.stack([augmented(x_i, g, len(self.images)) for x_i, g in drawn])
        return x, self.A.simulate(x, self.noise, training_generators(self.seed, epoch, indices))


@dataclass(frozen=True)
class WithStarts:
    """Pairs with a start for each measurement.

    Parameters
    ----------
    read : callable
        Returns the pairs.
    starts : callable
        ``starts(y, indices)`` restores starts from measurements.
    """

    read: Callable[[np.ndarray, int], Pair]
    starts: Callable[[torch.Tensor, np.ndarray], torch.Tensor]

    def __call__(
        self, indices: np.ndarray, epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clean images, the measurements and their starts."""
        x, y = self.read(indices, epoch)
        return x, y, self.starts(y, indices)


@dataclass(frozen=True)
class MeasuredPairs:
    """Clean images with real measurements of them.

    Parameters
    ----------
    images : ArraySource
        The clean images.
    measurements : ArraySource
        The measurement of each image.
    """

    images: ArraySource
    measurements: ArraySource

    def __call__(self, indices: np.ndarray, epoch: int) -> Pair:
        """Return the clean images and the measurements, the same in every epoch."""
        return self.images.read(indices), self.measurements.read(indices)
