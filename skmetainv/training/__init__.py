"""The one loop that everything learnable shares."""

from skmetainv.training.batches import Batches, MeasuredPairs, Pair, SimulatedPairs
from skmetainv.training.loop import TrainingLoop
from skmetainv.training.optimizer import load_arrays, state_to_arrays

__all__ = [
    "Batches",
    "MeasuredPairs",
    "Pair",
    "SimulatedPairs",
    "TrainingLoop",
    "load_arrays",
    "state_to_arrays",
]
