"""Mixed precision: networks in bfloat16, physics and weights in float32."""

import torch
from torch import nn


def autocast_networks(module: nn.Module, device: torch.device) -> None:
    """Let the networks among a module and its parts compute matrix products in bfloat16.

    Networks are the modules with a true attribute `autocasts`. What they return is of the type
    that they return without.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    device : torch.device
        Where it will compute.
    """
    for part in module.modules():
        if getattr(part, "autocasts", False):
            part.forward = torch.autocast(device.type, torch.bfloat16)(part.forward)
