"""Conversion of the tensors that a module keeps in lists, where torch does not see them.

Some of DeepInverse's modules keep other modules or tensors in lists: `StackedPhysics` its physics,
the algorithms of `deepinv.optim` their priors. `torch.nn.Module.to` leaves those on their device.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

from skmetainv.operators.maps.base import Conversion, keeping_complex

Module = TypeVar("Module", bound=nn.Module)

_TORCH_ATTRIBUTES = frozenset(vars(nn.Module()))
# DeepInverse's Tomography keeps the adjoint for the device of its first measurement.
_FOR_ONE_DEVICE = "_auto_grad_adjoint_fn"


def convert(module: Module, dtype: torch.dtype) -> Module:
    """Convert all tensors to the precision of a real type, in place; complex ones stay complex."""
    return _apply_to_all(
        module, keeping_complex(lambda t: t.to(dtype) if t.is_floating_point() else t)
    )


def move(module: Module, device: torch.device) -> Module:
    """Move all tensors to a device, in place."""
    return _apply_to_all(module, lambda t: t.to(device))


def apply_to_hidden(module: nn.Module, fn: Conversion) -> None:
    """Convert in place the tensors of a module that `torch.nn.Module._apply` leaves."""
    _convert_hidden(module, fn, set())


def _apply_to_all(module: Module, fn: Conversion) -> Module:
    module._apply(fn)  # type: ignore[no-untyped-call]
    apply_to_hidden(module, fn)
    return module


def _convert_hidden(module: nn.Module, fn: Conversion, done: set[int]) -> None:
    for part in module.modules():
        if id(part) in done:
            continue
        done.add(id(part))
        attributes = vars(part)
        for name in attributes.keys() - _TORCH_ATTRIBUTES:
            attributes[name] = _converted(attributes[name], fn, done)
        if _FOR_ONE_DEVICE in attributes:
            attributes[_FOR_ONE_DEVICE] = None


def _converted(value: Any, fn: Conversion, done: set[int]) -> Any:
    if isinstance(value, torch.Tensor):
        return fn(value)
    if isinstance(value, nn.Module):
        if id(value) not in done:
            value._apply(fn)
            _convert_hidden(value, fn, done)
    elif type(value) is list:
        value[:] = [_converted(item, fn, done) for item in value]
    elif type(value) is dict:
        value.update({key: _converted(item, fn, done) for key, item in value.items()})
    elif type(value) is tuple:
        return tuple(_converted(item, fn, done) for item in value)
    return value
