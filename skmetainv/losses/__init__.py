"""Losses: parameter objects that build functions with one value per image."""

from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import torch

from skmetainv.losses.base import NAMES, Criterion, Loss, ScaledLoss, SumLoss
from skmetainv.losses.functions import FunctionLoss, line_instead
from skmetainv.losses.perceptual import LPIPS
from skmetainv.losses.power import L1, L2
from skmetainv.losses.structural import SSIM
from skmetainv.parameters import NOT_NEGATIVE, Function, advice

__all__ = [
    "L1",
    "L2",
    "LOSS_CONSTRAINTS",
    "LPIPS",
    "SSIM",
    "Criterion",
    "FunctionLoss",
    "Loss",
    "LossLike",
    "ScaledLoss",
    "SumLoss",
    "as_loss",
]

_SHORTHANDS: dict[str, type[Loss]] = {"l1": L1, "l2": L2, "ssim": SSIM, "lpips": LPIPS}

#: A loss or a shorthand for one, see `as_loss`.
LossLike: TypeAlias = str | Loss | dict[str, float] | Callable[..., torch.Tensor]

#: The constraints of parameters that take a loss.
LOSS_CONSTRAINTS = [NAMES, Loss, dict, Function()]


def as_loss(loss: LossLike) -> Loss:
    """Return the `Loss` that a name, a dict or a function stands for.

    Parameters
    ----------
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable
        A dict maps these strings to weights; it stands for the weighted sum. A callable,
        ``function(x, target)``, stands for a `FunctionLoss`. A `Loss` is returned unchanged.

    Returns
    -------
    loss : Loss
        The loss.

    Raises
    ------
    ValueError
        If a string or a key of a dict is not one of the strings above; if a dict is empty, or has a
        weight that is negative or not a number; or if `loss` is a class instead of an instance.

    Examples
    --------
    >>> from skmetainv.losses import as_loss
    >>> as_loss({"l2": 1.0, "lpips": 0.1})
    1.0 * L2() + 0.1 * LPIPS()
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return _by_name(loss)
    if isinstance(loss, dict):
        return _weighted_sum(loss)
    if isinstance(loss, type):
        name = loss.__name__
        instead = f" Use an instance, {name}()." if issubclass(loss, Loss) else line_instead(name)
        raise ValueError(
            "A loss must be a string, a Loss, a dict or a function with one value per image. "
            f"Got the class {name} instead.{instead}"
        )
    return FunctionLoss(loss)


def _by_name(name: str) -> Loss:
    if name not in _SHORTHANDS:
        raise ValueError(
            f"A loss by name must be one of {[*_SHORTHANDS]}. Got {name!r} instead."
            f"{advice([NAMES], name)}"
        )
    return _SHORTHANDS[name]()


def _weighted_sum(weights: dict[str, float]) -> Loss:
    if not weights:
        raise ValueError(
            f"A dict of losses must have at least one of the keys {[*_SHORTHANDS]}. Got {{}} "
            "instead."
        )
    for name, weight in weights.items():
        if not NOT_NEGATIVE.is_satisfied_by(weight):
            raise ValueError(
                f"The weight of {name!r} in a dict of losses must be a number that is not "
                f"negative. Got {weight!r} instead."
            )
    terms: list[Loss] = [_by_name(name) * weight for name, weight in weights.items()]
    return reduce(SumLoss, terms)
