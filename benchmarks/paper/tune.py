"""Choose settings on validation images, by short and by long training."""

import numpy as np
from sklearn.model_selection import ParameterGrid

from benchmarks.paper.columns import STEPS
from benchmarks.paper.run import description
from benchmarks.paper.settings import DEBLURRING, INPAINTING, MISSING, TUNED
from skmetainv.metrics import psnr

_OUTER = {"outer_lr": (3e-4, 1e-3)}
_LR = {"lr": (3e-4, 1e-3, 3e-3, 1e-2)}
_HQS = {"solver__weight": (0.03, 0.1, 0.3), "solver__measurement_noise": (0.015, 0.03, 0.05)}

# Columns that run to convergence are slow, so only this many validation images are scored.
N_SCORED = 100

# Short training uses this many images, for 100 or 150 outer steps; long training uses all.
N_SHORT = {INPAINTING: 500, MISSING: 500, DEBLURRING: 450, TUNED: 450}

# Candidates of short training, by table and column. Columns with the same prefix share the best
# one.
_SHORT = {
    INPAINTING: {
        "Meta-3": {"inner_lr": (1.0, 10.0, 30.0), **_OUTER},
        "UNet": {**_LR, "residual": (True, False)},
    },
    MISSING: {
        "Meta": {"inner_lr": (0.003, 0.01, 0.03, 0.1), "outer_lr": (1e-4, 3e-4, 1e-3)},
        "UNet": {**_LR, "residual": (True, False)},
    },
    DEBLURRING: {
        "RED 12": {"solver__weight": (0.02, 0.05, 0.1)},
        "RED converged": {"solver__weight": (0.02, 0.05, 0.1)},
        "HQS 12": _HQS,
        "HQS converged": _HQS,
        "Meta-RED L2": {
            "inner_lr": (0.3, 3.0, 30.0, 100.0),
            **_OUTER,
            "solver__weight": (0.05, 0.2, 0.5),
        },
    },
    TUNED: {
        "Meta-RED L2": {"tune_solver__lr": (1e-4, 3e-4, 1e-3)},
        "RED(12)": {"lr": (1e-4, 3e-4, 1e-3)},
        "HQS(12)": {"lr": (1e-4, 3e-4, 1e-3)},
    },
}

# Candidates of long training, for stability: smaller initial step sizes with more inner steps.
_CLIPPED = {"optimizer__max_grad_norm": (None, 0.1)}
_LONG = {
    INPAINTING: {
        **{f"Meta-{m}": {"inner_lr": (3.0, 10.0), **_CLIPPED} for m in STEPS},
        "UNet": {"lr": (1e-3, 3e-3, 1e-2), **_CLIPPED},
    },
    MISSING: {
        "Meta": {"inner_lr": (0.01, 0.03), **_CLIPPED},
        "UNet": {"lr": (1e-3, 3e-3, 1e-2), **_CLIPPED},
    },
}
CANDIDATES = {"short": _SHORT, "long": _LONG}


def candidates(table, length):
    """Return all (column, settings) to try for a table in ``"short"`` or ``"long"`` training."""
    grids = CANDIDATES[length].get(table, {}).items()
    return [(name, settings) for name, grid in grids for settings in ParameterGrid(grid)]


def candidate(experiment, name, settings):
    """Return an unfitted column with the settings to try, for one epoch of training."""
    estimator = experiment.columns()[name].set_params(**settings)
    return estimator.set_params(max_epochs=1) if hasattr(estimator, "max_epochs") else estimator


def validation_psnr(experiment, name, settings, length):
    """Return the mean PSNR of validation images after one epoch of short or long training."""
    pictures = experiment.pictures
    training = pictures.training
    if length == "short":
        training = training[: N_SHORT[experiment.table]]
    estimator = candidate(experiment, name, settings).fit(training)
    scored = pictures.validation[:N_SCORED]
    clean, measured = scored / 255, experiment.measurements(scored)
    ratios = [psnr(clean, estimator.predict(y)) for y in measured.values()]
    return {
        "column": name,
        "settings": settings,
        "length": length,
        "images": len(training),
        "psnr": float(np.mean(ratios)),
        "estimator": description(estimator),
    }


def print_candidates(found):
    """Print the results column by column, long training before short, the best of each first."""
    for run in sorted(found, key=lambda run: (run["column"], run["length"], -run["psnr"])):
        print(f"{run['column']:16}{run['length']:8}{run['psnr']:8.3f}  {run['settings']}")
