"""Checkpoints that cannot be written, that are in use, and training that a scheduler ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from settings import SMALL_FACES, small, small_denoiser
from sklearn.exceptions import ConvergenceWarning

from skmetainv import ClassicalReconstructor, LinearReconstructor, UNetReconstructor
from skmetainv.exceptions import CheckpointWarning
from skmetainv.operators import GaussianBlur
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, GradientDescent
from skmetainv.storage import read
from skmetainv.training import Checkpoint
from skmetainv.training.locks import Lock
from skmetainv.training.termination import EXIT_STATUS, Termination

FACES = SMALL_FACES[:6]


class Loss:
    """Counts the calls; `happens` is called at each."""

    def __init__(self, happens=lambda n: None):
        self.n_calls, self.happens = 0, happens

    def __call__(self, x, target):
        self.n_calls += 1
        self.happens(self.n_calls)
        return (x - target).square().mean((1, 2, 3))

    def __reduce__(self):  # equal losses in the checkpoint's identity
        return Loss, ()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def estimator(path, happens=lambda n: None, **options):
    """An estimator of three epochs with two steps each; every step writes the checkpoint."""
    checkpoint = Checkpoint(path, minutes=0.0)
    options = {"init": Siren(width=4, depth=2), "batch_size": 3, "max_epochs": 3} | options
    return small(
        outer_loss=Loss(happens), checkpoint=checkpoint, tune_solver=False, inner_lr=0.01, **options
    )


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def weights(est):
    return joblib.hash(est.weights_)


# ---------------------------------------------------------------------- before the first step


@pytest.mark.parametrize("at", ["os.fsync", "os.replace"])
def test_a_full_disk_is_found_before_the_first_step(path, monkeypatch, at):
    est = estimator(path)
    monkeypatch.setattr(f"skmetainv.storage.{at}", full_disk)
    with pytest.raises(OSError, match=r"Training did not start.*No space left.*run\.ckpt"):
        est.fit(FACES)
    assert est.outer_loss.n_calls == 0
    assert not hasattr(est, "weights_")
    assert not list(path.parent.iterdir())


def test_a_name_that_is_too_long_is_found_before_the_first_step(tmp_path):
    for length in (300, 250):  # too long, and too long for the temporary file
        est = estimator(tmp_path / ("x" * length))
        with pytest.raises((OSError, ValueError), match="File name too long"):
            est.fit(FACES)
        assert est.outer_loss.n_calls == 0


def test_a_full_disk_is_found_before_a_denoiser_is_fitted(path, monkeypatch):
    loss = Loss()
    denoiser = small_denoiser(loss=loss)
    est = estimator(path, solver=HQS(denoiser, n_iter=1), operator=GaussianBlur())
    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match=r"Training did not start.*No space left"):
        est.fit(FACES)
    assert loss.n_calls == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may write everywhere")
def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(path):
    path.parent.chmod(0o500)
    est = estimator(path)
    with pytest.raises(PermissionError, match=r"Training did not start.*run\.ckpt"):
        est.fit(FACES)
    assert est.outer_loss.n_calls == 0


@pytest.mark.parametrize("kind", ["pipe", "device", "loop of links", "file in a file"])
def test_a_path_that_is_no_file_is_refused_at_once(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path(os.devnull)
    elif kind == "loop of links":
        path.symlink_to(path)
    else:
        path.touch()
        path = path / "run.ckpt"
    est = estimator(path)
    with pytest.raises(ValueError, match="'checkpoint' parameter must be a file in an existing"):
        est.fit(FACES)
    assert est.outer_loss.n_calls == 0


# ---------------------------------------------------------------------- later


def test_a_write_that_fails_later_costs_nothing_but_a_warning(path, monkeypatch):
    expected = weights(estimator(path.with_name("other")).fit(FACES))
    broken = pytest.MonkeyPatch()

    def happens(n):
        if n == 2:
            broken.setattr("skmetainv.storage.os.fsync", full_disk)
        if n == 5:
            broken.undo()

    est = estimator(path, happens)
    with pytest.warns(CheckpointWarning, match="No space left on device. Training goes on") as seen:
        est.fit(FACES)
    assert len([w for w in seen if issubclass(w.category, CheckpointWarning)]) == 1
    assert weights(est) == expected
    assert read(path)[1]["finished"]  # the later writes were tried, and succeeded


def test_a_last_write_that_fails_keeps_the_result(path, monkeypatch):
    est = estimator(path, lambda n: n == 6 and monkeypatch.setattr("os.replace", full_disk))
    with pytest.warns(CheckpointWarning):
        est.fit(FACES)
    assert est.n_epochs_ == 3
    assert not read(path)[1]["finished"]


def test_a_finished_checkpoint_is_only_read(path, monkeypatch):
    expected = weights(estimator(path).fit(FACES))
    before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino
    path.parent.chmod(0o500)
    path.chmod(0o400)
    for name in ("os.replace", "os.fsync"):
        monkeypatch.setattr(name, full_disk)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = estimator(path).fit(FACES)
    path.parent.chmod(0o700)
    assert est.outer_loss.n_calls == 0
    assert weights(est) == expected
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_files_that_a_killed_run_left_are_removed(path):
    orphans = [path.with_name(f".run.ckpt.{n:016x}") for n in (0, 2**63)]
    others = [path.with_name(name) for name in (".run.ckpt.backup", ".run2.ckpt.0123456789abcdef")]
    for file in (*orphans, *others):
        file.write_bytes(b"half a file")
    estimator(path).fit(FACES)
    assert set(path.parent.iterdir()) == {path, *others}


def test_a_link_is_written_through(path, tmp_path):
    (tmp_path / "scratch").mkdir()
    target = tmp_path / "scratch" / "target"
    path.symlink_to(target)
    est = estimator(path).fit(FACES)
    assert path.is_symlink()
    assert read(target)[1]["finished"]
    assert weights(estimator(path).fit(FACES)) == weights(est)
    assert set(tmp_path.iterdir()) == {path, target.parent}
    assert list(target.parent.iterdir()) == [target]


# ---------------------------------------------------------------------- two at a time


@pytest.mark.parametrize("options", [{}, {"outer_lr": 0.5}], ids=["equal", "different"])
def test_a_second_fit_on_the_same_path_is_refused_while_the_first_lives(path, options):
    """Training calls the second `fit` in its third step."""
    refusals = []

    def happens(n):
        if n == 3:
            second = estimator(path, **options)
            with pytest.raises(ValueError, match=r"run\.ckpt") as raised:
                second.fit(FACES)
            refusals.append(str(raised.value))
            assert second.outer_loss.n_calls == 0

    est = estimator(path, happens).fit(FACES)
    (refusal,) = refusals
    assert ("Another fit is using the checkpoint" in refusal) == (not options)
    assert ("different training run" in refusal) == bool(options)
    assert est.n_epochs_ == 3
    assert list(path.parent.iterdir()) == [path]


def test_of_two_fits_that_begin_at_the_same_time_one_is_refused(path):
    """The second one begins before the first one has written its file."""
    lock = Lock(path)
    assert lock.acquire()
    with pytest.raises(ValueError, match="Another fit is using the checkpoint"):
        estimator(path).fit(FACES)
    lock.release()
    estimator(path).fit(FACES)


def test_a_fit_that_fails_frees_the_path(path):
    def fails(n):
        if n == 3:
            raise RuntimeError("in the loss")

    with pytest.raises(RuntimeError, match="in the loss") as kept:
        estimator(path, fails).fit(FACES)
    assert kept.tb  # it refers to the frames, and these to everything that training made
    estimator(path).fit(FACES)


def test_a_lock_ends_with_its_process(path):
    code = (
        "import sys; from skmetainv.training.locks import Lock; lock = Lock(sys.argv[1]);"
        "print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"True\n"
    lock = Lock(path)
    assert not lock.acquire()
    holder.kill()
    holder.wait()
    assert lock.acquire()
    lock.release()
    assert not list(path.parent.iterdir())


def test_a_forked_process_does_not_hold_the_lock(path):
    lock = Lock(path)
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(int(lock.is_held))
    assert os.waitpid(child, 0)[1] == 0
    assert lock.is_held
    assert not Lock(path).acquire()
    lock.release()
    assert not list(path.parent.iterdir())


def test_locks_of_many_threads(path):
    n_holders, most, n_acquired = 0, 0, 0

    def work():
        nonlocal n_holders, most, n_acquired
        end = time.monotonic() + 60
        for _ in range(50):
            lock = Lock(path)
            while not lock.acquire():
                assert time.monotonic() < end
            n_holders += 1
            most, n_acquired = max(most, n_holders), n_acquired + 1
            n_holders -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, n_acquired) == (1, 200)
    assert not list(path.parent.iterdir())


# ---------------------------------------------------------------------- SIGTERM


def child(path, at):
    """Train, and send SIGTERM to this process in one of the steps."""
    terminate = lambda n: n == at and os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    estimator(Path(path), terminate).fit(FACES)
    print("fit returned", flush=True)


@pytest.mark.parametrize("at", [1, 2, 6])
def test_sigterm_writes_a_checkpoint_and_ends_the_process(path, at):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        f"import atexit; atexit.register(print, 'left');"
        f"import test_checkpoint_failures as t; t.child({str(path)!r}, {at})"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == EXIT_STATUS == 143, process.stderr
    assert process.stdout == "left\n"
    _, record = read(path)
    assert 2 * record["epoch"] + record["step"] == at
    assert not record["finished"]
    resumed = estimator(path).fit(FACES)
    assert resumed.outer_loss.n_calls == 6 - at
    assert weights(resumed) == weights(estimator(path.with_name("other")).fit(FACES))
    assert set(path.parent.iterdir()) == {path, path.with_name("other")}


def child_in_validation(path):
    """Train, and send SIGTERM to this process in the validation after the last epoch."""
    from skmetainv.reconstruction import training_run

    n_calls, mean = 0, training_run.mean_over_batches

    def terminated(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return mean(*args)

    training_run.mean_over_batches = terminated
    estimator(Path(path)).fit(FACES, X_val=FACES)
    print("fit returned", flush=True)


def test_sigterm_in_the_last_validation_ends_the_process(path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        f"import test_checkpoint_failures as t; t.child_in_validation({str(path)!r})"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == EXIT_STATUS, process.stderr
    assert process.stdout == ""
    assert read(path)[1]["finished"]


def test_sigterm_after_a_skipped_step_is_not_called_divergence(path):
    """One step is skipped, and the next one ends training: not all steps of the epoch diverged."""
    est = estimator(path)

    def loss(x, target):
        values = (x - target).square().mean((1, 2, 3))
        loss.n_calls += 1
        if loss.n_calls == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            return values * np.nan
        return values

    loss.n_calls = 0
    with pytest.warns(ConvergenceWarning, match="diverged") as caught, pytest.raises(SystemExit):
        est.set_params(outer_loss=loss).fit(FACES)
    assert not any("All steps" in str(warning.message) for warning in caught)


def test_ctrl_c_after_sigterm_leaves_its_exit_status(path):
    """A scheduler that sends both must see that the job is to be queued again."""

    def both(n):
        if n == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        estimator(path, both).fit(FACES)
    assert end.value.code == EXIT_STATUS
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_signal_s_handler_is_the_user_s(path):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        handlers = []
        est = estimator(path, lambda n: handlers.append(signal.getsignal(signal.SIGTERM)))
        est.fit(FACES)
        assert {id(h) for h in handlers} == {id(signal.getsignal(signal.SIGTERM))}
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_restored_and_other_threads_set_none(path):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    handlers = []
    estimator(path, lambda n: handlers.append(signal.getsignal(signal.SIGTERM))).fit(FACES)
    assert all(getattr(h, "__self__", None).__class__ is Termination for h in handlers)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    handlers.clear()
    small(outer_loss=Loss(lambda n: handlers.append(signal.getsignal(signal.SIGTERM)))).fit(FACES)
    assert set(handlers) == {signal.SIG_DFL}  # there is no checkpoint
    est = estimator(path.with_name("other"))
    thread = threading.Thread(target=est.fit, args=(FACES,))
    thread.start()
    thread.join()
    assert est.n_epochs_ == 3


# ---------------------------------------------------------------------- arrays on disk


class Lazy:
    """An array that records how many images are read at once."""

    def __init__(self, array):
        self.array, self.sizes = array, []
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, indices):
        self.sizes.append(len(np.atleast_1d(indices)))
        return self.array[indices]


def test_the_identity_of_a_lazy_array_is_read_in_batches(path):
    lazy = Lazy(SMALL_FACES)
    estimator(path, batch_size=4, max_epochs=1, n_inner=1).fit(lazy)
    assert max(lazy.sizes) == 4
    assert sum(lazy.sizes) >= 2 * len(SMALL_FACES)  # its identity, and one epoch


@pytest.mark.parametrize(
    "est",
    [
        ClassicalReconstructor(GaussianBlur(), GradientDescent()),
        UNetReconstructor(GaussianBlur(), width=2, depth=1, max_epochs=1, batch_size=2),
        LinearReconstructor(GaussianBlur(), noise=0.01),
    ],
    ids=lambda est: type(est).__name__,
)
def test_a_memory_mapped_array_is_checked_as_it_is_read(tmp_path, est):
    np.save(tmp_path / "faces.npy", SMALL_FACES)
    mapped = np.load(tmp_path / "faces.npy", mmap_mode="r")
    est.fit(mapped)
    damaged = SMALL_FACES.copy()
    damaged[-1, 0, 0] = np.nan
    np.save(tmp_path / "damaged.npy", damaged)
    mapped = np.load(tmp_path / "damaged.npy", mmap_mode="r")
    if isinstance(est, ClassicalReconstructor):
        est.fit(mapped)  # it uses the first image only
    else:
        with pytest.raises(ValueError, match="Input X contains NaN"):
            est.fit(mapped)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        est.fit(SMALL_FACES).predict(mapped)
