"""When to stop by a validation score, and the weights that had the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import to_numpy


class EarlyStopping:
    """Stop when the score no longer rises.

    Parameters
    ----------
    patience : int
        Stop after so many epochs in a row without a better score.
    tol : float
        By how much a score must be better to count.
    """

    def __init__(self, patience: int, tol: float):
        self.patience, self.tol = patience, tol
        self.best_weights: dict[str, np.ndarray] = {}
        self._best, self._to_beat, self._waited = -np.inf, -np.inf, 0

    def is_over(self, score: float, weights: Mapping[str, torch.Tensor]) -> bool:
        """Take note of an epoch's score and weights; return whether to stop."""
        if score > self._best or not self.best_weights:
            # in this order NaN is not the larger
            self._best, self.best_weights = max(self._best, score), to_numpy(weights)
        if score > self._to_beat + self.tol:
            self._to_beat, self._waited = score, 0
        else:
            self._waited += 1
        return self._waited >= self.patience

    def state(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Return what to go on from: numbers, and the best weights."""
        return [self._best, self._to_beat, self._waited], self.best_weights

    def go_on(self, numbers: Any, best_weights: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave."""
        self._best, self._to_beat, self._waited = numbers
        self.best_weights = best_weights
