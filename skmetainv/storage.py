"""A file of named arrays and a JSON record, written atomically and checked on reading."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

_RECORD, _CHECKSUM = "skmetainv", "sha256"


class DamagedFileError(ValueError):
    """A file is damaged, or was not written by `write`."""


def write(path: str | PathLike[str], arrays: Mapping[str, np.ndarray], record: Any) -> None:
    """Write arrays and a record atomically: the file is always the complete old or new one.

    Parameters
    ----------
    path : path-like
        A safetensors file, whose folder exists.
    arrays : mapping of str to ndarray
        Numeric arrays of any shape.
    record : object
        Any JSON-serialisable object. It is written to the file's header, with a SHA-256 checksum of
        arrays and record.
    """
    path, text = Path(path), json.dumps(record)
    stored = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    header = {_RECORD: text, _CHECKSUM: _checksum(stored, text)}
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
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
    FileNotFoundError
        If there is no such file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            # Files of other programs are not read further: NumPy may lack their arrays' types.
            names = file.keys() if _RECORD in header else []
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, ValueError) as error:
        raise DamagedFileError(f"{path} is damaged, or has another format: {error}.") from error
    if _RECORD not in header or header.get(_CHECKSUM) != _checksum(arrays, header[_RECORD]):
        raise DamagedFileError(
            f"{path} is damaged, or was written by another program: its checksum does not match."
        )
    return arrays, json.loads(header[_RECORD])


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
