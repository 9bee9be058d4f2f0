"""Operators that observe some pixels and not others; in every mask True means observed."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import Tags

from skmetainv.operators.diagonal import DiagonalMap
from skmetainv.operators.maps import Shape
from skmetainv.operators.operator import Operator
from skmetainv.parameters import Interval, StrOptions


class Inpainting(Operator):
    """``A(x) = m x`` with one mask for all images; what is not observed is 0.

    Parameters
    ----------
    mask : "center" or array-like of bool, default="center"
        "center" leaves out a box in the middle. An array has the shape of an image,
        ``(height, width)`` or ``(height, width, channels)``, and is True where a pixel is
        observed.
    fraction : float, default=1/3
        With ``mask="center"``, the share of the rows and of the columns that the box leaves
        out, in (0, 1). It leaves out at least one row and one column, but never every pixel.

    Raises
    ------
    ValueError
        By `build`, if an array is not of the image's shape, not boolean or all False.

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

    _parameter_constraints = {
        "mask": [StrOptions({"center"}), "array-like"],
        "fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, mask: Any = "center", fraction: float = 1 / 3):
        self.mask = mask
        self.fraction = fraction

    def build(self, image_shape: Shape) -> MaskMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        if isinstance(self.mask, str):
            mask = center_mask(image_shape[1:], self.fraction)[np.newaxis]
        else:
            mask = _given_mask(self.mask, image_shape)
        return MaskMap(image_shape, torch.from_numpy(mask)[None])


class MissingPixels(Operator):
    """``A(x) = m x`` with a random mask for each image; what is not observed is NaN.

    On its own some pixels of an image are missing; ``MissingPixels(...) @ operator`` leaves out
    measurements of another operator.

    The mask of a measurement is read from its NaN. Masks are drawn per image, from the random
    state of whoever simulates.

    Parameters
    ----------
    observed : float, int or (int, int), default=0.5
        How many pixels each image keeps: a share of all pixels in (0, 1], a count, or the least
        and the largest count, between which each image draws its own. At least one pixel and
        at most all are kept.
    per_channel : bool, default=False
        Draw the entries of all channels together, not whole pixels; counts are then of entries.

    Raises
    ------
    ValueError
        By `build`, if a count is larger than the number of pixels, or a range is not increasing.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.operators import MissingPixels
    >>> A = MissingPixels(observed=3).build(image_shape=(1, 4, 4)).to(torch.float32)
    >>> A.draw([np.random.default_rng(0)])(torch.ones(1, 1, 4, 4)).sum()
    tensor(3.)
    """

    _parameter_constraints = {
        "observed": [
            Interval(Real, 0, 1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            tuple,
            list,
        ],
        "per_channel": ["boolean"],
    }

    def __init__(self, observed: Any = 0.5, per_channel: bool = False):
        self.observed = observed
        self.per_channel = per_channel

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def build(self, image_shape: Shape) -> RandomMaskMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        whole_pixels = len(image_shape) == 3 and not self.per_channel
        mask_shape = (1, *image_shape[1:]) if whole_pixels else image_shape
        return RandomMaskMap(image_shape, mask_shape, self._counts(int(np.prod(mask_shape))))

    def _counts(self, n: int) -> tuple[int, int]:
        """Return the least and the largest number of `n` entries that an image keeps."""
        if isinstance(self.observed, tuple | list):
            low, high = self._range(n)
        elif isinstance(self.observed, Integral):
            low = high = int(self.observed)
        else:
            low = high = max(1, round(self.observed * n))
        if high > n:
            raise ValueError(
                f"The 'observed' parameter of MissingPixels must be at most {n}, the number of "
                f"{'entries' if self.per_channel else 'pixels'} of an image. "
                f"Got {self.observed!r} instead."
            )
        return low, high

    def _range(self, n: int) -> tuple[int, int]:
        counts = self.observed
        if (
            len(counts) != 2
            or not all(isinstance(count, Integral) for count in counts)
            or not 1 <= counts[0] <= counts[1]
        ):
            raise ValueError(
                "The 'observed' parameter of MissingPixels, as a range, must be two integers "
                f"(low, high) with 1 <= low <= high <= {n}. Got {counts!r} instead."
            )
        return int(counts[0]), int(counts[1])


def center_mask(size: Shape, fraction: float) -> np.ndarray:
    """Return a mask that is False in a centred box of `fraction` of the rows and columns."""
    mask = np.ones(size, dtype=bool)
    box = [max(1, int(fraction * n + 1e-9)) for n in size]
    start = [(n - b) // 2 for n, b in zip(size, box, strict=True)]
    mask[start[0] : start[0] + box[0], start[1] : start[1] + box[1]] = False
    return mask if mask.any() else np.ones(size, dtype=bool)


def _given_mask(mask: ArrayLike, image_shape: Shape) -> np.ndarray:
    """Return a user's mask as (channels or 1, height, width)."""
    try:
        mask = np.asarray(mask)
    except ValueError as error:
        raise ValueError(f"The 'mask' parameter of Inpainting is not an array: {error}") from error
    channels, *size = image_shape
    shapes = [tuple(size), (*size, channels)]
    if mask.dtype != bool or mask.shape not in shapes or not mask.any():
        raise ValueError(
            "The 'mask' parameter of Inpainting must be 'center' or a boolean array, True where "
            f"observed and not all False, of shape {shapes[0]} or {shapes[1]}. "
            f"Got an array of {mask.dtype}, shape {mask.shape}, with {np.count_nonzero(mask)} "
            "entries that are not False, instead."
        )
    return mask[np.newaxis].copy() if mask.ndim == 2 else np.moveaxis(mask, -1, 0).copy()


class MaskMap(DiagonalMap):
    """``A x = m x``, with one mask for all images or one for each.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    observed : tensor of bool
        The mask ``m``, broadcastable to ``(batch, *image_shape)``.
    missing_value : float, default=0.0
        What a simulated measurement holds where it is not observed.
    """

    observed: torch.Tensor

    def __init__(self, image_shape: Shape, observed: torch.Tensor, missing_value: float = 0.0):
        super().__init__(image_shape, observed)
        self.register_buffer("spectrum", observed.double())
        self.missing_value = missing_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``m x``."""
        return self.spectrum * x

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``m y``."""
        return self.spectrum * y


class RandomMaskMap(DiagonalMap):
    """The identity until masks are drawn, or read from the NaN of measurements.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    mask_shape : (int, int, int)
        The same, with one channel where all channels share a mask.
    counts : (int, int)
        The least and the largest number of entries of a mask that are observed.
    """

    def __init__(self, image_shape: Shape, mask_shape: Shape, counts: tuple[int, int]):
        super().__init__(image_shape)
        self.mask_shape, self.counts = mask_shape, counts
        self.missing_value = torch.nan
        self.register_buffer("spectrum", torch.ones((), dtype=torch.float64))

    def draw(self, generators: Sequence[np.random.Generator]) -> MaskMap:
        """Return the map with a mask for each image."""
        masks = np.stack([self._draw_mask(generator) for generator in generators])
        return self._masked(torch.from_numpy(masks).to(self.spectrum.device))

    def with_masks_of(self, y: torch.Tensor) -> MaskMap:
        """Return the map that observes what is not NaN."""
        return self._masked(~y.isnan())

    def _draw_mask(self, generator: np.random.Generator) -> np.ndarray:
        mask = np.zeros(self.mask_shape, dtype=bool)
        count = generator.integers(*self.counts, endpoint=True)
        mask.flat[generator.permutation(mask.size)[:count]] = True
        return mask

    def _masked(self, observed: torch.Tensor) -> MaskMap:
        return MaskMap(self.image_shape, observed, missing_value=self.missing_value).to(
            self.spectrum.dtype
        )
