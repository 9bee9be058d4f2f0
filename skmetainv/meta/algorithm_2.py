"""Algorithm 2 of the paper: learn the weights that Algorithm 1 starts from."""

import torch

from skmetainv.arrays import Tensors
from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Adapt, Algorithm, Task
from skmetainv.operators import ForwardMap
from skmetainv.training import TrainingLoop


def meta_learn(
    theta: Tensors,
    alpha: Tensors,
    A: ForwardMap,
    inner: InnerLoop,
    outer_loss: Criterion,
    loop: TrainingLoop,
    algorithm: Algorithm,
    adapt: Adapt,
    n_at_once: int,
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
        Gives the batches, clean images ``x_i`` with ``y_i = A(x_i) + e`` (line 5) and perhaps the
        starts that other methods restored of these, and makes the outer updates.
    algorithm : Algorithm
        How the outer gradient is found: `skmetainv.meta.MAML` in the paper.
    adapt : callable
        Algorithm 1, see `skmetainv.meta.adapt`.
    n_at_once : int
        Images that are adapted at the same time; this changes speed and memory only.
    """
    for batch in loop:  #                                              2, 3: while not done, a batch
        outer, losses = [], []
        parts = [tensor.split(n_at_once) for tensor in batch]
        for x_i, *y_i in zip(*parts, strict=True):  #                                   4, 5
            task = Task(x_i, A.bind(*y_i), outer_loss, loop.epoch)
            found = algorithm.add_gradients(theta, alpha, task, inner, adapt)  #        6-12, eq. 5
            outer.append(found.outer)
            losses.append(found.inner)
        loop.descend(outer_loss=torch.cat(outer), inner_loss=torch.cat(losses))  #      13
