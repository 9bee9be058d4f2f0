"""Scorers of reconstructions, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length

from skmetainv.arrays import ArraySource, channels_last, image_layout, integer_unit
from skmetainv.arrays.units import check_range
from skmetainv.inputs.validation import are_images, check_images, check_nothing_simulates
from skmetainv.losses import LPIPS
from skmetainv.metrics import over_batches
from skmetainv.model_selection.named_metrics import SCORES, chosen_metrics
from skmetainv.model_selection.regions import Region, ScoredBatch
from skmetainv.noise import NOISE_CONSTRAINTS, Noise
from skmetainv.operators import Operator, RandomOperator
from skmetainv.parameters import Interval, ParameterObject
from skmetainv.reconstruction import Reconstructor


class ImageScorer(ParameterObject):
    """Scorer of the mean quality of restored images; higher is better.

    It is used as `scoring` in `GridSearchCV`, `cross_validate` and similar functions. It scores
    clean images, whose measurements it simulates with a fixed seed, or pairs of measurements and
    clean images. Several metrics are computed from one prediction.

    Parameters
    ----------
    metric : {"psnr", "ssim", "neg_mse", "neg_lpips"}, or a list of them, default="psnr"
        See `skmetainv.metrics`; "neg_mse" and "neg_lpips" are the negative mean squared error and
        the negative LPIPS.
    lpips : LPIPS, default=None
        The settings of the metric "neg_lpips". If None, ``LPIPS()``. It must be None if "neg_lpips"
        is not in `metric`.
    mask : "missing" or array-like of bool, default=None
        The region that is scored. If None, the whole image. An array is True at scored pixels: one
        mask for all images or one for each, see `skmetainv.metrics`. "missing" stands for the
        pixels that the operator leaves out: those of the mask of `Inpainting`, or those whose
        measurement is NaN. Images without missing pixels are then left out of the mean. "neg_lpips"
        does not support a mask.
    operator : Operator, default=None
        Operator of the simulation, for all candidates: a search over ``operator__...`` then scores
        all of them on the same task. If None, the estimator's own.
    noise : float or Noise, default=None
        Noise of the simulation, for all candidates. If None, the estimator's own.
    random_state : int, default=0
        Seed of the simulation: all candidates see the same measurements.

    Notes
    -----
    The transformers of a `Pipeline` are applied to `X` (clean images or measurements), as by its
    `score`. `y` must be in the units of the last step.

    An estimator of another library that has `predict` can be scored on pairs only. Its images must
    be in [0, 1], or integers. Flat images are taken as square if their size allows it, else as one
    row.

    If a scorer raises an error, a search records NaN and warns with a traceback whose last line is
    the reason; with ``error_score="raise"``, the search stops.

    Examples
    --------
    >>> from skmetainv.model_selection import ImageScorer
    >>> from skmetainv.operators import GaussianBlur
    >>> ImageScorer("ssim", operator=GaussianBlur(sigma=1.6), noise=0.01)
    ImageScorer(metric='ssim', noise=0.01, operator=GaussianBlur(sigma=1.6))

    In inpainting, a score may count only the missing pixels:

    >>> ImageScorer(mask="missing")
    ImageScorer(mask='missing')

    With several metrics, `refit` names the one that selects the best candidate:

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
        "metric": "no_validation",  # checked together with `lpips` by `chosen_metrics`
        "lpips": "no_validation",
        "mask": "no_validation",  # checked by `Region.check_metrics`
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
        estimator : Reconstructor, or any estimator with `predict`
            A fitted estimator. For a search, a `FrozenEstimator` or a `Pipeline`, the estimator
            inside is scored.
        X : array-like
            Clean images; with `y`, measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is ignored.

        Returns
        -------
        score : float, or dict of str to float
            Higher is better. If `metric` is a list, a dict by the names of the metrics.

        Raises
        ------
        ValueError
            If a parameter is invalid; if an estimator that cannot simulate is scored without `y`;
            if `operator` or `noise` is set although `y` is passed; if a metric does not support the
            images; if `mask` does not fit the images; or if `mask` is "missing", and the operator
            leaves out no pixels or the estimator is not from this library.
        TypeError
            If `estimator` has no `predict`.
        """
        self._validate_params()
        metrics = chosen_metrics(
            self.metric, self.lpips, SCORES, f"'metric' parameter of {type(self).__name__}"
        )
        region = Region(self.mask, self.operator, int(self.random_state))
        region.check_metrics(metrics, "ImageScorer")
        batches, data_range = self._restorations(*last_step(estimator, X), y, region)
        values = over_batches(metrics, (batch for _, batch in batches), data_range)
        scores = {
            name: (-1 if name.startswith("neg_") else 1) * float(np.mean(of_images))
            for name, of_images in values.items()
        }
        return scores[self.metric] if isinstance(self.metric, str) else scores

    def _restorations(
        self, estimator: Any, X: Any, y: Any, region: Region
    ) -> tuple[Iterator[ScoredBatch], tuple[float, float]]:
        """Return batches of clean and restored images in a region, and the data range."""
        if isinstance(estimator, Reconstructor):
            names = isinstance(getattr(estimator, "operator_", None), RandomOperator)
            if are_images(y) and not names:
                check_nothing_simulates(self.operator, self.noise)
            pairs = estimator.restorations(
                X, y, operator=self.operator, noise=self.noise, random_state=self.random_state
            )
            # A denoiser with weights from a file may not be fitted.
            ends = getattr(estimator, "data_range_", None) or check_range(estimator.data_range)
            return region.batches(pairs, estimator, X, y), ends
        _check_predicts(estimator)
        if region.is_missing:
            raise ValueError(
                "mask='missing' needs an estimator of this library, which knows its operator. "
                f"Got {estimator!r} instead: pass the mask as an array."
            )
        if not are_images(y):
            raise ValueError(
                f"{type(estimator).__name__} cannot simulate measurements: score it on pairs, "
                "scorer(estimator, measured, clean), and search with fit(measured, clean)."
            )
        check_consistent_length(X, y)
        check_nothing_simulates(self.operator, self.noise)
        pair = _as_floats(y, estimator), _as_floats(estimator.predict(X), estimator)
        return region.batches([pair]), (0.0, 1.0)


def unwrapped(estimator: Any) -> Any:
    """Return the estimator inside a `FrozenEstimator` or a search (the best one, if fitted)."""
    if hasattr(estimator, "best_estimator_"):
        return unwrapped(estimator.best_estimator_)
    refits = getattr(estimator, "refit", False) and hasattr(estimator, "estimator")
    wraps = refits or isinstance(estimator, FrozenEstimator)
    return unwrapped(estimator.estimator) if wraps else estimator


def last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the last step of a pipeline, and `X` as transformed by the steps before it."""
    inner = unwrapped(estimator)
    if not isinstance(inner, Pipeline):
        return inner, X
    for _, step in inner.steps[:-1]:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return last_step(inner.steps[-1][1], X)


def _check_predicts(estimator: Any) -> None:
    """Raise scikit-learn's error if this is not an estimator with `predict`."""
    if isinstance(estimator, type):
        raise TypeError(f"{estimator} is a class, not an instance.")
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"estimator should be a fitted estimator implementing 'predict'. Got {estimator!r} "
            "instead."
        )


def _as_floats(X: Any, estimator: Any) -> np.ndarray:
    """Return all images of an array as floats, (n, height, width, channels)."""
    array = check_images(X, estimator)
    layout, unit = image_layout(tuple(array.shape), None), integer_unit(array)
    source = ArraySource(array, layout, dtype=torch.float64, device=torch.device("cpu"), unit=unit)
    return channels_last(source.read(np.arange(len(source))))


#: Mean peak signal-to-noise ratio in decibels.
psnr_scorer = ImageScorer("psnr")
#: Mean structural similarity.
ssim_scorer = ImageScorer("ssim")
#: Mean squared error, negative, so that higher is better.
neg_mse_scorer = ImageScorer("neg_mse")
#: Mean LPIPS (AlexNet), negative, so that higher is better.
lpips_scorer = ImageScorer("neg_lpips")
