"""Networks run tile by tile: large images in the memory of small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from skmetainv.parameters import height_and_width, is_integer


class Extent(NamedTuple):
    """How far a convolutional network sees.

    Attributes
    ----------
    reach : int
        Pixels along a cut of an image at which the network may give something else than it gives of
        the whole image; further from the cut it gives the same.
    multiple : int
        Where the cut must lie, at a multiple of so many pixels: what halves the image so often
        halves the tile at the same places.
    """

    reach: int
    multiple: int


def extent(down: Sequence[int], up: Sequence[int] = ()) -> Extent:
    """Return how far a network of 3 x 3 convolutions sees that halves images and doubles them.

    A convolution carries what is wrong along a cut one pixel on. Halving, by pairs of pixels,
    leaves half of the wrong pixels, rounded up, and doubling makes two of each.

    Parameters
    ----------
    down : sequence of int
        How many convolutions follow each other at each size, the full one first; the image is
        halved between them.
    up : sequence of int, default=()
        The same on the way back, after each doubling.

    Examples
    --------
    >>> extent([17])
    Extent(reach=17, multiple=1)
    >>> extent([2, 2, 2], [2, 2])
    Extent(reach=22, multiple=4)
    """
    *before, deepest = down
    wrong = 0
    for n in before:
        wrong = -(-(wrong + n) // 2)
    wrong += deepest
    for n in up:
        wrong = 2 * wrong + n
    return Extent(wrong, 2 ** len(up))


@dataclass(frozen=True)
class Tiles:
    """The parts of an image that a network is run on, one after another.

    Parameters
    ----------
    height, width : int
        What is kept of each part.
    overlap : int
        How many pixels the network sees beyond it on each side, where the image goes on.
    """

    height: int
    width: int
    overlap: int

    def run(self, network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return what a network makes of images, tile by tile.

        Parameters
        ----------
        network : callable
            Gives images of the height and width that it takes.
        x : tensor of shape (batch, channels, height, width)
            The images.
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
    """A tile along one axis: what is seen and kept of the image, and the latter in the former."""

    seen: slice
    kept: slice
    inside: slice


def _spans(n: int, size: int, overlap: int) -> Iterator[_Span]:
    for start in range(0, n, size):
        stop, first = min(start + size, n), max(0, start - overlap)
        seen = slice(first, min(stop + overlap, n))
        yield _Span(seen, slice(start, stop), slice(start - first, stop - first))


def as_tiles(tile: Any, overlap: Any, seen: Extent) -> Tiles | None:
    """Return the tiles that the arguments of `predict` stand for; None is the whole image.

    Parameters
    ----------
    tile : int, (int, int) or None
        Height and width of what is kept of a tile.
    overlap : int or None
        None is the reach of the network.
    seen : Extent
        How far the network sees. Sizes are rounded up to its multiples.

    Raises
    ------
    ValueError
        If they are not of these types, or not positive (an overlap may be 0).
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
