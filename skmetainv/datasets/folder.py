"""Any folder of images as a lazy array."""

from __future__ import annotations

import copy
import os
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from skmetainv.bars import bar, write_line
from skmetainv.datasets.files import find_pictures
from skmetainv.datasets.pictures import PictureReader, UnreadablePictureError
from skmetainv.exceptions import SkippedFilesWarning, warn
from skmetainv.parameters import StrOptions, check_parameter, height_and_width

_CONSTRAINTS: dict[str, list[Any]] = {
    "color": ["boolean"],
    "dtype": [StrOptions({"uint8", "uint16", "float32"})],
    "frames": [StrOptions({"first", "all"}), None],
    "on_error": [StrOptions({"raise", "skip"})],
    "verbose": ["verbose"],
}


class ImageFolder:
    """A folder of images as a lazy array, which reads an image only on request.

    Indexing by a slice, an array of integers or a mask returns another lazy array, so the folds of
    a cross-validation stay lazy. Indexing by one integer returns an image. ``numpy.asarray`` reads
    all images. The constructor reads only file names, except with ``on_error="skip"`` or
    ``frames="all"``. After construction, the length never changes.

    Parameters
    ----------
    path : str or path-like
        The folder. Its image files (bmp, gif, jpeg, pbm, pgm, png, ppm, tiff, webp), including
        those of its subfolders, are sorted by path. The notes list the files that are left out.
    size : int or (int, int)
        Height and width of all images; an integer sets both. Each image is cropped in the middle
        to this aspect ratio, then resampled (bicubic, antialiased).
    color : bool, default=False
        If True, read red, green and blue; if False, gray (ITU-R 601 luma).
    dtype : {"uint8", "uint16", "float32"}, default="uint8"
        Type of the values. With uint8, files of more than 8 bits per channel raise an error: their
        values are never rounded to 8 bits. With uint16, the values of 16-bit files are unchanged,
        and those of 8-bit files are multiplied by 257, so that white is 65535. (In the files of a
        12-bit camera, white is 4095: set the estimator's ``data_range=4095``.) With float32,
        unsigned integers of 8 and 16 bits are scaled to [0, 1]. Signed, 32-bit and floating-point
        values are unchanged; for these, set the estimator's `data_range`.
    background : float or (float, float, float), default=255
        Colour behind transparent pixels: a gray level, or red, green and blue, in 0..255 for every
        `dtype`. The default is white.
    frames : {"first", "all"} or None, default=None
        Frames to read from a file that has several (TIFF pages, an animated GIF, PNG or WebP). If
        None, reading such a file raises an error. "first" reads the first frame. "all" reads each
        frame as an image; the constructor then opens every file once. Frames of one file are
        similar, so split by file (``groups=images.files``). Smaller copies and masks inside a TIFF,
        and data that phones append to a JPEG, are not frames.
    on_error : {"raise", "skip"}, default="raise"
        Treatment of files that cannot be read as requested (damaged, empty, not an image despite
        the name, more bits than `dtype` has, several frames). With "raise", reading such a file
        raises an error that names it; `check` finds all of them before a long fit. With "skip", the
        constructor reads every file once and leaves such files out, with one warning.
    verbose : int, default=0
        If 1, show progress while `check` or ``on_error="skip"`` reads all images: a bar in a
        terminal or a notebook, a line elsewhere.

    Attributes
    ----------
    files : ndarray of pathlib.Path
        The file of each image.
    shape : tuple of int
        ``(n, height, width)`` or ``(n, height, width, 3)``.
    dtype : numpy.dtype
        Type of the values.

    Raises
    ------
    ValueError
        If the folder has no images, or a parameter has an invalid value. Reading an image raises
        it, too, if the file cannot be read as requested; the error names the file and the reason.
    FileNotFoundError, NotADirectoryError
        If there is no such folder.

    Warns
    -----
    SkippedFilesWarning
        If files are left out: with ``on_error="skip"``, or because their format (DICOM, JPEG 2000,
        HEIC, raw files of cameras and so on, recognised by the suffix) is not read.

    Notes
    -----
    *Left out without a warning* are files whose names begin with a dot, and folders that systems
    create (``__MACOSX``, ``@eaDir``, ``#recycle``, ``$RECYCLE.BIN`` and the like), because they
    contain copies or deleted files.

    *Links* are followed, and each folder is visited once. A file that is reached twice is one
    image, so that it cannot be on both sides of a split. In `files` it has its own path if that is
    in the folder, otherwise the path of the first link to it.

    *Colours.* Images are rotated as the camera recorded (EXIF). Pillow converts CMYK, YCbCr,
    palette and 1-bit images, and littleCMS converts CIELAB. Other colour profiles are not applied.

    *TIFFs* must be gray or RGB, with or without transparency. If they have other channels, or a
    volume in one page, reading them raises an error. tifffile reads TIFFs of more than 8 bits. For
    some compressions (LZW of colours, for example) it needs ``pip install imagecodecs``; the error
    then says so.

    Examples
    --------
    >>> import skimage
    >>> from skmetainv.datasets import ImageFolder
    >>> images = ImageFolder(skimage.data_dir, size=32, dtype="float32", frames="first")
    >>> images = images.check()
    >>> images[:10].shape
    (10, 32, 32)
    >>> est.fit(images[:10])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size: int | tuple[int, int],
        color: bool = False,
        dtype: Any = "uint8",
        background: float | tuple[float, float, float] = 255,
        frames: str | None = None,
        on_error: str = "raise",
        verbose: int | bool = 0,
    ):
        checked = {"color": color, "frames": frames, "on_error": on_error, "verbose": verbose}
        for name, value in checked.items():
            check_parameter(name, value, _CONSTRAINTS[name], "ImageFolder")
        self._on_error, self._verbose = on_error, verbose
        self._reader = PictureReader(
            _sides(size), bool(color), _number_type(dtype), _colour(background), frames
        )
        files = find_pictures(Path(path).expanduser())
        n = [self._reader.n_frames(file) if frames == "all" else 1 for file in files]
        self.files = np.repeat(np.array(files, dtype=object), n)
        self._frames = np.concatenate([np.arange(k) for k in n])
        if on_error == "skip":
            readable = self._readable()
            self.files, self._frames = self.files[readable], self._frames[readable]

    def check(self) -> ImageFolder:
        """Read every image once, to find unreadable files before a long fit.

        Returns
        -------
        images : ImageFolder
            With ``on_error="skip"`` the images that can be read, otherwise `self`.

        Raises
        ------
        ValueError
            With ``on_error="raise"``, if any image cannot be read; the error lists them all. With
            ``on_error="skip"``, if no image can be read.

        Warns
        -----
        SkippedFilesWarning
            If images are left out.
        """
        readable = self._readable()
        return self if readable.all() else self[readable]

    def _readable(self) -> np.ndarray:
        """Return a mask of the images that can be read; raise or warn about the others."""
        reasons = self._unreadable()
        readable = np.array([i not in reasons for i in range(len(self))], dtype=bool)
        if readable.all():
            return readable
        summary = f"{len(reasons)} of {len(self)} pictures cannot be read"
        first = "\n".join([*list(reasons.values())[:5], *["..."] * (len(reasons) > 5)])
        if self._on_error == "raise":
            fix = 'ImageFolder(..., on_error="skip") leaves them out'
            raise ValueError("\n".join([f"{summary} ({fix}):", *reasons.values()]))
        if not readable.any():
            raise ValueError(f"None of the pictures can be read:\n{first}")
        warn(f"{summary} and are left out:\n{first}", SkippedFilesWarning)
        return readable

    def _unreadable(self) -> dict[int, str]:
        """Return the indices of the images that cannot be read, with the reasons."""
        reasons, show = {}, bool(self._verbose)
        with bar(show=show, total=len(self), desc="Checking pictures", unit="picture") as shown:
            for i in range(len(self)):
                try:
                    self[i]
                except UnreadablePictureError as error:
                    reasons[i] = str(error)
                shown.update()
            if show and shown.disable:
                write_line(f"Checking pictures: {len(self)} read, {len(reasons)} of them failed")
        return reasons

    @property
    def dtype(self) -> np.dtype:
        """The type of the images."""
        return self._reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of images, their height and width, and 3 if they are in colour."""
        return (len(self.files), *self._reader.size, *([3] if self._reader.color else []))

    @property
    def ndim(self) -> int:
        """The number of axes: 3, or 4 in colour."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"<ImageFolder of shape {self.shape}>"

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]
        files = self.files[index]
        if isinstance(files, Path):
            return self._reader.read(files, int(self._frames[index]))
        if not isinstance(files, np.ndarray) or files.ndim != 1:
            raise IndexError("ImageFolder takes an index, or several, along its first axis.")
        view = copy.copy(self)
        view.files, view._frames = files, self._frames[index]
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("ImageFolder cannot be converted to an array without a copy.")
        images = np.empty(self.shape, dtype=self.dtype)
        for i in range(len(self)):
            images[i] = self[i]
        return images if dtype is None else images.astype(dtype)


def _sides(size: Any) -> tuple[int, int]:
    """Return height and width."""
    sides = height_and_width(size)
    if sides is None:
        raise ValueError(
            "The 'size' parameter of ImageFolder must be a positive int, or two of them. "
            f"Got {size!r} instead."
        )
    return sides[0], sides[1]


def _number_type(dtype: Any) -> np.dtype[Any]:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype
    check_parameter("dtype", name, _CONSTRAINTS["dtype"], "ImageFolder")
    checked: np.dtype[Any] = np.dtype(name)
    return checked


def _colour(background: Any) -> tuple[float, float, float]:
    """Return red, green and blue."""
    levels = (background,) * 3 if isinstance(background, Real) else background
    if not isinstance(levels, tuple | list) or len(levels) != 3 or not all(map(_is_level, levels)):
        raise ValueError(
            "The 'background' parameter of ImageFolder must be a gray level in 0..255, or three of "
            f"them, red, green and blue. Got {background!r} instead."
        )
    red, green, blue = (float(level) for level in levels)
    return red, green, blue


def _is_level(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 <= float(value) <= 255
