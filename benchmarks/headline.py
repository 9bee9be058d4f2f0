"""A meta-learned start beside learned reconstructors, in and out of distribution.

    OMP_NUM_THREADS=1 python -m benchmarks.headline --images FOLDER [--photographs FOLDER]
        [--problems NAME ...] [--methods NAME ...] [--seconds 60] [--seeds 1] [--tune]

All methods are trained on the same faces for the same time: a trial of four epochs gives the time
of an epoch, from which the number of epochs follows; the fit of a start counts, too. Then
they restore other people's faces, under the conditions of training and under others: another hole,
a wider blur, more noise, another pattern, photographs. The operator of a condition is always named,
``predict(y, operator=...)``. Only its noise is unknown.

There are two tables. In the first, methods were trained for the one instrument of a problem. In the
second, half of the training images were measured by 16 others (`RandomOperator`), none of which is
that of a condition. The last column is the difference between the meta-learned start and the best
other method, paired by image, with its standard error over people.

Runs are recorded as they are finished, so that an interrupted command resumes. With ``--tune``, the
validation images are restored instead of the test images.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import randint, uniform
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from benchmarks.command_line import command_line
from benchmarks.own_process import in_own_process
from benchmarks.pictures import split_pictures
from benchmarks.record import load, update
from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.metrics import psnr, ssim
from skmetainv.model_selection import standard_error
from skmetainv.operators import (
    FourierSampling,
    GaussianBlur,
    Inpainting,
    MissingPixels,
    Operator,
    Radon,
    RandomOperator,
)

SIZE, N_TRAINING, N_VALIDATION, N_TEST = 32, 1000, 200, 500
PHOTOGRAPHS = "photographs"
VIEWS = np.arange(0.0, 180.0, 6.0)


class Condition(NamedTuple):
    """What measures images: an operator, and the standard deviation of the noise."""

    operator: Operator
    noise: float = 0.0


class Problem(NamedTuple):
    """The condition of training, and others by name."""

    training: Condition
    others: dict[str, Condition]
    many: dict[str, Any] | None = None
    """What a `RandomOperator` draws; None if masks vary anyway."""


def boxes(n, least=4, most=17):
    """Return holes of random place and size, as rows, columns, heights and widths."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(least, most + 1, (n, 2))
    corners = [rng.integers(0, SIZE - size + 1).tolist() for size in sizes]
    return [(*corner, *size) for corner, size in zip(corners, sizes.tolist(), strict=True)]


PROBLEMS = {
    "centre": Problem(
        Condition(Inpainting()),
        {
            "hole twice as large": Condition(Inpainting(fraction=2**0.5 / 3)),
            "hole shifted": Condition(Inpainting("box", box=(3, 17, 10, 10))),
            "upper half missing": Condition(Inpainting("box", box=(0, 0, 16, 32))),
        },
        {"mask": ["box"], "box": boxes(16)},
    ),
    "blur": Problem(
        Condition(GaussianBlur(sigma=1.6), 0.015),
        {
            "sigma 2.4": Condition(GaussianBlur(sigma=2.4), 0.015),
            "noise x 2": Condition(GaussianBlur(sigma=1.6), 0.03),
        },
        {"sigma": uniform(0.8, 1.6)},
    ),
    "strong blur": Problem(
        Condition(GaussianBlur(sigma=3.0), 0.05),
        {
            "sigma 4.5": Condition(GaussianBlur(sigma=4.5), 0.05),
            "noise x 2": Condition(GaussianBlur(sigma=3.0), 0.1),
        },
        {"sigma": uniform(1.5, 3.0)},
    ),
    "fourier": Problem(
        Condition(FourierSampling(acceleration=4.0)),
        {
            "other pattern": Condition(FourierSampling(acceleration=4.0, random_state=1)),
            "6 times": Condition(FourierSampling(acceleration=6.0)),
        },
        {"acceleration": uniform(3.0, 4.0), "random_state": randint(2, 1000)},
    ),
    "tomography": Problem(
        Condition(Radon(angles=VIEWS), 0.1),
        {
            "other angles": Condition(Radon(angles=VIEWS + 3.0), 0.1),
            "noise x 2": Condition(Radon(angles=VIEWS), 0.2),
        },
        {"angles": [VIEWS + shift for shift in np.setdiff1d(np.arange(0.25, 6.0, 0.25), [3.0])]},
    ),
    "half": Problem(
        Condition(MissingPixels(observed=0.5)),
        {
            "one side": Condition(MissingPixels(observed=0.5, pattern="side")),
            "boxes": Condition(MissingPixels(observed=0.75, pattern="box")),
        },
    ),
    "10 observed": Problem(
        Condition(MissingPixels(observed=10)), {"20": Condition(MissingPixels(observed=20))}
    ),
    "1000 observed": Problem(
        Condition(MissingPixels(observed=1000)), {"500": Condition(MissingPixels(observed=500))}
    ),
}

META = "meta"
#: By name, functions from an operator to an estimator. Those after the first are alternatives.
METHODS = {
    META: MetaInverseSolver.recommended,
    "meta, no inner step": lambda operator: MetaInverseSolver.recommended(operator).set_params(
        n_inner=0
    ),
    "linear": LinearReconstructor,
    "U-Net": UNetReconstructor,
    "unrolled HQS": UnrolledReconstructor,
}
#: Added to the name of a method that was trained for many instruments.
MANY = ", many instruments"
N_INSTRUMENTS = 16
TRAINED = [name for name in METHODS if name not in ("linear", "meta, no inner step")]
TABLES = [[*METHODS], [*(name + MANY for name in TRAINED), "linear"]]
ALL_METHODS = [*METHODS, *(name + MANY for name in TRAINED)]


def trained(estimator, images, seconds, groups=None):
    """Fit an estimator in about the given time; return it and the actual time."""
    fit_params = {"groups": groups} if has_fit_parameter(estimator, "groups") else {}

    def timed_fit(est):
        began = time.perf_counter()
        est.fit(images, **fit_params)
        return time.perf_counter() - began

    if "max_epochs" in estimator.get_params():
        estimator.set_params(early_stopping=False)  # whose time would not be counted
        trial = clone(estimator).set_params(max_epochs=4)
        spent = timed_fit(trial)
        of_epochs = trial.history_["seconds"]
        before = spent - sum(of_epochs)
        estimator.set_params(max_epochs=max(2, int((seconds - before) / np.median(of_epochs))))
    return estimator, timed_fit(estimator)


def restored(estimator, condition, images):
    """Return PSNR and SSIM of each image under a condition."""
    operator, noise = condition
    camera = ClassicalReconstructor(operator, noise=noise, random_state=0)
    restorations = estimator.predict(camera.simulate(images), operator=operator)
    return {
        "psnr": np.round(psnr(images, restorations, per_image=True), 3),
        "ssim": np.round(ssim(images, restorations, per_image=True), 4),
    }


def measure(problem, method, seed, seconds, training, test_sets, groups=None):
    """Train a method on a problem; return its figures under all conditions.

    Parameters
    ----------
    problem, method : str
        Their names.
    seed : int
        Seed of the training.
    seconds : float
        Its time.
    training : ndarray
        Training images.
    test_sets : dict of str to ndarray
        Images to restore: "faces", and perhaps "photographs".
    groups : ndarray, default=None
        The person in each training image.
    """
    torch.set_num_threads(1)
    (operator, noise), others, many = PROBLEMS[problem]
    if method.endswith(MANY):
        operator = RandomOperator(operator, many, n_instruments=N_INSTRUMENTS, nominal=0.5)
    make = METHODS[method.removesuffix(MANY)]
    estimator = make(operator).set_params(noise=noise, random_state=seed)
    fitted, spent = trained(estimator, training, seconds, groups)
    same = PROBLEMS[problem].training
    conditions = {"as trained": (same, "faces")}
    conditions |= {name: (condition, "faces") for name, condition in others.items()}
    if PHOTOGRAPHS in test_sets:
        conditions[PHOTOGRAPHS] = (same, PHOTOGRAPHS)
    return {
        "problem": problem,
        "method": method,
        "seed": seed,
        "seconds": round(spent, 1),
        "n_weights": fitted.n_weights_,
        "max_epochs": getattr(fitted, "max_epochs", None),
        "conditions": {
            name: restored(fitted, condition, test_sets[images])
            for name, (condition, images) in conditions.items()
        },
    }


def one_run(args, problem, method, seed):
    """Measure one method with the images of the command."""
    sizes = {"n_validation": N_VALIDATION, "n_test": N_TEST}
    faces = split_pictures(args.images, SIZE, n_training=N_TRAINING, random_state=seed, **sizes)
    test_sets = {"faces": (faces.validation if args.tune else faces.test) / 255}
    if args.photographs:
        crops = split_pictures(
            args.photographs, SIZE, n_validation=20, n_test=100, n_training=20, crops=1
        )
        test_sets[PHOTOGRAPHS] = (crops.validation if args.tune else crops.test) / 255
    training = faces.training / 255
    groups = faces.training_groups
    return measure(problem, method, seed, args.seconds, training, test_sets, groups)


def people(args, seed):
    """Return the person in each image that is restored."""
    sizes = {"n_validation": N_VALIDATION, "n_test": N_TEST}
    pictures = split_pictures(args.images, SIZE, n_training=1, random_state=seed, **sizes)
    return pictures.validation_groups if args.tune else pictures.groups


def with_run(run, results):
    """Return the results with one more run."""
    return [*(results or []), run]


def key(run):
    """Return the problem, method and seed of a run."""
    return run["problem"], run["method"], run["seed"]


def table(runs, methods, groups_of=None):
    """Return a Markdown table: PSNR under each condition, and the difference to the best other.

    Parameters
    ----------
    runs : list of dict
        The results of `measure`.
    methods : list of str
        The methods to compare. The first, and all whose names begin with "meta", are ours.
    groups_of : dict of int to ndarray, default=None
        By seed, the person in each image that is restored. If None, every image counts as a
        person. Photographs are the same for all seeds.
    """
    names = [name for name in methods if any(run["method"] == name for run in runs)]
    lines = [f"| problem | condition | {' | '.join(names)} | meta - best other |"]
    lines.append("|" + "---|" * (len(names) + 3))
    for problem in dict.fromkeys(run["problem"] for run in runs):
        own = [run for run in runs if run["problem"] == problem]
        for condition in dict.fromkeys(name for run in own for name in run["conditions"]):
            values: dict[str, Any] = {
                name: {
                    run["seed"]: np.asarray(run["conditions"][condition]["psnr"])
                    for run in own
                    if run["method"] == name
                }
                for name in names
            }
            means = [_mean(values[name]) for name in names]
            difference = _difference(values, methods, condition, groups_of)
            lines.append(f"| {problem} | {condition} | {' | '.join(means)} | {difference} |")
    return "\n".join(lines)


def _mean(by_seed):
    return f"{np.concatenate(list(by_seed.values())).mean():.2f}" if by_seed else ""


def _difference(values, methods, condition, groups_of):
    """Return the paired difference between the meta-learned start and the best other method.

    Only seeds that both have are compared.
    """
    meta, others = methods[0], {}
    for name in methods:
        seeds = sorted({*values.get(meta, {})} & {*values.get(name, {})})
        if seeds and not name.startswith(META):
            pairs = [(values[meta][seed], values[name][seed]) for seed in seeds]
            others[name] = np.concatenate([ours - theirs for ours, theirs in pairs]), seeds
    if not others:
        return ""
    best = min(others, key=lambda name: others[name][0].mean())
    gained, seeds = others[best]
    n_images = len(gained) // len(seeds)
    is_known = groups_of is not None and condition != PHOTOGRAPHS
    by_seed = [groups_of[seed] if is_known else np.arange(n_images) for seed in seeds]
    return f"{gained.mean():+.2f} ± {standard_error(gained, np.concatenate(by_seed)):.2f} ({best})"


def main():
    parser = command_line(__doc__)
    parser.add_argument("--images", required=True, help="folder of Labeled Faces in the Wild")
    parser.add_argument("--photographs", help="folder of photographs with train and val")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--methods", nargs="+", choices=ALL_METHODS, default=ALL_METHODS)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time of a run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="restore validation images")
    args = parser.parse_args()
    record = "headline_tuning" if args.tune else "headline"
    settings = {
        "size": SIZE,
        "images": [N_TRAINING, N_VALIDATION, N_TEST],
        "seconds": args.seconds,
        "folders": [Path(args.images).name, args.photographs and Path(args.photographs).name],
    }
    results = load(record, settings) or []
    tasks = [(p, m, s) for s in range(args.seeds) for p in args.problems for m in args.methods]
    for task in tasks:
        has_instruments = PROBLEMS[task[0]].many is not None or not task[1].endswith(MANY)
        if has_instruments and task not in map(key, results):
            run = in_own_process(one_run, args, *task)
            results = update(record, settings, partial(with_run, run))
            mean = np.mean(run["conditions"]["as trained"]["psnr"])
            print(f"{task}: {mean:.2f} dB after {run['seconds']:.0f} s", flush=True)
    groups_of = {seed: people(args, seed) for seed in {run["seed"] for run in results}}
    for methods in TABLES:
        print(table(results, methods, groups_of), end="\n\n")


if __name__ == "__main__":
    main()
