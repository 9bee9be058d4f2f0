"""Restore faces whose centre is missing: fit on clean faces, predict, compare, plot.

Train a `MetaInverseSolver` with default parameters on 80 of the 100 faces included in scikit-image,
and restore the other 20. Compare it with the mean face, biharmonic filling, the linear estimate
from the same faces, and a U-Net. Print a table and write `quickstart.png`. This takes about a
minute on two CPU cores.
"""

import argparse

import numpy as np
from skimage.restoration import inpaint_biharmonic
from sklearn.model_selection import train_test_split

from skmetainv import LinearReconstructor, MetaInverseSolver, UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.operators import Inpainting
from skmetainv.solvers import GradientDescent


def make_estimator(random_state=0, verbose=0):
    return MetaInverseSolver(
        operator=Inpainting(),
        solver=GradientDescent(),
        n_inner=3,
        outer_loss="l2",
        random_state=random_state,
        verbose=verbose,
    )


def make_baselines(estimator):
    """Return the other trained estimators by name."""
    task = {"operator": estimator.operator, "random_state": estimator.random_state}
    return {
        "linear estimate": LinearReconstructor(**task),
        "U-Net": UNetReconstructor(**task, width=16),
    }


def restore(train, test, estimator):
    """Return the measurements of `test` and a dict of their reconstructions by each method."""
    measured = estimator.simulate(test)
    missing = estimator.simulate(np.ones_like(test[:1]))[0] == 0
    mean_filled, biharmonic = measured.copy(), measured.copy()
    mean_filled[:, missing] = train.mean(axis=0)[missing]
    for image in biharmonic:
        image[:] = inpaint_biharmonic(image, missing)
    learned = {**make_baselines(estimator), "MetaInverseSolver": estimator}
    return {
        "measurement": measured,
        "training mean": mean_filled,
        "biharmonic": biharmonic,
        **{name: est.fit(train).predict(measured) for name, est in learned.items()},
    }


def print_table(clean, restored):
    print(f"\n{'':20}{'PSNR (dB)':>10}{'SSIM':>8}{'MSE':>10}")
    for name, images in restored.items():
        print(
            f"{name:20}{psnr(clean, images):10.2f}{ssim(clean, images):8.3f}"
            f"{mse(clean, images):10.5f}"
        )


def draw(clean, restored, path, n_faces=6):
    images = {name: of_method[:n_faces] for name, of_method in restored.items()}
    measured = images.pop("measurement")
    display = ReconstructionDisplay.from_predictions(clean[:n_faces], images, measured=measured)
    display.figure_.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of training")
    parser.add_argument("--output", default="quickstart.png")
    args = parser.parse_args()

    faces = load_faces()
    train, test = train_test_split(faces, test_size=20, random_state=args.seed)
    restored = restore(train, test, make_estimator(random_state=args.seed, verbose=1))
    print_table(test, restored)
    draw(test, restored, args.output)
    print(f"\nThe images are in {args.output}.")


if __name__ == "__main__":
    main()
