"""Benchmarks without tests of their own run at their smallest size, from the command line."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import (
    ablation,
    denoising,
    headline,
    memory,
    operators,
    precision,
    scale,
    solver_choice,
    solvers,
    tiles,
)
from skmetainv.datasets import load_faces
from skmetainv.representations import Siren


class OneAfterTheOther(nullcontext):
    """Stands for a pool of threads, whose runs would otherwise share this process."""

    def __enter__(self):
        return self

    map = staticmethod(map)


@pytest.fixture
def run(monkeypatch):
    """Run a benchmark in this process; return the settings and results that it saves."""

    def run(module, *options, saves=True):
        saved = []
        if saves:
            monkeypatch.setattr(module, "save", lambda *own: saved.append(own[1:]) or Path("saved"))
        if hasattr(module, "ThreadPoolExecutor"):
            monkeypatch.setattr(module, "ThreadPoolExecutor", OneAfterTheOther)
        if hasattr(module, "in_own_process"):
            monkeypatch.setattr(module, "in_own_process", lambda function, *own: function(*own))
        if hasattr(module, "timed") and module is not operators:
            timed = operators.timed
            monkeypatch.setattr(module, "timed", lambda a, b, d, budget=0: timed(a, b, d, 0.0))
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, options)])
        module.main()
        return saved[0] if saved else None

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)  # runs have one


def folder_of_faces(folder, n):
    """Write faces as pictures of 24 x 24 pixels, two of each person."""
    folder.mkdir()
    for i, face in enumerate(load_faces()[:n, :24, :24]):
        picture = Image.fromarray((255 * face).astype(np.uint8))
        picture.save(folder / f"Person_{chr(65 + i // 2)}_{1 + i % 2:04}.png")
    return folder


def test_memory(run, monkeypatch):
    for name, value in {"N_IMAGES": 1000, "N_FEW": 40, "SHAPE": (4, 4, 3)}.items():
        monkeypatch.setattr(memory, name, value)
    _, results = run(memory)
    assert {40, 1000, "difference_mb"} == {*results}


def test_precision(run, monkeypatch):
    made = precision.make_estimator().set_params(init=Siren(4, depth=2), max_epochs=1)
    monkeypatch.setattr(precision, "make_estimator", lambda random_state=0: made)
    monkeypatch.setattr(precision, "Siren", lambda: Siren(4, depth=2))
    monkeypatch.setattr(precision, "SEEDS", (0,))
    monkeypatch.setattr(precision, "N_INNER", (1, 2))
    _, results = run(precision)
    assert len(results["memory"]) == 2 * len(precision.OPTIONS)
    assert len(results["splits"]) == 1
    assert abs(results["difference"]["mean"]) < 1


def test_tiles(run, monkeypatch):
    small = {"DnCNN": {"width": 4, "depth": 3}, "DRUNet": {"width": 4, "n_blocks": 1}}
    small["UNetReconstructor"] = {"width": 4}
    monkeypatch.setattr(tiles, "LARGE", small)
    trained = {name: {**own, "max_epochs": 1} for name, own in small.items()}
    monkeypatch.setattr(tiles, "SMALL", trained)
    monkeypatch.setattr(tiles, "TILES", dict.fromkeys(small, 16))
    monkeypatch.setattr(tiles, "OVERLAPS", (0, None))
    _, results = run(tiles, "--sides", 32)
    assert not any("failed" in own for own in results["memory"].values())
    exact = [d for case, d in results["largest_difference"].items() if "None" in case]
    assert len(exact) == 3
    assert max(exact) < 1e-4


def test_denoising(run, monkeypatch, tmp_path):
    folders = {
        part: folder_of_faces(tmp_path / part, 2) for part in ("train", "validation", "test")
    }
    options = [word for part, folder in folders.items() for word in (f"--{part}", folder)]
    strengths = {name: own[:2] for name, own in denoising.STRENGTHS.items()}
    monkeypatch.setattr(denoising, "STRENGTHS", strengths)
    options += ["--epochs", 1, "--depth", 3, "--width", 4, "--state", tmp_path / "state.joblib"]
    settings, results = run(denoising, *options)
    assert {"noisy", "skmetainv.denoisers.DnCNN", *strengths} == {*results}
    assert all(settings["strengths"][name] in own for name, own in strengths.items())


def test_solver_choice(run, monkeypatch):
    families = solver_choice.families

    def few(network):
        return {
            name: family._replace(
                updates=(1, 2), ranges={k: values[:1] for k, values in family.ranges.items()}
            )
            for name, family in families(network).items()
        }

    monkeypatch.setattr(solver_choice, "families", few)
    network = {**solver_choice.NETWORK, "depth": 3, "width": 4, "max_epochs": 1}
    for name, value in {"SIDE": 16, "CROP": 8, "STEPS": 2, "NETWORK": network}.items():
        monkeypatch.setattr(solver_choice, name, value)
    _, results = run(solver_choice)
    assert set(results) == {*solver_choice.OPERATORS}
    assert len(results["inpainting"]) == 1 + len(families(None))


def test_solvers(run, monkeypatch):
    for name, value in {"SIZES": [16], "NETWORKS": solvers.NETWORKS[:1]}.items():
        monkeypatch.setattr(solvers, name, value)
    monkeypatch.setattr(solvers, "LOOPS", {"GaussianBlur(3)": 16})
    _, results, _ = run(solvers, "--sizes", 16)
    (by_size,) = results["loops"].values()
    assert all(own[kind]["ratio"] > 0 for own in by_size[16].values() for kind in solvers.KINDS)
    assert {*results} == {*solvers.PARTS}


def test_operators(run, monkeypatch):
    few = dict(list(operators.ROWS.items())[:2])
    monkeypatch.setattr(operators, "ROWS", few)
    monkeypatch.setattr(operators, "SECONDS", 0.0)
    _, results, _ = run(operators, "--sizes", 16)
    assert {*results} == {*few}


def test_scale(run, monkeypatch, capsys):
    monkeypatch.setattr(scale, "SIZES", (5, 8))
    estimator = scale.estimator
    monkeypatch.setattr(scale, "estimator", lambda width, **own: estimator(4, **own))
    monkeypatch.setenv(scale._DEVICE, "cpu")  # `main` changes it
    run(scale, "--parts", "pixels", "--device", "cpu", saves=False)
    assert "pixels: exponent" in capsys.readouterr().out


def test_ablation(run, monkeypatch, tmp_path, capsys):
    names = list(ablation.BY_NAME)[:2]
    variants = {"the first": {name: ablation.BY_NAME[name] for name in names}}
    monkeypatch.setattr(ablation, "VARIANTS", variants)
    monkeypatch.setattr(ablation, "BY_NAME", variants["the first"])
    for name, value in {"SIZE": 12, "N_VALIDATION": 2, "N_TEST": 2, "ROUND": 4}.items():
        monkeypatch.setattr(ablation, name, value)
    monkeypatch.setitem(ablation.BASE, "init", Siren(4, depth=2))
    for name in ("load", "update"):
        monkeypatch.setattr(ablation, name, partial(getattr(ablation, name), folder=tmp_path))
    folder = folder_of_faces(tmp_path / "faces", 20)
    run(ablation, "--images", folder, "--seconds", 0.1, "--seeds", 1, saves=False)
    shown = capsys.readouterr().out
    assert all(f"{name}, " in shown for name in names)


def test_headline(run, monkeypatch, tmp_path, capsys):
    for name, value in {"N_VALIDATION": 2, "N_TEST": 2}.items():
        monkeypatch.setattr(headline, name, value)
    for name in ("load", "update"):
        monkeypatch.setattr(headline, name, partial(getattr(headline, name), folder=tmp_path))
    folder = folder_of_faces(tmp_path / "faces", 20)
    chosen = ["--problems", "half", "blur", "--methods", "linear", "--training", 8]
    for _ in range(2):  # the second run has nothing to measure
        run(headline, "--images", folder, *chosen, saves=False)
    shown = capsys.readouterr().out
    assert shown.count("dB after") == 2
    assert shown.count("| half | as trained |") == 4  # two tables, twice
