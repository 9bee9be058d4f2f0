"""Choose the quickstart's settings, on other faces than it is judged on.

    python -m benchmarks.tune_quickstart --images FOLDER

Takes 160 people of a folder of faces (one picture each, the file's name before the number is the
person), brings them to the quickstart's 25 x 25 pixels, trains on 80 and prints the PSNR on the
others by epoch, for each candidate, beside both fillings.
"""

import numpy as np

from benchmarks.command_line import command_line
from benchmarks.pictures import persons
from benchmarks.record import save
from examples.quickstart import make_estimator, restore
from skmetainv.datasets import ImageFolder
from skmetainv.metrics import psnr
from skmetainv.representations import Siren

CANDIDATES = {
    "width 64": {},
    "width 128, outer_lr 1e-4": {"init": Siren(width=128), "outer_lr": 1e-4},
    "outer_lr 1e-4": {"outer_lr": 1e-4},
    "per_step": {"inner_lr_rule": "per_step"},
    "n_inner 5": {"n_inner": 5},
    "inner_lr 10": {"inner_lr": 10.0},
    "omega_0 10": {"init": Siren(width=64, omega_0=10.0)},
    "depth 3": {"init": Siren(width=64, depth=3)},
}
BASE = {"init": Siren(width=64), "outer_lr": 3e-4}
SEEDS, N_TRAIN, N_TEST = range(2), 80, 80
EPOCHS = (5, 10, 15, 20)


def faces_of_other_people(path, seed):
    folder = ImageFolder(path, size=25)
    first = np.unique(persons(folder), return_index=True)[1]
    chosen = np.random.default_rng(seed).permutation(first)[: N_TRAIN + N_TEST]
    images = np.asarray(folder[chosen]) / 255
    return images[:N_TRAIN], images[N_TRAIN:]


def by_epoch(train, test, parameters, seed):
    estimator = make_estimator(random_state=seed).set_params(**BASE | parameters)
    scores = []
    for epoch in range(1, max(EPOCHS) + 1):
        estimator.partial_fit(train)
        if epoch in EPOCHS:
            scores.append(estimator.score(test))
    return scores


def main():
    parser = command_line(__doc__)
    parser.add_argument("--images", required=True)
    path = parser.parse_args().images
    data = [faces_of_other_people(path, seed) for seed in SEEDS]
    fillings = {}
    for train, test in data:
        restored = restore(train, test, make_estimator().set_params(max_epochs=1, n_inner=0))
        for name in ("training mean", "biharmonic"):
            fillings.setdefault(name, []).append(psnr(test, restored[name]))
    for name, values in fillings.items():
        print(f"{name:28}{np.mean(values):7.2f}")
    results = {}
    print(f"{'PSNR (dB) at epoch':28}" + "".join(f"{epoch:7}" for epoch in EPOCHS))
    for name, parameters in CANDIDATES.items():
        scores = [by_epoch(*pair, parameters, seed) for pair, seed in zip(data, SEEDS, strict=True)]
        results[name] = scores
        print(f"{name:28}" + "".join(f"{v:7.2f}" for v in np.mean(scores, axis=0)), flush=True)
    estimators = {
        name: repr(make_estimator().set_params(**BASE | parameters))
        for name, parameters in CANDIDATES.items()
    }
    settings = {
        "estimators": estimators,
        "seeds": list(SEEDS),
        "n_train": N_TRAIN,
        "n_test": N_TEST,
        "epochs": EPOCHS,
    }
    save("tune_quickstart", settings, {"fillings": fillings, "by_epoch": results})


if __name__ == "__main__":
    main()
