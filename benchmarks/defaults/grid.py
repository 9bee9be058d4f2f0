"""Twenty random settings of an estimator around its defaults, as a user might search them."""

import numpy as np

from benchmarks.defaults.methods import learned, literal_line, meta_setting, supervised_setting
from skmetainv import LinearReconstructor
from skmetainv.denoisers import DnCNN
from skmetainv.meta import MAML
from skmetainv.representations import Refiner, Siren
from skmetainv.solvers import HQS, RED, ProximalGradient
from skmetainv.training import Adam

N_SETTINGS = 20
# The paper's method: a fully adapted SIREN without a start, but with 64 units and three layers.
# (256 units and five layers take more than ten minutes for half the epochs.) All other settings are
# those of the literal line.
PAPER = {
    "init": Siren(width=64, depth=3),
    "n_inner": 3,
    "inner_lr": 1.0,
    "outer_lr": 1e-3,
    "max_epochs": 1.0,
    "batch_size": 16,
}
# The default when these settings were measured
_REFINER_LR = 1e-3
# Values of these settings multiply the default inner step size ("auto") and the default epochs.
FACTORS = ("inner_lr", "max_epochs")


def drawn(name, n):
    """Return `n` settings of an estimator, each a dict of parameters; `FACTORS` multiply defaults.

    The first setting of "literal" is `PAPER`. All others are drawn.
    """
    rng = np.random.default_rng(0)
    first = [PAPER] if name == "literal" else []
    return first + [_DRAWERS[name](rng) for _ in range(n - len(first))]


def _literal(rng):
    network = Siren(
        width=int(rng.choice([16, 32, 48, 64])),
        depth=int(rng.choice([3, 4, 5])),
        residual=LinearReconstructor(),
        adapted=str(rng.choice(["last", "all"])),
        refiner=Refiner(
            width=int(rng.choice([16, 32, 48])), depth=int(rng.choice([3, 5, 7])), lr=_REFINER_LR
        ),
    )
    return {
        "init": network,
        "n_inner": int(rng.integers(0, 6)),
        "inner_lr": float(10 ** rng.uniform(-1, 1)),
        "algorithm": MAML(
            step_sizes=str(rng.choice(["fixed", "per_step", "per_layer", "per_parameter"]))
        ),
        "outer_lr": float(3e-4 * 10 ** rng.uniform(0, 1)),
        "max_epochs": float(rng.choice([0.5, 1.0, 2.0])),
        "batch_size": int(rng.choice([8, 16])),
    }


def _training(rng, middle):
    """Draw training settings, with a learning rate within a factor of 5 of the middle."""
    return {
        "lr": float(middle * 5 ** rng.uniform(-1, 1)),
        "loss": str(rng.choice(["l1", "l2"])),
        "max_epochs": float(rng.choice([0.5, 1.0, 2.0])),
        "batch_size": int(rng.choice([8, 16])),
    }


def _unet(rng):
    return {
        "width": int(rng.choice([8, 16, 32, 48])),
        "depth": int(rng.choice([2, 3, 4])),
        "start": str(rng.choice(["auto", "pseudo_inverse"])),
        "residual": bool(rng.random() < 0.75),
        **_training(rng, 2e-3),
    }


def _unrolled(rng):
    denoiser = DnCNN(
        noise_level=(0.01, 0.2),
        depth=int(rng.choice([3, 5, 7])),
        width=int(rng.choice([16, 24, 32])),
        noise_level_input=True,
        lr=float(2e-3 * 3 ** rng.uniform(-1, 1)),
        max_epochs=int(rng.choice([20, 50])),
    )
    solver = [HQS, RED, ProximalGradient][rng.integers(3)](
        denoiser, n_iter=int(rng.choice([3, 5, 8]))
    )
    if not isinstance(solver, HQS):
        solver.set_params(noise_level=0.1)
    return {
        "solver": solver,
        "start": str(rng.choice(["adjoint", "pseudo_inverse"])),
        "optimizer": Adam(max_grad_norm=[None, 1.0][rng.integers(2)]),
        **_training(rng, 2e-3),
    }


def _dncnn(rng):
    return {
        "depth": int(rng.choice([5, 9, 17])),
        "width": int(rng.choice([16, 32, 64])),
        "augment": bool(rng.random() < 0.75),
        **_training(rng, 1e-3),
    }


def _drunet(rng):
    return {
        "width": int(rng.choice([8, 16, 32])),
        "n_blocks": int(rng.choice([1, 2, 4])),
        "augment": bool(rng.random() < 0.75),
        **_training(rng, 1e-3),
    }


_DRAWERS = {
    "literal": _literal,
    "unet": _unet,
    "unrolled": _unrolled,
    "dncnn": _dncnn,
    "drunet": _drunet,
}


NAMES = tuple(_DRAWERS)


def methods(name, problem, figures, effort):
    """Yield the settings of an estimator as methods of a row.

    Parameters
    ----------
    name : {"literal", "unet", "unrolled", "dncnn", "drunet"}
        Name of the estimator.
    problem : Problem
        The row on one split.
    figures : dict
        Results of the estimator with default parameters, which include its number of epochs.
    effort : Effort
        Size of the searches.
    """
    for k, settings in enumerate(drawn(name, N_SETTINGS)):
        if effort.settings is not None and k not in effort.settings:
            continue
        own = settings | {"max_epochs": max(1, round(settings["max_epochs"] * figures["epochs"]))}
        called, told = f"{name} {k:02}", described(settings)
        if name == "literal":
            estimator = literal_line(problem, effort).set_params(**own | {"inner_lr": "auto"})
            yield meta_setting(problem, called, estimator, settings["inner_lr"], told)
        else:
            estimator = learned(problem)[name].set_params(**own)
            yield supervised_setting(problem, called, estimator, told)


def described(settings):
    """Return settings as one line of text."""
    words = []
    for name, value in settings.items():
        text = f"{value:.2g}" if isinstance(value, float) else " ".join(repr(value).split())
        words.append(f"{name} x {text}" if name in FACTORS else f"{name}={text}")
    return ", ".join(words)
