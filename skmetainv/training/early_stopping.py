"""Early stopping by a validation score, with the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import to_numpy
from skmetainv.parameters import COUNT, NOT_NEGATIVE, Interval, ParameterObject, StrOptions

# The least number of images for "auto" to stop early. With fewer, all are used for training.
_ENOUGH_TO_HOLD_OUT = 1000


class EarlyStopping(ParameterObject):
    """Stop training when the validation PSNR no longer rises, and keep the best weights.

    Parameters
    ----------
    patience : int, default=10
        Number of consecutive epochs without a better PSNR after which training stops.
    min_delta : float, default=0.0
        For `patience`, a PSNR is better if it exceeds the best one by more than this, in decibels.
    validation_fraction : float, default=0.1
        Share of the images, drawn at random, that `fit` holds out if `X_val` is not given.

    Examples
    --------
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.training import EarlyStopping
    >>> est = UNetReconstructor(early_stopping=EarlyStopping(patience=5), max_epochs=200)
    """

    patience: int = 10
    _: KW_ONLY
    min_delta: float = 0.0
    validation_fraction: float = 0.1

    _parameter_constraints = {
        "patience": [COUNT],
        "min_delta": [NOT_NEGATIVE],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def build(self) -> BestWeights:
        """Return the object that tracks the score during training.

        Returns
        -------
        best : BestWeights
            It keeps the best weights, and says when training is over.
        """
        return BestWeights(self.patience, self.min_delta)


#: The constraints of the `early_stopping` parameter.
EARLY_STOPPING_CONSTRAINTS = ["boolean", StrOptions({"auto"}), EarlyStopping]


def as_early_stopping(
    stopping: bool | str | EarlyStopping, n_images: int, n_groups: int
) -> EarlyStopping | None:
    """Return the rule for early stopping with these numbers of images and groups, or None."""
    if isinstance(stopping, EarlyStopping):
        stopping._validate_params()
        return stopping
    enough = n_images >= _ENOUGH_TO_HOLD_OUT and n_groups > 1
    return EarlyStopping() if (enough if stopping == "auto" else stopping) else None


class BestWeights:
    """The weights of the best epoch so far, and the decision when to stop.

    Parameters
    ----------
    patience : int
        Number of consecutive epochs without a better score after which training stops.
    min_delta : float
        For `patience`, a score is better if it exceeds the best one by more than this.
    """

    def __init__(self, patience: int, min_delta: float):
        self.patience, self.min_delta = patience, min_delta
        self.weights: dict[str, np.ndarray] = {}
        self._best, self._to_beat, self._waited = -np.inf, -np.inf, 0

    def is_over(self, score: float, weights: Mapping[str, torch.Tensor]) -> bool:
        """Record an epoch's score and weights, and return whether to stop."""
        if score > self._best or not self.weights:
            # in this order of arguments, max ignores a NaN score
            self._best, self.weights = max(self._best, score), to_numpy(weights)
        if score > self._to_beat + self.min_delta:
            self._to_beat, self._waited = score, 0
        else:
            self._waited += 1
        return self._waited >= self.patience

    def state(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Return the state for `resume`: numbers, and the best weights."""
        return [self._best, self._to_beat, self._waited], self.weights

    def resume(self, numbers: Any, best_weights: dict[str, np.ndarray]) -> None:
        """Load a state that `state` returned."""
        self._best, self._to_beat, self._waited = numbers
        self.weights = best_weights
