"""Algorithm 1 of the paper: adapt the weights of the start to one measurement."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch

from skmetainv.arrays import Tensors
from skmetainv.meta.inner_loss import InnerObjective
from skmetainv.meta.recomputation import recomputed
from skmetainv.meta.step_sizes import StepSizeRule
from skmetainv.operators import DataTerm
from skmetainv.representations import ImageModule


@dataclass(frozen=True)
class InnerLoop:
    """The inputs of Algorithm 1, apart from the weights and the measurement.

    Parameters
    ----------
    phi : ImageModule
        The network, which maps weights to an image.
    f : callable
        The classical solver, ``f(x, data)``.
    loss : InnerObjective
        The inner loss ``L`` between ``A(x)`` and ``y``, one value per image.
    step_size : StepSizeRule
        The rule that computes, from ``alpha``, the step size of each weight in each step.
    m : int
        Number of inner updates.
    adapted : tuple of str
        The weights that are adapted.
    second_order : bool, default=True
        Whether the backward pass also differentiates the inner gradients. If not, they count as
        constants.
    recompute : bool or float, default=False
        The share of inner steps, counted from the first, whose activations are recomputed in the
        backward pass. Only the weights before each such step are stored.
    through_solver : bool, default=True
        Whether ``L`` is evaluated at ``x = f(phi)``, as in the paper, or at the start ``phi``.

    Examples
    --------
    Two inner steps of a grid of pixels, without a solver, for three measurements:

    >>> import numpy as np
    >>> import torch
    >>> from skmetainv.meta import FixedStepSize, InnerLoop, InnerLoss, adapt, no_solver
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.representations import PixelGrid
    >>> shape, rule = (1, 2, 2), FixedStepSize()
    >>> phi = PixelGrid().build(shape)
    >>> theta = phi.initial_weights(np.random.default_rng(0))
    >>> alpha = rule.initial(theta, m=2, inner_lr=2.0)
    >>> data = Identity().build(shape).bind(torch.ones(3, *shape, dtype=torch.float64))
    >>> loss = InnerLoss().build(shape)
    >>> inner = InnerLoop(phi, no_solver, loss, rule, m=2, adapted=phi.adapted)
    >>> stages, losses, theta_i = adapt(theta, alpha, data, inner, learning=False)
    >>> len(stages), stages[-1].shape
    (3, torch.Size([3, 1, 2, 2]))
    >>> first, second = losses
    >>> second < first
    tensor([True, True, True])
    """

    phi: ImageModule
    f: Callable[[torch.Tensor, DataTerm], torch.Tensor]
    loss: InnerObjective | Callable[..., torch.Tensor]
    step_size: StepSizeRule
    m: int
    adapted: tuple[str, ...]
    second_order: bool = True
    recompute: bool | float = False
    through_solver: bool = True

    def seen_pixels(self, data: DataTerm) -> torch.Tensor | None:
        """Return the pixels of ``phi`` that determine ``L``, or None if all are computed.

        Parameters
        ----------
        data : DataTerm
            The measurements.

        Returns
        -------
        seen : tensor of bool, of shape (1 or batch, 1, height, width), or None
            The pixels.
        """
        of_phi = self.f is no_solver or not self.through_solver
        by_measurement = getattr(self.loss, "sees_measurement_only", False)
        # With `recompute`, images of stages would be computed, and stored, outside of the steps.
        skips = of_phi and by_measurement and not self.recompute
        return data.A.seen_pixels() if skips else None


def no_solver(x: torch.Tensor, data: DataTerm) -> torch.Tensor:
    """Return the start itself: the identity as ``f``."""
    return x


class Adaptation(NamedTuple):
    """The output of Algorithm 1; `InnerLoop` has an example."""

    stages: Sequence[torch.Tensor]
    """``m + 1`` reconstructions: one before all updates, and one after each. The last is the
    result."""
    losses: list[torch.Tensor]
    """The inner losses of all stages but the last: ``m`` tensors of shape ``(batch,)``."""
    theta: dict[str, torch.Tensor]
    """The adapted weights after the last update, stacked along a first axis of images; for a single
    image, without this axis."""


def adapt(
    theta: Tensors, alpha: Tensors, data: DataTerm, inner: InnerLoop, *, learning: bool
) -> Adaptation:
    """Run Algorithm 1 on a batch of measurements, with separate weights for each image.

    Parameters
    ----------
    theta : mapping of str to tensor
        All parameters of the representation.
    alpha : mapping of str to tensor
        The inner step sizes.
    data : DataTerm
        The measurements ``y_i`` under the forward model ``A``.
    inner : InnerLoop
        The other inputs of the algorithm.
    learning : bool
        Whether to keep the graph of all updates, so that the result can be differentiated with
        respect to `theta`, `alpha` and the learned numbers of the solver and the inner loss.

    Returns
    -------
    adaptation : Adaptation
        The reconstructions, the inner losses and the adapted weights.

    References
    ----------
    Zhao, "Meta-learning for Solving Inverse Problems", Stanford University, Algorithm 1.
    """
    phi, losses = inner.phi, []
    stages: list[torch.Tensor | Callable[[], torch.Tensor]] = []
    step = partial(_inner_step, theta, alpha, data, inner)
    # Rounded first: 0.28 * 25 is a little more than 7.
    n_recomputed = math.ceil(round(inner.recompute * inner.m, 9)) if learning else 0

    def all_weights(values: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**theta, **dict(zip(inner.adapted, values, strict=True))}

    def reconstruction(weights: Tensors) -> torch.Tensor:
        return inner.f(phi(weights, condition), data)

    with torch.set_grad_enabled(learning):
        condition = phi.condition(theta, data)
        seen = inner.seen_pixels(data)
        # `restricted` returns the condition itself if it saves no pixels.
        at_seen = condition if seen is None else phi.restricted(condition, seen)
        are_whole = at_seen is condition
        # A list, not a dict by name, because `recomputed` passes tensors only.
        values = one_per_image(theta, inner.adapted, len(data.y))  #    1: theta_i^0 = theta
        for k in range(inner.m):  #                                     2
            update = partial(recomputed, step) if k < n_recomputed else step
            x, L, *updated = update(k, at_seen, values)  #              3-5
            if not are_whole:  # x has the seen pixels only
                stages.append(partial(reconstruction, all_weights(values)))
            elif inner.through_solver:
                stages.append(x)
            else:  # x is phi
                stages.append(partial(inner.f, x, data))
            losses.append(L)
            values = updated
        stages.append(partial(inner.f, phi(all_weights(values), condition), data))  # 6: x = f(phi)
        theta_i = dict(zip(inner.adapted, values, strict=True))
    return Adaptation(Stages(stages, learning=learning), losses, theta_i)


def _inner_step(
    theta: Tensors,
    alpha: Tensors,
    data: DataTerm,
    inner: InnerLoop,
    k: int,
    condition: Any,
    values: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Return the image and the inner loss of step `k`, and the updated values of the weights."""
    # Not `learning`: a recomputed step runs first without a graph, then with one (`recomputed`).
    keeps_graph = torch.is_grad_enabled()
    theta_i = dict(zip(inner.adapted, values, strict=True))
    with torch.enable_grad():
        if not keeps_graph:
            theta_i = {name: v.detach().requires_grad_() for name, v in theta_i.items()}
        x = inner.phi({**theta, **theta_i}, condition)
        if inner.through_solver:
            x = inner.f(x, data)  #                                     3: x = f(phi)
        L = inner.loss(x, data, theta_i, theta)  #                      4: ||A(x) - y_i||^2, eq. 4
        gradient = torch.autograd.grad(
            L.sum(),
            list(theta_i.values()),
            create_graph=keeps_graph and inner.second_order,
            retain_graph=keeps_graph,  # also first order: outer gradients pass through x and L
        )
    updated = [  #                                                      5: theta_i^(k+1), eq. 3
        theta_i[name] - inner.step_size.at(alpha, k, name) * g
        for name, g in zip(theta_i, gradient, strict=True)
    ]
    return (x, L, *updated) if keeps_graph else (x.detach(), L.detach(), *updated)


def one_per_image(theta: Tensors, adapted: tuple[str, ...], n_images: int) -> list[torch.Tensor]:
    """Broadcast the weights to all images; for a single image, return them without a first axis."""
    weights = [theta[name] for name in adapted]
    if n_images == 1:
        return weights
    return [weight.expand(n_images, *weight.shape) for weight in weights]


class Stages(Sequence[torch.Tensor]):
    """The reconstructions ``x`` of all stages.

    Parameters
    ----------
    stages : sequence of tensor or callable
        The reconstructions that the inner steps have computed. A function computes the
        reconstruction of its stage, on each access.
    learning : bool
        Whether to keep the graph of what is computed on access.
    """

    def __init__(
        self, stages: Sequence[torch.Tensor | Callable[[], torch.Tensor]], *, learning: bool
    ):
        self._stages, self._learning = stages, learning

    def __len__(self) -> int:
        return len(self._stages)

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        stage = self._stages[k]
        if isinstance(stage, torch.Tensor):
            return stage
        with torch.set_grad_enabled(self._learning):
            return stage()
