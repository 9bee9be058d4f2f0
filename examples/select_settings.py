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
from itertools import product

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, train_test_split

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
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
    grid, results = searched.param_grid, searched.cv_results_
    candidates = {tuple(p[name] for name in GRID): i for i, p in enumerate(results["params"])}
    solvers = list(product(grid["solver__n_iter"], grid["solver__denoiser__depth"]))
    axes = figure.subplots(1, len(solvers), sharey=True)
    for ax, (n_iter, depth) in zip(axes, solvers, strict=True):
        index = [
            [candidates[n_inner, lr, n_iter, depth] for lr in grid["inner_lr"]]
            for n_inner in grid["n_inner"]
        ]
        drawn = draw_map(ax, np.array(index), searched)
        ax.set_title(f"solver: n_iter={n_iter}, denoiser: depth={depth}", fontsize=9)
        ax.set_xticks(range(len(grid["inner_lr"])), [f"{lr:g}" for lr in grid["inner_lr"]])
        ax.set_yticks(range(len(grid["n_inner"])), grid["n_inner"])
        ax.set_xlabel("inner_lr")
    axes[0].set_ylabel("n_inner")
    figure.colorbar(drawn, ax=axes, label="PSNR (dB)", aspect=12, pad=0.01)
    figure.suptitle(
        "Validation PSNR, mean ± standard deviation over three folds; the best in red", fontsize=11
    )


def draw_map(ax, index, searched):
    """Plot and label the scores of the candidates `index`, on the colour scale of the search."""
    means, stds = (searched.cv_results_[f"{name}_test_score"] for name in ("mean", "std"))
    drawn = ax.imshow(means[index], vmin=means.min(), vmax=means.max(), aspect="auto")
    for (row, column), i in np.ndenumerate(index):
        best = i == searched.best_index_
        ax.text(
            column,
            row,
            f"{means[i]:.2f}\n± {stds[i]:.2f}",
            color="white" if drawn.norm(means[i]) < 0.6 else "black",
            weight="bold" if best else "normal",
            fontsize=9,
            ha="center",
            va="center",
        )
        if best:
            corner = (column - 0.48, row - 0.47)
            ax.add_patch(plt.Rectangle(corner, 0.96, 0.94, fill=False, color="red", lw=2.5))
    return drawn


def draw_faces(figure, clean, restored, n_faces):
    rows = {"truth": clean, **restored}
    axes = figure.subplots(len(rows), n_faces)
    for axs, (name, images) in zip(axes, rows.items(), strict=True):
        ratios = psnr(clean[:n_faces], images[:n_faces], per_image=True)
        for ax, image, ratio in zip(axs, images, ratios, strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if name != "truth":
                ax.set_xlabel(f"{ratio:.2f} dB", fontsize=8, labelpad=2)
        axs[0].set_ylabel(
            name.replace(", ", ",\n"), fontsize=9, rotation=0, ha="right", va="center", labelpad=8
        )
    figure.suptitle(f"The first {n_faces} test faces, from black (0) to white (1)", fontsize=11)


def draw(searched, clean, restored, path, n_faces=8):
    figure = plt.figure(figsize=(12, 10.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 2.6), hspace=0.04)
    draw_scores(above, searched)
    draw_faces(below, clean, restored, n_faces)
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
