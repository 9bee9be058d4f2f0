"""The protocol of losses between images or measurements, and their algebra."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any, TypeAlias

import torch

from skmetainv.parameters import NOT_NEGATIVE, ParameterObject, StrOptions, described

#: ``criterion(x, target, observed=None)`` returns one value per image, shape ``(batch,)``.
Criterion: TypeAlias = Callable[..., torch.Tensor]

#: The names of losses, and the names that other libraries use for them.
NAMES = StrOptions(
    {"l1", "l2", "ssim", "lpips"},
    {
        **dict.fromkeys(["mse", "mse_loss", "l2_loss", "mean_squared_error", "psnr"], "l2"),
        **dict.fromkeys(["mae", "l1_loss", "mean_absolute_error"], "l1"),
        "ssim_loss": "ssim",
        "perceptual": "lpips",
    },
)

_AT_ITS_END = " Append .flatten(1).mean(1), the mean over each image."


class Loss(ParameterObject):
    """A loss between images or between measurements, with one value per image.

    A subclass writes `build`.

    Losses compose: ``first + second`` adds them, ``factor * loss`` weights them.

    Examples
    --------
    A new loss: Charbonnier's, a smoothed absolute error, in units of the data range:

    >>> import torch
    >>> from skmetainv.losses import Loss
    >>> from skmetainv.testing import check_loss
    >>> class Charbonnier(Loss):
    ...     eps: float = 0.01
    ...
    ...     def build(self, data_range=(0.0, 1.0)):
    ...         width = data_range[1] - data_range[0]
    ...
    ...         def criterion(x, target, observed=None):
    ...             difference = (x - target) / width
    ...             if observed is not None:
    ...                 difference = torch.where(observed, difference, 0.0)
    ...             error = (difference.square() + self.eps**2).sqrt() - self.eps
    ...             return error.flatten(1).mean(1)
    ...
    ...         return criterion
    >>> check_loss(Charbonnier())
    >>> check_loss(0.5 * Charbonnier(eps=0.1))
    """

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        """Return the function that computes the loss.

        Parameters
        ----------
        data_range : (float, float), default=(0.0, 1.0)
            The smallest and the largest nominal value of the images. Differences are divided by the
            width of the range, so that a loss and suitable step sizes do not depend on the units.

        Returns
        -------
        criterion : callable
            ``criterion(x, target, observed=None)``, where `x` and `target` have the shape
            ``(batch, ...)``. `observed` is a boolean mask that broadcasts to this shape. It is True
            for entries that are compared; `target` may be NaN at the other entries. The result has
            shape ``(batch,)``. It is 0 for an image without observed entries.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def _examine(self, built: Any) -> Criterion:
        name = type(self).__name__
        if not callable(built):
            raise TypeError(
                f"{name}.build must return a function criterion(x, target, observed=None). Got "
                f"{described(built)} instead."
            )

        def criterion(
            x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None = None
        ) -> torch.Tensor:
            values: torch.Tensor = built(x, target, observed)
            check_values(values, x, f"The criterion that {name}.build returns")
            return values

        return criterion

    def __add__(self, other: Any) -> SumLoss:
        return SumLoss(self, other) if isinstance(other, Loss) else NotImplemented

    def __radd__(self, other: Any) -> Loss:
        # Python's `sum` starts with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, factor: Any) -> ScaledLoss:
        return (
            ScaledLoss(self, factor=float(factor)) if isinstance(factor, Real) else NotImplemented
        )

    __rmul__ = __mul__


class SumLoss(Loss):
    """The sum ``first(x, target) + second(x, target)`` per image, written ``first + second``.

    Parameters
    ----------
    first, second : Loss
        The losses to add.

    Raises
    ------
    ValueError
        By `build`, if a part is not a `Loss`.

    Examples
    --------
    >>> from skmetainv.losses import L1, L2
    >>> loss = L2() + 0.1 * L1()
    >>> loss
    L2() + 0.1 * L1()
    >>> loss.set_params(second__loss__reduction="sum")
    L2() + 0.1 * L1(reduction='sum')
    """

    first: Loss
    second: Loss

    _parameter_constraints = {"first": [Loss], "second": [Loss]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.first!r} + {_in_brackets(self.second)}"

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        first, second = self.first.build(data_range), self.second.build(data_range)
        return lambda *images: first(*images) + second(*images)


class ScaledLoss(Loss):
    """The multiple ``factor loss(x, target)`` per image, written ``factor * loss``.

    Parameters
    ----------
    loss : Loss
        The loss to weight.
    factor : float, default=1.0
        Its weight, at least 0.

    Raises
    ------
    ValueError
        By `build`, if `factor` is negative or not finite, or if `loss` is not a `Loss`.

    Examples
    --------
    >>> from skmetainv.losses import L1
    >>> 0.5 * L1()
    0.5 * L1()
    """

    loss: Loss
    _: KW_ONLY
    factor: float = 1.0

    _parameter_constraints = {"loss": [Loss], "factor": [NOT_NEGATIVE]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.factor!r} * {_in_brackets(self.loss)}"

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        loss, factor = self.loss.build(data_range), self.factor
        return lambda *images: factor * loss(*images)


def check_values(values: Any, x: torch.Tensor, what: str, instead: str = _AT_ITS_END) -> None:
    """Raise an error unless a loss function returned one value for each image of a batch.

    Parameters
    ----------
    values : object
        The result of the function.
    x : tensor of shape (batch, ...)
        The images.
    what : str
        The name of the function in the error.
    instead : str
        Advice at the end of the error; it begins with a space.

    Raises
    ------
    ValueError
        If the result is not a tensor of shape (batch,).
    """
    if not isinstance(values, torch.Tensor) or values.shape != x.shape[:1]:
        got = tuple(values.shape) if isinstance(values, torch.Tensor) else described(values)
        raise ValueError(
            f"{what} must return one value per image, a tensor of shape ({len(x)},). Got {got} "
            f"instead.{instead}"
        )


def check_images(loss: Loss, x: torch.Tensor) -> None:
    """Raise an error if the input of a loss of images is not a batch of images."""
    if x.ndim != 4:
        raise ValueError(
            f"{type(loss).__name__} compares images, tensors of shape (batch, channels, height, "
            f"width). Got {tuple(x.shape)} instead, the shape of flat or complex measurements."
        )


def filled(x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
    """Return `target`, replaced by `x` as a constant where it is not observed."""
    return target if observed is None else torch.where(observed, target, x.detach())


def _in_brackets(loss: Loss) -> str:
    return f"({loss!r})" if isinstance(loss, SumLoss) else repr(loss)


def for_tensors(function: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    """Return ``get(device, dtype)``, which returns `function` for tensors on a device, of a type.

    If `function` is a module, ``get`` returns a copy with this device and type, in evaluation mode
    and with constant weights. Any other `function` is returned unchanged.
    """
    if not isinstance(function, torch.nn.Module):
        return lambda device, dtype: function
    constant = copy.deepcopy(function).requires_grad_(False).eval()
    return functools.cache(lambda device, dtype: copy.deepcopy(constant).to(device, dtype))
