"""Training in two processes, started by `torchrun`; both run all cases of this file."""

import itertools
import os
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import settings
import torch
from filelock import FileLock
from settings import SIXTEEN_SMALL_FACES as FACES
from sklearn.model_selection import GridSearchCV

from skmetainv import LinearReconstructor
from skmetainv.inputs.validation import check_device
from skmetainv.meta import IMAML, MAML, Reptile
from skmetainv.operators import MissingPixels
from skmetainv.representations import Refiner, Siren
from skmetainv.solvers import HQS, GradientDescent
from skmetainv.training import Adam, AdamW, Checkpoint, EarlyStopping, processes

RANK = int(os.environ.get("RANK", "0"))
LAST = int(os.environ.get("WORLD_SIZE", "1")) - 1

# In batches of 3: shares of 2 and 1 images, and a last batch of one image. 20 steps in 5 epochs.
LEARNED, HELD_OUT = FACES[:10], FACES[10:]


OWN = {"max_epochs": 5, "batch_size": 3, "precision": "float64"}
small = partial(
    settings.small,
    MissingPixels(),
    algorithm=MAML(step_sizes="per_parameter"),
    outer_lr=1e-3,
    **OWN,
)
small_denoiser = partial(settings.small_denoiser, depth=3, **OWN)


def told(est):
    """The results of training: weights, history without seconds, and the number of epochs."""
    history = {name: values for name, values in est.history_.items() if name != "seconds"}
    return {"weights": est.weights_, "history": history, "n_iter": est.n_epochs_}


def refusal(function, *args):
    """The message of the ValueError that a call raises."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(*args)
    return str(caught.value)


# ---------------------------------------------------------------------- cases: equal to one process


def maml(folder):
    est = small().fit(LEARNED, X_val=HELD_OUT)
    measured = est.simulate(HELD_OUT)
    return told(est) | {"restored": est.predict(measured), "score": est.score(HELD_OUT)}


def reptile(folder):
    return told(small(algorithm=Reptile(n_steps=3)).fit(LEARNED))


def imaml(folder):
    return told(small(algorithm=IMAML()).fit(LEARNED))


def measured_pairs(folder):
    return told(small().fit(small().simulate(LEARNED), LEARNED))


def clipped_with_step_sizes_that_have_no_gradient(folder):
    est = small(n_inner=0, optimizer=AdamW(max_grad_norm=1e-3))
    return told(est.fit(LEARNED))


def one_image_in_every_batch(folder):
    return told(small(batch_size=1, max_epochs=2).fit(LEARNED[:3]))


def partial_fits(folder):
    est = small()
    for _ in range(3):
        est.partial_fit(LEARNED)
    return told(est)


def early_stopping(folder):
    """With this `min_delta`, only the first score counts as better."""
    est = small(early_stopping=EarlyStopping(2, min_delta=100.0, validation_fraction=0.3))
    return told(est.fit(LEARNED))


def denoiser_of_bounded_norm(folder):
    est = small_denoiser(spectral_norm=0.2, lr=0.1).fit(LEARNED)
    return told(est) | {"restored": est.predict(HELD_OUT), "score": est.score(HELD_OUT)}


def denoiser_fitted_and_tuned_in_the_solver(folder):
    solver = HQS(small_denoiser(random_state=None, max_epochs=1), n_iter=2)
    return told(small(solver=solver, tune_solver=True, max_epochs=2).fit(LEARNED))


def starts_from_a_solver_and_an_estimator(folder):
    init = Siren(4, depth=3, residual=LinearReconstructor(), refiner=Refiner(2, depth=2))
    est = small(init=init, solver=GradientDescent(), noise=0.02, max_epochs=2)
    return told(est.fit(LEARNED, groups=np.arange(10) // 2)) | {"inner_lr": est.inner_lr_}


def infinite_on_the_marked(x, target):
    loss = (x - target).square().mean((1, 2, 3))
    return loss.where(target[:, 0, 0, 0] != 0.5, torch.inf)


def steps_that_are_not_finite(folder):
    faces = LEARNED.copy()
    faces[:, 0, 0], faces[4, 0, 0] = 0.25, 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est = small(outer_loss=infinite_on_the_marked, augment=False).fit(faces)
    return told(est) | {"warnings": [str(w.message) for w in caught]}


def search(folder):
    grid = {"n_inner": [0, 1], "inner_lr": [0.01, 0.1]}
    found = GridSearchCV(small(max_epochs=1), grid, cv=2, error_score="raise").fit(LEARNED)
    return told(found.best_estimator_) | {"scores": found.cv_results_["mean_test_score"]}


AS_ONE_PROCESS = [
    maml,
    reptile,
    imaml,
    measured_pairs,
    clipped_with_step_sizes_that_have_no_gradient,
    one_image_in_every_batch,
    partial_fits,
    early_stopping,
    denoiser_of_bounded_norm,
    denoiser_fitted_and_tuned_in_the_solver,
    starts_from_a_solver_and_an_estimator,
    steps_that_are_not_finite,
    search,
]


# ---------------------------------------------------------------------- other cases


def without_a_seed(folder):
    return told(small(max_epochs=1, random_state=None).fit(LEARNED))


class StopsAfterTwoEpochs:
    """A callback of scikit-learn."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **told):
        pass

    def on_fit_task_end(self, estimator, context, **told):
        return context.task_name == "epoch" and context.task_id == 1


def callback_of_the_last_process(folder):
    est = small()
    if RANK == LAST and hasattr(est, "set_callbacks"):
        est.set_callbacks(StopsAfterTwoEpochs())
    return told(est.fit(LEARNED))


class AdamThatCounts(Adam):
    """Counts its steps, and is interrupted before the same step in every process."""

    made, last = 0, None

    def build(self, groups):
        numbers = itertools.count()
        optimizer = super().build(groups)

        def count(*_):
            AdamThatCounts.made = next(numbers)
            if AdamThatCounts.made == AdamThatCounts.last:
                raise KeyboardInterrupt

        optimizer.register_step_pre_hook(count)
        return optimizer


def resumable(path):
    checkpoint = Checkpoint(path, minutes=0.0)
    return small(optimizer=AdamThatCounts(), checkpoint=checkpoint)


def interrupted_and_resumed(folder):
    """Only the first process has the checkpoint's folder."""
    path = folder / "run.ckpt" if RANK == 0 else folder / "missing" / "run.ckpt"
    AdamThatCounts.last = 6  # in the middle of the second epoch
    with pytest.raises(KeyboardInterrupt):
        resumable(path).fit(LEARNED)
    if RANK == 0:
        shutil.copy(path, folder / "interrupted.ckpt")
    AdamThatCounts.last = None
    resumed = told(resumable(path).fit(LEARNED)) | {"last_step": AdamThatCounts.made}
    again = told(resumable(path).fit(LEARNED))
    return {"resumed": resumed, "again": again, "at_once": told(small().fit(LEARNED))}


def refused(folder):
    path = folder / "damaged.ckpt"
    if RANK == 0:
        path.write_bytes(b"no checkpoint")
    two_workers = joblib.parallel_config("threading", n_jobs=2)
    with two_workers, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        searched = refusal(GridSearchCV(small(), {"n_inner": [1, 2]}, cv=2).fit, LEARNED)
    return {
        "damaged": refusal(small(checkpoint=path).fit, LEARNED),
        "other images": refusal(small().fit, np.roll(LEARNED, RANK, axis=0)),
        "more images": refusal(small().fit, FACES[: 10 + RANK]),
        "validation": refusal(small().fit, LEARNED, None, None if RANK else HELD_OUT),
        "epochs": refusal(small(max_epochs=1 + RANK).fit, LEARNED),
        "checkpoint": refusal(small(checkpoint=None if RANK else folder / "a").fit, LEARNED),
        "search": searched,
    }


OF_THEIR_OWN = [without_a_seed, callback_of_the_last_process, interrupted_and_resumed, refused]


# ---------------------------------------------------------------------- two processes


def run_cases(folder):
    results = {}
    for case in AS_ONE_PROCESS + OF_THEIR_OWN:
        own = Path(folder) / case.__name__
        own.mkdir(exist_ok=True)
        results[case.__name__] = case(own)
    processes._leave()  # what runs when a process ends
    results["threads"] = sorted(
        path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")
    )
    joblib.dump(results, Path(folder) / f"{RANK}.joblib")


def break_one(folder):
    def loss(x, target):
        if RANK:
            raise RuntimeError(f"broken in process {RANK}")
        return (x - target).square().mean((1, 2, 3))

    small(outer_loss=loss).fit(LEARNED)
    (Path(folder) / f"{RANK} went on").touch()


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_processes
test_processes.{function}(sys.argv[1])
"""


def in_two_processes(function, folder):
    """Run a function of this file under `torchrun`; return its exit status and its output."""
    script, log = folder / "script.py", folder / "log"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), function=function.__name__))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with log.open("w") as printed:
        process = subprocess.Popen(
            [*torchrun, "--nproc-per-node", "2", str(script), str(folder)],
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        try:
            status = process.wait(timeout=120)
        finally:
            process.terminate()  # it ends its workers first
            process.wait()
    return status, log.read_text()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The results of all cases in both processes, and their folder."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "processes"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):  # one launch for all of pytest's workers
        if not (folder / "done").exists():
            status, printed = in_two_processes(run_cases, folder)
            assert status == 0, printed
            (folder / "done").touch()
    return [joblib.load(folder / f"{rank}.joblib") for rank in range(2)], folder


def assert_same_bits(first, second):
    assert joblib.hash(first) == joblib.hash(second)


def assert_close(first, second):
    """Require that results agree to 1e-8."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_close(first[name], second[name])
    elif isinstance(first, list) and any(isinstance(part, str) for part in first):
        assert first == second
    else:
        np.testing.assert_allclose(first, second, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", AS_ONE_PROCESS, ids=lambda case: case.__name__)
def test_two_processes_learn_what_one_does_at_the_same_batch_size(case, both, tmp_path):
    first, second = (results[case.__name__] for results in both[0])
    assert_same_bits(first, second)
    assert_close(first, case(tmp_path))


def test_the_cases_are_what_they_are_called(both):
    results = both[0][0]
    assert results["early_stopping"]["n_iter"] == 3
    assert len(results["steps_that_are_not_finite"]["warnings"]) == 1
    assert "5 step(s)" in results["steps_that_are_not_finite"]["warnings"][0]


def test_processes_share_one_seed_where_none_is_given(both):
    first, second = (results["without_a_seed"] for results in both[0])
    assert_same_bits(first, second)
    fixed = told(small(max_epochs=1).fit(LEARNED))["weights"]
    assert not np.allclose(first["weights"]["init.0.weight"], fixed["init.0.weight"])


def test_a_callback_of_one_process_stops_all(both):
    pytest.importorskip("sklearn.callback")
    first, second = (results["callback_of_the_last_process"] for results in both[0])
    assert first["n_iter"] == 2
    assert_same_bits(first, second)


def test_a_checkpoint_of_the_first_process_resumes_both(both):
    (first, second), folder = both
    first, second = first["interrupted_and_resumed"], second["interrupted_and_resumed"]
    assert_same_bits(first, second)
    assert first["resumed"]["last_step"] == 20 - 6 - 1
    assert_same_bits(first["resumed"]["weights"], first["at_once"]["weights"])
    assert_close(first["resumed"]["history"], first["at_once"]["history"])
    assert_same_bits(first["again"]["weights"], first["at_once"]["weights"])
    assert sorted(p.name for p in (folder / "interrupted_and_resumed").iterdir()) == [
        "interrupted.ckpt",
        "run.ckpt",
    ]


def test_one_process_goes_on_where_two_were_interrupted(both, tmp_path):
    (first, _), folder = both
    path = shutil.copy(
        folder / "interrupted_and_resumed" / "interrupted.ckpt", tmp_path / "run.ckpt"
    )
    alone = told(resumable(path).fit(LEARNED))
    assert AdamThatCounts.made == 20 - 6 - 1
    assert_close(alone, first["interrupted_and_resumed"]["at_once"])


def test_what_one_process_cannot_take_all_refuse(both):
    first, second = (results["refused"] for results in both[0])
    assert first == second
    assert "cannot resume from the checkpoint" in first["damaged"]
    assert first["other images"].endswith("They differ in: the images of X.")
    assert first["more images"].endswith("They differ in: the images of X.")
    assert first["validation"].endswith("They differ in: the images of X_val.")
    assert first["epochs"].endswith("They differ in: max_epochs.")
    assert first["checkpoint"].endswith("They differ in: checkpoint.")
    assert "n_jobs=None" in first["search"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed in /proc")
def test_no_thread_of_the_processes_outlives_their_group(both):
    for results in both[0]:
        assert results["threads"]
        assert not any("gloo" in name for name in results["threads"])


def test_a_process_that_fails_ends_all(tmp_path):
    status, printed = in_two_processes(break_one, tmp_path)
    assert status != 0
    assert "broken in process 1" in printed
    assert not list(tmp_path.glob("* went on"))


# ---------------------------------------------------------------------- devices of the processes


@pytest.mark.parametrize(
    ("device", "rank", "n_devices", "own"),
    [
        ("auto", "1", 2, "cuda:1"),
        ("cuda", "0", 2, "cuda:0"),
        ("cuda", "3", 4, "cuda:3"),
        ("cuda:0", "1", 2, "cuda:0"),
        ("auto", "3", 1, "cuda:0"),  # each process sees only its own device
        ("auto", "1", 0, "cpu"),
        ("cpu", "1", 2, "cpu"),
    ],
)
def test_each_process_has_a_device_of_its_own(monkeypatch, device, rank, n_devices, own):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert check_device(device) == torch.device(own)


@pytest.mark.parametrize(("device", "backend"), [("cuda:1", "nccl"), ("cpu", "gloo")])
def test_processes_on_gpus_talk_by_nccl_from_their_own(monkeypatch, device, backend):
    chosen, backends = [], []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", backends.append)
    monkeypatch.setattr("atexit.register", lambda function: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    processes.join_processes(torch.device(device))
    assert chosen == [torch.device(device)] * (backend == "nccl")
    assert [backend in name for name in backends] == [True]
