"""Displays in matplotlib: restored images, training curves, step sizes, searches, comparisons.

They follow scikit-learn's display API. A class method computes the values and draws them; the
object keeps the values, and its `plot` draws them again. Displays need matplotlib:
``pip install "skmetainv[plot]"``.
"""

from skmetainv.display.comparison import ComparisonDisplay
from skmetainv.display.reconstruction import ReconstructionDisplay
from skmetainv.display.search import SearchDisplay
from skmetainv.display.step_sizes import StepSizeDisplay
from skmetainv.display.training_curve import TrainingCurveDisplay
from skmetainv.display.trajectory import TrajectoryDisplay

__all__ = [
    "ComparisonDisplay",
    "ReconstructionDisplay",
    "SearchDisplay",
    "StepSizeDisplay",
    "TrainingCurveDisplay",
    "TrajectoryDisplay",
]
