"""MAML: the outer gradient through the inner updates, as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any

import numpy as np

from skmetainv.arrays import Tensors
from skmetainv.meta.algorithm_1 import InnerLoop
from skmetainv.meta.algorithms import Adapt, Algorithm, OuterLosses, Task, by_step
from skmetainv.meta.step_sizes import STEP_SIZE_CONSTRAINTS, StepSizeRule, as_rule
from skmetainv.parameters import COUNT, Interval, StrOptions
from skmetainv.training import backward


class MAML(Algorithm):
    """Model-agnostic meta-learning: differentiate the result of the inner steps.

    The outer gradient is ``grad_theta L_outer(f(phi_theta_i), x_i)``, with ``theta_i`` after all
    inner steps. Second-order terms are exact.

    Parameters
    ----------
    first_order : bool, default=False
        Treat the inner gradients as constants. The outer gradient is then that of the outer loss
        at the adapted weights (FOMAML), at less than half the cost. The weights of an inner loss
        then have no gradient, and estimators raise an error if they are to be learned.
    step_sizes : {"fixed", "per_step", "per_layer", "per_parameter"} or StepSizeRule, \
default="per_step"
        Which step sizes to learn: none, one per inner step, one per layer and step, or one per
        parameter and step (with one inner step, Meta-SGD). Objects such as
        ``skmetainv.meta.PerStep(positive=True)`` keep them positive.
    step_weights : "uniform" or sequence of float, default=None
        Weights of the outer loss after each inner step: one nonnegative number per step, not all 0,
        or "uniform" for equal weights. They are normalised to sum 1. None puts all weight on the
        last step. MAML++ starts with "uniform".
    anneal_epochs : int, default=None
        Number of epochs over which `step_weights` are annealed, linearly, until all weight is on
        the last step. If None, they stay constant.
    recompute : bool or float, default=False
        The share of the inner steps, from the first one on, that the backward pass recomputes,
        between 0 and 1; their number is rounded up. The activations of these steps are not kept in
        memory. True is all steps; then only the activations of one step are in memory at a time,
        and training takes 30 to 40 % more time, or with ``first_order=True`` twice the time.
        All inner steps then compute all pixels, also those that no measurement sees.

    References
    ----------
    Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks",
    ICML, 2017.

    Antoniou, Edwards and Storkey, "How to train your MAML", ICLR, 2019.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import MAML
    >>> meta_sgd = MetaInverseSolver(algorithm=MAML(step_sizes="per_parameter"))
    >>> maml_pp = MetaInverseSolver(
    ...     algorithm=MAML(step_sizes="per_layer", step_weights="uniform", anneal_epochs=5)
    ... )
    """

    first_order: bool = False
    _: KW_ONLY
    step_sizes: str | StepSizeRule = "per_step"
    step_weights: str | Sequence[float] | None = None
    anneal_epochs: int | None = None
    recompute: bool | float = False

    _parameter_constraints = {
        **Algorithm._parameter_constraints,
        "first_order": ["boolean"],
        "step_sizes": STEP_SIZE_CONSTRAINTS,
        "step_weights": [StrOptions({"uniform"}), list, tuple, np.ndarray, None],
        "anneal_epochs": [COUNT, None],
        "recompute": ["boolean", Interval(Real, 0, 1, closed="both")],
    }

    @property
    def second_order(self) -> bool:  # type: ignore[override]
        """Whether inner gradients are differentiated."""
        return not self.first_order

    @property
    def learns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The parts that have gradients; with `first_order`, the inner loss has none."""
        learns = super().learns
        return tuple(part for part in learns if part != "inner_loss" or not self.first_order)

    @property
    def rule(self) -> StepSizeRule:
        """The rule for the inner step sizes."""
        return as_rule(self.step_sizes)

    def check(self, m: int, learned: Mapping[str, Any]) -> None:
        super().check(m, learned)
        if self.recompute and self.engine == "higher":
            raise ValueError(
                "The 'recompute' parameter of MAML must be False with engine='higher', which "
                f"cannot recompute. Got {self.recompute!r} instead."
            )
        weights: Any = self.step_weights
        if weights is None and self.anneal_epochs is not None:
            raise ValueError(
                "The 'anneal_epochs' parameter of MAML must be None without step_weights. Got "
                f"{self.anneal_epochs!r} instead."
            )
        if weights is None or isinstance(weights, str):
            return
        listed = getattr(weights, "ndim", 1) == 1 and len(weights) == m
        numbers = listed and all(isinstance(w, Real) and 0 <= float(w) < np.inf for w in weights)
        if not numbers or not sum(weights) > 0:
            raise ValueError(
                "The 'step_weights' parameter of MAML must be None, 'uniform' or one number per "
                f"inner step, here {m}, none negative and not all 0. Got {weights!r} instead."
            )

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
        stages, losses, _ = adapt(theta, alpha, task.data, inner, learning=True)  #     6-11
        L_outer = sum(  #                                                              12
            weight * task.loss(stages[k])
            for k, weight in enumerate(self._weights(inner.m, task.epoch))
            if weight
        )
        backward(L_outer.sum())
        return OuterLosses(L_outer.detach(), by_step(losses, L_outer))

    def _weights(self, m: int, epoch: int) -> np.ndarray:
        """Return the weights ``w_k`` of the stages in ``L_outer = sum_k w_k L(x_k)``, k = 0 to m.

        Without `step_weights`, only the last stage has a weight. With them, ``L_outer`` is the
        multi-step loss of MAML++ (Antoniou et al., 2019), in which stage 0 has no weight. Annealing
        moves the weights ``w`` to the last stage: they become ``(1 - t) w + t e_m``, with
        ``t = epoch / anneal_epochs`` up to 1.
        """
        last = np.eye(m + 1)[m]
        if self.step_weights is None or m == 0:
            return last
        raw = np.ones(m) if isinstance(self.step_weights, str) else self.step_weights
        weights = np.concatenate([[0.0], raw]) / np.sum(raw)
        t = 0.0 if self.anneal_epochs is None else min(1.0, epoch / self.anneal_epochs)
        return (1 - t) * weights + t * last
