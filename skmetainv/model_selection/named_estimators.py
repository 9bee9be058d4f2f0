"""Estimators that restore images, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skmetainv.model_selection.scorers import unwrapped
from skmetainv.reconstruction import Reconstructor


def named_estimators(estimators: Any, taker: str, parameter: str = "estimators") -> dict[str, Any]:
    """Return the estimators that a user gave as a dict, a list of pairs or a list, by name.

    Without names, they are named by their classes.

    Parameters
    ----------
    estimators : object
        The user's argument.
    taker, parameter : str
        The function that takes it, and the name of its parameter, for errors.

    Raises
    ------
    ValueError
        If these are not estimators that restore images, or if two have the same name.
    """
    pairs = [*estimators.items()] if isinstance(estimators, Mapping) else estimators
    if not isinstance(pairs, list | tuple) or len(pairs) == 0:
        raise ValueError(
            f"The {parameter!r} parameter of {taker} must be a dict of estimators by name, a list "
            f"of (name, estimator), or a list of estimators, not empty. Got {estimators!r} instead."
        )
    if not all(isinstance(entry, tuple) and len(entry) == 2 for entry in pairs):
        pairs = [*zip(_names_of_classes(pairs), pairs, strict=True)]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"Names provided are not unique: {names!r}")
    for name, estimator in pairs:
        if not isinstance(unwrapped(estimator), Reconstructor):
            raise ValueError(
                f"{taker} takes estimators that restore images, searches that refit such an "
                "estimator, and such an estimator in a FrozenEstimator. Got "
                f"{name}: {estimator!r} instead."
            )
    return dict(pairs)


def _names_of_classes(estimators: Any) -> list[str]:
    """Return the names of the estimators' classes; if a class occurs several times, numbered."""
    classes = [type(unwrapped(estimator)).__name__ for estimator in estimators]
    numbered = [f"{name}-{classes[: i + 1].count(name)}" for i, name in enumerate(classes)]
    return [n if classes.count(c) > 1 else c for c, n in zip(classes, numbered, strict=True)]
