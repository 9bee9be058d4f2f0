"""Rules for the inner step sizes: the initial ``alpha``, and how step sizes follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import Any

import torch
from sklearn.base import clone

from skmetainv.arrays import Tensors
from skmetainv.parameters import NOT_NEGATIVE, ParameterObject, StrOptions


class StepSizeRule(ParameterObject):
    """A rule for the inner step sizes. A subclass implements `initial` and `at`.

    Attributes
    ----------
    learned : bool
        Whether Algorithm 2 learns the step sizes with ``theta``.

    Examples
    --------
    One learned step size, halved in every step:

    >>> import torch
    >>> from skmetainv.meta import StepSizeRule
    >>> class Halving(StepSizeRule):
    ...     def initial(self, theta, m, inner_lr):
    ...         return {"alpha": torch.tensor(inner_lr, dtype=torch.float64)}
    ...
    ...     def at(self, alpha, k, name):
    ...         return alpha["alpha"] / 2**k
    >>> rule = Halving()
    >>> rule.at(rule.initial({}, m=3, inner_lr=0.1), k=1, name="0.weight")
    tensor(0.0500, dtype=torch.float64)
    """

    learned = True

    def initial(self, theta: Tensors, m: int, inner_lr: float) -> dict[str, torch.Tensor]:
        """Return the initial ``alpha``, in float64, by name.

        Parameters
        ----------
        theta : mapping of str to tensor
            The weights that are adapted.
        m : int
            Number of inner steps that get step sizes of their own, at least 1.
        inner_lr : float
            The step size. If step sizes are learned, their initial value.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define initial.")

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        """Return the step size of weight `name` in step `k`; steps from `m` on use the last one.

        Parameters
        ----------
        alpha : mapping of str to tensor
            The step sizes that `initial` returns, or their learned values.
        k : int
            Index of the inner step, from 0.
        name : str
            Name of the weight.

        Returns
        -------
        step_size : tensor
            The step size, broadcastable to the weight.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define at.")

    def n_steps(self, alpha: Mapping[str, Any]) -> int | None:
        """Return the number of inner steps with step sizes of their own; None if all share one.

        Parameters
        ----------
        alpha : mapping of str to tensor or ndarray
            The step sizes.

        Returns
        -------
        n_steps : int or None
            The number.
        """
        return None

    def learning_rate(self, inner_lr: float) -> float:
        """Return the outer learning rate of step sizes with the initial value `inner_lr`.

        Parameters
        ----------
        inner_lr : float
            The initial step size.

        Returns
        -------
        learning_rate : float
            The rate; in that of the logarithms, if these are learned.
        """
        return inner_lr / 100


class FixedStepSize(StepSizeRule):
    """One step size, not learned.

    Examples
    --------
    >>> from skmetainv.meta import FixedStepSize
    >>> rule = FixedStepSize()
    >>> alpha = rule.initial({}, m=3, inner_lr=0.1)
    >>> rule.at(alpha, k=2, name="0.weight")
    tensor(0.1000, dtype=torch.float64)
    """

    learned = False

    def initial(self, theta: Tensors, m: int, inner_lr: float) -> dict[str, torch.Tensor]:
        return {"alpha": torch.tensor(inner_lr, dtype=torch.float64)}

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        return alpha["alpha"]


class _LearnedStepSizes(StepSizeRule):
    """Separate step sizes for every inner step; a subclass implements `_key` and `_shape`.

    Parameters
    ----------
    positive : bool, default=False
        Keep the step sizes positive: their logarithms are learned and stored in `weights_`.
    lr : float, default=None
        Learning rate of the step sizes, or of their logarithms. If None, one step of Adam changes
        each by about one percent: of its initial value, or, if `positive`, of its current value.
    """

    _: KW_ONLY
    positive: bool = False
    lr: float | None = None

    _parameter_constraints = {
        "positive": ["boolean"],
        "lr": [NOT_NEGATIVE, None],
    }

    def _key(self, name: str) -> str:
        """Return the name of the step sizes of weight `name`."""
        raise NotImplementedError(f"{type(self).__name__} does not define _key.")

    def _shape(self, weight: torch.Tensor) -> tuple[int, ...]:
        """Return the shape of the step sizes of a weight in one step."""
        return ()

    def initial(self, theta: Tensors, m: int, inner_lr: float) -> dict[str, torch.Tensor]:
        self._validate_params()
        value = math.log(inner_lr) if self.positive else inner_lr
        return {
            self._key(name): torch.full((m, *self._shape(weight)), value, dtype=torch.float64)
            for name, weight in theta.items()
        }

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        steps = alpha[self._key(name)]
        alpha_k = steps[min(k, len(steps) - 1)]
        return alpha_k.exp() if self.positive else alpha_k

    def n_steps(self, alpha: Mapping[str, Any]) -> int:
        """Return the number of inner steps with step sizes of their own."""
        return len(next(iter(alpha.values())))

    def learning_rate(self, inner_lr: float) -> float:
        if self.lr is not None:
            return self.lr
        return 0.01 if self.positive else super().learning_rate(inner_lr)


class PerStep(_LearnedStepSizes):
    """One step size per inner step, as in section 4.1.1 of the paper.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.meta import PerStep
    >>> theta = {"0.weight": torch.ones(4, 2), "0.bias": torch.ones(4)}
    >>> PerStep().initial(theta, m=3, inner_lr=0.1)
    {'alpha': tensor([0.1000, 0.1000, 0.1000], dtype=torch.float64)}
    """

    def _key(self, name: str) -> str:
        return "alpha"


class PerLayer(_LearnedStepSizes):
    """One step size per layer and inner step, as in MAML++.

    Weights belong to the same layer if their names agree up to the last dot.

    References
    ----------
    Antoniou, Edwards and Storkey, "How to train your MAML", ICLR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.meta import PerLayer
    >>> theta = {"0.weight": torch.ones(4, 2), "0.bias": torch.ones(4)}
    >>> PerLayer().initial(theta, m=3, inner_lr=0.1)
    {'0': tensor([0.1000, 0.1000, 0.1000], dtype=torch.float64)}
    """

    def _key(self, name: str) -> str:
        return name.rpartition(".")[0] or name


class PerParameter(_LearnedStepSizes):
    """One step size per parameter and inner step, as in section 4.1.2 of the paper.

    Meta-SGD (Li et al., 2017) learns one per parameter, shared by all steps.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.meta import PerParameter
    >>> theta = {"0.weight": torch.ones(4, 2), "0.bias": torch.ones(4)}
    >>> alpha = PerParameter().initial(theta, m=3, inner_lr=0.1)
    >>> {name: tuple(values.shape) for name, values in alpha.items()}
    {'0.weight': (3, 4, 2), '0.bias': (3, 4)}
    """

    def _key(self, name: str) -> str:
        return name

    def _shape(self, weight: torch.Tensor) -> tuple[int, ...]:
        return tuple(weight.shape)


#: The rules, by name.
STEP_SIZE_RULES: dict[str, type[StepSizeRule]] = {
    "fixed": FixedStepSize,
    "per_step": PerStep,
    "per_layer": PerLayer,
    "per_parameter": PerParameter,
}

#: The constraints of a parameter for a rule.
STEP_SIZE_CONSTRAINTS = [
    StrOptions(STEP_SIZE_RULES, {"meta_sgd": "per_parameter", "constant": "fixed"}),
    StepSizeRule,
]


def as_rule(rule: str | StepSizeRule) -> StepSizeRule:
    """Return the rule of this name; return a `StepSizeRule` unchanged."""
    return STEP_SIZE_RULES[rule]() if isinstance(rule, str) else rule


def with_rate_of(other: StepSizeRule, rule: StepSizeRule) -> StepSizeRule:
    """Return a copy of `rule` with the `lr` of another rule; `rule` itself if one has no `lr`."""
    if not (hasattr(rule, "lr") and hasattr(other, "lr")):
        return rule
    copy: StepSizeRule = clone(rule).set_params(lr=other.lr)
    return copy
