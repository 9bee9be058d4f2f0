"""The parts of a module that torch does not list: modules and tensors in lists and dicts.

Some of DeepInverse's modules keep other modules in lists: `StackedPhysics` keeps its physics there,
and the algorithms of `deepinv.optim` keep their priors there. `torch.nn.Module.to` does not move
these modules, and `eval` leaves them in training mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from skmetainv.operators.maps.precision import Conversion, keeping_complex
from skmetainv.parameters import comes_from

Module = TypeVar("Module", bound=nn.Module)

_TORCH_ATTRIBUTES = frozenset(vars(nn.Module()))
# Attribute of DeepInverse's Tomography: an adjoint that works only on the device of its first call.
_FOR_ONE_DEVICE = "_auto_grad_adjoint_fn"


def all_modules(module: nn.Module) -> Iterator[nn.Module]:
    """Iterate over a module and all its parts, those in lists and dicts included, each once."""
    done: set[int] = set()
    left: list[Any] = [module]
    while left:
        part = left.pop()
        if id(part) in done:
            continue
        done.add(id(part))
        if isinstance(part, nn.Module):
            yield part
            left += [*part.children(), *_plain_attributes(part).values()]
        elif type(part) in (list, tuple):
            left += part
        elif type(part) is dict:
            left += part.values()


def convert(module: Module, dtype: torch.dtype) -> Module:
    """Convert all tensors to the precision of a real type, in place; complex ones stay complex."""
    return _apply_to_all(
        module, keeping_complex(lambda t: t.to(dtype) if t.is_floating_point() else t)
    )


def move(module: Module, device: torch.device) -> Module:
    """Move all tensors to a device, in place."""
    return _apply_to_all(module, lambda t: t.to(device))


def evaluating(module: Module) -> Module:
    """Set all parts to evaluation mode, in place."""
    for part in all_modules(module):
        part.eval()
    return module


def frozen(module: Module) -> Module:
    """Set all parts to evaluation mode, without gradients, in place."""
    for part in all_modules(evaluating(module)):
        part.requires_grad_(False)
    return module


def warm_started(module: nn.Module) -> list[nn.Module]:
    """Return the parts that start from their last result: DeepInverse's total variation."""
    return [
        part
        for part in all_modules(module)
        if comes_from(part, "deepinv") and isinstance(vars(part).get("restart"), bool)
    ]


def start_anew(parts: list[nn.Module]) -> None:
    """Make the parts that `warm_started` returned forget their last result."""
    for part in parts:
        vars(part)["restart"] = True


@torch.no_grad()
def apply_to_hidden(module: nn.Module, fn: Conversion) -> None:
    """Convert in place the tensors of a module that `torch.nn.Module._apply` does not reach."""
    listed = {id(part) for part in module.modules()}
    parts = list(all_modules(module))
    for part in parts:
        if id(part) not in listed:
            part._apply(fn)
    # torch's `_apply` has converted registered tensors. They may also be in a list: torch's
    # recurrent networks keep theirs in one.
    results = {t: t for part in parts for t in (*part.parameters(), *part.buffers())}
    for part in parts:
        attributes = vars(part)
        for name, value in _plain_attributes(part).items():
            attributes[name] = _converted(value, fn, results)
        if _FOR_ONE_DEVICE in attributes:
            attributes[_FOR_ONE_DEVICE] = None


def _apply_to_all(module: Module, fn: Conversion) -> Module:
    module._apply(fn)  # type: ignore[no-untyped-call]
    apply_to_hidden(module, fn)
    return module


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: v for name, v in vars(module).items() if name not in _TORCH_ATTRIBUTES}


def _converted(value: Any, fn: Conversion, results: dict[torch.Tensor, torch.Tensor]) -> Any:
    """Return a converted tensor; in a list or a dict, convert the tensors in place.

    `results` holds the result for each tensor that is already converted, so that a tensor in two
    places stays one object. Tensors hash by identity.
    """
    if isinstance(value, torch.Tensor):
        if value not in results:
            moved = fn(value)
            is_parameter = isinstance(value, nn.Parameter)
            results[value] = nn.Parameter(moved, value.requires_grad) if is_parameter else moved
        return results[value]
    if type(value) is list:
        value[:] = [_converted(item, fn, results) for item in value]
    elif type(value) is dict:
        value.update({key: _converted(item, fn, results) for key, item in value.items()})
    elif type(value) is tuple:
        return tuple(_converted(item, fn, results) for item in value)
    return value
