"""Computed tomography: integrals of an image along parallel lines."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse

from skmetainv.operators.checks import check_image, check_numbers
from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.composed import composed
from skmetainv.operators.maps.masks import RandomMaskMap, draw_entries
from skmetainv.operators.maps.matrices import SparseMap
from skmetainv.operators.operator import Operator
from skmetainv.parameters import COUNT


class Radon(Operator):
    """Parallel-beam tomography: ``A(x)(theta, s)`` is the integral of an image along a line.

    The line at angle `theta` and offset `s` is ``s = X cos(theta) + Y sin(theta)``, where `X`
    points right and `Y` points up from pixel ``(height // 2, width // 2)``. A measurement has a row
    for each angle and a column for each detector. Detectors are one pixel wide; detector
    ``n_detectors // 2`` is at ``s = 0``. Lengths are in pixels.

    Parameters
    ----------
    angles : int or array-like of shape (n_angles,), default=180
        The angles, in degrees. If an integer, that number of angles in equal steps from 0 to below
        180.
    n_views : int, default=None
        Number of angles at which each image is measured. They are drawn at random for each image,
        and the rows of the other angles are NaN. If None, all angles are measured.
    n_detectors : int, default=None
        Number of detectors. If None, the smallest number that covers the image at every angle,
        ``2 ceil(hypot(height // 2, width // 2)) + 1``.

    Raises
    ------
    ValueError
        By `build`, if the angles are not finite numbers, or if there are fewer than `n_views`.

    Notes
    -----
    Integrals are computed by Joseph's method: the image is interpolated linearly where the line
    crosses each row, or each column if the line is closer to horizontal. `skimage.transform.radon`
    has the same geometry (its sinogram is the transpose) but rotates the image instead. The matrix
    and its transpose are kept as sparse matrices, which take about ``32 n_angles height width``
    bytes in single precision.

    References
    ----------
    Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Transactions on
    Medical Imaging, 1982.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Radon
    >>> A = Radon(angles=[0.0, 90.0], n_detectors=3).build(image_shape=(1, 3, 3)).to(torch.float32)
    >>> A(torch.arange(9.0).reshape(1, 1, 3, 3))
    tensor([[[[ 9., 12., 15.],
              [21., 12.,  3.]]]])
    """

    angles: Any = 180
    _: KW_ONLY
    n_views: int | None = None
    n_detectors: int | None = None

    _parameter_constraints = {
        "angles": [COUNT, "array-like"],
        "n_views": [COUNT, None],
        "n_detectors": [COUNT, None],
    }

    @property
    def has_missing(self) -> bool:
        """Whether `n_views` leaves out angles, whose rows are then NaN."""
        return self.n_views is not None

    def build(self, image_shape: Shape) -> ForwardMap:
        check_image(self, image_shape)
        channels, *size = image_shape
        angles = self._angles()
        n_detectors = self.n_detectors or _all_detectors(*size)
        shape = (channels, len(angles), n_detectors)
        A = SparseMap(image_shape, shape, _line_integrals(tuple(size), angles, n_detectors))
        if self.n_views is None:
            return A
        if self.n_views > len(angles):
            raise ValueError(
                f"The 'n_views' parameter of Radon must be at most {len(angles)}, the number of "
                f"angles. Got {self.n_views!r} instead."
            )
        counts = (self.n_views, self.n_views)
        return composed(RandomMaskMap(shape, partial(draw_entries, (1, len(angles), 1), counts)), A)

    def _angles(self) -> np.ndarray:
        """Return the angles in degrees."""
        if isinstance(self.angles, Integral):
            return np.arange(int(self.angles)) * (180 / int(self.angles))
        angles = check_numbers(self.angles, "angles", self).astype(np.float64)
        if angles.ndim != 1 or angles.size == 0:
            raise ValueError(
                "The 'angles' parameter of Radon must be a number of angles or a finite array of "
                f"shape (n_angles,), in degrees. Got {self.angles!r} instead."
            )
        return angles


def _all_detectors(height: int, width: int) -> int:
    """Return the number of detectors that cover every pixel at every angle.

    The pixel farthest from ``(height // 2, width // 2)`` is a corner. A detector that is a pixel or
    more beyond it measures nothing.
    """
    return 2 * math.ceil(math.hypot(height // 2, width // 2)) + 1


def _line_integrals(
    size: tuple[int, ...], angles: np.ndarray, n_detectors: int
) -> scipy.sparse.csr_array:
    """Return the sparse matrix of line integrals, (n_angles * n_detectors, height * width)."""
    offsets = np.arange(n_detectors) - n_detectors // 2
    blocks = [_at_one_angle(size, np.deg2rad(angle), offsets) for angle in angles]
    return scipy.sparse.vstack(blocks, format="csr")


def _at_one_angle(
    size: tuple[int, ...], angle: float, offsets: np.ndarray
) -> scipy.sparse.csr_array:
    """Return the rows of the matrix for the lines at one angle, one line per offset."""
    height, width = size
    sine, cosine = math.sin(angle), math.cos(angle)
    down, right = np.arange(height) - height // 2, np.arange(width) - width // 2
    if abs(cosine) >= abs(sine):  # where the line crosses each row
        across = width // 2 + (offsets[:, None] + down * sine) / cosine
        n, step_along, step_across, length = width, width, 1, 1 / abs(cosine)
    else:  # where it crosses each column
        across = height // 2 + (right * cosine - offsets[:, None]) / sine
        n, step_along, step_across, length = height, 1, width, 1 / abs(sine)
    lower = np.floor(across)
    share = across - lower
    taps = np.stack([lower, lower + 1], axis=-1).astype(np.int32)
    values = length * np.stack([1 - share, share], axis=-1)
    along = step_along * np.arange(across.shape[1], dtype=np.int32)
    columns = along[:, None] + step_across * taps
    inside = (taps >= 0) & (taps < n) & (values > 1e-12)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=(1, 2)))], dtype=np.int32)
    shape = (len(offsets), height * width)
    return scipy.sparse.csr_array((values[inside], columns[inside], starts), shape=shape)
