"""Ablation: train variants of one estimator for the same wall time, and compare them.

    python -m benchmarks.ablation --images FOLDER

The images are the faces of a folder at 32 x 32 pixels, with a box of a third of the height and
width missing in the middle. They are split by person into training images, 300 validation images
and 500 test images. Every variant changes one setting of the first variant. Each run is a separate
process with one thread, and `--jobs` of them run in parallel. A run trains on rounds of 100 images
until its time is over. Runs in `results/ablation.json` with the same settings are not repeated, so
an interrupted benchmark resumes. `--tune` instead tries the settings in `CANDIDATES` on the
validation images; `BASE` and `SETTINGS` have the best ones.
"""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.command_line import command_line
from benchmarks.own_process import PeakMemory, in_own_process
from benchmarks.pictures import split_pictures
from benchmarks.record import load, update
from skmetainv import MetaInverseSolver
from skmetainv.meta import IMAML, MAML, PerParameter, Reptile
from skmetainv.metrics import psnr, ssim
from skmetainv.model_selection import standard_error
from skmetainv.operators import Inpainting
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ModulatedSiren,
    ModuleRepresentation,
    PixelGrid,
    Siren,
)
from skmetainv.solvers import GradientDescent
from skmetainv.training import Adam

SIZE, N_VALIDATION, N_TEST, ROUND = 32, 300, 500, 100
_NOTHING: dict = {"runs": [], "peak_mb": {}}  # before the first run


class Decoder(nn.Module):
    """A user's network: two transposed convolutions of a learned code."""

    def __init__(self, image_shape):
        super().__init__()
        channels, height, width = image_shape
        self.code = nn.Parameter(0.1 * torch.randn(1, 32, height // 4, width // 4))
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(32, 32, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(32, channels, 4, stride=2, padding=1),
        )

    def forward(self):
        return self.layers(self.code)


BASE = {
    "operator": Inpainting(mask="center", fraction=1 / 3),
    "solver": GradientDescent(n_iter=1, step_size=0.9),
    "init": Siren(width=64),
    "n_inner": 3,
    "inner_lr": 10.0,
    "algorithm": MAML(step_sizes="per_parameter"),
    "outer_lr": 3e-4,
    "max_epochs": 1,
    "batch_size": 5,
    "optimizer": Adam(schedule="constant", max_grad_norm=None),
    "augment": False,
    "early_stopping": False,
    "device": "cpu",
}

VARIANTS = {
    "the first": {
        "SIREN, MAML, per parameter and step": {},
    },
    "step sizes": {
        "fixed": {"algorithm": MAML(step_sizes="fixed")},
        "one per step": {"algorithm": MAML(step_sizes="per_step")},
        "one per layer and step": {"algorithm": MAML(step_sizes="per_layer")},
        "per parameter and step, positive": {
            "algorithm": MAML(step_sizes=PerParameter(positive=True))
        },
        "no inner steps": {"n_inner": 0, "algorithm": MAML(step_sizes="fixed")},
    },
    "representations": {
        "modulated SIREN, shift": {"init": ModulatedSiren(width=64)},
        "modulated SIREN, scale and shift": {
            "init": ModulatedSiren(width=64, modulation="scale_shift")
        },
        "modulated SIREN, latent": {"init": ModulatedSiren(width=64, modulation="latent")},
        "Fourier features": {"init": FourierMLP(width=64, n_frequencies=32, sigma=1.5)},
        "pixel grid": {"init": PixelGrid()},
        "convolutional decoder": {"init": ModuleRepresentation(Decoder)},
        "SIREN, residual": {"init": Siren(width=64, residual="adjoint")},
        "SIREN, conditioned": {"init": Siren(width=64, encoder=Encoder())},
        "modulated SIREN, conditioned": {"init": ModulatedSiren(width=64, encoder=Encoder())},
    },
    "algorithms": {
        "FOMAML": {"algorithm": "fomaml"},
        "MAML++ (all steps, annealed)": {
            "algorithm": MAML(step_weights="uniform", anneal_epochs=20)
        },
        "Reptile": {"algorithm": Reptile()},
        "iMAML": {"algorithm": IMAML()},
    },
    "engines": {
        "higher": {"algorithm": MAML(engine="higher")},
        "recomputed": {"algorithm": MAML(recompute=True)},
        "bfloat16": {"precision": "bfloat16"},
    },
}
BY_NAME = {name: own for variants in VARIANTS.values() for name, own in variants.items()}
FIRST = next(iter(BY_NAME))

# The candidates of --tune, by the setting that a variant changes.
_RATES = {"outer_lr": (1e-4, 3e-4, 1e-3)}
CANDIDATES = {
    FIRST: {"inner_lr": (1.0, 3.0, 10.0), **_RATES},
    "fixed": {"inner_lr": (3.0, 10.0, 30.0)},
    "modulated SIREN, shift": {"inner_lr": (0.3, 3.0, 10.0, 30.0), **_RATES},
    "modulated SIREN, scale and shift": {"inner_lr": (0.3, 3.0, 10.0, 30.0), **_RATES},
    "modulated SIREN, latent": {"inner_lr": (0.3, 3.0, 10.0, 30.0), **_RATES},
    "Fourier features": {"inner_lr": (0.1, 1.0, 10.0), **_RATES},
    "pixel grid": {"inner_lr": (1e2, 1e4, 1e5), "outer_lr": (1e-3, 1e-2)},
    "convolutional decoder": {"inner_lr": (10.0, 100.0, 1000.0), "outer_lr": (3e-4, 1e-3)},
    "SIREN, residual": {"inner_lr": (1.0, 3.0, 10.0)},
    "SIREN, conditioned": {"inner_lr": (1.0, 3.0, 10.0, 30.0)},
    "Reptile": {"inner_lr": (0.1, 1.0, 10.0), "outer_lr": (1e-4, 3e-4)},
    "iMAML": {"algorithm__prox": (0.001, 0.01, 0.1), **_RATES},
}
SETTINGS: dict = {
    "modulated SIREN, shift": {"inner_lr": 30.0},
    "modulated SIREN, scale and shift": {"inner_lr": 30.0},
    "modulated SIREN, conditioned": {"inner_lr": 30.0},
    "Fourier features": {"outer_lr": 1e-3},
    "pixel grid": {"inner_lr": 1e5, "outer_lr": 1e-3},
    "convolutional decoder": {"inner_lr": 100.0, "outer_lr": 1e-3},
    "SIREN, residual": {"inner_lr": 3.0},
    "Reptile": {"inner_lr": 1.0, "outer_lr": 1e-4},
    "iMAML": {"inner_lr": 3.0, "algorithm__prox": 0.1},
}


def make_estimator(name, seed, settings):
    return MetaInverseSolver(**BASE | BY_NAME[name], random_state=seed).set_params(**settings)


def trained(estimator, images, seconds, seed):
    """Train for a given time; return the number of images seen and the actual time."""
    rng, spent, n_seen = np.random.default_rng(seed), 0.0, 0
    while spent < seconds:
        chosen = images[rng.choice(len(images), ROUND, replace=False)]
        began = time.perf_counter()
        estimator.partial_fit(chosen)
        spent += time.perf_counter() - began
        n_seen += ROUND
    return n_seen, spent


def one_run(args, name, seed, settings):
    """Train one variant; return its scores on the test or validation images."""
    torch.set_num_threads(1)
    faces = split_pictures(args.images, SIZE, n_validation=N_VALIDATION, n_test=N_TEST)
    estimator = make_estimator(name, seed, settings)
    make_estimator(name, seed, settings).fit(faces.training[: BASE["batch_size"]])  # warm up
    n_seen, spent = trained(estimator, faces.training, args.seconds, seed)
    clean = (faces.validation if args.tune else faces.test) / 255
    restored = estimator.predict(estimator.simulate(clean))
    return {
        "variant": name,
        "seed": seed,
        "settings": settings,
        "psnr": np.round(psnr(clean, restored, per_image=True), 3),
        "ssim": np.round(ssim(clean, restored, per_image=True), 4),
        "outer_steps": n_seen // BASE["batch_size"],
        "seconds_per_epoch": spent / n_seen * len(faces.training),
        "n_weights": estimator.n_weights_,
    }


def peak_memory(name):
    """Return the growth of anonymous memory, in megabytes, in a few steps of a variant."""
    torch.set_num_threads(1)
    images = np.random.default_rng(0).random((4 * BASE["batch_size"], SIZE, SIZE))
    estimator = make_estimator(name, 0, SETTINGS.get(name, {}))
    estimator.fit(images[:, :8, :8])  # libraries load modules and data at first use
    with PeakMemory() as memory:
        estimator.fit(images)
    return memory.peak - memory.before


def tasks(args):
    """Return the runs to execute: variant, seed, settings."""
    if not args.tune:
        return [
            (name, seed, SETTINGS.get(name, {})) for seed in range(args.seeds) for name in BY_NAME
        ]
    return [
        (name, args.seeds, dict(zip(grid, values, strict=True)))
        for name, grid in CANDIDATES.items()
        for values in itertools.product(*grid.values())
    ]


def _task(run):
    """Return the variant, seed and settings of a run."""
    return run["variant"], run["seed"], run["settings"]


def with_run(run, results):
    """Return the results with one more run, unless another command has already added it."""
    before = results or _NOTHING
    made = _task(run) in map(_task, before["runs"])
    return before if made else {**before, "runs": [*before["runs"], run]}


def with_memory(name, peak_mb, results):
    """Return the results with the memory of a variant."""
    before = results or _NOTHING
    return {**before, "peak_mb": {**before["peak_mb"], name: peak_mb}}


def print_candidates(runs):
    for run in sorted(runs, key=lambda run: (run["variant"], -np.mean(run["psnr"]))):
        print(f"{run['variant']:40}{np.mean(run['psnr']):7.2f}  {run['settings']}")


def print_table(runs, peak_mb):
    """Print means over seeds, with standard errors over the images."""
    first = np.mean([r["psnr"] for r in runs if r["variant"] == FIRST], axis=0)
    head = f"{'PSNR (dB)':>15}{'- the first':>15}{'by seed':>14}{'SSIM':>17}"
    head += f"{'s/epoch':>9}{'steps':>7}{'MB':>6}{'weights':>9}"
    for group, variants in VARIANTS.items():
        print(f"\n{group:40}{head if group == 'the first' else ''}")
        for name in variants:
            own = [run for run in runs if run["variant"] == name]
            if not own:
                continue
            images, similar = (np.mean([r[m] for r in own], axis=0) for m in ("psnr", "ssim"))
            told = [images, images - first]
            text = [f"{v.mean():9.2f} ±{standard_error(v):4.2f}" for v in told]
            seeds = " ".join(f"{np.mean(r['psnr']):.2f}" for r in own)
            text += [f"{seeds:>14}", f"{similar.mean():10.3f} ±{standard_error(similar):5.3f}"]
            costs = ("seconds_per_epoch", "outer_steps", "n_weights")
            epoch, steps, n = (np.mean([r[c] for r in own]) for c in costs)
            print(f"  {name:38}{''.join(text)}{epoch:9.0f}{steps:7.0f}{peak_mb[name]:6.0f}{n:9.0f}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--seconds", type=float, default=90.0, help="training time of a run")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="parallel runs, one thread each")
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    record = "ablation_tuning" if args.tune else "ablation"
    settings = {
        "base": repr(BASE),
        "image_size": SIZE,
        "pictures": [N_VALIDATION, N_TEST],
        "seconds": args.seconds,
        "jobs": args.jobs,
    }
    results = load(record, settings) or _NOTHING
    done = [_task(run) for run in results["runs"]]
    missing = [task for task in tasks(args) if task not in done]
    with ThreadPoolExecutor(args.jobs) as pool:
        for run in pool.map(lambda task: in_own_process(one_run, args, *task), missing):
            results = update(record, settings, partial(with_run, run))
            print(f"{run['variant']}, {run['settings']}: {np.mean(run['psnr']):.2f} dB", flush=True)
    if args.tune:
        print_candidates(results["runs"])
        return
    for name in BY_NAME:
        if name not in results["peak_mb"]:
            peak_mb = in_own_process(peak_memory, name)
            results = update(record, settings, partial(with_memory, name, peak_mb))
    print_table(**results)


if __name__ == "__main__":
    main()
