"""Train the columns of a table and restore the test images; finished parts are not repeated."""

import hashlib
import json
import os
import time
import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.paper.columns import columns, denoiser, tasks
from benchmarks.paper.settings import DEBLURRING, TUNED, Preset
from benchmarks.pictures import split_pictures
from benchmarks.record import environment
from skmetainv import ClassicalReconstructor, __version__
from skmetainv.datasets import ImageFolder
from skmetainv.training import Checkpoint

# The seed of test measurements is the same for all columns and all training seeds.
_MEASUREMENT_SEED = 0
_TIMED = 20


class Experiment:
    """One table with one seed, and the folder for its results.

    Parameters
    ----------
    table : {1, 2, 3, 4}
        Number of the table.
    preset : Preset
        Sizes of the experiment.
    images : path-like
        The folder of images.
    seed : int
        Seed of training.
    device : {"cpu", "cuda"}
        Device of training.
    work : path-like
        Folder for checkpoints and restored images.
    lpips : LPIPS or None
        Training loss of the "LPIPS" columns.
    """

    def __init__(self, table, preset: Preset, images, seed, device, work, lpips):
        self.table, self.preset, self.images, self.seed = table, preset, images, seed
        self.device, self.lpips = device, lpips
        self.shared = Path(work) / preset.name
        self.folder = self.shared / f"table{table}-seed{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def pictures(self):
        """The images in three parts."""
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

    @cached_property
    def denoiser(self):
        """The fitted denoiser of Tables 3 and 4; None for the other tables."""
        if self.table not in (DEBLURRING, TUNED):
            return None
        own = denoiser(self.preset, self.seed, self.device)
        path = self.shared / f"denoiser-seed{self.seed}-{self._name(own)}"
        return fitted(own, self.pictures.training, path)

    @property
    def preset_repr(self):
        """The preset without the settings of columns, which the estimators' `repr` shows."""
        return repr(replace(self.preset, columns={}))

    @property
    def settings(self):
        """The settings that are recorded with every result."""
        return {
            "preset": self.preset_repr,
            "images": Path(self.images).name,
            "pictures": self.digest,
            "seed": self.seed,
        }

    def columns(self):
        """Return the columns by name, not fitted."""
        own = self.preset, self.seed, self.device, self.denoiser, self.lpips
        return columns(self.table, *own)

    def measurements(self, clean):
        """Return the measurements of some images by task, the same for all columns."""
        measured = {}
        for name, task in tasks(self.table, self.preset).items():
            instrument = ClassicalReconstructor(task.operator, noise=task.noise)
            measured[name] = instrument.simulate(clean, random_state=_MEASUREMENT_SEED)
        return measured

    def restored(self, name):
        """Return the reconstructions of a column by task, and its cost."""
        images, costs = (self._path(name, suffix) for suffix in (".npz", ".json"))
        if not costs.exists():
            estimator, found, record = self.fitted(name), {}, None
            for task, measured in self.measurements(self.pictures.test).items():
                found[task], record = _predicted(estimator, measured)
            np.savez_compressed(images, **found)
            _write(costs, json.dumps(_costs(estimator, record)))
        with np.load(images) as arrays:
            return dict(arrays), json.loads(costs.read_text())

    def fitted(self, name):
        """Return the fitted estimator of a column."""
        path = self._path(name, ".checkpoint")
        return fitted(self.columns()[name], self.pictures.training, path)

    def predict_ms(self, name):
        """Return the milliseconds per test image of a trained column."""
        estimator = self.fitted(name)
        measured = next(iter(self.measurements(self.pictures.test[:_TIMED]).values()))
        _predicted(estimator, measured[:1])  # the first call builds the modules
        began = time.perf_counter()
        _predicted(estimator, measured)
        return 1000 * (time.perf_counter() - began) / len(measured)

    def _path(self, name, suffix):
        """Return the path of a column's file with this suffix."""
        estimator = self.columns()[name]
        return self.folder / f"{name.replace(' ', '-')}-{self._name(estimator)}{suffix}"

    def _name(self, estimator):
        """Return a digest of everything that a result depends on, except the code."""
        told = [
            description(estimator),
            self.preset_repr,
            repr(tasks(self.table, self.preset)),
            _MEASUREMENT_SEED,
            __version__,
            self.digest,
        ]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:8]

    @cached_property
    def digest(self):
        """A digest of all images; for lazy images, of their file names."""
        digest, (training, *others) = hashlib.sha256(), self.pictures
        lazy = isinstance(training, ImageFolder)
        for array in (np.array([f.name for f in training.files]) if lazy else training, *others):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def fitted(estimator, training, path):
    """Fit the estimator; training resumes from the checkpoint of an earlier call."""
    if not hasattr(estimator, "checkpoint"):
        return estimator.fit(training)
    estimator.set_params(checkpoint=Checkpoint(path, minutes=1.0))
    return estimator.fit(training).set_params(checkpoint=None)


def _predicted(estimator, measured):
    """Return restored images, and the record of a classical solver (None for other estimators)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `_costs` reports it
        if isinstance(estimator, ClassicalReconstructor):
            return estimator.predict(measured, return_record=True)
        return estimator.predict(measured), None


def _costs(estimator, record):
    """Return the cost of a fitted column; for a classical solver, from the record."""
    history = getattr(estimator, "history_", {})
    costs = {
        "estimator": description(estimator),
        "fit_seconds": sum(history.get("seconds", [])),
        "history": {name: values for name, values in history.items() if name != "inner_loss"},
        "n_weights": estimator.n_weights_,
        "threads": torch.get_num_threads(),
        "commit": environment()["commit"],
    }
    if record is not None:
        costs["updates_median"] = float(np.median(record.n_iter))
        costs["updates_most"] = int(np.max(record.n_iter))
        costs["n_not_finite"] = sum(not np.isfinite(r).all() for r in record.changes)
        if estimator.max_iter is not None:
            last = np.array([changes[-1] for changes in record.changes])
            costs["n_not_converged"] = int(np.sum(~(last <= estimator.tol)))
    return costs


def description(estimator):
    """Return the full `repr` of an estimator in one line."""
    return " ".join(estimator.__repr__(N_CHAR_MAX=10**6).split())


def _write(path, text):
    """Write a file atomically."""
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    os.replace(temporary, path)
