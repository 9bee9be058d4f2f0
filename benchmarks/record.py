"""Write what a benchmark measured, with where and with what it was measured."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "scikit-learn", "scikit-image", "numpy", "scipy", "deepinv")


def environment(device="cpu"):
    """Return hardware and versions."""
    cuda = torch.device(device).type == "cuda"
    return {
        "hardware": torch.cuda.get_device_name() if cuda else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def save(name, settings, results, device="cpu", folder=RESULTS):
    """Write ``<folder>/<name>.json`` and return its path."""
    path = Path(folder) / f"{name}.json"
    record = {"settings": settings, "environment": environment(device), "results": results}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def load(name, settings):
    """Return the results of ``results/<name>.json`` if they are of these settings, else None."""
    path = RESULTS / f"{name}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return record["results"] if record.get("settings") == settings else None


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()
