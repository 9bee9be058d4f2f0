"""Alternate runs of our estimators and of the scripts, and measure the rate of products."""

import contextlib
import time
import warnings
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.operators import timed
from benchmarks.own_process import PeakMemory, in_own_process
from benchmarks.speed.rows import SEED, Row
from benchmarks.speed.scripts import WithHigher, WithTorchFunc, timed_steps
from skmetainv import MetaInverseSolver
from skmetainv.exceptions import AdaptationWarning
from skmetainv.meta import MAML
from skmetainv.metrics import psnr

SCRIPTS = {"higher": WithHigher, "torch.func": WithTorchFunc}
PRODUCT = {"cpu": 2048, "cuda": 8192}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Relative difference of the first outer losses, up to which ours and a script's are the same.
SAME = {"float32": 1e-4, "bfloat16": 1e-3}
# Largest difference of restored images with the same weights: one step less changes them by 3e-4.
SAME_IMAGE = 2e-5
# The shares of inner steps that are recomputed in measurements of memory.
_RECOMPUTED = (0.0, 0.2, 1.0)
# The steps of a measurement of memory; the first is not timed.
_STEPS = 3


def rate(dtype, device):
    """Return the operations per second of one large product."""
    n = PRODUCT[device.type]
    a = torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / (timed(partial(torch.mm, a, a), None, device, 0.5)["ours_ms"] / 1000)


def our_steps(row: Row, n, device, measured=None):
    """Return the seconds of `n` steps of `fit`, and the loss before each.

    If `measured` are given, these are the measurements of the images.
    """
    estimator, images = row.estimator(device, n), row.images()
    data = (images,) if measured is None else (measured, images)
    with warnings.catch_warnings(), _no_report():
        warnings.simplefilter("ignore", AdaptationWarning)
        history = estimator.fit(*data).history_
    return history["seconds"], history["outer_loss"]


@contextlib.contextmanager
def _no_report():
    """`fit` ends without restoring images, which is no part of a step."""
    report = MetaInverseSolver._report
    MetaInverseSolver._report = lambda self, run: None
    try:
        yield
    finally:
        MetaInverseSolver._report = report


def step(row, rounds, n, device):
    """Return the seconds of a training step, the ratios to other runs and the share."""
    runs = {script: partial(_script_steps, row, script) for script in row.scripts}
    if row.beside is not None:
        runs[str(row.beside)] = partial(our_steps, replace(row, init=row.beside))
    results = _empty(row, runs)
    results["difference"] = {script: check_same(row, script, device) for script in row.scripts}
    n_operations = _counted(row, device) if row.has_convolutions else row.operations()
    measured = same_masks(row, row.task(device))
    for _ in range(rounds):
        rate_now = rate(DTYPES[row.precision], device)
        ours = median(our_steps(row, n + 1, device, measured)[0][1:])
        theirs = {name: median(run(n + 1, device)[0][1:]) for name, run in runs.items()}
        _add(results, ours, theirs, n_operations / rate_now)
    return results


def _empty(row, names):
    lists = {"theirs": {name: [] for name in names}, "ratio": {name: [] for name in names}}
    return {"row": str(row), "seconds": [], "share": [], **lists}


def _add(results, ours, theirs, least):
    """Add a round: our seconds, those of other runs, and the least seconds of the arithmetic."""
    results["seconds"].append(ours)
    results["share"].append(least / ours)
    for name, seconds in theirs.items():
        results["theirs"][name].append(seconds)
        results["ratio"][name].append(seconds / ours)


def _script_steps(row, script, n, device):
    return timed_steps(SCRIPTS[script](row.task(device)).step, n, device)


def _counted(row, device, part=None):
    """Return the operations in products and convolutions of a step of `higher`, as torch counts."""
    script = WithHigher(row.task(device))
    with FlopCounterMode(display=False) as counter:
        script.step() if part is None else part(script)
    return counter.get_total_flops()


def same_masks(row, task):
    """Return a task's measurements for our estimator if it would draw other masks, else None."""
    if not row.operator.has_missing:
        return None
    return torch.where(task.mask > 0, task.y, torch.nan).movedim(1, -1).cpu().numpy()


def check_same(row, script, device):
    """Return the largest relative difference between a script's losses of two steps and ours.

    Raises
    ------
    RuntimeError
        If the difference is so large that the two do not compute the same.
    """
    task = row.task(device)
    _, ours = our_steps(row, 2, device, same_masks(row, task))
    _, theirs = timed_steps(SCRIPTS[script](task).step, 2, device)
    difference = float(np.max(np.abs(np.divide(ours, theirs) - 1)))
    if not difference <= SAME[row.precision]:
        raise RuntimeError(f"Outer losses differ: {ours} and {theirs} with {script}.")
    return difference


def predict(row, n_images, rounds, device):
    """Return the seconds to restore images, ours and by `higher`'s inner loop."""
    row = replace(row, outer_lr=0.0)  # both keep the initial weights
    results = _empty(row, ["higher"])
    with _no_report():
        estimator = row.estimator(device, 1).fit(row.images())
    images = np.concatenate([row.images()] * -(-n_images // row.batch))[:n_images]
    script, measured = WithHigher(row.task(device, images)), estimator.simulate(images)
    ours = estimator.predict(measured[:1])  # builds the modules
    theirs = script.adapted(0, learning=False).movedim(0, -1).detach().cpu().numpy()
    results["difference"] = {"higher": float(np.abs(ours.squeeze() - theirs.squeeze()).max())}
    if not results["difference"]["higher"] < SAME_IMAGE:
        raise RuntimeError("Our restored image is not that of the script.")
    of_image = _counted(row, device, lambda script: script.adapted(0, learning=False))
    for _ in range(rounds):
        rate_now = rate(DTYPES[row.precision], device)
        ours = _seconds(partial(estimator.predict, measured), device)
        theirs = {"higher": _seconds(script.restore, device)}
        _add(results, ours, theirs, n_images * of_image / rate_now)
    return results


def _seconds(call, device):
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def memory(row, rounds, device):
    """Return megabytes and seconds of a step of `higher`, and of ours by share of recomputation.

    The four runs alternate, each in a process of its own.
    """
    runs = {f"recompute={share:g}": partial(_our_memory, share) for share in _RECOMPUTED}
    runs["higher"] = _memory_of_higher
    found = [
        {who: in_own_process(run, row, str(device)) for who, run in runs.items()}
        for _ in range(rounds)
    ]
    return {
        who: {of: [of_round[who][of] for of_round in found] for of in ("megabytes", "seconds")}
        for who in runs
    }


def _our_memory(recompute, row, device):
    rule = row.algorithm.step_sizes
    row = replace(row, algorithm=MAML(step_sizes=rule, recompute=recompute))
    return _grown(lambda device: our_steps(row, _STEPS, device), torch.device(device))


def _memory_of_higher(row, device):
    def run(device):
        return timed_steps(WithHigher(row.task(device)).step, _STEPS, device)

    return _grown(run, torch.device(device))


def _grown(run, device):
    """Return the growth of memory to its peak, and the median seconds of steps but the first."""
    if device.type == "cuda":
        seconds, _ = run(device)
        megabytes = torch.cuda.max_memory_allocated(device) / 1e6
    else:
        with PeakMemory() as peak:
            seconds, _ = run(device)
        megabytes = peak.peak - peak.before
    return {"megabytes": megabytes, "seconds": median(seconds[1:])}


def curve(row, images, limit, device):
    """Return the seconds of training and the held-out PSNR over time, ours and by `higher`.

    Seconds are those of steps: neither the set-up nor the restoration of held-out images counts.

    Parameters
    ----------
    row : Row
        The setting.
    images : (ndarray, ndarray)
        Training and held-out images.
    limit : float
        Seconds of training.
    device : torch.device
        The device of both.
    """
    training, held_out = images
    ours, estimator = [], row.estimator(device, None)
    with _no_report():
        while not ours or ours[-1][0] < limit:
            estimator.partial_fit(training)
            ours.append((sum(estimator.history_["seconds"]), estimator.score(held_out)))
    theirs, spent, rng = [], 0.0, np.random.default_rng(SEED)
    script, other = WithHigher(row.task(device, training)), row.task(device, held_out)
    learned, clean = script.task, other.x.movedim(1, -1).cpu().numpy()
    while spent < limit:
        batches = np.array_split(rng.permutation(len(training)), len(training) // row.batch)
        for batch in batches:
            spent += _seconds(partial(script.step, batch), device)
        script.task = replace(other, network=learned.network)
        restored = script.restore().movedim(1, -1).cpu().numpy()
        script.task = learned
        theirs.append((spent, psnr(clean, restored)))
    return {"ours": ours, "higher": theirs}
