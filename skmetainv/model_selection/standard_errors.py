"""Standard errors of means over images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def standard_error(values: ArrayLike, groups: Any = None) -> float:
    """Return the standard error of the mean of a metric.

    For `n` independent values, it is ``std / sqrt(n)``, with ``n - 1`` in the standard deviation.
    With `G` independent groups, it is the cluster-robust ``sqrt(G / (G - 1) sum_g s_g^2) / n``,
    where ``s_g`` is the sum of the deviations from the mean in group ``g``.

    Parameters
    ----------
    values : array-like of shape (n,)
        One value per image, or the difference between two methods for each image.
    groups : array-like of shape (n,), default=None
        Labels of images that belong together, the images of one person for instance. If None,
        every image is its own group.

    Returns
    -------
    error : float
        In the units of the values. NaN if there is one group only, or if a value is not finite.

    References
    ----------
    Cameron and Miller, "A practitioner's guide to cluster-robust inference", Journal of Human
    Resources, 2015.

    Examples
    --------
    >>> from skmetainv.model_selection import standard_error
    >>> round(standard_error([1.0, 2.0, 3.0, 6.0]), 3)
    1.08
    >>> standard_error([1.0, 2.0, 3.0, 6.0], groups=["a", "a", "b", "b"])
    1.5
    """
    x = np.asarray(values, dtype=float)
    index = np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n = len(np.unique(index))
    if n < 2:
        return np.nan
    with np.errstate(invalid="ignore"):
        sums = np.bincount(index, x - x.mean())
    return float(np.sqrt(n / (n - 1) * np.square(sums).sum()) / len(x))
