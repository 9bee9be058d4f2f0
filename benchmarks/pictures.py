"""A folder of pictures, split so that nobody, and no photograph, is in two parts."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from skmetainv.datasets import ImageFolder


class Pictures(NamedTuple):
    """Arrays of bytes (training pictures perhaps lazily read), and whom the test pictures show."""

    training: ImageFolder | np.ndarray
    validation: np.ndarray
    test: np.ndarray
    groups: np.ndarray
    """Of each test picture, the person, or the photograph that it is cut of."""


def split_pictures(
    path,
    size,
    *,
    n_validation,
    n_test,
    n_training=None,
    color=False,
    crops=0,
    in_memory=True,
):
    """Return the pictures of a folder in three parts.

    Pictures whose files have the same name up to the last "_" are of one person and stay together.
    Where the folder has the folders ``train`` and ``val``, test pictures come from ``val`` alone.
    With `crops`, pictures are brought to four times `size`, and so many squares are cut of each.
    """
    if crops and not in_memory:
        raise ValueError("Crops are cut in memory: in_memory must be True with crops.")
    folders = [Path(path) / name for name in ("train", "val")]
    apart = all(folder.is_dir() for folder in folders)
    own, tested = [_Files(f, size, color, crops) for f in (folders if apart else [path, path])]
    test, others = _first(tested.people(), n_test, crops)
    validation, others = _first(own.people() if apart else others, n_validation, crops)
    training = np.sort(np.concatenate(others))[:n_training]
    return Pictures(
        own.read(training) if in_memory else own.folder[training],
        own.read(validation)[:n_validation],
        tested.read(test)[:n_test],
        np.repeat(tested.who[test], max(1, crops))[:n_test],
    )


def persons(folder):
    """Return who is in each picture: its file's name before the last underscore."""
    return np.array([file.stem.rsplit("_", 1)[0] for file in folder.files])


class _Files:
    """The pictures of one folder."""

    def __init__(self, path, size, color, crops):
        self.size, self.crops = size, crops
        self.folder = ImageFolder(path, size=4 * size if crops else size, color=color)
        self.who = persons(self.folder)

    def people(self):
        """Return the pictures of each person, the people in an order that is drawn once."""
        names, index, counts = np.unique(self.who, return_inverse=True, return_counts=True)
        pictures = np.split(np.argsort(index, kind="stable"), np.cumsum(counts)[:-1])
        return [pictures[i] for i in np.random.default_rng(0).permutation(len(names))]

    def read(self, indices):
        images = np.asarray(self.folder[indices])
        return _cut(images, self.size, self.crops) if self.crops else images


def _first(people, n, crops):
    """Return the pictures of as many people as have `n` images, and what is left of the people."""
    ends = np.cumsum([len(own) for own in people]) * max(1, crops)
    k = int(np.searchsorted(ends, n)) + 1
    if k >= len(people):
        raise ValueError(f"The folder has {ends[-1]} images, too few to take {n} and go on.")
    return np.sort(np.concatenate(people[:k])), people[k:]


def _cut(images, size, n):
    """Return `n` squares of each image, at places drawn from a fixed seed."""
    places = np.random.default_rng(0).integers(0, images.shape[1] - size + 1, (len(images), n, 2))
    return np.stack(
        [
            image[top : top + size, left : left + size]
            for image, own in zip(images, places, strict=True)
            for top, left in own
        ]
    )
