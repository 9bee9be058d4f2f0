"""Linear functions whose derivatives autograd takes from a given adjoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

#: A function of one tensor.
TensorFunction: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def apply_linear(
    x: torch.Tensor, function: TensorFunction, adjoint: TensorFunction
) -> torch.Tensor:
    """Return ``function(x)``; its derivatives of every order use the function and its adjoint.

    Parameters
    ----------
    x : tensor of shape (batch, ...)
        The argument.
    function, adjoint : callable
        A linear function and its adjoint; neither needs to be differentiable by autograd.

    Returns
    -------
    y : tensor of shape (batch, ...)
        ``function(x)``.
    """
    return _Pair.apply(x, function, adjoint)


class _Pair(torch.autograd.Function):
    @staticmethod
    def forward(x: torch.Tensor, function: TensorFunction, adjoint: TensorFunction) -> torch.Tensor:
        return function(x.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        _, ctx.function, ctx.adjoint = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return apply_linear(gradients[0], ctx.adjoint, ctx.function), None, None
