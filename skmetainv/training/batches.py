"""Batches of measurements and their clean images, read from any array-like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from skmetainv.arrays import ArraySource
from skmetainv.noise import NoiseFunction
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.randomness import augmentation_generator, order_generator, training_generators
from skmetainv.training.augmentation import Augmentation
from skmetainv.training.processes import share_of_this_process


class Batch(NamedTuple):
    """Clean images and their measurements."""

    x: torch.Tensor
    """The clean images."""
    y: torch.Tensor
    """Their measurements."""
    A: ForwardMap
    """The map that measured them."""
    start: torch.Tensor | None = None
    """The starts that an estimator restored from the measurements, see `ForwardMap.bind`."""

    @property
    def data(self) -> DataTerm:
        """The data fidelity of the measurements."""
        return self.A.bind(self.y, self.start)

    def chunks(self, n: int) -> Iterator[Batch]:
        """Yield batches of `n` images; the last may have fewer."""
        for first in range(0, len(self.x), n):
            last = first + n
            yield Batch(
                self.x[first:last],
                self.y[first:last],
                self.A.part(first, last),
                None if self.start is None else self.start[first:last],
            )


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

    def __call__(self, indices: np.ndarray, epoch: int | None) -> Batch:
        """Return the clean images and the measurements of `epoch`."""
        x = self.images.read(indices)
        if self.augmentation is not None and epoch is not None:
            generators = [augmentation_generator(self.seed, epoch, int(i)) for i in indices]
            drawn = zip(x, generators, strict=True)
            x = torch.stack([self.augmentation(x_i, g, len(self.images)) for x_i, g in drawn])
        generators = training_generators(self.seed, epoch or 0, indices)
        A = self.A.instruments(generators)
        return Batch(x, A.simulate(x, self.noise, generators), A)


@dataclass(frozen=True)
class WithStarts:
    """Pairs with a start for each measurement.

    Parameters
    ----------
    read : callable
        Returns the pairs.
    starts : callable
        ``starts(batch, indices)`` restores the starts of a batch.
    """

    read: Callable[[np.ndarray, int | None], Batch]
    starts: Callable[[Batch, np.ndarray], torch.Tensor]

    def __call__(self, indices: np.ndarray, epoch: int | None) -> Batch:
        """Return the clean images, the measurements and their starts."""
        batch = self.read(indices, epoch)
        return batch._replace(start=self.starts(batch, indices))


@dataclass(frozen=True)
class MeasuredPairs:
    """Clean images with real measurements of them.

    Parameters
    ----------
    images : ArraySource
        The clean images.
    measurements : ArraySource
        The measurement of each image.
    A : ForwardMap
        The map of the measurements.
    """

    images: ArraySource
    measurements: ArraySource
    A: ForwardMap

    def __call__(self, indices: np.ndarray, epoch: int | None) -> Batch:
        """Return the clean images and the measurements, the same in every epoch."""
        return Batch(self.images.read(indices), self.measurements.read(indices), self.A)
