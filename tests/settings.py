"""Shared by tests: small faces, small estimators, and the paper's training settings."""

from skmetainv import MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.meta import InnerLoss
from skmetainv.representations import Siren
from skmetainv.training import Adam

#: A hundred faces of 25 x 25 pixels, and ten of them.
FACES = load_faces()
TEN_FACES = FACES[:10]
#: A hundred faces of 9 x 9 pixels, and some of them.
SMALL_FACES = FACES[:, ::3, ::3].astype(float)
SIX_SMALL_FACES = SMALL_FACES[:6]
TWELVE_SMALL_FACES = SMALL_FACES[:12]
SIXTEEN_SMALL_FACES = SMALL_FACES[:16]

#: Training that tests can repeat by hand: no augmentation, a constant learning rate.
PLAIN = {
    "augment": False,
    "optimizer": Adam(schedule="constant", max_grad_norm=None),
    "batch_size": 5,
}
#: Settings of `MetaInverseSolver`: nothing is found from the images, and the solver is not tuned.
PAPER = {
    **PLAIN,
    "inner_loss": InnerLoss(of="result"),
    "inner_lr": 0.01,
    "outer_lr": 1e-4,
    "tune_solver": False,
}


def small(operator=None, solver=None, **options):
    """An estimator that trains in a moment; test files set their own defaults by `partial`."""
    defaults = {"init": Siren(width=8, depth=3), "n_inner": 2, "max_epochs": 1, "random_state": 0}
    return MetaInverseSolver(operator, solver, **defaults | options)


def small_denoiser(**options):
    """A denoiser that trains in a moment."""
    defaults = {"depth": 2, "width": 4, "max_epochs": 1, "random_state": 0}
    return DnCNN(**defaults | options)
