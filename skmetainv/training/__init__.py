"""The training loop shared by everything that learns, with its optimisers, batches, checkpoints."""

from skmetainv.training.augmentation import Augmentation
from skmetainv.training.batches import Batch, Batches, MeasuredPairs, SimulatedPairs, WithStarts
from skmetainv.training.checkpoints import CHECKPOINT_CONSTRAINTS, Checkpoint, as_checkpoint
from skmetainv.training.early_stopping import (
    EARLY_STOPPING_CONSTRAINTS,
    BestWeights,
    EarlyStopping,
    as_early_stopping,
)
from skmetainv.training.learning_rates import Constant, Cosine, LearningRate, as_learning_rate
from skmetainv.training.loop import TrainingLoop, backward
from skmetainv.training.optimizers import (
    OPTIMIZER_CONSTRAINTS,
    SGD,
    Adam,
    AdamW,
    Optimizer,
    as_optimizer,
    load_arrays,
    state_to_arrays,
)
from skmetainv.training.patches import NoisyPatches

__all__ = [
    "CHECKPOINT_CONSTRAINTS",
    "EARLY_STOPPING_CONSTRAINTS",
    "OPTIMIZER_CONSTRAINTS",
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "Batch",
    "Batches",
    "BestWeights",
    "Checkpoint",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "LearningRate",
    "MeasuredPairs",
    "NoisyPatches",
    "Optimizer",
    "SimulatedPairs",
    "TrainingLoop",
    "WithStarts",
    "as_checkpoint",
    "as_early_stopping",
    "as_learning_rate",
    "as_optimizer",
    "backward",
    "load_arrays",
    "state_to_arrays",
]
