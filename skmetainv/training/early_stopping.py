"""When to stop by a validation score, and the weights that had the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import to_numpy
from skmetainv.parameters import Interval, ParameterObject, StrOptions

# "auto" stops early from this number of images on. Of fewer all are used for training.
_ENOUGH_TO_HOLD_OUT = 1000


class EarlyStopping(ParameterObject):
    """Stop training when the validation PSNR no longer rises, and keep the best weights.

    Parameters
    ----------
    patience : int, default=10
        Number of epochs in a row without a better PSNR after which training stops.
    min_delta : float, default=0.0
        Rise of the PSNR, in decibels, that counts as better.
    validation_fraction : float, default=0.1
        Share of the images, drawn at random, that `fit` holds out if it is given no `X_val`.

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
        "patience": [Interval(Integral, 1, None, closed="left")],
        "min_delta": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def build(self) -> BestWeights:
        """Return what watches the score of a training."""
        return BestWeights(self.patience, self.min_delta)


#: What a parameter that says when to stop accepts.
EARLY_STOPPING_CONSTRAINTS = ["boolean", StrOptions({"auto"}), EarlyStopping]


def as_early_stopping(
    stopping: bool | str | EarlyStopping, n_images: int, n_groups: int
) -> EarlyStopping | None:
    """Return when training on images of some groups stops early; None if it does not."""
    if isinstance(stopping, EarlyStopping):
        stopping._validate_params()
        return stopping
    enough = n_images >= _ENOUGH_TO_HOLD_OUT and n_groups > 1
    return EarlyStopping() if (enough if stopping == "auto" else stopping) else None


class BestWeights:
    """The weights of the best epoch so far, and whether to wait for a better one.

    Parameters
    ----------
    patience : int
        Number of epochs in a row without a better score after which training stops.
    min_delta : float
        Rise of the score that counts as better.
    """

    def __init__(self, patience: int, min_delta: float):
        self.patience, self.min_delta = patience, min_delta
        self.weights: dict[str, np.ndarray] = {}
        self._best, self._to_beat, self._waited = -np.inf, -np.inf, 0

    def is_over(self, score: float, weights: Mapping[str, torch.Tensor]) -> bool:
        """Take note of an epoch's score and weights; return whether to stop."""
        if score > self._best or not self.weights:
            # in this order NaN is not the larger
            self._best, self.weights = max(self._best, score), to_numpy(weights)
        if score > self._to_beat + self.min_delta:
            self._to_beat, self._waited = score, 0
        else:
            self._waited += 1
        return self._waited >= self.patience

    def state(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Return numbers and the best weights, from which `resume` continues."""
        return [self._best, self._to_beat, self._waited], self.weights

    def resume(self, numbers: Any, best_weights: dict[str, np.ndarray]) -> None:
        """Continue from what `state` gave."""
        self._best, self._to_beat, self._waited = numbers
        self.weights = best_weights
