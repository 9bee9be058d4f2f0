"""Run networks tile by tile, so that a large image needs the memory of one tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from skmetainv.parameters import height_and_width, is_integer


class Extent(NamedTuple):
    """The receptive field and the stride of a convolutional network.

    Attributes
    ----------
    reach : int
        Radius of the receptive field: the distance from a cut, in pixels, up to which the output
        may differ from that of the whole image.
    multiple : int
        Cuts must lie at multiples of this number of pixels, so that a tile is downsampled at the
        same positions as the whole image.
    """

    reach: int
    multiple: int


def extent(down: Sequence[int], up: Sequence[int] = ()) -> Extent:
    """Return the extent of a U-shaped network of 3 x 3 convolutions.

    Pixels near a cut are wrong, because the network does not see the pixels beyond it. Each
    convolution makes one more pixel wrong. Downsampling by two halves the number of wrong pixels,
    rounded up. Upsampling doubles it.

    Parameters
    ----------
    down : sequence of int
        Number of convolutions at each scale on the way down, the full size first. The image is
        downsampled by two from one scale to the next.
    up : sequence of int, default=()
        Number of convolutions after each upsampling on the way up.

    Returns
    -------
    extent : Extent
        The receptive field, and the multiple at which cuts must lie.

    Examples
    --------
    >>> extent([17])
    Extent(reach=17, multiple=1)
    >>> extent([2, 2, 2], [2, 2])
    Extent(reach=22, multiple=4)
    """
    *larger_scales, smallest_scale = down
    wrong = 0
    for n in larger_scales:
        wrong = -(-(wrong + n) // 2)
    wrong += smallest_scale
    for n in up:
        wrong = 2 * wrong + n
    return Extent(wrong, 2 ** len(up))


@dataclass(frozen=True)
class Tiles:
    """The tiles of an image on which a network runs, one after another.

    Parameters
    ----------
    height, width : int
        Size of a tile, without the overlap.
    overlap : int
        Pixels of context around each tile in the network's input.
    """

    height: int
    width: int
    overlap: int

    def run(self, network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Apply a network to images tile by tile.

        Parameters
        ----------
        network : callable
            Returns images with the height and width of its input.
        x : tensor of shape (batch, channels, height, width)
            The images.

        Returns
        -------
        whole : tensor of shape (batch, ..., height, width)
            The outputs for all tiles, put together.
        """
        height, width = x.shape[-2:]
        whole = x.new_empty(0)
        for rows in _spans(height, self.height, self.overlap):
            for columns in _spans(width, self.width, self.overlap):
                part = network(x[..., rows.seen, columns.seen])
                if not whole.numel():
                    whole = part.new_empty((*part.shape[:-2], height, width))
                whole[..., rows.kept, columns.kept] = part[..., rows.inside, columns.inside]
        return whole


class _Span(NamedTuple):
    """A tile along one axis."""

    seen: slice
    """The pixels of the image that the network receives."""
    kept: slice
    """The pixels of the image for which the network's output is kept."""
    inside: slice
    """The kept pixels, counted from the first pixel that the network receives."""


def _spans(n: int, size: int, overlap: int) -> Iterator[_Span]:
    for start in range(0, n, size):
        stop, first = min(start + size, n), max(0, start - overlap)
        seen = slice(first, min(stop + overlap, n))
        yield _Span(seen, slice(start, stop), slice(start - first, stop - first))


def as_tiles(tile: Any, overlap: Any, seen: Extent) -> Tiles | None:
    """Return the tiles for the arguments of `predict`; None for a run on the whole image.

    Parameters
    ----------
    tile : int, (int, int) or None
        Height and width of a tile.
    overlap : int or None
        Pixels of context around each tile; None is the network's receptive field.
    seen : Extent
        The extent of the network. Sizes and overlap are rounded up to its multiples.

    Returns
    -------
    tiles : Tiles or None
        None if `tile` is None.

    Raises
    ------
    ValueError
        If the types are wrong, if `tile` is not positive, or if `overlap` is negative. If `overlap`
        is given without `tile`.
    """
    if tile is None:
        if overlap is not None:
            raise ValueError(
                "The 'overlap' parameter needs 'tile': write tile=(height, width), overlap=4. Got "
                f"overlap={overlap!r} and tile=None instead."
            )
        return None
    sides = height_and_width(tile)
    if sides is None:
        raise ValueError(
            "The 'tile' parameter must be None, an int in the range [1, inf) or two of them, "
            f"(height, width). Got {tile!r} instead."
        )
    if overlap is not None and not is_integer(overlap, 0):
        raise ValueError(
            "The 'overlap' parameter must be None or an int in the range [0, inf). Got "
            f"{overlap!r} instead."
        )
    pixels = (*sides, seen.reach if overlap is None else overlap)
    return Tiles(*(-(-int(n) // seen.multiple) * seen.multiple for n in pixels))
