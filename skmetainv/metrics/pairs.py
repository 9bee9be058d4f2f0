"""Clean and restored images as pairs of floats in the same unit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays import (
    as_array,
    differ_in_size,
    has_mask,
    image_layout,
    integer_unit,
    is_one_image,
)
from skmetainv.arrays.units import check_range, tells_its_range, warn_of_range, warn_of_type
from skmetainv.exceptions import warn

Range: TypeAlias = float | tuple[float, float]

#: Clean and restored images, one pair for each image.
Pairs: TypeAlias = list[tuple[np.ndarray, np.ndarray]]

# Factors between images of 8 or 16 bits and floats. Two arrays are in different units if the ratio
# of their norms is about such a factor and their cosine similarity is above _ALIKE.
_UNITS, _ALIKE = (255, 65535), 0.8


def paired(clean: ArrayLike, restored: ArrayLike, data_range: Range | None) -> Pairs:
    """Return pairs of images from two batches, as floats in the same unit, channels last."""
    if differ_in_size(clean) or differ_in_size(restored):
        singles: Any = zip(clean, restored, strict=True)  # type: ignore[arg-type]
        return [paired(x[None], z[None], data_range)[0] for x, z in singles]
    x, z = _batch(clean, "clean"), _batch(restored, "restored")
    if {x.ndim, z.ndim} == {3, 4} and x.size == z.size:  # gray; one has a channel axis
        x, z = x.reshape(x.shape[:3]), z.reshape(z.shape[:3])
    if x.shape != z.shape:
        raise ValueError(
            "clean and restored must have the same shape, (n, height, width), (n, height, width, "
            f"channels) or (n, channels, height, width). Got {x.shape} and {z.shape} instead."
        )
    units = (1.0, 1.0) if data_range is not None else _units(x, z)
    _check_units(x, z, units, data_range)
    # in double precision: squares of large values would overflow single precision
    shares = [a.astype(np.float64, order="C") / unit for a, unit in zip((x, z), units, strict=True)]
    return list(zip(*shares, strict=True))


def _units(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Return the divisors of two arrays; integers share one, unless both types imply a range."""
    if x.dtype.kind in "iu" and z.dtype.kind in "iu":
        of_type = [a for a in (x, z) if tells_its_range(a.dtype)]
        if not of_type:
            # It only matters whether values leave 0..255: -1 and 256 stand for all values beyond.
            ends = [max(-1, min(x.min(), z.min())), min(256, max(x.max(), z.max()))]
            of_type = [np.array(ends, dtype=np.int64)]
        # An array whose type does not imply a range has the unit of the other.
        x, z = of_type[0], of_type[-1]
    return integer_unit(x), integer_unit(z)


def _batch(images: ArrayLike, name: str) -> np.ndarray:
    """Return images as an array of (n, height, width) or (n, height, width, channels)."""
    array = as_array(images, name)
    if has_mask(array):
        raise ValueError(
            f"{name} is a masked array, but a metric counts all pixels. Pass only the known "
            f"pixels, or {name}.filled(value)."
        )
    array = np.asarray(array)
    if array.ndim == 2:
        raise ValueError(
            f"{name} has shape {array.shape}. Pass one image as {name}[np.newaxis], and flat "
            f"images as {name}.reshape(-1, height, width)."
        )
    if is_one_image(array.shape, None):
        array = array[np.newaxis]
    if array.ndim not in (3, 4) or 0 in array.shape or array.dtype.kind not in "buif":
        raise ValueError(
            f"{name} must hold real images, of shape (n, height, width), (n, height, width, "
            f"channels) or (n, channels, height, width). Got {array.dtype}, {array.shape} instead."
        )
    return np.moveaxis(array, 1, -1) if image_layout(array.shape, None).channels_first else array


def _check_units(
    x: np.ndarray, z: np.ndarray, units: tuple[float, float], data_range: Range | None
) -> None:
    """Raise an error if two arrays are not in the same unit, and warn about implausible units."""
    ends = check_range(data_range)
    types = {"float" if v.dtype.kind == "f" else v.dtype.name for v in (x, z)}
    ratio = _ratio_of_the_same(x, z) * units[0] / units[1]
    in_different_units = any(u / 2 < ratio < 2 * u for n in _UNITS for u in (n, 1 / n))
    difference = f"restored, of {z.dtype}, is {ratio:.3g} times clean, of {x.dtype}"
    if in_different_units and len(types) > 1:
        raise ValueError(
            f"clean and restored are not in one unit: {difference}. Without data_range, integers "
            "of images are divided by their type's maximum. With data_range, all values are "
            "used unchanged."
        )
    if data_range is not None:
        return
    warn_of_type(x, units[0], "clean")
    warn_of_type(z, units[1], "restored")
    if units[0] == 1:
        warn_of_range(x, ends, "clean")
    if in_different_units:
        warn(f"clean and restored may not be in one unit: {difference}.", DataConversionWarning)


def _ratio_of_the_same(x: np.ndarray, z: np.ndarray) -> float:
    """Return the ratio of norms, ``||z|| / ||x||``, or 0 if the arrays show different images."""
    x_, z_ = (np.nan_to_num(a.astype(np.float64)).ravel() for a in (x, z))
    lengths = np.linalg.norm(x_), np.linalg.norm(z_)
    alike = np.vdot(x_, z_) > _ALIKE * lengths[0] * lengths[1] > 0
    return float(lengths[1] / lengths[0]) if alike else 0.0


def reduced(values: list[float], per_image: bool) -> float | np.ndarray:
    """Return the values of all pairs, or their mean."""
    return np.asarray(values) if per_image else float(np.mean(values))
