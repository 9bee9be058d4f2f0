"""Reptile: move the weights towards their adapted values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, replace
from typing import Any

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Adapt, Algorithm, OuterLosses, Task, by_step
from skmetainv.meta.step_sizes import FixedStepSize
from skmetainv.parameters import COUNT, POSITIVE


class Reptile(Algorithm):
    """Reptile: move the weights towards those that result from training on each image alone.

    ``theta <- theta + beta mean_i (theta_i - theta)``, where ``theta_i`` results from `theta` by a
    few gradient steps on the *outer* loss of image ``i``. (From the data fidelity, the weights
    could not learn anything that the measurement misses.) The outer optimiser takes the
    displacement, with the opposite sign, as the gradient. With
    ``SGD(schedule="constant", max_grad_norm=None)``, its update is the formula above, and ``beta``
    is `outer_lr`.

    In training, all weights are adapted, including those that images share in prediction. In
    prediction, the steps minimise the inner loss, as with other algorithms.

    Parameters
    ----------
    n_steps : int, default=None
        Number of gradient steps on each image in training; None is the estimator's `n_inner`.
    step_size : float, default=None
        Size of these steps; None is the estimator's `inner_lr`.

    Notes
    -----
    There is no gradient for inner step sizes, a solver, an inner loss, an encoder or a refiner:
    estimators raise an error if they are to be learned.

    References
    ----------
    Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", arXiv:1803.02999, 2018.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import Reptile
    >>> est = MetaInverseSolver(algorithm=Reptile(n_steps=8))
    """

    n_steps: int | None = None
    _: KW_ONLY
    step_size: float | None = None

    learns = ()
    moves_shared = True
    _parameter_constraints = {
        **Algorithm._parameter_constraints,
        "n_steps": [COUNT, None],
        "step_size": [POSITIVE, None],
    }

    def check(self, m: int, learned: Mapping[str, Any]) -> None:
        super().check(m, learned)
        if m == 0 and self.n_steps is None:
            raise ValueError(
                "The 'n_steps' parameter of Reptile must be set if n_inner is 0: without steps, "
                "there is nothing to learn from. Got None instead."
            )

    def trained_loop(self, inner: InnerLoop, theta: Tensors, task: Task) -> InnerLoop:
        return replace(
            inner,
            loss=lambda x, data, theta_i, theta: task.loss(x),
            adapted=tuple(theta),
            through_solver=True,
        )

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
        rule, step_sizes = inner.step_size, alpha
        if self.step_size is not None:
            rule, step_sizes = FixedStepSize(), {"alpha": task.x.new_tensor(self.step_size)}
        clean = replace(
            self.trained_loop(inner, theta, task),
            step_size=rule,
            m=inner.m if self.n_steps is None else self.n_steps,
        )
        stages, losses, theta_i = adapt(theta, step_sizes, task.data, clean, learning=False)
        for name, weight in theta.items():
            moved = (weight.detach() - theta_i[name].detach()).reshape(-1, *weight.shape).sum(0)
            weight.grad = moved if weight.grad is None else weight.grad + moved
        L_outer = task.loss(stages[-1]).detach()
        return OuterLosses(L_outer, by_step(losses, L_outer))
