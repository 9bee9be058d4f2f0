"""Records of benchmarks: a readable text file, and a file of arrays."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks import ablation
from benchmarks.record import RESULTS, load, read, save, update

SETTINGS = {"seconds": 3.0}


def runs(n):
    """Results with nested arrays of several types."""
    rng = np.random.default_rng(0)
    own = [{"seed": i, "psnr": {"": rng.normal(30, 5, 400)}} for i in range(n)]
    return {"runs": own, "groups": np.arange(400) // 2, "weights": 7, "history": [0.5, 0.25]}


def test_what_is_saved_is_loaded(tmp_path):
    results = runs(2)
    path = save("table", SETTINGS, results, folder=tmp_path)
    np.testing.assert_equal(load("table", SETTINGS, tmp_path), results)
    np.testing.assert_equal(read(path)["results"], results)
    assert load("table", {"seconds": 4.0}, tmp_path) is None
    assert load("other", SETTINGS, tmp_path) is None
    assert sorted(os.listdir(tmp_path)) == ["table.json", "table.npz"]


def test_the_text_is_short_and_says_what_was_found(tmp_path):
    results = runs(2)
    text = save("table", SETTINGS, results, folder=tmp_path).read_text()
    assert len(text.splitlines()) < 60
    told = json.loads(text)
    assert told["environment"]["torch"]
    assert told["results"]["history"] == [0.5, 0.25]
    psnr = told["results"]["runs"][1]["psnr"][""]
    expected = results["runs"][1]["psnr"][""]
    assert psnr["mean"] == pytest.approx(expected.mean(), rel=1e-5)
    assert psnr["length"] == 400
    with np.load(tmp_path / "table.npz") as arrays:
        np.testing.assert_array_equal(arrays[psnr["array"]], expected)


def test_a_record_without_arrays_is_text_alone(tmp_path):
    save("table", SETTINGS, {"psnr": [1.0, 2.0]}, folder=tmp_path)
    assert os.listdir(tmp_path) == ["table.json"]
    assert load("table", SETTINGS, tmp_path) == {"psnr": [1.0, 2.0]}


def test_a_crash_between_the_two_files_loses_what_was_added_alone(tmp_path, monkeypatch):
    path = save("table", SETTINGS, runs(2), folder=tmp_path)

    def crash(part, whole):
        if whole.suffix == ".json":
            raise KeyboardInterrupt
        os.rename(part, whole)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            save("table", SETTINGS, runs(3), folder=tmp_path)
    np.testing.assert_equal(read(path)["results"], runs(2))
    save("table", SETTINGS, runs(3), folder=tmp_path)
    np.testing.assert_equal(read(path)["results"], runs(3))


def test_arrays_of_another_run_are_refused(tmp_path):
    path = save("table", SETTINGS, runs(1), folder=tmp_path)
    other = save("other", SETTINGS, {**runs(1), "groups": np.zeros(400)}, folder=tmp_path)
    other.with_suffix(".npz").replace(path.with_suffix(".npz"))
    with pytest.raises(ValueError, match=r"table.npz has not the array 'groups' of table.json"):
        read(path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(ValueError, match=r"table.npz has not the array 'runs/0/psnr/' of"):
        read(path)


def test_several_add_to_one_record(tmp_path):
    def add(i):
        def one_more(found):
            return [*(found or []), {"seed": i, "psnr": np.full(5, float(i))}]

        return update("table", SETTINGS, one_more, folder=tmp_path)

    with ThreadPoolExecutor(8) as pool:
        lengths = sorted(map(len, pool.map(add, range(16))))
    assert lengths == [*range(1, 17)]
    found = load("table", SETTINGS, tmp_path)
    assert sorted(run["seed"] for run in found) == [*range(16)]
    assert all((run["psnr"] == run["seed"]).all() for run in found)


def test_a_run_of_the_ablation_counts_once():
    run = {"variant": "fixed", "seed": 0, "settings": {}, "psnr": np.zeros(3)}
    once = ablation.with_run(run, None)
    assert ablation.with_run(run, once) == once
    assert len(ablation.with_run({**run, "seed": 1}, once)["runs"]) == 2
    assert ablation.with_memory("fixed", 3.0, once) == {**once, "peak_mb": {"fixed": 3.0}}
    assert ablation.with_run(run, None) == once


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.npz")), ids=lambda path: path.stem)
def test_committed_arrays_are_those_of_their_text(path):
    record = read(path.with_suffix(".json"))
    with np.load(path) as arrays:
        assert len(arrays) == path.with_suffix(".json").read_text().count('"digest": ')
    assert {"environment", "environments"} & record.keys()
