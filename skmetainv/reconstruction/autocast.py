"""Mixed precision: networks in bfloat16, physics and weights in float32."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from skmetainv.operators.maps.hidden_parts import all_modules


def autocast_networks(module: nn.Module, device: torch.device) -> None:
    """Make the networks in a module compute matrix products in bfloat16.

    The networks are the module and its submodules that have ``autocasts = True``. Their outputs are
    converted back to float32.

    Parameters
    ----------
    module : torch.nn.Module
        The module; it is changed in place.
    device : torch.device
        The device on which it will compute.
    """
    for part in list(all_modules(module)):
        if getattr(part, "autocasts", False):
            part.forward = _autocast(part.forward, device)


def _autocast(forward: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """Return a function that computes in bfloat16, but converts its output to float32."""

    def in_full(value: torch.Tensor) -> torch.Tensor:
        return value.float() if value.dtype == torch.bfloat16 else value

    @functools.wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16):
            result = forward(*args, **kwargs)
        return tree_map_only(torch.Tensor, in_full, result)

    return run
