"""Deblur and inpaint photographs by RED, HQS, ADMM and total variation: compare, plot.

Train a small `DnCNN` on nine photographs included in scikit-image. Restore two other photographs by
three solvers with this denoiser, and by total variation. Print a table and write
`restore_photographs.png`. This takes about a minute on two CPU cores:

    python examples/restore_photographs.py
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize
from skimage.util import img_as_float
from sklearn.frozen import FrozenEstimator

from skmetainv import ClassicalReconstructor
from skmetainv.denoisers import DnCNN
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr
from skmetainv.operators import GaussianBlur, MissingPixels
from skmetainv.solvers import ADMM, HQS, RED, PrimalDual

RESTORED = ("camera", "astronaut")
TRAINING = ("brick", "chelsea", "clock", "coffee", "coins", "grass", "moon", "page", "rocket")
NOISE = 0.01
OPERATORS = {
    "deblurring": GaussianBlur(sigma=1.6, boundary="reflect"),
    "inpainting": MissingPixels(observed=0.3),
}


def load_photographs(names, size=256):
    """Return central square crops of photographs, gray, in [0, 1], of shape (n, size, size)."""
    photographs = []
    for name in names:
        image = img_as_float(getattr(data, name)())
        image = rgb2gray(image) if image.ndim == 3 else image
        side = min(image.shape)
        top, left = [(n - side) // 2 for n in image.shape]
        square = image[top : top + side, left : left + side]
        photographs.append(resize(square, (size, size), anti_aliasing=True))
    return np.stack(photographs)


def make_denoiser(random_state=0, verbose=0):
    """Return one network for all noise levels up to 0.2."""
    return DnCNN(
        noise_level=(0.0, 0.2),
        depth=7,
        width=32,
        noise_level_input=True,
        lr=2e-3,
        max_epochs=40,
        random_state=random_state,
        verbose=verbose,
    )


def make_solvers(denoiser, n_iter=30):
    """Return the solvers by name, with the same settings for both tasks."""
    # The noise levels decrease. The first levels fill in missing pixels, which start as zeros. HQS
    # ends with the denoiser, so its last level must be lower to keep details.
    levels, lower = np.geomspace(0.2, 0.04, n_iter), np.geomspace(0.2, 0.02, n_iter)
    prior = FrozenEstimator(denoiser)
    return {
        "RED": RED(prior, n_iter=n_iter, weight=0.03, noise_level=levels),
        "HQS": HQS(prior, n_iter=n_iter, noise_level=lower, measurement_noise=NOISE),
        "ADMM": ADMM(prior, n_iter=n_iter, rho=0.02, noise_level=levels),
        "total variation": PrimalDual(10 * n_iter, weight=0.001, step_size=10.0),
    }


def restore(photographs, others, operator, solvers, seed=0):
    """Return the measurements of `photographs` and their reconstructions by each solver, by name.

    Missing pixels of the measurements are NaN. The denoiser is frozen, so fitting to
    `others` trains nothing: it stores the image shape and checks the solver.
    """
    estimator = ClassicalReconstructor(operator, noise=NOISE, random_state=seed)
    measured = estimator.simulate(photographs)
    restored = {"measured": measured}
    for name, solver in solvers.items():
        images = estimator.set_params(solver=solver).fit(others).predict(measured)
        restored[name] = np.clip(images, 0, 1)
    return restored


def print_table(names, photographs, results):
    tasks = [f"{task:>{12 * len(names)}}" for task in results]
    print(f"\n{'PSNR (dB)':16}{''.join(tasks)}")
    print(" " * 16 + "".join(f"{name:>12}" for name in names) * len(results))
    for method in next(iter(results.values())):
        # Missing pixels count as black.
        images = [np.nan_to_num(restored[method]) for restored in results.values()]
        ratios = [psnr(photographs, x, per_image=True) for x in images]
        print(f"{method:16}" + "".join(f"{ratio:12.2f}" for ratio in np.concatenate(ratios)))


def draw(names, photographs, results, path):
    n_columns = 1 + len(next(iter(results.values())))
    size = 2 * n_columns, 2.2 * len(results) * len(names)
    figure, axes = plt.subplots(len(results), figsize=size, layout="constrained")
    for ax, (task, restored) in zip(axes, results.items(), strict=True):
        images = dict(restored)
        display = ReconstructionDisplay.from_predictions(
            photographs, images, measured=images.pop("measured"), ax=ax
        )
        for row, name in zip(display.ax_, names, strict=True):
            row[0].set_ylabel(f"{task}: {name}", fontsize="small")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of training, masks and noise")
    parser.add_argument("--output", default="restore_photographs.png")
    args = parser.parse_args()

    photographs, others = load_photographs(RESTORED), load_photographs(TRAINING)
    solvers = make_solvers(make_denoiser(args.seed, verbose=1).fit(others))
    results = {
        task: restore(photographs, others, operator, solvers, args.seed)
        for task, operator in OPERATORS.items()
    }
    print_table(RESTORED, photographs, results)
    draw(RESTORED, photographs, results, args.output)
    print(f"\nThe images are in {args.output}.")


if __name__ == "__main__":
    main()
