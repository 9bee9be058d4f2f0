"""The examples run, shortened; what they print and draw is there."""

import importlib.util
from pathlib import Path

import matplotlib

from skmetainv.datasets import load_faces
from skmetainv.metrics import psnr

matplotlib.use("Agg")
EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart(tmp_path, capsys):
    quickstart = load("quickstart")
    faces = load_faces()
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
    measured = psnr(photographs, inpainted["measured"], per_image=True)
    for name in methods[1:]:
        restored = psnr(photographs, inpainted[name], per_image=True)
        assert (restored > measured + 3).all(), (name, measured, restored)
    script.draw(script.RESTORED, photographs, results, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
