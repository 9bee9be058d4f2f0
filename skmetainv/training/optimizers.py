"""Optimisers: parameter objects whose `build` gives torch's, and their state as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any

import numpy as np
import torch

from skmetainv.parameters import Interval, ParameterObject, StrOptions
from skmetainv.training.learning_rates import LEARNING_RATE_CONSTRAINTS, LearningRate

_SHARE = Interval(Real, 0, 1, closed="left")


class Optimizer(ParameterObject):
    """A rule by which gradients change weights: hyper-parameters; a subclass writes `build`.

    The learning rate is the estimator's, so that it can be searched by its own name.

    Parameters
    ----------
    schedule : {"constant", "cosine"} or LearningRate, default="cosine"
        How learning rates change during `fit`: they are multiplied by this schedule.
    max_grad_norm : float, default=1.0
        Largest norm of the gradient of all weights together: a larger one is scaled down to it.
        Gradients of losses, which are in units of the data range, exceed 1 in the first steps at
        most. None sets no limit.

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
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    }

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        """Return our name of an optimiser of torch, see `ParameterObject`."""
        name = (value if isinstance(value, type) else type(value)).__name__.lower()
        return repr(name) if name in _SHORTHANDS else None

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return torch's optimiser.

        Parameters
        ----------
        groups : list of dict
            Weights, ``params``, and their learning rate, ``lr``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class Adam(Optimizer):
    """Steps by running averages of the gradient and of its square.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        What the averages keep of themselves in every step, in [0, 1).

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR, 2015.
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
        """Return `torch.optim.Adam`, see `Optimizer.build`."""
        self._validate_params()
        return torch.optim.Adam(groups, betas=(self.beta_1, self.beta_2))


class AdamW(Optimizer):
    """Adam with weight decay that is no part of the gradient.

    Parameters
    ----------
    weight_decay : float, default=0.01
        In every step weights lose this share of themselves times the learning rate.
    beta_1, beta_2 : float, default=0.9, 0.999
        See `Adam`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR, 2019.
    """

    weight_decay: float = 0.01
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "beta_1": [_SHARE],
        "beta_2": [_SHARE],
    }

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return `torch.optim.AdamW`, see `Optimizer.build`."""
        self._validate_params()
        betas = (self.beta_1, self.beta_2)
        return torch.optim.AdamW(groups, betas=betas, weight_decay=self.weight_decay)


class SGD(Optimizer):
    """Steps against the gradient of a batch.

    ``SGD(schedule="constant", max_grad_norm=None)`` is line 13 of the paper's Algorithm 2 to the
    letter.

    Parameters
    ----------
    momentum : float, default=0.0
        What the direction keeps of itself in every step, in [0, 1).
    nesterov : bool, default=False
        Look ahead along the momentum, which must be positive.
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
        """Return `torch.optim.SGD`, see `Optimizer.build`."""
        self._validate_params()
        if self.nesterov and not self.momentum:
            raise ValueError(
                "The 'nesterov' parameter of SGD needs a positive momentum. Got momentum=0 instead."
            )
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov)


_SHORTHANDS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}

#: What a parameter that takes an optimiser accepts.
OPTIMIZER_CONSTRAINTS = [StrOptions(_SHORTHANDS), Optimizer]


def as_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimiser that a string is shorthand for; an `Optimizer` is returned as it is."""
    return _SHORTHANDS[optimizer]() if isinstance(optimizer, str) else optimizer


def state_to_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return copies of the optimiser's running averages, named ``<parameter>.<average>``."""
    return {
        f"{index}.{name}": torch.as_tensor(value).cpu().numpy().copy()
        for index, averages in optimizer.state_dict()["state"].items()
        for name, value in averages.items()
        if value is not None  # SGD's momentum before its first step
    }


def load_arrays(optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Take up the state that `state_to_arrays` gave, where it is of such an optimiser."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = torch.tensor(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
