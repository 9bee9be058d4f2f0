"""Images to begin with: scikit-image's faces, and any folder of pictures as a lazy array."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from skimage.data import lfw_subset

_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def load_faces() -> np.ndarray:
    """Return the 100 gray faces that come inside scikit-image.

    Returns
    -------
    faces : ndarray of shape (100, 25, 25)
        Floats in [0, 1]; the first 100 entries of `skimage.data.lfw_subset` (the others show no
        faces).

    References
    ----------
    Huang, Ramesh, Berg and Learned-Miller, "Labeled faces in the wild", University of
    Massachusetts, 2007.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> load_faces().shape
    (100, 25, 25)
    """
    return np.asarray(lfw_subset()[:100], dtype=np.float64)


class ImageFolder:
    """The pictures of a folder as an array that reads a picture when it is asked for it.

    Indexing by a slice, an array of integers or a mask gives another lazy array (so the folds of
    a cross-validation stay lazy), and by one integer a picture. ``numpy.asarray`` reads them all.

    Parameters
    ----------
    path : str or path-like
        The folder. Its pictures (bmp, jpeg, png, tiff, webp) are taken in the order of their
        names, those of folders inside it too.
    size : int or (int, int)
        Height and width to bring all pictures to; an integer for both. A picture is cropped in
        the middle to that shape, then resampled (bicubic, antialiased).
    color : bool, default=False
        Read three channels, red, green and blue; else gray (ITU-R 601 luma).

    Attributes
    ----------
    files : ndarray of pathlib.Path
        The pictures.
    shape : tuple of int
        ``(n, height, width)`` or ``(n, height, width, 3)``.
    dtype : numpy.dtype
        uint8.

    Raises
    ------
    ValueError
        If the folder holds no pictures, `size` is not positive, or, when it is read, a picture
        is a gray one of more than 8 bits (Pillow itself reduces such colour ones to 8).
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import skimage
    >>> from skmetainv.datasets import ImageFolder
    >>> images = ImageFolder(skimage.data_dir, size=32)  # doctest: +SKIP
    >>> est.fit(images[:100])  # doctest: +SKIP
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, path: str | os.PathLike[str], *, size: int | tuple[int, int], color: bool = False
    ):
        sides: tuple[Any, ...] = tuple(size) if isinstance(size, tuple | list) else (size, size)
        if len(sides) != 2 or not all(isinstance(n, Integral) and int(n) > 0 for n in sides):
            raise ValueError(
                "The 'size' parameter of ImageFolder must be a positive int, or two of them. "
                f"Got {size!r} instead."
            )
        if not Path(path).is_dir():
            raise FileNotFoundError(f"There is no folder {path}.")
        found = (p for p in Path(path).rglob("*") if p.suffix.lower() in _SUFFIXES)
        files = sorted(p for p in found if p.is_file())
        if not files:
            raise ValueError(f"No pictures ({', '.join(sorted(_SUFFIXES))}) in {path}.")
        self.size, self.color = sides, color
        self.files = np.array(files, dtype=object)

    @property
    def shape(self) -> tuple[int, ...]:  # noqa: D102
        return (len(self.files), *self.size, *([3] if self.color else []))

    @property
    def ndim(self) -> int:  # noqa: D102
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
            return self._read(files)
        if not isinstance(files, np.ndarray) or files.ndim != 1:
            raise IndexError("ImageFolder takes an index, or several, along its first axis.")
        view = object.__new__(type(self))
        view.size, view.color, view.files = self.size, self.color, files
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("ImageFolder reads its pictures: there is no array without a copy.")
        images = np.empty(self.shape, dtype=self.dtype)
        for i, file in enumerate(self.files):
            images[i] = self._read(file)
        return images if dtype is None else images.astype(dtype)

    def _read(self, file: Path) -> np.ndarray:
        height, width = self.size
        with Image.open(file) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(
                    f"ImageFolder reads pictures of 8 bits per channel, but {file} has mode "
                    f"{picture.mode}: pass such pictures as an array, with their data_range."
                )
            pixels = ImageOps.exif_transpose(picture).convert("RGB" if self.color else "L")
            return np.asarray(ImageOps.fit(pixels, (width, height), Image.Resampling.BICUBIC))
