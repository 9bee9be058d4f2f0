"""What the numbers of a user's array mean, and warnings where they can hardly mean it."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays.views import taken
from skmetainv.exceptions import warn

# Types of integers that pictures come in: their range is the type's.
_OF_PICTURES = ("uint8", "uint16")

# So many of the first images are looked at, and of integers whose type does not tell what they
# mean so many, evenly spread.
_FIRST, _SPREAD = 4, 16

# Beyond so many times the width of their range values are hardly images in these units.
FAR = 10

# Pictures that use an eighth of their type's range may be of fewer bits: 4 in 8, or 8 to 12 in 16.
_SHARE = 8

# Values below such a share of their range are hardly images in these units: pictures of 8 bits have
# 255 times the numbers of floats.
_FAR_BELOW = 0.01


def first_images(array: Any) -> np.ndarray:
    """Return the first images of an array as they are."""
    return np.asarray(taken(array, np.arange(min(len(array), _FIRST))))


def tells_its_range(dtype: Any) -> bool:
    """Whether a type alone says what its numbers are divided by."""
    kind = np.dtype(dtype)
    return kind.kind not in "iu" or kind.name in _OF_PICTURES


def integer_unit(array: Any) -> float:
    """Return what the numbers of an array are divided by, so that images are nominally in [0, 1].

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Unsigned integers of 8 and 16 bits are divided by their type's maximum; floats and booleans
        by nothing. Of all other types of integers the values of up to 16 images, evenly spread,
        decide: from 0 to 255 they count as 8 bits; else they are taken as they are.

    Returns
    -------
    unit : float
        255, 65535 or 1.
    """
    kind = np.dtype(array.dtype)
    if kind.kind not in "iu":
        return 1.0
    if kind.name in _OF_PICTURES:
        return float(np.iinfo(kind).max)
    places = np.unique(np.linspace(0, len(array) - 1, _SPREAD).astype(int))
    values = np.asarray(taken(array, places))
    return 255.0 if values.size and values.min() >= 0 and 1 < values.max() <= 255 else 1.0


def warn_of_type(values: np.ndarray, unit: float, name: str) -> None:
    """Warn where what integers are divided by was not beyond doubt.

    Parameters
    ----------
    values : ndarray
        Some of the numbers, as they are.
    unit : float
        What they are divided by.
    name : str
        What the warning calls the array.

    Warns
    -----
    DataConversionWarning
        If 16 bits use little of their range, or if the type is none that pictures have.
    """
    kind = values.dtype
    if kind.kind not in "iu" or not values.size:
        return
    largest = int(values.max())
    if kind.name in _OF_PICTURES and unit > 1 and 0 < largest <= unit / _SHARE:
        warn(
            f"{name} has integers of type {kind} that go up to {largest}, and are divided by "
            f"{unit:g}: if they are pictures of fewer bits, pass data_range, "
            f"{_white(largest)} for instance.",
            DataConversionWarning,
        )
    elif not tells_its_range(kind) and unit > 1:
        warn(
            f"{name} has integers of type {kind}, which are taken for pictures of 8 bits, and "
            f"divided by {unit:g}: pass {name}.astype('uint8') to say so, or data_range "
            "to say otherwise.",
            DataConversionWarning,
        )


def warn_of_range(values: np.ndarray, data_range: tuple[float, float], name: str) -> None:
    """Warn of images that lie far outside their range.

    Parameters
    ----------
    values : ndarray
        Some of the numbers, in the units of the range.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    name : str
        What the warning calls the array.

    Warns
    -----
    DataConversionWarning
        If one is farther than ten times the range's width from its middle, or all are next to 0.
    """
    low, high = data_range
    known = values[np.isfinite(values)]
    if known.size and np.abs(known - (low + high) / 2).max() > FAR * (high - low):
        largest = np.abs(known).max()
        warn(
            f"{name} has values up to {largest:g}, far outside the data range {data_range}: pass "
            f"data_range, {_white(largest)} for instance, or rescale the images.",
            DataConversionWarning,
        )
    elif known.size and 0 < np.abs(known).max() <= _FAR_BELOW * max(abs(low), abs(high)):
        warn(
            f"{name} has values up to {np.abs(known).max():g}, a hundredth of the data range "
            f"{data_range} or less: pass another data_range, or rescale the images.",
            DataConversionWarning,
        )


def _white(largest: float) -> int:
    """Return the likely value of white: the largest number of as many bits as pictures have."""
    if largest <= 2**5:
        return ceil(largest)
    return next((2**n - 1 for n in (8, 10, 12, 14, 16) if largest < 2**n), 2**32 - 1)
