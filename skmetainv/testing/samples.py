"""Random images and generators with fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

#: Number of images in a batch.
BATCH = 2


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal random numbers in float64."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return random numbers in [0, 1], in float64."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def generators(*seeds: int) -> list[np.random.Generator]:
    """Return one generator for each seed."""
    return [np.random.default_rng(seed) for seed in seeds]


def devices(device: str) -> list[torch.device]:
    """Return the devices whose results are compared with those of the CPU.

    Parameters
    ----------
    device : str
        "auto" means a CUDA device if there is one; "cpu" means no device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return [] if device == "cpu" else [torch.device(device)]


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and NumPy in a block, and restore them afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
