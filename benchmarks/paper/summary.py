"""The results of all seeds by table."""

import numpy as np

from benchmarks.paper.report import FORMATS, print_denoiser, published_figure
from benchmarks.paper.settings import METRICS
from benchmarks.record import read
from skmetainv.model_selection import standard_error

# Runs of one table may differ only in these settings.
_MAY_DIFFER = ("seed", "columns_at_a_time")


def load_results(folder, preset):
    """Load the results of all runs of a preset, and their images, by table and seed.

    Parameters
    ----------
    folder : pathlib.Path
        Folder with the JSON files.
    preset : str
        Name of the preset.

    Raises
    ------
    ValueError
        If runs of one table cannot be averaged, because settings other than the seed and
        "columns_at_a_time" differ.
    """
    found, common = {}, {}
    for file in sorted(folder.glob(f"table*-{preset}-seed*.json")):
        record = read(file)
        settings, results = record["settings"], record["results"]
        own = {name: value for name, value in settings.items() if name not in _MAY_DIFFER}
        first = common.setdefault(settings["table"], own)
        other = sorted(name for name in own | first if own.get(name) != first.get(name))
        if other:
            raise ValueError(f"{file.name} is of other {', '.join(other)} than runs before it.")
        runs = found.setdefault(settings["table"], {})
        runs[settings["seed"]] = {**results, "pictures": settings.get("pictures")}
    return {table: dict(sorted(found[table].items())) for table in sorted(found)}


def print_tables(results):
    """Print every table in Markdown: means over seeds, PSNR by seed, and the paper's values.

    "±" is a standard error over the persons of the test images, after averaging over seeds.
    """
    for table, runs in results.items():
        first = next(iter(runs.values()))
        tasks = next(iter(first["columns"].values()))["quality"]
        metrics = [m for m in METRICS[table] if m in next(iter(tasks.values()))]
        heads = [head for metric in metrics for head in _heads(metric)]
        heads += ["epochs", "fit (s)", "ms per image", "weights"]
        print(f"\nTable {table}, seeds {', '.join(map(str, runs))}\n")
        print(f"| | {' | '.join(heads)} |")
        print(f"|---|{'---|' * len(heads)}")
        for task in tasks:
            for name in first["columns"]:
                own = [run["columns"][name] for run in runs.values()]
                cells = [f"{task}: {name}" if task else name]
                for metric in metrics:
                    values = np.array([run["quality"][task][metric] for run in own])
                    cells += _told(metric, values, first["groups"])
                    cells.append(published_figure(table, task, name, metric))
                print(f"| {' | '.join([*cells, *_costs(own)])} |")
        print_denoiser(runs.values())


def _heads(metric):
    return [metric.upper(), *["by seed"] * (metric == "psnr"), "paper"]


def _told(metric, values, groups):
    """Return a metric's mean over seeds, and for PSNR also the values by seed."""
    number = FORMATS[metric].format
    error = standard_error(values.mean(axis=0), groups)
    by_seed = ", ".join(number(own) for own in values.mean(axis=1))
    return [f"{number(values.mean())} ± {error:.1g}", *[by_seed] * (metric == "psnr")]


def _costs(runs):
    seconds, ms = (np.mean([run[cost] for run in runs]) for cost in ("fit_seconds", "predict_ms"))
    n_epochs = len(runs[0]["history"].get("seconds", ()))
    return [str(n_epochs), f"{seconds:.0f}", f"{ms:.1f}", str(runs[0]["n_weights"])]
