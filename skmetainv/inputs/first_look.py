"""Checks of the first images of an array: implausible units, swapped arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays import ArraySource
from skmetainv.arrays.units import FAR, first_images, warn_of_range, warn_of_type
from skmetainv.exceptions import warn
from skmetainv.operators import ForwardMap

# The largest plausible ratio between the norms of noisy and of exact measurements.
_FAR_OF_NOISE = 3

# The relative tolerance for rounding errors.
_EXACT = 1e-3

# Unobserved pixels look like an image on two conditions. Their variance is more than _VARIES times
# the variance of observed pixels. And the mean squared difference between neighbouring unobserved
# pixels is less than _ALIKE times their variance; in white noise it is twice the variance.
_VARIES, _ALIKE = 0.01, 1.2

# The number of masks that are drawn to find out whether an operator always leaves out entries.
_DRAWS = 3


def look_at_images(images: ArraySource, data_range: tuple[float, float]) -> None:
    """Warn of clean images in implausible units.

    Parameters
    ----------
    images : ArraySource
        The images; only the first of them are read.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Warns
    -----
    DataConversionWarning
        If the unit of integers is uncertain, see `warn_of_type`. If values that are not rescaled
        are far outside the data range, or all close to 0, see `warn_of_range`.
    """
    values = first_images(images.array)
    warn_of_type(values, images.unit, images.name)
    if images.unit == 1:
        warn_of_range(values.astype(np.float64), data_range, images.name)


def look_at_measurements(
    measured: ArraySource, A: ForwardMap, data_range: tuple[float, float]
) -> None:
    """Warn of measurements that are implausible for an operator.

    Parameters
    ----------
    measured : ArraySource
        The measurements; only the first of them are read.
    A : ForwardMap
        The forward map.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Warns
    -----
    DataConversionWarning
        If measurements are in implausible units, or look like clean images. They look like clean
        images if they vary like an image where nothing is observed, or if they have no NaN although
        the operator always leaves out entries.
    """
    values = first_images(measured.array)
    warn_of_type(values, measured.unit, measured.name)
    y = _read_first(measured)
    A = A.part(0, len(y))
    _warn_of_size(
        y,
        FAR * _largest_norm(A, data_range, y),
        measured.name,
        "pass measurements in the units of the images, or data_range if images and measurements "
        "are in other units",
    )
    if _shows_unobserved(A, y):
        warn(
            f"{measured.name} looks like clean images: it has values where the operator observes "
            "nothing, and these are ignored. simulate(images) returns measurements.",
            DataConversionWarning,
        )
    elif _nothing_is_missing(A, y):
        warn(
            f"{measured.name} looks like clean images: nothing is missing in the first of them, "
            "though the operator leaves out part of every measurement, as NaN. simulate(images) "
            "returns measurements.",
            DataConversionWarning,
        )


def look_at_pairs(
    measured: ArraySource, clean: ArraySource, A: ForwardMap, data_range: tuple[float, float]
) -> None:
    """Check measurements and their clean images; raise if the two are swapped.

    Parameters
    ----------
    measured, clean : ArraySource
        The measurements and the clean images; only the first of them are read.
    A : ForwardMap
        The forward map.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Raises
    ------
    ValueError
        If `clean` is the exact measurement of `measured`, or if `clean` has missing values and
        `measured` has none although the operator always leaves out entries.

    Warns
    -----
    DataConversionWarning
        See `look_at_images` and `look_at_measurements`.
    """
    y, x = _read_first(measured), _read_first(clean)
    with torch.no_grad():  # x may be the exact measurement of y
        masked = _shows_unobserved(A, y) and _norm(A(y) - x) <= _EXACT * _norm(x)
    if masked or (bool(x.isnan().any()) and _nothing_is_missing(A, y)):
        raise ValueError(
            f"{measured.name} and {clean.name} are the wrong way round: {clean.name} lacks the "
            "pixels that the operator does not observe. Measurements come first, clean images "
            "second."
        )
    look_at_images(clean, data_range)
    look_at_measurements(measured, A, data_range)


def look_at_simulated(
    y: torch.Tensor, x: torch.Tensor, A: ForwardMap, data_range: tuple[float, float], noise: object
) -> None:
    """Warn if the noise makes simulated measurements implausibly large.

    Parameters
    ----------
    y, x : tensor
        Measurements with noise, and their clean images.
    A : ForwardMap
        The forward map.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    noise : object
        The `noise` parameter, for the message.

    Warns
    -----
    DataConversionWarning
        If the largest norm of `y` is more than three times the largest norm of exact measurements.
        The noise is then probably in other units.
    """
    exact = max(_largest_norm(A, data_range, x), _norm(A(x)))
    _warn_of_size(
        y,
        _FAR_OF_NOISE * exact,
        "A simulated measurement",
        f"the noise, {noise!r}, is too large. It must be in the units of the measurement; divide "
        "noise of pictures from 0 to 255 by 255",
    )


def look_at_noise_levels(
    levels: Mapping[str, Any], data_range: tuple[float, float], owner: str
) -> None:
    """Warn of noise levels above the width of the data range.

    Parameters
    ----------
    levels : mapping of str to float or sequence of float
        Standard deviations, by the names of their parameters. Values that are not numbers are
        skipped.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    owner : str
        The name of the class with these parameters.

    Warns
    -----
    DataConversionWarning
        If a noise level is above the width of the data range.
    """
    for name, level in levels.items():
        numbers = np.asarray(level)
        if numbers.dtype.kind in "iuf" and numbers.max() > data_range[1] - data_range[0]:
            warn(
                f"The {name!r} parameter of {owner} is {level!r}, a standard deviation in the "
                f"units of images whose data range is {data_range}. Divide levels for pictures "
                "from 0 to 255 by 255, or pass data_range=255.",
                DataConversionWarning,
            )


@torch.no_grad()
def _largest_norm(A: ForwardMap, data_range: tuple[float, float], like: torch.Tensor) -> float:
    """Return an estimate of the largest norm of measurements of images in the data range.

    The estimate is the largest norm among the measurements of the darkest, the brightest and a
    random image. The operator norm cannot be used, because the map may be nonlinear.
    """
    low, high = data_range
    random = np.random.default_rng(0).uniform(low, high, A.image_shape)
    images = [np.full(A.image_shape, low), np.full(A.image_shape, high), random]
    x = torch.from_numpy(np.stack(images)).to(like)
    return max(_norm(of_instrument(x)) for of_instrument in A.each)


def _norm(y: torch.Tensor) -> float:
    """Return the largest norm in a batch of measurements or images; missing values count as 0."""
    return float(y.nan_to_num().flatten(1).norm(dim=1).max())


def _warn_of_size(y: torch.Tensor, most: float, name: str, cause: str) -> None:
    """Warn if the norm of a measurement is above `most`, the largest plausible one."""
    if _norm(y) > most > 0:
        warn(
            f"{name} is far larger than measurements of images in their data range: {cause}.",
            DataConversionWarning,
        )


def _read_first(source: ArraySource) -> torch.Tensor:
    return source.read(np.arange(len(first_images(source.array))))


def _shows_unobserved(A: ForwardMap, y: torch.Tensor) -> bool:
    """Return whether unobserved pixels, under a mask common to all images, look like an image.

    In an image, neighbouring pixels are more similar than in noise, but not constant like a fill
    value.
    """
    if A.observed is None or A.measurement_shape != A.image_shape or A.observed.all():
        return False
    hidden = ~A.observed.expand_as(y)
    both = hidden[..., 1:] & hidden[..., :-1]
    if not both.any():
        return False
    values = y.nan_to_num()
    steps = values.diff(dim=-1)[both].square().mean()
    unseen, seen = _variance(values, hidden), _variance(values, ~hidden)
    return bool(unseen > _VARIES * seen and steps < _ALIKE * unseen)


def _variance(y: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the variance of the pixels in a mask, as a mean over the channels of all images."""
    by_channel = zip(y.flatten(2).flatten(0, 1), mask.flatten(2).flatten(0, 1), strict=True)
    return torch.stack([v[m].var(correction=0) for v, m in by_channel]).nan_to_num().mean()


def _nothing_is_missing(A: ForwardMap, y: torch.Tensor) -> bool:
    """Return whether no entry is NaN although the operator leaves out part of every measurement."""
    if y.isnan().any():
        return False
    drawn = [B.draw([np.random.default_rng(i)]) for B in A.each for i in range(_DRAWS)]
    masks = [B.observed for B in drawn if math.isnan(B.missing_value)]
    return bool(masks) and not any(mask is None or mask.all() for mask in masks)
