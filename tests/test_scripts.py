"""`--help` of every script prints its docstring and does nothing else."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

from skmetainv.reconstruction import Reconstructor

ROOT = Path(__file__).parents[1]


def is_script(path):
    return "__main__" in path.name or 'if __name__ == "__main__":' in path.read_text()


SCRIPTS = [
    path.relative_to(ROOT)
    for folder in ("benchmarks", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if is_script(path)
]


def documented_in(script):
    """The file with the script's docstring: for a package, its `__init__.py`."""
    return script.with_name("__init__.py") if script.name == "__main__.py" else script


def test_scripts_are_found():
    assert {Path("benchmarks/solvers.py"), Path("benchmarks/paper/__main__.py")} < {*SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_help(script, monkeypatch, capsys):
    def never(*args, **kwargs):
        raise AssertionError("the script has begun")

    monkeypatch.setattr("skmetainv.datasets.load_faces", never)
    monkeypatch.setattr(Reconstructor, "_fitting", never)
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    name = ".".join(script.with_suffix("").parts)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(name, run_name="__main__")
    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert err == ""
    assert out.startswith("usage: ")
    docstring = ast.get_docstring(ast.parse((ROOT / documented_in(script)).read_text()))
    assert docstring.splitlines()[0] in " ".join(out.split())
