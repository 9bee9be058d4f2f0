"""Algorithm 2 of the paper: learn the initial weights of Algorithm 1."""

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
    """Run Algorithm 2: update `theta` and, if it is learned, `alpha` in place.

    Parameters
    ----------
    theta : mapping of str to tensor
        The initialised meta-parameter (line 1), leaf tensors that require gradients.
    alpha : mapping of str to tensor
        The inner step sizes. If they are learned, they are such leaf tensors, too.
    A : ForwardMap
        The forward model.
    inner : InnerLoop
        The inputs of Algorithm 1.
    outer_loss : callable
        ``L_outer`` between reconstructions and clean images, one value per image.
    loop : TrainingLoop
        Yields batches of clean images ``x_i``, measurements ``y_i = A(x_i) + e`` (line 5) and, if
        an estimator restores them, starts; makes the outer updates.
    algorithm : Algorithm
        The method for the outer gradient: `skmetainv.meta.MAML` in the paper.
    adapt : callable
        Algorithm 1, see `skmetainv.meta.adapt`.
    n_at_once : int
        Number of images that are adapted together; it changes speed and memory only.
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
