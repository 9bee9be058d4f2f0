"""Scorers of reconstructions, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmetainv.estimators.base import Reconstructor
from skmetainv.estimators.validation import check_range
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.noise import Noise
from skmetainv.operators import Operator


def _mse(clean: np.ndarray, restored: np.ndarray, data_range: float) -> Any:
    return mse(clean, restored, per_image=True)


def _psnr(clean: np.ndarray, restored: np.ndarray, data_range: float) -> Any:
    return psnr(clean, restored, data_range=data_range, per_image=True)


def _ssim(clean: np.ndarray, restored: np.ndarray, data_range: float) -> Any:
    return ssim(clean, restored, data_range=data_range, per_image=True)


# By name, the metric of each image and the sign that makes higher better.
_METRICS: dict[str, tuple[Callable[..., Any], int]] = {
    "psnr": (_psnr, 1),
    "ssim": (_ssim, 1),
    "neg_mse": (_mse, -1),
}


class ImageScorer(BaseEstimator):
    """Mean image quality of an estimator's restorations; higher is better.

    A scorer for `scoring=` of `GridSearchCV`, `cross_validate` and their kin: it takes clean
    images, whose measurements it simulates with a fixed seed, or pairs of measurements and
    clean images.

    Parameters
    ----------
    metric : {"psnr", "ssim", "neg_mse"}, default="psnr"
        See `skmetainv.metrics`; "neg_mse" is the negative mean squared error.
    operator : Operator, default=None
        Simulate with this operator, whatever the estimator's: the way to search over
        ``operator__...`` on one and the same task. None takes the estimator's own.
    noise : float or Noise, default=None
        Likewise for the noise.
    random_state : int, default=0
        Seed of the simulation: all candidates see the same measurements.

    Examples
    --------
    >>> from skmetainv.model_selection import ImageScorer
    >>> from skmetainv.operators import GaussianBlur
    >>> ImageScorer("ssim", operator=GaussianBlur(sigma=1.6), noise=0.01)
    ImageScorer(metric='ssim', noise=0.01, operator=GaussianBlur(sigma=1.6))
    """

    def __init__(
        self,
        metric: str = "psnr",
        *,
        operator: Operator | None = None,
        noise: float | Noise | None = None,
        random_state: int = 0,
    ):
        self.metric = metric
        self.operator = operator
        self.noise = noise
        self.random_state = random_state

    @property
    def __name__(self) -> str:
        return self.metric

    def __call__(self, estimator: Reconstructor, X: Any, y: Any = None) -> float:
        """Return the mean of the metric over images.

        Parameters
        ----------
        estimator : Reconstructor
            A fitted estimator.
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.
        """
        if self.metric not in _METRICS:
            raise ValueError(
                f"The 'metric' parameter of ImageScorer must be a str among {set(_METRICS)}. "
                f"Got {self.metric!r} instead."
            )
        low, high = check_range(estimator.data_range)
        metric, sign = _METRICS[self.metric]
        values = [
            metric(clean, restored, high - low)
            for clean, restored in estimator.restorations(
                X, y, operator=self.operator, noise=self.noise, random_state=self.random_state
            )
        ]
        return sign * float(np.mean(np.concatenate(values)))


#: Mean peak signal-to-noise ratio in decibels.
psnr_scorer = ImageScorer("psnr")
#: Mean structural similarity.
ssim_scorer = ImageScorer("ssim")
#: Mean squared error, negative, so that higher is better.
neg_mse_scorer = ImageScorer("neg_mse")
