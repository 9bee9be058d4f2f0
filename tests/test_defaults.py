"""The benchmark of the defaults: its stored results, its comparisons, and a quick run."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.defaults import __main__ as command
from benchmarks.defaults import grid, report
from benchmarks.defaults.methods import Effort, Method, methods
from benchmarks.defaults.problems import ROWS, faces, problem
from benchmarks.defaults.store import Store


def figures(**own):
    key = {"data": "faces", "row": "centre", "seed": 0, "method": "tv", "settings": ""}
    return key | {"psnr": [0.0]} | own


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "defaults.json")


def test_no_figures_are_lost_when_several_write(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: store.add(figures(seed=seed), [seed]), range(12)))
    assert sorted(f["seed"] for f in store.figures(method="tv")) == list(range(12))
    assert store.read()["groups"]["faces"] == {str(seed): [seed] for seed in range(12)}


def test_figures_take_the_place_of_earlier_ones(store):
    store.add(figures(psnr=[1.0]), [0])
    store.add(figures(psnr=[3.0], row="missing"), [0])
    store.add(figures(psnr=[2.0]), [0])
    assert [f["psnr"] for f in store.figures(row="centre")] == [[2.0]]
    assert len(store.read()["environments"]) == 1


def test_values_per_image_are_in_the_file_of_arrays(store):
    for k in range(3):
        store.add(figures(psnr=[20.0, 30.0 + k], method=f"tv {k}"), [0, 1])
    text = store.path.read_text()
    assert sum("tv" in line for line in text.splitlines()) == 3  # a line for each result
    assert '"mean": 26.0' in text
    assert "31.0" not in text
    (found,) = store.figures(method="tv 2")
    np.testing.assert_array_equal(found["psnr"], [20.0, 32.0])


def test_what_was_measured_is_not_measured_again(store):
    calls = []

    def measure():
        calls.append(1)
        return {"psnr": [float(len(calls))]}

    images = SimpleNamespace(test_groups=[7])
    own = SimpleNamespace(data="faces", name="centre", seed=0, images=images)
    first = Method("tv", "these settings", measure)
    again = {"first": False, "kept": False, "forced": True}
    found = {k: command.measured(store, own, first, v)["psnr"] for k, v in again.items()}
    assert found == {"first": [1.0], "kept": [1.0], "forced": [2.0]}
    other = first._replace(settings="others")
    assert command.measured(store, own, other, again=False)["psnr"] == [3.0]


def found_of(**psnr):
    """Return results by method and seed."""
    return {
        name: {seed: {"psnr": values} for seed, values in enumerate(by_seed)}
        for name, by_seed in psnr.items()
    }


def test_the_comparison_is_with_the_best_and_paired():
    found = found_of(
        literal=[[31.0, 21.0], [26.0, 28.0]],
        linear=[[30.0, 20.0], [25.0, 27.0]],
        solver=[[10.0, 10.0], [10.0, 10.0]],
        tv=[[40.0, 9.0], [25.0, 27.0]],
        filling=[[0.0, 0.0], [0.0, 0.0]],
    )
    own = report.compared(found, "centre", {"0": [0, 1], "1": [2, 3]})
    assert own["best"] == "linear"
    assert own["difference"] == pytest.approx(1.0)
    assert own["error"] == pytest.approx(0.0)
    assert (own["verdict"], own["n_seeds"]) == ("ahead", 2)


def test_the_error_is_the_larger_one():
    classical = {name: [[0.0, 0.0]] * 2 for name in ("linear", "solver", "tv", "filling")}
    by_seed = found_of(literal=[[0.0, 0.0], [2.0, 2.0]], **classical)
    own = report.compared(by_seed, "centre", {"0": [0, 1], "1": [2, 3]})
    assert own["error"] == pytest.approx(1.0)  # over the seeds' means, 0 and 2; over images: 0.58
    by_face = found_of(literal=[[0.0, 2.0], [0.0, 2.0]], **classical)
    own = report.compared(by_face, "centre", {"0": [0, 1], "1": [0, 1]})
    assert own["error"] == pytest.approx(1.0)  # over two faces; over the seeds' means: 0


def test_there_is_no_verdict_where_a_method_is_missing():
    found = found_of(literal=[[1.0, 2.0]], linear=[[1.0, 2.0]], tv=[[1.0, 2.0]])
    assert report.compared(found, "missing", {"0": [0, 1]}) is None
    found |= found_of(filling=[[1.0, 1.0]])
    assert report.compared(found, "missing", {"0": [0, 1]})["n_seeds"] == 1


@pytest.mark.parametrize(
    ("difference", "told"), [(-1.1, "behind"), (-0.9, "level"), (1.9, "level"), (2.1, "ahead")]
)
def test_verdict(difference, told):
    assert report.verdict(difference, 1.0) == told


@pytest.mark.parametrize("name", ROWS)
def test_every_method_of_a_row_has_settings_of_its_own(name):
    own = problem("faces", name, 0, command.quick(faces(0)))
    found = methods(own, Effort())
    networks = {*report.LEARNED} if name == "denoising" else {"unet", "unrolled"}
    assert {*report.required(name), "literal", *networks, *report.STARTS} == {*found}
    assert len({method.settings for method in found.values()}) == len(found)
    assert len(own.measured) == len(own.images.test)


def test_the_best_number_of_updates_is_found():
    own = problem("faces", "downsampling", 0, command.quick(faces(0)))
    assert own.images.test.shape[1:] == (24, 24)
    alone = methods(own, Effort(updates=(1, 30, 2)))["solver"].measure()
    assert [*alone["tried"]] == [1, 30, 2]
    best = alone["tried"][alone["best"]]
    assert float(np.mean(alone["psnr"])) == best == max(alone["tried"].values())


@pytest.mark.parametrize("name", grid.NAMES)
def test_the_settings_of_a_grid_are_always_the_same(name):
    settings = grid.drawn(name, grid.N_SETTINGS)
    assert len({grid.described(own) for own in settings}) == grid.N_SETTINGS
    assert list(map(repr, grid.drawn(name, 5))) == list(map(repr, settings[:5]))


@pytest.mark.parametrize("name", grid.NAMES)
def test_every_setting_of_a_grid_is_measured_on_its_own(name):
    own = problem("faces", "denoising", 0, command.quick(faces(0)))
    tried = list(grid.methods(name, own, {"epochs": 2}, Effort()))
    assert len({method.settings for method in tried}) == grid.N_SETTINGS
    assert {*report.LEARNED, "literal"} == {*grid.NAMES}


def test_a_quick_run(capsys, tmp_path):
    unused = tmp_path / "unused.json"
    options = ["--quick", "--rows", "downsampling", "--seeds", "0", "--results", str(unused)]
    assert command.main([*options, "--methods", *report.CLASSICAL]) is None
    assert "0 rows:" in capsys.readouterr().out
    assert command.main([*options, "--grid"]) is None
    assert capsys.readouterr().out.count("literal 01") == 2
    assert command.main([*options, "--grid", "dncnn"]) is None
    assert "dncnn 01" not in capsys.readouterr().out  # DnCNN is for denoising only
    assert command.main([*options, "--starts", "--methods", "no refiner"]) is None
    assert "no refiner" in capsys.readouterr().out
    assert not unused.exists()


def test_other_rows_go_on_after_an_error(capsys, monkeypatch):
    def measured(store, own, method, again):
        if own.name == "sensing":
            raise ValueError("It does not work.")
        print(own.name, "measured")

    monkeypatch.setattr(command, "measured", measured)
    options = ["--quick", "--rows", "sensing", "centre", "--seeds", "0", "--methods", "linear"]
    assert command.main(options) == "1 measurements failed, see above."
    told = capsys.readouterr()
    assert "centre measured" in told.out
    assert "It does not work." in told.err


def test_tables_are_written_as_markdown(capsys, store):
    for name, value in {"literal": 3.0, "linear": 1.0, "tv": 1.0, "filling": 2.0}.items():
        more = {"psnr": [value, value + 1.0], "psnr_of_start": None, "psnr_of_stages": [1.0, 2.0]}
        more |= {"fit_seconds": 1.0, "fit_processor_seconds": 1.0, "predict_seconds": 1.0}
        more |= {"inner_lr": 1.0, "inner_loss_of": "start"}
        own = figures(row="missing", method=name, **more)
        store.add(own, [0, 1])
    options = ["--markdown", "--rows", "missing", "centre", "--results", str(store.path)]
    assert command.main(options) is None
    out = capsys.readouterr().out
    assert "| +1.00 (filling) | 0.00 | ahead | 1 |" in out
    assert out.count("| centre |") == 1
