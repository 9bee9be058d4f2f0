"""Splits of a problem into training images and held-out images."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from skmetainv.inputs.problem import Problem
from skmetainv.randomness import held_out_generator


def cut_off(problem: Problem, fraction: float, seed: int) -> tuple[Problem, Problem]:
    """Split off a random share of images; return the training and the held-out images.

    Parameters
    ----------
    problem : Problem
        All images; none is read.
    fraction : float
        The share of images to hold out or, if there are groups, of groups. The number of images or
        groups to hold out is rounded up.
    seed : int
        Seed of the draw.

    Raises
    ------
    ValueError
        If nothing would be left to learn from.
    """
    n_images = len(problem)
    group_of = np.arange(n_images) if problem.groups is None else problem.groups
    groups, group_of = np.unique(group_of, return_inverse=True)
    n_held_out = ceil(fraction * len(groups))
    if n_held_out == len(groups):
        of = f"n_samples={n_images}" if problem.groups is None else f"{len(groups)} group(s)"
        raise ValueError(
            f"The 'validation_fraction' parameter of EarlyStopping is {fraction}: with {of}, it "
            "leaves no image to learn from."
        )
    order = held_out_generator(seed).permutation(len(groups))
    is_held_out = np.isin(group_of, order[:n_held_out])
    return problem.part(~is_held_out), problem.part(is_held_out)


def split_in_folds(
    n_images: int, groups: np.ndarray | None, most: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the indices of training and held-out images, fold by fold.

    Parameters
    ----------
    n_images : int
        Number of images.
    groups : ndarray of shape (n_images,) or None
        Group label of each image. Images of one group are never on both sides of a split.
    most : int
        Number of folds, limited to the number of images or groups. For a single image or group, the
        result is an empty list.
    seed : int
        Seed of the random order of the images. Unused if there are groups.
    """
    n_folds = min(most, n_images if groups is None else len(np.unique(groups)))
    if n_folds < 2:
        return []
    splitter: Any = GroupKFold(n_folds)
    if groups is None:
        splitter = KFold(n_folds, shuffle=True, random_state=seed % 2**32)
    return list(splitter.split(np.zeros(n_images), groups=groups))
