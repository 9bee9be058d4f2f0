"""Magnetic resonance imaging: the Fourier transform of an image, sampled by one or more coils."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skmetainv.operators.checks import check_channels, check_image, check_numbers, check_size
from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.fourier import CoilMap, FourierMap
from skmetainv.operators.operator import Operator
from skmetainv.parameters import COUNT, Interval, StrOptions

_PARTS = ", the real and the imaginary part, with complex_image=True"


class _Undersampling(Operator):
    """Undersampling of the Fourier transform.

    Parameters
    ----------
    pattern : {"cartesian", "radial", "random"} or array-like of bool, default="cartesian"
        Sampled frequencies. "cartesian": whole columns, as for phase encoding along the width.
        "radial": lines through the centre at equal angles, the first along a row. "random": single
        frequencies. An array has the shape ``(height, width)`` and is True where sampled.
    acceleration : float, default=4.0
        Undersampling factor of a named pattern, at least 1. The pattern has
        ``width / acceleration`` columns ("cartesian") or lines ("radial"), or
        ``height width / acceleration`` frequencies ("random"), rounded, and at least one. Ignored
        if `pattern` is an array.
    center_fraction : float, default=0.08
        Size of the centre that "cartesian" and "random" always sample, in [0, 1]: a share of the
        columns, for "random" also of the rows. The other samples are drawn at random. If the centre
        holds more frequencies than `acceleration` allows, the whole centre is sampled nevertheless.
    complex_image : bool, default=False
        Whether the two channels of an image are the real and the imaginary part of one complex
        image.
    random_state : int, default=0
        Seed of the pattern.
    """

    _: KW_ONLY
    pattern: Any = "cartesian"
    acceleration: float = 4.0
    center_fraction: float = 0.08
    complex_image: bool = False
    random_state: int = 0

    _parameter_constraints = {
        "pattern": [StrOptions({"cartesian", "radial", "random"}), "array-like"],
        "acceleration": [Interval(Real, 1, None, closed="left")],
        "center_fraction": [Interval(Real, 0, 1, closed="both")],
        "complex_image": ["boolean"],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def _observed(self, image_shape: Shape) -> torch.Tensor:
        """Return the mask of a measurement, after checking the shape of the images."""
        check_image(self, image_shape)
        if self.complex_image:
            check_channels(self, image_shape, 2, _PARTS)
        return torch.from_numpy(self._mask(image_shape))[None, None, :, :, None]

    def _mask(self, image_shape: Shape) -> np.ndarray:
        """Return the mask of sampled frequencies, with the zero frequency in the middle."""
        size = image_shape[1:]
        if not isinstance(self.pattern, str):
            mask = _checked_pattern(check_numbers(self.pattern, "pattern", self), size)
            check_size(self, "pattern", mask.shape, image_shape)
            return mask
        if self.pattern == "radial":
            return _spokes(size, max(1, round(size[1] / self.acceleration)))
        generator = np.random.default_rng(self.random_state)
        if self.pattern == "cartesian":
            columns = _center((size[1],), self.center_fraction)
            return np.tile(_filled(columns, self.acceleration, generator), (size[0], 1))
        return _filled(_center(size, self.center_fraction), self.acceleration, generator)


class FourierSampling(_Undersampling):
    """``A(x) = m F x``: an undersampled Fourier transform, as in single-coil MRI.

    ``F`` is the orthonormal two-dimensional Fourier transform of each channel. The origins of the
    image and of the frequencies are in the middle, ``(height // 2, width // 2)``. A measurement has
    the image's layout and a last axis with real and imaginary parts; complex arrays are accepted,
    too. Frequencies that are not sampled are 0.

    Raises
    ------
    ValueError
        By `build`, if an array `pattern` does not have the image's height and width, is not boolean
        or is all False, or if a complex image does not have two channels.

    Notes
    -----
    The default pattern, random columns around a fully sampled centre, and the origins are those of
    the fastMRI challenge (Zbontar et al., "fastMRI: an open dataset and benchmarks for accelerated
    MRI", 2018). The transform of a real image is Hermitian: a frequency and its point reflection
    hold the same information.

    Examples
    --------
    >>> from skmetainv.operators import FourierSampling
    >>> A = FourierSampling(acceleration=4, center_fraction=0.1).build(image_shape=(1, 16, 32))
    >>> A.measurement_shape
    (1, 16, 32, 2)
    >>> A.observed[0, 0, 0, :, 0].sum()
    tensor(8)
    """

    pattern: Any = "cartesian"

    def build(self, image_shape: Shape) -> LinearMap:
        return FourierMap(image_shape, self._observed(image_shape), self.complex_image)


class MultiCoilMRI(_Undersampling):
    """``A(x) = m F (s_c x)`` for every coil `c`: magnetic resonance imaging with several coils.

    The coils take the place of the channels in a measurement. If images have their channels last,
    or no channels, measurements have the shape ``(n, height, width, coils, 2)``. Everything else is
    as in `FourierSampling`.

    Parameters
    ----------
    sensitivities : int or array-like of complex, default=4
        The maps ``s_c``, shape ``(height, width, coils)``. If an integer, that number of coils is
        simulated, see the notes.

    Raises
    ------
    ValueError
        By `build`, if the maps do not have the image's height and width; if the image is not gray
        or, with ``complex_image=True``, does not have two channels; and as in `FourierSampling`.

    Notes
    -----
    Simulated coils lie at equal angles on a circle around the image. The circle's radius is three
    quarters of the image's diagonal. The sensitivity at a distance `d` is ``exp(i angle) / d``,
    where `angle` is the direction from the coil to the pixel. The maps are normalised to
    ``sum_c |s_c|^2 = 1``.

    References
    ----------
    Pruessmann, Weiger, Scheidegger and Boesiger, "SENSE: sensitivity encoding for fast MRI",
    Magnetic Resonance in Medicine, 1999.

    Examples
    --------
    >>> from skmetainv.operators import MultiCoilMRI
    >>> MultiCoilMRI(sensitivities=3).build(image_shape=(1, 16, 16)).measurement_shape
    (3, 16, 16, 2)
    """

    sensitivities: Any = 4

    _parameter_constraints = {
        **_Undersampling._parameter_constraints,
        "sensitivities": [COUNT, "array-like"],
    }

    def build(self, image_shape: Shape) -> LinearMap:
        observed = self._observed(image_shape)
        if not self.complex_image:
            check_channels(self, image_shape, 1, "; with complex_image=True, of 2 channels")
        size = image_shape[1:]
        if isinstance(self.sensitivities, Integral):
            maps = _simulated_coils(int(self.sensitivities), tuple(size))
        else:
            maps = check_numbers(self.sensitivities, "sensitivities", self, kinds="buifc")
            maps = _checked_coils(maps, tuple(size))
            check_size(self, "sensitivities", maps.shape[1:], image_shape)
        return CoilMap(image_shape, torch.from_numpy(maps), observed)


def _checked_pattern(mask: np.ndarray, size: Shape) -> np.ndarray:
    """Return a copy of a user's pattern, or raise an error if it is not a valid mask."""
    if mask.dtype != bool or mask.ndim != 2 or not mask.any():
        raise ValueError(
            "The 'pattern' parameter must be 'cartesian', 'radial', 'random' or a boolean array "
            f"of shape {tuple(size)}, True where sampled and not all False. Got an array of "
            f"{mask.dtype}, shape {mask.shape}, with {np.count_nonzero(mask)} nonzero entries, "
            "instead."
        )
    return mask.copy()


def _center(size: Shape, fraction: float) -> np.ndarray:
    """Return a mask that is True in a box around the zero frequency, a share of every axis."""
    mask = np.zeros(size, dtype=bool)
    counts = [round(fraction * n) for n in size]
    block = tuple(
        slice(n // 2 - count // 2, n // 2 - count // 2 + count)
        for n, count in zip(size, counts, strict=True)
    )
    mask[block] = True
    return mask


def _filled(mask: np.ndarray, acceleration: float, generator: np.random.Generator) -> np.ndarray:
    """Return a mask with random entries set until the share ``1 / acceleration`` is True."""
    mask = mask.copy()
    missing = max(1, round(mask.size / acceleration)) - np.count_nonzero(mask)
    mask.flat[generator.permutation(np.flatnonzero(~mask))[: max(0, missing)]] = True
    return mask


def _spokes(size: Shape, n_spokes: int) -> np.ndarray:
    """Return a mask of lines through the centre, each with one frequency per row or per column."""
    mask = np.zeros(size, dtype=bool)
    middle = np.array(size) // 2
    reach = max(size)
    for angle in np.pi * np.arange(n_spokes) / n_spokes:
        direction = np.array([np.sin(angle), np.cos(angle)])
        direction /= np.abs(direction).max()
        points = middle + np.round(np.arange(-reach, reach + 1)[:, None] * direction).astype(int)
        points = points[((points >= 0) & (points < size)).all(axis=1)]
        mask[tuple(points.T)] = True
    return mask


def _simulated_coils(n_coils: int, size: Shape) -> NDArray[np.complex128]:
    """Return maps of coils on a circle, shape (coils, height, width)."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in size)
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    radius = 0.75 * max(1.0, math.hypot(*size))
    down = rows[:, np.newaxis] - radius * np.sin(angles)[:, np.newaxis, np.newaxis]
    right = columns - radius * np.cos(angles)[:, np.newaxis, np.newaxis]
    maps = (right + 1j * down) / (right**2 + down**2)
    return maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))


def _checked_coils(maps: np.ndarray, size: Shape) -> np.ndarray:
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            "The 'sensitivities' parameter of MultiCoilMRI must be a number of coils or an "
            f"array of shape {(*size, 'coils')}, real or complex. Got an array of {maps.dtype}, "
            f"shape {maps.shape}, instead."
        )
    return np.ascontiguousarray(np.moveaxis(maps, -1, 0), dtype=np.complex128)
