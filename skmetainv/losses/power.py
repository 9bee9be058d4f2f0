"""Absolute and squared errors."""

from typing import ClassVar

import torch

from skmetainv.losses.base import Criterion, Loss
from skmetainv.parameters import StrOptions


class _PowerLoss(Loss):
    """``|x - target|^power``, summed or averaged over the entries of each image."""

    reduction: str = "mean"

    _parameter_constraints = {"reduction": [StrOptions({"mean", "sum"})]}
    _power: ClassVar[int]

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
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
        "mean" averages over the compared entries (for a data fidelity, the observed ones); "sum"
        returns ``||x - target||_1``.

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
        "mean" averages over the compared entries (for a data fidelity, the observed ones); "sum"
        returns ``||x - target||_2^2``: equation 4 of the paper for images in [0, 1].

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import L2
    >>> L2().build()(torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.6250])
    """

    _power = 2
