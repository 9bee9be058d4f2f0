"""Scorers of reconstructions, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length

from skmetainv.arrays import ArraySource, image_layout, integer_unit, pairs_of
from skmetainv.inputs.validation import are_images, check_images, check_nothing_simulates
from skmetainv.losses import LPIPS
from skmetainv.metrics import over_batches
from skmetainv.model_selection.named_metrics import SCORES, chosen_metrics
from skmetainv.model_selection.regions import (
    ScoredBatches,
    check_mask,
    is_missing,
    with_mask,
    with_missing,
    with_something_missing,
)
from skmetainv.noise import NOISE_CONSTRAINTS, Noise
from skmetainv.operators import Operator
from skmetainv.parameters import Interval, ParameterObject
from skmetainv.reconstruction import Reconstructor


class ImageScorer(ParameterObject):
    """Mean image quality of an estimator's restorations; higher is better.

    A scorer for `scoring=` of `GridSearchCV`, `cross_validate` and their kin: it takes clean
    images, whose measurements it simulates with a fixed seed, or pairs of measurements and
    clean images. Several metrics are computed of one prediction.

    Parameters
    ----------
    metric : {"psnr", "ssim", "neg_mse", "neg_lpips"}, or a list of them, default="psnr"
        See `skmetainv.metrics`; "neg_mse" and "neg_lpips" are the negative mean squared error and
        the negative LPIPS.
    lpips : LPIPS, default=None
        The network, weights and size of "neg_lpips"; None is ``LPIPS()``. Without that metric it
        must be None.
    mask : "missing" or array-like of bool, default=None
        The region that counts; None is the whole image. An array is True where a pixel counts, one
        for all images or one for each, see `skmetainv.metrics`. "missing" are the pixels that the
        operator leaves out: those of the mask of `Inpainting`, or those whose measurement is NaN.
        Images of which nothing is missing are then left out of the mean. "neg_lpips" takes no mask.
    operator : Operator, default=None
        Simulate with this operator, whatever the estimator's: the way to search over
        ``operator__...`` on one and the same task. None takes the estimator's own.
    noise : float or Noise, default=None
        Likewise for the noise.
    random_state : int, default=0
        Seed of the simulation: all candidates see the same measurements.

    Notes
    -----
    A `Pipeline` is scored as its own `score` does it: its transformers make of `X` what its last
    step is given, clean images or measurements, and `y` is in the last step's units.

    Of anything else that has `predict` a scorer takes pairs only, and images in [0, 1] (or
    integers); flat ones are square if they can be, else one row.

    A search writes NaN for what a scorer refuses, and warns with a traceback whose last line is the
    reason; with ``error_score="raise"`` it stops there.

    Examples
    --------
    >>> from skmetainv.model_selection import ImageScorer
    >>> from skmetainv.operators import GaussianBlur
    >>> ImageScorer("ssim", operator=GaussianBlur(sigma=1.6), noise=0.01)
    ImageScorer(metric='ssim', noise=0.01, operator=GaussianBlur(sigma=1.6))

    In inpainting the figure of the missing pixels alone is reported:

    >>> ImageScorer(mask="missing")
    ImageScorer(mask='missing')

    With several metrics a search names the one that decides:

    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmetainv import MetaInverseSolver
    >>> scorer = ImageScorer(["psnr", "ssim"])
    >>> search = GridSearchCV(
    ...     MetaInverseSolver(), {"n_inner": [2, 3]}, scoring=scorer, refit="psnr"
    ... )
    """

    metric: str | Sequence[str] = "psnr"
    _: KW_ONLY
    lpips: LPIPS | None = None
    mask: Any = None
    operator: Operator | None = None
    noise: float | Noise | None = None
    random_state: int = 0

    _parameter_constraints = {
        "metric": "no_validation",  # with `lpips`, by `chosen_metrics`
        "lpips": "no_validation",
        "mask": "no_validation",  # by `check_mask`
        "operator": [Operator, None],
        "noise": [*NOISE_CONSTRAINTS, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    @property
    def __name__(self) -> str:
        return self.metric if isinstance(self.metric, str) else ", ".join(self.metric)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float | dict[str, float]:
        """Return the mean of each metric over images.

        Parameters
        ----------
        estimator : Reconstructor, or anything with `predict`
            A fitted estimator; a search, a `FrozenEstimator` and a `Pipeline` count as what they
            hold.
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.

        Returns
        -------
        score : float, or dict of str to float
            Higher is better. By the names of the metrics, where `metric` is a list.

        Raises
        ------
        ValueError
            If a parameter is not what it may be, if an estimator that cannot simulate is given no
            pairs, if there is an operator or a noise to simulate with and pairs, or if the images
            are none that a metric takes. If `mask` does not fit the images. If it is "missing", and
            the operator leaves out no pixels, or the estimator is none of this library.
        TypeError
            If `estimator` is none that predicts.
        """
        self._validate_params()
        metrics = chosen_metrics(
            self.metric, self.lpips, SCORES, f"'metric' parameter of {type(self).__name__}"
        )
        check_mask(self.mask, metrics, "ImageScorer")
        values = over_batches(metrics, *self._restorations(*last_step(estimator, X), y))
        scores = {
            name: (-1 if name.startswith("neg_") else 1) * float(np.mean(own))
            for name, own in values.items()
        }
        return scores[self.metric] if isinstance(self.metric, str) else scores

    def _restorations(
        self, estimator: Any, X: Any, y: Any
    ) -> tuple[ScoredBatches, tuple[float, float]]:
        """Return batches of clean and restored images, and the range of the images.

        With a mask there is that of each batch as well.
        """
        if isinstance(estimator, Reconstructor):
            pairs: ScoredBatches = estimator.restorations(
                X, y, operator=self.operator, noise=self.noise, random_state=self.random_state
            )
            if is_missing(self.mask):
                X, y = pairs_of(X, y)
                simulated = self.operator, int(self.random_state)
                pairs = with_something_missing(with_missing(pairs, estimator, X, y, *simulated))
            return self._with_mask(pairs), estimator.data_range_
        _check_predicts(estimator)
        if is_missing(self.mask):
            raise ValueError(
                "mask='missing' needs an estimator that knows its operator, one of this library. "
                f"Got {estimator!r} instead: pass the mask as an array."
            )
        if not are_images(y):
            raise ValueError(
                f"{type(estimator).__name__} cannot simulate measurements: score it on pairs, "
                "scorer(estimator, measured, clean), and search with fit(measured, clean)."
            )
        check_consistent_length(X, y)
        check_nothing_simulates(self.operator, self.noise)
        pairs = [(_images(y, estimator), _images(estimator.predict(X), estimator))]
        return self._with_mask(pairs), (0.0, 1.0)

    def _with_mask(self, pairs: ScoredBatches) -> ScoredBatches:
        """Return batches with their parts of a mask that is an array."""
        is_array = self.mask is not None and not is_missing(self.mask)
        return with_mask(pairs, self.mask) if is_array else pairs


def unwrapped(estimator: Any) -> Any:
    """Return the estimator inside a `FrozenEstimator` or a search that refits, its best if any."""
    if hasattr(estimator, "best_estimator_"):
        return unwrapped(estimator.best_estimator_)
    refits = getattr(estimator, "refit", False) and hasattr(estimator, "estimator")
    held = refits or isinstance(estimator, FrozenEstimator)
    return unwrapped(estimator.estimator) if held else estimator


def last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the last of an estimator's steps that restores, and what the others make of `X`."""
    held = unwrapped(estimator)
    if not isinstance(held, Pipeline):
        return held, X
    for _, step in held.steps[:-1]:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return last_step(held.steps[-1][1], X)


def _check_predicts(estimator: Any) -> None:
    """Raise, in scikit-learn's words, if this is no estimator that predicts."""
    if isinstance(estimator, type):
        raise TypeError(f"{estimator} is a class, not an instance.")
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"estimator should be a fitted estimator implementing 'predict'. Got {estimator!r} "
            "instead."
        )


def _images(X: Any, estimator: Any) -> np.ndarray:
    """Return all images of an array as (n, height, width, channels) floats."""
    array = check_images(X, estimator)
    layout, unit = image_layout(tuple(array.shape), None), integer_unit(array)
    source = ArraySource(array, layout, dtype=torch.float64, device=torch.device("cpu"), unit=unit)
    return source.read(np.arange(len(source))).permute(0, 2, 3, 1).numpy()


#: Mean peak signal-to-noise ratio in decibels.
psnr_scorer = ImageScorer("psnr")
#: Mean structural similarity.
ssim_scorer = ImageScorer("ssim")
#: Mean squared error, negative, so that higher is better.
neg_mse_scorer = ImageScorer("neg_mse")
#: Mean LPIPS (AlexNet), negative, so that higher is better.
lpips_scorer = ImageScorer("neg_lpips")
