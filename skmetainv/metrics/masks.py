"""The region of a metric: a user's mask in the shape of the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from skmetainv.arrays import as_array
from skmetainv.metrics.pairs import Pairs
from skmetainv.parameters import described


def within(mask: ArrayLike | None, pairs: Pairs) -> Pairs:
    """Return the pixels of each pair where the mask is True; without a mask, return `pairs`."""
    if mask is None:
        return pairs
    masks = as_masks(mask, [x for x, _ in pairs])
    return [(x[m], z[m]) for (x, z), m in zip(pairs, masks, strict=True)]


def as_masks(mask: ArrayLike, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a user's mask as a list of masks, each of the shape of its image."""
    if len({x.shape for x in images}) > 1:
        each = list(mask) if isinstance(mask, list | tuple) else []
        if len(each) != len(images):
            raise ValueError(
                f"If images have different sizes, mask must be a list of {len(images)} masks, one "
                f"for each image. Got {described(mask)} instead."
            )
        return [as_masks(m, [x])[0] for m, x in zip(each, images, strict=True)]
    n, shape = len(images), images[0].shape
    array = np.asarray(as_array(mask, "mask"))
    masks = _broadcast(array, (n, *shape)) if array.dtype == bool else None
    if masks is None:
        size = shape[:2]
        shapes = dict.fromkeys([size, shape, (n, *size), (n, *shape)])
        raise ValueError(
            "mask must be a boolean array, True where a pixel counts, of shape "
            f"{' or '.join(map(str, shapes))}. Got {array.dtype}, {array.shape} instead."
        )
    check_not_empty(masks, "mask is False at every pixel")
    return list(masks)


def _broadcast(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a mask broadcast to images of a shape, channels last, or None if it does not fit."""
    n, height, width, *channels = shape
    first = (n, *(channels or [1]), height, width)
    if mask.shape == first:
        mask = np.moveaxis(mask, 1, -1)
    if mask.shape == (n, height, width, 1):
        mask = mask[..., 0]
    if mask.shape in (shape[1:], shape[1:3]):
        mask = mask[np.newaxis]
    if mask.shape[1:] == shape[1:3] and channels:
        mask = mask[..., np.newaxis]
    fits = mask.ndim == len(shape) and mask.shape[0] in (1, n) and mask.shape[1:3] == shape[1:3]
    return np.broadcast_to(mask, shape) if fits else None


def check_not_empty(masks: Iterable[np.ndarray], reason: str) -> None:
    """Raise an error that begins with `reason` if a mask is False everywhere."""
    for i, mask in enumerate(masks):
        if not mask.any():
            raise ValueError(f"{reason} of image {i}: leave such images out.")
