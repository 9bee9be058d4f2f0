"""Tables in the paper's layout with the paper's values, as text, CSV and images."""

import csv

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.paper.settings import INPAINTING, METRICS, MISSING, PUBLISHED
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import over_batches
from skmetainv.model_selection import standard_error

FORMATS = {"mse": "{:.2e}", "psnr": "{:.2f}", "ssim": "{:.4f}", "lpips": "{:.4f}"}
_PAPER_FORMATS = {"mse": "{:.2g}", "psnr": "{:.1f}", "ssim": "{:.3g}", "lpips": "{:.2g}"}
_DIGITS = {"mse": 8, "psnr": 4, "ssim": 5, "lpips": 5}
_N_PICTURES = 8


def measured_quality(table, clean, restored, metrics):
    """Return every metric of every test image, by task.

    Parameters
    ----------
    table : {1, 2, 3, 4}
        The table whose metrics are computed.
    clean : ndarray of uint8
        The test images.
    restored : dict of str to ndarray
        Reconstructions of a column by task.
    metrics : dict of str to callable
        The available metrics.
    """
    chosen = {name: metrics[name] for name in METRICS[table] if name in metrics}
    x = clean / 255
    return {
        task: {
            name: np.round(values, _DIGITS[name])
            for name, values in over_batches(chosen, [(x, z.astype(float))], (0.0, 1.0)).items()
        }
        for task, z in restored.items()
    }


def rows(table, results):
    """Yield (task, column, metric, mean, standard error over persons, the paper's value)."""
    for name, column in results["columns"].items():
        for task, quality in column["quality"].items():
            published = PUBLISHED[table].get((task, name), {})
            for metric in METRICS[table]:
                values = quality.get(metric)
                mean = None if values is None else float(np.mean(values))
                error = None if values is None else standard_error(values, results["groups"])
                yield task, name, metric, mean, error, published.get(metric)


def print_table(table, results):
    """Print the table in the paper's layout, with its values in brackets and each column's cost."""
    placed = {
        _place(table, task, name, metric.upper()): _cell(table, task, name, metric, mean, error)
        for task, name, metric, mean, error, _ in rows(table, results)
    }
    _print_grid(placed)
    print("\nmeans ± standard errors over persons, or photographs (the paper's figure)\n")
    costs = {}
    for name, column in results["columns"].items():
        costs["fit (s)", name] = f"{column['fit_seconds']:.0f}"
        costs["predict (ms per image)", name] = f"{column['predict_ms']:.2f}"
        costs["weights", name] = str(column["n_weights"])
    _print_grid(costs)
    print_denoiser([results])


def print_denoiser(runs):
    """Print the training time of a table's denoiser over some runs, if it has one."""
    if all(run["denoiser"] is not None for run in runs):
        seconds = np.mean([run["denoiser"]["fit_seconds"] for run in runs])
        print(f"\nThe denoiser of all columns took {seconds:.0f} s more to train.")


def _place(table, task, name, metric):
    """Return the row and the column of a value in the paper's table."""
    if table == MISSING:
        return task, f"{name} {metric}"
    return (name, metric) if table == INPAINTING else (metric, name)


def _print_grid(cells):
    """Print cells by row and column, both in order of appearance."""
    lines, heads = (list(dict.fromkeys(place)) for place in zip(*cells, strict=True))
    grid = [["", *heads], *([line, *(cells[line, head] for head in heads)] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    for label, *own in grid:
        padded = (cell.rjust(width) for cell, width in zip(own, widths[1:], strict=True))
        print("  ".join([label.ljust(widths[0]), *padded]))


def _cell(table, task, name, metric, mean, error):
    ours = "-" if mean is None else f"{FORMATS[metric].format(mean)} ±{error:.1g}"
    return f"{ours} ({published_figure(table, task, name, metric)})"


def published_figure(table, task, name, metric):
    """Return the paper's value as printed there."""
    value = PUBLISHED[table].get((task, name), {}).get(metric)
    return "-" if value is None else _PAPER_FORMATS[metric].format(value)


def write_csv(table, results, path):
    """Write the table, one line per task, column and metric."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        head = ["task", "column", "metric", "mean", "standard_error", "paper"]
        writer.writerow(head)
        for task, name, metric, mean, error, published in rows(table, results):
            numbers = ["" if v is None else f"{v:.6g}" for v in (mean, error, published)]
            writer.writerow([task, name, metric, *numbers])


def draw(clean, measured, restored, path):
    """Plot test images like the paper's Figures 1 to 3, one column per column of the table.

    Parameters
    ----------
    clean : ndarray of uint8
        The test images. A few, evenly spaced, are plotted.
    measured : dict of str to ndarray
        Their measurements by task. All tasks are plotted.
    restored : dict of str to (dict of str to ndarray)
        Reconstructions by column and task.
    path : path-like
        The file.
    """
    chosen = np.linspace(0, len(clean) - 1, min(_N_PICTURES, len(clean))).astype(int)
    size = 1.2 * (2 + len(restored)), 1.35 * len(chosen) * len(measured)
    figure, axes = plt.subplots(len(measured), figsize=size, layout="constrained", squeeze=False)
    for ax, (task, y) in zip(axes[:, 0], measured.items(), strict=True):
        display = ReconstructionDisplay.from_predictions(
            clean[chosen] / 255,
            {name: images[task][chosen] for name, images in restored.items()},
            measured=y[chosen],
            data_range=1.0,
            ax=ax,
        )
        display.ax_[0, 0].set_ylabel(task, fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
