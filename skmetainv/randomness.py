"""Random generators: one integer seed, split into independent streams.

The library never uses the global generators of NumPy or torch. NumPy makes all draws on the CPU,
so that they are the same on every device.
"""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

# The first entry of a stream's spawn key identifies its purpose.
_WEIGHTS, _ORDER, _TRAINING, _EVALUATION, _HELD_OUT, _AUGMENTATION = range(6)


def integer_seed(random_state: Any) -> int:
    """Return one integer for a `random_state` (None, int, RandomState or Generator)."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral) and int(random_state) >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(np.iinfo(np.int32).max))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(np.iinfo(np.int32).max))
    raise ValueError(
        "The 'random_state' parameter must be None, an int that is not negative, or an instance "
        f"of numpy's RandomState or Generator. Got {random_state!r} instead."
    )


def _generator(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def weights_generator(seed: int) -> np.random.Generator:
    """Return the generator of a model's initial weights."""
    return _generator(seed, _WEIGHTS)


def held_out_generator(seed: int) -> np.random.Generator:
    """Return the generator that chooses the images to hold out for validation."""
    return _generator(seed, _HELD_OUT)


def order_generator(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator that draws the order of the images in `epoch`."""
    return _generator(seed, _ORDER, epoch)


def training_generators(seed: int, epoch: int, indices: Iterable[int]) -> list[np.random.Generator]:
    """Return one generator per image, for its masks and noise in `epoch`."""
    return [_generator(seed, _TRAINING, epoch, int(i)) for i in indices]


def augmentation_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator that mirrors and shifts one image in `epoch`."""
    return _generator(seed, _AUGMENTATION, epoch, index)


def evaluation_generators(seed: int, indices: Iterable[int]) -> list[np.random.Generator]:
    """Return one generator per image, for measurements simulated outside training."""
    return [_generator(seed, _EVALUATION, int(i)) for i in indices]
