"""What every estimator that restores images does: checks, arrays in and out, simulation, scores."""

from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.trained import Learner, TrainedReconstructor

__all__ = ["Learner", "Reconstructor", "TrainedReconstructor"]
