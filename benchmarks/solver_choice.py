"""Quality and cost of solvers on two photographs, with settings tuned on two other photographs.

    OMP_NUM_THREADS=1 python -m benchmarks.solver_choice

Photographs included in scikit-image, gray, 256 x 256 pixels: seven train a `DnCNN`, the central
quarters of two choose the settings of every solver, and two are restored with these settings. A
setting includes the number of updates. The setting that is chosen needs the fewest updates of all
that come within 0.05 dB of the solver's best. A star marks a number at an edge of its range. Costs
are medians of times measured in turn with gradient steps; "all" is the cost of all updates.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from skimage import data as photographs
from skimage.color import rgb2gray
from skimage.transform import resize
from skimage.util import img_as_float
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ParameterGrid

from benchmarks.command_line import command_line
from benchmarks.operators import timed
from benchmarks.record import save
from skmetainv.denoisers import DnCNN, TotalVariation, Wavelet
from skmetainv.metrics import psnr
from skmetainv.noise import GaussianNoise
from skmetainv.operators import GaussianBlur, MissingPixels
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)

SIDE, CROP, NOISE, CPU = 256, 128, 0.01, torch.device("cpu")
TRAINING = ("brick", "chelsea", "clock", "grass", "moon", "page", "rocket")
TUNING, TEST = ("coffee", "coins"), ("camera", "astronaut")
OPERATORS = {
    "deblurring": GaussianBlur(sigma=1.6, boundary="reflect"),
    "inpainting": MissingPixels(observed=0.3),
}
AS_GOOD, SECONDS = 0.05, 5.0  # dB, and the time of each measurement of costs
STEPS = 200  # gradient steps that are timed together, because one takes microseconds
NETWORK = {
    "noise_level": (0.0, 0.2),
    "noise_level_input": True,
    "depth": 7,
    "width": 32,
    "lr": 2e-3,
    "max_epochs": 40,
    "random_state": 0,
}


class Family(NamedTuple):
    """A solver with the ranges of its settings.

    If `every`, its numbers are constant, and each number of updates up to the largest of `updates`
    is tried; else only those in `updates`.
    """

    make: Any
    updates: tuple[int, ...]
    every: bool
    ranges: dict[str, tuple[float, ...]] = {}


def falling(first, last, n):
    """Return `n` noise levels that decrease from `first` to `last`."""
    return np.geomspace(max(first, last), last, n)


def gradient_descent(n):
    return GradientDescent(n)


def conjugate_gradient(n, damping):
    return ConjugateGradient(n, damping=damping)


def primal_dual(n, weight, step_size):
    return PrimalDual(n, weight=weight, step_size=step_size)


def fista(prior, n, noise_level):
    return ProximalGradient(prior, n_iter=n, noise_level=noise_level, accelerated=True)


def ista(prior, n, first, last):
    return ProximalGradient(prior, n_iter=n, noise_level=falling(first, last, n))


def admm(prior, n, first, last, rho):
    return ADMM(prior, n_iter=n, noise_level=falling(first, last, n), rho=rho)


def red(prior, n, first, last, weight):
    return RED(prior, n_iter=n, noise_level=falling(first, last, n), weight=weight)


def hqs(prior, n, first, last, weight):
    levels = falling(first, last, n)
    return HQS(prior, n_iter=n, noise_level=levels, measurement_noise=NOISE, weight=weight)


def families(network):
    """Return the solvers by name."""
    levels = {"first": (0.05, 0.2, 1.0), "last": (0.01, 0.02, 0.04, 0.08, 0.16)}
    penalties = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)
    prior = FrozenEstimator(network)
    convex = {"noise_level": (3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)}
    dampings = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03)
    total_variation = {
        "weight": (1e-4, 3e-4, 1e-3, 3e-3, 0.01),
        "step_size": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
    }
    found = {
        "GradientDescent": Family(gradient_descent, (1000,), every=True),
        "ConjugateGradient": Family(conjugate_gradient, (60,), True, {"damping": dampings}),
        "PrimalDual": Family(primal_dual, (300,), True, total_variation),
        "ProximalGradient(TotalVariation), accelerated": Family(
            partial(fista, TotalVariation()), (300,), True, convex
        ),
        "ProximalGradient(Wavelet), accelerated": Family(
            partial(fista, Wavelet()), (300,), True, convex
        ),
        "ProximalGradient(DnCNN)": Family(partial(ista, prior), (5, 10, 30), False, levels),
    }
    for name, D, updates in (
        ("TotalVariation", TotalVariation(), (5, 10, 30, 100)),
        ("DnCNN", prior, (5, 10, 30)),
    ):
        for make, number in ((admm, "rho"), (red, "weight"), (hqs, "weight")):
            found[f"{make.__name__.upper()}({name})"] = Family(
                partial(make, D), updates, False, {**levels, number: penalties}
            )
    return found


def gray(names):
    """Return central squares of photographs, shape (n, side, side), in [0, 1]."""
    squares = []
    for name in names:
        image = img_as_float(getattr(photographs, name)())
        image = rgb2gray(image) if image.ndim == 3 else image
        side = min(image.shape)
        top, left = ((n - side) // 2 for n in image.shape)
        square = image[top : top + side, left : left + side]
        squares.append(resize(square, (SIDE, SIDE), anti_aliasing=True))
    return np.stack(squares)


def measured(operator, images, seed):
    """Return the data term of measurements of images."""
    A = operator.build((1, *images.shape[1:])).float()
    generators = [np.random.default_rng([seed, i]) for i in range(len(images))]
    x = torch.from_numpy(images).float()[:, None]
    return A.bind(A.simulate(x, GaussianNoise(NOISE).build(), generators))


def psnr_of(x, images):
    """Return the PSNR of each image of a batch of tensors."""
    return psnr(images, x[:, 0].float().numpy(), per_image=True).tolist()


def scores(solver, data, images, every):
    """Return the PSNR of each image, after every update or after the last one."""
    f = solver.build(data.A.image_shape).float()
    state, found = f.init(data.start("adjoint"), data), {}
    for k in range(solver.n_iter):
        state = f.step(state, data, k)
        if every or k + 1 == solver.n_iter:
            found[k + 1] = psnr_of(state[0], images)
    return found


def tuned(family, data, images):
    """Return the chosen settings, with the number of updates ``n``."""
    tried = []
    for settings in ParameterGrid(family.ranges):
        for most in family.updates:
            found = scores(family.make(most, **settings), data, images, family.every)
            tried += [(n, np.mean(values), settings) for n, values in found.items()]
    enough = max(score for _, score, _ in tried) - AS_GOOD
    n, _, settings = min((t for t in tried if t[1] >= enough), key=lambda t: (t[0], -t[1]))
    return {"n": n, **settings}


def written(family, settings):
    """Return settings as text, with a star after a number at an edge of its range."""
    ranges, texts = {**family.ranges, "n": family.updates}, []
    for name, value in settings.items():
        least, most = min(ranges[name]), max(ranges[name])
        is_bound = value == most if name == "n" else value in (least, most)
        natural = (name, value) in (("damping", 0.0), ("first", 0.05), ("first", 1.0))
        texts.append(f"{name}={value:g}{'*' if is_bound and not natural else ''}")
    return ", ".join(texts)


def measure(family, tuning, test, one):
    """Return chosen settings, PSNR of the test photographs, and costs in gradient steps."""
    settings = tuned(family, *tuning)
    solver = family.make(**settings)
    (values,) = scores(solver, *test, every=False).values()
    steps, whole = (s.build(one.A.image_shape).float() for s in (GradientDescent(STEPS), solver))
    x = one.start("adjoint")
    pair = timed(partial(steps, x, one), partial(whole, x, one), CPU, SECONDS)
    cost = STEPS * pair["ratio"]
    return {
        "settings": settings,
        "text": written(family, settings),
        "psnr": dict(zip(TEST, values, strict=True)),
        "updates": settings["n"],
        "gradient_step_ms": pair["ours_ms"] / STEPS,
        "cost_of_one": cost / settings["n"],
        "cost_of_all": cost,
    }


def compare(operator, solvers):
    """Return the figures of all solvers on one problem, and print them as a table."""
    middle = slice((SIDE - CROP) // 2, (SIDE + CROP) // 2)
    images = [gray(TUNING)[:, middle, middle], gray(TEST)]
    data = [measured(operator, x, seed) for seed, x in enumerate(images)]
    tuning, test = zip(data, images, strict=True)
    one = measured(operator, images[1][:1], seed=1)
    results = {"start": dict(zip(TEST, psnr_of(data[1].start("adjoint"), images[1]), strict=True))}
    print(f"\n{operator!r}, start: {np.mean(list(results['start'].values())):.2f} dB\n")
    print("| solver | PSNR (dB) | updates | one update | all | settings |")
    print("|---|---|---|---|---|---|")
    for name, family in solvers.items():
        row = results[name] = measure(family, tuning, test, one)
        mean = np.mean(list(row["psnr"].values()))
        costs = f"{row['cost_of_one']:.3g} | {row['cost_of_all']:.3g}"
        print(f"| `{name}` | {mean:.2f} | {row['updates']} | {costs} | {row['text']} |", flush=True)
    step = np.median([row["gradient_step_ms"] for name, row in results.items() if name != "start"])
    print(f"\nA gradient step takes {step:.3g} ms.")
    return results


def main():
    command_line(__doc__).parse_args()
    network = DnCNN(**NETWORK).fit(gray(TRAINING))
    solvers = families(network)
    with torch.no_grad():
        results = {name: compare(operator, solvers) for name, operator in OPERATORS.items()}
    settings = {
        "photographs": {"training": TRAINING, "tuning": TUNING, "test": TEST},
        "side": {"test": SIDE, "tuning": CROP},
        "noise": NOISE,
        "operators": {name: repr(operator) for name, operator in OPERATORS.items()},
        "network": {"class": "DnCNN", **NETWORK},
        "ranges": {
            name: {"n": f.updates, "every n": f.every, **f.ranges} for name, f in solvers.items()
        },
        "as_good_db": AS_GOOD,
    }
    print(save("solver_choice", settings, results).name)


if __name__ == "__main__":
    main()
