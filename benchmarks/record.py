"""Write what a benchmark measured, with where and with what it was measured."""

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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
    """Write ``<folder>/<name>.json`` and return its path."""
    path = Path(folder) / f"{name}.json"
    record = {"settings": settings, "environment": environment(device), "results": results}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def load(name, settings, folder=RESULTS):
    """Return the results of ``<folder>/<name>.json`` if they are of these settings, else None."""
    path = Path(folder) / f"{name}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return record["results"] if record.get("settings") == settings else None


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
