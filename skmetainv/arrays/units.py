"""The units of a user's array, and warnings if they are implausible."""

from __future__ import annotations

from math import ceil
from numbers import Real
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays.views import taken
from skmetainv.exceptions import warn
from skmetainv.parameters import increasing_pair

# Integer types of image files: their data range is the range of the type.
_IMAGE_TYPES = ("uint8", "uint16")

# Only this many images, the first of an array, are checked.
_FIRST = 4

# Number of evenly spaced images whose values determine the unit of integers if the type does not.
_SPREAD = 16

# If a value is farther from the middle of the data range than this multiple of the range's width,
# the units are implausible.
FAR = 10

# Images that use at most an eighth of their type's range may have fewer bits than the type. An
# example is 12-bit images in uint16.
_SHARE = 8

# If no absolute value exceeds this share of the larger absolute end of the data range, the units
# are implausible. An example is images in [0, 1] with data_range=255.
_FAR_BELOW = 0.01


def check_range(data_range: Any) -> tuple[float, float]:
    """Return (low, high) for `data_range`: a number means (0, number), and None means (0, 1)."""
    if data_range is None:
        return 0.0, 1.0
    is_number = isinstance(data_range, Real) or getattr(data_range, "shape", None) == ()
    ends = increasing_pair((0.0, float(data_range)) if is_number else data_range)
    if ends is None:
        raise ValueError(
            "The 'data_range' parameter must be a positive finite number, or two finite numbers "
            f"(low, high) with low < high. Got {data_range!r} instead."
        )
    return ends


def first_images(array: Any) -> np.ndarray:
    """Return the first images of an array, not converted."""
    return np.asarray(taken(array, np.arange(min(len(array), _FIRST))))


def tells_its_range(dtype: Any) -> bool:
    """Whether the type alone determines the unit."""
    dtype = np.dtype(dtype)
    return dtype.kind not in "iu" or dtype.name in _IMAGE_TYPES


def integer_unit(array: Any) -> float:
    """Return the number by which an array is divided so that its images are nominally in [0, 1].

    Parameters
    ----------
    array : array-like of shape (n, ...)
        For uint8 and uint16 the unit is the maximum of the type; for floats and booleans it is 1.
        For all other integer types, the values of up to 16 evenly spaced images decide: if all are
        in 0..255 and the largest exceeds 1, the unit is 255, else 1.

    Returns
    -------
    unit : float
        255, 65535 or 1.
    """
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "iu":
        return 1.0
    if dtype.name in _IMAGE_TYPES:
        return float(np.iinfo(dtype).max)
    places = np.unique(np.linspace(0, len(array) - 1, _SPREAD).astype(int))
    values = np.asarray(taken(array, places))
    return 255.0 if values.size and values.min() >= 0 and 1 < values.max() <= 255 else 1.0


def warn_of_type(values: np.ndarray, unit: float, name: str) -> None:
    """Warn if the unit of integers is uncertain.

    Parameters
    ----------
    values : ndarray
        Some of the values, not converted.
    unit : float
        Their divisor.
    name : str
        Name of the array in the warning.

    Warns
    -----
    DataConversionWarning
        If values of type uint8 or uint16 use at most an eighth of their range, or if integers of
        another type have a divisor other than 1.
    """
    dtype = values.dtype
    if dtype.kind not in "iu" or not values.size:
        return
    largest = int(values.max())
    if dtype.name in _IMAGE_TYPES and unit > 1 and 0 < largest <= unit / _SHARE:
        warn(
            f"{name} has values of type {dtype} up to {largest}, which are divided by {unit:g}: if "
            f"the images have fewer bits, pass data_range, for example {_white(largest)}.",
            DataConversionWarning,
        )
    elif not tells_its_range(dtype) and unit > 1:
        warn(
            f"{name} has integers of type {dtype}, which are taken for pictures of 8 bits, and "
            f"divided by {unit:g}: if this is right, pass {name}.astype('uint8'), otherwise pass "
            "data_range.",
            DataConversionWarning,
        )


def warn_of_range(values: np.ndarray, data_range: tuple[float, float], name: str) -> None:
    """Warn if images are far outside their data range, or use almost none of it.

    Parameters
    ----------
    values : ndarray
        Some of the values, in the units of the range.
    data_range : (float, float)
        The smallest and the largest value that images nominally have.
    name : str
        Name of the array in the warning.

    Warns
    -----
    DataConversionWarning
        If a value is farther from the middle of the range than ten times the width of the range,
        or if no absolute value exceeds a hundredth of the larger absolute end of the range.
    """
    low, high = data_range
    finite = values[np.isfinite(values)]
    if finite.size and np.abs(finite - (low + high) / 2).max() > FAR * (high - low):
        largest = np.abs(finite).max()
        warn(
            f"{name} has values up to {largest:g}, far outside the data range {data_range}: pass "
            f"data_range, {_white(largest)} for instance, or rescale the images.",
            DataConversionWarning,
        )
    elif finite.size and 0 < np.abs(finite).max() <= _FAR_BELOW * max(abs(low), abs(high)):
        warn(
            f"{name} has values up to {np.abs(finite).max():g}, a hundredth of the data range "
            f"{data_range} or less: pass another data_range, or rescale the images.",
            DataConversionWarning,
        )


def _white(largest: float) -> int:
    """Return the likely value of white in images with this largest value.

    A largest value of at most 32 is rounded up. Above 32, white is ``2^n - 1`` for the smallest
    usual number of bits, `n` = 8, 10, 12, 14, 16 or 32, that can hold the largest value.
    """
    if largest <= 2**5:
        return ceil(largest)
    return next((2**n - 1 for n in (8, 10, 12, 14, 16) if largest < 2**n), 2**32 - 1)
