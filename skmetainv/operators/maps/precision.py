"""The precision of a module's tensors: double when it is built, and what conversions keep."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

#: A function that moves or converts one tensor.
Conversion = Callable[[torch.Tensor], torch.Tensor]


def check_double(owner: object, module: nn.Module) -> None:
    """Raise an error if a newly built module holds buffers in less than double precision.

    Parameters
    ----------
    owner : object
        The object whose `build` returned `module`.
    module : nn.Module
        The module; its submodules are not checked.

    Raises
    ------
    TypeError
        If a buffer has a smaller type: it has already lost digits of double precision.
    """
    for name, buffer in module.named_buffers(recurse=False):
        has_a_type = buffer.is_floating_point() or buffer.is_complex()
        if has_a_type and torch.finfo(buffer.dtype).bits < 64:
            raise TypeError(
                f"The buffer {name!r} of {type(module).__name__}, which {type(owner).__name__}"
                f".build returns, is in {buffer.dtype}. Modules are built in double precision and "
                "then moved: create the buffer with dtype=torch.float64 or append .double()."
            )


def keeping_complex(fn: Conversion) -> Conversion:
    """Return a conversion that applies `fn` to the real and imaginary parts of complex tensors."""

    def convert(t: torch.Tensor) -> torch.Tensor:
        if not t.is_complex():
            return fn(t)
        return torch.view_as_complex(fn(torch.view_as_real(t.resolve_conj())).contiguous())

    return convert
