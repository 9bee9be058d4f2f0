"""Algorithm 1 with the package `higher` (Grefenstette et al., 2019), to check our own code."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import Adaptation, InnerLoop, Stages
from skmetainv.operators import DataTerm
from skmetainv.representations import ImageModule


def adapt_with_higher(
    theta: Tensors, alpha: Tensors, data: DataTerm, inner: InnerLoop, *, learning: bool
) -> Adaptation:
    """Run Algorithm 1 on a single measurement, like `skmetainv.meta.adapt`.

    Parameters
    ----------
    theta, alpha, data, inner, learning
        See `skmetainv.meta.adapt`.

    Returns
    -------
    adaptation : Adaptation
        The result of `skmetainv.meta.adapt`, up to rounding.

    Raises
    ------
    ValueError
        If there is more than one measurement.
    """
    if len(data.y) != 1:
        raise ValueError(f"The engine 'higher' adapts one image at a time. Got {len(data.y)}.")
    import higher

    losses: list[torch.Tensor] = []
    stages: list[torch.Tensor | Callable[[], torch.Tensor]] = []
    module = _Network(theta, inner.phi)
    parameters = dict(zip(theta, module.parameters(), strict=True))
    groups = [{"params": [parameters[name]]} for name in inner.adapted]
    callback = None if inner.second_order else _as_constants

    def adapted() -> dict[str, torch.Tensor]:
        weights = dict(zip(theta, phi.fast_params, strict=True))
        return {name: weights[name] for name in inner.adapted}

    with (
        torch.enable_grad(),
        higher.innerloop_ctx(
            module, torch.optim.SGD(groups, lr=1.0), track_higher_grads=learning
        ) as (phi, optimizer),
    ):
        condition = inner.phi.condition(theta, data)
        if learning:  # connects the copies in the module to theta
            phi.update_params(list(theta.values()))
        for k in range(inner.m):
            x = phi(condition)
            x = inner.f(x, data) if inner.through_solver else x
            L = inner.loss(x, data, adapted(), theta)
            sizes = [inner.step_size.at(alpha, k, name) for name in inner.adapted]
            optimizer.step(L.sum(), override={"lr": sizes}, grad_callback=callback)
            x = x if learning else x.detach()
            stages.append(x if inner.through_solver else partial(inner.f, x, data))
            losses.append(L if learning else L.detach())
        with torch.set_grad_enabled(learning):
            stages.append(partial(inner.f, phi(condition), data))
    return Adaptation(Stages(stages, learning=learning), losses, adapted())


class _Network(nn.Module):
    """A representation as a module that holds its weights, as `higher` requires."""

    def __init__(self, theta: Tensors, phi: ImageModule):
        super().__init__()
        self.names, self.hidden = list(theta), (phi,)  # a tuple hides it from `higher`
        self.weights = nn.ParameterList(weight.detach() for weight in theta.values())

    def forward(self, condition: Any) -> torch.Tensor:
        return self.hidden[0](dict(zip(self.names, self.weights, strict=True)), condition)


def _as_constants(gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    return [None if g is None else g.detach() for g in gradients]
