"""Reading an image file as an array of a given shape and type; errors give the reason."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from skmetainv.datasets import deep

_FORMATS = ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]
_SYSTEM_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
Floats = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601, Pillow's


class UnreadablePictureError(ValueError):
    """A file has no image, is damaged, or cannot be read as requested."""


@dataclass(frozen=True)
class PictureReader:
    """Reader of image files as arrays.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    color : bool
        If True, red, green and blue; if False, gray.
    dtype : numpy.dtype
        uint8, uint16 or float32.
    background : tuple of 3 float
        Colour behind transparent pixels: red, green and blue in 0..255.
    frames : {"first", "all"} or None
        Frames to read from a file with several. If None, such a file raises an error.
    """

    size: tuple[int, int]
    color: bool
    dtype: np.dtype
    background: tuple[float, float, float]
    frames: str | None

    def n_frames(self, file: Path) -> int:
        """Return the number of images in a file.

        If the file cannot be opened, return 1; `read` then raises the error.
        """
        try:
            with open(file, "rb") as stream:
                if deep.is_tiff(stream):
                    with tifffile.TiffFile(stream) as tiff:
                        return len(deep.pages_of(tiff))
                with Image.open(stream, formats=_FORMATS) as picture:
                    return _n_frames(picture)
        except Exception as error:
            if _is_system_error(error):
                raise
            return 1

    def read(self, file: Path, frame: int) -> np.ndarray:
        """Read an image.

        Parameters
        ----------
        file : pathlib.Path
            The file.
        frame : int
            Index of the frame in the file.

        Returns
        -------
        picture : ndarray of shape (height, width) or (height, width, 3)
            The image, of type `dtype`.

        Raises
        ------
        UnreadablePictureError
            If it cannot be read as requested. The error names the file and the reason.
        """
        try:
            # By name, Pillow would memory-map uncompressed TIFFs, and garble rotated ones.
            with open(file, "rb") as stream:
                return (self._tiff if deep.is_tiff(stream) else self._other)(file, stream, frame)
        except Exception as error:
            if _is_system_error(error):
                raise
            raise UnreadablePictureError(f"{file}: {_reason(file, error)}") from error

    def _tiff(self, file: Path, stream: BinaryIO, frame: int) -> np.ndarray:
        with tifffile.TiffFile(stream) as tiff:
            pages = deep.pages_of(tiff)
            self._check_frames(len(pages))
            page = pages[frame]
            if deep.is_beyond_pillow(page):
                return self._array(deep.read_page(file, page))
            stream.seek(0)
            try:
                picture = Image.open(stream, formats=["TIFF"])
            except UnidentifiedImageError:  # a kind of TIFF that Pillow does not support
                return self._array(deep.read_page(file, page))
            with picture:
                picture.seek(page.index)
                return self._shallow(picture)

    def _other(self, file: Path, stream: BinaryIO, frame: int) -> np.ndarray:
        with Image.open(stream, formats=_FORMATS) as picture:
            self._check_frames(_n_frames(picture))
            if not deep.is_deep(picture):
                if frame:
                    picture.seek(frame)
                return self._shallow(picture)
            if frame:
                raise ValueError("only the first frame of a 16-bit PNG, PGM or PPM can be read.")
            return self._array(deep.read_picture(file, picture))

    def _shallow(self, picture: Image.Image) -> np.ndarray:
        upright = self._flat(ImageOps.exif_transpose(picture))
        if self.dtype == np.uint8:
            return np.asarray(self._fit(upright))
        return self._array(deep.Pixels(np.asarray(upright)))

    def _check_frames(self, n: int) -> None:
        if n > 1 and self.frames is None:
            raise ValueError(
                f'it holds {n} frames: ImageFolder(..., frames="first") reads the first of every '
                'file, and frames="all" reads each frame as a picture.'
            )

    def _flat(self, picture: Image.Image) -> Image.Image:
        """Convert an 8-bit image to gray or RGB, blended with the background."""
        if picture.mode == "LAB":
            lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB")
            picture = picture if converted is None else converted
        if picture.has_transparency_data:
            red, green, blue = (round(value) for value in self.background)
            canvas = Image.new("RGBA", picture.size, (red, green, blue, 255))
            canvas.alpha_composite(picture.convert("RGBA"))
            picture = canvas.convert("RGB")
        return picture.convert("RGB" if self.color else "L")

    def _fit(self, picture: Image.Image) -> Image.Image:
        height, width = self.size
        return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)

    def _array(self, pixels: deep.Pixels) -> np.ndarray:
        """Convert stored values to the requested shape, units and type."""
        values, full = self._in_units(pixels)
        if self.color:
            bands = [values] * 3 if values.ndim == 2 else [values[..., i] for i in range(3)]
        else:
            bands = [values if values.ndim == 2 else values @ _LUMA]
        fitted = [self._fit(_upright(band, pixels.orientation)) for band in bands]
        image = np.stack([np.asarray(band) for band in fitted], axis=2)
        image = image if full is None else image.clip(0, full)
        image = np.rint(image) if self.dtype.kind == "u" else image
        return (image if self.color else image[..., 0]).astype(self.dtype)

    def _in_units(self, pixels: deep.Pixels) -> tuple[np.ndarray, int | None]:
        """Return values blended with the background, and the value of white (None if unknown)."""
        stored, wanted = pixels.values.dtype, self.dtype
        unsigned = stored.kind == "u" and stored.itemsize <= 2
        if wanted.kind == "u" and not (unsigned and stored.itemsize <= wanted.itemsize):
            fix = "uint16" if unsigned else "float32"
            raise ValueError(
                f"its numbers are {stored}, which {wanted} cannot hold: ImageFolder(..., "
                f'dtype="{fix}") reads them in full.'
            )
        if not unsigned:
            return _as_stored(pixels), None
        full, depth = np.iinfo(wanted).max if wanted.kind == "u" else 1, np.iinfo(stored).max
        values = pixels.values * (full / depth)
        if pixels.alpha is not None:
            background = full / 255 * np.array(self.background)
            values = _over(values, pixels.alpha / depth, pixels.premultiplied, background)
        return values, full


def _as_stored(pixels: deep.Pixels) -> np.ndarray:
    """Return unscaled values as float32."""
    stored = pixels.values.dtype
    if pixels.alpha is not None:
        raise ValueError(
            f"it is transparent, and its numbers are {stored}, so the units of the background are "
            "unknown: pass such pictures as an array."
        )
    values = pixels.values.astype(np.float32)
    if stored.kind != "f" and not np.array_equal(values.astype(np.float64), pixels.values):
        raise ValueError(
            f"its numbers are {stored}, too large for float32 to hold exactly: pass such pictures "
            "as an array."
        )
    return values


def _n_frames(picture: Image.Image) -> int:
    """Return the number of frames, without images that phones append to a JPEG."""
    if picture.format == "MPO" or not getattr(picture, "is_animated", False):
        return 1
    return int(picture.n_frames)  # type: ignore[attr-defined]


def _over(values: Floats, alpha: Floats, premultiplied: bool, background: Floats) -> Floats:
    """Blend colours with the background; gray values on a gray background stay gray."""
    if values.ndim == 2 and (background == background[0]).all():
        background = background[0]
    else:
        values, alpha = (values if values.ndim == 3 else values[..., None]), alpha[..., None]
    return (values if premultiplied else alpha * values) + (1 - alpha) * background


def _upright(band: np.ndarray, orientation: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(band, dtype=np.float32))
    picture.getexif()[deep.ORIENTATION] = orientation
    return ImageOps.exif_transpose(picture)


def _is_system_error(error: Exception) -> bool:
    """Whether the system caused an error, not the file: no memory, or too many open files."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) in _SYSTEM_ERRORS


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        with open(file, "rb") as stream:
            start = stream.read(24)
        if not start:
            return "the file is empty."
        return (
            f"it is no picture of a supported format ({', '.join(_FORMATS)}); it begins with "
            f"{start!r}."
        )
    if isinstance(error, Image.DecompressionBombError):
        return f"{error} If you trust the file, set PIL.Image.MAX_IMAGE_PIXELS = None."
    return str(error) or type(error).__name__
