"""The solver and the inner loss of an estimator: fit their denoisers, check them, count them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays.weights import SOLVER, of_part
from skmetainv.denoisers.nested import fit_denoisers, fitted_denoisers
from skmetainv.exceptions import warn
from skmetainv.inputs import Problem
from skmetainv.inputs.first_look import look_at_noise_levels
from skmetainv.reconstruction import Reconstructor
from skmetainv.solvers import Solver

Component = TypeVar("Component", bound=BaseEstimator)


def with_fitted_denoisers(
    component: Component, problem: Problem, estimator: Reconstructor, seed: int
) -> Component:
    """Return a copy of a component whose learned denoisers are fitted on the clean images.

    Parameters
    ----------
    component : BaseEstimator
        A solver or an inner loss, which is not changed. Denoisers in a `FrozenEstimator` or with
        `weights` are not trained.
    problem : Problem
        The training data of the estimator.
    estimator : Reconstructor
        The outer estimator. Its data range, image shape and device replace those that a denoiser
        leaves at their defaults.
    seed : int
        Seed of denoisers that have none.

    Returns
    -------
    component : BaseEstimator
        The copy.

    Warns
    -----
    DataConversionWarning
        If a denoiser was fitted to images with another data range, or if a noise level is larger
        than the width of the data range.
    """
    fitted = clone(component)
    levels = {
        name: value
        for name, value in fitted.get_params().items()
        if name.rpartition("__")[2] in ("noise_level", "measurement_noise")
    }
    look_at_noise_levels(levels, problem.geometry.data_range, type(component).__name__)
    try:
        fit_denoisers(
            fitted,
            problem.clean.array,
            data_range=estimator.data_range,
            image_shape=estimator.image_shape,
            device=estimator.device,
            random_state=seed,
        )
    except ValueError as error:
        error.add_note(
            f"This happened while fitting the denoiser of the {type(component).__name__} on the "
            "clean images."
        )
        raise
    for denoiser in fitted_denoisers(fitted):
        if denoiser.data_range_ != problem.geometry.data_range:
            warn(
                f"The {type(denoiser).__name__} of the {type(component).__name__} was fitted to "
                f"images with data_range {denoiser.data_range_}, but the images here have "
                f"data_range {problem.geometry.data_range}.",
                DataConversionWarning,
            )
    return fitted


def ready_solver(solver: Solver, problem: Problem, estimator: Reconstructor, seed: int) -> Solver:
    """Return a copy of a solver with fitted denoisers and checked step sizes.

    See `with_fitted_denoisers`.

    Warns
    -----
    ConvergenceWarning
        If a step size is above the bound up to which the solver converges.
    """
    ready = with_fitted_denoisers(solver, problem, estimator, seed)
    ready.build(problem.geometry.tensor_shape).check(problem.A)
    return ready


def counted_beside(weights: Mapping[str, Any], solver: Solver | None) -> list[Solver]:
    """Return ``[solver]``, or an empty list if its networks are already in `weights`."""
    is_trained = any(not name.endswith(".logarithm") for name in of_part(weights, SOLVER))
    return [] if solver is None or is_trained else [solver]
