"""Inner steps that are recomputed in the backward pass (gradient checkpointing)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint


def recomputed(
    update: Callable[[int, Any, Sequence[torch.Tensor]], tuple[torch.Tensor, ...]],
    k: int,
    condition: Any,
    values: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Return ``update(k, condition, values)``, and build its graph only in the backward pass.

    Gradients flow to `values` and to the tensors inside `condition`, a tree of tuples, lists and
    dicts. The gradients of other leaf tensors that `update` uses are added to their `grad`.

    Parameters
    ----------
    update : callable
        One inner step.
    k : int
        The index of the step.
    condition : object
        The condition of the images, computed from the measurement.
    values : sequence of tensor
        The adapted weights.
    """
    parts, tree = tree_flatten(condition)

    def run(*tensors: Any) -> tuple[torch.Tensor, ...]:
        rebuilt = tree_unflatten(list(tensors[: len(parts)]), tree)
        return update(k, rebuilt, tensors[len(parts) :])

    # reentrant: the step runs in a separate graph, so that `update` can compute gradients inside it
    return checkpoint(run, *parts, *values, use_reentrant=True, preserve_rng_state=False)
