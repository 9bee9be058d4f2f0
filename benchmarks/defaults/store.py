"""The results, in one file to which several processes can write."""

import json
import os
from pathlib import Path

from benchmarks.record import environment, locked
from skmetainv.inputs.validation import check_device

_KEY = ("data", "row", "seed", "method")


class Store:
    """Results by data set, row, seed and method.

    Parameters
    ----------
    path : path-like
        A JSON file, which need not exist.
    """

    def __init__(self, path):
        self.path = Path(path)

    def read(self):
        """Return all results, and the groups of the test images by data set and seed."""
        if not self.path.exists():
            return {"environments": [], "groups": {}, "figures": []}
        return json.loads(self.path.read_text())

    def figures(self, **of):
        """Return the results of a data set, row, seed and method; the later keys are optional."""
        return [f for f in self.read()["figures"] if all(f[k] == v for k, v in of.items())]

    def add(self, figures, groups):
        """Write results, and replace earlier ones of the same method."""
        with locked(self.path.parent):
            content = self.read()
            place, here = content["environments"], environment(check_device("auto"))
            if here not in place:
                place.append(here)
            own = {**figures, "load": os.getloadavg()[0], "environment": place.index(here)}
            content["groups"].setdefault(figures["data"], {})[str(figures["seed"])] = groups
            key = [own[name] for name in _KEY]
            others = [f for f in content["figures"] if [f[name] for name in _KEY] != key]
            content["figures"] = [*others, own]
            part = self.path.with_suffix(".part")
            part.write_text(_lines(content))
            os.replace(part, self.path)
        return own


def _lines(content):
    """Return JSON with one line per environment, per data set's groups and per result."""
    parts = []
    for name, values in content.items():
        named = values.items() if isinstance(values, dict) else [(None, v) for v in values]
        lines = [("" if k is None else f"{json.dumps(k)}: ") + json.dumps(v) for k, v in named]
        left, right = "{}" if isinstance(values, dict) else "[]"
        parts.append(f"{json.dumps(name)}: {left}\n" + ",\n".join(lines) + f"\n{right}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
