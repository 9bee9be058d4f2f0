"""The examples run with shortened training; their output and plots are checked."""

import importlib.util
from ast import literal_eval
from pathlib import Path

import joblib
import matplotlib
import numpy as np
from sklearn.model_selection import train_test_split

from skmetainv.datasets import load_faces
from skmetainv.metrics import psnr
from skmetainv.representations import Siren

matplotlib.use("Agg")
EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few_epochs(make_baselines):
    """Return the same baselines, with one epoch for the U-Net."""

    def made(estimator):
        baselines = make_baselines(estimator)
        baselines["U-Net"].set_params(max_epochs=1)
        return baselines

    return made


def test_quickstart(tmp_path, capsys, monkeypatch):
    quickstart = load("quickstart")
    faces = load_faces()
    monkeypatch.setattr(quickstart, "make_baselines", few_epochs(quickstart.make_baselines))
    estimator = quickstart.make_estimator().set_params(max_epochs=1, n_inner=1)
    restored = quickstart.restore(faces[:20], faces[20:26], estimator)
    quickstart.print_table(faces[20:26], restored)
    table = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in table[2:]] == list(restored)
    quickstart.draw(faces[20:26], restored, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    hole = restored["measurement"][0] == 0
    for name in ("training mean", "biharmonic"):
        filled = restored[name]
        assert (filled[:, ~hole] == restored["measurement"][:, ~hole]).all()
        assert psnr(faces[20:26], filled) > psnr(faces[20:26], restored["measurement"]) + 5


def test_quickstart_s_command(tmp_path, capsys, monkeypatch):
    quickstart = load("quickstart")
    full = quickstart.make_estimator

    def short(**options):
        return full(**options).set_params(max_epochs=1, n_inner=0)

    monkeypatch.setattr(quickstart, "make_estimator", short)
    monkeypatch.setattr(quickstart, "make_baselines", few_epochs(quickstart.make_baselines))
    output = tmp_path / "picture.png"
    monkeypatch.setattr("sys.argv", ["quickstart.py", "--seed", "3", "--output", str(output)])
    quickstart.main()
    shown = capsys.readouterr()
    assert "MetaInverseSolver" in shown.out
    assert "epoch 1/1" in shown.err
    assert output.exists()


def test_restore_photographs(tmp_path, capsys):
    script = load("restore_photographs")
    photographs = script.load_photographs(script.RESTORED, size=64)
    others = script.load_photographs(["chelsea", "coffee"], size=64)
    denoiser = script.make_denoiser().set_params(
        depth=3, width=8, max_epochs=1, patches_per_image=200, batch_size=4
    )
    solvers = script.make_solvers(denoiser.fit(others), n_iter=10)
    results = {
        task: script.restore(photographs, others, operator, solvers)
        for task, operator in script.OPERATORS.items()
    }
    script.print_table(script.RESTORED, photographs, results)
    table = capsys.readouterr().out.splitlines()
    methods = ["measured", "RED", "HQS", "ADMM", "total variation"]
    assert [line[:16].strip() for line in table[3:]] == methods
    assert all(len(line[16:].split()) == 4 for line in table[3:])
    inpainted = results["inpainting"]
    measured = psnr(photographs, np.nan_to_num(inpainted["measured"]), per_image=True)
    for name in methods[1:]:
        restored = psnr(photographs, inpainted[name], per_image=True)
        assert (restored > measured + 3).all(), (name, measured, restored)
    script.draw(script.RESTORED, photographs, results, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def shorten_select_settings(script, monkeypatch):
    """Reduce the search to 8 candidates with tiny networks, on 12 faces."""
    full, solver_grid = (
        script.make_estimators,
        {
            "solver__n_iter": [1, 2],
            "solver__denoiser__depth": [2, 3],
        },
    )

    def short(random_state):
        for estimator in (pair := full(random_state)):
            estimator.set_params(solver__denoiser__max_epochs=1, solver__denoiser__width=4)
        pair[0].set_params(init=Siren(width=8, depth=3), max_epochs=1)
        return pair

    grid = {"n_inner": [0, 1], "inner_lr": [3.0], **solver_grid}
    monkeypatch.setattr(script, "make_estimators", short)
    monkeypatch.setattr(script, "GRID", grid)
    monkeypatch.setattr(script, "CLASSICAL_GRID", solver_grid)
    monkeypatch.setattr(script, "load_faces", lambda: load_faces()[:32])


def test_select_settings(tmp_path, capsys, monkeypatch):
    script = load("select_settings")
    shorten_select_settings(script, monkeypatch)
    drawn, draw_scores = [], script.draw_scores

    def spy(figure, searched):
        draw_scores(figure, searched)
        drawn.extend([[ax for ax in figure.axes if ax.texts], searched])

    monkeypatch.setattr(script, "draw_scores", spy)
    output, saved = tmp_path / "picture.png", tmp_path / "best.joblib"
    options = ["--seed", "3", "--jobs", "1", "--output", str(output), "--save", str(saved)]
    monkeypatch.setattr("sys.argv", ["select_settings.py", *options])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert output.stat().st_size > 10_000

    best = joblib.load(saved)
    chosen = literal_eval(next(x for x in lines if "best of 8" in x).partition(": ")[2])
    assert set(chosen) == set(script.GRID)
    assert chosen.items() <= best.get_params().items()
    _, test = train_test_split(load_faces()[:32], test_size=20, random_state=3)
    ratios = {line[:20].strip(): line[20:].split()[:1] for line in lines}
    for name, images in (
        ("measured", best.simulate(test)),
        ("MetaInverseSolver", best.predict(best.simulate(test))),
    ):
        assert ratios[name] == [f"{psnr(test, images):.2f}"]
    assert "RED, same settings" in ratios
    assert "RED, its own search" in ratios
    check_maps(*drawn)


def check_maps(axes, searched):
    """Every candidate's score and colour are in the cell of its settings."""
    results, grid = searched.cv_results_, searched.param_grid
    means = [f"{mean:.4g}" for mean in results["mean_test_score"]]
    written = {}
    for ax in axes:
        of_solver = dict(part.split("=") for part in ax.get_title().split(", "))
        for text in ax.texts:
            column, row = text.get_position()
            value = text.get_text().split()[0]
            assert f"{ax.images[0].get_array()[row, column]:.4g}" == value
            settings = grid["n_inner"][row], grid["inner_lr"][column]
            written[*settings, int(of_solver["n_iter"]), int(of_solver["depth"])] = value
    assert len(set(means)) > 1
    assert written == {
        tuple(p[name] for name in grid): mean
        for p, mean in zip(results["params"], means, strict=True)
    }
