"""The region of scores and comparisons: a user's mask, or the pixels that the operator left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from skmetainv.arrays import as_array
from skmetainv.inputs.validation import are_images
from skmetainv.metrics import lpips
from skmetainv.model_selection.named_metrics import Metric
from skmetainv.operators import ForwardMap, Operator
from skmetainv.parameters import StrOptions, check_parameter
from skmetainv.randomness import evaluation_generators
from skmetainv.reconstruction import Reconstructor

_CONSTRAINTS = [StrOptions({"missing"}), "array-like", None]

#: Batches of clean and restored images, and of masks if there is a region.
ScoredBatches: TypeAlias = Iterable[tuple[np.ndarray, ...]]


def check_mask(mask: Any, metrics: Mapping[str, Metric], owner: str) -> None:
    """Raise if the metrics do not support a `mask`."""
    check_parameter("mask", mask, _CONSTRAINTS, owner)
    if mask is not None and any(_function(metric) is lpips for metric in metrics.values()):
        raise ValueError(
            f"The 'mask' parameter of {owner} must be None if LPIPS is among the metrics: it "
            "compares features of a network with a large receptive field."
        )


def is_of_all(mask: Any, size: tuple[int, ...], channels: int) -> bool:
    """Return whether one mask is given for all images, rather than one for each image."""
    return np.shape(mask) in (size, (*size, channels))


def is_missing(mask: Any) -> bool:
    """Return whether a `mask` is "missing", the pixels that the operator leaves out."""
    return isinstance(mask, str)


def with_mask(pairs: ScoredBatches, mask: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield batches of clean and restored images, each with its part of a user's mask.

    Parameters
    ----------
    pairs : iterable of (clean, restored)
        Arrays of shape (batch, height, width, channels).
    mask : array-like of bool
        One mask for all images, or one for each.

    Raises
    ------
    ValueError
        If the number of masks is not the number of images. The metrics check the other axes.
    """
    array, of_all, n = np.asarray(as_array(mask, "mask")), True, 0
    for x, z in pairs:
        of_all, n = is_of_all(array, x.shape[1:3], x.shape[3]), n + len(x)
        yield x, z, array if of_all else array[n - len(x) : n]
    if not of_all and len(array) != n:
        raise ValueError(
            f"mask must be one for all images or one for each of {n}. Got shape {array.shape}."
        )


def with_missing(
    pairs: ScoredBatches,
    fitted: Reconstructor,
    X: Any,
    y: Any,
    operator: Operator | None,
    seed: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield batches of clean and restored images, each with the mask of missing pixels.

    Parameters
    ----------
    pairs : iterable of (clean, restored)
        The result of `fitted.restorations` for the same `X`, `y`, operator and seed.
    fitted : Reconstructor
        The estimator.
    X, y : array-like
        Clean images, whose measurements are simulated; or measurements and their clean images.
    operator : Operator or None
        The operator that left out pixels; None is the fitted operator.
    seed : int
        Seed of the simulation.
    """
    geometry = fitted._geometry_
    A = fitted._map(geometry) if operator is None else fitted._other_map(operator, geometry)
    source = fitted._reader().measurements(X, geometry)[0] if are_images(y) else None
    start = 0
    for x, z in pairs:
        places = np.arange(start, start + len(x))
        if source is None:  # same masks as in the simulation, which draws masks before noise
            drawn = A.draw(evaluation_generators(seed, places))
        else:
            drawn = A.with_masks_of(source.read(places))
        yield x, z, _left_out(drawn, len(x), operator or fitted.operator_)
        start += len(x)


def check_leaves_out(A: ForwardMap, operator: Operator) -> None:
    """Raise if the map of an operator does not leave out pixels of an image."""
    leaves_out = A.observed is not None or operator.has_missing
    if not leaves_out or A.measurement_shape != A.image_shape:
        raise ValueError(
            "mask='missing' needs an operator that leaves out pixels of an image, such as "
            f"Inpainting() or MissingPixels(). Got {operator!r} instead."
        )


def with_something_missing(batches: ScoredBatches) -> list[tuple[np.ndarray, ...]]:
    """Return batches without the images that have no missing pixels.

    Raises
    ------
    ValueError
        If no image is left.
    """
    kept: list[tuple[np.ndarray, ...]] = []
    for x, z, mask in batches:
        some = something_missing(mask)
        if some.any():
            kept.append((x[some], z[some], mask[some]))
    if not kept:
        raise ValueError("mask='missing' needs images with missing pixels, but no image has any.")
    return kept


def something_missing(mask: np.ndarray) -> np.ndarray:
    """Return for each mask of a batch whether any pixel is missing."""
    return np.asarray(mask.any(axis=(1, 2, 3)))


def _left_out(A: ForwardMap, n: int, operator: Operator) -> np.ndarray:
    """Return the masks of unobserved pixels, of shape (n, height, width, channels)."""
    check_leaves_out(A, operator)
    missing = ~cast("torch.Tensor", A.observed).expand(n, *A.image_shape)
    return missing.permute(0, 2, 3, 1).cpu().numpy()


def _function(metric: Metric) -> Metric:
    """Return the function of a metric, without its settings."""
    return metric.func if isinstance(metric, partial) else metric
