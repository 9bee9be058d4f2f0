"""Batches of noisy patches, the training data of denoisers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from skmetainv.arrays import ArraySource
from skmetainv.noise import GaussianNoise
from skmetainv.randomness import training_generators


class NoisyBatch(NamedTuple):
    """A batch of clean patches, the noisy patches, and the noise level of each."""

    x: torch.Tensor
    """Clean patches, shape ``(batch, channels, height, width)``."""
    y: torch.Tensor
    """Noisy patches, of the same shape."""
    noise_level: torch.Tensor
    """Standard deviations of the noise, shape ``(batch, 1, 1, 1)``."""


@dataclass(frozen=True)
class NoisyPatches:
    """Random patches of images, rotated, mirrored and noisy, drawn anew in every epoch.

    Parameters
    ----------
    clean : sequence of ArraySource
        Clean images; the sources may have images of different sizes.
    noisy : sequence of ArraySource or None
        The same images with measured noise. The level of this noise is taken as the middle of
        `noise_level`. If None, noise is simulated.
    noise_level : (float, float)
        Range from which the level of simulated noise is drawn uniformly for every patch.
    size : int
        Height and width of a patch, limited to those of the largest image. Smaller images are
        extended by reflection.
    per_image : int or None
        Number of patches per image in an epoch. None is the area of the image divided by that of a
        patch, rounded up.
    augment : bool
        Mirror and rotate patches at random. Square patches are rotated by multiples of 90 degrees,
        others by multiples of 180 degrees.
    seed : int
        The draws of patch i depend only on the seed, the epoch and i.
    """

    clean: Sequence[ArraySource]
    noisy: Sequence[ArraySource] | None
    noise_level: tuple[float, float]
    size: int
    per_image: int | None
    augment: bool
    seed: int

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __call__(self, indices: np.ndarray, epoch: int) -> NoisyBatch:
        """Return some of the patches of `epoch`."""
        generators = training_generators(self.seed, epoch, indices)
        drawn = [self._draw(int(i), g) for i, g in zip(indices, generators, strict=True)]
        x = torch.stack([patch for patch, _ in drawn])
        if self.noisy is not None:
            levels = x.new_full((len(x), 1, 1, 1), sum(self.noise_level) / 2)
            return NoisyBatch(x, torch.stack([patch for _, patch in drawn]), levels)
        levels = x.new_tensor([g.uniform(*self.noise_level) for g in generators])
        levels = levels.reshape(-1, 1, 1, 1)
        e = GaussianNoise(1.0).build()(torch.zeros_like(x), generators)
        return NoisyBatch(x, x + levels * e, levels)

    @cached_property
    def _sides(self) -> tuple[int, int]:
        heights, widths = zip(*(s.layout.tensor_shape[1:] for s in self.clean), strict=True)
        return min(self.size, max(heights)), min(self.size, max(widths))

    @cached_property
    def _per_image(self) -> list[int]:
        if self.per_image is not None:
            return [self.per_image] * len(self.clean)
        area = self._sides[0] * self._sides[1]
        sizes = [source.layout.tensor_shape for source in self.clean]
        return [-(-height * width // area) for _, height, width in sizes]

    @cached_property
    def _ends(self) -> np.ndarray:
        """The cumulative number of patches of the sources."""
        counts = zip(self.clean, self._per_image, strict=True)
        return np.cumsum([len(source) * per_image for source, per_image in counts])

    def _draw(
        self, index: int, generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a random patch of a clean image, and the same patch of the noisy image, if any."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        image = (index - (self._ends[place - 1] if place else 0)) // self._per_image[place]
        window = []
        for n, side in zip(self.clean[place].layout.tensor_shape[1:], self._sides, strict=True):
            first = int(generator.integers(max(0, n - side) + 1))
            window.append(slice(first, first + side))
        turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
        sources = [images[place] for images in (self.clean, self.noisy) if images is not None]
        patches = [self._filled_up(source.patch(image, *window)) for source in sources]
        if self.augment:
            patches = [self._turned(patch, turns, mirrored) for patch in patches]
        return patches[0], patches[-1]

    def _filled_up(self, patch: torch.Tensor) -> torch.Tensor:
        """Return a patch extended to full size by reflection."""
        for axis, side in zip((1, 2), self._sides, strict=True):
            n = patch.shape[axis]
            if n < side:
                place = torch.arange(side, device=patch.device) % (2 * n)
                patch = patch.index_select(axis, torch.minimum(place, 2 * n - 1 - place))
        return patch

    def _turned(self, patch: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
        if self._sides[0] != self._sides[1]:
            turns = 2 * (turns // 2)
        patch = torch.rot90(patch, turns, (1, 2))
        return patch.flip(2) if mirrored else patch
