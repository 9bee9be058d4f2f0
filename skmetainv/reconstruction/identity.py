"""What tells one training from another: its parameters and its data, by digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from joblib.hashing import NumpyHasher
from sklearn.base import BaseEstimator

from skmetainv.arrays import RealView
from skmetainv.inputs.problem import Images, Problem

# Parameters that change nothing of what is learned.
_INDIFFERENT = {"checkpoint", "device", "verbose"}

# The same of what estimators keep; a history has times.
_UNTOLD = {*_INDIFFERENT, "history_", "_skl_callbacks", "_sklearn_version"}

# Of arrays that are not in memory, so many images, evenly spread, are looked at.
_SAMPLE = 256

_TEXT_LENGTH = 60


def parameter_identity(estimator: BaseEstimator) -> dict[str, dict[str, str]]:
    """Return a text and a digest of every parameter that training depends on."""
    parameters = estimator.get_params(deep=True)
    return {
        name: _told(value)
        for name, value in parameters.items()
        if not _INDIFFERENT & set(name.split("__"))
    }


def outline(estimator: BaseEstimator, n_epochs: int | None) -> dict[str, Any]:
    """Return what several processes must have in common, as far as numbers and names tell."""
    plain = {
        name: repr(value)
        for name, value in estimator.get_params(deep=True).items()
        if isinstance(value, bool | int | float | str | None)
        and not _INDIFFERENT & set(name.split("__"))
    }
    return plain | {"max_epochs": n_epochs, "checkpoint": estimator.checkpoint is not None}


def data_identity(
    problems: Iterable[Problem], weights: Mapping[str, np.ndarray], *, whole: bool = True
) -> dict[str, dict[str, str]]:
    """Return the same of the data, and of the weights that training begins with.

    Parameters
    ----------
    problems : iterable of Problem
        What is learned from, and what is held out.
    weights : mapping of str to ndarray
        The weights of a warm start.
    whole : bool, default=True
        Digest all of arrays in memory; others are, always, by 256 of their images.
    """
    identity = {"the weights to begin with": _told(dict(weights))} if weights else {}
    for name, problem in zip(("X", "X_val"), problems, strict=False):
        parts = {
            f"the images of {name}": problem.clean,
            f"the measurements {name}": problem.measured,
        }
        identity |= {
            part: _array(images, whole) for part, images in parts.items() if images is not None
        }
        if problem.groups is not None:
            identity[f"the groups of {name}"] = _told(problem.groups.tolist())
    return identity


def _told(value: Any) -> dict[str, str]:
    text = type(value).__name__ if isinstance(value, BaseEstimator) else repr(value)
    if len(text) > _TEXT_LENGTH or " at 0x" in text:
        text = type(value).__name__
    return {"text": text, "digest": _digest(value)}


def _digest(value: Any) -> str:
    """Return the same text for the same value in every process, tensors and modules included."""
    if isinstance(value, BaseEstimator | torch.nn.Module):
        value = _plain(value)
    if isinstance(value, Mapping):
        value = sorted((str(key), _digest(value[key])) for key in value)
    elif isinstance(value, list | tuple):
        value = [_digest(part) for part in value]
    try:
        return _Hasher(coerce_mmap=True).hash(value)
    except Exception:  # what cannot be pickled, an open file say
        return f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__name__)}"


class _Hasher(NumpyHasher):
    """Joblib's, of tensors by their numbers and of functions by their code."""

    def save(self, obj: Any) -> None:
        super().save(_plain(obj))

    def memoize(self, obj: Any) -> None:
        if not isinstance(obj, tuple):  # whether equal ones are one differs between processes
            super().memoize(obj)


def _plain(value: Any) -> Any:
    """Return what tells a value from others, where its pickle does not."""
    if isinstance(value, BaseEstimator):
        state = value.__getstate__()
        return type(value).__qualname__, {n: state[n] for n in state if n not in _UNTOLD}
    if isinstance(value, torch.nn.Module):
        return type(value).__qualname__, repr(value), dict(value.state_dict())
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, FunctionType):
        defaults = value.__defaults__, value.__kwdefaults__
        return value.__qualname__, value.__code__, defaults, value.__closure__
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, value.co_consts
    if isinstance(value, CellType):
        return value.cell_contents
    if isinstance(value, ModuleType):
        return value.__name__
    return set(value) if isinstance(value, frozenset) else value


def _array(images: Images, whole: bool) -> dict[str, str]:
    sources = images if isinstance(images, list) else [images]
    digest = hashlib.sha256()
    for part in (source.array for source in sources):
        digest.update(f"{part.shape} {np.dtype(part.dtype).str}".encode())
        digest.update(np.ascontiguousarray(_looked_at(part, whole)).tobytes())
    of_one_size = f"of shape {sources[0].array.shape}"
    shape = f"{len(sources)} images" if isinstance(images, list) else of_one_size
    return {"text": shape, "digest": digest.hexdigest()}


def _looked_at(array: Any, whole: bool) -> np.ndarray:
    held = array.array if isinstance(array, RealView) else array
    if (whole and type(held) is np.ndarray) or len(array) <= _SAMPLE:
        return array[np.arange(len(array))]
    return array[np.linspace(0, len(array) - 1, _SAMPLE).astype(int)]
