"""The mutation benchmark: its places, its changes, and one mutation of each outcome."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import mutation

CODE = '''
"""1 + 1"""
import warnings
LIMIT: int = 3
def f(x, y=2.5, *, z=-1):
    if not x and y < 4:
        raise ValueError(f"{x + 1} is 2")
    return [x * y, x @ y, x == z, x[0], "a", [1] + [2]]
'''


def test_places_and_changes(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(CODE)
    changes = [tuple(mutation.mutated(path, index)[2]) for index in mutation.places(path)]
    assert sorted(changes) == sorted(
        [
            ("3", "4"),
            ("2.5", "5.0"),
            ("-1", "+1"),
            ("1", "2"),  # of -1
            ("not x and y < 4", "not x or y < 4"),
            ("not x", "not not x"),
            ("y < 4", "y <= 4"),
            ("4", "5"),
            ("x * y", "x / y"),
            ("x @ y", "x * y"),
            ("x == z", "x != z"),
            ("0", "1"),
            ("1", "2"),
            ("2", "3"),
        ]
    )
    for index in mutation.places(path):
        code, _, _ = mutation.mutated(path, index)
        assert code != ast.unparse(ast.parse(CODE))


def test_the_same_places_are_chosen_again_and_every_file_has_one():
    chosen = mutation.chosen(220, seed=0)
    assert chosen == mutation.chosen(220, seed=0)
    assert len(set(chosen)) == 220
    names = {path.name for path, _ in chosen}
    assert {"hqs.py", "algorithm_1.py", "maml.py", "structural.py", "classical.py"} <= names


def test_the_fastest_tests_come_first():
    seconds = {"slow": 50.0, "fast": 1.0, "slower": 55.0}
    assert mutation.within_budget(set(seconds), seconds) == ["fast", "slow"]
    assert mutation.within_budget({"slower"}, {"slower": 1e3}) == ["slower"]


OUTCOMES = """
import json, sys
from benchmarks import mutation
mutation._import_others()
path = mutation.ROOT / "skmetainv/losses/power.py"
code, found = path.read_text(), []
for change in json.loads(sys.argv[1]):
    changed = code.replace(*change)
    assert changed != code
    found.append(mutation.outcome(path, changed, sys.argv[2:]))
print(json.dumps(found))
"""


def test_outcomes():
    test = "tests/test_losses.py::test_losses_are_one_value_per_image"
    changes = [
        ("square()", "square().mul(2)"),
        ("import torch", "import torch, nothing_like_this"),
        ("Absolute and squared errors.", "A change of text."),
    ]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OUTCOMES, json.dumps(changes), test],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    failing, *others = json.loads(run.stdout)
    assert failing.startswith(test)
    assert others == ["import failed", "survived"]
