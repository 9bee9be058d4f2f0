"""Stacks of convolutions from files, with batch normalisation merged into them."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch.nn.utils import fuse_conv_bn_weights

from skmetainv.exceptions import WeightsWarning, warn
from skmetainv.weight_files import StateDict, check_shape

_CONVOLUTION = {"weight", "bias"}
_BATCH_NORMALISATION = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
# The eps of batch normalisation in published networks, which their files do not contain.
_EPSILONS = (1e-4, 1e-5)
# If the choice between these changes a filter by more than this share, a warning is raised.
_TOLERANCE = 0.01


class Convolution(NamedTuple):
    """A convolution's weight, of shape (outputs, inputs, 3, 3), and bias, both float64."""

    weight: torch.Tensor
    bias: torch.Tensor


def read_stack(state: StateDict, eps: float) -> list[Convolution]:
    """Return the convolutions of a `torch.nn.Sequential` with ReLU between them.

    Batch normalisation directly after a convolution is merged into it, as in evaluation mode::

        w' = w gamma / sqrt(var + eps),    b' = beta + (b - mean) gamma / sqrt(var + eps)

    Parameters
    ----------
    state : dict of str to tensor
        The weights, named "name.0.weight" and so on. The numbers count all layers, including those
        without weights.
    eps : float
        The constant that batch normalisation adds to the variance; it is not among the weights.

    Returns
    -------
    stack : list of Convolution
        The convolutions, in their order.

    Raises
    ------
    ValueError
        If there are other layers, or if layers have another order.

    Warns
    -----
    WeightsWarning
        If variances are so small that the other common `eps` (1e-5 instead of 1e-4, or the
        reverse) would change filters by more than 1 percent.
    """
    stack: list[Convolution] = []
    last, merged, variances = -2, True, [torch.ones(1)]
    for i, (name, layer) in sorted(_layers(state).items()):
        if _is_convolution(layer):
            if i != last + 2:
                raise ValueError(
                    f"between {name!r} and the convolution (or batch normalisation) before it, "
                    "there must be one layer without weights, the ReLU."
                )
            stack.append(_convolution(name, layer, stack))
            merged = False
        elif {"running_mean", "running_var"} <= layer.keys() <= _BATCH_NORMALISATION:
            if merged or i != last + 1:
                raise ValueError(
                    f"the batch normalisation {name!r} does not directly follow a convolution, "
                    "so it cannot be merged."
                )
            stack[-1], merged = _merged(name, stack[-1], layer, eps), True
            variances.append(layer["running_var"])
        else:
            shapes = {part: tuple(tensor.shape) for part, tensor in layer.items()}
            raise ValueError(
                f"{name!r} is neither a convolution of images nor batch normalisation with its "
                f"statistics: {shapes}."
            )
        last = i
    _warn_of_eps(min(float(v.min()) for v in variances), eps)
    return stack


def _layers(state: StateDict) -> dict[int, tuple[str, StateDict]]:
    layers: dict[int, tuple[str, StateDict]] = {}
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        number = re.fullmatch(r"\w+\.(\d+)", layer)
        if number is None:
            raise ValueError(f"the network has no {name!r}.")
        layers.setdefault(int(number[1]), (layer, {}))[1][part] = tensor
    return layers


def _is_convolution(layer: StateDict) -> bool:
    return "weight" in layer and layer["weight"].ndim == 4 and layer.keys() <= _CONVOLUTION


def _convolution(name: str, layer: StateDict, stack: list[Convolution]) -> Convolution:
    """Return the convolution that follows those in `stack`."""
    weight = layer["weight"].double()
    n_in = stack[-1].weight.shape[0] if stack else weight.shape[1]
    check_shape(f"{name}.weight", weight, (len(weight), n_in, 3, 3))
    bias = layer.get("bias", weight.new_zeros(len(weight))).double()
    check_shape(f"{name}.bias", bias, (len(weight),))
    return Convolution(weight, bias)


def _merged(name: str, convolution: Convolution, layer: StateDict, eps: float) -> Convolution:
    """Return one convolution that equals a convolution followed by its batch normalisation."""
    parts = ("running_mean", "running_var", "weight", "bias")
    values = {part: layer[part].double() for part in parts if part in layer}
    for part, value in values.items():
        check_shape(f"{name}.{part}", value, convolution.bias.shape)
    mean, variance = values["running_mean"], values["running_var"]
    if (variance < 0).any():
        raise ValueError(f"'{name}.running_var' must be a variance, but has negative values.")
    weight, bias = fuse_conv_bn_weights(
        *convolution, mean, variance, eps, values.get("weight"), values.get("bias")
    )
    return Convolution(weight.detach(), bias.detach())


def _warn_of_eps(variance: float, eps: float) -> None:
    other = next(value for value in _EPSILONS if value != eps)
    change = abs(((variance + eps) / (variance + other)) ** 0.5 - 1)
    if change > _TOLERANCE:
        warn(
            f"Batch normalisation was merged with eps={eps:g}, the value of the published network "
            f"with these names. One variance is so small that eps={other:g} would change its "
            f"filter by {100 * change:.1f} percent. If the network had another eps, merge before "
            "saving, with torch.nn.utils.fuse_conv_bn_eval.",
            WeightsWarning,
        )
