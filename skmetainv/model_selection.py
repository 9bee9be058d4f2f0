"""Scorers of reconstructions, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skmetainv.arrays import ArraySource, image_layout
from skmetainv.metrics import mean_over_batches, mse, psnr, ssim
from skmetainv.noise import NOISE_CONSTRAINTS, Noise
from skmetainv.operators import Operator
from skmetainv.parameters import Interval, StrOptions
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.validation import are_images, check_images

# By name, the metric and the sign that makes higher better.
_METRICS = {"psnr": (psnr, 1), "ssim": (ssim, 1), "neg_mse": (mse, -1)}


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

    Notes
    -----
    Of anything else that has `predict`, a pipeline say, a scorer takes pairs only, and images in
    [0, 1] (or integers); flat ones are square if they can be, else one row.

    Examples
    --------
    >>> from skmetainv.model_selection import ImageScorer
    >>> from skmetainv.operators import GaussianBlur
    >>> ImageScorer("ssim", operator=GaussianBlur(sigma=1.6), noise=0.01)
    ImageScorer(metric='ssim', noise=0.01, operator=GaussianBlur(sigma=1.6))
    """

    _parameter_constraints = {
        "metric": [StrOptions(set(_METRICS))],
        "operator": [Operator, None],
        "noise": [*NOISE_CONSTRAINTS, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

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

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return the mean of the metric over images.

        Parameters
        ----------
        estimator : Reconstructor, or anything with `predict`
            A fitted estimator; a search and a `FrozenEstimator` count as what they hold.
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.

        Returns
        -------
        score : float
            Higher is better.
        """
        self._validate_params()
        metric, sign = _METRICS[self.metric]
        estimator = _unwrapped(estimator)
        if isinstance(estimator, Reconstructor):
            pairs = estimator.restorations(
                X, y, operator=self.operator, noise=self.noise, random_state=self.random_state
            )
            return sign * mean_over_batches(metric, pairs, estimator.data_range_)
        if not are_images(y):
            raise ValueError(
                f"{type(estimator).__name__} cannot simulate: score it on measurements X and "
                "their clean images y."
            )
        pair = _images(y, estimator), _images(estimator.predict(X), estimator)
        return sign * mean_over_batches(metric, [pair], (0.0, 1.0))


def _unwrapped(estimator: Any) -> Any:
    """Return the estimator inside a fitted search or a `FrozenEstimator`."""
    if hasattr(estimator, "best_estimator_"):
        return _unwrapped(estimator.best_estimator_)
    return _unwrapped(estimator.estimator) if isinstance(estimator, FrozenEstimator) else estimator


def _images(X: Any, estimator: Any) -> np.ndarray:
    """Return all images of an array as (n, height, width, channels) floats."""
    array = check_images(X, estimator)
    layout = image_layout(tuple(array.shape), None)
    source = ArraySource(array, layout, dtype=torch.float64, device=torch.device("cpu"))
    return source.read(np.arange(len(source))).permute(0, 2, 3, 1).numpy()


#: Mean peak signal-to-noise ratio in decibels.
psnr_scorer = ImageScorer("psnr")
#: Mean structural similarity.
ssim_scorer = ImageScorer("ssim")
#: Mean squared error, negative, so that higher is better.
neg_mse_scorer = ImageScorer("neg_mse")
