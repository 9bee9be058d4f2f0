"""The speed benchmark at its smallest size."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.record import read
from benchmarks.speed import __main__ as command
from benchmarks.speed import measure
from benchmarks.speed.rows import ROWS
from skmetainv.operators import MissingPixels

CPU = torch.device("cpu")


def smallest(row):
    operator = row.operator
    if isinstance(operator, MissingPixels):
        few = (10, 40) if isinstance(operator.observed, tuple) else min(operator.observed, 40)
        operator = MissingPixels(observed=few)
    init, beside = (
        None if phi is None else clone(phi).set_params(width=4, depth=3)
        for phi in (row.init, row.beside)
    )
    shape = (row.shape[0], 9, 9)
    return replace(row, shape=shape, init=init, operator=operator, beside=beside)


@pytest.fixture
def small(monkeypatch):
    for name, row in ROWS.items():
        monkeypatch.setitem(ROWS, name, smallest(row))
    monkeypatch.setattr(command, "N_RESTORED", 3)
    update = command.updates.update
    monkeypatch.setattr(command.updates, "update", partial(update, shape=(1, 16, 16)))
    monkeypatch.setattr(command.updates, "timed", partial(command.updates.timed, budget=0.0))
    monkeypatch.setattr(command, "CURVE", smallest(command.CURVE))
    monkeypatch.setattr(command, "load_faces", lambda: np.random.default_rng(0).random((12, 9, 9)))
    monkeypatch.setattr(command, "HELD_OUT", 4)
    monkeypatch.setattr(measure, "PRODUCT", {"cpu": 16})
    monkeypatch.setattr(measure, "in_own_process", lambda function, *args: function(*args))


def test_all_rows_are_measured_and_recorded(small, tmp_path, capsys):
    command.main(["--rounds", "1", "--steps", "1", "--results", str(tmp_path / "new")])
    record = read(tmp_path / "new" / "speed.json")
    updates = {f"{command.UPDATE} {name}" for name in command.updates.solvers()}
    assert set(record["results"]) == {*ROWS, *updates, command.PREDICT, command.MEMORY}
    printed = capsys.readouterr().out
    for name, found in record["results"].items():
        assert name in printed
        assert found["environment"].keys() >= {"hardware", "commit"}  # None without git
        row = ROWS.get(name)
        if row is None:
            continue
        assert found["seconds"][0] > 0
        assert found["share"][0] > 0
        assert set(found["difference"]) == set(row.scripts)
        assert len(found["ratio"]) == len(row.scripts) + (row.beside is not None)
        for script, ratios in found["ratio"].items():
            assert ratios[0] == pytest.approx(found["theirs"][script][0] / found["seconds"][0])
    memory = record["results"][command.MEMORY]
    runs = ("recompute=0", "recompute=0.2", "recompute=1", "higher")
    assert all(set(memory[who]) == {"megabytes", "seconds"} for who in runs)


def test_the_curve_has_seconds_and_psnr_of_both(small, tmp_path, capsys):
    command.main(["--curve", "0.1", "--results", str(tmp_path)])
    (found,) = read(tmp_path / "speed.json")["results"].values()
    for who in ("ours", "higher"):
        seconds, psnrs = zip(*found[who], strict=True)
        assert list(seconds) == sorted(seconds)
        assert seconds[-1] >= 0.1
        assert np.isfinite(psnrs).all()


PAIRS = [(name, script) for name, row in ROWS.items() for script in row.scripts]


@pytest.mark.parametrize(("name", "script"), PAIRS)
def test_a_script_that_computes_something_else_is_refused(name, script, small, monkeypatch):
    row = ROWS[name]
    measure.check_same(row, script, CPU)
    step = measure.SCRIPTS[script].step
    monkeypatch.setattr(measure.SCRIPTS[script], "step", lambda self: 1.05 * step(self))
    with pytest.raises(RuntimeError, match="Outer losses differ"):
        measure.check_same(row, script, CPU)


def test_on_a_gpu_the_script_with_torch_func_computes_the_same(small):
    """There it computes all images at once."""
    row = ROWS["Table 1, 32 x 32"]
    script, together = (measure.SCRIPTS["torch.func"](row.task(CPU)) for _ in range(2))
    together.together = True
    for _ in range(2):
        assert float(together.step()) == pytest.approx(float(script.step()), rel=1e-5)


def test_a_script_that_restores_something_else_is_refused(small, monkeypatch):
    row = ROWS["Table 1, 64 x 64"]
    assert measure.predict(row, 2, 1, CPU)["difference"]["higher"] < measure.SAME_IMAGE
    task = type(row).task

    def other(self, *args):
        found = task(self, *args)
        found.inner_lr *= 0.5
        return found

    monkeypatch.setattr(type(row), "task", other)
    monkeypatch.setattr(measure, "SAME_IMAGE", 1e-7)
    with pytest.raises(RuntimeError, match="restored image"):
        measure.predict(row, 2, 1, CPU)


def test_operations_are_those_of_a_script():
    """Counted by torch, a script makes the products of the formula and no others."""
    row = replace(smallest(ROWS["Table 1, 32 x 32"]), shape=(1, 20, 20))
    script = measure.SCRIPTS["higher"](row.task(CPU))
    with FlopCounterMode(display=False) as counter:
        script.step()
    assert row.operations() == counter.get_total_flops() == measure._counted(row, CPU)
