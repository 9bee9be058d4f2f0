"""Every script of the gallery runs, with shortened training, and draws.

The docs are built with full training (`.ci/run`).
"""

import ast
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = [path.relative_to(EXAMPLES) for path in sorted(EXAMPLES.rglob("*.py"))]


@pytest.fixture
def run(one_epoch, tmp_path, monkeypatch):
    """Run a script in an empty folder; return its names."""
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    yield lambda script: runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    plt.close("all")


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_runs_and_draws(script, run):
    run(script)
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        figure.canvas.draw()
        assert np.ptp(np.asarray(figure.canvas.buffer_rgba())[..., :3]) == 255


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_has_a_title_and_an_introduction(script):
    title, underline, blank, *text = ast.get_docstring(
        ast.parse((EXAMPLES / script).read_text())
    ).splitlines()
    assert underline == "=" * len(title)
    assert blank == ""
    assert text


def test_the_quick_start_writes_its_picture(run):
    names = run(Path("quickstart.py"))
    assert Path("quickstart.png").stat().st_size > 10_000
    hole = names["measured"][0] == 0
    for name in ("training mean", "biharmonic"):
        filled = names["results"][name]
        assert (filled[:, ~hole] == names["measured"][:, ~hole]).all()
