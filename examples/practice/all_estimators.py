"""
All estimators in one table
===========================

:func:`~skmetainv.model_selection.compare` fits five estimators to the same faces, lets them deblur
the same measurements of other faces, and returns one table with quality, time and size.
:class:`~skmetainv.display.ComparisonDisplay` draws it.
"""

# %%
# The estimators
# --------------
# All of them deblur faces with noise. They differ in what they contain:
#
# ==================================== ============== ==================== ====================
# estimator                            forward model  learned from images  trained by
# ==================================== ============== ==================== ====================
# `ClassicalReconstructor`             yes            nothing              (a searched weight)
# `LinearReconstructor`                yes            mean and covariance  statistics
# `UNetReconstructor`                  no             a network            gradient steps
# `UnrolledReconstructor`              yes            a denoiser           gradient steps
# `MetaInverseSolver`                  yes            a start              gradient steps
# ==================================== ============== ==================== ====================
#
# The last three get about the same time of training here, less than by default, so that the example
# is short. A search is an estimator, too: total variation gets the weight that restores the
# training faces best.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.datasets import load_faces
from skmetainv.display import ComparisonDisplay
from skmetainv.model_selection import compare, psnr_scorer
from skmetainv.operators import GaussianBlur
from skmetainv.solvers import GradientDescent, PrimalDual

task = {"operator": GaussianBlur(sigma=1.6), "noise": 0.015, "random_state": 0}

estimators = {
    "total variation": GridSearchCV(
        ClassicalReconstructor(solver=PrimalDual(), **task),
        {"solver__weight": [1e-4, 3e-4, 1e-3, 3e-3]},
        scoring=psnr_scorer,
        cv=2,
    ),
    "linear estimate": LinearReconstructor(**task),
    "U-Net": UNetReconstructor(width=16, max_epochs=50, **task),
    "unrolled HQS": UnrolledReconstructor(max_epochs=18, **task),
    "MetaInverseSolver": MetaInverseSolver(solver=GradientDescent(), max_epochs=50, **task),
}

# %%
# The table
# ---------
# ``cv`` is one split here: 80 faces for training, 20 for testing. A number gives that many folds,
# as in scikit-learn.

faces = load_faces()
train, test = np.split(np.arange(100), [80])
table = compare(estimators, faces, cv=[(train, test)])
print(table.round(3).to_string())

# %%
# ``psnr_se`` is the standard error of the mean over the 20 faces. All estimators restore the same
# measurements, so differences between them are more certain than these errors suggest. With
# ``per_image=True``, the table has one row per image, for paired comparisons.
#
# The picture
# -----------
# Bars are two standard errors to either side.

figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
for ax, x in zip(axes, ["fit_seconds", "predict_ms", "n_weights"], strict=True):
    ComparisonDisplay.from_table(table, x=x, ax=ax)
    ax.get_legend().remove()
    ax.label_outer()
axes[1].margins(x=0.4)
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))

# %%
# By PSNR, the unrolled solver and `MetaInverseSolver` are best, and hardly differ. Among the
# estimators that learn, the unrolled solver has the fewest weights; it also restores images of any
# size. With its default start, `MetaInverseSolver` restores images of the training size only. The
# linear estimate comes third, after a moment of training. The U-Net does not know the blur. After
# this training on 80 faces, its PSNR is no higher than that of total variation, which learned
# nothing but its weight. By SSIM the order differs: the table has both.

plt.show()
