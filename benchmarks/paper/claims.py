"""What the results of all seeds say of the paper's claims, by differences on the same pictures."""

import json
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from benchmarks.paper.settings import DEBLURRING, INPAINTING, MISSING, TUNED
from skmetainv.model_selection import standard_error

# Of these metrics less is better.
_LOWER = ("mse", "lpips")
# So many standard errors from 0 a difference counts.
_LIMIT = 2


class Comparison(NamedTuple):
    """The paper says that `first` is better than `second`, each a table and a column of it."""

    first: tuple[int, str]
    second: tuple[int, str]
    metric: str = "psnr"
    task: str = ""


def _better(table, first, seconds, **where):
    return [Comparison((table, first), (table, second), **where) for second in seconds]


_LOSSES = ("L1", "L2", "LPIPS")
_META = [f"Meta-{m}" for m in (2, 3, 5, 7)]
_OTHERS = ("RED 12", "RED converged", "HQS 12", "HQS converged")

CLAIMS = {
    "1. PSNR grows with the number of inner steps (Table 1)": [
        Comparison((INPAINTING, more), (INPAINTING, less)) for less, more in pairwise(_META)
    ],
    "2. Meta-RED beats RED and HQS at as many solver updates (Table 3)": _better(
        DEBLURRING, "Meta-RED L2", ("RED 12", "HQS 12")
    ),
    "2. ... comes near RED at convergence, and not to HQS at convergence (Table 3)": [
        *_better(DEBLURRING, "Meta-RED L2", ["RED converged"]),
        *_better(DEBLURRING, "HQS converged", ["Meta-RED L2"]),
    ],
    "2. ... and has the best LPIPS of all columns (Table 3)": _better(
        DEBLURRING, "Meta-RED LPIPS", _OTHERS, metric="lpips"
    ),
    "3. Training with LPIPS gives the best LPIPS, and costs PSNR (Tables 3 and 4)": [
        comparison
        for table in (DEBLURRING, TUNED)
        for comparison in (
            *_better(table, "Meta-RED LPIPS", ["Meta-RED L1", "Meta-RED L2"], metric="lpips"),
            *_better(table, "Meta-RED L2", ["Meta-RED LPIPS"]),
        )
    ],
    "4. Fine-tuning the denoiser lifts PSNR and LPIPS (Table 4)": [
        Comparison((TUNED, f"Meta-RED {loss}"), (DEBLURRING, f"Meta-RED {loss}"), metric)
        for metric in ("psnr", "lpips")
        for loss in _LOSSES
    ],
    "5. The UNet wins at inpainting (Tables 1 and 2)": [
        *_better(INPAINTING, "UNet", _META),
        *(
            Comparison((MISSING, "UNet"), (MISSING, "Meta"), task=task)
            for task in ("10", "500", "1000", "Half")
        ),
    ],
    "5. Unrolled HQS wins at deblurring (Table 4)": _better(
        TUNED, "HQS(12)", ["RED(12)", *(f"Meta-RED {loss}" for loss in _LOSSES)]
    ),
}


def print_claims(folder, preset):
    """Print, for every claim, the differences that it is about.

    A difference is that of two columns (their tables in brackets) on the same picture, its mean
    over seeds; its standard error is over persons. It is positive where the first is better, as the
    paper has it.

    Parameters
    ----------
    folder : pathlib.Path
        Has the JSON files of tables and seeds.
    preset : str
        Which of them.
    """
    results = _results(folder, preset)
    for claim, comparisons in CLAIMS.items():
        print(f"\n{claim}")
        for comparison in comparisons:
            print(f"  {_told(comparison, results)}")


def _results(folder, preset):
    """Return the results by table, one per seed."""
    found = {}
    for file in sorted(folder.glob(f"table*-{preset}-seed*.json")):
        record = json.loads(file.read_text())
        found.setdefault(record["settings"]["table"], []).append(record["results"])
    return found


def _values(results, column, metric, task):
    """Return the metric of every picture, one row per seed; None where there is none."""
    table, name = column
    runs = [run["columns"].get(name, {"quality": {}}) for run in results.get(table, [])]
    values = [run["quality"].get(task, {}).get(metric) for run in runs]
    return None if not values or None in values else np.array(values)


def _told(comparison, results):
    (first, second), (_, _, metric, task) = comparison[:2], comparison
    values = [_values(results, column, metric, task) for column in (first, second)]
    names = " - ".join(f"{name} [{table}]" for table, name in (first, second))
    label = f"{names}, {metric.upper()}{f', {task}' if task else ''}:"
    if any(v is None for v in values):
        return f"{label:60} not measured"
    n_seeds = min(map(len, values))
    gain = (values[0][:n_seeds] - values[1][:n_seeds]) * (-1 if metric in _LOWER else 1)
    mean, by_seed = gain.mean(), " ".join(f"{g:+.4g}" for g in gain.mean(axis=1))
    error = standard_error(gain.mean(axis=0), results[first[0]][0]["groups"])
    verdict = "holds" if mean > _LIMIT * error else "fails" if mean < -_LIMIT * error else "open"
    return f"{label:60} {mean:+.4g} ±{error:.2g} (seeds {by_seed}): {verdict}"
