"""Algorithm 1 of the paper: adapt the weights of the start to one measurement."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from skmetainv.losses import Criterion
from skmetainv.meta.step_sizes import StepSizeRule
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.representations import ImageModule

Tensors = Mapping[str, torch.Tensor]

# Pixels times weights that are worth one operation on a CPU: the crossover as measured with SIRENs
# of 32 to 256 units on images of 25 x 25 and 64 x 64 pixels, two cores.
_CPU_WORK = 2**22


@dataclass(frozen=True)
class InnerLoop:
    """What Algorithm 1 requires, apart from the weights and the measurement.

    Parameters
    ----------
    phi : ImageModule
        The image of a set of weights.
    f : callable
        The classical solver, ``f(x, data)``.
    loss : callable
        The inner loss ``L`` between ``A(x)`` and ``y``, one value per image.
    step_size : StepSizeRule
        The rule by which ``alpha`` is read.
    m : int
        Number of inner updates.
    """

    phi: ImageModule
    f: Callable[[torch.Tensor, DataTerm], torch.Tensor]
    loss: Criterion
    step_size: StepSizeRule
    m: int


class Adaptation(NamedTuple):
    """What Algorithm 1 gives: the reconstructions and inner losses, by step."""

    stages: list[torch.Tensor]
    """``m + 1`` reconstructions, of the start and after each update; the last is the result."""
    losses: list[torch.Tensor]
    """``m`` inner losses, of all stages but the last, each of shape ``(batch,)``."""


def adapt(
    theta: Tensors, alpha: Tensors, data: DataTerm, inner: InnerLoop, *, learning: bool
) -> Adaptation:
    """Run Algorithm 1 on a batch of measurements, each image with weights of its own.

    Parameters
    ----------
    theta : mapping of str to tensor
        The SIREN's parameters, all of them; those that `phi` adapts are adapted.
    alpha : mapping of str to tensor
        The inner step sizes.
    data : DataTerm
        The measurements ``y_i`` under the forward model ``A``.
    inner : InnerLoop
        What else the algorithm requires.
    learning : bool
        Keep the graph of all updates, so that the result can be differentiated, to second
        order in the inner losses, with respect to `theta` and `alpha`.

    Returns
    -------
    adaptation : Adaptation
        The reconstructions and the inner losses.
    """
    phi, f, step_size = inner.phi, inner.f, inner.step_size
    stages, losses = [], []
    with torch.enable_grad():
        theta_i = {name: _one_per_image(theta[name], len(data.y)) for name in phi.adapted}
        if not learning:
            theta_i = _without_history(theta_i)  #                         1: theta_i^0 = theta
        for k in range(inner.m):  #                                        2
            x = f(phi({**theta, **theta_i}, data), data)  #                3: x = f(phi)
            L = data.loss(x, inner.loss)  #                                4: ||A(x) - y_i||^2
            gradient = torch.autograd.grad(L.sum(), list(theta_i.values()), create_graph=learning)
            theta_i = {  #                                                 5: theta_i^(k+1)
                name: theta_i[name] - step_size.at(alpha, k, name) * g
                for name, g in zip(theta_i, gradient, strict=True)
            }
            if not learning:
                theta_i, x, L = _without_history(theta_i), x.detach(), L.detach()
            stages.append(x)
            losses.append(L)
    with torch.set_grad_enabled(learning):
        stages.append(f(phi({**theta, **theta_i}, data), data))  #         6: x = f(phi)
    return Adaptation(stages, losses)


def images_at_once(theta: Tensors, A: ForwardMap, n_images: int) -> int:
    """Return how many of `n_images` to adapt at the same time for the best speed.

    A GPU takes them all. On a CPU images are stacked as long as their networks are small, so that
    there are fewer operations; large ones go one by one, so that they stay in the cache.
    """
    weights = list(theta.values())
    if weights[0].is_cuda:
        return n_images
    work = sum(weight.numel() for weight in weights) * math.prod(A.image_shape)
    return min(n_images, max(1, _CPU_WORK // work))


def _one_per_image(weight: torch.Tensor, n_images: int) -> torch.Tensor:
    """Return `weight` once for each image; a single image takes it as it is, which is faster."""
    return weight if n_images == 1 else weight.expand(n_images, *weight.shape)


def _without_history(theta: Tensors) -> dict[str, torch.Tensor]:
    return {name: weight.detach().requires_grad_() for name, weight in theta.items()}
