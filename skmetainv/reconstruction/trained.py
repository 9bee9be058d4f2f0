"""What every estimator that learns by the training loop shares: epochs, history, progress."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from numbers import Integral
from typing import Any, Self

import torch

from skmetainv.noise import as_noise
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval
from skmetainv.reconstruction.base import Reconstructor
from skmetainv.reconstruction.geometry import Problem
from skmetainv.reconstruction.validation import check_observed, warn_of_units
from skmetainv.training import (
    Batches,
    MeasuredPairs,
    SimulatedPairs,
    TrainingLoop,
    load_arrays,
    state_to_arrays,
)


class TrainedReconstructor(Reconstructor):
    """What the estimators that learn in epochs have in common.

    A subclass has the parameters of a `Reconstructor`, `max_epochs` and `verbose`, and writes
    `_initial_state` and `_train`.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **Reconstructor._parameter_constraints,
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    max_epochs: int
    verbose: int | bool

    @abstractmethod
    def _initial_state(self, problem: Problem) -> dict[str, Any]:
        """Return the fitted attributes before any training, by name."""

    @abstractmethod
    def _train(self, problem: Problem, state: Mapping[str, Any], n_epochs: int) -> dict[str, Any]:
        """Return the fitted attributes after `n_epochs` more, from those of `state`."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from clean images, or from measurements and their clean images.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, whose measurements are simulated anew in every epoch; where the
            operator has missing values they may have NaN, too, for pixels that nobody knows
            (`score` takes complete images only).
            With `y`: measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`; `noise` then plays no part. A 1-D `y` is
            taken for labels and ignored.

        Returns
        -------
        self : estimator
            Fitted. After an error it is as it was.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if the arrays are not images, or not a pair of
            measurements and images.

        Warns
        -----
        ConvergenceWarning
            If steps were skipped because a loss or a gradient was not finite.
        """
        return self._fit(X, y, partial(self._learn, n_epochs=self.max_epochs))

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn for one more epoch, from where the last call ended.

        On the same data, `k` calls give what one `fit` with ``max_epochs=k`` gives. What the
        weights belong to stays as the first call found it, whatever `set_params` says since: the
        operator, the networks, the units and the seed. Noise, losses, learning rates and
        `batch_size` may change from call to call.

        Parameters
        ----------
        X, y : array-like
            See `fit`.

        Returns
        -------
        self : estimator
            Fitted. After an error it is as it was.
        """
        go_on = hasattr(self, "weights_")
        learn = partial(self._learn, n_epochs=1, go_on=go_on)
        return self._fit(X, y, learn, go_on=go_on)

    @torch.enable_grad()
    def _learn(self, problem: Problem, *, n_epochs: int, go_on: bool = False) -> dict[str, Any]:
        state = {} if go_on else self._initial_state(problem)
        return state | self._train(problem, {**vars(self), **state}, n_epochs)

    def _batches(self, problem: Problem, seed: int) -> Batches:
        """Return the batches that training iterates over."""
        allow_nan, geometry = has_missing(problem.operator), problem.geometry
        name = "X" if problem.measured is None else "y"
        images = self._source(problem.clean, geometry, allow_nan=allow_nan, name=name)
        warn_of_units(images, geometry.data_range, self.batch_size)
        if problem.measured is None:
            noise = as_noise(self.noise).build()
            read: Any = SimulatedPairs(images, problem.A, noise, seed)
        else:
            measured = self._source(problem.measured, geometry, measured=True, allow_nan=allow_nan)
            read = MeasuredPairs(images, measured)
        batches = Batches(len(images), self.batch_size, seed, read)
        if allow_nan:
            check_observed(next(batches.epoch(0))[1])
        return batches

    def _loop(
        self,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        state: Mapping[str, Any],
        n_epochs: int,
    ) -> TrainingLoop:
        """Return the loop that goes on from `state`."""
        load_arrays(optimizer, state["_optimizer_state_"])
        return TrainingLoop(
            batches,
            optimizer,
            max_epochs=n_epochs,
            first_epoch=state["n_iter_"],
            show_progress=bool(self.verbose),
        )

    def _progress(self, loop: TrainingLoop, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fitted attributes that say how far training came."""
        return {
            "history_": {k: [*v, *loop.history.get(k, [])] for k, v in state["history_"].items()},
            "n_iter_": state["n_iter_"] + loop.n_epochs,
            "_optimizer_state_": state_to_arrays(loop.optimizer),
        }
