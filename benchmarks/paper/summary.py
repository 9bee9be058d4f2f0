"""What the runs of all seeds found, table by table."""

import json

import numpy as np

from benchmarks.paper.report import FORMATS, published_figure
from benchmarks.paper.settings import METRICS
from skmetainv.model_selection import standard_error


def load_results(folder, preset):
    """Return the results of all runs of a preset, by table and seed.

    Parameters
    ----------
    folder : pathlib.Path
        Has the JSON files.
    preset : str
        Which of them.
    """
    found = {}
    for file in folder.glob(f"table*-{preset}-seed*.json"):
        record = json.loads(file.read_text())
        settings = record["settings"]
        found.setdefault(settings["table"], {})[settings["seed"]] = record["results"]
    return {table: dict(sorted(found[table].items())) for table in sorted(found)}


def print_tables(results):
    """Print every table in Markdown: means over seeds, by seed, and the paper's figures.

    Behind "±" is the standard error over the persons of the test pictures, of the means over seeds.
    """
    for table, runs in results.items():
        first = next(iter(runs.values()))
        tasks = next(iter(first["columns"].values()))["quality"]
        metrics = [m for m in METRICS[table] if m in next(iter(tasks.values()))]
        heads = [f"{metric.upper()} | by seed | paper" for metric in metrics]
        costs = "fit (s) | ms per image | weights"
        print(f"\nTable {table}, seeds {', '.join(map(str, runs))}\n")
        print(f"| | {' | '.join(heads)} | {costs} |")
        print(f"|---|{'---|' * (3 * len(metrics) + 3)}")
        for task in tasks:
            for name in first["columns"]:
                own = [run["columns"][name] for run in runs.values()]
                cells = [_cells(table, name, task, m, own, first["groups"]) for m in metrics]
                label = f"{task}: {name}" if task else name
                print(f"| {label} | {' | '.join(cells)} | {_costs(own)} |")


def _cells(table, name, task, metric, runs, groups):
    """Return a metric's mean over seeds, by seed, and the paper's figure."""
    values = np.array([run["quality"][task][metric] for run in runs])
    number = FORMATS[metric].format
    mean, error = number(values.mean()), standard_error(values.mean(axis=0), groups)
    by_seed = ", ".join(number(own) for own in values.mean(axis=1))
    return f"{mean} ± {error:.2g} | {by_seed} | {published_figure(table, task, name, metric)}"


def _costs(runs):
    seconds, ms = (np.mean([run[cost] for run in runs]) for cost in ("fit_seconds", "predict_ms"))
    return f"{seconds:.0f} | {ms:.2g} | {runs[0]['n_weights']}"
