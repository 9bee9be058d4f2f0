"""The image files of a folder: hidden files are left out, links followed, each file listed once."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

from skmetainv.exceptions import SkippedFilesWarning, warn

# fmt: off
_READ = {
    ".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tif", ".tiff", ".webp",
}
_NOT_READ = {
    ".arw", ".avif", ".cr2", ".cr3", ".czi", ".dcm", ".dng", ".exr", ".fit", ".fits", ".hdr",
    ".heic", ".heif", ".j2k", ".jp2", ".jpx", ".jxl", ".lif", ".mha", ".mhd", ".mrc", ".nd2",
    ".ndpi", ".nef", ".nii", ".nrrd", ".orf", ".pfm", ".psd", ".qoi", ".raf", ".rw2", ".svs",
    ".tga", ".vsi",
}
# fmt: on
_NO_PICTURES = {
    "__macosx",
    "@eadir",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "lost+found",
    "system volume information",
}


def find_pictures(folder: Path) -> list[Path]:
    """Return the image files of a folder and its subfolders, sorted by path.

    Raises
    ------
    ValueError
        If there are none.
    FileNotFoundError, NotADirectoryError
        If there is no such folder.

    Warns
    -----
    SkippedFilesWarning
        If there are also image files of formats that are not read.
    """
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is a file: ImageFolder takes the folder that holds the pictures (unpack an "
            "archive first)."
        )
    files = _visible_files(folder)
    pictures = sorted(file for file in files if file.suffix.lower() in _READ)
    if not pictures:
        raise ValueError(
            f"No pictures ({', '.join(sorted(_READ))}) in {folder}. "
            f"It holds {_counts_by_suffix(files) or 'no files'}."
        )
    others = [file for file in files if file.suffix.lower() in _NOT_READ]
    if others:
        warn(
            f"ImageFolder does not read all kinds of pictures: {_counts_by_suffix(others)} in "
            f"{folder} are left out, for example {min(others)}. To include them, convert them to "
            "PNG or TIFF.",
            SkippedFilesWarning,
        )
    return pictures


def _visible_files(folder: Path) -> list[Path]:
    """Return each visible file once: by its own path if below `folder`, else by a link's path.

    Broken links are included, so that reading them raises an error.
    """
    by_real_path: dict[str, Path] = {}
    links: list[Path] = []
    folders, visited = deque([folder]), set[str]()
    while folders:
        current = folders.popleft()
        real = os.path.realpath(current)
        if real in visited:
            continue
        visited.add(real)
        for entry in os.scandir(current):
            if entry.name.startswith(".") or entry.name.lower() in _NO_PICTURES:
                continue
            linked = entry.is_symlink()
            if os.path.isdir(entry.path) if linked else entry.is_dir():
                (folders.append if linked else folders.appendleft)(Path(entry.path))
            elif linked:
                links.append(Path(entry.path))
            elif entry.is_file():
                by_real_path[os.path.join(real, entry.name)] = Path(entry.path)
    for link in sorted(links):
        by_real_path.setdefault(os.path.realpath(link), link)
    return list(by_real_path.values())


def _counts_by_suffix(files: Iterable[Path]) -> str:
    """Return the number of files with each suffix, like ``3 .dcm, 1 .txt``."""
    counts = Counter(file.suffix.lower() or "without a suffix" for file in files)
    return ", ".join(f"{n} {suffix}" for suffix, n in counts.most_common(10))
