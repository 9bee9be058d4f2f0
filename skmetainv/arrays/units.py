"""What the numbers of a user's array mean, and warnings where they can hardly mean it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays.views import taken
from skmetainv.exceptions import warn

# Types of integers that pictures come in: their range is the type's.
_OF_PICTURES = ("uint8", "uint16")

# Of an array whose type does not tell, so many images are looked at.
_LOOKED_AT = 4

# Beyond so many times the width of their range values are hardly images in these units.
_FAR = 10

# Pictures of 16 bits that use a sixteenth of their range may be of 8 to 12 bits.
_SHARE = 16


def first_images(array: Any, n: int = _LOOKED_AT) -> np.ndarray:
    """Return the first images of an array as they are."""
    return np.asarray(taken(array, np.arange(min(len(array), n))))


def tells_its_range(dtype: Any) -> bool:
    """Whether a type alone says what its numbers are divided by."""
    kind = np.dtype(dtype)
    return kind.kind not in "iu" or kind.name in _OF_PICTURES


def integer_unit(dtype: Any, values: np.ndarray | None = None) -> float:
    """Return what numbers of a type are divided by, so that images are nominally in [0, 1].

    Parameters
    ----------
    dtype : numpy.dtype
        Integers of 8 and 16 bits without a sign are divided by their type's maximum; floats and
        booleans by nothing.
    values : ndarray, default=None
        Some of the numbers. Of all other types of integers they decide: from 0 to 255 they count as
        8 bits; else they are taken as they are.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        return 1.0
    if kind.name in _OF_PICTURES:
        return float(np.iinfo(kind).max)
    if values is None or not np.size(values):
        return 1.0
    is_8_bit = np.min(values) >= 0 and 1 < np.max(values) <= 255
    return 255.0 if is_8_bit else 1.0


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
    """
    kind = values.dtype
    if kind.kind not in "iu" or not values.size:
        return
    largest = int(values.max())
    if kind == np.uint16 and unit > 1 and 0 < largest <= unit / _SHARE:
        warn(
            f"{name} has integers of 16 bits that go up to {largest}, and are divided by "
            f"{unit:g}: if they are pictures of fewer bits, pass data_range, "
            f"{_bits_up_to(largest)} for instance.",
            DataConversionWarning,
        )
    elif not tells_its_range(kind) and unit > 1:
        warn(
            f"{name} has integers of type {kind} from 0 to 255, which are taken for pictures of 8 "
            f"bits, and divided by {unit:g}: pass {name}.astype('uint8') to say so, or data_range "
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
        See `warn_of_type`.
    """
    low, high = data_range
    known = values[np.isfinite(values)]
    if known.size and np.abs(known - (low + high) / 2).max() > _FAR * (high - low):
        largest = np.abs(known).max()
        warn(
            f"{name} has values up to {largest:g}, far outside the data range {data_range}: pass "
            f"data_range, {_bits_up_to(largest)} for instance, or rescale the images.",
            DataConversionWarning,
        )


def warn_of_size(values: np.ndarray, largest_norm: float, name: str, cause: str) -> None:
    """Warn of measurements that are far larger than those of images in their range can be.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        Some measurements, in the units of the images.
    largest_norm : float
        The norm that a measurement of an image in its range has at most.
    name : str
        What the warning calls the array.
    cause : str
        What may be the cause, and what to do.
    """
    norms = np.linalg.norm(np.nan_to_num(values.reshape(len(values), -1)), axis=1)
    if norms.max() > _FAR * largest_norm:
        warn(
            f"{name} is {norms.max() / largest_norm:.3g} times as large as the measurement of an "
            f"image in its data range can be: {cause}.",
            DataConversionWarning,
        )


def _bits_up_to(largest: float) -> int:
    """Return the largest number of as many bits as pictures have that hold a value."""
    return next((2**n - 1 for n in (8, 10, 12, 14, 16) if largest < 2**n), 2**32 - 1)
