"""A user's solver made ready for an estimator: its denoisers fitted, its step sizes checked."""

from __future__ import annotations

import warnings

from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from skmetainv.denoisers.nested import fit_denoisers, fitted_denoisers
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.geometry import Problem
from skmetainv.solvers import Solver


def ready_solver(solver: Solver, problem: Problem, estimator: Reconstructor, seed: int) -> Solver:
    """Return a copy of a solver whose learned denoisers are fitted on the clean images.

    Parameters
    ----------
    solver : Solver
        Stays as it is. Denoisers in a `FrozenEstimator` are taken as they are, those with weights
        of a file take these.
    problem : Problem
        What the estimator's `fit` was given.
    estimator : Reconstructor
        Its units, image shape and device are those of denoisers that leave them open.
    seed : int
        Their seed, where they have none.

    Warns
    -----
    ConvergenceWarning
        If a step size is above the bound up to which the solver converges.
    DataConversionWarning
        If a fitted denoiser knows images of another range.
    """
    own = clone(solver)
    try:
        fit_denoisers(
            own,
            problem.clean,
            data_range=estimator.data_range,
            image_shape=estimator.image_shape,
            device=estimator.device,
            random_state=seed,
        )
    except ValueError as error:
        error.add_note("This happened as the solver's denoiser was fitted on the clean images.")
        raise
    for denoiser in fitted_denoisers(own):
        if denoiser.data_range_ != problem.geometry.data_range:
            warnings.warn(
                f"The solver's {type(denoiser).__name__} was fitted to images of the range "
                f"{denoiser.data_range_}, and the images here have {problem.geometry.data_range}.",
                DataConversionWarning,
                stacklevel=6,
            )
    own.build(problem.geometry.images.tensor_shape).check(problem.A)
    return own
