"""Training in several processes: their shares of images, and their communication.

``torchrun --nproc-per-node N script.py`` starts them; each then calls the same `fit`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from joblib.parallel import get_active_backend

T = TypeVar("T")


def join_processes(device: torch.device) -> None:
    """Join the other processes that `torchrun` started; a single process does nothing.

    Parameters
    ----------
    device : torch.device
        The device of this process: GPUs communicate by NCCL, CPUs by gloo.

    Raises
    ------
    ValueError
        If this is a joblib worker: several workers would share the rank of one process.
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
            f"{n_processes} processes train each estimator together: searches must have "
            "n_jobs=None. To train candidates in parallel, start a single process."
        )
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # NCCL allocates its buffers there
    if not joined:
        # Functions of this module have the default group as their default argument. Imported after
        # the group begins, they keep it, and its threads may then abort an interpreter that ends.
        import_module("torch.distributed.nn")
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process, and the number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share_of_this_process(indices: np.ndarray) -> np.ndarray:
    """Return the indices of a batch that belong to this process."""
    rank, size = rank_and_size()
    return indices[rank::size]


def sum_gradients(
    parameters: list[torch.Tensor], n_images: int, is_valid: torch.Tensor
) -> tuple[int, torch.Tensor]:
    """Replace the gradients by their sums over all processes.

    Return the number of images of all processes, and whether `is_valid` is True in all of them.
    """
    if rank_and_size()[1] == 1:
        return n_images, is_valid
    header = [n_images, not is_valid.item(), *(p.grad is not None for p in parameters)]
    flat = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    summed = torch.cat([parameters[0].new_tensor(header), *flat])
    dist.all_reduce(summed)
    n_all, n_not_valid, *n_with = summed[: len(header)].tolist()
    parts = torch.split(summed[len(header) :], [p.numel() for p in parameters])
    for p, part, has_gradient in zip(parameters, parts, n_with, strict=True):
        p.grad = part.reshape(p.shape) if has_gradient else None
    return int(n_all), torch.full_like(is_valid, not n_not_valid)


def from_first_process(make: Callable[[], T]) -> T:
    """Return the result of the first process in all processes, or raise its error in all."""
    rank, size = rank_and_size()
    if size == 1:
        return make()
    result_and_error: list[Any] = [None, None]
    if rank == 0:
        try:
            result_and_error[0] = make()
        except Exception as error:
            result_and_error[1] = error
    dist.broadcast_object_list(result_and_error, src=0)
    result: T = result_and_error[0]
    if result_and_error[1] is not None:
        raise result_and_error[1]
    return result


def from_all_processes(message: T) -> list[T]:
    """Return the messages of all processes, in the order of their ranks."""
    size = rank_and_size()[1]
    if size == 1:
        return [message]
    messages: list[Any] = [None] * size
    dist.all_gather_object(messages, message)
    return messages


def check_agreement(values: Mapping[str, Any]) -> None:
    """Raise an error in all processes if their values differ; the error names these values."""
    mappings = from_all_processes(dict(values))
    differing = [
        name
        for name in {name: None for mapping in mappings for name in mapping}
        if any(mapping.get(name) != mappings[0].get(name) for mapping in mappings)
    ]
    if differing:
        raise ValueError(
            "All processes must be given the same images, in the same order, and the same "
            f"parameters. They differ in: {', '.join(differing)}."
        )
