"""Measure the quickstart over five random splits: does it beat both fillings, does it learn.

    python -m benchmarks.quickstart

Prints the mean PSNR of each method, the paired differences to ours with their standard error over
the held-out faces of all splits, the PSNR by inner step and the held-out PSNR by epoch. The
estimator's settings were chosen on other faces (see docs/benchmarks.md).
"""

import time

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.command_line import command_line
from benchmarks.record import save
from examples.quickstart import make_estimator, restore
from skmetainv.datasets import load_faces
from skmetainv.metrics import psnr
from skmetainv.model_selection import standard_error

SEEDS = range(5)
EPOCHS = (1, 2, 5, 10, 15)


def one_split(seed):
    """Return the PSNR of every held-out face by method, by inner step, and by epoch."""
    train, test = train_test_split(load_faces(), test_size=20, random_state=seed)
    estimator = make_estimator(random_state=seed)
    began = time.perf_counter()
    restored = restore(train, test, estimator)
    seconds = time.perf_counter() - began
    by_method = {
        name: psnr(test, images, per_image=True).tolist() for name, images in restored.items()
    }
    stages = estimator.staged_predict(restored["measurement"])
    by_step = [psnr(test, images) for images in stages]
    by_epoch, learner = [], make_estimator(random_state=seed)
    for epoch in range(1, max(EPOCHS) + 1):
        learner.partial_fit(train)
        if epoch in EPOCHS:
            by_epoch.append(psnr(test, learner.predict(restored["measurement"])))
    return {
        "seed": seed,
        "seconds": seconds,
        "psnr": by_method,
        "psnr_by_inner_step": by_step,
        "psnr_by_epoch": by_epoch,
    }


def main():
    command_line(__doc__).parse_args()
    splits = []
    for seed in SEEDS:
        splits.append(one_split(seed))
        print(f"split {seed}: {splits[-1]['seconds']:.0f} s", flush=True)
    methods = list(splits[0]["psnr"])
    values = {m: np.concatenate([s["psnr"][m] for s in splits]) for m in methods}
    ours = values[methods[-1]]
    differences = {}
    print("standard errors of the difference: over all faces, and over splits")
    print(f"\n{'':20}{'PSNR (dB)':>10}{'ours - it':>11}{'faces':>7}{'splits':>7}{'by split':>26}")
    for method in methods:
        paired = ours - values[method]
        per_split = [float(d.mean()) for d in np.split(paired, len(splits))]
        differences[method] = {
            "mean": float(paired.mean()),
            "standard_error_over_faces": standard_error(paired),
            "standard_error_over_splits": standard_error(per_split),
            "by_split": per_split,
        }
        print(
            f"{method:20}{values[method].mean():10.2f}{paired.mean():11.2f}"
            f"{standard_error(paired):7.2f}{standard_error(per_split):7.2f}    "
            f"{' '.join(f'{d:5.2f}' for d in per_split)}"
        )
    for name in ("psnr_by_inner_step", "psnr_by_epoch"):
        figures = np.array([s[name] for s in splits])
        print(f"\n{name}: " + " ".join(f"{v:.2f}" for v in figures.mean(axis=0)))
        errors = [standard_error(column) for column in figures.T]
        print("standard error over splits: " + " ".join(f"{e:.2f}" for e in errors))
    settings = {"estimator": repr(make_estimator()), "test_faces": 20, "epochs": EPOCHS}
    print(save("quickstart", settings, {"differences": differences, "splits": splits}).name)


if __name__ == "__main__":
    main()
