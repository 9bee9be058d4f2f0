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
from skmetainv.training.augmentation import Augmentation
from skmetainv.training.processes import share_of_this_process

#: Clean images ``x``, their measurements ``y`` and, if an estimator restores starts, these starts.
Batch: TypeAlias = Sequence[torch.Tensor]
#: Clean images ``x`` and their measurements ``y``.
Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]


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
        the indices increase. If `epoch` is None, the images are not augmented, and the measurements
        are those of the first epoch.
    """

    n_images: int
    batch_size: int
    seed: int
    read: Callable[[np.ndarray, Any], Any]

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
    augmentation : Augmentation or None, default=None
        Random changes of the clean images in every epoch.
    """

    images: ArraySource
    A: ForwardMap
    noise: NoiseFunction
    seed: int
    augmentation: Augmentation | None = None

    def __call__(self, indices: np.ndarray, epoch: int | None) -> Pair:
        """Return the clean images and the measurements of `epoch`."""
        x = self.images.read(indices)
        if self.augmentation is not None and epoch is not None:
            generators = [augmentation_generator(self.seed, epoch, int(i)) for i in indices]
            drawn = zip(x, generators, strict=True)
            x = torch.stack([self.augmentation(x_i, g, len(self.images)) for x_i, g in drawn])
        generators = training_generators(self.seed, epoch or 0, indices)
        return x, self.A.simulate(x, self.noise, generators)


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

    read: Callable[[np.ndarray, int | None], Pair]
    starts: Callable[[torch.Tensor, np.ndarray], torch.Tensor]

    def __call__(
        self, indices: np.ndarray, epoch: int | None
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

    def __call__(self, indices: np.ndarray, epoch: int | None) -> Pair:
        """Return the clean images and the measurements, the same in every epoch."""
        return self.images.read(indices), self.measurements.read(indices)
