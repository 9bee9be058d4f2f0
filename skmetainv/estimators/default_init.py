"""The representation that `MetaInverseSolver` uses by default, and what its start needs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skmetainv.estimators.linear import LinearReconstructor
from skmetainv.estimators.linear_estimates import smallest_space
from skmetainv.estimators.residuals import (
    N_FOLDS,
    is_frozen,
    reads_uncertainty,
    residual_of,
    start_restorer,
    with_fitted_residual,
)
from skmetainv.inputs import Problem
from skmetainv.meta import Algorithm
from skmetainv.operators import ForwardMap, LinearMap, Operator
from skmetainv.operators.maps.unsolved_systems import Watch, watched
from skmetainv.reconstruction import Reconstructor
from skmetainv.representations import Refiner, Representation, Siren
from skmetainv.training.processes import from_first_process

# If masks vary, starts of larger measurements are stationary. For half of 32 x 32 pixels a direct
# solution takes 29 ms, for half of 48 x 48 it takes 208 ms, with the same PSNR there (one core).
_MOST_MASKED = 1280

# A start that takes more updates of conjugate gradients is slow. An image of 128 x 128 pixels then
# takes about as long in them as in the training of the refiner.
_MOST_UPDATES = 1000

# The number of images whose updates are counted.
_COUNTED = 4

# The `noise_floor` of a residual that is slow without it.
_NOISE_FLOOR = 0.04


def default_init(algorithm: Algorithm, A: ForwardMap, operator: Operator) -> Representation:
    """Return the representation for ``init=None``, see `MetaInverseSolver`."""
    residual: LinearReconstructor | None = LinearReconstructor()
    # If masks vary, the uncertainty takes longer than the start itself (20 instead of 6 ms for half
    # of 32 x 32 pixels).
    knows_uncertainty = not operator.has_missing
    if not _has_fast_starts(A, operator):
        # Without the sample covariance, conjugate gradients need fewer updates.
        stationary = LinearReconstructor(shrinkage=1.0, n_components=1)
        residual = stationary if isinstance(A, LinearMap) else None
        knows_uncertainty = False
    refiner = None
    if residual is not None and "refiner" in algorithm.learns:
        refiner = Refiner(uncertainty=knows_uncertainty)
    return Siren(width=64, depth=3, residual=residual, refiner=refiner, adapted="last")


def with_fast_start(
    init: Representation, problem: Problem, estimator: Reconstructor, seed: int
) -> Representation:
    """Return a fitted default representation that restores starts in a few updates.

    If its own residual needs many, the residual gets a `noise_floor` or, if that does not suffice,
    is "adjoint". The parameters are those of `with_fitted_residual`.
    """
    if residual_of(init) is None or _has_fast_starts(problem.A, problem.operator):
        return init
    if not from_first_process(lambda: _is_slow(init, problem, estimator, seed)):
        return init
    floored = clone(init).set_params(residual__noise_floor=_NOISE_FLOOR)
    floored = with_fitted_residual(floored, problem, estimator, seed)
    if not from_first_process(lambda: _is_slow(floored, problem, estimator, seed)):
        return floored
    return clone(init).set_params(residual="adjoint")


def _has_fast_starts(A: ForwardMap, operator: Operator) -> bool:
    """Return whether the default LinearReconstructor restores starts fast, without iterations."""
    is_masked = operator.has_missing and math.prod(A.measurement_shape) > _MOST_MASKED
    return has_direct_starts(A, operator) and not is_masked


def _is_slow(init: Representation, problem: Problem, estimator: Reconstructor, seed: int) -> bool:
    """Return whether a start of one of a few training images takes many updates."""
    restore: Any = start_restorer(init, problem.geometry.image_shape, problem.operator)
    read = estimator._pairs(problem, seed)
    n_updates = []
    for i in np.unique(np.linspace(0, len(problem) - 1, _COUNTED).astype(int)):
        batch = read(np.array([i]), 0)
        with watched(Watch()) as watch:
            batch.A.by_instrument(restore, batch.y)
        n_updates.append(watch.n_updates)
    return max(n_updates) > _MOST_UPDATES


def check_uncertainty(init: Any, problem: Problem) -> None:
    """Check that the residual knows the uncertainty of its images if a refiner reads it."""
    if not reads_uncertainty(init):
        return
    residual = residual_of(init)
    if not isinstance(residual, LinearReconstructor):
        raise ValueError(
            "The 'uncertainty' parameter of Refiner must be False, unless the residual is a "
            f"LinearReconstructor. Got the residual {residual or init.residual!r}."
        )
    image_shape, n_folds = problem.geometry.image_shape, N_FOLDS
    A, operator = problem.A, problem.operator
    if is_frozen(init):
        check_is_fitted(residual)
        A, operator, n_folds = residual._map(residual._geometry_), residual.operator_, 0
    elif residual.operator is not None:
        operator = residual.operator
        A = operator.build(problem.tensor_shape)
    if not has_direct_starts(A, operator, n_folds):
        raise ValueError(
            f"The 'uncertainty' parameter of Refiner must be False for images of shape "
            f"{image_shape} and {len(A.each)} instrument(s), because the matrices of the "
            "LinearReconstructor would be too large. Use fewer instruments, or init=None."
        )


def has_direct_starts(A: ForwardMap, operator: Operator, n_folds: int = N_FOLDS) -> bool:
    """Return whether a LinearReconstructor restores starts without iterations.

    If there are several instruments, each has a matrix for all images and one for each fold.
    """
    n_instruments = len(A.each)
    n_matrices = n_instruments * (1 + n_folds) if n_instruments > 1 else 1
    return smallest_space(A, operator.has_missing, n_matrices) != "iterative"
