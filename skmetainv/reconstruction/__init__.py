"""What every estimator that restores images does: checks, arrays in and out, simulation, scores."""

from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.trained import TrainedReconstructor

__all__ = ["Reconstructor", "TrainedReconstructor"]
