"""Anonymous memory of a fit on a large memory-mapped array, compared with 200 of its images.

    python -m benchmarks.memory

Write 40 000 random uint8 images of 64 x 64 x 3 (491 MB) to a temporary file, and fit each case in a
separate process for one epoch. Anonymous memory is the resident memory that maps no file
(`RssAnon` of Linux), sampled every 10 ms. The result is its peak during `fit` minus its value
before `fit`.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.command_line import command_line
from benchmarks.own_process import PeakMemory, in_own_process
from benchmarks.record import save
from skmetainv import MetaInverseSolver
from skmetainv.operators import Inpainting
from skmetainv.representations import Siren

N_IMAGES, N_FEW, SHAPE = 40_000, 200, (64, 64, 3)


def make_estimator():
    return MetaInverseSolver(
        Inpainting(),
        init=Siren(width=8, depth=2),
        n_inner=1,
        max_epochs=1,
        batch_size=20,
        device="cpu",
        random_state=0,
    )


def fit_one(path, n):
    images = np.load(path, mmap_mode="r")[:n]
    make_estimator().fit(images[:40])  # libraries load modules and data at first use
    with PeakMemory() as memory:
        make_estimator().fit(images)
    return {"before_mb": memory.before, "peak_mb": memory.peak}


def main():
    command_line(__doc__).parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        rng = np.random.default_rng(0)
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (N_IMAGES, *SHAPE))
        for start in range(0, N_IMAGES, 1000):
            images[start : start + 1000] = rng.integers(0, 256, (1000, *SHAPE), np.uint8)
        megabytes = images.nbytes / 1e6
        del images
        for n in (N_FEW, N_IMAGES):
            results[n] = in_own_process(fit_one, path, n)
            results[n]["growth_mb"] = results[n]["peak_mb"] - results[n]["before_mb"]
            print(f"{n:6} images: anonymous memory grows by {results[n]['growth_mb']:.1f} MB")
    difference = results[N_IMAGES]["growth_mb"] - results[N_FEW]["growth_mb"]
    print(f"an array of {megabytes:.1f} MB: {difference:.1f} MB more than {N_FEW} images of it")
    settings = {"estimator": repr(make_estimator()), "shape": [N_IMAGES, *SHAPE]}
    print(save("memory", settings, {**results, "difference_mb": difference}).name)


if __name__ == "__main__":
    main()
