"""The estimator that restores a representation's start: fitted, or cross-fitted for training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any
from weakref import WeakKeyDictionary

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
from skmetainv.operators import ForwardMap, Operator
from skmetainv.parameters import fill_in, unfrozen
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.canonical import canonical
from skmetainv.reconstruction.restorer import Restore
from skmetainv.representations import Refiner, Representation
from skmetainv.training import Batch

# The number of folds in cross-fitting, the default of scikit-learn's stacking.
N_FOLDS = 5


def residual_of(init: Representation) -> Reconstructor | None:
    """Return the estimator that restores a representation's start, or None if it has none."""
    residual = unfrozen(getattr(init, "residual", None))
    if residual is None or isinstance(residual, str):
        return None
    if not isinstance(residual, Reconstructor):
        raise ValueError(
            f"The 'residual' parameter of {type(init).__name__} must be an estimator that restores "
            "images, like LinearReconstructor(), or such an estimator in a FrozenEstimator. Got "
            f"{residual!r} instead."
        )
    return residual


def reads_uncertainty(init: Representation) -> bool:
    """Return whether a representation's refiner reads the uncertainty of starts."""
    refiner = getattr(init, "refiner", None)
    return isinstance(refiner, Refiner) and refiner.uncertainty


def with_fitted_residual(
    init: Representation, problem: Problem, estimator: Reconstructor, seed: int
) -> Representation:
    """Return a copy of a representation with a fitted residual.

    Parameters
    ----------
    init : Representation
        The representation, which is not changed. A residual in a `FrozenEstimator` is not fitted.
    problem : Problem
        The training data of `estimator`.
    estimator : Reconstructor
        The outer estimator. Its operator, data range, image shape, precision and device replace
        those that the residual leaves at their defaults. If the residual has no operator, the same
        holds for the noise.
    seed : int
        Seed of residuals that have none.
    """
    fitted = clone(init)
    residual = residual_of(fitted)
    if residual is None:
        return fitted
    if is_frozen(fitted):
        _check_frozen(residual, problem)
    else:
        fitted.residual = _fitted(residual, problem, estimator, seed)
    return fitted


def start_restorer(
    init: Representation, image_shape: tuple[int, ...], operator: Operator
) -> Restore | None:
    """Return the function that restores starts from measurements, or None without a residual.

    A start has the uncertainty of its image if a refiner reads it, see `ForwardMap.bind`.

    Measurements of the outer estimator are restored with the residual's own operator, others with
    the operator that took them.

    Parameters
    ----------
    init : Representation
        With a fitted residual.
    image_shape : tuple of int
        Height and width, and channels, of the images.
    operator : Operator
        The fitted operator of the outer estimator.
    """
    residual = residual_of(init)
    if residual is None:
        return None
    geometry = residual._resized(image_shape)
    reads = reads_uncertainty(init)
    restore = residual._uncertain_start(geometry) if reads else residual._start(geometry)
    # The device and precision of a frozen residual may differ from those of the estimator.
    place = torch.empty(0, dtype=residual._dtype(), device=check_device(residual.device))
    fitted = residual._map(geometry).each
    by_operator = {canonical(A.built_by): A for A in fitted}
    if len(fitted) == 1:
        by_operator[canonical(operator)] = fitted[0]
    map_of: WeakKeyDictionary[ForwardMap, ForwardMap] = WeakKeyDictionary()

    def start(y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        if A not in map_of:
            known = by_operator.get(canonical(A.built_by))
            map_of[A] = deepcopy(A).to(place) if known is None else _with_noise_of(A, known)
        with torch.no_grad():
            return restore(y.to(place), map_of[A]).to(y)

    return start


def cross_fitted_starts(
    init: Representation, problem: Problem, estimator: Reconstructor, seed: int
) -> Callable[[Batch, np.ndarray], torch.Tensor] | None:
    """Return a function that restores the start of each training image without knowing the image.

    The training images are split into folds. For each fold, a copy of the residual is fitted on the
    images outside the fold. Images of one group are always in the same fold. Each call of the
    estimator's `fit` or `partial_fit` fits new copies. If there are no folds, or if the residual
    does not learn or is frozen, the residual itself restores all starts.

    Parameters
    ----------
    init : Representation
        With a residual that is fitted to all images.
    problem, estimator, seed
        See `with_fitted_residual`.

    Returns
    -------
    starts : callable or None
        ``starts(batch, indices)`` returns the starts for a batch, that of the training images at
        `indices`. None if no estimator restores starts.
    """
    image_shape = problem.geometry.image_shape
    residual, restore = residual_of(init), start_restorer(init, image_shape, problem.operator)
    if residual is None or restore is None:
        return None
    folds = split_in_folds(len(problem), problem.groups, N_FOLDS, seed)
    # There are no folds for a single image or group. All copies of a residual that does not learn
    # would be the same.
    if not folds or is_frozen(init) or not residual._depends_on_images():
        return lambda batch, _: batch.A.by_instrument(restore, batch.y)
    # A residual pads the measurements to a multiple of its `batch_size`, but only about a fifth of
    # a training batch belongs to one fold.
    n_per_fold = max(1, estimator.batch_size // N_FOLDS)
    restore_of_fold, fold_of = [], np.zeros(len(problem), dtype=int)
    for k, (learned, left_out) in enumerate(folds):
        fold_of[left_out] = k
        copy = clone(init)
        with warnings.catch_warnings():
            # The residual itself was fitted to the same images, and has warned.
            warnings.simplefilter("ignore", DataConversionWarning)
            copy.residual = _fitted(
                residual._without_search(), problem.part(learned), estimator, seed
            )
        copy.residual.batch_size = min(copy.residual.batch_size, n_per_fold)
        restore_of_fold.append(start_restorer(copy, image_shape, problem.operator))

    def starts_of(y: torch.Tensor, folds: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        rows_of = {k: (folds == k).nonzero()[:, 0].to(y.device) for k in folds.unique().tolist()}
        starts = [restore_of_fold[k](y[rows], A) for k, rows in rows_of.items()]
        return torch.cat(starts)[torch.cat(list(rows_of.values())).argsort()]

    def starts(batch: Batch, indices: np.ndarray) -> torch.Tensor:
        folds = torch.from_numpy(fold_of[indices])
        return batch.A.by_instrument(starts_of, batch.y, folds)

    return starts


def _check_frozen(residual: Reconstructor, problem: Problem) -> None:
    """Check that a fitted estimator matches the measurements of a problem."""
    check_is_fitted(residual)
    name, geometry = type(residual).__name__, problem.geometry
    shape = geometry.measurement_layout.shape
    if residual.measurement_shape_ != shape:
        raise ValueError(
            f"The start, a fitted {name}, restores measurements of shape "
            f"{residual.measurement_shape_}. Here they have shape {shape}."
        )
    if residual.data_range_ != geometry.data_range:
        warn(
            f"The start, a fitted {name}, was fitted to images with data_range "
            f"{residual.data_range_}, but the images here have data_range {geometry.data_range}.",
            DataConversionWarning,
        )
    if canonical(residual.operator_) != canonical(problem.operator):
        warn(
            f"The start, a fitted {name}, was fitted for {residual.operator_!r}, but the operator "
            f"here is {problem.operator!r}.",
            DataConversionWarning,
        )


def _with_noise_of(A: ForwardMap, own: ForwardMap) -> ForwardMap:
    """Return a residual's own map, with the noise of the map that took the measurements."""
    if A.own_noise is None or A.own_noise is own.own_noise:
        return own
    own = copy(own)
    own.own_noise = A.own_noise
    return own


def is_frozen(init: Any) -> bool:
    """Return whether a representation's residual is kept as it is fitted."""
    return isinstance(init.residual, FrozenEstimator)


def _fitted(
    residual: Reconstructor, problem: Problem, estimator: Reconstructor, seed: int
) -> Reconstructor:
    """Fit a residual, in place, with the outer estimator's values for parameters at defaults."""
    values = {"random_state": seed, "operator": problem.operator}
    names = {"image_shape", "data_range", "precision", "device"}
    if residual.operator is None:
        names |= {"noise"}
    values |= {name: getattr(estimator, name) for name in names}
    fill_in(residual, values)
    if getattr(residual, "checkpoint", None) is not None:
        raise ValueError(
            "An estimator that restores starts is fitted several times and must have "
            f"checkpoint=None. Got {residual.checkpoint!r} instead."
        )
    fit_params = {"groups": problem.groups} if has_fit_parameter(residual, "groups") else {}
    try:
        return residual.fit(*problem.arguments(), **fit_params)
    except ValueError as error:
        error.add_note(f"This happened while fitting the start, {type(residual).__name__}.")
        raise
