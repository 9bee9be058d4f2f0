"""Inner steps that are computed again when the outer gradient goes through them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint


def recomputed(
    update: Callable[[int, Any, Sequence[torch.Tensor]], tuple[torch.Tensor, ...]],
    k: int,
    given: Any,
    values: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Return what ``update(k, given, values)`` gives, its graph made when it is differentiated.

    Gradients reach `values`, and tensors inside `given`, a tree of tuples, lists and dicts; those
    of leaves that `update` refers to are added to their `grad`.

    Parameters
    ----------
    update : callable
        One inner step.
    k : int
        Its number.
    given : object
        What the images depend on of the measurement.
    values : sequence of tensor
        The adapted weights.
    """
    parts, tree = tree_flatten(given)

    def run(*tensors: Any) -> tuple[torch.Tensor, ...]:
        own = tree_unflatten(list(tensors[: len(parts)]), tree)
        return update(k, own, tensors[len(parts) :])

    # reentrant: the step is run as a graph of its own, in which `update` may differentiate
    return checkpoint(run, *parts, *values, use_reentrant=True, preserve_rng_state=False)
