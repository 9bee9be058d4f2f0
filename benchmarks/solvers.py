"""Time of solvers: updates compared with their denoiser, and loops compared with DeepInverse.

    python -m benchmarks.solvers [--sizes 64 128 256] [--parts overhead loops] [--device cuda]

One image in float32, without gradients. As in `benchmarks.operators`, runs alternate in pairs.

overhead: the time of one update with a DnCNN of 17 layers and 64 channels, divided by the time of
the network alone. The rest of the update is timed with the identity as denoiser. Ratios above 1.05
are marked. If MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ are large, the C library keeps
freed memory, and the ratios vary less.

loops: ten updates with a denoiser of negligible cost, so that the rest dominates. DeepInverse uses
the same denoiser, penalties, step sizes and start, without cost functions, metrics and convergence
checks. "loop" times the updates alone; the measurement is bound and the start is known beforehand.
"whole" also binds the measurement and computes the start. "run" is "whole" plus the changes per
update that `ClassicalReconstructor` records; DeepInverse records none. Ratios are DeepInverse's
time divided by ours (above 1: ours is faster); ratios below 0.95 are marked. `difference` is the
relative difference of the two results.
"""

from functools import partial

import deepinv
import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from benchmarks.command_line import command_line
from benchmarks.operators import ROWS, SHARE, channels_first, timed
from benchmarks.record import save
from skmetainv.denoisers import DnCNN, FunctionDenoiser
from skmetainv.solvers import ADMM, HQS, RED, ProximalGradient

SIZES, PARTS = [64, 128, 256], ["overhead", "loops"]
UPDATES, LEVEL = 10, 0.05
# An update and its network differ by less than the machine's variation: this needs many pairs.
NETWORK_SECONDS = 15.0
MOST_OVERHEAD, LEAST_RATIO = 1.05, 0.95
GRAY, COLOUR = 1, 3
# The operator, its channels, and the smallest size.
NETWORKS = (
    ("GaussianBlur(3)", GRAY, 0),
    ("GaussianBlur(3)", COLOUR, 256),
    ("FourierSampling(complex_image=True)", 2, 0),
)
# The operator and the largest size: DeepInverse's conjugate gradients take seconds per loop.
LOOPS = {
    "GaussianBlur(3)": 256,
    "MotionBlur(15, 30)": 256,
    "GaussianBlur(3, boundary='reflect')": 64,
    "FourierSampling(complex_image=True)": 256,
    "Inpainting": 256,
}
KINDS = ("loop", "whole", "run")


def clamp(x, noise_level):
    return x.clamp(0.2, 0.8)


def identity(x, noise_level):
    return x


class Clamp(deepinv.models.Denoiser):
    """The same denoiser for DeepInverse."""

    def forward(self, x, sigma):
        """Return denoised images."""
        return clamp(x, sigma)


def without_multiplier(y, physics):
    x = physics.A_adjoint(y)
    return x, torch.zeros_like(x)


def solvers(norm):
    """Return our and DeepInverse's solvers by name, for an operator of the given norm."""
    rho, step = SHARE * norm**2, 0.9 / norm**2
    rising = np.geomspace(0.01, 1, UPDATES) * norm**2
    # DeepInverse's momentum after update k is 1 - 1 / (k + a); ours is 1 - 4 / (k + 5).
    momentum = [(k + 5) / 4 - k for k in range(UPDATES)]
    ours = {
        "n_iter": UPDATES,
        "noise_level": LEVEL,
        "denoiser": FunctionDenoiser(clamp),
    }
    theirs = {
        "max_iter": UPDATES,
        "g_param": LEVEL,
        "prior": deepinv.optim.PnP(Clamp()),
        "data_fidelity": deepinv.optim.L2(),
    }
    fista = {"stepsize": step, "g_param": LEVEL, "lambda": 1.0, "a": momentum}
    return {
        "HQS": (
            HQS(rho=rising.tolist(), **ours),
            deepinv.optim.HQS(stepsize=(1 / rising).tolist(), **theirs),
        ),
        "ADMM": (
            ADMM(rho=rho, **ours),
            deepinv.optim.ADMM(stepsize=1 / rho, custom_init=without_multiplier, **theirs),
        ),
        "ISTA": (
            ProximalGradient(step_size=step, **ours),
            deepinv.optim.PGD(stepsize=step, **theirs),
        ),
        "FISTA": (
            ProximalGradient(step_size=step, accelerated=True, **ours),
            deepinv.optim.FISTA(params_algo=fista, **theirs),
        ),
    }


def problem(operator, channels, size, device):
    """Return the map, its norm, and the measurement of a random image."""
    A = operator.build((channels, size, size)).to(device, torch.float32)
    x = torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(0))
    return A, float(A.norm()), A(x.to(device))


def our_whole(f, A, y):  # DeepInverse's start
    data = A.bind(y)
    return f(data.adjoint_y, data)


def our_run(f, A, y):
    data = A.bind(y)
    return f.run(data.adjoint_y, data, UPDATES).x


def relative(ours, theirs):
    return float((ours - theirs).norm() / ours.norm())


@torch.enable_grad()
def barely_trained(channels):
    patch = np.random.default_rng(0).random((1, 16, 16, channels))
    return DnCNN(max_epochs=1, random_state=0, device="cpu").fit(patch)


def overhead(sizes, device):
    """Return the milliseconds of a denoiser and of a solver's update with it, and their ratio."""
    results = {}
    print(f"{'overhead':50}{'size':>5}{'channels':>10}{'solver':>18}", end="")
    print(f"{'denoiser, ms':>14}{'update, ms':>12}{'ratio':>8}{'rest, ms':>10}")
    for name, channels, smallest in NETWORKS:
        network = barely_trained(channels)
        for size in (size for size in sizes if size >= smallest):
            A, norm, y = problem(ROWS[name].operator, channels, size, device)
            data, rho = A.bind(y), SHARE * norm**2
            x = data.start("adjoint")
            common = {"denoiser": FrozenEstimator(network), "n_iter": 1}
            cell = results.setdefault(f"{name}, {channels} channels", {}).setdefault(size, {})
            for solver in (
                HQS(rho=rho, **common),
                RED(weight=rho, **common),
                ProximalGradient(step_size=0.9 / norm**2, **common),
            ):
                bare = clone(solver).set_params(denoiser=FunctionDenoiser(identity))
                f, g = (s.build(A.image_shape).to(device, torch.float32) for s in (solver, bare))
                pair = timed(partial(f.prior, x, 0), partial(f, x, data), device, NETWORK_SECONDS)
                owner = type(solver).__name__
                figures = cell[owner] = {
                    "denoiser_ms": pair["ours_ms"],
                    "update_ms": pair["theirs_ms"],
                    "ratio": pair["ratio"],
                    "pairs": pair["pairs"],
                    "rest_ms": timed(partial(g, x, data), None, device)["ours_ms"],
                }
                print(f"{name:50}{size:5}{channels:10}{owner:>18}", end="")
                print(f"{figures['denoiser_ms']:14.3f}{figures['update_ms']:12.3f}", end="")
                print(f"{figures['ratio']:8.3f}{figures['rest_ms']:10.3f}", end="")
                print(" <<<" if figures["ratio"] > MOST_OVERHEAD else "", flush=True)
    return results


def loops(sizes, device):
    """Return milliseconds of our and DeepInverse's loops, ratios, and the difference of results."""
    results = {}
    print(f"{'loops':50}{'size':>5}{'solver':>8}", end="")
    print("".join(f"{kind + ', ms':>12}{'ratio':>8}" for kind in KINDS), " difference")
    for name, largest in LOOPS.items():
        row = ROWS[name]
        for size in (size for size in sizes if size <= largest):
            A, norm, y = problem(row.operator, row.channels, size, device)
            physics, z = row.theirs(A.cpu()).to(device), channels_first(y)
            A.to(device)
            physics.max_iter, physics.tol = 1000, 1e-6
            data = A.bind(y)
            x = data.start("adjoint")
            cell = results.setdefault(name, {}).setdefault(size, {})
            for solver, (ours, theirs) in solvers(norm).items():
                f, model = ours.build(A.image_shape).to(device, torch.float32), theirs.to(device)
                start = (x, torch.zeros_like(x) if solver == "ADMM" else x)
                known, whole = partial(model, z, physics, init=start), partial(model, z, physics)
                calls = {
                    "loop": (partial(f, x, data), known),
                    "whole": (partial(our_whole, f, A, y), whole),
                    "run": (partial(our_run, f, A, y), whole),
                }
                pairs = {kind: timed(*pair, device) for kind, pair in calls.items()}
                difference = max(relative(our(), their()) for our, their in calls.values())
                cell[solver] = {**pairs, "difference": difference}
                print(f"{name:50}{size:5}{solver:>8}", end="")
                for pair in pairs.values():
                    print(f"{pair['ours_ms']:12.3f}{pair['ratio']:8.3f}", end="")
                slow = min(pair["ratio"] for pair in pairs.values()) < LEAST_RATIO
                print(f"  {difference:10.0e}", "<<<" if slow else "", flush=True)
    return results


def main():
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    measures = {"overhead": overhead, "loops": loops}
    with torch.no_grad():
        results = {part: measures[part](args.sizes, device) for part in args.parts}
    if (args.parts, args.sizes) == (PARTS, SIZES):
        settings = {
            "updates": UPDATES,
            "rho": "0.1 ||A||^2; HQS in loops: from 0.01 to 1 ||A||^2",
            "step_size": "0.9 / ||A||^2",
            "network": "DnCNN, 17 layers, 64 channels",
            "denoiser of loops": "x.clamp(0.2, 0.8)",
            "dtype": "float32",
            "tolerance": 1e-6,
            "images": 1,
        }
        suffix = "" if device.type == "cpu" else f"_{device.type}"
        print(save(f"solvers{suffix}", settings, results, device).name)


if __name__ == "__main__":
    main()
