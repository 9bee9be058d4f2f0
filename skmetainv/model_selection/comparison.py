"""Estimators compared by cross-validation, all on the same measurements."""

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
from sklearn.utils import _safe_indexing, check_consistent_length, indexable
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skmetainv.arrays import as_array, image_layout
from skmetainv.estimators import ClassicalReconstructor
from skmetainv.inputs.validation import (
    are_images,
    check_nothing_simulates,
    check_range,
)
from skmetainv.losses import LPIPS
from skmetainv.metrics import over_batches
from skmetainv.model_selection.named_metrics import METRICS, Metric, chosen_metrics
from skmetainv.model_selection.regions import (
    check_leaves_out,
    check_mask,
    is_missing,
    is_of_all,
    something_missing,
    with_mask,
    with_missing,
    with_something_missing,
)
from skmetainv.model_selection.scorers import unwrapped
from skmetainv.model_selection.standard_errors import standard_error
from skmetainv.noise import Noise
from skmetainv.operators import Identity, Operator
from skmetainv.operators.operator import has_missing
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
    """Compare estimators by cross-validation, all on the same measurements, in one table.

    In every split a clone of each estimator is fitted on the training images, and restores the test
    images once. What it restores them from is simulated once per split, with the same seed in each
    (as `ImageScorer` does), so that all estimators see the same bits.

    Parameters
    ----------
    estimators : dict of str to estimator, list of (str, estimator), or list of estimators
        `MetaInverseSolver`, `ClassicalReconstructor` and other estimators that restore images, all
        of one `data_range`; searches that refit one; and `FrozenEstimator`, which is not fitted
        again. Without names they have those of their classes (a search and a `FrozenEstimator`
        that of what they hold), with numbers where a class comes several times.
    X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
        Clean images, from which each estimator simulates what it trains on with its own operator
        and noise. With `y`: measurements.
    y : array-like of two or more dimensions, default=None
        The clean images of the measurements `X`; nothing is then simulated. A 1-D `y` is for the
        splitter alone.
    operator : Operator, default=None
        Simulates the measurements of test images, for all estimators. None takes that of the first
        estimator. With pairs it must be None.
    noise : float or Noise, default=None
        Likewise for the noise.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn: a number of folds, None is 5. ``[(train, test)]`` is one split.
    groups : array-like of shape (n,), default=None
        What images belong together, those of one person say: for splitters that keep groups
        together, for the `fit` of estimators that take groups, and for the standard errors.
    metrics : {"psnr", "ssim", "mse", "lpips"}, or a list of them, default=("psnr", "ssim", "mse")
        Functions of `skmetainv.metrics`, as they are: lower "mse" and "lpips" are better.
    lpips : LPIPS, default=None
        The network, weights and size of "lpips"; None is ``LPIPS()``. Without that metric it must
        be None.
    mask : "missing" or array-like of bool, default=None
        The region that the metrics are of, see `ImageScorer`; None is the whole image. An array is
        one mask for all images, or one for each image of `X`. With "missing" the operator that
        simulates says what is, and images of which nothing is missing are left out of the table.
    random_state : int, RandomState instance, Generator or None, default=0
        Seed of the simulation.
    per_image : bool, default=False
        Return one row per estimator, split and image, not one per estimator.

    Returns
    -------
    table : pandas.DataFrame, or dict of str to list where pandas is not installed
        One row per estimator, in their order; the names are the index (in a dict the column
        "name"). The columns:

        - of each metric its name, the mean over all test images, and ``<name>_se``, the standard
          error of that mean, see `standard_error`;
        - ``fit_seconds``, mean per split: next to nothing where nothing is fitted;
        - ``predict_ms``, milliseconds per image of the prediction itself, the second one after
          `fit`: the first builds the operator and the networks;
        - ``n_weights``, see `n_weights`. Mean over splits, rounded.

        With `per_image` the columns are "name", "split", "image" (the place in `X`), and the
        metrics.

    Raises
    ------
    ValueError
        If the estimators are none that this function takes, have a parameter out of its range, the
        same name, or a checkpoint; if one in a `FrozenEstimator` is not fitted; if they differ in
        their data range, in how they see an image, or in the shape of its measurement; if
        `operator` or `noise` is given with pairs; if images have NaN; if a metric is unknown, or
        does not take the images or the mask. All of that before anything is fitted.
    OSError
        Likewise, if LPIPS finds no file of weights.

    Notes
    -----
    Without `groups`, standard errors take the values of single images for independent. Images of
    one person are not; nor are the values of several folds, whose training sets overlap, with
    groups or without: the errors are then too small. An image that is tested in several splits
    counts as often. All estimators see the same measurements, so that differences image by image
    have smaller errors than the two means have: the second example. Masks and noise are drawn by
    the place of an image in its split, and so are the same in every split.

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
    check_mask(mask, chosen, "compare")
    X, y, groups = indexable(X, y, groups)
    first, paired = unwrapped(next(iter(named.values()))), are_images(y)
    if paired:
        check_nothing_simulates(operator, noise)
    given, name = (y, "y") if paired else (X, "X")
    clean, is_single = first._reader().images(given, first.image_shape, name=name)
    if is_single:
        raise ValueError(f"compare takes several images. {name} is one, of shape {given.shape}.")
    simulator = _simulator(first, operator, noise)
    simulator._check_parameters()
    shape = _common_shape([simulator, *map(unwrapped, named.values())], clean)
    _check_metrics(chosen, shape, mask)
    if is_missing(mask):
        simulates = Identity() if simulator.operator is None else simulator.operator
        check_leaves_out(simulates.build(shape), simulates)
    elif mask is not None and not is_of_all(mask, shape[1:], shape[0]):
        check_consistent_length(mask, clean)
    simulate = partial(simulator.simulate, random_state=integer_seed(random_state))
    for estimator in named.values():
        if isinstance(estimator, FrozenEstimator):  # raises now what it would raise at its turn
            one = _safe_indexing(X if paired else clean, [0])
            estimator.predict(one if paired else simulate(one))
    trials: dict[str, list[_Trial]] = {name: [] for name in named}
    for train, test in check_cv(cv).split(X, y, groups):
        split = _split(clean, X if paired else None, train, test, simulate)
        region = _Region(mask, simulator.operator, shape).of(split.places)
        own = None if groups is None else np.asarray(groups)[train]
        for name, estimator in named.items():
            trials[name].append(_trial(estimator, split, own, chosen, region))
    return _table_of_images(trials) if per_image else _table_of_estimators(trials, groups)


def _checked_estimators(estimators: Any) -> dict[str, Any]:
    """Return estimators that can be compared, by name."""
    pairs = _named(estimators)
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"Names provided are not unique: {names!r}")
    ranges = {}
    for name, estimator in pairs:
        inner = unwrapped(estimator)
        if not isinstance(inner, Reconstructor):
            raise ValueError(
                "compare takes estimators that restore images, searches that refit one, and such "
                f"in a FrozenEstimator. Got {name}: {estimator!r} instead."
            )
        inner._check_parameters()
        frozen = isinstance(estimator, FrozenEstimator)
        if frozen:
            check_is_fitted(inner)
        elif getattr(inner, "checkpoint", None) is not None:
            raise ValueError(
                "Estimators to compare are fitted several times, and must have checkpoint=None. "
                f"Got {name}: {inner.checkpoint!r} instead."
            )
        rescales = inner._geometry_.rescale_integers if frozen else inner.data_range is None
        own = inner.data_range_ if frozen else check_range(inner.data_range)
        ranges[name] = None if rescales else own
    if len(set(ranges.values())) > 1:
        raise ValueError(f"Estimators to compare must have one data_range. Got {ranges} instead.")
    return dict(pairs)


def _common_shape(estimators: Sequence[Any], clean: Any) -> tuple[int, ...]:
    """Return the shape of an image as all estimators see it, and measure it, the same."""
    layouts = [image_layout(tuple(clean.shape), e.image_shape) for e in estimators]
    if len(set(layouts)) > 1:
        shapes = [layout.tensor_shape[1:] for layout in layouts]
        raise ValueError(f"Estimators to compare must see the same images. They see {shapes}.")
    shape = layouts[0].tensor_shape
    operators = [Identity() if e.operator is None else e.operator for e in estimators]
    measured = [operator.build(shape).measurement_shape for operator in operators]
    if len(set(measured)) > 1:
        raise ValueError(
            "Estimators to compare must take the measurements that are simulated. The shapes of "
            f"measurements are {measured}, the simulated ones first."
        )
    if has_missing(operators[0]) and not all(map(has_missing, operators)):
        raise ValueError(
            f"{operators[0]!r} simulates missing values, which not all estimators to compare take."
        )
    return shape


def _named(estimators: Any) -> list[tuple[str, Any]]:
    """Return pairs of names and estimators, names from classes where there are none."""
    if isinstance(estimators, Mapping):
        estimators = [*estimators.items()]
    if not isinstance(estimators, list | tuple) or len(estimators) == 0:
        raise ValueError(
            "The 'estimators' parameter of compare must be a dict of estimators by name, a list of "
            f"(name, estimator), or a list of estimators, not empty. Got {estimators!r} instead."
        )
    if all(isinstance(entry, tuple) and len(entry) == 2 for entry in estimators):
        return [*estimators]
    classes = [type(unwrapped(estimator)).__name__ for estimator in estimators]
    numbered = [f"{own}-{classes[: i + 1].count(own)}" for i, own in enumerate(classes)]
    names = [n if classes.count(c) > 1 else c for c, n in zip(classes, numbered, strict=True)]
    return [*zip(names, estimators, strict=True)]


def _simulator(
    first: Reconstructor, operator: Operator | None, noise: float | Noise | None
) -> Reconstructor:
    """Return what simulates with an operator and a noise, where they are None an estimator's."""
    return ClassicalReconstructor(
        first.operator if operator is None else operator,
        noise=first.noise if noise is None else noise,
        image_shape=first.image_shape,
        data_range=first.data_range,
        precision=first.precision,
        device=first.device,
    )


class _Split(NamedTuple):
    """What `fit` is given, the measurements and clean images of the test, and their places."""

    training: tuple[Any, Any]
    measured: Any
    clean: Any
    places: np.ndarray


def _split(
    clean: Any, measured: Any, train: Any, test: Any, simulate: Callable[[Any], Any]
) -> _Split:
    """Return one split of clean images, or of pairs where there are measurements."""
    targets, places = _in_memory(_safe_indexing(clean, test)), np.arange(len(clean))[test]
    if measured is None:
        return _Split((_safe_indexing(clean, train), None), simulate(targets), targets, places)
    training = _safe_indexing(measured, train), _safe_indexing(clean, train)
    return _Split(training, _in_memory(_safe_indexing(measured, test)), targets, places)


def _in_memory(images: Any) -> Any:
    """Return images that are read once, and not by each estimator while it is timed."""
    as_they_are = isinstance(images, torch.Tensor) or hasattr(images, "iloc")  # a data frame
    return images if as_they_are else np.asarray(images)


class _Region(NamedTuple):
    """What the metrics are of: a user's mask, or what an operator leaves out of images."""

    mask: Any
    operator: Operator | None
    image_shape: tuple[int, ...]

    def of(self, places: np.ndarray) -> _Region:
        """Return the region of some of the images."""
        channels, *size = self.image_shape
        alike = self.mask is None or is_missing(self.mask)
        if alike or is_of_all(self.mask, tuple(size), channels):
            return self
        return self._replace(mask=_in_memory(_safe_indexing(self.mask, places)))

    def counted(
        self, fitted: Reconstructor, split: _Split, pairs: list[tuple[np.ndarray, ...]]
    ) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
        """Return batches with their masks, and the places of the images that they are of."""
        if self.mask is None:
            return pairs, split.places
        if not is_missing(self.mask):
            return list(with_mask(pairs, self.mask)), split.places
        given = split.measured, split.clean, self.operator
        batches = list(with_missing(pairs, fitted, *given, seed=0))
        some = np.concatenate([something_missing(mask) for _, _, mask in batches])
        return with_something_missing(batches), split.places[some]


class _Trial(NamedTuple):
    """What came of one estimator in one split."""

    places: np.ndarray
    values: dict[str, np.ndarray]
    fit_seconds: float
    predict_seconds: float
    n_restored: int
    n_weights: int


def _trial(
    estimator: Any,
    split: _Split,
    groups: Any,
    metrics: Mapping[str, Metric],
    region: _Region,
) -> _Trial:
    """Fit a clone of an estimator, and measure what it makes of the test images."""
    told = (
        {} if groups is None or not has_fit_parameter(estimator, "groups") else {"groups": groups}
    )
    begin = perf_counter()
    fitted = unwrapped(clone(estimator).fit(*split.training, **told))
    fit_seconds = perf_counter() - begin
    fitted.predict(split.measured[:1])
    begin = perf_counter()
    pairs = list(fitted.restorations(split.measured, split.clean))
    seconds = perf_counter() - begin
    batches, places = region.counted(fitted, split, pairs)
    values = over_batches(metrics, batches, fitted.data_range_)
    n_restored = len(split.places)
    return _Trial(places, values, fit_seconds, seconds, n_restored, fitted.n_weights_)


def n_weights(estimator: Any) -> int:
    """Return how many learned numbers a fitted estimator predicts with.

    Parameters
    ----------
    estimator : Reconstructor
        Its own attribute ``n_weights_`` is returned; a search or a `FrozenEstimator` counts as the
        estimator that it holds.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.model_selection import n_weights
    >>> from skmetainv.representations import Siren
    >>> est = MetaInverseSolver(init=Siren(width=8, depth=2), max_epochs=1)
    >>> n_weights(est.fit(load_faces()[:5]))  # 2 * 8 + 8, 8 + 1, and 3 step sizes
    36
    >>> est.n_weights_
    36
    """
    n: int = unwrapped(estimator).n_weights_
    return n


def _check_metrics(metrics: Mapping[str, Metric], tensor_shape: tuple[int, ...], mask: Any) -> None:
    """Raise what a metric raises of images of this shape and their masks, or for want of a file."""
    channels, height, width = tensor_shape
    blank = np.zeros((1, height, width, channels), dtype=np.float32)
    first = [] if mask is None or is_missing(mask) else [np.asarray(as_array(mask, "mask"))]
    if first and not is_of_all(first[0], (height, width), channels):
        first = [first[0][:1]]
    over_batches(metrics, [(blank, blank, *first)], (0.0, 1.0))


# ------------------------------------------------------------------ tables


def _table_of_images(trials: Mapping[str, Sequence[_Trial]]) -> Any:
    """Return one row per estimator, split and image."""
    rows = [
        {"name": name, "split": i, "image": int(place)}
        | {metric: float(own[k]) for metric, own in trial.values.items()}
        for name, trials_of_one in trials.items()
        for i, trial in enumerate(trials_of_one)
        for k, place in enumerate(trial.places)
    ]
    return _table(rows)


def _table_of_estimators(trials: Mapping[str, Sequence[_Trial]], groups: Any) -> Any:
    """Return one row per estimator."""
    table = _table([{"name": name} | _summary(own, groups) for name, own in trials.items()])
    return table if isinstance(table, dict) else table.set_index("name")


def _summary(trials: Sequence[_Trial], groups: Any) -> dict[str, float]:
    """Return the means of one estimator over all splits, with their standard errors."""
    summary: dict[str, float] = {}
    places = np.concatenate([trial.places for trial in trials])
    own = places if groups is None else np.asarray(groups)[places]
    for metric in trials[0].values:
        values = np.concatenate([trial.values[metric] for trial in trials])
        summary |= {metric: float(values.mean()), f"{metric}_se": standard_error(values, own)}
    return summary | {
        "fit_seconds": float(np.mean([trial.fit_seconds for trial in trials])),
        "predict_ms": 1e3
        * sum(trial.predict_seconds for trial in trials)
        / sum(trial.n_restored for trial in trials),
        "n_weights": round(np.mean([trial.n_weights for trial in trials])),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a data frame, or as a dict of columns where pandas is not installed."""
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        return columns
    return pd.DataFrame(columns)
