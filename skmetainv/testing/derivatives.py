"""Checks of first and second derivatives: they are exact, and finite at critical points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from skmetainv.testing.failures import require_finite, required
from skmetainv.testing.samples import global_seed

# Largest number of inputs for which all partial derivatives are compared.
_ONE_BY_ONE = 28
_CAUSE = (
    "the code leaves autograd (detach, item, .data, NumPy), divides or takes a root where 0 can "
    "occur, or has a backward of its own that is not the derivative"
)


def require_derivatives(
    function: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]],
    inputs: Sequence[torch.Tensor],
    what: str,
) -> None:
    """Raise an error unless first and second derivatives agree with finite differences.

    Parameters
    ----------
    function : callable
        Takes the inputs and returns one or several tensors.
    inputs : sequence of tensor
        Tensors in float64, at a point where the function is smooth. If they have more than 28
        entries in total, derivatives along random directions are compared.
    what : str
        The differentiated quantity and its variables, for the error.

    Raises
    ------
    PropertyError
        If the derivatives do not agree.
    """
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    fast = sum(t.numel() for t in leaves) > _ONE_BY_ONE
    property_ = f"must have exact first derivatives of {what}"
    with global_seed(0), required(property_, _CAUSE, RuntimeError):
        torch.autograd.gradcheck(function, leaves, fast_mode=fast)
    property_ = (
        f"must have exact second derivatives of {what}, which training differentiates through"
    )
    cause = f"{_CAUSE}; a torch.autograd.Function needs a backward that can be differentiated"
    with global_seed(0), required(property_, cause, RuntimeError):
        torch.autograd.gradgradcheck(function, leaves, fast_mode=fast)


def require_finite_derivatives(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, where: str
) -> None:
    """Raise an error unless a function and its derivatives are finite at a point.

    Parameters
    ----------
    function : callable
        Takes a tensor and returns one.
    x : tensor
        The point.
    where : str
        Description of the point, for the error.

    Raises
    ------
    PropertyError
        If one of them is not finite.
    """
    x = x.detach().clone().requires_grad_()
    value = function(x)
    cause = (
        "a division, a root or a logarithm at 0; torch.where around it does not make the "
        "derivative finite, but a denominator that is never 0 does"
    )
    tensors = {"value": value}
    if value.requires_grad:
        weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
        (first,) = torch.autograd.grad(
            (value * weights).sum() + value.square().sum(), x, create_graph=True
        )
        tensors["first derivative"] = first
        if first.requires_grad:
            (second,) = torch.autograd.grad(
                first.square().sum() + first.sum(), x, materialize_grads=True
            )
            tensors["second derivative"] = second
    for what, tensor in tensors.items():
        require_finite(tensor, f"must have a finite {what} {where}", cause)
