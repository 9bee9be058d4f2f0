"""Training in several processes: who takes which images, and what they tell one another.

``torchrun --nproc-per-node N script.py`` starts them; each then calls the same `fit`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from joblib.parallel import get_active_backend

T = TypeVar("T")


def join_processes(device: torch.device) -> None:
    """Meet the other processes that `torchrun` started; alone, do nothing.

    Parameters
    ----------
    device : torch.device
        Where this process computes: on GPUs they talk by NCCL, on CPUs by gloo.

    Raises
    ------
    ValueError
        If this is one of several workers of joblib, who would all speak for the same process.
    """
    if not dist.is_available():
        return
    joined = dist.is_initialized()
    if joined:
        n_processes = dist.get_world_size()
    else:
        n_processes = int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1
    if n_processes == 1:
        return
    if getattr(get_active_backend()[0], "nesting_level", 0):
        raise ValueError(
            f"These are {n_processes} processes that train each estimator together: searches in "
            "them take n_jobs=None. To train candidates side by side, start a single process."
        )
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where NCCL takes its buffers
    if not joined:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Return which process this is, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_share(indices: np.ndarray) -> np.ndarray:
    """Return those of a batch's images that this process takes."""
    rank, size = rank_and_size()
    return indices[rank::size]


def sum_over_processes(numbers: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes."""
    if rank_and_size()[1] > 1:
        dist.all_reduce(numbers)
    return numbers


def told_by_first(make: Callable[[], T]) -> T:
    """Return what the first process makes; its error is raised in all."""
    rank, size = rank_and_size()
    if size == 1:
        return make()
    told: list[Any] = [None, None]
    if rank == 0:
        try:
            told[0] = make()
        except Exception as error:
            told[1] = error
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    made: T = told[0]
    return made


def told_by_all(message: T) -> list[T]:
    """Return what every process says, in their order."""
    size = rank_and_size()[1]
    if size == 1:
        return [message]
    told: list[Any] = [None] * size
    dist.all_gather_object(told, message)
    return told


def check_agreement(given: Mapping[str, Any]) -> None:
    """Raise in all processes if one was given something else than the others, by name."""
    told = told_by_all(dict(given))
    differing = [
        name
        for name in {name: None for mapping in told for name in mapping}
        if any(mapping.get(name) != told[0].get(name) for mapping in told)
    ]
    if differing:
        raise ValueError(
            "All processes must be given the same images, in the same order, and the same "
            f"parameters. They differ in: {', '.join(differing)}."
        )
