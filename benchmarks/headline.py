"""A meta-learned start beside learned reconstructors, in and out of distribution.

    OMP_NUM_THREADS=1 python -m benchmarks.headline --images FOLDER [--photographs FOLDER]
        [--size 32] [--training 1000] [--problems NAME ...] [--methods NAME ...] [--seconds 60]
        [--seeds 1] [--jobs 2] [--tune]

All networks are trained on the same faces for the same time: a trial of four epochs gives the time
of an epoch, from which the number of epochs follows; the fit of a start counts, too. The weight of
total variation is the best of nine for 20 of these faces. Then all methods restore other people's
faces, under the conditions of training and under others: another hole, a wider blur, more noise,
another pattern, photographs. The operator of a condition and its noise are always named,
``predict(y, operator=...)``.

There are two tables. In the first, methods were trained for the one instrument of a problem. In the
second, half of the training images were measured by 16 others (`RandomOperator`), none of which is
that of a condition. The last columns are differences in PSNR (dB) and SSIM between the meta-learned
start and the other method with the best PSNR, paired by image, with their standard errors over
people.

Each run has its own process with one thread; `--jobs` of them run at the same time. Runs are
recorded in their order, so that an interrupted command resumes. Each size and number of
training images has its own record. With ``--tune``, the validation images are restored instead of
the test images.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import has_fit_parameter

from benchmarks.command_line import command_line
from benchmarks.defaults.methods import MOST_UPDATES, TOLERANCE, variation
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
    WithNoise,
)
from skmetainv.solvers import PrimalDual

SIZE, N_TRAINING, N_VALIDATION, N_TEST = 32, 1000, 200, 500
PHOTOGRAPHS = "photographs"
VIEWS = np.arange(0.0, 180.0, 6.0)


class Problem(NamedTuple):
    """The operator of training, and others by name, with their noise."""

    training: Operator
    others: dict[str, Operator]
    many: dict[str, Any] | None = None
    """What a `RandomOperator` draws; None if masks vary anyway."""


def boxes(size, n):
    """Return holes of random place and size, as rows, columns, heights and widths.

    Their sides are from an eighth to half of the image's.
    """
    rng = np.random.default_rng(0)
    sides = rng.integers(size // 8, size // 2 + 2, (n, 2))
    corners = [rng.integers(0, size - own + 1).tolist() for own in sides]
    return [(*corner, *own) for corner, own in zip(corners, sides.tolist(), strict=True)]


def problems(size):
    """Return the problems by name, for square images of `size` pixels along each side.

    Holes and numbers of pixels grow with the size; blurs, views and noise stay the same.
    """
    unit, area = size // 32, (size // 32) ** 2

    def hole(*box):
        return Inpainting("box", box=tuple(unit * side for side in box))

    def blur(sigma, noise):
        return WithNoise(GaussianBlur(sigma=sigma), noise)

    def scan(shift, noise):
        return WithNoise(Radon(angles=VIEWS + shift), noise)

    def noises(nominal):
        return loguniform(nominal / 2, 4 * nominal)

    shifts = np.setdiff1d(np.arange(0.25, 6.0, 0.25), [3.0])
    return {
        "centre": Problem(
            Inpainting(),
            {
                "hole twice as large": Inpainting(fraction=2**0.5 / 3),
                "hole shifted": hole(3, 17, 10, 10),
                "upper half missing": hole(0, 0, 16, 32),
            },
            {"mask": ["box"], "box": boxes(size, N_INSTRUMENTS)},
        ),
        "blur": Problem(
            blur(1.6, 0.015),
            {"sigma 2.4": blur(2.4, 0.015), "noise x 2": blur(1.6, 0.03)},
            {"operator__sigma": uniform(0.8, 1.6), "noise": noises(0.015)},
        ),
        "strong blur": Problem(
            blur(3.0, 0.05),
            {"sigma 4.5": blur(4.5, 0.05), "noise x 2": blur(3.0, 0.1)},
            {"operator__sigma": uniform(1.5, 3.0), "noise": noises(0.05)},
        ),
        "fourier": Problem(
            FourierSampling(acceleration=4.0),
            {
                "other pattern": FourierSampling(acceleration=4.0, random_state=1),
                "6 times": FourierSampling(acceleration=6.0),
            },
            {"acceleration": uniform(3.0, 4.0), "random_state": randint(2, 1000)},
        ),
        "tomography": Problem(
            scan(0.0, 0.1),
            {"other angles": scan(3.0, 0.1), "noise x 2": scan(0.0, 0.2)},
            {"operator__angles": [VIEWS + shift for shift in shifts], "noise": noises(0.1)},
        ),
        "half": Problem(
            MissingPixels(observed=0.5),
            {
                "one side": MissingPixels(observed=0.5, pattern="side"),
                "boxes": MissingPixels(observed=0.75, pattern="box"),
            },
        ),
        "10 observed": Problem(
            MissingPixels(observed=10 * area), {"20": MissingPixels(observed=20 * area)}
        ),
        "1000 observed": Problem(
            MissingPixels(observed=1000 * area), {"500": MissingPixels(observed=500 * area)}
        ),
    }


META = "meta"
VARIATION = "total variation"
#: By name, functions from an operator to an estimator. Those after the first are alternatives.
METHODS = {
    META: MetaInverseSolver.recommended,
    "meta, no inner step": lambda operator: MetaInverseSolver.recommended(operator).set_params(
        n_inner=0
    ),
    "linear": LinearReconstructor,
    "U-Net": UNetReconstructor,
    "unrolled HQS": UnrolledReconstructor,
    VARIATION: lambda operator: ClassicalReconstructor(
        operator, PrimalDual(), max_iter=MOST_UPDATES, tol=TOLERANCE
    ),
}
#: Added to the name of a method that was trained for many instruments.
MANY = ", many instruments"
N_INSTRUMENTS = 16
TRAINED = [META, "U-Net", "unrolled HQS"]
TABLES = [[*METHODS], [*(name + MANY for name in TRAINED), "linear", VARIATION]]
ALL_METHODS = [*METHODS, *(name + MANY for name in TRAINED)]
# Weights of total variation, relative to the squared norm of the operator, and the number of
# training images that they are tried on.
WEIGHTS, N_TRIED = np.geomspace(1e-4, 1e-1, 9), 20


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


def tuned_variation(estimator, images):
    """Return total variation with the best of its weights, and the time of the search."""
    began = time.perf_counter()
    images = images[:N_TRIED]
    norm = estimator.fit(images).operator_.norm(images.shape[1:])
    solvers = [variation(weight * float(norm) ** 2) for weight in WEIGHTS]
    all_images = [([0], np.arange(len(images)))]  # nothing is learned from the first one
    search = GridSearchCV(estimator, {"solver": solvers}, cv=all_images).fit(images)
    return search.best_estimator_, time.perf_counter() - began


def restored(estimator, operator, images):
    """Return PSNR and SSIM of images that an operator has measured."""
    camera = ClassicalReconstructor(operator, random_state=0)
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
    same, others, many = problems(training.shape[1])[problem]
    operator = same
    if method.endswith(MANY):
        operator = RandomOperator(operator, many, n_instruments=N_INSTRUMENTS, nominal=0.5)
    estimator = METHODS[method.removesuffix(MANY)](operator).set_params(random_state=seed)
    if method == VARIATION:
        fitted, spent = tuned_variation(estimator, training)
    else:
        fitted, spent = trained(estimator, training, seconds, groups)
    conditions = {"as trained": (same, "faces")}
    conditions |= {name: (other, "faces") for name, other in others.items()}
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
    sizes = {"n_validation": N_VALIDATION, "n_test": N_TEST, "random_state": seed}
    faces = split_pictures(args.images, args.size, n_training=args.training, **sizes)
    test_sets = {"faces": (faces.validation if args.tune else faces.test) / 255}
    if args.photographs:
        crops = split_pictures(
            args.photographs, args.size, n_validation=20, n_test=100, n_training=20, crops=1
        )
        test_sets[PHOTOGRAPHS] = (crops.validation if args.tune else crops.test) / 255
    training = faces.training / 255
    groups = faces.training_groups
    return measure(problem, method, seed, args.seconds, training, test_sets, groups)


def people(args, seed):
    """Return the person in each image that is restored."""
    sizes = {"n_validation": N_VALIDATION, "n_test": N_TEST}
    pictures = split_pictures(args.images, args.size, n_training=1, random_state=seed, **sizes)
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
    lines = [f"| problem | condition | {' | '.join(names)} | meta - best other | SSIM |"]
    lines.append("|" + "---|" * (len(names) + 4))
    for problem in dict.fromkeys(run["problem"] for run in runs):
        own = [run for run in runs if run["problem"] == problem]
        for condition in dict.fromkeys(name for run in own for name in run["conditions"]):
            values = _values(own, names, condition, "psnr")
            means = [_mean(values[name]) for name in names]
            best = _best_other(values, methods[0])
            is_known = groups_of is not None and condition != PHOTOGRAPHS
            groups = groups_of if is_known else None
            gained = ["", ""]
            if best:
                similarities = _values(own, names, condition, "ssim")
                gained = [
                    f"{_difference(values, methods[0], best, groups, 2)} ({best})",
                    _difference(similarities, methods[0], best, groups, 3),
                ]
            lines.append(f"| {' | '.join([problem, condition, *means, *gained])} |")
    return "\n".join(lines)


def _values(runs, names, condition, metric):
    """Return a metric of each image, by method and seed."""
    values = {name: {} for name in names}
    for run in runs:
        if run["method"] in names:
            figures = np.asarray(run["conditions"][condition][metric])
            values[run["method"]][run["seed"]] = figures
    return values


def _mean(by_seed):
    return f"{np.concatenate(list(by_seed.values())).mean():.2f}" if by_seed else ""


def _paired(values, meta, other):
    """Return the seeds that both methods have, and the differences of each seed."""
    seeds = sorted({*values.get(meta, {})} & {*values[other]})
    return seeds, [values[meta][seed] - values[other][seed] for seed in seeds]


def _best_other(values, meta):
    """Return the method, not of ours, with the best metric on the seeds that both have."""
    gained = {}
    for name in values:
        seeds, differences = _paired(values, meta, name)
        if seeds and not name.startswith(META):
            gained[name] = np.mean(differences)
    return min(gained, key=gained.get, default=None)


def _difference(values, meta, other, groups_of, digits):
    """Return the mean paired difference and its standard error as text."""
    seeds, differences = _paired(values, meta, other)
    groups = [
        np.arange(len(own)) if groups_of is None else groups_of[seed]
        for seed, own in zip(seeds, differences, strict=True)
    ]
    gained = np.concatenate(differences)
    error = standard_error(gained, np.concatenate(groups))
    return f"{gained.mean():+.{digits}f} ± {error:.{digits}f}"


def record_name(args):
    """Return the name of the record: those of other sizes than the defaults' have them in it."""
    words = ["headline"]
    if args.size != SIZE:
        words.append(f"size_{args.size}")
    if args.training != N_TRAINING:
        words.append(f"training_{args.training}")
    return "_".join([*words, *(["tuning"] if args.tune else [])])


def main():
    parser = command_line(__doc__)
    names = list(problems(SIZE))
    parser.add_argument("--images", required=True, help="folder of Labeled Faces in the Wild")
    parser.add_argument("--photographs", help="folder of photographs with train and val")
    parser.add_argument("--size", type=int, default=SIZE, choices=(32, 64), help="pixels")
    parser.add_argument("--training", type=int, default=N_TRAINING, help="number of images")
    parser.add_argument("--problems", nargs="+", choices=names, default=names)
    parser.add_argument("--methods", nargs="+", choices=ALL_METHODS, default=ALL_METHODS)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time of a run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one thread each")
    parser.add_argument("--tune", action="store_true", help="restore validation images")
    args = parser.parse_args()
    record = record_name(args)
    settings = {
        "size": args.size,
        "images": [args.training, N_VALIDATION, N_TEST],
        "seconds": args.seconds,
        "noise": "named",
        "folders": [Path(args.images).name, args.photographs and Path(args.photographs).name],
    }
    has_instruments = {name: own.many is not None for name, own in problems(args.size).items()}
    results = load(record, settings) or []
    tasks = [(p, m, s) for s in range(args.seeds) for p in args.problems for m in args.methods]
    made = [key(run) for run in results]
    missing = [
        (problem, method, seed)
        for problem, method, seed in tasks
        if (has_instruments[problem] or not method.endswith(MANY))
        and (problem, method, seed) not in made
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        for run in pool.map(lambda task: in_own_process(one_run, args, *task), missing):
            results = update(record, settings, partial(with_run, run))
            mean = np.mean(run["conditions"]["as trained"]["psnr"])
            print(f"{key(run)}: {mean:.2f} dB after {run['seconds']:.0f} s", flush=True)
    groups_of = {seed: people(args, seed) for seed in {run["seed"] for run in results}}
    for methods in TABLES:
        print(table(results, methods, groups_of), end="\n\n")


if __name__ == "__main__":
    main()
