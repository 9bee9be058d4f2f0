"""What tells one training from another: its parameters and its data, by digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator

from skmetainv.arrays import RealView
from skmetainv.reconstruction.geometry import Problem

# Parameters that change nothing of what is learned.
_INDIFFERENT = {"checkpoint", "device", "verbose"}

# Of arrays that are not in memory, so many images, evenly spread, are looked at.
_SAMPLE = 256

_TEXT_LENGTH = 60


def parameter_identity(estimator: BaseEstimator) -> dict[str, dict[str, str]]:
    """Return a text and a digest of every parameter that training depends on."""
    parameters = estimator.get_params(deep=True)
    return {
        name: _told(value)
        for name, value in parameters.items()
        if name.split("__")[0] not in _INDIFFERENT
    }


def data_identity(
    problems: Iterable[Problem], weights: Mapping[str, np.ndarray]
) -> dict[str, dict[str, str]]:
    """Return the same of the data, and of the weights that training begins with.

    Parameters
    ----------
    problems : iterable of Problem
        What is learned from, and what is held out. Arrays in memory are digested whole, others by
        256 of their images.
    weights : mapping of str to ndarray
        The weights of a warm start.
    """
    identity = {"the weights to begin with": _told(dict(weights))} if weights else {}
    for name, problem in zip(("X", "X_val"), problems, strict=False):
        parts = {
            f"the images of {name}": problem.clean,
            f"the measurements {name}": problem.measured,
        }
        identity |= {part: _array(array) for part, array in parts.items() if array is not None}
    return identity


def _told(value: Any) -> dict[str, str]:
    text = type(value).__name__ if isinstance(value, BaseEstimator) else repr(value)
    if len(text) > _TEXT_LENGTH or " at 0x" in text:
        text = type(value).__name__
    return {"text": text, "digest": _digest(value)}


def _digest(value: Any) -> str:
    """Return the same text for the same value in every process, tensors and modules included."""
    if isinstance(value, BaseEstimator):
        value = (type(value).__qualname__, value.__getstate__())
    if isinstance(value, torch.nn.Module):
        value = (type(value).__qualname__, dict(value.state_dict()))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, Mapping):
        value = [(str(key), _digest(value[key])) for key in value]
    elif isinstance(value, list | tuple):
        value = [_digest(part) for part in value]
    try:
        return joblib.hash(value)
    except Exception:  # what cannot be pickled, a function within a function say
        return f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__name__)}"


def _array(array: Any) -> dict[str, str]:
    arrays = array if isinstance(array, list) else [array]
    digest = hashlib.sha256()
    for part in arrays:
        digest.update(f"{part.shape} {np.dtype(part.dtype).str}".encode())
        digest.update(np.ascontiguousarray(_looked_at(part)).tobytes())
    shape = f"{len(arrays)} images" if isinstance(array, list) else f"of shape {array.shape}"
    return {"text": shape, "digest": digest.hexdigest()}


def _looked_at(array: Any) -> np.ndarray:
    held = array.array if isinstance(array, RealView) else array
    if type(held) is np.ndarray or len(array) <= _SAMPLE:
        return array[np.arange(len(array))]
    return array[np.linspace(0, len(array) - 1, _SAMPLE).astype(int)]
