"""Train the columns of a table and restore the test pictures; what is done is not done again."""

import hashlib
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.paper.columns import columns, denoiser, tasks
from benchmarks.paper.settings import DEBLURRING, TUNED, Preset
from benchmarks.pictures import split_pictures
from skmetainv import ClassicalReconstructor
from skmetainv.training import Checkpoint

# The seed of test measurements: the same in all columns and for all seeds of training.
_MEASUREMENT_SEED = 0
_TIMED = 20


class Experiment:
    """One table with one seed, and the folder where what it makes is kept.

    Parameters
    ----------
    table : {1, 2, 3, 4}
        Which one.
    preset : Preset
        How large everything is.
    images : str
        The folder of pictures.
    seed : int
        Seed of training.
    device : {"cpu", "cuda"}
        Where it runs.
    work : path-like
        Folder for denoisers, checkpoints, estimators and restored pictures.
    lpips : LPIPS or None
        The loss of the columns that are trained with it.
    """

    def __init__(self, table, preset: Preset, images, seed, device, work, lpips):
        self.table, self.preset, self.images, self.seed = table, preset, images, seed
        self.device, self.lpips = device, lpips
        self.shared = Path(work) / preset.name
        self.folder = self.shared / f"table{table}-seed{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def pictures(self):
        """Return the pictures in three parts."""
        preset = self.preset
        return split_pictures(
            self.images,
            preset.sizes[self.table],
            n_validation=preset.n_validation,
            n_test=preset.n_test,
            n_training=preset.n_training,
            color=preset.color,
            crops=preset.crops,
            in_memory=preset.in_memory,
        )

    def denoiser(self):
        """Return the fitted denoiser that Tables 3 and 4 share, None for the others."""
        if self.table not in (DEBLURRING, TUNED):
            return None
        own, size = denoiser(self.preset, self.seed, self.device), self.preset.sizes[self.table]
        path = self.shared / f"denoiser-{size}-{_digest(own)}"
        return fitted(own, self.pictures().training, path)

    def columns(self):
        """Return the columns by name, not fitted."""
        return columns(self.table, self.preset, self.seed, self.device, self.denoiser(), self.lpips)

    def measurements(self, pictures):
        """Return what is measured of some pictures, task by task: the same for all columns."""
        clean = np.asarray(pictures)
        measured = {}
        for name, task in tasks(self.table, self.preset).items():
            instrument = ClassicalReconstructor(task.operator, noise=task.noise)
            measured[name] = instrument.simulate(clean, random_state=_MEASUREMENT_SEED)
        return measured

    def restored(self, name):
        """Return what a column makes of the test pictures, task by task, and what it took."""
        estimator = self.columns()[name]
        path = self.folder / f"{name.replace(' ', '-')}-{_digest(estimator)}"
        images, costs = path.with_suffix(".npz"), path.with_suffix(".json")
        if not costs.exists():
            pictures = self.pictures()
            fitted(estimator, pictures.training, path)
            tasks = self.measurements(pictures.test).items()
            np.savez_compressed(images, **{task: _restored(estimator, y) for task, y in tasks})
            costs.write_text(json.dumps(_costs(estimator, next(iter(tasks))[1])))
        with np.load(images) as arrays:
            return dict(arrays), json.loads(costs.read_text())


def fitted(estimator, training, path):
    """Return the estimator, fitted; what learns goes on from the checkpoint of an earlier call."""
    if not hasattr(estimator, "checkpoint"):
        return estimator.fit(training)
    estimator.set_params(checkpoint=Checkpoint(path.with_suffix(".checkpoint"), minutes=1.0))
    return estimator.fit(training).set_params(checkpoint=None)


def _restored(estimator, measured):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `_costs` has the updates made
        return estimator.predict(measured)


def _costs(estimator, measured):
    """Return what a fitted column took, its last prediction that of all test pictures."""
    history = getattr(estimator, "history_", {"seconds": []})
    costs = {
        "estimator": description(estimator),
        "fit_seconds": sum(history["seconds"]),
        "history": {name: values for name, values in history.items() if name != "inner_loss"},
        "n_weights": int(sum(w.size for w in getattr(estimator, "weights_", {}).values())),
        "threads": torch.get_num_threads(),
    }
    if isinstance(estimator, ClassicalReconstructor):
        costs["updates"] = np.percentile(estimator.n_iter_, [0, 50, 100]).tolist()
    began = time.perf_counter()
    _restored(estimator, measured[:_TIMED])
    return {**costs, "predict_ms": 1000 * (time.perf_counter() - began) / len(measured[:_TIMED])}


def description(estimator):
    """Return the whole `repr` of an estimator, in one line."""
    return " ".join(estimator.__repr__(N_CHAR_MAX=10**6).split())


def _digest(estimator):
    """Return a short name of an estimator's settings: with others it is another run."""
    return hashlib.sha256(description(estimator).encode()).hexdigest()[:8]
