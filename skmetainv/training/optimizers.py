"""Optimisers: parameter objects that build torch's optimisers, and their state as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any

import numpy as np
import torch

from skmetainv.parameters import NOT_NEGATIVE, POSITIVE, Interval, ParameterObject, StrOptions
from skmetainv.training.learning_rates import LEARNING_RATE_CONSTRAINTS, LearningRate

_SHARE = Interval(Real, 0, 1, closed="left")


class Optimizer(ParameterObject):
    """The hyper-parameters of an optimiser; a subclass implements `build`.

    The learning rate is a parameter of the estimator, so that searches can name it directly.

    Parameters
    ----------
    schedule : {"constant", "cosine"} or LearningRate, default="cosine"
        Schedule of the factor by which the learning rates are multiplied during `fit`.
    max_grad_norm : float, default=1.0
        Largest norm of the gradient of all weights together; larger gradients are scaled down.
        With None, gradients are not clipped. Losses are in units of the data range, so gradients
        rarely exceed 1 after the first steps.

    Examples
    --------
    >>> import torch
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.training import Optimizer
    >>> class RMSprop(Optimizer):
    ...     alpha: float = 0.99
    ...
    ...     def build(self, groups):
    ...         return torch.optim.RMSprop(groups, alpha=self.alpha)
    >>> MetaInverseSolver(optimizer=RMSprop(schedule="constant"))
    MetaInverseSolver(optimizer=RMSprop(schedule='constant'))
    """

    _: KW_ONLY
    schedule: str | LearningRate = "cosine"
    max_grad_norm: float | None = 1.0

    _parameter_constraints = {
        "schedule": LEARNING_RATE_CONSTRAINTS,
        "max_grad_norm": [POSITIVE, None],
    }

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        name = (value if isinstance(value, type) else type(value)).__name__.lower()
        return repr(name) if name in _SHORTHANDS else None

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the torch optimiser.

        Parameters
        ----------
        groups : list of dict
            Parameter groups: weights, ``params``, and their learning rate, ``lr``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class Adam(Optimizer):
    """Adam: steps by running averages of the gradient and of its square.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR, 2015.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.training import Adam
    >>> MetaInverseSolver(optimizer=Adam(schedule="constant"))
    MetaInverseSolver(optimizer=Adam(schedule='constant'))
    """

    beta_1: float = 0.9
    _: KW_ONLY
    beta_2: float = 0.999

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "beta_1": [_SHARE],
        "beta_2": [_SHARE],
    }

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = float(self.beta_1), float(self.beta_2)  # torch takes no other numbers
        groups = _as_lists(groups)
        return torch.optim.Adam(groups, betas=betas, fused=_fused(groups))


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Parameters
    ----------
    weight_decay : float, default=0.01
        In every step, weights shrink by this share times the learning rate.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR, 2019.

    Examples
    --------
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.training import AdamW
    >>> UNetReconstructor(optimizer=AdamW(weight_decay=0.1))
    UNetReconstructor(optimizer=AdamW(weight_decay=0.1))
    """

    weight_decay: float = 0.01
    _: KW_ONLY
    beta_1: float = 0.9  # declared again, so that only the weight decay may be positional

    _parameter_constraints = {**Adam._parameter_constraints, "weight_decay": [NOT_NEGATIVE]}

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = float(self.beta_1), float(self.beta_2)
        groups, decay = _as_lists(groups), self.weight_decay
        return torch.optim.AdamW(groups, betas=betas, weight_decay=decay, fused=_fused(groups))


class SGD(Optimizer):
    """Stochastic gradient descent.

    ``SGD(schedule="constant", max_grad_norm=None)`` is exactly line 13 of the paper's Algorithm 2.

    Parameters
    ----------
    momentum : float, default=0.0
        Momentum, in [0, 1).
    nesterov : bool, default=False
        Use Nesterov momentum; `momentum` must then be positive.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.training import SGD
    >>> MetaInverseSolver(optimizer=SGD(momentum=0.9, nesterov=True), outer_lr=0.01)
    MetaInverseSolver(optimizer=SGD(momentum=0.9, nesterov=True), outer_lr=0.01)
    """

    momentum: float = 0.0
    _: KW_ONLY
    nesterov: bool = False

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "momentum": [_SHARE],
        "nesterov": ["boolean"],
    }

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.nesterov and not self.momentum:
            raise ValueError(
                "The 'nesterov' parameter of SGD needs a positive momentum. Got momentum=0 instead."
            )
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov)


_SHORTHANDS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}

#: The constraints of a parameter for an optimiser.
OPTIMIZER_CONSTRAINTS = [StrOptions(_SHORTHANDS), Optimizer]


def as_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimiser for a name; return an `Optimizer` as it is."""
    return _SHORTHANDS[optimizer]() if isinstance(optimizer, str) else optimizer


def _as_lists(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups whose ``params`` are lists; torch also takes iterators and single tensors."""
    return [
        {**group, "params": [own] if isinstance(own := group["params"], torch.Tensor) else [*own]}
        for group in groups
    ]


def _fused(groups: list[dict[str, Any]]) -> bool | None:
    """Return True on CUDA devices, where one kernel then updates all weights; else None."""
    return all(p.is_cuda for group in groups for p in group["params"]) or None


def step_unless(optimizer: torch.optim.Optimizer, is_skipped: torch.Tensor) -> None:
    """Take a step, unless the flag `is_skipped` is True.

    torch's fused Adam reads the flag on its device, so that the processor need not wait for it.
    (Fused SGD is not used: if its first step is skipped, its momentum is not initialised.)
    """
    fused = all(group.get("fused") for group in optimizer.param_groups)
    if fused and isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        optimizer.found_inf = is_skipped.float()  # type: ignore[attr-defined]
        optimizer.step()
    elif not is_skipped:
        optimizer.step()


def state_to_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return copies of the optimiser's running averages, named ``<parameter>.<average>``."""
    return {
        f"{index}.{name}": torch.as_tensor(value).cpu().numpy().copy()
        for index, averages in optimizer.state_dict()["state"].items()
        for name, value in averages.items()
        if value is not None  # SGD's momentum is None before its first step
    }


def load_arrays(optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Load the state that `state_to_arrays` returned for an optimiser of the same class."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = torch.tensor(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
