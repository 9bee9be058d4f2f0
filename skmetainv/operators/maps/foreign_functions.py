"""Users' functions: tried once, then called with the types and arrays that they accept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import nn

from skmetainv.operators.maps.base import Conversion, Shape, keeping_complex
from skmetainv.operators.maps.hidden_parts import apply_to_hidden, convert, frozen, move
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
    complex_argument : bool, default=False
        Whether the function takes complex numbers. The wrapper then takes tensors with a last axis
        of real and imaginary parts.
    real_result : bool, default=False
        Whether to return only the real part of a complex result, as for the adjoint of a map of
        real images. If False, both parts become a last axis.
    """

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        only_dtype: torch.dtype | None = None,
        complex_argument: bool = False,
        real_result: bool = False,
    ):
        super().__init__()
        self.function, self.only_dtype = function, only_dtype
        self.complex_argument, self.real_result = complex_argument, real_result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the function's result, in the type and on the device of `x`."""
        argument = self.in_accepted_type(x)
        if self.complex_argument:
            argument = torch.view_as_complex(argument.contiguous())
        y = self.function(argument)
        return (y.real if self.real_result else as_real(y)).to(x)


def as_real(y: torch.Tensor) -> torch.Tensor:
    """Return complex numbers as a last axis of real and imaginary parts, real ones unchanged."""
    return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y


class TriedFunction(NamedTuple):
    """The properties of a user's function that a trial found."""

    function: ForeignFunction
    """The function, wrapped to take and return real tensors."""
    shape: Shape
    """The shape of its result, without the batch."""
    is_complex: bool
    """Whether the result was complex; the last axis of `shape` then has both parts."""
    differentiable: bool
    """Whether autograd can differentiate it."""


class Trial(NamedTuple, Generic[Result]):
    """The result of a call that was tried in single and in double precision."""

    result: Result
    """The result in double precision, or in the only precision that works."""
    only_dtype: torch.dtype | None
    """The only type that works; None if both do."""


class WrongResultError(ValueError):
    """A user's function returns a value of a wrong type or shape."""


def try_function(
    function: Callable[..., Any],
    name: str,
    shape: Shape,
    *,
    adjoint_of: TriedFunction | None = None,
) -> TriedFunction:
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
    adjoint_of : TriedFunction, default=None
        The function whose adjoint it is. If that function's result is complex, so is the adjoint's
        argument.

    Returns
    -------
    tried : TriedFunction
        The wrapped function, and the shape and kind of its result.

    Raises
    ------
    ValueError
        If it does not take such batches, does not return a batch, or mixes the images of a batch.
    """
    if isinstance(function, nn.Module):
        function = move(frozen(copy.deepcopy(function)), torch.device("cpu"))
    takes_complex = adjoint_of is not None and adjoint_of.is_complex
    call, (y, only_dtype) = _first_call_that_works(function, name, shape, takes_complex)
    if isinstance(function, nn.Module):
        convert(function, only_dtype or torch.float64)
    foreign = ForeignFunction(call, only_dtype, takes_complex, real_result=adjoint_of is not None)
    parts = (2,) if y.is_complex() and adjoint_of is None else ()
    return TriedFunction(foreign, (*y.shape[1:], *parts), y.is_complex(), y.requires_grad)


def _first_call_that_works(
    function: Callable[..., Any], name: str, shape: Shape, takes_complex: bool
) -> tuple[Callable[..., torch.Tensor], Trial[torch.Tensor]]:
    """Return the first way of calling a function that works, and its trial."""
    refused: Exception | None = None
    wrong: WrongResultError | None = None
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
            x = _random_batch(shape, dtype).requires_grad_(with_graph)
            argument = torch.view_as_complex(x.clone()) if takes_complex else x.clone()
            return _checked(call(argument), name, argument, call)

        trial, error = in_each_precision(call_on_random_batch)
        if trial is not None:
            return call, trial
        refused = refused or error
        wrong = wrong or (error if isinstance(error, WrongResultError) else None)
    if wrong is not None:
        raise wrong
    raise ValueError(
        f"{name} does not take batches of shape {(_N_TRIED, *shape)}, in single or in double "
        f"precision: {refused}"
    ) from refused


def in_each_precision(
    call: Callable[[torch.dtype], Result],
) -> tuple[Trial[Result] | None, Exception | None]:
    """Try a call in single and in double precision.

    Parameters
    ----------
    call : callable
        ``call(dtype)`` computes in this type, or raises an error.

    Returns
    -------
    trial : Trial or None
        The result; None if the call works in neither precision.
    refused : Exception or None
        The error of a precision in which the call does not work.
    """
    results, refused = {}, None
    for dtype in (torch.float32, torch.float64):
        try:
            results[dtype] = call(dtype)
        except Exception as error:
            refused = error
    if not results:
        return None, refused
    *_, (dtype, result) = results.items()
    return Trial(result, dtype if refused else None), refused


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


def _random_batch(shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    batch = np.random.default_rng(0).random((_N_TRIED, *shape))
    return torch.from_numpy(batch).to(dtype)


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
