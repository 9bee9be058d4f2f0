"""
Search settings with scikit-learn
=================================

`GridSearchCV` searches the number of inner steps and two learning rates of a
:class:`~skmetainv.MetaInverseSolver` that deblurs faces. Heat maps show the scores of all
candidates. The best estimator restores faces that the search has not seen, and is stored by joblib.
"""

# %%
# The estimator
# -------------
# The task is to deblur faces with noise. The solver makes ten gradient steps, from the image of a
# small SIREN. (The network is not the default one. The default starts from a linear estimate, and
# needs no search. See the last section.)

import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay, SearchDisplay
from skmetainv.meta import InnerLoss
from skmetainv.metrics import psnr, ssim
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import GaussianBlur
from skmetainv.representations import Siren
from skmetainv.solvers import GradientDescent

faces = load_faces()
train, test = faces[:80], faces[80:]

task = {"operator": GaussianBlur(sigma=1.6), "noise": 0.01, "random_state": 0}
estimator = MetaInverseSolver(
    solver=GradientDescent(n_iter=10),
    init=Siren(width=32, depth=3),
    inner_loss=InnerLoss(of="result"),
    max_epochs=5,
    **task,
)

# %%
# The search
# ----------
# The keys of a grid are the names of ``get_params``. Those of nested objects are joined by two
# underscores: ``init__width`` or ``solver__n_iter``, for instance.
# ``psnr_scorer`` simulates the measurements of held-out faces with a
# fixed seed, so that all candidates restore the same measurements.
#
# This search trains 33 networks: 16 candidates in two folds, and the best one again on all 80
# faces. If the inner steps of a candidate make its results worse than its start, a warning says so.

grid = {"n_inner": [1, 3], "inner_lr": [3.0, 30.0, 300.0, "auto"], "outer_lr": [1e-3, 3e-3]}
search = GridSearchCV(estimator, grid, scoring=psnr_scorer, cv=2).fit(train)
print(search.best_params_)

# %%
# A heat map shows two parameters. If there are more, ``fixed`` sets the values of the others. The
# best candidate of each plot has a frame.

figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
for ax, outer_lr in zip(axes, grid["outer_lr"], strict=True):
    display = SearchDisplay.from_estimator(
        search, ["n_inner", "inner_lr"], fixed={"outer_lr": outer_lr}, ax=ax
    )
figure.suptitle("Validation PSNR (dB): mean ± standard deviation over two folds")

# %%
# The inner learning rate matters most. At 3 the inner steps change almost nothing. At 300 one step
# helps, and three steps go too far. The default, "auto", computes a step size from 16 training
# images, and needs no search.

best = search.best_estimator_
print(f"The inner learning rate of the best estimator is {best.inner_lr_:.3g}.")

# %%
# The best estimator on unseen faces
# ----------------------------------
# The baselines get the same measurements. A second search gives the solver alone its best number
# of updates. :class:`~skmetainv.LinearReconstructor` has nothing to search.

alone = GridSearchCV(
    ClassicalReconstructor(solver=GradientDescent(), **task),
    {"solver__n_iter": [3, 10, 30, 100, 300]},
    scoring=psnr_scorer,
    cv=2,
).fit(train)
linear = LinearReconstructor(**task).fit(train)

measured = best.simulate(test, random_state=0)
ten_steps = ClassicalReconstructor(solver=best.solver, **task).fit(train)
restored = {
    "10 gradient steps": ten_steps.predict(measured),
    f"{alone.best_params_['solver__n_iter']} gradient steps": alone.predict(measured),
    "10, learned start": best.predict(measured),
    "linear estimate": linear.predict(measured),
}
print(f"{'20 test faces':20}{'PSNR (dB)':>10}{'SSIM':>8}")
for name, images in restored.items():
    print(f"{name:20}{psnr(test, images):10.2f}{ssim(test, images):8.3f}")

ReconstructionDisplay.from_predictions(
    test[:3], {name: images[:3] for name, images in restored.items()}, measured=measured[:3]
)

# %%
# From the learned start, ten gradient steps are about as good as the solver's best number of steps
# from the measurement. (Its three inner steps run the solver, too, so this saves no time.) But five
# epochs of a small network do not reach the linear estimate from the same 80 faces. For this reason
# the default ``init`` of `MetaInverseSolver` starts from that estimate, and learns to correct it.
# :doc:`/benchmarks` has results of the default.
#
# Storing the result
# ------------------
# joblib stores the best estimator, or the whole search. Such a file is a pickle: loading it runs
# code, so load only your own. To share an estimator, see :doc:`/gallery/practice/saving`.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "deblur.joblib")
    joblib.dump(best, path)
    loaded = joblib.load(path)
print("same result:", (loaded.predict(measured) == best.predict(measured)).all())

plt.show()
