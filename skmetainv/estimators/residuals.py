"""Estimators whose images a representation is added to: fitted along with it, and cross-fitted."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skmetainv.exceptions import warn
from skmetainv.inputs import Problem
from skmetainv.inputs.splits import split_in_folds
from skmetainv.inputs.validation import check_device
from skmetainv.parameters import unfrozen
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.restorer import Restore
from skmetainv.representations import Representation

# Parts that images are cross-fitted in, the default of scikit-learn's stacking.
_N_FOLDS = 5


def residual_of(init: Representation) -> Reconstructor | None:
    """Return the estimator whose images a representation is added to; None without one."""
    residual = unfrozen(getattr(init, "residual", None))
    if residual is None or isinstance(residual, str):
        return None
    if not isinstance(residual, Reconstructor):
        raise ValueError(
            f"The 'residual' parameter of {type(init).__name__} must be an estimator that restores "
            "images, like LinearReconstructor(), or one in a FrozenEstimator. Got "
            f"{residual!r} instead."
        )
    return residual


def with_fitted_residual(
    init: Representation, problem: Problem, estimator: Reconstructor, seed: int
) -> Representation:
    """Return a copy of a representation whose residual's estimator is fitted.

    Parameters
    ----------
    init : Representation
        Stays as it is. An estimator in a `FrozenEstimator` is not fitted.
    problem : Problem
        What the `fit` of `estimator` was given.
    estimator : Reconstructor
        Its operator and noise, units, image shape, precision and device are those of residuals that
        leave them open.
    seed : int
        Seed of residuals that have none.
    """
    own = clone(init)
    residual = residual_of(own)
    if residual is None:
        return own
    if _is_frozen(own):
        _check_frozen(residual, problem)
    else:
        own.residual = _fitted(residual, problem, estimator, seed)
    return own


def _check_frozen(residual: Reconstructor, problem: Problem) -> None:
    """Check that a fitted estimator restores what is measured here."""
    check_is_fitted(residual)
    name, geometry = type(residual).__name__, problem.geometry
    if residual.measurement_shape_ != geometry.measurements.shape:
        raise ValueError(
            f"The start, a fitted {name}, restores measurements of shape "
            f"{residual.measurement_shape_}. Here they have {geometry.measurements.shape}."
        )
    if residual.data_range_ != geometry.data_range:
        warn(
            f"The start, a fitted {name}, was fitted to images of the range "
            f"{residual.data_range_}, and the images here have {geometry.data_range}.",
            DataConversionWarning,
        )
    if repr(residual.operator_) != repr(problem.operator):
        warn(
            f"The start, a fitted {name}, was fitted for {residual.operator_!r}. The operator here "
            f"is {problem.operator!r}.",
            DataConversionWarning,
        )


def restores_start(init: Representation, image_shape: tuple[int, ...]) -> Restore | None:
    """Return what restores the starts of measurements, as tensors; None without an estimator.

    Parameters
    ----------
    init : Representation
        With a fitted residual.
    image_shape : tuple of int
        Height and width, and channels, of the images.
    """
    residual = residual_of(init)
    if residual is None:
        return None
    restore = residual._restorer(residual._resized(image_shape)).restore
    device, dtype = check_device(residual.device), residual._dtype()  # of frozen ones, their own

    def start(y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return restore(y.to(device, dtype)).to(y)

    return start


def cross_fitted_starts(
    init: Representation, problem: Problem, estimator: Reconstructor, seed: int
) -> Callable[[torch.Tensor, np.ndarray], torch.Tensor] | None:
    """Return what restores the starts of training images from copies that did not see them.

    Parameters
    ----------
    init : Representation
        With a residual that is fitted to all images.
    problem, estimator, seed
        See `with_fitted_residual`. Images of one group are never on both sides. The copies are
        fitted anew in every call of the estimator's `fit` or `partial_fit`.

    Returns
    -------
    starts : callable or None
        ``starts(y, indices)`` gives the starts of measurements of the training images `indices`;
        None without an estimator.
    """
    whole_fit, whole = residual_of(init), restores_start(init, problem.geometry.image_shape)
    if whole_fit is None or whole is None:
        return None
    same = _is_frozen(init) or not whole_fit._learns()  # whatever a copy is fitted to
    parts, fold_of = [], np.zeros(len(problem), dtype=int)
    folds = split_in_folds(len(problem), problem.groups, _N_FOLDS, seed)
    for k, (learned, left_out) in enumerate([] if same else folds):
        fold_of[left_out] = k
        copy = clone(init)
        copy.residual = _fitted(whole_fit._without_search(), problem.part(learned), estimator, seed)
        # A batch has few images of each fold, but every call is padded to `batch_size` images.
        few = max(1, estimator.batch_size // _N_FOLDS)
        copy.residual.batch_size = min(copy.residual.batch_size, few)
        parts.append(restores_start(copy, problem.geometry.image_shape))

    def starts(y: torch.Tensor, indices: np.ndarray) -> torch.Tensor:
        if not parts:
            return whole(y)
        images = y.new_empty(len(y), *problem.A.image_shape)
        for k in np.unique(fold_of[indices]):
            own = torch.from_numpy(np.flatnonzero(fold_of[indices] == k)).to(y.device)
            images[own] = parts[k](y[own])
        return images

    return starts


def _is_frozen(init: Any) -> bool:
    return isinstance(init.residual, FrozenEstimator)


def _fitted(
    residual: Reconstructor, problem: Problem, estimator: Reconstructor, seed: int
) -> Reconstructor:
    """Return a residual fitted to images; what it leaves open is the estimator's."""
    own, defaults = residual.get_params(deep=False), signature(type(residual)).parameters
    open_ = {name for name, value in own.items() if _is_default(value, defaults[name].default)}
    values = {"random_state": seed, "operator": problem.operator}
    names = {"image_shape", "data_range", "precision", "device"}
    if residual.operator is None:
        names |= {"noise"}
    values |= {name: getattr(estimator, name) for name in names}
    residual.set_params(**{name: v for name, v in values.items() if name in open_})
    if getattr(residual, "checkpoint", None) is not None:
        raise ValueError(
            "An estimator that restores starts is fitted several times, and must have "
            f"checkpoint=None. Got {residual.checkpoint!r} instead."
        )
    learned = {"groups": problem.groups} if has_fit_parameter(residual, "groups") else {}
    try:
        return residual.fit(*problem.arguments(), **learned)
    except ValueError as error:
        error.add_note(f"This happened as the start, {type(residual).__name__}, was fitted.")
        raise


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float) and value == default)
