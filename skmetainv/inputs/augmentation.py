"""The choice of an augmentation that keeps training images alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

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
    with a left and a right (digits) are not mirrored. A change is kept unless the principal
    components of the other images represent changed images with more than twice the squared error
    of unchanged ones.

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
    errors = np.zeros(3)
    generator = np.random.default_rng(0)  # the same choice for every seed of training
    for others, left_out in folds:
        error_of = _components(images[others])
        x = images[left_out]
        shifted_x = torch.stack([shifted(image, generator) for image in x])
        errors += [error_of(changed) for changed in (x, mirrored(x), shifted_x)]
    unchanged, after_mirroring, after_shifts = errors
    return Augmentation(
        mirrors=bool(after_mirroring <= _LARGEST_RATIO * unchanged),
        shifts=bool(after_shifts <= _LARGEST_RATIO * unchanged),
    )


def _reduced(x: torch.Tensor) -> torch.Tensor:
    """Return images averaged, over the known pixels, to at most `_SIDE` pixels per side."""
    height, width = x.shape[-2:]
    size = (min(height, _SIDE), min(width, _SIDE))
    known = x.isfinite().double().cpu()
    values = x.nan_to_num(0.0).double().cpu()
    average = torch.nn.functional.adaptive_avg_pool2d
    return average(values, size) / average(known, size)  # NaN without a known pixel


def _filled(images: torch.Tensor) -> torch.Tensor:
    """Return images with the mean of the known values in place of NaN."""
    return torch.where(images.isfinite(), images, images.nanmean(0).nan_to_num(0.0))


def _components(images: torch.Tensor) -> Callable[[torch.Tensor], float]:
    """Return the squared error of images in half of the principal components of other images."""
    flat = images.flatten(1)
    mean = flat.mean(0)
    basis = torch.linalg.svd(flat - mean, full_matrices=False).Vh[: len(flat) // 2]

    def error_of(x: torch.Tensor) -> float:
        r = x.flatten(1) - mean
        return float((r - r @ basis.mT @ basis).square().sum())

    return error_of
