"""Tests of the paper's claims on the results of all seeds, by paired differences."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from benchmarks.paper.columns import STEPS
from benchmarks.paper.settings import DEBLURRING, INPAINTING, MISSING, TUNED
from skmetainv.model_selection import standard_error

# Metrics of which lower values are better.
_LOWER = ("mse", "lpips")
# Level of one-sided quantiles: errors are compared at 95 percent, two-sided.
_LEVEL = 0.975
# A column comes near another one if it is behind by at most this many decibels.
_NEAR = 0.25


class Comparison(NamedTuple):
    """The claim that column `first` is better than column `second`, each with its table.

    With a margin, the claim is that `first` is behind by at most the margin.
    """

    first: tuple[int, str]
    second: tuple[int, str]
    metric: str = "psnr"
    task: str = ""
    margin: float = 0.0


def _better(table, first, seconds, metrics=("psnr",), **where):
    return [
        Comparison((table, first), (table, second), metric, **where)
        for metric in metrics
        for second in seconds
    ]


_DISTORTION = ("psnr", "ssim", "mse")
_LOSSES = ("L1", "L2", "LPIPS")
_META = [f"Meta-{m}" for m in STEPS]
_OTHERS = ("RED 12", "RED converged", "HQS 12", "HQS converged")

CLAIMS = {
    "1. PSNR grows with the number of inner steps (Table 1)": [
        Comparison((INPAINTING, more), (INPAINTING, less)) for less, more in pairwise(_META)
    ],
    "2. Meta-RED beats RED and HQS with the same number of solver updates (Table 3)": _better(
        DEBLURRING, "Meta-RED L2", ("RED 12", "HQS 12"), _DISTORTION
    ),
    f"2. ... comes near RED at convergence (at most {_NEAR} dB behind it, Table 3)": _better(
        DEBLURRING, "Meta-RED L2", ["RED converged"], margin=_NEAR
    ),
    "2. ... but HQS at convergence is ahead of it (Table 3)": _better(
        DEBLURRING, "HQS converged", ["Meta-RED L2"], _DISTORTION
    ),
    "2. ... and has the best LPIPS of all columns (Tables 3 and 4)": [
        *_better(DEBLURRING, "Meta-RED LPIPS", _OTHERS, ["lpips"]),
        *_better(TUNED, "Meta-RED LPIPS", ["RED(12)", "HQS(12)"], ["lpips"]),
    ],
    "3. Training with LPIPS gives the best LPIPS, and costs PSNR (Tables 3 and 4)": [
        comparison
        for table in (DEBLURRING, TUNED)
        for comparison in (
            *_better(table, "Meta-RED LPIPS", ["Meta-RED L1", "Meta-RED L2"], ["lpips"]),
            *_better(table, "Meta-RED L2", ["Meta-RED LPIPS"]),
        )
    ],
    "4. Fine-tuning the denoiser improves distortion and LPIPS (Table 4)": [
        Comparison((TUNED, f"Meta-RED {loss}"), (DEBLURRING, f"Meta-RED {loss}"), metric)
        for metric in (*_DISTORTION, "lpips")
        for loss in _LOSSES
    ],
    "5. The UNet wins at inpainting (Tables 1 and 2)": [
        *_better(INPAINTING, "UNet", _META, _DISTORTION),
        *(
            Comparison((MISSING, "UNet"), (MISSING, "Meta"), task=task)
            for task in ("10", "500", "1000", "Half")
        ),
    ],
    "5. ... but not in LPIPS where half is missing (Table 2)": _better(
        MISSING, "Meta", ["UNet"], ["lpips"], task="Half"
    ),
    "5. Fine-tuned Meta-RED beats unrolled RED (Table 4)": _better(
        TUNED, "Meta-RED L2", ["RED(12)"], _DISTORTION
    ),
    "5. Unrolled HQS wins at deblurring (Table 4)": _better(
        TUNED, "HQS(12)", ["RED(12)", *(f"Meta-RED {loss}" for loss in _LOSSES)], _DISTORTION
    ),
}


def print_claims(results):
    """Print the differences behind every claim.

    A difference is between two columns (with their tables in brackets) on the same images, as a
    mean over the seeds that both have. It is positive if the first column is better, as the paper
    claims. Its standard errors are over the persons of the test images, and over the training
    seeds. Each error is multiplied by a quantile: the first by the normal one, the second by
    Student's, which is large for few seeds. The root of the sum of their squares is the limit. A
    claim holds if the difference (plus the claim's margin) is above the limit, and fails if it is
    below minus the limit. One seed does not decide a claim.

    Parameters
    ----------
    results : dict
        Result of `benchmarks.paper.summary.load_results`.
    """
    for claim, comparisons in CLAIMS.items():
        print(f"\n{claim}")
        for comparison in comparisons:
            print(f"  {_told(comparison, results)}")


def _quality(run, comparison, name):
    """Return the metric of every image in one run; None if it was not measured."""
    task = run["columns"].get(name, {"quality": {}})["quality"].get(comparison.task, {})
    values = task.get(comparison.metric)
    return None if values is None else np.array(values)


def _gains(comparison, results):
    """Return the gain of the first column on every image, by seed, and the images' groups."""
    (table, name), (other_table, other) = comparison.first, comparison.second
    first, second = results.get(table, {}), results.get(other_table, {})
    gains, groups = {}, None
    for seed in sorted(first.keys() & second.keys()):
        pair = (
            _quality(first[seed], comparison, name),
            _quality(second[seed], comparison, other),
        )
        if any(values is None for values in pair):
            continue
        if first[seed]["pictures"] != second[seed]["pictures"]:
            raise ValueError(f"Tables {table} and {other_table} are of other pictures.")
        groups = first[seed]["groups"]
        gains[seed] = (pair[0] - pair[1]) * (-1 if comparison.metric in _LOWER else 1)
    return gains, groups


def _told(comparison, results):
    names = " - ".join(f"{name} [{table}]" for table, name in comparison[:2])
    task = f", {comparison.task}" if comparison.task else ""
    label = f"{names}, {comparison.metric.upper()}{task}:"
    gains, groups = _gains(comparison, results)
    if not gains:
        return f"{label:56} not measured"
    gain = np.array([*gains.values()])
    mean, seeds = gain.mean(), gain.mean(axis=1)
    errors = standard_error(gain.mean(axis=0), groups), standard_error(seeds)
    by_seed = ", ".join(f"{seed}: {g:+.3g}" for seed, g in zip(gains, seeds, strict=True))
    told = " ".join(f"±{error:.2g}" for error in errors[: len(seeds)])  # one seed: the first
    verdict = _verdict(mean + comparison.margin, errors, len(seeds))
    return f"{label:56} {mean:+.3g} {told} (seed {by_seed}): {verdict}"


def _verdict(above, errors, n_seeds):
    """Return the verdict on a difference, given its errors over persons and over seeds."""
    if n_seeds == 1:
        return "one seed only"
    limit = np.hypot(norm.ppf(_LEVEL) * errors[0], t.ppf(_LEVEL, n_seeds - 1) * errors[1])
    return "holds" if above > limit else "fails" if above < -limit else "open"
