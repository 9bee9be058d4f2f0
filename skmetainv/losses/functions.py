"""A user's own function as a loss."""

from collections.abc import Callable

import torch

from skmetainv.exceptions import concerning
from skmetainv.losses.base import NAMES, Criterion, Loss, check_values, filled, for_tensors
from skmetainv.parameters import Function


class FunctionLoss(Loss):
    """The loss ``function(x, target)`` for any function of tensors.

    Parameters
    ----------
    function : callable
        Takes two tensors of shape ``(batch, ...)``, in the units of the images or measurements, and
        returns one value per image, shape ``(batch,)``. It must treat each image on its own and be
        differentiable by autograd, twice if it is an inner loss. If it is a module, a copy in
        evaluation mode with constant weights is used.

    Notes
    -----
    Where `target` is not observed, it is replaced by the values of `x`, as constants. If `function`
    does not return one value per image, a `ValueError` is raised. Unlike the losses of this
    library, `function` does not get the range of the images.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import FunctionLoss
    >>> loss = FunctionLoss(lambda x, target: (x - target).abs().flatten(1).amax(1))
    >>> loss.build()(torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 1.0]]))
    tensor([1.])
    """

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    _parameter_constraints = {"function": [Function()]}

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        function, instead = for_tensors(self.function), line_instead(name)

        def criterion(
            x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None = None
        ) -> torch.Tensor:
            with concerning("the 'function' parameter of FunctionLoss"):
                loss: torch.Tensor = function(x.device, x.dtype)(x, filled(x, target, observed))
            check_values(loss, x, "The 'function' parameter of FunctionLoss", instead)
            return loss

        return criterion


def line_instead(name: str) -> str:
    """Return advice on how to replace a function or class of this name; it begins with a space."""
    shorthand = NAMES.instead_of(name)
    line = "lambda x, target: (x - target).square().flatten(1).mean(1)"
    if name.endswith("Loss") and hasattr(torch.nn, name):
        line = f"lambda x, target: torch.nn.{name}(reduction='none')(x, target).flatten(1).mean(1)"
    or_shorthand = "" if shorthand is None else f"{shorthand}, or "
    return (
        f" Use {or_shorthand}a function that ends with .flatten(1).mean(1), the mean over each "
        f"image: {line}."
    )
