"""The paper's experiments on a tiny run: tables agree with the restored images."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from benchmarks.paper import __main__ as command
from benchmarks.paper import run as experiments
from benchmarks.paper import tune
from benchmarks.paper.claims import CLAIMS
from benchmarks.paper.columns import Task, columns
from benchmarks.paper.run import Experiment, description
from benchmarks.paper.settings import METRICS, PRESETS, PUBLISHED, STEP_SECONDS
from benchmarks.paper.tune import candidates
from benchmarks.pictures import split_pictures
from benchmarks.record import read, write
from skmetainv import ClassicalReconstructor
from skmetainv.datasets import load_faces
from skmetainv.metrics import psnr
from skmetainv.model_selection import standard_error
from skmetainv.operators import GaussianBlur, MissingPixels
from skmetainv.solvers import GradientDescent
from skmetainv.training import TrainingLoop, as_optimizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 30 faces, two pictures of each person."""
    path = tmp_path_factory.mktemp("faces")
    for i, face in enumerate(load_faces()[:30]):
        Image.fromarray(np.uint8(255 * face)).save(path / f"Person_{i // 2:02}_{i % 2}.png")
    return path


@pytest.fixture
def in_this_process(monkeypatch):
    """Run columns in this process, because each new process takes seconds to start."""

    def run(args, option, value):
        own = {"table", "preset", "images", "seed", "work", "results", "lpips_net", "lpips_weights"}
        given = [(k, v) for k, v in vars(args).items() if k in own and v is not None]
        options = [text for k, v in given for text in (f"--{k.replace('_', '-')}", str(v))]
        command.main([*options, option, value])

    monkeypatch.setattr(command, "in_own_process", run)
    monkeypatch.setattr(command, "share_cores", lambda args: None)


def run(table, folder, tmp_path, *options):
    where = ["--work", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    own = ["--table", str(table), "--images", str(folder), "--preset", "tiny", *where]
    command.main([*own, *options])
    result = tmp_path / "results" / f"table{table}-tiny-seed0.json"
    return read(result) if result.exists() else None


def recomputed(clean, restored, metric):
    """A metric of every image, by its formula or by scikit-image."""
    if metric == "ssim":
        own = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return [
            structural_similarity(x, z, data_range=1.0, win_size=11, **own)
            for x, z in zip(clean, restored, strict=True)
        ]
    errors = np.square(clean - restored).mean(axis=(1, 2))
    return errors if metric == "mse" else -10 * np.log10(errors)


FORMATS = {"mse": ".2e", "psnr": ".2f", "ssim": ".4f"}


def place(table, task, name, metric):
    """The row and column of a value in the paper's table."""
    return {1: (name, metric), 2: (task, f"{name} {metric}")}.get(table, (metric, name))


def cell(lines, row, column):
    """A cell of the printed table, whose cells are separated by two or more blanks."""
    head = next(i for i, line in enumerate(lines) if column in re.split(r" {2,}", line))
    heads = re.split(r" {2,}", lines[head])
    found = next(
        own for line in lines[head:] if (own := re.split(r" {2,}", line)) and own[0] == row
    )
    return found[1 + heads.index(column)]


@pytest.mark.parametrize("table", [1, 2, 3, 4])
@pytest.mark.usefixtures("in_this_process")
def test_numbers_are_those_of_the_saved_reconstructions(table, folder, tmp_path, capsys):
    record = run(table, folder, tmp_path)
    found, text = record["results"]["columns"], capsys.readouterr().out
    preset = PRESETS["tiny"]
    clean = split_pictures(folder, 18, n_validation=5, n_test=6, n_training=10).test / 255
    rows = {
        (row["task"], row["column"], row["metric"]): row
        for row in csv.DictReader((tmp_path / "results" / f"table{table}-tiny-seed0.csv").open())
    }
    assert [*found] == [*columns(table, preset, 0, "cpu")]
    for name, column in found.items():
        (saved,) = (tmp_path / "runs/tiny" / f"table{table}-seed0").glob(
            f"{name.replace(' ', '-')}-????????.npz"
        )
        with np.load(saved) as restored:
            assert [*restored] == [*column["quality"]]
            for task, quality in column["quality"].items():
                for metric in quality:
                    expected = recomputed(clean, restored[task].astype(float), metric)
                    digits = {"mse": 1e-8, "psnr": 1e-4, "ssim": 1e-5}[metric]
                    np.testing.assert_allclose(quality[metric], expected, rtol=1e-6, atol=digits)
                    row = rows[task, name, metric]
                    mean = pytest.approx(np.mean(expected), rel=1e-4, abs=1e-4)
                    assert float(row["mean"]) == mean
                    error = standard_error(expected, [0, 0, 1, 1, 2, 2])
                    assert float(row["standard_error"]) == pytest.approx(error, rel=1e-2, abs=1e-4)
                    published = PUBLISHED[table].get((task, name), {}).get(metric)
                    assert row["paper"] == ("" if published is None else f"{published:.6g}")
    printed = [line.strip() for line in text.splitlines()]
    for name, column in found.items():
        for task, quality in column["quality"].items():
            for metric, values in quality.items():
                assert f"{np.mean(values):{FORMATS[metric]}} ±" in cell(
                    printed, *place(table, task, name, metric.upper())
                )
    assert ("The denoiser of all columns took" in text) == (table in (3, 4))
    assert "No LPIPS" in text
    assert (tmp_path / "results" / f"table{table}-tiny-seed0.png").stat().st_size > 10_000
    assert record["environment"]["torch"]
    assert {column["commit"] for column in found.values()} == {record["environment"]["commit"]}


def test_columns_run_in_processes_of_their_own(folder, tmp_path):
    columns = run(2, folder, tmp_path, "--jobs", "2")["results"]["columns"]
    assert [*columns] == ["Meta", "UNet"]
    assert all(column["fit_seconds"] > 0 for column in columns.values())


@pytest.mark.usefixtures("in_this_process")
def test_an_interrupted_run_goes_on(folder, tmp_path, monkeypatch):
    expected = run(1, folder, tmp_path / "whole")["results"]["columns"]
    steps, descend = [], TrainingLoop.descend

    def counted(self, **figures):
        steps.append(1)
        if len(steps) == 5:  # in the third column, of two steps each
            raise KeyboardInterrupt
        descend(self, **figures)

    monkeypatch.setattr(TrainingLoop, "descend", counted)
    for name in ("Meta-2", "Meta-3"):
        run(1, folder, tmp_path, "--column", name)
    with pytest.raises(KeyboardInterrupt):
        run(1, folder, tmp_path, "--column", "Meta-5")
    assert len(steps) == 5
    found = run(1, folder, tmp_path)["results"]["columns"]
    assert len(steps) == 5 + 6  # two steps for each of three columns
    for name, column in expected.items():
        np.testing.assert_equal(found[name]["quality"], column["quality"])


@pytest.mark.parametrize("table", [1, 4])
@pytest.mark.usefixtures("in_this_process")
def test_lpips_where_its_weights_are(table, folder, tmp_path, backbone, capsys):
    _, weights = backbone("squeeze")
    options = ["--lpips-net", "squeeze", "--lpips-weights", str(weights)]
    found = run(table, folder, tmp_path, *options)["results"]["columns"]
    assert ("Meta-RED LPIPS" in found) == (table == 4)
    for column in found.values():
        assert (column["quality"][""]["lpips"] > 0).all()
    assert "No LPIPS" not in capsys.readouterr().out


EPOCHS = {
    1: {"Meta-2": 6, "Meta-3": 4, "Meta-5": 3, "Meta-7": 2, "UNet": 25},
    2: {"Meta": 2, "UNet": 18},
    3: {"Meta-RED L1": 1, "Meta-RED L2": 1},
    4: {"Meta-RED L1": 1, "Meta-RED L2": 1, "RED(12)": 3, "HQS(12)": 3},
}


def trained_columns(table, preset):
    made = columns(table, PRESETS[preset], 0, "cpu")
    return {name: own for name, own in made.items() if hasattr(own, "max_epochs")}


@pytest.mark.parametrize("table", [1, 2, 3, 4])
@pytest.mark.parametrize("preset", PRESETS)
def test_columns_of_a_table_are_trained_alike(table, preset):
    trained = trained_columns(table, preset).values()
    assert len(trained) > 1
    assert {own.batch_size for own in trained} == {5 if table < 3 else 3}
    assert len({as_optimizer(own.optimizer).schedule for own in trained}) == 1
    if preset != "quick":
        assert len({own.max_epochs for own in trained}) == 1


def test_columns_share_no_part():
    made = columns(1, PRESETS["quick"], 0, "cpu")
    made["Meta-3"].set_params(optimizer__max_grad_norm=7.0, inner_loss__of="start")
    others = [made["Meta-7"], *columns(1, PRESETS["quick"], 0, "cpu").values()]
    assert all(own.optimizer.max_grad_norm != 7.0 for own in others)
    assert made["Meta-7"].inner_loss.of == "result"


def test_presets_share_no_part():
    before = columns(1, PRESETS["tiny"], 0, "cpu")["Meta-3"]
    assert columns(1, PRESETS["full"], 0, "cpu")["Meta-3"].inner_loss.fidelity.reduction == "sum"
    after = columns(1, PRESETS["tiny"], 0, "cpu")["Meta-3"]
    assert repr(after) == repr(before)
    assert after.inner_loss.fidelity.reduction == "mean"


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_columns_of_a_quick_table_are_trained_for_as_long(table):
    epochs = {name: own.max_epochs for name, own in trained_columns(table, "quick").items()}
    assert epochs == EPOCHS[table]
    step = STEP_SECONDS[table]
    seconds = [
        n * next(s for beginning, s in step.items() if name.startswith(beginning))
        for name, n in epochs.items()
    ]
    assert max(seconds) < 1.2 * min(seconds)


def test_the_paper_s_own_setting():
    preset = PRESETS["full"]
    assert preset.sizes == {1: 128, 2: 32, 3: 64, 4: 64}
    meta = columns(1, preset, 0, "cpu")["Meta-7"]
    assert (meta.n_inner, meta.batch_size, meta.outer_lr, meta.inner_lr) == (7, 5, 1e-5, 0.01)
    assert (meta.solver.n_iter, meta.init.width) == (1, 256)
    step_size = meta.solver.build((3, 9, 9)).step_size
    assert step_size(0, meta.operator.build((3, 9, 9))) == 0.9
    assert repr(meta.algorithm.step_sizes) == "PerStep(lr=1e-05)"
    red = columns(4, preset, 0, "cpu")["Meta-RED L1"]
    assert (red.solver.n_iter, red.n_inner, red.noise, red.batch_size) == (3, 3, 0.015, 3)
    assert red.tune_solver.part == "all"
    assert repr(red.algorithm.step_sizes) == "PerParameter(lr=1e-05)"
    assert {name for _, name in PUBLISHED[3]} - {"Meta-RED LPIPS"} == {
        *columns(3, preset, 0, "cpu")
    }
    assert all({*figures} == {*METRICS[t]} for t in PUBLISHED for figures in PUBLISHED[t].values())


def test_nobody_and_no_photograph_is_in_two_parts(folder, tmp_path):
    parts = split_pictures(folder, 8, n_validation=5, n_test=6)
    seen = [{image.tobytes() for image in part} for part in parts[:3]]
    assert [len(part) for part in parts] == [18, 5, 6, 6, 18, 5]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert len(set(parts.groups)) == 3
    others = split_pictures(folder, 8, n_validation=5, n_test=6, random_state=1)
    assert set(others.groups) != set(parts.groups)
    for name, color in (("train", (200, 0, 0)), ("val", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (40, 30), color).save(tmp_path / name / f"{i}.png")
    own = {"color": True, "crops": 3}
    parts = split_pictures(tmp_path, 8, n_validation=3, n_test=7, **own)
    assert parts.training.shape == (9, 8, 8, 3)
    assert (parts.test[..., 2] == 200).all()
    assert (parts.training[..., 0] == 200).all()
    assert (parts.validation[..., 0] == 200).all()
    assert parts.test.shape == (7, 8, 8, 3)
    assert [*parts.groups] == sorted(parts.groups)
    assert sorted(np.unique(parts.groups, return_counts=True)[1]) == [1, 3, 3]
    parts = split_pictures(tmp_path, 8, n_validation=3, n_test=6, n_training=4, **own)
    assert [len(part) for part in parts[:3]] == [4, 3, 6]


def test_nobody_is_in_two_folders_of_parts(tmp_path):
    """Ten people have an image in each folder; test persons are in no other part."""
    for k, name in enumerate(("train", "val")):
        (tmp_path / name).mkdir()
        for i in range(10):
            color = (10 * i, 100 * k, 0)
            Image.new("RGB", (8, 8), color).save(tmp_path / name / f"Person_{i}_{k}.png")
    parts = split_pictures(tmp_path, 8, n_validation=2, n_test=3, color=True)
    assert [len(part) for part in parts[:3]] == [5, 2, 3]
    people = [{image[0, 0, 0] for image in part} for part in parts[:3]]
    assert len(set.union(*people)) == 10
    for i in range(10):
        (tmp_path / "val" / f"Person_{i}_1.png").rename(tmp_path / "val" / f"Other_{i}_1.png")
    parts = split_pictures(tmp_path, 8, n_validation=1, n_test=10)
    assert [len(part) for part in parts[:3]] == [9, 1, 10]


@pytest.mark.parametrize(
    ("n_validation", "n_test", "message"),
    [
        (4, 26, "no training images left"),
        (5, 31, "30 images of 15 people are left, too few for 31"),
        (1, 30, "0 images of 0 people are left, too few for 1"),
    ],
)
def test_too_few_pictures(folder, n_validation, n_test, message):
    with pytest.raises(ValueError, match=message):
        split_pictures(folder, 8, n_validation=n_validation, n_test=n_test)


def write_results(folder, table, seed, psnr, **settings):
    """Write made-up results of a run: the PSNR of 40 images by column."""
    costs = {"fit_seconds": 1.0, "predict_ms": 2.0, "n_weights": 3, "history": {"seconds": [1.0]}}
    made = {name: {"quality": {"": {"psnr": v}}, **costs} for name, v in psnr.items()}
    results = {"columns": made, "groups": np.arange(40), "denoiser": None}
    settings = {"table": table, "seed": seed, "pictures": "these", **settings}
    record = {"settings": settings, "results": results}
    write(folder / f"table{table}-quick-seed{seed}.json", record)


def test_claims_are_told_by_paired_differences(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for seed in range(2):
        base = rng.normal(30, 5, size=40)
        made = {f"Meta-{m}": base + 0.1 * m + rng.normal(0, 0.01, 40) for m in (2, 3, 5)}
        made |= {"Meta-7": made["Meta-5"] - 0.5, "UNet": base}
        write_results(tmp_path, 1, seed, made)
    command.main(["--claims", "--results", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    told = {line.split(", PSNR")[0].strip(): line for line in lines if ", PSNR" in line}
    assert "+0.1" in told["Meta-3 [1] - Meta-2 [1]"]
    assert told["Meta-3 [1] - Meta-2 [1]"].endswith("holds")
    assert told["Meta-7 [1] - Meta-5 [1]"].endswith("fails")
    assert told["UNet [1] - Meta-5 [1]"].endswith("fails")
    assert told["HQS(12) [4] - RED(12) [4]"].endswith("not measured")
    assert all(claim in lines for claim in CLAIMS)


def told_of(folder, capsys, start):
    """Return the line of the printed claims that begins with `start`."""
    command.main(["--claims", "--results", str(folder)])
    lines = (line.strip() for line in capsys.readouterr().out.splitlines())
    return next(line for line in lines if line.startswith(start))


@pytest.mark.parametrize(("behind", "verdict"), [(-2.0, "holds"), (0.2, "holds"), (0.4, "fails")])
def test_near_is_not_far_behind(tmp_path, capsys, behind, verdict):
    rng = np.random.default_rng(0)
    for seed in range(3):
        base = rng.normal(30, 5, 40)
        made = {"RED converged": base, "Meta-RED L2": base - behind + rng.normal(0, 0.01, 40)}
        write_results(tmp_path, 3, seed, made)
    assert told_of(tmp_path, capsys, "Meta-RED L2 [3] - RED converged [3]").endswith(verdict)


@pytest.mark.parametrize(
    "settings", [{"pictures": "others"}, {"columns": {"Meta": {}}}, {"lpips": "vgg"}]
)
def test_runs_of_other_settings_are_not_averaged(tmp_path, settings):
    made = {"UNet": np.zeros(40)}
    write_results(tmp_path, 1, 0, made)
    write_results(tmp_path, 1, 1, made, **settings)
    with pytest.raises(ValueError, match=f"seed1.json is of other {next(iter(settings))} than"):
        command.main(["--claims", "--results", str(tmp_path)])


def test_tables_of_other_pictures_are_not_compared(tmp_path):
    made = {"Meta-RED L2": np.zeros(40)}
    write_results(tmp_path, 3, 0, made)
    write_results(tmp_path, 4, 0, made, pictures="others")
    with pytest.raises(ValueError, match="Tables 4 and 3 are of other pictures"):
        command.main(["--claims", "--results", str(tmp_path)])


@pytest.mark.usefixtures("in_this_process")
def test_other_pictures_are_another_run(folder, tmp_path):
    """In the same work folder, results of other images are not reused."""
    first = run(2, folder, tmp_path)["results"]["columns"]
    other = tmp_path / "others"
    other.mkdir()
    for i, face in enumerate(load_faces()[50:80]):
        Image.fromarray(np.uint8(255 * face)).save(other / f"Person_{i // 2:02}_{i % 2}.png")
    second = run(2, other, tmp_path)["results"]["columns"]
    afresh = run(2, other, tmp_path / "fresh")["results"]["columns"]
    for name, column in second.items():
        np.testing.assert_equal(column["quality"], afresh[name]["quality"])
        assert (column["quality"]["10"]["psnr"] != first[name]["quality"]["10"]["psnr"]).any()


def test_other_tasks_are_another_run(folder, tmp_path, monkeypatch):
    """Results of other measurements are not reused."""
    own = (2, PRESETS["tiny"], folder, 0, "cpu", tmp_path, None)
    first = Experiment(*own)._path("UNet", ".npz")
    assert Experiment(*own)._path("UNet", ".npz") == first
    half = {"Half": Task(MissingPixels(observed=0.2, pattern="side"), 0.0)}
    monkeypatch.setattr(experiments, "tasks", lambda *args: half)
    assert Experiment(*own)._path("UNet", ".npz") != first


@pytest.mark.parametrize(("tol", "n"), [(1e-12, 4), (10.0, 0)])
def test_what_did_not_converge_is_counted(tol, n):
    est = ClassicalReconstructor(GaussianBlur(), GradientDescent(), max_iter=3, tol=tol)
    faces = load_faces()[:4]
    _, record = experiments._predicted(est.fit(faces), faces)
    assert experiments._costs(est, record)["n_not_converged"] == n


@pytest.mark.usefixtures("in_this_process")
def test_a_colour_run(tmp_path, monkeypatch):
    """All columns of Table 1 run on square crops of colour photographs."""
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    preset = replace(PRESETS["tiny"], color=True, crops=3)
    monkeypatch.setitem(command.PRESETS, "tiny", preset)
    record = run(1, tmp_path, tmp_path / "run")
    assert [*record["results"]["columns"]] == ["Meta-2", "Meta-3", "Meta-5", "Meta-7", "UNet"]
    assert record["results"]["groups"].tolist() == [0, 0, 0, 1, 1, 1]
    saved = next((tmp_path / "run/runs/tiny/table1-seed0").glob("UNet-*.npz"))
    assert np.load(saved)[""].shape == (6, 18, 18, 3)


@pytest.mark.parametrize(
    ("table", "length"),
    [(1, "short"), (2, "short"), (3, "short"), (4, "short"), (1, "long"), (2, "long")],
)
def test_candidates_are_of_columns_and_their_parameters(table, length):
    made, tried = columns(table, PRESETS["quick"], 0, "cpu"), candidates(table, length)
    assert len(tried) > 3
    for name, settings in tried:
        made[name].set_params(**settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--table and --images are required"),
        (["--table", "1"], "--table and --images are required"),
        (["--claims", "--table", "1"], "takes no --table"),
        (["--claims", "--tune", "short"], "takes no --table"),
    ],
)
def test_a_command_is_a_table_or_the_claims(options, message, capsys):
    with pytest.raises(SystemExit):
        command.main(options)
    assert message in capsys.readouterr().err


def test_a_length_without_candidates_is_refused(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(3, folder, tmp_path, "--tune", "long")
    assert "Table 3 has no candidates for long training" in capsys.readouterr().err


def test_candidates_of_other_pictures_are_not_taken_nor_lost(folder, tmp_path, monkeypatch):
    def candidate(args, option, value):
        own = dict(zip(("column", "settings"), json.loads(value), strict=True))
        return json.dumps({**own, "length": args.tune, "estimator": "?", "psnr": 0.0})

    monkeypatch.setattr(command, "in_own_process", candidate)
    other = tmp_path / "others"
    other.mkdir()
    for i, face in enumerate(load_faces()[30:60]):
        Image.fromarray(np.uint8(255 * face)).save(other / f"Person_{i // 2:02}_{i % 2}.png")
    run(2, folder, tmp_path, "--tune", "long")
    file = tmp_path / "results" / "tuning2-tiny-seed0.json"
    found = file.read_text()
    with pytest.raises(SystemExit, match="is of other settings"):
        run(2, other, tmp_path, "--tune", "long")
    assert file.read_text() == found


def test_tuning_tries_candidates_once_at_each_length(folder, tmp_path, capsys, monkeypatch):
    calls = []

    def candidate(args, option, value):
        calls.append(value)
        name, settings = json.loads(value)
        found = {"column": name, "settings": settings, "length": args.tune, "images": 8}
        own = columns(1, PRESETS["tiny"], 0, "cpu")[name].set_params(**settings, max_epochs=1)
        return json.dumps({**found, "psnr": settings.get("lr", 0.0), "estimator": description(own)})

    monkeypatch.setattr(command, "in_own_process", candidate)
    for length in ("short", "long", "short"):
        assert run(1, folder, tmp_path, "--tune", length) is None
    assert len(calls) == len(candidates(1, "short")) + len(candidates(1, "long"))
    lines = capsys.readouterr().out.splitlines()[-len(calls) :]
    for length in ("short", "long"):
        found = [line.split() for line in lines if line.startswith("UNet")]
        values = [float(fields[2]) for fields in found if fields[1] == length]
        assert len(values) > 3
        assert values == sorted(values, reverse=True)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("length", "n_images"), [("short", 8), ("long", 10)])
def test_a_candidate_is_scored_on_validation_pictures(
    folder, tmp_path, capsys, monkeypatch, length, n_images
):
    monkeypatch.setitem(tune.N_SHORT, 1, 8)
    chosen = json.dumps(["UNet", {"lr": 0.01}])
    run(1, folder, tmp_path, "--candidate", chosen, "--tune", length)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    parts = split_pictures(folder, 18, n_validation=5, n_test=6, n_training=10)
    own = columns(1, PRESETS["tiny"], 0, "cpu")["UNet"].set_params(lr=0.01)
    clean = parts.validation / 255
    measured = own.simulate(clean, random_state=0)
    expected = psnr(clean, own.fit(parts.training[:n_images]).predict(measured))
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    assert (found["column"], found["length"], found["images"]) == ("UNet", length, n_images)


def test_of_the_same_seeds_only(tmp_path, capsys):
    """Columns are compared on seeds that both have; tables have all seeds."""
    rng = np.random.default_rng(0)
    for table, seeds in ((3, (0, 1, 10)), (4, (1, 10))):
        for seed in seeds:
            made = {"Meta-RED L2": 30 + seed + rng.normal(0, 0.01, 40)}
            write_results(tmp_path, table, seed, made)
    command.main(["--claims", "--results", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if "Meta-RED L2 [4] - Meta-RED L2 [3], PSNR" in line]
    assert told.endswith("open")
    assert "(seed 1: " in told
    assert "±nan" not in told
    (tmp_path / "table4-quick-seed1.json").unlink()
    command.main(["--claims", "--results", str(tmp_path)])
    lines_of_one_seed = capsys.readouterr().out.splitlines()
    (of_one,) = [line for line in lines_of_one_seed if line.startswith(told[:50])]
    assert of_one.endswith("one seed only")
    assert "nan" not in of_one
    assert ", 10: " in told
    assert "Table 3, seeds 0, 1, 10" in lines
    (row,) = [line for line in lines if line.startswith("| Meta-RED L2 | 33.6")]
    assert "| 30.00, 31.00, 40.00 | 29.4 | 1 | 1 | 2.0 | 3 |" in row
