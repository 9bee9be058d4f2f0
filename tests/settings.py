"""How the paper trains, for tests that compute what they expect by hand."""

from skmetainv.meta import InnerLoss
from skmetainv.training import Adam

#: Of every estimator that learns in epochs: the images as they are, one learning rate.
PLAIN = {
    "augment": False,
    "optimizer": Adam(schedule="constant", max_grad_norm=None),
    "batch_size": 5,
}
#: Of `MetaInverseSolver`: numbers chosen beforehand, the inner loss of the solver's result.
PAPER = {
    **PLAIN,
    "inner_loss": InnerLoss(of="result"),
    "inner_lr": 0.01,
    "outer_lr": 1e-4,
    "tune_solver": False,
}
