"""Reading images of more than 8 bits per channel without loss: TIFF, PNG, PGM and PPM.

Pillow keeps only the upper byte of 16-bit colours, reads signed bytes as unsigned, and does not
support TIFFs with floating-point colours. Therefore tifffile opens each TIFF first, to find the
type of its values, and reads the pages that Pillow cannot read without loss. For 16-bit colours in
a PNG, Pillow unpacks the upper bytes and the lower bytes separately.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile
from tifffile import EXTRASAMPLE, FILETYPE, PHOTOMETRIC, SAMPLEFORMAT

ORIENTATION = 274  # EXIF's tag


@dataclass(frozen=True)
class Pixels:
    """The values of an image as stored in its file.

    Parameters
    ----------
    values : ndarray of shape (height, width) or (height, width, 3)
        Gray levels, or red, green and blue.
    alpha : ndarray of shape (height, width), default=None
        Opacity, of the type of `values`.
    premultiplied : bool, default=False
        Whether `values` are already multiplied by the opacity.
    orientation : int, default=1
        EXIF's number for the orientation of the camera.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    orientation: int = 1


def is_tiff(stream: BinaryIO) -> bool:
    """Whether a file begins like a TIFF or a BigTIFF."""
    start = stream.read(4)
    stream.seek(0)
    return start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def pages_of(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages of a TIFF without their smaller copies and masks.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        An open file.

    Returns
    -------
    pages : list of tifffile.TiffPage
        The pages in order.

    Raises
    ------
    ValueError
        If there are no pages, or if a single page describes a whole stack.
    """
    pages: list[Any] = list(tiff.pages)
    if not pages:
        raise ValueError("the file ends before its first page.")
    if len(pages) == 1 and (tiff.is_shaped or tiff.is_imagej):
        stack, page = tiff.series[0].shape, pages[0].shape
        if np.prod(stack) > np.prod(page):
            raise ValueError(
                f"it holds an array of shape {stack}, but marks only one page: pass "
                "tifffile.imread's array instead."
            )
    smaller = FILETYPE.REDUCEDIMAGE | FILETYPE.MASK
    whole = [page for page in pages if not page.subfiletype & smaller]
    return whole or pages


def is_beyond_pillow(page: tifffile.TiffPage) -> bool:
    """Whether Pillow cannot read a TIFF's page without loss."""
    unsigned = page.sampleformat in (SAMPLEFORMAT.UINT, SAMPLEFORMAT.VOID)
    too_deep = np.max(page.bitspersample) > 8 or not unsigned
    return bool(too_deep or EXTRASAMPLE.UNSPECIFIED in page.extrasamples or page.imagedepth > 1)


def read_page(file: Path, page: tifffile.TiffPage) -> Pixels:
    """Read a gray or RGB page of a TIFF with tifffile.

    Parameters
    ----------
    file : pathlib.Path
        The file, needed for compressions that Pillow has to read.
    page : tifffile.TiffPage
        A page of the file.

    Returns
    -------
    pixels : Pixels
        The values of the page, inverted if zero means white.

    Raises
    ------
    ValueError
        If the page is neither gray nor RGB, with or without transparency; if it is a volume; or if
        its compression is not supported.
    PIL.Image.DecompressionBombError
        If the page has more pixels than Pillow allows.
    """
    if page.imagedepth > 1:
        raise ValueError(f"it holds a volume of shape {page.shape}: pass volumes as an array.")
    n_colors = 3 if page.photometric == PHOTOMETRIC.RGB else 1
    extra = [*page.extrasamples]
    if (
        page.photometric not in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
        or extra not in ([], [EXTRASAMPLE.ASSOCALPHA], [EXTRASAMPLE.UNASSALPHA])
        or page.samplesperpixel != n_colors + len(extra)
    ):
        color_space = getattr(page.photometric, "name", page.photometric)
        raise ValueError(
            f"it has {page.samplesperpixel} channels of {page.dtype} ({color_space}), which are "
            "neither gray nor RGB, with or without transparency: pass such pictures as an array."
        )
    _check_size(page.imagewidth, page.imagelength)
    values, orientation = _page_values(file, page)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        if values.dtype.kind != "u":
            raise ValueError(f"its zero is white, which is not defined for {page.dtype}.")
        values = np.iinfo(values.dtype).max - values
    colors, alpha = _colors_and_alpha(values)
    return Pixels(colors, alpha, extra == [EXTRASAMPLE.ASSOCALPHA], orientation)


def _colors_and_alpha(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Split the channels of an image that has 1 or 3 colours, with or without transparency."""
    n_channels = values.shape[2]
    colors = values[..., 0] if n_channels < 3 else values[..., :3]
    return colors, values[..., -1] if n_channels in (2, 4) else None


def _page_values(file: Path, page: tifffile.TiffPage) -> tuple[np.ndarray, int]:
    """Return values of shape (height, width, channels), and the orientation still to apply."""
    try:
        values = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _page_values_by_pillow(file, page, error)
    values = np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values
    return values.reshape(*values.shape[:2], -1), int(page.tags.valueof(ORIENTATION, 1))


def _page_values_by_pillow(
    file: Path, page: tifffile.TiffPage, error: ValueError
) -> tuple[np.ndarray, int]:
    """Return `_page_values` of a gray page in a compression that tifffile does not support."""
    if page.samplesperpixel > 1 or page.dtype != np.uint16:
        raise ValueError(f"{error} (pip install imagecodecs).") from error
    with open(file, "rb") as stream, Image.open(stream, formats=["TIFF"]) as picture:
        picture.seek(page.index)
        values = np.asarray(picture).astype(np.uint16)
        return values[..., None], picture.getexif().get(ORIENTATION, 1)


def _check_size(width: int, height: int) -> None:
    """Raise Pillow's error for too many pixels: a damaged header may state any size."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit and width * height > 2 * limit:
        raise Image.DecompressionBombError(
            f"Image size ({width * height} pixels) exceeds limit of {2 * limit} pixels"
        )


def is_deep(picture: ImageFile.ImageFile) -> bool:
    """Whether a PNG, PGM or PPM opened by Pillow has more than 8 bits per channel."""
    deep_mode = picture.mode.startswith(("I", "F")) or "16" in _raw_mode(picture)
    return deep_mode or _ppm_maximum(picture) > 255


def read_picture(file: Path, picture: ImageFile.ImageFile) -> Pixels:
    """Read an image of more than 8 bits per channel that Pillow opened, but did not load.

    Parameters
    ----------
    file : pathlib.Path
        The file.
    picture : PIL.ImageFile.ImageFile
        The PNG, PGM or PPM opened by Pillow, see `is_deep`.

    Returns
    -------
    pixels : Pixels
        The values of the image, uint16.
    """
    raw, key = _raw_mode(picture), picture.info.get("transparency")
    if _ppm_maximum(picture) > 255 and picture.mode == "RGB":
        return Pixels(_ppm_values(file, picture))
    if raw == "LA;16B":
        both = _unpack(file, "RGBA")
        values = 256 * both[..., 0::2] + both[..., 1::2]
    elif "16" in raw and picture.mode in ("RGB", "RGBA"):
        values = 256 * _unpack(file, raw) + _unpack(file, raw.replace("16B", "16L"))
    else:
        values = np.asarray(picture).astype(np.uint16)[..., None]
    colors, alpha = _colors_and_alpha(values)
    if key is not None and alpha is None:
        alpha = np.where((values == np.array(key)).all(axis=2), 0, 65535).astype(np.uint16)
    return Pixels(colors, alpha, orientation=picture.getexif().get(ORIENTATION, 1))


def _raw_mode(picture: ImageFile.ImageFile) -> str:
    """Return the raw mode of Pillow's decoder, like "RGB;16B"."""
    arguments = picture.tile[0][3] if picture.tile else ""
    return arguments if isinstance(arguments, str) else ""


def _unpack(file: Path, raw_mode: str) -> np.ndarray:
    """Return a PNG's values, which Pillow unpacks in the given raw mode."""
    with Image.open(file, formats=["PNG"]) as picture:
        codec, extents, offset, _ = picture.tile[0]
        picture.tile = [(codec, extents, offset, raw_mode)]  # type: ignore[list-item]
        return np.asarray(picture).astype(np.uint16)


def _ppm_maximum(picture: ImageFile.ImageFile) -> int:
    """Return the value of white in a PGM or PPM that Pillow scales, else 255."""
    if picture.format != "PPM":
        return 255
    codec, _, _, arguments = picture.tile[0]
    scaled = codec.startswith("ppm") and isinstance(arguments, tuple)
    return int(arguments[-1]) if scaled and arguments else 255


def _ppm_values(file: Path, picture: ImageFile.ImageFile) -> NDArray[np.uint16]:
    """Return the colours of a PPM, scaled to 65535 as Pillow scales the gray levels of a PGM."""
    codec, _, offset, _ = picture.tile[0]
    maximum, count = _ppm_maximum(picture), 3 * picture.width * picture.height
    if codec == "ppm_plain":
        with open(file, "rb") as stream:
            stream.seek(offset)
            numbers = np.array(stream.read().split()[:count], dtype=np.int64)
    else:
        numbers = np.fromfile(file, ">u2", count, offset=offset)
    values = numbers.reshape(picture.height, picture.width, 3)
    levels: NDArray[np.uint16] = np.rint(values * (65535 / maximum)).astype(np.uint16)
    return levels
