"""A file of named arrays and a JSON record, written atomically and checked on reading."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

Part = TypeVar("Part")

# Entries of the header: the record, the checksums of the arrays, and the checksum of both.
_RECORD, _CHECKSUMS, _CHECKSUM = "skmetainv", "checksums", "sha256"

# The most bytes of a header: a forged one may take twenty times as many in memory.
_LONGEST_HEADER = 2**24

# The size of the file that `try_to_write` writes.
_TRIAL_BYTES = 2**16

# NumPy's types by their names in safetensors files.
_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    **{
        f"{kind}{8 * size}": np.dtype(f"{kind.lower()}{size}")
        for kind in "IU"
        for size in (1, 2, 4, 8)
    },
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
}


class DamagedFileError(ValueError):
    """A file is damaged, or was not written by `write`."""


class ArrayHeader(NamedTuple):
    """The shape and the type of an array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Number of bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def write(path: str | PathLike[str], arrays: Mapping[str, np.ndarray], record: Any) -> None:
    """Write arrays and a record atomically: the file is always the complete old or new one.

    Parameters
    ----------
    path : path-like
        A safetensors file, whose folder exists. If it is a symbolic link, its target is written.
    arrays : mapping of str to ndarray
        Numeric arrays of any shape.
    record : object
        Any JSON-serialisable object. It is written to the file's header, with SHA-256 checksums of
        the record and of each array.

    Raises
    ------
    OSError
        If the file cannot be written, or if `path` is a folder, a device or a pipe.
    ValueError
        If the record takes more than 16 MB.
    """
    path, text = checked_path(path), json.dumps(record)
    if len(text) > _LONGEST_HEADER // 2:
        raise ValueError(f"{path} cannot be written: its record has {len(text)} characters.")
    stored = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    checksums = json.dumps({name: array_checksum(array) for name, array in stored.items()})
    header = {_RECORD: text, _CHECKSUMS: checksums, _CHECKSUM: _checksum(text, checksums)}
    temporary = _new_temporary(path)
    try:
        with open(temporary, "xb") as file:
            file.write(save(stored, metadata=header))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str | PathLike[str]) -> tuple[dict[str, np.ndarray], Any]:
    """Read the arrays and the record of a file written by `write`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
        The arrays, bit for bit.
    record : object
        The record.

    Raises
    ------
    DamagedFileError
        If the file is damaged, or was not written by `write`.
    OSError
        If there is no such file, or if it is a folder, a device or a pipe.
    """

    def values(file: Any, name: str, checksum: str) -> np.ndarray:
        array: np.ndarray = file.get_tensor(name)
        if array_checksum(array) != checksum:
            raise ValueError(f"the checksum of {name!r} does not match")
        return array

    return _contents(path, values)


def read_header(path: str | PathLike[str]) -> tuple[dict[str, ArrayHeader], Any]:
    """Read the record of a file written by `write`, and the shapes and types of its arrays.

    The values of the arrays are neither read nor checked.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    arrays : dict of str to ArrayHeader
        The shape and the type of each array.
    record : object
        The record.

    Raises
    ------
    DamagedFileError, OSError
        As in `read`.
    """

    def header(file: Any, name: str, _: str) -> ArrayHeader:
        part = file.get_slice(name)
        return ArrayHeader(tuple(part.get_shape()), _TYPES[part.get_dtype()])

    return _contents(path, header)


def is_ours(path: str | PathLike[str]) -> bool:
    """Return whether a safetensors file says that `write` wrote it; its checksums are not read."""
    with safe_open(path, framework="numpy") as file:
        return _RECORD in (file.metadata() or {})


def array_checksum(array: np.ndarray) -> str:
    """Return the SHA-256 checksum of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def checked_path(path: str | PathLike[str]) -> Path:
    """Return the file that a path names, after following symbolic links.

    Parameters
    ----------
    path : path-like
        A file that exists or is to be written.

    Returns
    -------
    path : Path
        The absolute path of the file.

    Raises
    ------
    OSError
        If the file's folder does not exist, or if the path is a folder, a device or a pipe.
    ValueError
        If the path has a null byte.
    """
    if "\0" in os.fspath(path):
        raise ValueError(f"{str(path)!r} cannot be a file: it has a null byte.")
    resolved = Path(path).resolve()
    if not resolved.parent.is_dir():
        raise FileNotFoundError(f"{str(path)!r} cannot be a file: its folder does not exist.")
    if resolved.is_symlink():  # Python 3.11 and 3.12 raise an error in `resolve`
        raise OSError(f"{str(path)!r} is a loop of symbolic links.")
    if resolved.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is not a file, but a folder.")
    if resolved.exists() and not resolved.is_file():
        raise OSError(f"{str(path)!r} is not a file, but a device or a pipe.")
    return resolved


def try_to_write(path: str | PathLike[str]) -> None:
    """Write and remove a temporary file beside a file.

    Raises
    ------
    OSError
        If `write` could not write there: because of permissions, a full disk, or a name that is too
        long.
    """
    temporary = _new_temporary(checked_path(path))
    try:
        temporary.write_bytes(bytes(_TRIAL_BYTES))
    finally:
        temporary.unlink(missing_ok=True)


def remove_orphans(path: str | PathLike[str]) -> None:
    """Remove the temporary files that killed processes left beside a file.

    Call it only if no other process writes the file. Files that cannot be removed stay.
    """
    path = checked_path(path)
    prefix = _temporary_prefix(path)
    with suppress(OSError):
        for other in path.parent.iterdir():
            if re.fullmatch(re.escape(prefix) + "[0-9a-f]{16}", other.name):
                with suppress(OSError):
                    other.unlink(missing_ok=True)


def _contents(
    path: str | PathLike[str], part: Callable[[Any, str, str], Part]
) -> tuple[dict[str, Part], Any]:
    """Return the part of each array, ``part(file, name, checksum)``, and the record."""
    resolved = checked_path(path)
    try:
        with open(resolved, "rb") as start:
            if int.from_bytes(start.read(8), "little") > _LONGEST_HEADER:
                raise ValueError("its header is too long")
        with safe_open(resolved, framework="numpy") as file:
            header = file.metadata() or {}
            # Files of other programs are not read further: NumPy may lack their arrays' types.
            texts = [header.get(key, "") for key in (_RECORD, _CHECKSUMS)]
            if header.get(_CHECKSUM) != _checksum(*texts):
                raise ValueError("the checksum of its header does not match")
            record, checksums = map(json.loads, texts)
            if not isinstance(checksums, dict) or checksums.keys() != set(file.keys()):
                raise ValueError("its arrays are not those that its header lists")
            return {
                name: part(file, name, checksum) for name, checksum in checksums.items()
            }, record
    except (SafetensorError, ValueError, LookupError, RecursionError) as error:
        raise DamagedFileError(
            f"{path} is damaged, or was written by another program: {error}."
        ) from error


def _new_temporary(path: Path) -> Path:
    """Return a new temporary file beside a file."""
    return path.with_name(f"{_temporary_prefix(path)}{secrets.token_hex(8)}")


def _temporary_prefix(path: Path) -> str:
    """Return the first part of the names of a file's temporary files."""
    return f".{path.name}."


def _checksum(*texts: str) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()
