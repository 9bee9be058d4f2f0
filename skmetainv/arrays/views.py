"""Views of users' data as arrays that read images only on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
import torch

from skmetainv.exceptions import concerning

_GOT_DICTIONARIES = (
    "Expected the entries of {name} to be images, got dictionaries with the keys {keys} instead: "
    "pass [np.asarray(entry[key]) for entry in {name}] with the key of the images."
)


def as_array(X: Any, name: str = "X") -> Any:
    """Convert a user's data to an object with `shape`, `dtype` and indexing.

    Parameters
    ----------
    X : array-like
        An array, a tensor, a torch dataset, or any object with a length that returns one image per
        index.
    name : str, default="X"
        Name of `X` in error messages.

    Returns
    -------
    array : object
        A tensor becomes an array on the CPU, a data set a `Sequence`. A list of tensors or arrays
        of one shape is stacked; in other lists, tensors become arrays. Arrays and other objects
        that NumPy converts (data frames) are returned unchanged.

    Raises
    ------
    ValueError
        If `X` is None, a path, a data loader, an iterator, a mapping, a set, or a tensor that is
        not dense; if it is empty; or if its entries are dictionaries, or pairs of measurements and
        clean images.
    """
    if isinstance(X, str | PathLike):
        raise ValueError(
            f"Expected {name} to be an array of images, got {X!r} instead: "
            "skmetainv.datasets.ImageFolder reads a folder."
        )
    if isinstance(X, torch.Tensor):
        with concerning(name):
            return _from_tensor(X)
    if isinstance(X, torch.utils.data.DataLoader):
        raise ValueError(
            f"Expected {name} to be an array or a data set, got a DataLoader instead: estimators "
            "draw the batches themselves, anew in every epoch. Pass its data set, loader.dataset."
        )
    if isinstance(X, Iterator):
        raise ValueError(
            f"Expected {name} to be images that can be read more than once, got an iterator, "
            f"{type(X).__name__}, instead: pass list(images), or an object with a length that "
            "returns one image per index."
        )
    # A mapping with a shape is an array: SciPy's dok_array was a dict up to 1.13.
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        raise ValueError(
            f"Expected {name} to be an array of images, got a {type(X).__name__} of named arrays "
            f"instead: pass one of them, {name}[key] with a key of {[*X]}."
        )
    if X is None or isinstance(X, set | frozenset):
        raise ValueError(
            f"Expected {name} to be an array of images, got {type(X).__name__} instead."
        )
    images, clean = pairs_of(X, None, name)
    if clean is not None:
        raise ValueError(
            f"Expected {name} to be images, got pairs of measurements and clean images instead, "
            f"which only fit and score take: pass [pair[0] for pair in {name}], or [pair[1] ...]."
        )
    if isinstance(images, list | tuple):
        return _stacked(images, name)
    return Sequence(images, name) if _is_sequence(images) else images


def _stacked(images: Any, name: str) -> Any:
    """Stack a list of tensors or arrays of one shape; return other lists as lists of arrays."""
    _checked_length(images, name)
    if isinstance(images[0], Mapping):
        raise ValueError(_GOT_DICTIONARIES.format(name=name, keys=[*images[0]]))
    arrays = [_from_tensor(x) if isinstance(x, torch.Tensor) else x for x in images]
    shapes = {np.shape(x) if isinstance(x, np.ndarray) else None for x in arrays}
    if len(shapes) == 1 and None not in shapes:
        masked = any(isinstance(x, np.ma.MaskedArray) for x in arrays)
        return np.ma.stack(arrays) if masked else np.stack(arrays)
    return arrays


def _is_of_tuples(X: Any, name: str) -> bool:
    """Whether the entries of a list or of a data set are tuples that hold an image."""
    if not isinstance(X, list | tuple):
        return _is_sequence(X) and _checked_length(X, name) > 0 and isinstance(X[0], tuple)
    first = X[0] if len(X) else None
    if not isinstance(first, tuple) or not first:
        return False
    return not isinstance(first[0], list | tuple | Real | str)  # those are rows of nested lists


def _is_sequence(X: Any) -> bool:
    """Whether `X` returns images by index and NumPy cannot convert it."""
    if isinstance(X, torch.utils.data.Dataset):
        return True
    is_array = any(hasattr(X, name) for name in ("__array__", "__array_interface__", "dtype"))
    if is_array or isinstance(X, list | tuple | Mapping):
        return False
    return hasattr(X, "__len__") and hasattr(X, "__getitem__")


def _checked_length(items: Any, name: str) -> int:
    """Return the number of items; raise if it is unknown or 0."""
    try:
        n = len(items)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            f"Expected {name} to have a length, which {type(items).__name__} has not: pass "
            "list(images), or a data set that returns one image per index."
        ) from error
    if not n:
        raise ValueError(f"Found array with 0 sample(s) in {name}.")
    return n


def check_dense(X: torch.Tensor) -> None:
    """Raise a ValueError if a tensor is nested, sparse, quantized, or on torch's "meta" device."""
    kinds = {
        "nested": X.is_nested,
        str(X.layout): X.layout != torch.strided,
        "quantized": X.is_quantized,
        "meta": X.is_meta,
    }
    for kind, is_of_kind in kinds.items():
        if is_of_kind:
            raise ValueError(f"Images must be dense tensors with values, got a {kind} tensor.")


def _from_tensor(X: torch.Tensor) -> np.ndarray:
    check_dense(X)
    X = X.detach().cpu().resolve_conj().resolve_neg()
    # NumPy has no floats of 8 bits, and no bfloat16.
    lacks = X.is_floating_point() and (X.element_size() == 1 or X.dtype == torch.bfloat16)
    return (X.float() if lacks else X).numpy()


def pairs_of(X: Any, y: Any, name: str = "X") -> tuple[Any, Any]:
    """Separate measurements and clean images if `X` holds pairs.

    Parameters
    ----------
    X : array-like
        May be a data set or a list of tuples. Pairs (measurement, clean image) are separated. For
        (image, label) and (image,), only the images are kept. A label is a number, or a vector if
        the image has two axes or more.
    y : array-like or None
        The clean images; None if `X` holds them.
    name : str, default="X"
        Name of `X` in error messages.

    Returns
    -------
    X, y : array-like
        Unchanged if `X` holds no tuples.

    Raises
    ------
    ValueError
        If the tuples have another form, or if `X` holds pairs and `y` is given.
    """
    if not _is_of_tuples(X, name):
        return X, y
    first = X[0]
    n_axes = [np.ndim(_item(part)) for part in first]
    is_label = n_axes[1:] in ([], [0]) or (n_axes[0] > 1 and n_axes[1] == 1)
    if len(first) not in (1, 2) or n_axes[0] < 1 or not (is_label or y is None):
        raise ValueError(
            f"Expected the entries of {name} to be images, or pairs (measurement, clean image). "
            f"Got tuples of {len(first)} entries, with shapes {[np.shape(_item(p)) for p in first]}"
            f"{' and a y' if y is not None else ''}, instead."
        )
    images = Sequence(X, name, part=0)
    return images, y if is_label else Sequence(X, name, part=1)


class _View:
    """Images that are read on request, with a shape whose first entry is their number."""

    shape: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.shape[0])


class Sequence(_View):
    """An array view of an object that returns one image per index.

    Parameters
    ----------
    items : object with a length
        ``items[i]`` is image i (an array, a tensor or a Pillow image), or a tuple that contains it.
    name : str
        Name of the sequence in error messages.
    part : int, default=None
        Index of the image in each tuple; None if items are images.
    """

    def __init__(self, items: Any, name: str, part: int | None = None):
        self.items, self.name, self.part = items, name, part
        image = self._image(0)
        self.shape, self.dtype = (len(items), *image.shape), image.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        if isinstance(indices, tuple) and indices[1:] == (Ellipsis,):  # as scikit-learn indexes
            indices = indices[0]
        places = np.atleast_1d(np.arange(len(self))[indices])
        images = [self._checked(int(i)) for i in places]
        return np.ma.stack(images) if any(map(has_mask, images)) else np.stack(images)

    def _checked(self, i: int) -> np.ndarray:
        image = self._image(i)
        if image.shape != self.shape[1:]:
            raise ValueError(
                f"All images of {self.name} must have the shape of the first, {self.shape[1:]}. "
                f"Image {i} has shape {image.shape} instead. Only learned denoisers take images "
                "of different sizes, as list(images)."
            )
        return image

    def _image(self, i: int) -> np.ndarray:
        item = self.items[i]
        if isinstance(item, dict):
            raise ValueError(_GOT_DICTIONARIES.format(name=self.name, keys=[*item]))
        return _item(item if self.part is None else item[self.part])


def _item(item: Any) -> np.ndarray:
    return _from_tensor(item) if isinstance(item, torch.Tensor) else np.asanyarray(item)


class Single(_View):
    """One image as an array with a first axis of length 1.

    Parameters
    ----------
    image : array-like
        Any object with `shape` and `dtype` that NumPy converts.
    """

    def __init__(self, image: Any):
        self.image, self.shape, self.dtype = image, (1, *image.shape), image.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        rows = taken(self.image, np.arange(len(self.image)))
        image: np.ndarray = np.asanyarray(rows)[np.newaxis][indices]
        return image


def differ_in_size(X: Any) -> bool:
    """Return whether `X` is a list of images of different shapes."""
    if not isinstance(X, list | tuple) or not all(len(getattr(x, "shape", ())) > 1 for x in X):
        return False
    return len({tuple(x.shape) for x in X}) > 1


def has_mask(X: Any) -> bool:
    """Whether `X` is a NumPy masked array with masked entries."""
    return isinstance(X, np.ma.MaskedArray) and bool(np.ma.getmaskarray(X).any())


class MaskedView(_View):
    """A view of a masked array with NaN for masked entries, in the same units.

    Parameters
    ----------
    array : numpy.ma.MaskedArray
        A numeric array. The view returns floats (of integers, in double precision), but its `dtype`
        is that of the array, which still determines the unit of integers.
    """

    def __init__(self, array: np.ma.MaskedArray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        floats = self.dtype if self.dtype.kind == "f" else np.float64
        filled: np.ndarray = self.array[indices].astype(floats).filled(np.nan)
        return filled


class RealView(_View):
    """A real view of complex measurements: the last axis holds real and imaginary parts.

    Parameters
    ----------
    array : array-like of complex numbers, shape (n, ...)
        Any object with `shape`, `dtype` and indexing by an array of integers.
    """

    def __init__(self, array: Any):
        self.array = array
        self.shape = (*array.shape, 2)
        self.dtype = np.empty(0, dtype=array.dtype).real.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        values = np.ascontiguousarray(taken(self.array, indices))
        return values.view(self.dtype).reshape(-1, *self.shape[1:])


class Subset(_View):
    """A lazy view of some images of an array.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Any object with `shape`, `dtype` and indexing by an array of integers.
    indices : ndarray of int
        Indices of the images, in increasing order.
    """

    def __init__(self, array: Any, indices: np.ndarray):
        self.array, self.indices = array, indices
        self.shape = (len(indices), *array.shape[1:])
        self.dtype = array.dtype

    def __getitem__(self, places: Any) -> Any:
        return taken(self.array, self.indices[places])


def taken(array: Any, indices: Any) -> Any:
    """Return some images of an array.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Any object with indexing by an array of increasing integers (in zarr: `oindex`).
    indices : slice, or ndarray of int
        Indices of the images, in increasing order.

    Returns
    -------
    images : array-like of shape (len(indices), ...)
        The images, in the type that the array returns.
    """
    if isinstance(indices, slice):
        return array[indices]
    indices = np.asarray(indices)
    contiguous = len(indices) > 0 and indices[-1] - indices[0] == len(indices) - 1
    if contiguous and hasattr(array, "chunks"):  # h5py, zarr and dask read a slice faster
        return array[slice(int(indices[0]), int(indices[-1]) + 1)]
    return array.oindex[indices] if hasattr(array, "oindex") else array[indices]
