"""Operators that observe only some pixels. In every mask, True means observed."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import is_complex_shape
from skmetainv.operators.checks import as_count, check_numbers, check_size
from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.masks import MaskMap, RandomMaskMap, draw_entries
from skmetainv.operators.operator import Operator
from skmetainv.parameters import COUNT, Interval, StrOptions, integers


class Inpainting(Operator):
    """``A(x) = m x`` with one mask for all images; missing pixels are 0.

    Parameters
    ----------
    mask : {"center", "box"} or array-like of bool, default="center"
        The mask: "center" leaves out a box in the middle, "box" leaves out the given `box`. An
        array is True where an entry is observed. Its shape is that of an image, ``(height, width)``
        or ``(height, width, channels)``, or that of a flat measurement.
    fraction : float, default=1/3
        With ``mask="center"``, the share of the rows and of the columns that the box leaves
        out, in (0, 1). It leaves out at least one row and one column, but never every pixel.
    box : (int, int, int, int), default=None
        With ``mask="box"``, the box that is left out: first row, first column, number of rows and
        number of columns.

    Raises
    ------
    ValueError
        By `build`, if an array does not have the image's shape, is not boolean or is all False; if
        a box does not lie in the image or covers all of it; or if `mask` is a string and
        the operator before it, in a composition, has flat measurements.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Inpainting
    >>> A = Inpainting().build(image_shape=(1, 3, 3)).to(torch.float32)
    >>> A(torch.ones(1, 1, 3, 3))[0, 0]
    tensor([[1., 1., 1.],
            [1., 0., 1.],
            [1., 1., 1.]])
    """

    mask: Any = "center"
    _: KW_ONLY
    fraction: float = 1 / 3
    box: tuple[int, int, int, int] | None = None

    _parameter_constraints = {
        "mask": [StrOptions({"center", "box"}), "array-like"],
        "fraction": [Interval(Real, 0, 1, closed="neither")],
        "box": [tuple, list, None],
    }

    def build(self, image_shape: Shape) -> MaskMap:
        if not isinstance(self.mask, str):
            mask = self._checked_mask(image_shape)
        elif len(image_shape) < 3:
            raise ValueError(
                f"Inpainting(mask={self.mask!r}) leaves out a box of an image, but these "
                f"measurements are flat: pass a mask of shape {image_shape[:1]}."
            )
        elif self.mask == "center":
            mask = center_mask(image_shape[1:3], self.fraction)[np.newaxis]
        else:
            mask = _box_mask(image_shape[1:3], self.box)[np.newaxis]
        if is_complex_shape(image_shape):
            mask = mask[..., np.newaxis]  # both parts of a complex number
        return MaskMap(image_shape, torch.from_numpy(mask)[None])

    def _checked_mask(self, image_shape: Shape) -> np.ndarray:
        """Return the user's mask as (channels or 1, height, width), or flat, after checking it."""
        mask = check_numbers(self.mask, "mask", self)
        is_mask = mask.dtype == bool and mask.any()
        if len(image_shape) < 3:
            shapes = [tuple(image_shape[:1])]
        else:
            channels, *size = image_shape[:3]
            shapes = [tuple(size), (*size, channels)]
            if is_mask and mask.ndim == 2:
                check_size(self, "mask", mask.shape, image_shape)
        if not is_mask or mask.shape not in shapes:
            raise ValueError(
                "The 'mask' parameter of Inpainting must be 'center', 'box' or a boolean array, "
                "True where observed and not all False, of shape "
                f"{' or '.join(map(str, shapes))}. Got an array of {mask.dtype}, shape "
                f"{mask.shape}, with {np.count_nonzero(mask)} nonzero entries, instead."
            )
        return (mask if mask.ndim == 1 else np.moveaxis(np.atleast_3d(mask), -1, 0)).copy()


class MissingPixels(Operator):
    """``A(x) = m x`` with a random mask for each image; missing pixels are NaN.

    On its own, it leaves out pixels of an image. ``MissingPixels(...) @ operator`` leaves out
    samples of another operator's measurements.

    In a simulation, the mask of each image is drawn from the simulation's random state. In a
    reconstruction, the mask is read from the NaN of the measurement.

    Parameters
    ----------
    observed : float, int or (int, int), default=0.5
        Number of pixels that each image keeps, at least one. A float in (0, 1] is a share of all
        pixels, and an integer is a count. For a range of counts, (smallest, largest), one count is
        drawn for each image.
    per_channel : bool, default=False
        If True, entries are drawn instead of pixels: each channel of a pixel is kept or left out on
        its own, and counts are numbers of entries. The two parts of a complex sample are kept or
        left out together, and count as one.
    pattern : {"random", "side", "box"}, default="random"
        "random" keeps pixels drawn at random. The other two keep the same pixels in all channels.
        "side" keeps one side of the image: top, bottom, left or right, drawn per image. `observed`
        is then the share of rows or columns, at least one of them; ``observed=0.5`` is a contiguous
        half. "box" leaves out a box at a random place, whose height is 1/2 to 2 times its width.
        The number of kept pixels is `observed`, up to rounding of the box's sides; more are kept if
        a box of that size does not fit into the image.

    Raises
    ------
    ValueError
        By `build`, if a count is larger than the number of pixels, or if a range does not hold two
        positive integers, the smaller one first. If ``pattern="side"`` or ``"box"`` is combined
        with `per_channel` or with flat measurements, or "side" with a count.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.operators import MissingPixels
    >>> A = MissingPixels(observed=3).build(image_shape=(1, 4, 4)).to(torch.float32)
    >>> A.draw([np.random.default_rng(0)])(torch.ones(1, 1, 4, 4)).sum()
    tensor(3.)
    """

    observed: Any = 0.5
    _: KW_ONLY
    per_channel: bool = False
    pattern: str = "random"

    _parameter_constraints = {
        "observed": [Interval(Real, 0, 1, closed="right"), COUNT, tuple, list],
        "per_channel": ["boolean"],
        "pattern": [StrOptions({"random", "side", "box"})],
    }

    has_missing = True

    def build(self, image_shape: Shape) -> RandomMaskMap:
        mask_shape = list(image_shape)
        if len(image_shape) >= 3 and not self.per_channel:
            mask_shape[0] = 1
        if is_complex_shape(image_shape):
            mask_shape[-1] = 1  # both parts of a complex number
        if self.pattern == "side":
            return RandomMaskMap(image_shape, self._side(tuple(mask_shape)))
        counts = self._counts(math.prod(mask_shape))
        draw = draw_entries if self.pattern == "random" else self._box(tuple(mask_shape))
        return RandomMaskMap(image_shape, partial(draw, tuple(mask_shape), counts))

    def _side(self, mask_shape: Shape) -> Any:
        """Return the function that draws a side."""
        is_count = isinstance(self.observed, tuple | list | Integral)
        if is_count or self.per_channel or len(mask_shape) < 3:
            raise ValueError(
                "MissingPixels(pattern='side') takes a share of the rows or columns of images, as "
                f"in observed=0.5, without per_channel. Got observed={self.observed!r}, "
                f"per_channel={self.per_channel!r} and measurements of shape {mask_shape}."
            )
        return partial(_draw_side, mask_shape, float(self.observed))

    def _box(self, mask_shape: Shape) -> Any:
        """Return the function that draws a box."""
        if self.per_channel or len(mask_shape) < 3:
            raise ValueError(
                "MissingPixels(pattern='box') leaves out a box of images, without per_channel. Got "
                f"per_channel={self.per_channel!r} and measurements of shape {mask_shape}."
            )
        return _draw_box

    def _counts(self, n: int) -> tuple[int, int]:
        """Return the least and the largest number of `n` entries that an image keeps."""
        counts: Any = None
        if isinstance(self.observed, tuple | list):
            counts = integers(self.observed, 2)
            if not counts or counts[0] > counts[1]:
                raise ValueError(
                    "The 'observed' parameter of MissingPixels, as a range, must be two integers "
                    f"(low, high) with 1 <= low <= high <= {n}. Got {self.observed!r} instead."
                )
        low, high = counts or (as_count(self.observed, n),) * 2
        if high > n:
            raise ValueError(
                f"The 'observed' parameter of MissingPixels must be at most {n}, the number of "
                f"{'entries' if self.per_channel else 'pixels'} of an image. "
                f"Got {self.observed!r} instead."
            )
        return low, high


def _draw_side(mask_shape: Shape, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return a mask that is True in a share of the rows or columns, at one random side."""
    mask = np.zeros(mask_shape, dtype=bool)
    axis, from_the_end = 1 + generator.integers(2), generator.integers(2)
    lines = np.moveaxis(mask, axis, 0)
    count = as_count(share, len(lines))
    lines[len(lines) - count if from_the_end else 0 :][:count] = True
    return mask


def _draw_box(
    mask_shape: Shape, counts: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Return a mask that is False in a random box; `counts` is the range of the kept pixels."""
    mask = np.ones(mask_shape, dtype=bool)
    rows, columns = mask_shape[1:3]
    n_missing = rows * columns - generator.integers(*counts, endpoint=True)
    height = math.sqrt(n_missing * 2 ** generator.uniform(-1, 1))
    height = min(max(round(height), math.ceil(n_missing / columns)), rows)
    width = min(round(n_missing / height), columns) if height else 0
    top, left = (
        int(generator.integers(n - side, endpoint=True))
        for n, side in ((rows, height), (columns, width))
    )
    mask[:, top : top + height, left : left + width] = False
    return mask


def center_mask(size: Shape, fraction: float) -> np.ndarray:
    """Return a mask that is False in a centred box of `fraction` of the rows and columns."""
    mask = np.ones(size, dtype=bool)
    box = [max(1, int(fraction * n + 1e-9)) for n in size]
    start = [(n - b) // 2 for n, b in zip(size, box, strict=True)]
    mask[start[0] : start[0] + box[0], start[1] : start[1] + box[1]] = False
    return mask if mask.any() else np.ones(size, dtype=bool)


def _box_mask(size: Shape, box: Any) -> np.ndarray:
    """Return a mask that is False in a user's box."""
    numbers = integers(box, 4, least=0)
    if numbers is not None and min(numbers[2:]) >= 1:
        top, left, height, width = numbers
        mask = np.ones(size, dtype=bool)
        mask[top : top + height, left : left + width] = False
        if top + height <= size[0] and left + width <= size[1] and mask.any():
            return mask
    raise ValueError(
        "With mask='box' the 'box' parameter of Inpainting must be (first row, first column, "
        f"rows, columns) of a box that lies in the image of {size[0]} x {size[1]} pixels and is "
        f"smaller than the image. Got {box!r} instead."
    )
