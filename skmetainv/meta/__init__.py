"""Algorithms 1 and 2 of the paper, to be read beside it."""

from skmetainv.meta.algorithm_1 import Adaptation, InnerLoop, adapt, images_at_once
from skmetainv.meta.algorithm_2 import meta_learn
from skmetainv.meta.step_sizes import STEP_SIZE_RULES, StepSizeRule

__all__ = [
    "STEP_SIZE_RULES",
    "Adaptation",
    "InnerLoop",
    "StepSizeRule",
    "adapt",
    "images_at_once",
    "meta_learn",
]
