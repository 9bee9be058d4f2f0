"""The one loop that everything learnable shares."""

from skmetainv.training.batches import Batches, MeasuredPairs, Pair, SimulatedPairs
from skmetainv.training.loop import TrainingLoop
from skmetainv.training.optimizer import load_arrays, state_to_arrays
from skmetainv.training.patches import NoisyBatch, NoisyPatches

__all__ = [
    "Batches",
    "MeasuredPairs",
    "NoisyBatch",
    "NoisyPatches",
    "Pair",
    "SimulatedPairs",
    "TrainingLoop",
    "load_arrays",
    "state_to_arrays",
]
