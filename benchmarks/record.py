"""Records of benchmark results, with their settings and environment.

A record is a readable file ``<name>.json`` of settings, environment and results. NumPy arrays in
the results, such as values per image, are written to ``<name>.npz``, under their path in the
results (``runs/0/psnr``). In their place the text has their length, mean and digest.
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
    "higher",
)
_DIGITS_OF_DIGEST = 12


def environment(device="cpu"):
    """Return hardware and versions."""
    cuda = torch.device(device).type == "cuda"
    libraries = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return {
        "hardware": torch.cuda.get_device_name() if cuda else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        **(libraries if cuda else {}),
        "commit": _commit(),
    }


def save(name, settings, results, device="cpu", folder=RESULTS):
    """Write ``<folder>/<name>.json`` and its arrays; return its path."""
    path = Path(folder) / f"{name}.json"
    with locked(path.parent):
        write(path, _record(settings, results, device))
    return path


def load(name, settings, folder=RESULTS):
    """Return the results of ``<folder>/<name>.json`` if its settings are equal, else None."""
    path = Path(folder) / f"{name}.json"
    record = read(path) if path.exists() else {}
    return record["results"] if record.get("settings") == settings else None


def update(name, settings, change, device="cpu", folder=RESULTS):
    """Apply `change` to the results of these settings, write them and return them.

    `change` receives the result of `load`. The record is locked meanwhile, so that several
    processes can add to it.
    """
    path = Path(folder) / f"{name}.json"
    with locked(path.parent):
        results = change(load(name, settings, folder))
        write(path, _record(settings, results, device))
    return results


def indented(record):
    """Return a record without arrays as text."""
    return json.dumps(record, indent=1) + "\n"


def write(path, record, as_text=indented):
    """Write a record and its arrays, each file atomically."""
    path, arrays = Path(path), {}
    text = as_text(_without_arrays(record, (), arrays))
    if arrays:
        # Write the arrays first: an older text still finds its arrays under the same paths.
        with _replaced(path.with_suffix(".npz")) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
    with _replaced(path) as part:
        part.write_text(text)


def read(path):
    """Return a record with its arrays.

    Raises
    ------
    ValueError
        If the file of arrays does not belong to the text.
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
    """Return part of a record with arrays summarised; add the arrays to `arrays` by their path."""
    if isinstance(part, dict):
        return {k: _without_arrays(v, (*place, str(k)), arrays) for k, v in part.items()}
    if isinstance(part, list | tuple):
        return [_without_arrays(v, (*place, str(i)), arrays) for i, v in enumerate(part)]
    if not isinstance(part, np.ndarray):
        return part
    name = "/".join(place[1:])  # without "results"
    arrays[name] = part
    mean = {"mean": float(f"{part.mean():.6g}")} if part.dtype.kind == "f" else {}
    return {"array": name, "length": len(part), **mean, "digest": _digest(part)}


def _with_arrays(part, arrays, path):
    """Return part of a record with its arrays restored."""
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
    """Return the first digits of the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:_DIGITS_OF_DIGEST]


@contextmanager
def _replaced(path):
    """Yield a temporary path, whose file then replaces the given one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    yield part
    os.replace(part, path)


@contextmanager
def locked(folder):
    """Lock a folder, so that one process at a time writes to it."""
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
    """Return the measured commit, with a star if files differ from it."""
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
