"""Choose settings on validation pictures, by short training."""

import itertools

import numpy as np

from benchmarks.paper.run import description, uninterrupted
from benchmarks.paper.settings import DEBLURRING, INPAINTING, MISSING, TUNED
from skmetainv.metrics import psnr

_OUTER = {"outer_lr": (3e-4, 1e-3)}
_LR = {"lr": (3e-4, 1e-3, 3e-3, 1e-2)}
_HQS = {"solver__weight": (0.03, 0.1, 0.3), "solver__measurement_noise": (0.015, 0.03, 0.05)}

# Converging takes long: so many validation pictures are scored.
_N_SCORED = 100

# What is tried, by table and column; columns of the same beginning share what is found.
CANDIDATES = {
    INPAINTING: {
        "Meta-3": {"inner_lr": (1.0, 10.0, 30.0), **_OUTER},
        "UNet": {**_LR, "residual": (True, False)},
    },
    MISSING: {
        "Meta": {"inner_lr": (0.003, 0.01, 0.03, 0.1), "outer_lr": (1e-4, 3e-4, 1e-3)},
        "UNet": {**_LR, "residual": (True, False)},
    },
    DEBLURRING: {
        "RED 12": {"solver__rho": (0.02, 0.05, 0.1)},
        "RED converged": {"solver__rho": (0.02, 0.05, 0.1)},
        "HQS 12": _HQS,
        "HQS converged": _HQS,
        "Meta-RED L2": {
            "inner_lr": (0.3, 3.0, 30.0, 100.0),
            **_OUTER,
            "solver__rho": (0.05, 0.2, 0.5),
        },
    },
    TUNED: {
        "Meta-RED L2": {"solver_lr": (1e-4, 3e-4, 1e-3)},
        "RED(12)": {"lr": (1e-4, 3e-4, 1e-3)},
        "HQS(12)": {"lr": (1e-4, 3e-4, 1e-3)},
    },
}


def candidates(table):
    """Return all (column, settings) to try for a table."""
    return [
        (name, dict(zip(grid, values, strict=True)))
        for name, grid in CANDIDATES[table].items()
        for values in itertools.product(*grid.values())
    ]


def validation_psnr(experiment, name, settings, n_training):
    """Return the mean PSNR of validation pictures after one epoch of some training pictures."""
    pictures = experiment.pictures
    estimator = experiment.columns()[name].set_params(**settings)
    if hasattr(estimator, "max_epochs"):
        estimator.set_params(max_epochs=1)
    uninterrupted(estimator.fit(pictures.training[:n_training]))
    scored = pictures.validation[:_N_SCORED]
    clean, measured = scored / 255, experiment.measurements(scored)
    ratios = [psnr(clean, estimator.predict(y)) for y in measured.values()]
    return {
        "column": name,
        "settings": settings,
        "psnr": float(np.mean(ratios)),
        "estimator": description(estimator),
    }


def print_candidates(found):
    """Print what was found, the best of each column first."""
    for run in sorted(found, key=lambda run: (run["column"], -run["psnr"])):
        print(f"{run['column']:16}{run['psnr']:8.3f}  {run['settings']}")
