"""What tells one training from another: its parameters and its data, as texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmetainv.arrays import ArraySource, RealView
from skmetainv.inputs.problem import Images, Problem
from skmetainv.reconstruction.canonical import canonical, digest

# Parameters that change nothing of what is learned.
_INDIFFERENT = {"checkpoint", "device", "verbose"}

# The same of what estimators keep: a history has times.
_NOT_LEARNED = {*_INDIFFERENT, "history_"}

# Of arrays that are not in memory, so many images, evenly spread, are looked at.
_SAMPLE = 256

# Characters that messages, and that files have of a value before they shorten it.
_TEXT_LENGTH, _IDENTITY_LENGTH = 60, 300


def parameter_identity(estimator: BaseEstimator) -> dict[str, dict[str, str]]:
    """Return what every parameter is that training depends on."""
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
    """Return how messages name a value, and what tells it from others."""
    text = type(value).__name__ if isinstance(value, BaseEstimator) else repr(value)
    if len(text) > _TEXT_LENGTH or " at 0x" in text:
        text = type(value).__name__
    own = canonical(value, _NOT_LEARNED)
    if len(own) > _IDENTITY_LENGTH:
        own = f"{own[:_IDENTITY_LENGTH]}... {digest([own.encode()])}"
    return {"text": text, "identity": own}


def _array(images: Images, whole: bool) -> dict[str, str]:
    sources = images if isinstance(images, list) else [images]
    of_one_size = f"of shape {sources[0].array.shape}"
    text = f"{len(sources)} images" if isinstance(images, list) else of_one_size
    return {"text": text, "identity": f"{text}, {digest(_bytes(sources, whole))}"}


def _bytes(sources: Iterable[ArraySource], whole: bool) -> Iterator[bytes]:
    for array in (source.array for source in sources):
        yield f"{array.shape} {np.dtype(array.dtype).str}".encode()
        yield np.ascontiguousarray(_looked_at(array, whole)).tobytes()


def _looked_at(array: Any, whole: bool) -> np.ndarray:
    held = array.array if isinstance(array, RealView) else array
    if (whole and type(held) is np.ndarray) or len(array) <= _SAMPLE:
        return array[np.arange(len(array))]
    return array[np.linspace(0, len(array) - 1, _SAMPLE).astype(int)]
