"""Metrics over batches of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np


def over_batches(
    metrics: Mapping[str, Callable[..., Any]],
    batches: Iterable[tuple[np.ndarray, ...]],
    data_range: tuple[float, float],
) -> dict[str, np.ndarray]:
    """Return the values of several metrics for each image, in one pass over the batches.

    Parameters
    ----------
    metrics : mapping of str to {mse, psnr, ssim, lpips}
        Functions of `skmetainv.metrics`, under any names.
    batches : iterable of (ndarray, ndarray) or (ndarray, ndarray, ndarray)
        Batches of clean images, their reconstructions and, optionally, the masks of pixels that
        count.
    data_range : (float, float)
        The smallest and the largest nominal value of the images.

    Returns
    -------
    values : dict of str to ndarray of shape (n,)
        The values under the same names, for the images of all batches in their order.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for x, z, *masks in batches:
        region = {"mask": masks[0]} if masks else {}
        for name, metric in metrics.items():
            values[name].append(metric(x, z, per_image=True, data_range=data_range, **region))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def mean_over_batches(
    metric: Callable[..., Any],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    data_range: tuple[float, float],
) -> float:
    """Return the mean of one metric over the images of all batches, see `over_batches`."""
    (values,) = over_batches({"metric": metric}, batches, data_range).values()
    return float(np.mean(values))


def known_pixels(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pixels that are known in each clean image, and their restorations, as rows."""
    for clean, restored in batches:
        for x, z in zip(clean, restored, strict=True):
            known = ~np.isnan(x)
            if known.any():
                yield x[known][None, None], z[known][None, None]
