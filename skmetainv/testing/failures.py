"""Errors of checks, which name the property, the numbers and the likely cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import NoReturn

import torch

# Longest text of another error that is quoted.
_LONGEST_ERROR = 400


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


def refuse(name: str, property_: str, got: str, cause: str) -> NoReturn:
    """Raise the error about a property that does not hold.

    Parameters
    ----------
    name : str
        Name of the class that is checked.
    property_ : str
        The property, which follows the name: "must ...".
    got : str
        The numbers.
    cause : str
        The likely mistake in the code, a sentence without its full stop.

    Raises
    ------
    PropertyError
        Always.
    """
    raise PropertyError(f"{name} {property_}. Got {got} instead. Likely cause: {cause}.")


def require(holds: bool, name: str, property_: str, got: str, cause: str) -> None:
    """Raise an error unless a property holds, see `refuse`."""
    if not holds:
        refuse(name, property_, got, cause)


def require_close(
    got: torch.Tensor,
    expected: torch.Tensor,
    tolerance: float,
    name: str,
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
    name, property_, cause : str
        See `refuse`.
    size : tensor, default=None
        If its norm is larger than that of `expected`, it is used instead, because a difference of
        large numbers may have a large rounding error.

    Raises
    ------
    PropertyError
        If they do not agree, have different shapes, or are not finite.
    """
    if got.shape != expected.shape:
        shapes = f"tensors of shape {tuple(got.shape)} and {tuple(expected.shape)}"
        refuse(name, property_, shapes, cause)
    ours, theirs = (t.detach().cpu().to(torch.float64) for t in (got, expected))
    norm = max(float(theirs.norm()), 0.0 if size is None else float(size.detach().norm()))
    error = float((ours - theirs).norm())
    if not error <= tolerance * norm:
        share = f"a difference of {error:.3g} between values of norm {float(theirs.norm()):.3g}"
        refuse(name, property_, f"{share} (at most {tolerance * norm:.3g} is allowed)", cause)


def require_unchanged(
    tensor: torch.Tensor, original: torch.Tensor, name: str, what: str, cause: str
) -> None:
    """Raise an error if a computation changed its input `tensor`, of which `original` is a copy.

    `what` completes "must leave ...", and `cause` completes "an operation in place, such as ...".
    """
    require(
        torch.equal(tensor, original),
        name,
        f"must leave {what}",
        f"values changed by up to {float((tensor - original).abs().max()):.3g}",
        f"an operation in place, such as {cause}",
    )


def require_finite(tensor: torch.Tensor, name: str, property_: str, cause: str) -> None:
    """Raise an error unless all numbers of a tensor are finite, see `refuse`."""
    bad = int((~tensor.isfinite()).sum())
    got = f"{bad} of {tensor.numel()} numbers that are not finite"
    require(bad == 0, name, property_, got, cause)


@contextmanager
def required(
    name: str, property_: str, cause: str, errors: type[Exception] | tuple[type[Exception], ...]
) -> Iterator[None]:
    """Turn errors of the block into the error about a property, see `refuse`."""
    try:
        yield
    except PropertyError:
        raise
    except errors as error:
        text = shorten(str(error), _LONGEST_ERROR, placeholder=" ...").rstrip(".")
        raise PropertyError(
            f"{name} {property_}. Got {type(error).__name__} ({text}) instead. Likely cause: "
            f"{cause}."
        ) from error
