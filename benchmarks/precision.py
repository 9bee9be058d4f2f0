"""Compare bfloat16 with float32, and measure memory and time of an outer step by option.

    python -m benchmarks.precision

The first part trains a SIREN of 5 x 128 to inpaint the centre of faces in both precisions, on three
random splits, for the same number of steps. It prints the held-out PSNR, and the paired difference
with its standard error over the faces. The second part measures one outer step of a 5 x 256 SIREN
on an image of 64 x 64 pixels, for several numbers of inner steps, by default and with one option
changed. Each case runs in a separate process. The second part prints the growth of anonymous memory
to its peak, and the seconds per step.
"""

import time

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.command_line import command_line
from benchmarks.own_process import PeakMemory, in_own_process
from benchmarks.record import save
from skmetainv import MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.model_selection import standard_error
from skmetainv.operators import Inpainting
from skmetainv.representations import Siren
from skmetainv.solvers import GradientDescent
from skmetainv.training import Adam

SEEDS = range(3)
N_INNER = (1, 3, 6, 12)
OPTIONS = {
    "as it is": {},
    "recompute": {"algorithm": MAML(recompute=True)},
    "bfloat16": {"precision": "bfloat16"},
    "first order": {"algorithm": "fomaml"},
    "higher": {"algorithm": MAML(engine="higher")},
}


def make_estimator(random_state=0):
    return MetaInverseSolver(
        Inpainting(),
        GradientDescent(step_size=0.9),
        init=Siren(width=128),
        inner_lr=3.0,
        algorithm=MAML(step_sizes="per_parameter"),
        optimizer=Adam(schedule="constant", max_grad_norm=None),
        augment=False,
        max_epochs=15,
        batch_size=5,
        random_state=random_state,
    )


def one_split(seed):
    """Return the PSNR of every held-out face by precision, and the seconds of `fit`."""
    train, test = train_test_split(load_faces(), test_size=20, random_state=seed)
    figures = {}
    for precision in ("float32", "bfloat16"):
        estimator = make_estimator(random_state=seed).set_params(precision=precision)
        began = time.perf_counter()
        estimator.fit(train)
        seconds = time.perf_counter() - began
        restored = estimator.predict(estimator.simulate(test))
        figures[precision] = {
            "seconds": seconds,
            "psnr": psnr(test, restored, per_image=True).tolist(),
        }
    return figures


def one_step(n_inner, option):
    """Return the memory and the time of an epoch of ten images, one at a time."""
    images = np.random.default_rng(0).random((10, 64, 64))
    estimator = MetaInverseSolver(
        Inpainting(),
        GradientDescent(step_size=0.9),
        init=Siren(),
        inner_lr=0.01,
        n_inner=n_inner,
        batch_size=1,
        max_epochs=1,
        random_state=0,
        device="cpu",
        **OPTIONS[option],
    )
    estimator.fit(images[:, :8, :8])  # libraries load modules and data at first use
    with PeakMemory() as memory:
        estimator.fit(images)
    return {
        "n_inner": n_inner,
        "option": option,
        "peak_mb": memory.peak - memory.before,
        "seconds_per_step": estimator.history_["seconds"][-1] / len(images),
    }


def main():
    command_line(__doc__).parse_args()
    splits = []
    for seed in SEEDS:
        splits.append(one_split(seed))
        for precision, own in splits[-1].items():
            print(f"split {seed}, {precision}: {np.mean(own['psnr']):.2f} dB, ", end="")
            print(f"{own['seconds']:.0f} s", flush=True)
    paired = np.concatenate(
        [np.subtract(s["bfloat16"]["psnr"], s["float32"]["psnr"]) for s in splits]
    )
    difference = {"mean": float(paired.mean()), "standard_error": standard_error(paired)}
    print(f"bfloat16 - float32: {difference['mean']:.3f} ± {difference['standard_error']:.3f} dB")
    print("\ninner steps" + "".join(f"{option:>22}" for option in OPTIONS))
    memory = []
    for n_inner in N_INNER:
        print(f"{n_inner:11}", end="")
        for option in OPTIONS:
            step = in_own_process(one_step, n_inner, option)
            memory.append(step)
            text = f"{step['peak_mb']:.0f} MB, {step['seconds_per_step']:.2f} s"
            print(f"{text:>22}", end="", flush=True)
        print()
    settings = {"estimator": repr(make_estimator()), "test_faces": 20, "n_inner": N_INNER}
    results = {"difference": difference, "splits": splits, "memory": memory}
    print(save("precision", settings, results).name)


if __name__ == "__main__":
    main()
