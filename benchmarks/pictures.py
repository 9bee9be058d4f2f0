"""A folder of images, split so that no person and no photograph is in two parts."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from skmetainv.datasets import ImageFolder


class Pictures(NamedTuple):
    """Image arrays of uint8 (training images may be lazy), and the persons of the test images."""

    training: ImageFolder | np.ndarray
    validation: np.ndarray
    test: np.ndarray
    groups: np.ndarray
    """For each test image, the person in it or the photograph that it is cut from."""
    training_groups: np.ndarray
    """The same for each training image."""
    validation_groups: np.ndarray
    """The same for each validation image."""


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
    random_state=0,
):
    """Split the images of a folder into three parts, by persons in random order.

    Files with the same name up to the last "_" show one person, and are in one part. A file without
    "_" in its name counts as a person of its own. If the folder contains ``train`` and ``val``, the
    test images are from ``val``, and no person in them is in another part.

    Parameters
    ----------
    path : path-like
        The folder.
    size : int
        Height and width of the images, in pixels.
    n_validation, n_test : int
        Number of images in these parts.
    n_training : int, default=None
        Maximum number of training images; None uses all remaining images.
    color : bool, default=False
        Whether the images are in colour.
    crops : int, default=0
        If not 0, resize files to four times `size`, and crop this many images from each.
    in_memory : bool, default=True
        If True, training images are read now; if False, when they are used.
    random_state : int, default=0
        Seed of the order.

    Raises
    ------
    ValueError
        If the folder has too few images, or if `crops` is given without `in_memory`.
    """
    if crops and not in_memory:
        raise ValueError("Crops are cut in memory: in_memory must be True with crops.")
    folders = [Path(path) / name for name in ("train", "val")]
    apart = all(folder.is_dir() for folder in folders)
    own, tested = [_Files(f, size, color, crops) for f in (folders if apart else [path, path])]
    test, others = _first(tested.people(random_state), n_test, crops)
    if apart:
        tested_on = {*tested.who[test]}
        others = [
            person for person in own.people(random_state) if own.who[person[0]] not in tested_on
        ]
    validation, others = _first(others, n_validation, crops)
    if not others:
        raise ValueError(f"{path} has no training images left.")
    n_files = None if n_training is None else -(-n_training // max(1, crops))
    training = np.sort(np.concatenate(others)[:n_files])
    return Pictures(
        own.read(training)[:n_training] if in_memory else own.folder[training],
        own.read(validation)[:n_validation],
        tested.read(test)[:n_test],
        np.repeat(tested.who[test], max(1, crops))[:n_test],
        np.repeat(own.who[training], max(1, crops))[:n_training],
        np.repeat(own.who[validation], max(1, crops))[:n_validation],
    )


def persons(folder):
    """Return the person in each image: the file name before the last "_", or else the path."""
    names = [file.stem.rpartition("_")[0] or str(file) for file in folder.files]
    return np.array(names)


class _Files:
    """The images of one folder."""

    def __init__(self, path, size, color, crops):
        self.size, self.crops = size, crops
        self.folder = ImageFolder(path, size=4 * size if crops else size, color=color)
        self.who = persons(self.folder)

    def people(self, random_state):
        """Return the images of each person, with the persons in random order."""
        names, index, counts = np.unique(self.who, return_inverse=True, return_counts=True)
        pictures = np.split(np.argsort(index, kind="stable"), np.cumsum(counts)[:-1])
        return [pictures[i] for i in np.random.default_rng(random_state).permutation(len(names))]

    def read(self, indices):
        images = np.asarray(self.folder[indices])
        return _cut(images, self.size, self.crops) if self.crops else images


def _first(people, n, crops):
    """Return the images of the first people who have at least `n` in all, and the other people."""
    ends = np.cumsum([len(own) for own in people]) * max(1, crops)
    k = int(np.searchsorted(ends, n)) + 1
    if k > len(people):
        n_images = ends[-1] if people else 0
        raise ValueError(f"{n_images} images of {len(people)} people are left, too few for {n}.")
    return np.sort(np.concatenate(people[:k])), people[k:]


def _cut(images, size, n):
    """Return `n` square crops of each image, at random places from a fixed seed."""
    places = np.random.default_rng(0).integers(0, images.shape[1] - size + 1, (len(images), n, 2))
    return np.stack(
        [
            image[top : top + size, left : left + size]
            for image, own in zip(images, places, strict=True)
            for top, left in own
        ]
    )
