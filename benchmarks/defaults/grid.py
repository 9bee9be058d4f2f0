"""Twenty settings that a user might search, drawn once, around what the literal line found."""

import numpy as np

from benchmarks.defaults.methods import literal_line, setting
from skmetainv import LinearReconstructor
from skmetainv.representations import Refiner, Siren

N_SETTINGS = 20
# The paper's own network, without a start, for half the epochs: it is slow. All else is as in the
# literal line.
PAPER = {
    "init": Siren(),
    "n_inner": 3,
    "inner_lr": 1.0,
    "inner_lr_rule": "per_step",
    "outer_lr": 1e-3,
    "max_epochs": 0.5,
    "batch_size": 16,
}


def drawn(n):
    """Return `n` settings, the inner step size and the epochs as factors of those found."""
    rng, settings = np.random.default_rng(0), [PAPER]
    while len(settings) < n:
        network = Siren(
            width=int(rng.choice([16, 32, 48, 64])),
            depth=int(rng.choice([3, 4, 5])),
            residual=LinearReconstructor(),
            adapted=str(rng.choice(["last", "all"])),
            refiner=Refiner(width=int(rng.choice([16, 32, 48])), depth=int(rng.choice([3, 5, 7]))),
        )
        settings.append(
            {
                "init": network,
                "n_inner": int(rng.integers(0, 6)),
                "inner_lr": float(10 ** rng.uniform(-1, 1)),
                "inner_lr_rule": str(
                    rng.choice(["fixed", "per_step", "per_layer", "per_parameter"])
                ),
                "outer_lr": float(3e-4 * 10 ** rng.uniform(0, 1)),
                "max_epochs": float(rng.choice([0.5, 1.0, 2.0])),
                "batch_size": int(rng.choice([8, 16])),
            }
        )
    return settings


def methods(problem, line, effort):
    """Return the settings as methods of a row.

    Parameters
    ----------
    problem : Problem
        The row on one split.
    line : dict
        The figures of the literal line, which has the epochs that it took.
    effort : Effort
        How much is tried.
    """
    for k, settings in enumerate(drawn(N_SETTINGS)):
        if effort.settings is not None and k not in effort.settings:
            continue
        epochs = max(1, round(settings["max_epochs"] * line["epochs"]))
        own = settings | {"inner_lr": "auto", "max_epochs": epochs}
        estimator = literal_line(problem, effort).set_params(**own)
        name, factor = f"setting {k:02}", settings["inner_lr"]
        yield setting(problem, name, estimator, factor, described(settings))


def described(settings):
    """Return settings in a few words."""
    init = settings["init"]
    words = [f"SIREN {init.depth} x {init.width}"]
    if init.refiner is not None:
        words.append(f"refiner {init.refiner.depth} x {init.refiner.width}")
    words += [f"n_inner={settings['n_inner']}", f"inner_lr x {settings['inner_lr']:.2g}"]
    words += [settings["inner_lr_rule"], f"outer_lr={settings['outer_lr']:.1e}"]
    words += [f"epochs x {settings['max_epochs']:g}", f"batches of {settings['batch_size']}"]
    return ", ".join(words)
