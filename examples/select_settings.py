"""Search settings of the inner steps, the solver and its denoiser with one `GridSearchCV`.

Deblur the faces included in scikit-image by a `MetaInverseSolver` with RED and a `DnCNN`. The grid
is `n_inner` x `inner_lr` x `solver__n_iter` x `solver__denoiser__depth`. Each candidate is trained
with its denoiser on two thirds of 80 faces and scored on the rest, in three folds. A second search
tunes RED alone, which starts from the adjoint. The best estimators restore 20 test faces that no
search has seen. Print the best candidates and the test scores, and plot both in
`select_settings.png`. This takes three and a half minutes on two CPU cores:

    python examples/select_settings.py --save deblur.joblib

The keys of a grid are the names of `get_params`, so any other parameter can be searched, too.
"""

import argparse

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, ParameterGrid, train_test_split

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.display import ReconstructionDisplay, SearchDisplay
from skmetainv.meta import MAML, InnerLoss
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import GaussianBlur
from skmetainv.representations import Siren
from skmetainv.solvers import RED
from skmetainv.training import Adam

SOLVER_GRID = {"solver__n_iter": [1, 3], "solver__denoiser__depth": [3, 5]}
GRID = {"n_inner": [1, 3], "inner_lr": [3.0, 30.0, 300.0], **SOLVER_GRID}
CLASSICAL_GRID = {**SOLVER_GRID, "solver__n_iter": [1, 3, 10, 30]}


def make_estimators(random_state=0):
    """Return the meta-learned estimator and its solver alone, for the same task."""
    denoiser = DnCNN(
        noise_level=0.1,
        width=16,
        lr=3e-3,
        max_epochs=20,
        batch_size=4,
        device="cpu",
    )
    task = {
        "operator": GaussianBlur(sigma=1.6, boundary="reflect"),
        "solver": RED(denoiser, weight=0.03),
        "noise": 0.01,
        "device": "cpu",
        "random_state": random_state,
    }
    ours = MetaInverseSolver(
        init=Siren(width=64, depth=4),
        algorithm=MAML(step_sizes="per_parameter"),
        inner_loss=InnerLoss(of="result"),  # depends on the solver, whose settings are searched
        outer_lr=3e-4,
        optimizer=Adam(schedule="constant"),
        augment=False,
        max_epochs=3,
        batch_size=5,
        **task,
    )
    return ours, ClassicalReconstructor(**task)


def search(estimator, grid, train, n_jobs=2):
    """Fit a search, in which all candidates are scored on the same measurements."""
    searched = GridSearchCV(estimator, grid, scoring=psnr_scorer, cv=3, verbose=1)
    # Networks this small gain little from a second thread, so each worker has one.
    with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
        return searched.fit(train)


def restore(train, test, ours, classical):
    """Return the measurements of `test` and a dict of their reconstructions by each method."""
    best = ours.best_estimator_
    measured = best.simulate(test)
    solver = {name: value for name, value in ours.best_params_.items() if name in SOLVER_GRID}
    same = classical.estimator.set_params(**solver).fit(train)
    return {
        "measured": measured,
        "RED, same settings": same.predict(measured),
        "RED, its own search": classical.predict(measured),
        "MetaInverseSolver": best.predict(measured),
    }


def print_candidates(searched, n_best=8):
    results = searched.cv_results_
    names = list(searched.param_grid)
    heads = [name.rpartition("__")[2] for name in names]
    print("\n" + "".join(f"{head:>10}" for head in heads) + "   PSNR (dB)  std. of folds")
    for i in np.argsort(results["rank_test_score"], kind="stable")[:n_best]:
        values = "".join(f"{results['params'][i][name]:>10g}" for name in names)
        print(f"{values}{results['mean_test_score'][i]:12.2f}{results['std_test_score'][i]:15.2f}")
    print(f"best of {len(results['params'])} candidates: {searched.best_params_}")


def print_table(clean, restored):
    print(f"\n{'':20}{'PSNR (dB)':>10}{'SSIM':>8}{'MSE':>10}")
    for name, images in restored.items():
        print(
            f"{name:20}{psnr(clean, images):10.2f}{ssim(clean, images):8.3f}"
            f"{mse(clean, images):10.5f}"
        )


def draw_scores(figure, searched):
    """Plot one heat map over `n_inner` and `inner_lr` per setting of the solver."""
    settings = [
        {name: value for name, value in candidate.items() if name in SOLVER_GRID}
        for candidate in ParameterGrid(searched.param_grid)
    ]
    solvers = [solver for i, solver in enumerate(settings) if solver not in settings[:i]]
    axes = figure.subplots(2, 2).flat
    for ax, solver in zip(axes, solvers, strict=True):
        SearchDisplay.from_estimator(searched, ["n_inner", "inner_lr"], fixed=solver, ax=ax)
    figure.suptitle("Validation PSNR (dB), mean ± standard deviation over three folds", fontsize=11)


def draw(searched, clean, restored, path, n_faces=4):
    figure = plt.figure(figsize=(11, 15), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.3), hspace=0.04)
    draw_scores(above, searched)
    images = {name: of_method[:n_faces] for name, of_method in restored.items()}
    measured = images.pop("measured")
    ReconstructionDisplay.from_predictions(
        clean[:n_faces], images, measured=measured, ax=below.subplots()
    )
    below.suptitle(f"The first {n_faces} test faces", fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of training")
    parser.add_argument("--jobs", type=int, default=2, help="candidates trained in parallel")
    parser.add_argument("--save", help="file for the best estimator, for joblib.load")
    parser.add_argument("--output", default="select_settings.png")
    args = parser.parse_args()

    train, test = train_test_split(load_faces(), test_size=20, random_state=args.seed)
    estimator, solver_alone = make_estimators(args.seed)
    classical = search(solver_alone, CLASSICAL_GRID, train, args.jobs)
    ours = search(estimator, GRID, train, args.jobs)
    restored = restore(train, test, ours, classical)
    print_candidates(classical, n_best=3)
    print_candidates(ours)
    print_table(test, restored)
    draw(ours, test, restored, args.output)
    print(f"\nThe plot is in {args.output}.")
    if args.save:
        joblib.dump(ours.best_estimator_, args.save)
        print(f"The best estimator is in {args.save}.")


if __name__ == "__main__":
    main()
