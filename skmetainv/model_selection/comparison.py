"""Comparison of estimators by cross-validation on the same measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skmetainv.arrays import image_layout
from skmetainv.arrays.units import check_range
from skmetainv.estimators import ClassicalReconstructor
from skmetainv.inputs.validation import are_images, check_nothing_simulates
from skmetainv.losses import LPIPS
from skmetainv.metrics import over_batches
from skmetainv.model_selection.named_estimators import named_estimators
from skmetainv.model_selection.named_metrics import METRICS, Metric, chosen_metrics
from skmetainv.model_selection.regions import Region
from skmetainv.model_selection.scorers import unwrapped
from skmetainv.model_selection.standard_errors import standard_error
from skmetainv.noise import Noise
from skmetainv.operators import Identity, Operator, RandomOperator
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Reconstructor


def compare(
    estimators: Any,
    X: Any,
    y: Any = None,
    *,
    operator: Operator | None = None,
    noise: float | Noise | None = None,
    cv: Any = None,
    groups: Any = None,
    metrics: str | Sequence[str] = ("psnr", "ssim", "mse"),
    lpips: LPIPS | None = None,
    mask: Any = None,
    random_state: Any = 0,
    per_image: bool = False,
) -> Any:
    """Compare estimators by cross-validation on the same measurements, in one table.

    In every split, a clone of each estimator is fitted on the training images, and restores the
    test images. The measurements of the test images are simulated once per split, always with the
    same seed (as in `ImageScorer`), so that all estimators see exactly the same measurements.

    Parameters
    ----------
    estimators : dict of str to estimator, list of (str, estimator), or list of estimators
        `MetaInverseSolver`, `ClassicalReconstructor` and other estimators that restore images;
        searches that refit such an estimator; and `FrozenEstimator`, which is not fitted again. All
        must have the same `data_range`. Without names, estimators are named by their classes; a
        search or a `FrozenEstimator` is named by the class of the estimator inside. If a class
        occurs several times, its names are numbered.
    X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
        Clean images. For training, each estimator simulates measurements with its own operator and
        noise. With `y`: measurements.
    y : array-like of two or more dimensions, default=None
        The clean images of the measurements `X`; nothing is then simulated. A 1-D `y` is used by
        the splitter only.
    operator : Operator, default=None
        Simulates the measurements of test images, for all estimators. If None, the operator of the
        first estimator. It must be None if `y` has the clean images.
    noise : float or Noise, default=None
        Noise of the simulated measurements of test images, for all estimators. If None, the noise
        of the first estimator. It must be None if `y` has the clean images.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn: a number of folds, by default 5. ``[(train, test)]`` is one split.
    groups : array-like of shape (n,), default=None
        Labels of images that belong together, the images of one person for instance. They are
        passed to the splitter and to estimators whose `fit` accepts groups, and are used in the
        standard errors.
    metrics : {"psnr", "ssim", "mse", "lpips"}, or a list of them, default=("psnr", "ssim", "mse")
        Names of functions of `skmetainv.metrics`. Values keep their sign: lower "mse" and "lpips"
        are better.
    lpips : LPIPS, default=None
        The settings of the metric "lpips". If None, ``LPIPS()``. It must be None if "lpips" is not
        among `metrics`.
    mask : "missing" or array-like of bool, default=None
        The region of the metrics, see `ImageScorer`. If None, the whole image. An array is one mask
        for all images, or one mask for each image of `X`. "missing" stands for the pixels that the
        operator of the measurements leaves out; images without missing pixels are left out of the
        table.
    random_state : int, RandomState instance, Generator or None, default=0
        Seed of the simulation.
    per_image : bool, default=False
        Return one row per estimator, split and image, instead of one per estimator.

    Returns
    -------
    table : pandas.DataFrame, or dict of str to list where pandas is not installed
        One row per estimator, in their order; the names are the index (in a dict, the column
        "name"). The columns:

        - for each metric, its name, the mean over all test images, and ``<name>_se``, the standard
          error of this mean, see `standard_error`;
        - ``fit_seconds``, mean per split, close to 0 if nothing is fitted;
        - ``predict_ms``, milliseconds per image of the second prediction after `fit` (the first one
          also builds the operator and the networks);
        - ``n_weights``, the mean of ``n_weights_`` over splits, rounded.

        With `per_image`, the columns are "name", "split", "image" (the index in `X`), and the
        metrics.

    Raises
    ------
    ValueError
        If the estimators are not supported, have a parameter out of its range, share a name, or
        have a checkpoint; if an estimator in a `FrozenEstimator` is not fitted; if they differ in
        the data range, the image shape or the shape of measurements; if `operator` or `noise` is
        set with pairs; if images have NaN; if a metric is unknown, or does not support the images
        or the mask. All of this is checked before fitting.
    OSError
        If LPIPS does not find its file of weights. This is checked before fitting, too.

    Notes
    -----
    Without `groups`, standard errors assume that the values of single images are independent. If
    several images show the same person, these standard errors are too small. With several folds,
    standard errors are always too small, because the training sets overlap. An image that is tested
    in several splits counts several times. As all estimators see the same measurements, the mean of
    the differences per image has a smaller standard error than the two means: see the second
    example. Random masks and noise depend only on the seed and on the position of an image in its
    split. The first image of every split has the same mask and noise, and so on.

    Examples
    --------
    >>> from skmetainv import ClassicalReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.model_selection import compare
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import ConjugateGradient, PrimalDual
    >>> blur = GaussianBlur(sigma=1.0)
    >>> estimators = {
    ...     "least squares": ClassicalReconstructor(blur, ConjugateGradient()),
    ...     "total variation": ClassicalReconstructor(blur, PrimalDual(weight=1e-3)),
    ... }
    >>> table = compare(estimators, load_faces()[:10], noise=0.02, cv=2, metrics=["psnr"])
    >>> list(table.columns)
    ['psnr', 'psnr_se', 'fit_seconds', 'predict_ms', 'n_weights']
    >>> table["psnr"].idxmax()
    'total variation'

    Image by image:

    >>> images = compare(
    ...     estimators, load_faces()[:10], noise=0.02, cv=2, metrics=["psnr"], per_image=True
    ... )
    >>> psnr = images.pivot(index="image", columns="name", values="psnr")
    >>> gain = psnr["total variation"] - psnr["least squares"]
    >>> bool(gain.mean() > 3 * gain.sem())
    True
    """
    named = _checked_estimators(estimators)
    chosen = chosen_metrics(metrics, lpips, METRICS, "'metrics' parameter of compare")
    first = unwrapped(next(iter(named.values())))
    simulator = _simulator(first, operator, noise)
    region = Region(mask, simulator.operator)
    region.check_metrics(chosen, "compare")
    X, y, groups = indexable(X, y, groups)
    paired = are_images(y)
    if paired:
        check_nothing_simulates(operator, noise)
    images, name = (y, "y") if paired else (X, "X")
    clean, is_single = first._reader().images(images, first.image_shape, name=name)
    if is_single:
        raise ValueError(f"compare needs several images. {name} is one, of shape {images.shape}.")
    simulator._check_parameters()
    _check_instruments(named, simulator.operator, paired=paired)
    shape = _common_shape([simulator, *map(unwrapped, named.values())], clean)
    _check_metrics(chosen, shape, region)
    region.check_images(clean, shape)
    simulate = partial(simulator.simulate, random_state=integer_seed(random_state))
    for estimator in named.values():
        if isinstance(estimator, FrozenEstimator):  # raises its errors before anything is fitted
            one = _safe_indexing(X if paired else clean, [0])
            measured = one if paired else simulate(one)
            estimator.predict(measured, **_named(unwrapped(estimator), region.operator))
    trials: dict[str, list[_Trial]] = {name: [] for name in named}
    for train, test in check_cv(cv).split(X, y, groups):
        split = _split(clean, X if paired else None, train, test, simulate)
        tested = region.part(split.indices, shape)
        of_training = None if groups is None else np.asarray(groups)[train]
        for name, estimator in named.items():
            trials[name].append(_trial(estimator, split, of_training, chosen, tested))
    return _table_of_images(trials) if per_image else _table_of_estimators(trials, groups)


def _check_instruments(
    estimators: Mapping[str, Any], operator: Operator | None, *, paired: bool
) -> None:
    """Raise an error if an estimator for many instruments could not know that of the images."""
    if isinstance(operator, RandomOperator) or (paired and _any_random(estimators)):
        raise ValueError(
            "compare measures all images by one operator. For an estimator with a RandomOperator, "
            "pass clean images and the operator: compare(..., operator=GaussianBlur(sigma=1.5))."
        )


def _any_random(estimators: Mapping[str, Any]) -> bool:
    parts = [unwrapped(estimator) for estimator in estimators.values()]
    return any(isinstance(part.operator, RandomOperator) for part in parts)


def _named(estimator: Reconstructor, operator: Operator | None) -> dict[str, Any]:
    """Return the argument that names the operator, for an estimator with a `RandomOperator`."""
    is_random = isinstance(estimator.operator, RandomOperator)
    return {"operator": operator} if is_random else {}


def _checked_estimators(estimators: Any) -> dict[str, Any]:
    """Return the estimators by name, after checking that they can be compared."""
    named = named_estimators(estimators, "compare")
    ranges = {}
    for name, estimator in named.items():
        inner = unwrapped(estimator)
        inner._check_parameters()
        frozen = isinstance(estimator, FrozenEstimator)
        if frozen:
            check_is_fitted(inner)
        elif getattr(inner, "checkpoint", None) is not None:
            raise ValueError(
                "Estimators to compare are fitted several times and must have checkpoint=None. "
                f"Got {name}: {inner.checkpoint!r} instead."
            )
        rescales = inner._geometry_.rescale_integers if frozen else inner.data_range is None
        data_range = inner.data_range_ if frozen else check_range(inner.data_range)
        ranges[name] = None if rescales else data_range
    if len(set(ranges.values())) > 1:
        raise ValueError(f"Estimators to compare must share one data_range. Got {ranges} instead.")
    return named


def _common_shape(estimators: Sequence[Any], clean: Any) -> tuple[int, ...]:
    """Return the image shape; check that the estimators agree on it and on that of measurements."""
    layouts = [image_layout(tuple(clean.shape), e.image_shape) for e in estimators]
    if len(set(layouts)) > 1:
        shapes = [layout.tensor_shape[1:] for layout in layouts]
        raise ValueError(
            f"Estimators to compare must have the same image shape. Their shapes are {shapes}."
        )
    shape = layouts[0].tensor_shape
    operators = [Identity() if e.operator is None else e.operator for e in estimators]
    measured = [operator.build(shape).measurement_shape for operator in operators]
    if len(set(measured)) > 1:
        raise ValueError(
            "Estimators to compare must support the simulated measurements. The shapes of "
            f"measurements are {measured}; the first one is that of the simulation."
        )
    if operators[0].has_missing and not all(operator.has_missing for operator in operators):
        raise ValueError(
            f"{operators[0]!r} simulates missing values, but not all estimators support them."
        )
    return shape


def _simulator(
    first: Reconstructor, operator: Operator | None, noise: float | Noise | None
) -> Reconstructor:
    """Return an estimator that simulates; None stands for the operator or noise of `first`."""
    operator = first.operator if operator is None else operator
    if noise is None:
        # The operator is checked when it is used.
        noise = 0.0 if getattr(operator, "has_noise", False) else first.noise
    return ClassicalReconstructor(
        operator,
        noise=noise,
        image_shape=first.image_shape,
        data_range=first.data_range,
        precision=first.precision,
        device=first.device,
    )


class _Split(NamedTuple):
    """The arguments of `fit`, the test measurements and clean images, and their indices."""

    training: tuple[Any, Any]
    measured: Any
    clean: Any
    indices: np.ndarray


def _split(
    clean: Any, measured: Any, train: Any, test: Any, simulate: Callable[[Any], Any]
) -> _Split:
    """Return one split of clean images or, with measurements, of pairs."""
    targets, indices = _in_memory(_safe_indexing(clean, test)), np.arange(len(clean))[test]
    if measured is None:
        return _Split((_safe_indexing(clean, train), None), simulate(targets), targets, indices)
    training = _safe_indexing(measured, train), _safe_indexing(clean, train)
    return _Split(training, _in_memory(_safe_indexing(measured, test)), targets, indices)


def _in_memory(images: Any) -> Any:
    """Read images once, so that the timing of estimators does not include reading."""
    as_they_are = isinstance(images, torch.Tensor) or hasattr(images, "iloc")  # a data frame
    return images if as_they_are else np.asarray(images)


class _Trial(NamedTuple):
    """The results of one estimator in one split."""

    indices: np.ndarray
    values: dict[str, np.ndarray]
    fit_seconds: float
    predict_seconds: float
    n_restored: int
    n_weights: int


def _trial(
    estimator: Any, split: _Split, groups: Any, metrics: Mapping[str, Metric], region: Region
) -> _Trial:
    """Fit a clone of an estimator, and evaluate it on the test images."""
    grouped = groups is not None and has_fit_parameter(estimator, "groups")
    begin = perf_counter()
    fitted = unwrapped(
        clone(estimator).fit(*split.training, **({"groups": groups} if grouped else {}))
    )
    fit_seconds = perf_counter() - begin
    named = _named(fitted, region.operator)
    fitted.predict(split.measured[:1], **named)
    begin = perf_counter()
    pairs = list(fitted.restorations(split.measured, split.clean, **named))
    seconds = perf_counter() - begin
    counted, batches = zip(*region.batches(pairs, fitted, split.measured, split.clean), strict=True)
    indices = split.indices[np.concatenate(counted)]
    values = over_batches(metrics, batches, fitted.data_range_)
    n_restored = len(split.indices)
    return _Trial(indices, values, fit_seconds, seconds, n_restored, fitted.n_weights_)


def _check_metrics(
    metrics: Mapping[str, Metric], tensor_shape: tuple[int, ...], region: Region
) -> None:
    """Call the metrics on blank images with the user's masks, so that errors come early."""
    channels, height, width = tensor_shape
    blank = np.zeros((1, height, width, channels), dtype=np.float32)
    first = Region() if region.is_missing else region.part(slice(1), tensor_shape)
    over_batches(metrics, (batch for _, batch in first.batches([(blank, blank)])), (0.0, 1.0))


# ------------------------------------------------------------------ tables


def _table_of_images(trials: Mapping[str, Sequence[_Trial]]) -> Any:
    """Return one row per estimator, split and image."""
    rows = [
        {"name": name, "split": i, "image": int(index)}
        | {metric: float(values[k]) for metric, values in trial.values.items()}
        for name, of_one in trials.items()
        for i, trial in enumerate(of_one)
        for k, index in enumerate(trial.indices)
    ]
    return _table(rows)


def _table_of_estimators(trials: Mapping[str, Sequence[_Trial]], groups: Any) -> Any:
    """Return one row per estimator."""
    table = _table([{"name": name} | _summary(of_one, groups) for name, of_one in trials.items()])
    return table if isinstance(table, dict) else table.set_index("name")


def _summary(trials: Sequence[_Trial], groups: Any) -> dict[str, float]:
    """Return the means of one estimator over all splits, with their standard errors."""
    summary: dict[str, float] = {}
    indices = np.concatenate([trial.indices for trial in trials])
    group_of_image = indices if groups is None else np.asarray(groups)[indices]
    for metric in trials[0].values:
        values = np.concatenate([trial.values[metric] for trial in trials])
        summary[metric] = float(values.mean())
        summary[f"{metric}_se"] = standard_error(values, group_of_image)
    return summary | {
        "fit_seconds": float(np.mean([trial.fit_seconds for trial in trials])),
        "predict_ms": 1e3
        * sum(trial.predict_seconds for trial in trials)
        / sum(trial.n_restored for trial in trials),
        "n_weights": round(np.mean([trial.n_weights for trial in trials])),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a data frame or, if pandas is not installed, as a dict of columns."""
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        return columns
    return pd.DataFrame(columns)
