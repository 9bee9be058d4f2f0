"""A folder of faces, split by person: nobody is in two parts."""

from typing import NamedTuple

import numpy as np

from skmetainv.datasets import ImageFolder


class Faces(NamedTuple):
    """Pictures as arrays of bytes, or of [0, 1]."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def persons(folder):
    """Return who is in each picture: its file's name before the last underscore."""
    return np.array([file.stem.rsplit("_", 1)[0] for file in folder.files])


def faces_by_person(path, size, n_validation, n_test, seed=0):
    """Return pictures of a folder, at least so many of people to validate and to test with."""
    folder = ImageFolder(path, size=size)
    who = persons(folder)
    order = np.random.default_rng(seed).permutation(np.unique(who))
    pictures = [np.flatnonzero(who == name) for name in order]
    ends = np.cumsum([len(own) for own in pictures])
    first = np.searchsorted(ends, n_test) + 1
    second = np.searchsorted(ends, ends[first - 1] + n_validation) + 1
    parts = [pictures[second:], pictures[first:second], pictures[:first]]
    training, validation, test = (
        np.asarray(folder[np.sort(np.concatenate(part))]) for part in parts
    )
    return Faces(training, validation[:n_validation], test[:n_test])
