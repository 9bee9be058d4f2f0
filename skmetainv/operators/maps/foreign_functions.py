"""Users' functions: tried once, then called with the types and arrays that they accept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.hidden_parts import apply_to_hidden, convert, frozen, move
from skmetainv.operators.maps.precision import Conversion, keeping_complex
from skmetainv.parameters import described

Result = TypeVar("Result")

#: Why a function has no derivative, in the words of the errors.
NO_DERIVATIVE = "autograd cannot differentiate NumPy functions, torch.no_grad or detach"

# Number of random images in the batch on which a function is tried.
_N_TRIED = 2
# Allowed relative difference between the result for an image alone and in a batch.
_SAME = 1e-4


class OneType(nn.Module):
    """A module around an object that may compute in one floating-point type only.

    Attributes
    ----------
    only_dtype : torch.dtype or None
        That type; None if the object takes every type. Tensors of the module move to other devices,
        but keep this type.
    """

    only_dtype: torch.dtype | None = None

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        conversion = fn if self.only_dtype is None else _moving(fn)
        super()._apply(conversion, recurse)  # type: ignore[no-untyped-call]
        apply_to_hidden(self, keeping_complex(conversion))
        return self

    def in_accepted_type(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` in the type that the wrapped object takes."""
        return x.to(self.only_dtype or x.dtype)


class ForeignFunction(OneType):
    """A user's function, wrapped to take and return real tensors of any type.

    Parameters
    ----------
    function : callable
        Takes a tensor and returns one, real or complex.
    only_dtype : torch.dtype or None
        The only type that it computes in; None if it takes every type.
    result : tensor of shape (batch, ...)
        The result of a trial call on a batch. It requires a gradient if autograd can differentiate
        the function. It is not kept.
    adjoint_of : ForeignFunction, default=None
        The function whose adjoint it is. If that function's result is complex, this one takes
        tensors with a last axis of real and imaginary parts. As images are real, it returns only
        the real part of a complex result. If None, both parts become a last axis.

    Attributes
    ----------
    shape : tuple of int
        Shape of what it returns, without the batch.
    is_complex : bool
        Whether the function's result is complex.
    differentiable : bool
        Whether autograd can differentiate it.
    """

    shape: tuple[int, ...]
    is_complex: bool
    differentiable: bool

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        only_dtype: torch.dtype | None,
        result: torch.Tensor,
        adjoint_of: ForeignFunction | None = None,
    ):
        super().__init__()
        self.function, self.only_dtype = function, only_dtype
        self.real_result = adjoint_of is not None
        self.complex_argument = adjoint_of is not None and adjoint_of.is_complex
        self.is_complex, self.differentiable = result.is_complex(), result.requires_grad
        self.shape: Shape = tuple(self._real(result).shape[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the function's result, in the type and on the device of `x`."""
        argument = self.in_accepted_type(x)
        if self.complex_argument:
            argument = torch.view_as_complex(argument.contiguous())
        return self._real(self.function(argument)).to(x)

    def _real(self, y: torch.Tensor) -> torch.Tensor:
        return y.real if self.real_result else as_real(y)


def as_real(y: torch.Tensor) -> torch.Tensor:
    """Return complex numbers as a last axis of real and imaginary parts, real ones unchanged."""
    return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y


class WrongResultError(ValueError):
    """A user's function returns a value of a wrong type or shape."""


def try_function(
    function: Callable[..., Any],
    name: str,
    shape: Shape,
    *,
    adjoint_of: ForeignFunction | None = None,
) -> ForeignFunction:
    """Try a user's function on a random batch, and return it wrapped in a form that works.

    The function may take tensors or NumPy arrays, in single or double precision or both, and may
    return real or complex ones.

    Parameters
    ----------
    function : callable
        Takes a batch and returns one. If it is a module, a copy in evaluation mode with constant
        weights is used.
    name : str
        Its name in errors.
    shape : tuple of int
        Shape of its argument, without the batch.
    adjoint_of : ForeignFunction, default=None
        The function whose adjoint it is. If that function's result is complex, so is the adjoint's
        argument.

    Returns
    -------
    tried : ForeignFunction
        The wrapped function.

    Raises
    ------
    ValueError
        If it does not take such batches, does not return a batch, or mixes the images of a batch.
    """
    if isinstance(function, nn.Module):
        function = move(frozen(copy.deepcopy(function)), torch.device("cpu"))
    takes_complex = adjoint_of is not None and adjoint_of.is_complex
    call, y, only_dtype = _first_call_that_works(function, name, shape, takes_complex)
    if isinstance(function, nn.Module):
        convert(function, only_dtype or torch.float64)
    return ForeignFunction(call, only_dtype, y, adjoint_of)


def _first_call_that_works(
    function: Callable[..., Any], name: str, shape: Shape, takes_complex: bool
) -> tuple[Callable[..., torch.Tensor], torch.Tensor, torch.dtype | None]:
    """Return the first way of calling a function that works, its result and its only type."""
    batch = np.random.default_rng(0).random((_N_TRIED, *shape))
    errors: list[Exception] = []
    for call, with_graph in (
        (function, True),
        (through_arrays(function), False),
        (function, False),  # for a function that converts tensors to arrays itself
    ):

        def call_on_random_batch(
            dtype: torch.dtype, call: Any = call, with_graph: bool = with_graph
        ) -> torch.Tensor:
            if isinstance(function, nn.Module):
                convert(function, dtype)
            x = torch.from_numpy(batch).to(dtype).requires_grad_(with_graph)
            argument = torch.view_as_complex(x.clone()) if takes_complex else x.clone()
            return _checked(call(argument), name, argument, call)

        try:
            return call, *in_each_precision(call_on_random_batch)
        except Exception as error:
            errors.append(error)
    for refusal in errors:
        if isinstance(refusal, WrongResultError):
            raise refusal
    raise ValueError(
        f"{name} does not take batches of shape {(_N_TRIED, *shape)}, in single or in double "
        f"precision: {errors[0]}"
    ) from errors[0]


def in_each_precision(
    call: Callable[[torch.dtype], Result],
) -> tuple[Result, torch.dtype | None]:
    """Try a call in single and in double precision.

    Parameters
    ----------
    call : callable
        ``call(dtype)`` computes in this type, or raises an error.

    Returns
    -------
    result : object
        The result in double precision, or in the only precision that works.
    only_dtype : torch.dtype or None
        The only type that works; None if both do.

    Raises
    ------
    Exception
        The error in double precision, if the call works in neither.
    """
    try:
        in_single = call(torch.float32)
    except Exception:
        return call(torch.float64), torch.float64
    try:
        return call(torch.float64), None
    except Exception:
        return in_single, torch.float32


def _moving(fn: Any) -> Any:
    """Return a conversion that moves tensors but does not change their type."""
    return lambda t: t.to(fn(t.new_empty(0)).device)


def through_arrays(function: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """Return a function of tensors that calls `function` with a NumPy array.

    Autograd cannot differentiate it. Arguments after the first are passed on unchanged.
    """

    def call(x: torch.Tensor, *others: Any) -> torch.Tensor:
        y = function(x.detach().cpu().numpy().copy(), *others)
        if not isinstance(y, np.ndarray):
            raise TypeError(f"for an array it must return an array. Got {type(y).__name__}.")
        return torch.from_numpy(np.array(y, order="C")).to(x.device)

    return call


def _checked(
    y: Any, name: str, x: torch.Tensor, call: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return a result, or raise an error if it is not a batch or mixes the images of the batch."""
    if (
        not isinstance(y, torch.Tensor)
        or as_real(y).dtype != as_real(x).dtype
        or y.ndim < 2
        or len(y) != len(x)
    ):
        raise WrongResultError(
            f"{name} must return a tensor or an array of the images' type and of shape "
            f"(batch, ...), here {x.dtype} and {(len(x), '...')}. Got {described(y)} instead."
        )
    if not alike(y, call, x):
        raise WrongResultError(
            f"{name} must treat each image of a batch on its own and return the same result each "
            "time: its result for an image alone differs from that in a batch. The last two axes "
            "are those of an image: if it calls a SciPy function that takes axes, pass "
            "axes=(-2, -1), as in scipy.ndimage.gaussian_filter(x, 1.0, axes=(-2, -1))."
        )
    return y


@torch.no_grad()
def alike(y: torch.Tensor, call: Callable[..., torch.Tensor], x: torch.Tensor) -> bool:
    """Return whether ``y = call(x)`` treats each entry of the first axis of `x` on its own.

    The first and the last entry are compared with those of calls without the others.
    """
    ends = ((a[:1], a[-1:]) for a in (x.detach(), y.detach()))
    return all(_is_close(call(x_i.clone()), y_i) for x_i, y_i in zip(*ends, strict=True))


def _is_close(alone: torch.Tensor, in_batch: torch.Tensor) -> bool:
    return (
        alone.shape == in_batch.shape
        and torch.equal(alone.isnan(), in_batch.isnan())
        and bool((alone - in_batch).nan_to_num().norm() <= _SAME * in_batch.nan_to_num().norm())
    )
