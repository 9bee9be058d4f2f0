"""Base classes of estimators: checks, conversion of arrays, simulation, training, scores."""

from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.restorer import Restore, Restorer
from skmetainv.reconstruction.trained import Learner, TrainedReconstructor

__all__ = ["Learner", "Reconstructor", "Restore", "Restorer", "TrainedReconstructor"]
