"""Batches of measurements and their clean images, read from any array-like."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from skmetainv.arrays import ArraySource
from skmetainv.noise import NoiseFunction
from skmetainv.operators import ForwardMap
from skmetainv.randomness import mirrored, order_generator, training_generators
from skmetainv.training.processes import own_share

#: Clean images ``x`` and their measurements ``y``.
Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch: every image once, in an order of the epoch's own.

    Parameters
    ----------
    n_images : int
        Number of images.
    batch_size : int
        Images in a batch, of all processes together; the last of an epoch may have fewer.
    seed : int
        Seed of the order.
    read : callable
        ``read(indices, epoch)`` gives a batch, clean images and measurements for instance, of
        increasing indices.
    """

    n_images: int
    batch_size: int
    seed: int
    read: Callable[[np.ndarray, int], Any]

    def __len__(self) -> int:
        return -(-self.n_images // self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch, from the `first` on.

        Among several processes, each has its share of every batch, None where there is none.
        """
        order = order_generator(self.seed, epoch).permutation(self.n_images)
        for start in range(first * self.batch_size, self.n_images, self.batch_size):
            indices = own_share(np.sort(order[start : start + self.batch_size]))
            yield self.read(indices, epoch) if len(indices) else None


@dataclass(frozen=True)
class SimulatedPairs:
    """Clean images with measurements simulated anew in every epoch.

    Parameters
    ----------
    images : ArraySource
        The clean images.
    A : ForwardMap
        The operator.
    noise : callable
        Adds the noise.
    seed : int
        The draws of image i depend on the seed, the epoch and i alone.
    augment : bool
        Mirror half of the clean images left to right, others in every epoch.
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
            which = torch.from_numpy(mirrored(self.seed, epoch, indices)).to(x.device)
            x = torch.where(which.reshape(-1, 1, 1, 1), x.flip(-1), x)
        return x, self.A.simulate(x, self.noise, training_generators(self.seed, epoch, indices))


@dataclass(frozen=True)
class WithStarts:
    """Pairs with a start for each measurement beside them.

    Parameters
    ----------
    read : callable
        Gives the pairs.
    starts : callable
        ``starts(y, indices)`` restores the starts of the measurements of some images.
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
    """Clean images with measurements that were taken of them.

    Parameters
    ----------
    images : ArraySource
        The clean images.
    measurements : ArraySource
        The measurement of each.
    """

    images: ArraySource
    measurements: ArraySource

    def __call__(self, indices: np.ndarray, epoch: int) -> Pair:
        """Return the clean images and the measurements, the same in every epoch."""
        return self.images.read(indices), self.measurements.read(indices)
