"""The protocol of solvers: the hyper-parameters, from which `build` makes the iteration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any, ClassVar, Self, cast

import numpy as np
from sklearn.frozen import FrozenEstimator
from torch import nn

from skmetainv.denoisers import Denoiser
from skmetainv.parameters import POSITIVE, Interval, ParameterObject, check_built
from skmetainv.solvers.iterative import IterativeSolver
from skmetainv.solvers.schedules import Schedule, ValuesAndPower


class Solver(ParameterObject):
    """The hyper-parameters of a classical, differentiable solver ``f``; it holds no tensors.

    A subclass has the parameter `n_iter` and writes `build`.

    Parameters
    ----------
    n_iter : int
        Number of updates.

    Attributes
    ----------
    number_names : tuple of str
        Parameters that are one positive number or one per update. Only these may be in `learnable`.
        (The damping of conjugate gradients must be one number.)
    automatic : dict of str to (float, int)
        The parameters that accept "auto", with ``(factor, power)``: "auto" stands for
        ``factor (||A||^2)^power``.

    Examples
    --------
    A new solver: gradient descent with momentum. `build_schedules` checks the numbers, and returns
    each as a function of the update's index. The module's `step` updates a state, a tuple with the
    images first.

    >>> import torch
    >>> from skmetainv.solvers import IterativeSolver, Solver
    >>> from skmetainv.testing import check_solver
    >>> class HeavyBall(Solver):
    ...     n_iter: int = 10
    ...     step_size: object = "auto"
    ...     momentum: float = 0.5
    ...     learnable: tuple = ()
    ...     number_names = ("step_size", "momentum")
    ...     automatic = {"step_size": (0.9, -1)}
    ...
    ...     def build(self, image_shape):
    ...         return HeavyBallUpdates(self.n_iter, **self.build_schedules())
    >>> class HeavyBallUpdates(IterativeSolver):
    ...     def __init__(self, n_iter, step_size, momentum):
    ...         super().__init__(n_iter)
    ...         self.step_size, self.momentum = step_size, momentum
    ...
    ...     def init(self, x, data):
    ...         return x, torch.zeros_like(x)
    ...
    ...     def step(self, state, data, k):
    ...         x, v = state
    ...         v = self.momentum(k) * v - self.step_size(k, data) * data.gradient(x)
    ...         return x + v, v
    >>> check_solver(HeavyBall(n_iter=3, momentum=[0.3, 0.4, 0.5]))
    """

    _: KW_ONLY
    n_iter: int

    # Not annotated, so not a dataclass field: subclasses declare it in their own order
    learnable = cast("tuple[str, ...]", ())
    number_names: ClassVar[tuple[str, ...]] = ()
    automatic: ClassVar[Mapping[str, ValuesAndPower]] = {}
    _parameter_constraints = {
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "learnable": [tuple, list],
    }

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        """Return the solver for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        f : IterativeSolver
            A module; ``f(x, data)`` runs the solver from the images `x`. Its parameters are the
            learnable numbers and the weights of its denoiser.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def build_schedules(self, *optional: str, **defaults: ValuesAndPower) -> dict[str, Schedule]:
        """Return the parameters named in `number_names` as schedules; `build` calls this method.

        Parameters
        ----------
        *optional : str
            Names of parameters that are omitted if they are None.
        **defaults : (float or sequence of float, int)
            The values of parameters that are None, by name: ``(values, power)`` stands for
            ``values (||A||^2)^power``.

        Returns
        -------
        schedules : dict of str to Schedule
            The schedules by parameter name. In update `k`, call one as ``schedule(k, data)``.

        Raises
        ------
        ValueError
            If a parameter is not positive, or if it is a sequence whose length is not `n_iter`.
            Also if `learnable` contains a name that is not in `number_names` or not set.
        """
        values = dict(defaults)
        unset = [name for name in (*optional, *defaults) if getattr(self, name) is None]
        for name in self.number_names:
            if name not in unset:
                values[name] = self._checked_numbers(name)
        unknown = [n for n in self.learnable if not isinstance(n, str) or n not in values]
        if unknown:
            raise ValueError(
                f"The 'learnable' parameter of {type(self).__name__} may contain parameters that "
                f"are set, here {', '.join(map(repr, values))}. Got {unknown[0]!r} instead."
            )
        return {
            name: Schedule(value, name in self.learnable, power)
            for name, (value, power) in values.items()
        }

    def _validate_params(self) -> None:
        super()._validate_params()
        for name in self.number_names:
            if getattr(self, name) is not None:
                self._checked_numbers(name)

    def _checked_numbers(self, name: str) -> ValuesAndPower:
        """Return a parameter's numbers and their power of ``||A||^2``, or raise an error."""
        value = getattr(self, name)
        parameter = f"{name!r} parameter of {type(self).__name__}"
        if name in self.automatic and isinstance(value, str) and value == "auto":
            return self.automatic[name]
        numbers = [value] if isinstance(value, Real) else value
        is_array = isinstance(numbers, np.ndarray) and numbers.ndim == 1
        is_sequence = is_array or isinstance(numbers, list | tuple)
        if not is_sequence or not all(map(POSITIVE.is_satisfied_by, numbers)):
            also = ", or 'auto'" if name in self.automatic else ""
            raise ValueError(
                f"The {parameter} must be a positive number, or a sequence of them, one per "
                f"update{also}. Got {value!r} instead."
            )
        if not isinstance(value, Real) and len(numbers) != self.n_iter:
            raise ValueError(
                f"The {parameter} must be one number, or one per update: n_iter is {self.n_iter}. "
                f"Got {len(numbers)} numbers instead."
            )
        return value, 0

    def opened(self, image_shape: tuple[int, ...]) -> Self:
        """Return the solver itself if `learnable` is set, else one that learns open numbers.

        Open numbers are those at "auto". A subclass may count others as open, too; for this, it may
        need the shape of the images.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        solver : Solver
            The solver itself, or a copy.
        """
        return self._learning(n for n in self.number_names if isinstance(getattr(self, n), str))

    def trainable(self) -> Self:
        """Return the solver itself if `learnable` is set, else one that learns all set numbers.

        Returns
        -------
        solver : Solver
            The solver itself, or a copy.
        """
        return self._learning(n for n in self.number_names if _is_set(getattr(self, n)))

    def _learning(self, names: Iterable[str]) -> Self:
        """Return the solver itself if `learnable` is set, else one that learns these numbers."""
        if self.learnable:
            return self
        learning = copy(self)
        learning.learnable = tuple(names)
        return learning

    def _examine(self, built: Any) -> IterativeSolver:
        return check_built(
            self,
            built,
            IterativeSolver,
            "Write a subclass of IterativeSolver with the method step(state, data, k), or wrap a "
            "function: FunctionSolver(function).",
        )

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        if isinstance(value, Denoiser | FrozenEstimator):
            return "HQS(denoiser), or another solver with a denoiser"
        denoiser = Denoiser.instead_of(value)
        if denoiser is None:
            return None
        what = "module" if isinstance(value, nn.Module) else "function"
        return (
            f"HQS({denoiser}) if it denoises images, or FunctionSolver({what}) if "
            f"{what}(x, data) makes one update"
        )


def _is_set(value: Any) -> bool:
    """Return whether a parameter is set: not None, and not 0, which means no damping."""
    return value is not None and not (isinstance(value, Real) and value == 0)
