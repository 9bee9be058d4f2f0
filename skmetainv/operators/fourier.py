"""Magnetic resonance imaging: samples of the Fourier transform, by one coil or several."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.fourier import CoilMap, FourierMap
from skmetainv.operators.operator import (
    Operator,
    check_channels,
    check_image,
    check_numbers,
    check_size,
)
from skmetainv.parameters import Interval, StrOptions

_PARTS = ", the real and the imaginary part, with complex_image=True"


class _Undersampling(Operator):
    """Some samples of the Fourier transform; a subclass writes `_map`.

    Parameters
    ----------
    pattern : {"cartesian", "radial", "random"} or array-like of bool, default="cartesian"
        What is sampled: whole columns of frequencies, phase being encoded along the width; lines
        through the centre at equal angles, the first along a row; single frequencies. An array has
        the shape ``(height, width)`` and is True where sampled.
    acceleration : float, default=4.0
        Of a pattern by name: it has one `acceleration`-th of the columns, of as many lines as the
        image has columns, or of the frequencies, and at least one of them. At least 1.
    center_fraction : float, default=0.08
        Of "cartesian" and "random": the share of the columns around the centre, or of columns and
        rows, that is sampled in any case; the rest of the samples is drawn at random. In [0, 1].
    complex_image : bool, default=False
        The two channels of an image are the real and the imaginary part of one complex image.
    random_state : int, default=0
        Seed of the instrument's pattern.
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

    def build(self, image_shape: Shape) -> LinearMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        check_image(self, image_shape)
        if self.complex_image:
            check_channels(self, image_shape, 2, _PARTS)
        observed = torch.from_numpy(self._mask(image_shape))[None, None, :, :, None]
        return self._map(image_shape, observed)

    @abstractmethod
    def _map(self, image_shape: Shape, observed: torch.Tensor) -> LinearMap:
        """Return the map with the frequencies that are sampled."""

    def _mask(self, image_shape: Shape) -> np.ndarray:
        """Return what is sampled, the zero frequency in the middle."""
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
    """``A(x) = m F x``: some samples of the Fourier transform, single-coil MRI.

    ``F`` is the orthonormal two-dimensional transform of each channel, origins of the image and of
    the frequencies in the middle, ``(height // 2, width // 2)``. A measurement has the image's
    layout and a last axis with real and imaginary parts; complex arrays are taken as well. What is
    not sampled is 0.

    Raises
    ------
    ValueError
        By `build`, if a mask is not of the image's shape, not boolean or all False, or a complex
        image has not two channels.

    Notes
    -----
    Columns at random around a fully sampled centre are the masks of the fastMRI challenge (Zbontar
    et al., "fastMRI: an open dataset and benchmarks for accelerated MRI", 2018), whose convention
    for the origins this is, too. The transform of a real image is Hermitian: what one frequency
    says, its point reflection says as well.

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

    def _map(self, image_shape: Shape, observed: torch.Tensor) -> LinearMap:
        return FourierMap(image_shape, observed, self.complex_image)


class MultiCoilMRI(_Undersampling):
    """``A(x) = m F (s_c x)`` for every coil `c`: magnetic resonance imaging by several coils.

    The coils are the channels of a measurement: the last axis but that of real and imaginary
    parts. Everything else is as in `FourierSampling`.

    Parameters
    ----------
    sensitivities : int or array-like of complex, default=4
        The maps ``s_c``, shape ``(height, width, coils)``. A number of coils stands for simulated
        ones, see the notes.

    Raises
    ------
    ValueError
        By `build`, if the maps are not of the image's size, or the image is neither gray nor, with
        ``complex_image=True``, of two channels; or as `FourierSampling`.

    Notes
    -----
    Simulated coils lie at equal angles on a circle around the image, of three quarters of its
    diagonal. The sensitivity at a distance `d` is ``exp(i angle) / d``, the angle that of the line
    to the coil; the maps are normalised to ``sum_c |s_c|^2 = 1``.

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
        "sensitivities": [Interval(Integral, 1, None, closed="left"), "array-like"],
    }

    def _map(self, image_shape: Shape, observed: torch.Tensor) -> LinearMap:
        if not self.complex_image:
            check_channels(self, image_shape, 1, "; with complex_image=True, of 2 channels")
        size = image_shape[1:]
        if isinstance(self.sensitivities, Integral):
            maps = _simulated_coils(int(self.sensitivities), tuple(size))
        else:
            maps = check_numbers(self.sensitivities, "sensitivities", self, kinds="buifc")
            maps = _given_coils(maps, tuple(size))
            check_size(self, "sensitivities", maps.shape[1:], image_shape)
        return CoilMap(image_shape, torch.from_numpy(maps), observed)


def _checked_pattern(mask: np.ndarray, size: Shape) -> np.ndarray:
    """Return a user's pattern as an array of its own."""
    if mask.dtype != bool or mask.ndim != 2 or not mask.any():
        raise ValueError(
            "The 'pattern' parameter must be 'cartesian', 'radial', 'random' or a boolean array "
            f"of shape {tuple(size)}, True where sampled and not all False. Got an array of "
            f"{mask.dtype}, shape {mask.shape}, with {np.count_nonzero(mask)} entries that are not "
            "False, instead."
        )
    return mask.copy()


def _center(size: Shape, fraction: float) -> np.ndarray:
    """Return a mask of the share of every axis that lies around the zero frequency."""
    mask = np.zeros(size, dtype=bool)
    counts = [round(fraction * n) for n in size]
    block = tuple(
        slice(n // 2 - count // 2, n // 2 - count // 2 + count)
        for n, count in zip(size, counts, strict=True)
    )
    mask[block] = True
    return mask


def _filled(mask: np.ndarray, acceleration: float, generator: np.random.Generator) -> np.ndarray:
    """Return a mask with as many more entries, drawn at random, as the acceleration leaves."""
    mask = mask.copy()
    missing = max(1, round(mask.size / acceleration)) - np.count_nonzero(mask)
    mask.flat[generator.permutation(np.flatnonzero(~mask))[: max(0, missing)]] = True
    return mask


def _spokes(size: Shape, n_spokes: int) -> np.ndarray:
    """Return a mask of lines through the centre, each with one frequency a row or a column."""
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
    scaled: NDArray[np.complex128] = maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return scaled


def _given_coils(maps: np.ndarray, size: Shape) -> np.ndarray:
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            "The 'sensitivities' parameter of MultiCoilMRI must be a number of coils or an "
            f"array of shape {(*size, 'coils')}, real or complex. Got an array of {maps.dtype}, "
            f"shape {maps.shape}, instead."
        )
    return np.ascontiguousarray(np.moveaxis(maps, -1, 0), dtype=np.complex128)
