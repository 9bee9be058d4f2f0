"""The choice of an augmentation that keeps training images alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.decomposition import PCA

from skmetainv.inputs.problem import Problem
from skmetainv.inputs.splits import split_in_folds
from skmetainv.training import Augmentation
from skmetainv.training.augmentation import mirrored, shifted

# The choice looks at up to this number of images, averaged to up to this height and width.
_N_IMAGES, _SIDE = 100, 64
# With fewer images, all changes are kept.
_LEAST_IMAGES = 10
_N_FOLDS = 5
# A change is left out if the principal components of other images leave this many times the squared
# error of unchanged images. Measured: for shifts 1.2 (faces), 1.0 (patches of photographs) and 26
# (simulated heads, all in the middle); for mirrored images 1.4, 1.0 and 2.7, for digits 2.1.
_LARGEST_RATIO = 2.0


def suitable_augmentation(problem: Problem, batch_size: int) -> Augmentation:
    """Return the changes after which the images of a problem still look like its images.

    Images that were registered (all heads upright and in the middle) are not shifted, and images
    with a left and a right (digits) are not mirrored. A change is judged by the principal
    components of the other images: how much larger is the squared error with which they represent
    changed images?

    Parameters
    ----------
    problem : Problem
        The training images, and their groups.
    batch_size : int
        Number of images to read at a time.
    """
    n_images = len(problem)
    if n_images < _LEAST_IMAGES:
        return Augmentation(mirrors=True, shifts=True)
    chosen = np.unique(np.linspace(0, n_images - 1, _N_IMAGES).astype(int))
    parts = np.array_split(chosen, np.arange(batch_size, len(chosen), batch_size))
    images = _filled(torch.cat([_reduced(problem.clean.read(part)) for part in parts]))

    groups = None if problem.groups is None else problem.groups[chosen]
    folds = split_in_folds(len(chosen), groups, _N_FOLDS, seed=0)
    generator = np.random.default_rng(0)  # the same choice for every seed of training

    def each_shifted(images: torch.Tensor) -> torch.Tensor:
        return torch.stack([shifted(image, generator) for image in images])

    unchanged = _left_over(images, folds, lambda images: images)
    return Augmentation(
        mirrors=_left_over(images, folds, mirrored) <= _LARGEST_RATIO * unchanged,
        shifts=_left_over(images, folds, each_shifted) <= _LARGEST_RATIO * unchanged,
    )


def _reduced(x: torch.Tensor) -> torch.Tensor:
    """Return images averaged to at most `_SIDE` pixels per side."""
    height, width = (min(n, _SIDE) for n in x.shape[-2:])
    return torch.nn.functional.adaptive_avg_pool2d(x, (height, width)).cpu().double()


def _filled(images: torch.Tensor) -> torch.Tensor:
    """Return images with the mean of the known values in place of NaN."""
    known = images.isfinite()
    mean = torch.where(known, images, 0.0).sum(0) / known.sum(0).clamp(min=1)
    return torch.where(known, images, mean)


def _left_over(
    images: torch.Tensor,
    folds: list[tuple[np.ndarray, np.ndarray]],
    change: Callable[[torch.Tensor], torch.Tensor],
) -> float:
    """Return the squared error of changed images in the principal components of the other folds."""
    error = 0.0
    for others, left_out in folds:
        basis = PCA(n_components=min(len(others) // 2, images[0].numel())).fit(
            images[others].flatten(1).numpy()
        )
        flat = change(images[left_out]).flatten(1).numpy()
        error += float(((flat - basis.inverse_transform(basis.transform(flat))) ** 2).sum())
    return error
