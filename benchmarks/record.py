"""Write what a benchmark measured, with where and with what it was measured.

A record is ``<name>.json``, text to be read: settings, environment, results. NumPy arrays in the
results, values of single images say, lie beside it in ``<name>.npz``, under their place in the
results (``runs/0/psnr``). The text has their length, their mean and a digest instead.
"""

import fcntl
import hashlib
import json
import os
import platform
import subprocess
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "skmetainv",
    "torch",
    "scikit-learn",
    "scikit-image",
    "numpy",
    "scipy",
    "lpips",
    "deepinv",
)
_DIGITS_OF_DIGEST = 12


def environment(device="cpu"):
    """Return hardware and versions."""
    cuda = torch.device(device).type == "cuda"
    return {
        "hardware": torch.cuda.get_device_name() if cuda else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "commit": _commit(),
    }


def save(name, settings, results, device="cpu", folder=RESULTS):
    """Write ``<folder>/<name>.json``, and arrays beside it; return its path."""
    path = Path(folder) / f"{name}.json"
    with _locked(path.parent):
        write(path, _record(settings, results, device))
    return path


def load(name, settings, folder=RESULTS):
    """Return the results of ``<folder>/<name>.json`` if they are of these settings, else None."""
    path = Path(folder) / f"{name}.json"
    record = read(path) if path.exists() else {}
    return record["results"] if record.get("settings") == settings else None


def update(name, settings, change, device="cpu", folder=RESULTS):
    """Write what `change` makes of the results of these settings; return it.

    `change` gets what `load` gives. No other process writes the record meanwhile, so several may
    add to it.
    """
    path = Path(folder) / f"{name}.json"
    with _locked(path.parent):
        results = change(load(name, settings, folder))
        write(path, _record(settings, results, device))
    return results


def write(path, record):
    """Write a record and the arrays in it, each file in one step: it is whole, or not there."""
    arrays = {}
    text = json.dumps(_without_arrays(record, (), arrays), indent=1) + "\n"
    if arrays:
        # First the arrays: a text that is older finds its own under the same places.
        with _replaced(path.with_suffix(".npz")) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
    with _replaced(path) as part:
        part.write_text(text)


def read(path):
    """Return a record with its arrays.

    Raises
    ------
    ValueError
        If the file of arrays is not the one that was written with the text.
    """
    path = Path(path)
    record, beside = json.loads(path.read_text()), path.with_suffix(".npz")
    if not beside.exists():
        return _with_arrays(record, {}, path)
    with np.load(beside) as arrays:
        return _with_arrays(record, arrays, path)


def _record(settings, results, device):
    return {"settings": settings, "environment": environment(device), "results": results}


def _without_arrays(part, place, arrays):
    """Return part of a record with arrays summarised; they are added to `arrays` by their place."""
    if isinstance(part, dict):
        return {k: _without_arrays(v, (*place, str(k)), arrays) for k, v in part.items()}
    if isinstance(part, list | tuple):
        return [_without_arrays(v, (*place, str(i)), arrays) for i, v in enumerate(part)]
    if not isinstance(part, np.ndarray):
        return part
    name = "/".join(place[1:])  # all are in "results"
    arrays[name] = part
    mean = {"mean": float(f"{part.mean():.6g}")} if part.dtype.kind == "f" else {}
    return {"array": name, "length": len(part), **mean, "digest": _digest(part)}


def _with_arrays(part, arrays, path):
    """Return part of a record with its arrays in their places."""
    if isinstance(part, list):
        return [_with_arrays(v, arrays, path) for v in part]
    if not isinstance(part, dict):
        return part
    if "array" not in part:
        return {k: _with_arrays(v, arrays, path) for k, v in part.items()}
    name = part["array"]
    found = arrays.get(name)
    if found is None or _digest(found) != part["digest"]:
        raise ValueError(f"{path.with_suffix('.npz')} has not the array {name!r} of {path.name}.")
    return found


def _digest(array):
    """Return some digits of the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:_DIGITS_OF_DIGEST]


@contextmanager
def _replaced(path):
    """Give a path to write to, which then takes the place of the file."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    yield part
    os.replace(part, path)


@contextmanager
def _locked(folder):
    """Let one process at a time write in a folder."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit():
    """Return the commit that was measured, with a star where files had changed since."""
    command = ["git", "-C", str(RESULTS), "describe", "--always", "--dirty=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor():
    described = Path("/proc/cpuinfo")
    for line in described.read_text().splitlines() if described.exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()
