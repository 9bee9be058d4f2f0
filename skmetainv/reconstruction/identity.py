"""The identity of a training run: its parameters and data, as texts that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmetainv.arrays import ArraySource, RealView
from skmetainv.inputs.problem import Images, Problem
from skmetainv.reconstruction.canonical import canonical, digest
from skmetainv.reconstruction.chunks import batches_of

# Parameters that do not affect the learned weights.
_INDIFFERENT = {"checkpoint", "device", "verbose"}

# Parameters and attributes to ignore in nested estimators. The history holds times, which differ
# between equal runs.
_NOT_LEARNED = {*_INDIFFERENT, "history_"}

# The number of evenly spaced images that are hashed if an array is not hashed completely.
_SAMPLE = 256

# The most characters of a value in messages and in files; longer texts are shortened.
_TEXT_LENGTH, _IDENTITY_LENGTH = 60, 300


def parameter_identity(estimator: BaseEstimator) -> dict[str, dict[str, str]]:
    """Return the identities of all parameters on which training depends, by name."""
    return {name: _identity_of(value) for name, value in _parameters(estimator).items()}


def outline(estimator: BaseEstimator, n_epochs: int | None) -> dict[str, Any]:
    """Return the plain parameters (numbers and texts) that must agree between processes."""
    plain = {
        name: repr(value)
        for name, value in _parameters(estimator).items()
        if isinstance(value, bool | int | float | str | None)
    }
    return plain | {"max_epochs": n_epochs, "checkpoint": estimator.checkpoint is not None}


def _parameters(estimator: BaseEstimator) -> dict[str, Any]:
    """Return all parameters that affect the learned weights, by name."""
    parameters = estimator.get_params(deep=True).items()
    return {name: v for name, v in parameters if not _INDIFFERENT & set(name.split("__"))}


def data_identity(
    problem: Problem,
    held_out: Problem | None,
    weights: Mapping[str, np.ndarray],
    *,
    batch_size: int,
    whole: bool = True,
) -> dict[str, dict[str, str]]:
    """Return the identities of the data, and of the initial weights of training.

    Parameters
    ----------
    problem : Problem
        The training data.
    held_out : Problem or None
        The validation data that was passed to `fit`.
    weights : mapping of str to ndarray
        The weights of a warm start.
    batch_size : int
        Number of images to read at once.
    whole : bool, default=True
        Whether to hash arrays in memory completely. Otherwise, and for other arrays, at most 256
        evenly spaced images are hashed.
    """
    identity = {"the weights to begin with": _identity_of(dict(weights))} if weights else {}
    for name, data in (("X", problem), ("X_val", held_out)):
        if data is None:
            continue
        identity[f"the images of {name}"] = _array(data.clean, batch_size, whole)
        if data.measured is not None:
            identity[f"the measurements {name}"] = _array(data.measured, batch_size, whole)
        if data.groups is not None:
            identity[f"the groups of {name}"] = _identity_of(data.groups.tolist())
    return identity


def _identity_of(value: Any) -> dict[str, str]:
    """Return the name of a value in messages, and its identity."""
    text = type(value).__name__ if isinstance(value, BaseEstimator) else repr(value)
    if len(text) > _TEXT_LENGTH or " at 0x" in text:
        text = type(value).__name__
    identity = canonical(value, _NOT_LEARNED)
    if len(identity) > _IDENTITY_LENGTH:
        identity = f"{identity[:_IDENTITY_LENGTH]}... {digest([identity.encode()])}"
    return {"text": text, "identity": identity}


def _array(images: Images, batch_size: int, whole: bool) -> dict[str, str]:
    if isinstance(images, list):
        sources, text = images, f"{len(images)} images"
    else:
        sources, text = [images], f"of shape {images.array.shape}"
    return {"text": text, "identity": f"{text}, {digest(_bytes(sources, batch_size, whole))}"}


def _bytes(sources: Iterable[ArraySource], batch_size: int, whole: bool) -> Iterator[bytes]:
    for array in (source.array for source in sources):
        yield f"{array.shape} {np.dtype(array.dtype).str}".encode()
        indices = _images_to_hash(array, whole)
        for batch in batches_of(len(indices), batch_size):
            yield np.ascontiguousarray(array[indices[batch]]).tobytes()


def _images_to_hash(array: Any, whole: bool) -> np.ndarray:
    """Return the indices of the images to hash."""
    held = array.array if isinstance(array, RealView) else array
    if (whole and type(held) is np.ndarray) or len(array) <= _SAMPLE:
        return np.arange(len(array))
    return np.linspace(0, len(array) - 1, _SAMPLE).astype(int)
