"""How time and memory of training and restoring grow with images, pixels, steps and processes.

    python -m benchmarks.scale [--parts images pixels ...] [--device cuda]

- images: seconds per image of one epoch over 100 to 100 000 memory-mapped images.
- pixels, steps: seconds of a training step by image size and by number of inner steps, and the
  exponent of the power law through the times.
- start: seconds from the call of `fit` to the end of the first step, and the growth of memory, for
  a file of 150 000 colour images of 128 x 128 pixels.
- folder: the share of training that reads and decodes JPEG files.
- predict: growth of memory for 100 and for 10 000 measurements.
- linear: seconds and growth of memory of `LinearReconstructor.fit` on memory-mapped files of
  150 000 images, and the seconds to fit 20 colour images of 256 x 256 pixels and to restore one
  more.
- server: growth of memory during 10 000 calls of `predict`.
- processes: seconds of a step in one process of two threads, and in two processes of one thread
  each that `torchrun` starts (with `--device cuda`: of one GPU and of two).

Memory is that of the host.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.command_line import command_line
from benchmarks.own_process import PeakMemory, in_own_process
from benchmarks.record import save
from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import ImageFolder
from skmetainv.meta import MAML
from skmetainv.operators import GaussianBlur, Inpainting
from skmetainv.representations import Siren
from skmetainv.training import Batches

N_IMAGES, SIZES, N_INNER = (100, 1000, 10_000, 100_000), (32, 64, 128), (1, 2, 4, 8)
MANY, SMALL, LARGE = 150_000, (32, 32), (128, 128, 3)
FEW = 20, (256, 256, 3)
N_FILES, N_RESTORED, N_SERVED = 500, (100, 10_000), 10_000
_DEVICE = "SKMETAINV_SCALE_DEVICE"  # a variable that the started processes inherit
_SCRIPT = """
import json, os, sys, warnings
from benchmarks.scale import estimator, images, quiet_fit
est = quiet_fit(estimator(32, batch_size=8, max_epochs=4), images(8, 32))
if os.environ.get("RANK", "0") == "0":
    print(json.dumps(est.history_["seconds"]))
"""


def images(n, size):
    """Return random images."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size), np.uint8)


def device():
    """Return the device of all parts."""
    return os.environ.get(_DEVICE, "cpu")


def estimator(width, **parameters):
    """Return an estimator without anything but inner and outer steps."""
    common = {
        "init": Siren(width=width),
        "inner_lr": 0.01,
        "tune_solver": False,
        "max_epochs": 1,
        "augment": False,
        "early_stopping": False,
        "device": device(),
        "random_state": 0,
    }
    return MetaInverseSolver(Inpainting(), **common | parameters)


def quiet_fit(est, X):
    """Fit, without the report on the inner steps at the end."""
    est._report = lambda run: None
    return est.fit(X)


def by_images(counts, folder):
    """Return the seconds per image of an epoch, by number of memory-mapped images."""
    path = Path(folder) / "images.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (max(counts), 16, 16))
    array[:] = images(1, 16)
    del array
    found = {}
    for n in counts:
        mapped = np.load(path, mmap_mode="r")[:n]
        est = quiet_fit(estimator(8, batch_size=20, n_inner=1), mapped)
        found[n] = est.history_["seconds"][0] / n
        print(f"{n:8} images: {1000 * found[n]:.3f} ms per image", flush=True)
    return found


def _step(est, X):
    return median(quiet_fit(est, X).history_["seconds"][1:])


def exponent(seconds):
    """Return the exponent of the power law through times, by the number they grow with."""
    numbers, times = zip(*seconds.items(), strict=True)
    return float(np.polyfit(np.log(numbers), np.log(times), 1)[0])


def by_pixels(sizes):
    """Return the seconds of a step by number of pixels, and their exponent."""
    found = {n * n: _step(estimator(128, batch_size=2, max_epochs=4), images(2, n)) for n in sizes}
    print(f"pixels: exponent {exponent(found):.2f}", flush=True)
    return {"seconds": found, "exponent": exponent(found)}


def by_steps(counts):
    """Return the seconds of a step by number of inner steps, and their exponent."""
    found = {
        m: _step(estimator(128, batch_size=2, max_epochs=4, n_inner=m), images(2, 64))
        for m in counts
    }
    print(f"inner steps: exponent {exponent(found):.2f}", flush=True)
    return {"seconds": found, "exponent": exponent(found)}


class _FirstStepDoneError(Exception):
    """Ends a fit after its first step."""


class FirstStep(MAML):
    """MAML that ends a fit after the gradients of the first step."""

    def add_gradients(self, *args):
        """Compute the gradients, then raise an error."""
        super().add_gradients(*args)
        raise _FirstStepDoneError


def first_step(n, shape, folder):
    """Return the seconds to the end of the first step on a sparse file, and the memory."""
    path = Path(folder) / "sparse.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (n, *shape)).flush()
    found = in_own_process(_first_step, str(path))
    print(f"{n} images of {shape}: first step after {found['seconds']:.2f} s, ", end="")
    print(f"{found['megabytes']:.0f} MB", flush=True)
    return found


def _first_step(path):
    mapped = np.load(path, mmap_mode="r")
    _until_first_step(mapped[:20])  # libraries load modules at first use
    with PeakMemory() as memory:
        seconds = _until_first_step(mapped)
    return {"seconds": seconds, "megabytes": memory.peak - memory.before}


def _until_first_step(X):
    began = time.perf_counter()
    with suppress(_FirstStepDoneError):
        estimator(64, batch_size=5, algorithm=FirstStep()).fit(X)
    return time.perf_counter() - began


def folder_share(n, folder):
    """Return the share of an epoch that reads, decodes and simulates."""
    for i in range(n):
        smooth = Image.fromarray(images(i + 1, 16)[-1]).resize((128, 128), Image.Resampling.BICUBIC)
        smooth.save(Path(folder) / f"{i:05}.jpg", quality=90)
    spent, read_batches = [], Batches.epoch

    def timed_epoch(self, epoch, first=0):
        batches = read_batches(self, epoch, first)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            spent.append(time.perf_counter() - began)
            if batch is None:
                return
            yield batch

    Batches.epoch = timed_epoch
    try:
        folder_images = ImageFolder(folder, size=(64, 64), color=False)
        est = quiet_fit(estimator(64, batch_size=5), folder_images)
    finally:
        Batches.epoch = read_batches
    share = sum(spent) / est.history_["seconds"][0]
    print(f"JPEG files of 128 x 128, read as 64 x 64: {share:.1%} of training", flush=True)
    return {"share": share, "ms_per_image": 1000 * sum(spent) / n}


def predicted_memory(counts):
    """Return the growth of memory of `predict`, without its result, by number of images."""
    found = {n: in_own_process(_predicted_memory, n) for n in counts}
    for n, megabytes in found.items():
        print(f"predict, {n:6} images: {megabytes:.0f} MB", flush=True)
    return found


def _predicted_memory(n):
    est = quiet_fit(estimator(16, batch_size=20, n_inner=1), images(40, 32))
    measured = np.broadcast_to(est.simulate(images(1, 32)), (n, 32, 32))
    est.predict(measured[:20])
    with PeakMemory() as memory:
        restored = est.predict(measured)
    return memory.peak - memory.before - restored.nbytes / 1e6


def linear_estimate(n, shapes, few, folder):
    """Return seconds and memory of the linear estimate of many images, and of few large ones."""
    found = {}
    for shape in shapes:
        path = Path(folder) / "many.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.uint8, (n, *shape))
        for start in range(0, n, 100):
            mapped[start : start + 100] = smooth_images(100, shape, seed=start)[: n - start]
        mapped.flush()
        del mapped
        found[f"{n} of {shape}"] = own = in_own_process(_fitted_linear, str(path))
        print(f"linear, {n} images of {shape}: {own['fit_seconds']:.0f} s, ", end="")
        print(f"{own['megabytes']:.0f} MB", flush=True)
    found[f"{few[0]} of {few[1]}"] = own = _few_large(*few)
    print(f"linear, {few[0]} of {few[1]}: {own['fit_seconds']:.1f} s, ", end="")
    print(f"{own['predict_seconds']:.1f} s to restore one", flush=True)
    return found


def smooth_images(n, shape, seed=0):
    """Return random images whose details are four pixels wide, of type uint8."""
    coarse = torch.rand(n, 3, *(-(-side // 4) for side in shape[:2]), generator=_generator(seed))
    fine = torch.nn.functional.interpolate(coarse, shape[:2], mode="bilinear")
    fine = fine.movedim(1, -1) if len(shape) == 3 else fine[:, 0]
    return (255 * fine).round().byte().numpy()


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _fitted_linear(path):
    mapped = np.load(path, mmap_mode="r")
    est = LinearReconstructor(Inpainting(), device=device(), random_state=0).fit(mapped[:20])
    began = time.perf_counter()
    with PeakMemory() as memory:
        est.fit(mapped)
    seconds = time.perf_counter() - began
    return {"fit_seconds": seconds, "megabytes": memory.peak - memory.before}


def _few_large(n, shape):
    X = smooth_images(n + 1, shape)
    began = time.perf_counter()
    est = LinearReconstructor(GaussianBlur(), noise=0.015, device=device(), random_state=0)
    est.fit(X[:-1])
    fitted = time.perf_counter()
    est.predict(est.simulate(X[-1:]))
    return {"fit_seconds": fitted - began, "predict_seconds": time.perf_counter() - fitted}


def served(n):
    """Return the growth of memory, in MB, from the first tenth of `n` predictions to the last."""
    grown = in_own_process(_served, n)
    print(f"a server of {n} predictions: its memory grows by {grown:.1f} MB")
    return {"predictions": n, "megabytes": grown}


def _served(n):
    est = quiet_fit(estimator(16, batch_size=20, n_inner=1), images(40, 32))
    requests = est.simulate(images(8, 32))
    for k in range(n // 10):
        est.predict(requests[k % 7 : k % 7 + 2])
    with PeakMemory() as memory:
        for k in range(n - n // 10):
            est.predict(requests[k % 7 : k % 7 + 2])
    return memory.peak - memory.before


def by_processes():
    """Return the seconds of a step in one process and in two."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(_SCRIPT)
        found = {
            "one": _median_of([sys.executable, str(script)], threads=2),
            "two": _median_of([*run, str(script)], threads=1),
        }
    print(f"one process of two threads: {found['one']:.3f} s; two: {found['two']:.3f} s")
    return found


def _median_of(command, threads):
    here = str(Path(__file__).parents[1])
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": here}
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    return median(json.loads(out.splitlines()[-1])[1:])


def main(argv=None):
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "images": partial(by_images, N_IMAGES, folder),
            "pixels": partial(by_pixels, SIZES),
            "steps": partial(by_steps, N_INNER),
            "start": partial(first_step, MANY, LARGE, folder),
            "folder": partial(folder_share, N_FILES, folder),
            "predict": partial(predicted_memory, N_RESTORED),
            "linear": partial(linear_estimate, MANY, (SMALL, LARGE), FEW, folder),
            "server": partial(served, N_SERVED),
            "processes": by_processes,
        }
        parser = command_line(__doc__)
        parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
        parser.add_argument("--device", default="cpu")
        args = parser.parse_args(argv)
        os.environ[_DEVICE] = args.device
        results = {name: measured() for name, measured in parts.items() if name in args.parts}
    if args.parts == list(parts):
        kind = torch.device(args.device).type
        name = "scale" if kind == "cpu" else f"scale_{kind}"
        print(save(name, {"estimator": repr(estimator(64))}, results, args.device).name)


if __name__ == "__main__":
    main()
