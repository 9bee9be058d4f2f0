"""Algorithms 1 and 2 of the paper, and alternatives to their parts."""

from skmetainv.meta.algorithm_1 import Adaptation, InnerLoop, adapt, no_solver
from skmetainv.meta.algorithm_2 import meta_learn
from skmetainv.meta.algorithms import Algorithm, OuterLosses, Task
from skmetainv.meta.higher_engine import adapt_with_higher
from skmetainv.meta.imaml import IMAML
from skmetainv.meta.inner_loss import (
    INNER_LOSS_CONSTRAINTS,
    InnerLoss,
    InnerObjective,
    as_inner_loss,
)
from skmetainv.meta.learner import MetaLearner
from skmetainv.meta.maml import MAML
from skmetainv.meta.open_values import OpenValues, choose_open_values
from skmetainv.meta.reptile import Reptile
from skmetainv.meta.shorthands import ALGORITHM_CONSTRAINTS, as_algorithm
from skmetainv.meta.step_sizes import (
    STEP_SIZE_CONSTRAINTS,
    STEP_SIZE_RULES,
    FixedStepSize,
    PerLayer,
    PerParameter,
    PerStep,
    StepSizeRule,
    as_rule,
    with_rate_of,
)
from skmetainv.meta.tuning import TUNE_SOLVER_CONSTRAINTS, TuneSolver, as_tuning

__all__ = [
    "ALGORITHM_CONSTRAINTS",
    "IMAML",
    "INNER_LOSS_CONSTRAINTS",
    "MAML",
    "STEP_SIZE_CONSTRAINTS",
    "STEP_SIZE_RULES",
    "TUNE_SOLVER_CONSTRAINTS",
    "Adaptation",
    "Algorithm",
    "FixedStepSize",
    "InnerLoop",
    "InnerLoss",
    "InnerObjective",
    "MetaLearner",
    "OpenValues",
    "OuterLosses",
    "PerLayer",
    "PerParameter",
    "PerStep",
    "Reptile",
    "StepSizeRule",
    "Task",
    "TuneSolver",
    "adapt",
    "adapt_with_higher",
    "as_algorithm",
    "as_inner_loss",
    "as_rule",
    "as_tuning",
    "choose_open_values",
    "meta_learn",
    "no_solver",
    "with_rate_of",
]
