"""Losses: parameter objects whose `build` gives one loss value per image."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from sklearn.base import BaseEstimator

from skmetainv.parameters import StrOptions

#: ``criterion(x, target, observed=None)`` gives one value per image, shape ``(batch,)``.
Criterion: TypeAlias = Callable[..., torch.Tensor]


class Loss(BaseEstimator):
    """A loss between images, or between measurements: one value per image.

    A subclass writes `build`.
    """

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        """Return the function that computes the loss.

        Parameters
        ----------
        data_range : (float, float), default=(0.0, 1.0)
            The least and the largest value of the images, in their units. Differences are
            divided by its width, so that a loss, and the step sizes that go with it, mean the
            same in any units.

        Returns
        -------
        criterion : callable
            ``criterion(x, target, observed=None)`` with `x` and `target` of shape
            ``(batch, ...)`` and `observed` a boolean mask that broadcasts to them, True where
            an entry takes part (elsewhere `target` may be NaN); the result has shape
            ``(batch,)``, 0 where nothing takes part.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class _PowerLoss(Loss):
    """``|x - target|^power``, summed or averaged over the entries of each image."""

    _parameter_constraints = {"reduction": [StrOptions({"mean", "sum"})]}
    _power: int

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        self._validate_params()
        width = data_range[1] - data_range[0]
        mean, power = self.reduction == "mean", self._power

        def criterion(
            x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None = None
        ) -> torch.Tensor:
            difference = (x - target) / width
            if observed is not None:
                difference = torch.where(observed, difference, 0.0)
            error = difference.abs() if power == 1 else difference.square()
            total = error.flatten(1).sum(1)
            if not mean:
                return total
            if observed is None:
                return total / error[0].numel()
            return total / observed.expand_as(error).flatten(1).sum(1).clamp(min=1)

        return criterion


class L1(_PowerLoss):
    """Absolute error ``|x - target|``, averaged (or summed) over each image's entries.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default="mean"
        "mean" averages over the entries compared (for a data fidelity, the observed ones);
        "sum" gives ``||x - target||_1``.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import L1
    >>> L1().build()(torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.7500])
    """

    _power = 1


class L2(_PowerLoss):
    """Squared error ``(x - target)^2``, averaged (or summed) over each image's entries.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default="mean"
        "mean" averages over the entries compared (for a data fidelity, the observed ones);
        "sum" gives ``||x - target||_2^2``, equation 4 of the paper to the letter.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import L2
    >>> L2().build()(torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.6250])
    """

    _power = 2


_SHORTHANDS: dict[str, type[Loss]] = {"l1": L1, "l2": L2}

#: What a parameter that takes a loss accepts.
LOSS_CONSTRAINTS = [StrOptions(set(_SHORTHANDS)), Loss]


def as_loss(loss: str | Loss) -> Loss:
    """Return the loss that a string is shorthand for; a `Loss` is returned as it is."""
    return _SHORTHANDS[loss]() if isinstance(loss, str) else loss
