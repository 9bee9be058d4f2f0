"""The results, in one record to which several processes can write."""

import json
import os
from pathlib import Path

import numpy as np

from benchmarks.record import environment, locked, read, write
from skmetainv.inputs.validation import check_device

_KEY = ("data", "row", "seed", "method")


class Store:
    """Results by data set, row, seed and method, see `benchmarks.record`.

    Parameters
    ----------
    path : path-like
        The JSON file of the record, which need not exist.
    """

    def __init__(self, path):
        self.path = Path(path)

    def read(self):
        """Return all results, and the groups of the test images by data set and seed."""
        if not self.path.exists():
            return self._unlocked()
        with locked(self.path.parent):
            return self._unlocked()

    def figures(self, **of):
        """Return the results of the given data set, row, seed and method; each key is optional."""
        return [f for f in self.read()["results"] if all(f[k] == v for k, v in of.items())]

    def add(self, figures, groups):
        """Write results, and replace earlier ones of the same method."""
        with locked(self.path.parent):
            content = self._unlocked()
            environments, here = content["environments"], environment(check_device("auto"))
            if here not in environments:
                environments.append(here)
            added = {
                **figures,
                "psnr": np.asarray(figures["psnr"]),
                "load": os.getloadavg()[0],
                "environment": environments.index(here),
            }
            content["groups"].setdefault(figures["data"], {})[str(figures["seed"])] = groups
            results, key = content["results"], [added[name] for name in _KEY]
            same = [i for i, f in enumerate(results) if [f[name] for name in _KEY] == key]
            # In place: after a crash the older text still finds its arrays under the same paths
            place = same[0] if same else len(results)
            results[place : place + 1] = [added]
            write(self.path, content, as_text=_lines)
        return added

    def _unlocked(self):
        if not self.path.exists():
            return {"environments": [], "groups": {}, "results": []}
        return read(self.path)


def _lines(content):
    """Return JSON with one line per environment, per data set's groups and per result."""
    parts = []
    for name, values in content.items():
        named = values.items() if isinstance(values, dict) else [(None, v) for v in values]
        lines = [("" if k is None else f"{json.dumps(k)}: ") + json.dumps(v) for k, v in named]
        left, right = "{}" if isinstance(values, dict) else "[]"
        parts.append(f"{json.dumps(name)}: {left}\n" + ",\n".join(lines) + f"\n{right}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
