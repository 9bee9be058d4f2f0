"""What the first images tell of all: units hardly meant, arguments the wrong way round."""

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

# Noise makes exact measurements of images in their range hardly so many times as large.
_FAR_OF_NOISE = 3

# Numbers that differ by no more than this share are rounded.
_EXACT = 1e-3

# The least variance of what should be hidden, in shares of that of what is observed; and the
# largest squared step to the next pixel, in shares of the former: of white noise it is 2.
_VARIES, _ALIKE = 0.01, 1.2

# Masks of so many draws have missing entries, if any of an operator has.
_DRAWS = 3


def look_at_images(images: ArraySource, data_range: tuple[float, float]) -> None:
    """Warn of clean images in units that can hardly be meant.

    Parameters
    ----------
    images : ArraySource
        The first of them are read.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Warns
    -----
    DataConversionWarning
        If integers are not of a type that pictures have, or use little of its range; if values lie
        far outside the data range.
    """
    values = first_images(images.array)
    warn_of_type(values, images.unit, images.name)
    if images.unit == 1:
        warn_of_range(values.astype(np.float64), data_range, images.name)


def look_at_measurements(
    measured: ArraySource, A: ForwardMap, data_range: tuple[float, float]
) -> None:
    """Warn of measurements that are hardly those of an operator.

    Parameters
    ----------
    measured : ArraySource
        The first of them are read.
    A : ForwardMap
        What measures.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Warns
    -----
    DataConversionWarning
        If they are in units that can hardly be meant; if they have values where nothing is
        observed, or none is missing where some always are: they may be clean images.
    """
    values = first_images(measured.array)
    warn_of_type(values, measured.unit, measured.name)
    y = _read_first(measured)
    _warn_of_size(
        y,
        FAR * _largest_norm(A, data_range, y),
        measured.name,
        "pass measurements in the units of the images, or data_range with images and measurements "
        "in other units",
    )
    if _shows_unobserved(A, y):
        warn(
            f"{measured.name} looks like clean images: it has values where the operator observes "
            "nothing, which play no part. simulate(images) gives measurements.",
            DataConversionWarning,
        )
    elif _nothing_is_missing(A, y):
        warn(
            f"{measured.name} looks like clean images: nothing is missing in the first of them, "
            "though the operator leaves out some of every measurement, as NaN. simulate(images) "
            "gives measurements.",
            DataConversionWarning,
        )


def look_at_pairs(
    measured: ArraySource, clean: ArraySource, A: ForwardMap, data_range: tuple[float, float]
) -> None:
    """Look at measurements and their clean images; raise if they are the wrong way round.

    Parameters
    ----------
    measured, clean : ArraySource
        The first of them are read.
    A : ForwardMap
        What measures.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Raises
    ------
    ValueError
        If what is called clean is the exact measurement of what is called measured, or lacks
        values that the operator leaves out and the other has.

    Warns
    -----
    DataConversionWarning
        See `look_at_images` and `look_at_measurements`.
    """
    y, x = _read_first(measured), _read_first(clean)
    masked = False
    if A.measurement_shape == A.image_shape and _shows_unobserved(A, y):
        with torch.no_grad():  # what is called clean is the exact measurement of the other
            masked = _norm(A(y) - x) <= _EXACT * _norm(x)
    if masked or (bool(x.isnan().any()) and _nothing_is_missing(A, y)):
        raise ValueError(
            f"{measured.name} and {clean.name} are the wrong way round: it is {clean.name} that "
            "lacks what the operator does not observe. Measurements come first, clean images "
            "second."
        )
    look_at_images(clean, data_range)
    look_at_measurements(measured, A, data_range)


def look_at_simulated(
    y: torch.Tensor, x: torch.Tensor, A: ForwardMap, data_range: tuple[float, float], noise: object
) -> None:
    """Warn of simulated measurements that are much larger than exact ones can be.

    Parameters
    ----------
    y, x : tensor
        Measurements with noise, and their clean images.
    A : ForwardMap
        What measures.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    noise : object
        What the user gave for the noise.

    Warns
    -----
    DataConversionWarning
        If they are so: the noise is hardly in the units that are meant.
    """
    exact = max(_largest_norm(A, data_range, x), _norm(A(x)))
    _warn_of_size(
        y,
        _FAR_OF_NOISE * exact,
        "A simulated measurement",
        f"the noise, {noise!r}, is in the units of the measurement, and far above them; noise of "
        "pictures from 0 to 255 is divided by 255",
    )


def look_at_noise_levels(
    levels: Mapping[str, Any], data_range: tuple[float, float], owner: str
) -> None:
    """Warn of noise levels above the width of the images' range.

    Parameters
    ----------
    levels : mapping of str to float or sequence of float
        Standard deviations, by the names of the parameters; what holds no numbers is passed over.
    data_range : (float, float)
        The least and the largest value that images nominally have.
    owner : str
        Whose parameters they are.

    Warns
    -----
    DataConversionWarning
        If one is.
    """
    for name, level in levels.items():
        numbers = np.asarray(level)
        if numbers.dtype.kind in "iuf" and numbers.max() > data_range[1] - data_range[0]:
            warn(
                f"The {name!r} parameter of {owner} is {level!r}, a standard deviation in the "
                f"units of images whose data range is {data_range}. Levels for pictures from 0 to "
                "255 are divided by 255, or data_range=255 is passed.",
                DataConversionWarning,
            )


@torch.no_grad()
def _largest_norm(A: ForwardMap, data_range: tuple[float, float], like: torch.Tensor) -> float:
    """Return a norm that measurements of images of the data range hardly exceed by far.

    It is the largest of those of the darkest, the brightest and a random image: what measures may
    be nonlinear, or not know its norm.
    """
    low, high = data_range
    random = np.random.default_rng(0).uniform(low, high, A.image_shape)
    images = [np.full(A.image_shape, low), np.full(A.image_shape, high), random]
    return _norm(A(torch.from_numpy(np.stack(images)).to(like)))


def _norm(y: torch.Tensor) -> float:
    """Return the largest norm of a batch; what is missing counts as 0."""
    return float(y.nan_to_num().flatten(1).norm(dim=1).max())


def _warn_of_size(y: torch.Tensor, most: float, name: str, cause: str) -> None:
    """Warn if measurements are larger than those of images in their range can be."""
    if _norm(y) > most > 0:
        warn(
            f"{name} is far larger than the measurement of an image in its data range can be: "
            f"{cause}.",
            DataConversionWarning,
        )


def _read_first(source: ArraySource) -> torch.Tensor:
    return source.read(np.arange(len(first_images(source.array))))


def _shows_unobserved(A: ForwardMap, y: torch.Tensor) -> bool:
    """Whether measurements vary as images do where one mask for all lets nothing through.

    Neighbours are more alike in images than in noise, and what fills a hole does not vary in it.
    """
    if A.observed is None or A.measurement_shape != A.image_shape or A.observed.all():
        return False
    hidden = ~A.observed.expand_as(y)
    both = hidden[..., 1:] & hidden[..., :-1]
    if not both.any():
        return False
    steps = y.nan_to_num().diff(dim=-1)[both].square().mean()
    variances = [
        torch.stack([v[m].var(correction=0) for v, m in zip(values, mask, strict=True)])
        for values, mask in (
            (_by_channel(y.nan_to_num()), _by_channel(hidden)),
            (_by_channel(y.nan_to_num()), _by_channel(~hidden)),
        )
    ]
    unseen, seen = (v.nan_to_num().mean() for v in variances)
    return bool(unseen > _VARIES * seen and steps < _ALIKE * unseen)


def _by_channel(y: torch.Tensor) -> torch.Tensor:
    """Return a batch with a row for every channel of every image, or for every flat measurement."""
    return y.flatten(2).flatten(0, 1) if y.ndim > 2 else y


def _nothing_is_missing(A: ForwardMap, y: torch.Tensor) -> bool:
    """Whether no entry is NaN though the operator leaves out some of every measurement."""
    if y.isnan().any():
        return False
    drawn = [A.draw([np.random.default_rng(i)]) for i in range(_DRAWS)]
    masks = [B.observed for B in drawn if math.isnan(B.missing_value)]
    return bool(masks) and not any(mask is None or mask.all() for mask in masks)
