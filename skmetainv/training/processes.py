"""Training in several processes: who takes which images, and what they tell one another.

``torchrun --nproc-per-node N script.py`` starts them; each then calls the same `fit`.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

import numpy as np
import torch
import torch.distributed as dist


def join_processes(device: torch.device) -> None:
    """Meet the other processes that `torchrun` started; alone, do nothing.

    Parameters
    ----------
    device : torch.device
        Where this process computes: on GPUs they talk by NCCL, on CPUs by gloo.
    """
    if not dist.is_available() or dist.is_initialized():
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
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


def same_everywhere(seed: int, device: torch.device) -> int:
    """Return the seed of the first process."""
    if rank_and_size()[1] > 1:
        shared = torch.tensor([seed], dtype=torch.int64, device=device)
        dist.broadcast(shared, src=0)
        return int(shared[0])
    return seed


def told_by_all(message: Any) -> list[Any]:
    """Return what every process says, in their order."""
    size = rank_and_size()[1]
    if size == 1:
        return [message]
    told: list[Any] = [None] * size
    dist.all_gather_object(told, message)
    return told
