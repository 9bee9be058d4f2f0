"""The methods of a row: the literal line, and the methods that it is compared with."""

import hashlib
import re
import time
import warnings
from typing import NamedTuple

import numpy as np
from skimage.restoration import inpaint_biharmonic
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import has_fit_parameter

from benchmarks.paper.run import description
from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.metrics import psnr
from skmetainv.operators import Identity
from skmetainv.representations import ModulatedSiren, Refiner, Siren
from skmetainv.solvers import GradientDescent, PrimalDual

# Total variation: the dual variable lies in a ball whose radius is the weight, and an image's edges
# are of order 0.01 to 0.1. The step size is the size of edges divided by the weight. Image and dual
# variable then move at the same rate.
_EDGES = 0.01
MOST_UPDATES, TOLERANCE = 2000, 1e-5


class Effort(NamedTuple):
    """Size of the searches."""

    updates: tuple[int, ...] = (
        *range(1, 9),
        *(10, 13, 16, 20, 25, 32, 40, 50, 63, 80, 100, 126, 160, 200),
    )
    """Numbers of updates of the solver alone."""
    weights: tuple[float, ...] = tuple(np.geomspace(1e-4, 10**-0.5, 15).tolist())
    """Weights of total variation, relative to the squared norm of the operator."""
    max_epochs: int | None = None
    """Number of epochs; None is the estimators' default."""
    settings: tuple[int, ...] | None = None
    """Indices of the grid's settings; None is all."""


QUICK = Effort(updates=(1, 2), weights=(0.001, 0.01), max_epochs=1, settings=(1,))


def literal_line(problem, effort):
    """Return the estimator of the literal line, not fitted."""
    estimator = MetaInverseSolver(
        solver=problem.row.solver, n_inner=3, outer_loss="l2", **problem.physics
    )
    return _shortened(estimator, effort)


def meta(problem, estimator):
    """Fit a `MetaInverseSolver`; return its scores and the settings that it found."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        restored, seconds = _trained(problem, estimator)
    stages = estimator.staged_predict(problem.measured)
    start = getattr(estimator.init_, "residual", None)
    return {
        **seconds,
        "psnr": scored(problem, restored),
        "psnr_of_start": start and _mean_psnr(problem, start.predict(problem.measured)),
        "psnr_of_stages": [_mean_psnr(problem, images) for images in stages],
        "inner_lr": estimator.inner_lr_,
        "inner_loss_of": estimator.inner_loss_.of,
        "epochs": estimator.n_epochs_,
        "estimator": description(estimator),
        "init": description(clone(estimator.init_)),
        "warnings": sorted({str(w.message) for w in told}),
    }


def supervised(problem, estimator):
    """Fit a network; return its scores."""
    restored, seconds = _trained(problem, estimator)
    return {
        **seconds,
        "psnr": scored(problem, restored),
        "epochs": estimator.n_epochs_,
        "estimator": description(estimator),
    }


def linear(problem, estimator):
    """Return the scores of the linear estimate."""
    began = time.perf_counter()
    restored = estimator.fit(problem.images.training).predict(problem.measured)
    seconds = time.perf_counter() - began
    return {"fit_seconds": seconds, "psnr": scored(problem, restored)}


def best_of(problem, candidates):
    """Return the scores of the classical solver that is best on the test images.

    Each candidate is a pair (value, estimator), where the value is the one that is tried.
    """
    tried, best = {}, None
    for value, estimator in candidates:
        estimator.fit(problem.images.training[:1])
        restored, record = estimator.predict(problem.measured, return_record=True)
        figures = scored(problem, restored)
        tried[value] = float(np.mean(figures))
        if best is None or tried[value] > np.mean(best["psnr"]):
            best = {"psnr": figures, "best": value, "converged": float(record.converged.mean())}
    at_edge = best["best"] in (min(tried), max(tried))
    return {**best, "at_edge": at_edge, "tried": tried}


def solver_alone(problem, effort):
    """Return pairs (number of updates, estimator) of the row's solver alone."""
    return [
        (n, _classical(problem, clone(problem.row.solver).set_params(n_iter=n)))
        for n in effort.updates
    ]


def total_variation(problem, effort):
    """Return pairs (weight, estimator) of total variation by the primal-dual method."""
    image_shape = (1, *problem.images.test.shape[1:])
    squared_norm = float(problem.row.operator.build(image_shape).norm()) ** 2
    candidates = []
    for weight in effort.weights:
        solver = variation(weight * squared_norm)
        candidates.append(
            (weight, _classical(problem, solver, max_iter=MOST_UPDATES, tol=TOLERANCE))
        )
    return candidates


def variation(weight):
    """Return the solver of total variation with a weight, with a step size that fits it."""
    return PrimalDual(weight=weight, step_size=_EDGES / weight)


def filling(problem):
    """Return the scores of biharmonic filling, or of the pseudo-inverse."""
    if not problem.row.masks:
        estimator = _classical(problem, GradientDescent(n_iter=0), start="pseudo_inverse")
        estimator.fit(problem.images.training[:1])
        return {"psnr": scored(problem, estimator.predict(problem.measured))}
    instrument = ClassicalReconstructor(problem.row.operator)
    unseen = instrument.simulate(np.ones_like(problem.images.test)) == 0
    missing = np.isnan(problem.measured) | unseen
    known = np.where(missing, 0.0, problem.measured)
    restored = [inpaint_biharmonic(*pair) for pair in zip(known, missing, strict=True)]
    return {"psnr": scored(problem, np.stack(restored))}


class Method(NamedTuple):
    """A method that is measured, with a digest of its settings."""

    name: str
    settings: str
    measure: object
    """A function without arguments that returns the figures."""


def methods(problem, effort):
    """Return the methods of a row by name."""
    line = literal_line(problem, effort)
    found = {
        "literal": _of_estimator(problem, line, meta),
        "linear": _of_estimator(problem, LinearReconstructor(**problem.physics), linear),
        "tv": _of_candidates(problem, total_variation(problem, effort)),
    }
    if problem.row.solver is not None:
        found["solver"] = _of_candidates(problem, solver_alone(problem, effort))
    found["filling"] = _digest(problem, "filling"), lambda: filling(problem)
    for name, estimator in learned(problem).items():
        found[name] = _of_estimator(problem, _shortened(estimator, effort), supervised)
    for name, init in starts(problem).items():
        found[name] = _of_estimator(problem, clone(line).set_params(init=init), meta)
    return {name: Method(name, *own) for name, own in found.items()}


def starts(problem):
    """Return other starts of the literal line by name: the default with one part changed."""
    refiner = Refiner(uncertainty=not problem.row.operator.has_missing)
    default = Siren(64, depth=3, residual=LinearReconstructor(), refiner=refiner, adapted="last")
    changes = {
        "no refiner": {"refiner": None},
        "adjoint": {"residual": "adjoint", "refiner": Refiner()},
        "all adapted": {"adapted": "all"},
        "SIREN alone": {"residual": None, "refiner": None, "adapted": "all"},
    }
    found = {name: clone(default).set_params(**own) for name, own in changes.items()}
    shifts = ModulatedSiren(64, depth=3, residual=LinearReconstructor(), refiner=refiner)
    return {**found, "modulated": shifts}


def learned(problem):
    """Return the networks of a row by name, with default parameters and not fitted."""
    found = {
        "unet": UNetReconstructor(**problem.physics),
        "unrolled": UnrolledReconstructor(**problem.physics),
    }
    if isinstance(problem.row.operator, Identity):
        own = {"noise_level": problem.noise, "random_state": problem.seed}
        found |= {"dncnn": DnCNN(**own), "drunet": DRUNet(**own)}
    return found


def meta_setting(problem, name, estimator, factor, told):
    """Return a `MetaInverseSolver` to measure, with a multiple of the default inner step size.

    `told` is its description in the tables.
    """

    def measure():
        trial = clone(estimator).set_params(max_epochs=1)
        inner_lr = factor * trial.fit(problem.images.training).inner_lr_
        return {**meta(problem, clone(estimator).set_params(inner_lr=inner_lr)), "told": told}

    return Method(name, _digest(problem, estimator, factor), measure)


def supervised_setting(problem, name, estimator, told):
    """Return a network to measure; `told` is its description in the tables."""
    settings = _digest(problem, estimator)
    return Method(name, settings, lambda: {**supervised(problem, estimator), "told": told})


def scored(problem, restored):
    """Return the PSNR of every test image, in decibels."""
    return np.round(psnr(problem.images.test, restored, per_image=True), 3).tolist()


def _mean_psnr(problem, restored):
    return float(np.mean(scored(problem, restored)))


def _of_estimator(problem, estimator, measure):
    return _digest(problem, estimator), lambda: measure(problem, estimator)


def _of_candidates(problem, candidates):
    def measure():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the results count them
            return best_of(problem, candidates)

    return _digest(problem, *candidates), measure


def _digest(problem, *told):
    """Return a digest of everything that results depend on, except the code."""
    parameters = [
        {k: repr(v) for k, v in one.get_params().items()} if hasattr(one, "get_params") else one
        for one in told
    ]
    sizes = [len(problem.images.training), problem.images.test.shape]
    everything = repr((problem.row, problem.noise, sizes, parameters))
    # Computed numbers, such as norms, differ between processors in the last digits.
    rounded = re.sub(r"\d+\.\d+(e-?\d+)?", lambda m: f"{float(m.group()):.6g}", everything)
    return hashlib.sha256(rounded.encode()).hexdigest()[:8]


def _classical(problem, solver, **settings):
    own = {"batch_size": len(problem.images.test), **settings}
    return ClassicalReconstructor(solver=solver, **own, **problem.physics)


def _trained(problem, estimator):
    """Fit an estimator; return its reconstructions, and the time of the fit.

    If the machine has other load, processor seconds are more reliable than wall time.
    """
    began, processor = time.perf_counter(), time.process_time()
    known = has_fit_parameter(estimator, "groups")
    estimator.fit(problem.images.training, **({"groups": problem.images.groups} if known else {}))
    fitted, fitted_processor = time.perf_counter(), time.process_time()
    restored = estimator.predict(problem.measured)
    seconds = {
        "fit_seconds": fitted - began,
        "fit_processor_seconds": fitted_processor - processor,
        "predict_seconds": time.perf_counter() - fitted,
    }
    return restored, seconds


def _shortened(estimator, effort):
    return estimator if effort.max_epochs is None else estimator.set_params(max_epochs=1)
