"""Peak memory and time of large images restored at once and tile by tile, and errors by overlap.

    python -m benchmarks.tiles

Each case denoises or inpaints one image of random gray values in a separate process. The networks
are hardly trained, because peak resident memory (as counted by the operating system) and seconds
do not depend on the weights. `DnCNN` and the U-Net have their default sizes, `DRUNet` a width of
16. The differences by overlap are measured with networks trained on the package's faces, on a
mosaic of faces.
"""

import resource
import time

import numpy as np

from benchmarks.command_line import command_line
from benchmarks.own_process import in_own_process
from benchmarks.record import save
from skmetainv import UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.operators import Inpainting

SIDE = 2048
TILES = {"DnCNN": 256, "DRUNet": 512, "UNetReconstructor": 256}
LARGE = {"DRUNet": {"width": 16}}
MAKERS = {
    "DnCNN": lambda **own: DnCNN(0.1, **own),
    "DRUNet": lambda **own: DRUNet(0.1, **own),
    "UNetReconstructor": lambda **own: UNetReconstructor(Inpainting(), **own),
}
# Networks small enough to train in a minute each, with the receptive field of the larger ones.
SMALL = {
    "DnCNN": {"width": 16, "max_epochs": 30, "lr": 3e-3},
    "DRUNet": {"width": 8, "max_epochs": 60, "lr": 1e-3},
    "UNetReconstructor": {"width": 8, "max_epochs": 100, "batch_size": 16},
}
OVERLAPS = (0, 8, 16, 32, 48, None)


def measure(name, side, tile):
    """Return the peak memory before and after a prediction, its growth, and the seconds."""
    own = LARGE.get(name, {})
    est = MAKERS[name](**own, max_epochs=1, lr=1e-9, random_state=0, device="cpu")
    est.fit(load_faces()[:2])
    image = np.random.default_rng(0).random((1, side, side), dtype=np.float32)
    before, began = peak_mb(), time.perf_counter()
    est.predict(image, image_shape=(side, side), tile=tile)
    seconds, peak = time.perf_counter() - began, peak_mb()
    return {"before_mb": before, "peak_mb": peak, "seconds": seconds, "growth_mb": peak - before}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def memory(sides):
    """Return memory and time of each network by image side, at once and tile by tile."""
    found = {}
    for name in MAKERS:
        for side in sides:
            for tile in (None, TILES[name]):
                case = f"{name}, {side} x {side}, {'at once' if tile is None else f'tile={tile}'}"
                try:
                    found[case] = in_own_process(measure, name, side, tile)
                except Exception as error:  # too little memory, for instance
                    found[case] = {"failed": [f"{type(error).__name__}: {error}"]}
                print(case, found[case], flush=True)
    return found


def differences():
    """Return the differences between trained networks' results tile by tile and at once."""
    faces, found = load_faces(), {}
    mosaic = faces.reshape(10, 10, 25, 25).swapaxes(1, 2).reshape(1, 250, 250)
    for name, settings in SMALL.items():
        est = MAKERS[name](**settings, random_state=0, device="cpu").fit(faces[:80])
        measured = est.simulate(mosaic, random_state=0)
        whole = est.predict(measured, image_shape=(250, 250))
        for overlap in OVERLAPS:
            tiled = est.predict(measured, image_shape=(250, 250), tile=64, overlap=overlap)
            found[f"{name}, overlap={overlap}"] = float(np.abs(tiled - whole).max())
    for case, difference in found.items():
        print(f"{case}: {difference:.1e}")
    return found


def main():
    parser = command_line(__doc__)
    parser.add_argument("--sides", nargs="+", type=int, default=[SIDE // 2, SIDE])
    args = parser.parse_args()
    found = {"memory": memory(args.sides), "largest_difference": differences()}
    settings = {"sides": args.sides, "tiles": TILES, "large": LARGE, "trained": SMALL}
    print(save("tiles", settings, found).name)


if __name__ == "__main__":
    main()
