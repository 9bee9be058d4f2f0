"""Algorithm 2 of the paper: learn the weights that Algorithm 1 starts from."""

import math
from collections.abc import Mapping

import torch

from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import InnerLoop, adapt, images_at_once
from skmetainv.operators import ForwardMap
from skmetainv.training import TrainingLoop

Tensors = Mapping[str, torch.Tensor]


def meta_learn(
    theta: Tensors,
    alpha: Tensors,
    A: ForwardMap,
    inner: InnerLoop,
    outer_loss: Criterion,
    loop: TrainingLoop,
) -> None:
    """Run Algorithm 2: change `theta`, and `alpha` where it is learned, in place.

    Parameters
    ----------
    theta : mapping of str to tensor
        The initialised meta-parameter (line 1), leaves that require gradients.
    alpha : mapping of str to tensor
        The inner step sizes; likewise where they are learned.
    A : ForwardMap
        The forward model.
    inner : InnerLoop
        What Algorithm 1 requires.
    outer_loss : callable
        ``L_outer`` between reconstructions and clean images, one value per image.
    loop : TrainingLoop
        Gives the batches, with ``y_i = A(x_i) + e`` (line 5), and makes the outer updates.

    Notes
    -----
    The images of a batch are adapted in chunks, whose gradients add up: this changes speed and
    memory only.
    """
    incomplete = math.isnan(A.missing_value)  # clean images may then have missing pixels, too
    for x, y in loop:  #                                           2, 3: while not done, a batch
        outer, losses = [], []
        n = images_at_once(theta, A, len(x))
        for x_i, y_i in zip(x.split(n), y.split(n), strict=True):  #                    4, 5
            stages, L_in = adapt(theta, alpha, A.bind(y_i), inner, learning=True)  #    6-11
            known = ~x_i.isnan() if incomplete else None
            L_outer = outer_loss(stages[-1], x_i, known)  #                            12
            (L_outer.sum() / len(x)).backward()
            outer.append(L_outer)
            losses.append(torch.stack(L_in, dim=1) if L_in else L_outer.new_empty(len(x_i), 0))
        loop.descend(outer_loss=torch.cat(outer), inner_loss=torch.cat(losses))  #     13
