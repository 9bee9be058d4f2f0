"""What users bring, as arrays whose images are not read before they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
import torch

_OF_DICTIONARIES = (
    "Expected the entries of {name} to be images, got dictionaries with the keys {keys} instead: "
    "pass [np.asarray(entry[key]) for entry in {name}] with the key of the images."
)

# What torch's and other people's data sets have in common.
_SEQUENCE = ("__len__", "__getitem__")


def as_array(X: Any, name: str = "X") -> Any:
    """Return what a user brought as something with `shape`, `dtype` and indexing.

    Parameters
    ----------
    X : array-like
        Arrays and tensors; data sets of torch, and whatever else has a length and gives images by
        their number; what is an array already, or what NumPy makes one of (lists, data frames), is
        returned as it is.
    name : str, default="X"
        What error messages call it.

    Returns
    -------
    array : object
        A tensor becomes an array on the CPU, a data set a `Sequence`.

    Raises
    ------
    ValueError
        If it is a path, a loader of batches, an iterator, or a table of named columns.
    """
    if isinstance(X, str | PathLike):
        raise ValueError(
            f"Expected {name} to be an array of images, got {X!r} instead: "
            "skmetainv.datasets.ImageFolder reads a folder."
        )
    if isinstance(X, torch.Tensor):
        return _from_tensor(X)
    if isinstance(X, torch.utils.data.DataLoader):
        raise ValueError(
            f"Expected {name} to be images in an order, got a DataLoader instead: batches are "
            "drawn here, anew in every epoch. Pass its data set, loader.dataset."
        )
    if isinstance(X, Iterator):
        raise ValueError(
            f"Expected {name} to be images that can be read more than once, got an iterator, "
            f"{type(X).__name__}, instead: pass list(images), or an object with a length that "
            "gives an image by its number."
        )
    # What has a shape is no mapping of arrays: SciPy's dok_array was a dict up to 1.13.
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        raise ValueError(
            f"Expected {name} to be an array of images, got a {type(X).__name__} of named ones "
            f"instead: pass one of {[*X]}, as in {name}[name]."
        )
    if X is None or isinstance(X, set | frozenset):
        raise ValueError(
            f"Expected {name} to be an array of images, got {type(X).__name__} instead."
        )
    if isinstance(X, list | tuple) and not _is_of_tuples(X):
        return _stacked(X, name)
    if not _is_of_tuples(X):
        return Sequence(X, name) if _is_sequence(X) else X
    images, clean = pairs_of(X, None, name)
    if clean is not None:
        raise ValueError(
            f"Expected {name} to be images, got pairs of measurements and clean images instead, "
            f"which fit and score take: pass [pair[0] for pair in {name}], or [pair[1] ...]."
        )
    return images


def _stacked(images: Any, name: str) -> Any:
    """Return a list of tensors, or of arrays, of one shape as one array; others as a list."""
    if len(images) == 0:
        raise ValueError(f"Found array with 0 sample(s) in {name}.")
    if isinstance(images[0], Mapping):
        raise ValueError(_OF_DICTIONARIES.format(name=name, keys=[*images[0]]))
    arrays = [_from_tensor(x) if isinstance(x, torch.Tensor) else x for x in images]
    shapes = {np.shape(x) if isinstance(x, np.ndarray) else None for x in arrays}
    if len(shapes) == 1 and None not in shapes:
        masked = any(isinstance(x, np.ma.MaskedArray) for x in arrays)
        return np.ma.stack(arrays) if masked else np.stack(arrays)
    return arrays


def _is_of_tuples(X: Any) -> bool:
    """Whether the entries of a list or of a data set are tuples that begin with an image."""
    listed = isinstance(X, list | tuple) and len(X) > 0
    first = X[0] if listed else Sequence(X, "X").first if _is_sequence(X) else None
    return (
        isinstance(first, tuple)
        and len(first) > 0
        and not isinstance(first[0], list | tuple | Real | str)
    )


def _is_sequence(X: Any) -> bool:
    """Whether `X` gives images by their number, and NumPy would not know how to ask for them."""
    if isinstance(X, torch.utils.data.Dataset):
        return True
    is_array = any(hasattr(X, name) for name in ("__array__", "__array_interface__", "dtype"))
    known = is_array or isinstance(X, list | tuple | set | Mapping)
    return not known and all(hasattr(X, method) for method in _SEQUENCE)


def _from_tensor(X: torch.Tensor) -> np.ndarray:
    X = X.detach().cpu().resolve_conj().resolve_neg()
    return (X.float() if X.dtype == torch.bfloat16 else X).numpy()


def pairs_of(X: Any, y: Any, name: str = "X") -> tuple[Any, Any]:
    """Return measurements and clean images of what may hold both.

    Parameters
    ----------
    X : array-like
        Also a data set, or a list, of pairs: (measurement, clean image), which are parted; or
        (image, label) and (image,), of which the images stay. A label is a number, or a vector
        beside an image of two axes or more.
    y : array-like or None
        The clean images; None where `X` holds all.
    name : str, default="X"
        What error messages call `X`.

    Returns
    -------
    X, y : array-like
        As they were given, where `X` holds no tuples.

    Raises
    ------
    ValueError
        If tuples are neither, or are pairs beside a `y`.
    """
    if not _is_of_tuples(X):
        return X, y
    first = X[0]
    kinds = [np.ndim(_item(part)) for part in first]
    is_label = len(first) == 1 or kinds[1] == 0 or (kinds[0] > 1 and kinds[1] == 1)
    if len(first) > 2 or kinds[0] < 1 or not (is_label or y is None):
        raise ValueError(
            f"Expected the entries of {name} to be images, or pairs (measurement, clean image). "
            f"Got tuples of {len(first)} entries, with shapes {[np.shape(_item(p)) for p in first]}"
            f"{' beside a y' if y is not None else ''}, instead."
        )
    images = Sequence(X, name, part=0)
    return images, y if is_label else Sequence(X, name, part=1)


class Sequence:
    """Images that are given one by one, by their number, as an array.

    Parameters
    ----------
    items : object with a length
        ``items[i]`` is image i: an array, a tensor or a picture; or a tuple, of which `part` is.
    name : str
        What error messages call it.
    part : int, default=None
        Which entry of each tuple; None where items are images.

    Attributes
    ----------
    first : object
        The first item, as it is.
    """

    def __init__(self, items: Any, name: str, part: int | None = None):
        self.items, self.name, self.part = items, name, part
        try:
            n = len(items)
        except (TypeError, NotImplementedError) as error:
            raise ValueError(
                f"Expected {name} to have a length, which {type(items).__name__} has not: pass "
                "list(images), or a data set that gives an image by its number."
            ) from error
        if not n:
            raise ValueError(f"Found array with 0 sample(s) in {name}.")
        self.first = items[0]
        image = np.asarray(None) if self._is_of_pairs() else self._image(0)
        self.shape, self.dtype = (n, *image.shape), image.dtype

    def _is_of_pairs(self) -> bool:
        """Whether items are tuples of which no part is chosen yet."""
        return self.part is None and isinstance(self.first, tuple)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        if isinstance(indices, tuple) and indices[1:] == (Ellipsis,):  # as scikit-learn asks
            indices = indices[0]
        places = np.atleast_1d(np.arange(len(self))[indices])
        images = [self._checked(int(i)) for i in places]
        return np.ma.stack(images) if any(map(has_mask, images)) else np.stack(images)

    def _checked(self, i: int) -> np.ndarray:
        image = self._image(i)
        if image.shape != self.shape[1:]:
            raise ValueError(
                f"Image {i} of {self.name} has shape {image.shape}, and the first has "
                f"{self.shape[1:]}: images of one array must have one shape. Learned denoisers "
                "take a list of others, list(images)."
            )
        return image

    def _image(self, i: int) -> np.ndarray:
        item = self.items[i]
        if isinstance(item, dict):
            raise ValueError(_OF_DICTIONARIES.format(name=self.name, keys=[*item]))
        return _item(item if self.part is None else item[self.part])


def _item(item: Any) -> np.ndarray:
    return _from_tensor(item) if isinstance(item, torch.Tensor) else np.asanyarray(item)


class Single:
    """One image as an array of one.

    Parameters
    ----------
    image : array-like
        Anything with `shape` and `dtype` that NumPy makes an array of.
    """

    def __init__(self, image: Any):
        self.image, self.shape, self.dtype = image, (1, *image.shape), image.dtype

    def __len__(self) -> int:
        return 1

    def __getitem__(self, indices: Any) -> np.ndarray:
        rows = taken(self.image, np.arange(len(self.image)))
        image: np.ndarray = np.asanyarray(rows)[np.newaxis][indices]
        return image


def has_mask(X: Any) -> bool:
    """Whether `X` is a masked array of NumPy of which entries are masked."""
    return isinstance(X, np.ma.MaskedArray) and bool(np.ma.getmaskarray(X).any())


class MaskedView:
    """A masked array with NaN where it is masked; its numbers stay in their units.

    Parameters
    ----------
    array : numpy.ma.MaskedArray
        Of numbers; its type says what integers mean.
    """

    def __init__(self, array: np.ma.MaskedArray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        filled: np.ndarray = self.array[indices].astype(np.float64).filled(np.nan)
        return filled


class RealView:
    """An array of complex measurements as one of their real and imaginary parts, a last axis.

    Parameters
    ----------
    array : array-like of complex numbers, shape (n, ...)
        Anything with `shape`, `dtype` and indexing by an array of integers.
    """

    def __init__(self, array: Any):
        self.array = array
        self.shape = (*array.shape, 2)
        self.dtype = np.empty(0, dtype=array.dtype).real.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        values = np.ascontiguousarray(taken(self.array, indices))
        return values.view(self.dtype).reshape(-1, *self.shape[1:])


class Subset:
    """Some of the images of an array, none of which is read before it is asked for.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Anything with `shape`, `dtype` and indexing by an array of integers.
    indices : ndarray of int
        Which images, in increasing order.
    """

    def __init__(self, array: Any, indices: np.ndarray):
        self.array, self.indices = array, indices
        self.shape = (len(indices), *array.shape[1:])
        self.dtype = array.dtype

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, places: Any) -> Any:
        return taken(self.array, self.indices[places])


def taken(array: Any, indices: Any) -> Any:
    """Return some of the images of an array, in one piece where they lie beside each other.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Anything with indexing by an array of increasing integers, which `zarr` has by the name of
        `oindex`.
    indices : slice, or ndarray of int
        Which images, in increasing order.

    Returns
    -------
    images : array-like of shape (len(indices), ...)
        What the array gives.
    """
    if isinstance(indices, slice):
        return array[indices]
    indices = np.asarray(indices)
    beside = len(indices) > 0 and indices[-1] - indices[0] == len(indices) - 1
    if beside and hasattr(array, "chunks"):  # h5py, zarr and dask read a slice faster
        return array[slice(int(indices[0]), int(indices[-1]) + 1)]
    return array.oindex[indices] if hasattr(array, "oindex") else array[indices]
