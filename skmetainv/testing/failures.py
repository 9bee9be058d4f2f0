"""Errors of checks, which name the property, the numbers and the likely cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

import torch

# Longest text of another error that is quoted.
_LONGEST_ERROR = 400
# Errors of computations with tensors of a wrong shape, type or device.
_OF_COMPUTATIONS = (RuntimeError, TypeError, ValueError, IndexError)


class PropertyError(AssertionError):
    """An object lacks a property that every object of its kind must have.

    Examples
    --------
    A loss that ignores which entries are observed:

    >>> from skmetainv.losses import Loss
    >>> from skmetainv.testing import PropertyError, check_loss
    >>> class Unmasked(Loss):
    ...     def build(self, data_range=(0.0, 1.0)):
    ...         return lambda x, target, observed=None: (x - target).square().flatten(1).mean(1)
    >>> try:
    ...     check_loss(Unmasked())
    ... except PropertyError as error:
    ...     print(str(error).split(". ")[0])
    Unmasked must be finite where unobserved entries are NaN
    """


@contextmanager
def checking(part: object) -> Iterator[None]:
    """Begin the errors of the block with the name of the checked object's class."""
    try:
        yield
    except PropertyError as error:
        error.args = (f"{type(part).__name__} {error}",)
        raise


def failure(property_: str, got: str, cause: str) -> PropertyError:
    """Return the error about a property that does not hold.

    Parameters
    ----------
    property_ : str
        The property: "must ...". `checking` writes the name of the object in front of it.
    got : str
        The numbers.
    cause : str
        The likely mistake in the code, a sentence without its full stop.
    """
    return PropertyError(f"{property_}. Got {got} instead. Likely cause: {cause}.")


def require(holds: bool, property_: str, got: str, cause: str) -> None:
    """Raise an error unless a property holds, see `failure`."""
    if not holds:
        raise failure(property_, got, cause)


def require_close(
    got: torch.Tensor,
    expected: torch.Tensor,
    tolerance: float,
    property_: str,
    cause: str,
    *,
    size: torch.Tensor | None = None,
) -> None:
    """Raise an error unless two tensors agree, up to a relative tolerance.

    Parameters
    ----------
    got, expected : tensor
        The tensors that must agree, computed in two ways.
    tolerance : float
        The largest norm of the difference, relative to the norm of `expected`.
    property_, cause : str
        See `failure`.
    size : tensor, default=None
        If its norm is larger than that of `expected`, it is used instead, because a difference of
        large numbers may have a large rounding error.

    Raises
    ------
    PropertyError
        If they do not agree, have different shapes, or are not finite.
    """
    shapes = f"tensors of shape {tuple(got.shape)} and {tuple(expected.shape)}"
    require(got.shape == expected.shape, property_, shapes, cause)
    ours, theirs = (t.detach().cpu().to(torch.float64) for t in (got, expected))
    norm = max(float(theirs.norm()), 0.0 if size is None else float(size.detach().norm()))
    error = float((ours - theirs).norm())
    require(
        error <= tolerance * norm,
        property_,
        f"a difference of {error:.3g} between values of norm {float(theirs.norm()):.3g} (at most "
        f"{tolerance * norm:.3g} is allowed)",
        cause,
    )


def require_unchanged(tensor: torch.Tensor, original: torch.Tensor, what: str, cause: str) -> None:
    """Raise an error if a computation changed its input `tensor`, of which `original` is a copy.

    `what` completes "must leave ...", and `cause` completes "an operation in place, such as ...".
    """
    require(
        torch.equal(tensor, original),
        f"must leave {what}",
        f"values changed by up to {float((tensor - original).abs().max()):.3g}",
        f"an operation in place, such as {cause}",
    )


def require_finite(tensor: torch.Tensor, property_: str, cause: str) -> None:
    """Raise an error unless all numbers of a tensor are finite, see `failure`."""
    bad = int((~tensor.isfinite()).sum())
    got = f"{bad} of {tensor.numel()} numbers that are not finite"
    require(bad == 0, property_, got, cause)


@contextmanager
def required(
    property_: str,
    cause: str,
    errors: type[Exception] | tuple[type[Exception], ...] = _OF_COMPUTATIONS,
) -> Iterator[None]:
    """Turn errors of the block into the error about a property, see `failure`."""
    try:
        yield
    except errors as error:
        text = shorten(str(error), _LONGEST_ERROR, placeholder=" ...").rstrip(".")
        raise failure(property_, f"{type(error).__name__} ({text})", cause) from error
