"""Algorithm 2 of the paper: learn the initial weights of Algorithm 1."""

import torch

from skmetainv.losses import Criterion
from skmetainv.meta.algorithms import Task
from skmetainv.meta.learner import MetaLearner
from skmetainv.training import TrainingLoop


def meta_learn(meta: MetaLearner, outer_loss: Criterion, loop: TrainingLoop) -> None:
    """Run Algorithm 2: update `theta` and, if they are learned, the step sizes `alpha` in place.

    Parameters
    ----------
    meta : MetaLearner
        The initialised meta-parameter ``theta`` (line 1), and the inputs of Algorithm 1. All
        learned weights are leaf tensors that require gradients.
    outer_loss : callable
        ``L_outer`` between reconstructions and clean images, one value per image.
    loop : TrainingLoop
        Yields batches of clean images ``x_i`` and measurements ``y_i = A(x_i) + e`` (line 5), with
        starts if an estimator restores starts. It also makes the outer updates.

    References
    ----------
    Zhao, "Meta-learning for Solving Inverse Problems", Stanford University, Algorithm 2.
    """
    theta, alpha, add_gradients = meta.theta, meta.alpha, meta.algorithm.add_gradients
    for batch in loop:  #                                              2, 3: while not done, a batch
        outer_losses, inner_losses = [], []
        for chunk in meta.in_chunks(batch):  # x_i, y_i of some images                  4, 5
            task = Task(chunk.x, chunk.data, outer_loss, loop.epoch)
            losses = add_gradients(theta, alpha, task, meta.inner, meta.adapt)  #       6-12, eq. 5
            outer_losses.append(losses.outer)
            inner_losses.append(losses.inner)
        loop.descend(  #                                                                13
            outer_loss=torch.cat(outer_losses), inner_loss=torch.cat(inner_losses)
        )
