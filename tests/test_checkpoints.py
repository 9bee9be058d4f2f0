"""Training that is killed and resumes from its checkpoint."""

import functools
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import settings
import torch
from safetensors.torch import save_file
from scipy.sparse.linalg import LinearOperator
from settings import SMALL_FACES
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmetainv import LinearReconstructor
from skmetainv.denoisers import DnCNN
from skmetainv.meta import IMAML, MAML, InnerLoss, Reptile
from skmetainv.metrics import psnr
from skmetainv.operators import (
    FunctionOperator,
    GaussianBlur,
    Inpainting,
    MatrixOperator,
    MissingPixels,
    Stack,
)
from skmetainv.reconstruction.identity import parameter_identity
from skmetainv.representations import Encoder, ModulatedSiren, Refiner, Siren
from skmetainv.solvers import HQS, RED
from skmetainv.storage import DamagedFileError, read, write
from skmetainv.training import SGD, AdamW, Checkpoint, Constant, Cosine, EarlyStopping

# In batches of 3, the last of 2: two steps in an epoch.
FACES = SMALL_FACES[:9]
LEARNED, HELD_OUT = FACES[:5], FACES[5:]
N_STEPS = 6

# ---------------------------------------------------------------------- files

ARRAYS = {
    "weights/a.b": np.random.default_rng(0).normal(size=(3, 4)),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "number": np.float32(1.5).reshape(()),
    "none": np.zeros((0, 3)),
    "special": np.array([np.nan, -0.0, np.inf, 5e-324]),
    **{
        name: np.array([[0, 1], [1, 0]], dtype=name)
        for name in ("bool", "uint8", "int64", "float16")
    },
}
RECORD = {"epoch": 3, "history": {"psnr": [1.5, float("inf")]}, "none": None, "text": "ä/ü"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def assert_same_bits(first, second):
    assert joblib.hash(first) == joblib.hash(second)


def only_file(path):
    """The file's bytes; the folder must contain no other file."""
    assert list(path.parent.iterdir()) == [path]
    return path.read_bytes()


@pytest.mark.parametrize("arrays", [ARRAYS, {}])
def test_what_is_written_is_read_to_the_bit(path, arrays):
    write(str(path), arrays, RECORD)
    found, record = read(path)
    assert record == RECORD
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    only_file(path)


def test_a_later_file_takes_the_place_of_the_first(path):
    write(path, ARRAYS, RECORD)
    write(path, {"w": np.ones(2)}, [1])
    found, record = read(path)
    assert record == [1]
    np.testing.assert_array_equal(found.pop("w"), np.ones(2))
    assert not found
    only_file(path)


class Killed(BaseException):
    """An exception that no code catches."""


def die(*args, **kwargs):
    raise Killed


@pytest.mark.parametrize("at", ["save", "os.fsync", "os.replace"])
def test_a_file_whose_writing_is_cut_short_is_the_old_one(path, monkeypatch, at):
    write(path, ARRAYS, RECORD)
    before = only_file(path)
    monkeypatch.setattr(f"skmetainv.storage.{at}", die)
    with pytest.raises(Killed):
        write(path, {"w": np.ones(2)}, [1])
    assert only_file(path) == before


@pytest.mark.parametrize(
    ("arrays", "record", "error"),
    [({"w": np.array([print])}, {}, Exception), ({"w": np.ones(2)}, {"f": print}, TypeError)],
)
def test_what_cannot_be_written_leaves_the_old_file(path, arrays, record, error):
    write(path, ARRAYS, RECORD)
    before = only_file(path)
    with pytest.raises(error):
        write(path, arrays, record)
    assert only_file(path) == before


def test_a_file_with_any_byte_changed_or_missing_is_refused(path):
    write(path, {"w": np.arange(3.0), "none": np.zeros((0, 2))}, {"epoch": 1})
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)] + [whole[:-1], whole + b"\0"]
    for place, byte in enumerate(whole):
        damaged.append(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"run\.ckpt is damaged"):
            read(path)
    path.write_bytes(whole)
    assert read(path)[1] == {"epoch": 1}


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


def foreign_file(kind):
    """The bytes of a file of another kind."""
    buffer = io.BytesIO()
    if kind == "pickle":
        pickle.dump(Evil(), buffer)
    elif kind == "torch":
        torch.save({"w": Evil()}, buffer)
    elif kind == "npz":
        np.savez(buffer, w=np.ones(2))
    elif kind == "text":
        buffer.write(b"hello")
    return buffer.getvalue()


FOREIGN = ["pickle", "torch", "npz", "text", "empty"]


@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_other_kinds_are_refused_and_run_no_code(path, capsys, kind):
    path.write_bytes(foreign_file(kind))
    with pytest.raises(DamagedFileError):
        read(path)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_tensors_of_something_else_are_refused(path, dtype, metadata):
    save_file({"w": torch.ones(3).to(dtype)}, path, metadata)
    with pytest.raises(DamagedFileError, match="another program"):
        read(path)


# ---------------------------------------------------------------------- killed training


class Loss:
    """The mean squared error of each image; the call number `at` also calls `happens`."""

    n_calls, at, happens = 0, None, staticmethod(die)

    def __call__(self, x, target):
        Loss.n_calls += 1
        if Loss.n_calls == Loss.at:
            Loss.happens()
        return (x - target).square().mean((1, 2, 3))


small = partial(
    settings.small,
    init=Siren(width=4, depth=2),
    algorithm=MAML(step_sizes="per_parameter"),
    outer_loss=Loss(),
    outer_lr=1e-2,
    tune_solver=False,  # scaling its numbers calls the loss, too
    max_epochs=3,
    batch_size=3,
)
small_denoiser = partial(settings.small_denoiser, lr=1e-2, loss=Loss(), max_epochs=3, batch_size=3)


def told(est):
    """All results of training except the seconds."""
    history = dict(est.history_)
    assert len(history.pop("seconds")) == est.n_epochs_
    restored = est.predict(est.simulate(HELD_OUT, random_state=0))
    return {
        "weights": est.weights_,
        "history": history,
        "order of the history": list(est.history_),
        "n_iter": est.n_epochs_,
        "restored": restored,
        "optimizer": est._optimizer_state_,
    }


def trained(est, *data, at=None, happens=die, **checkpoint):
    """Fit a copy, with `happens` at one call of the loss; return it and the number of calls."""
    est = pickle.loads(pickle.dumps(est))
    if checkpoint:
        est.set_params(checkpoint=Checkpoint(**{"minutes": 0.0} | checkpoint))
    Loss.n_calls, Loss.at, Loss.happens = 0, at, staticmethod(happens)
    try:
        est.fit(*data)
    finally:
        n_calls, Loss.at = Loss.n_calls, None
    return est, n_calls


TINY = DnCNN(depth=2, width=2, max_epochs=1)
PAIRS = small(MissingPixels(), noise=0.1).simulate(LEARNED, random_state=0), LEARNED
RAGGED = [FACES[0], FACES[1, :7], FACES[2, 1:], FACES[3, :, :6], FACES[4]]
EARLY = {"early_stopping": EarlyStopping(validation_fraction=0.3)}

CASES = {
    "plain": (small(), LEARNED),
    "noise and masks of each epoch": (small(MissingPixels(), noise=0.1), LEARNED),
    "pairs": (small(MissingPixels()), *PAIRS),
    "validation": (small(MissingPixels(), noise=0.1), LEARNED, None, HELD_OUT),
    "early stopping": (small(GaussianBlur(), noise=0.1, **EARLY), FACES[:8]),
    "early stopping that stops": (
        small(early_stopping=EarlyStopping(2), max_epochs=9),
        np.ones_like(LEARNED),
        None,
        np.zeros_like(HELD_OUT),
    ),
    "cosine and AdamW": (
        small(optimizer=AdamW(0.1, schedule=Cosine(warmup=0.3), max_grad_norm=0.01)),
        LEARNED,
    ),
    "warm-up and momentum": (
        small(optimizer=SGD(0.9, nesterov=True, schedule=Constant(0.5)), outer_lr=0.1),
        LEARNED,
    ),
    "plain SGD": (small(optimizer="sgd"), LEARNED),
    "MAML of changing weights": (
        small(algorithm=MAML(step_weights="uniform", anneal_epochs=3)),
        LEARNED,
    ),
    "Reptile": (small(algorithm=Reptile(n_steps=2), inner_lr=0.01), LEARNED),
    "iMAML": (small(algorithm=IMAML(n_cg=2)), LEARNED),
    "an encoder and a weight of the inner loss": (
        small(
            MissingPixels(),
            init=ModulatedSiren(width=4, depth=2, encoder=Encoder(width=2)),
            inner_loss=InnerLoss(regularizer="tv", learnable=("weight",)),
            precision="float64",
        ),
        LEARNED,
    ),
    "bfloat16": (small(init=Siren(width=16, depth=2), precision="bfloat16"), LEARNED),
    "a denoiser to be fitted": (
        small(GaussianBlur(), RED(TINY, n_iter=1)),
        LEARNED,
    ),
    "a solver to be tuned": (
        small(GaussianBlur(), HQS(TINY, n_iter=1), tune_solver=True),
        LEARNED,
    ),
    "a start that is cross-fitted by groups, and a refiner": (
        small(
            MissingPixels(),
            init=Siren(4, depth=2, residual=LinearReconstructor(), refiner=Refiner(2, depth=2)),
            noise=0.1,
            **EARLY,
        ),
        *(FACES[:8], None, None, None, np.arange(8) // 2),
    ),
    "denoiser": (small_denoiser(optimizer="adam"), LEARNED),
    "denoiser of bounded norm": (
        small_denoiser(spectral_norm=0.3, optimizer=SGD(0.9), noise_level=(0.0, 0.2)),
        LEARNED,
    ),
    "denoiser with early stopping": (small_denoiser(**EARLY), FACES[:8]),
    "denoiser of images of all sizes": (
        small_denoiser(patch_size=6, patches_per_image=1, optimizer="adamw"),
        RAGGED,
        None,
        RAGGED[:2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_whenever_training_is_killed_it_ends_with_the_bits_of_one_that_was_not(case, path):
    est, *data = CASES[case]
    undisturbed, n_calls = trained(est, *data)
    expected = told(undisturbed)
    per_step = n_calls // (2 * undisturbed.n_epochs_)
    assert n_calls == 2 * undisturbed.n_epochs_ * per_step
    for at in range(1, n_calls + 1, per_step):
        path.unlink(missing_ok=True)
        with pytest.raises(Killed):
            trained(est, *data, at=at, path=path)
        resumed, n_left = trained(est, *data, path=path)
        assert n_left == n_calls - per_step * ((at - 1) // per_step)  # no step is repeated
        assert_same_bits(told(resumed), expected)
    again, n_left = trained(est, *data, path=path)
    assert n_left == 0
    assert_same_bits(told(again), expected)


class KilledAtLine:
    """A tracer that raises `Killed` before a line of `training` or `storage`."""

    files = tuple(str(Path("skmetainv") / name) for name in ("training", "storage"))

    def __init__(self, at=None):
        self.at, self.n_lines = at, 0

    def __call__(self, frame, event, arg):
        if not any(name in frame.f_code.co_filename for name in self.files):
            return None
        if event == "line":
            self.n_lines += 1
            if self.n_lines == self.at:
                raise Killed
        return self

    def fit(self, est, *data, path):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return trained(est, *data, path=path)[0]
        finally:
            sys.settrace(before)


def test_training_may_be_killed_before_any_line(path):
    """In the middle of a step, of validation, or of writing the file."""
    est = small(optimizer="adam", max_epochs=2, **EARLY)
    expected = told(trained(est, LEARNED)[0])
    tracer = KilledAtLine()
    assert_same_bits(told(tracer.fit(est, LEARNED, path=path)), expected)
    n_killed = 0
    for at in range(1, tracer.n_lines, 1 + tracer.n_lines // 15):
        path.unlink(missing_ok=True)
        with pytest.raises(Killed):
            KilledAtLine(at).fit(est, LEARNED, path=path)
        n_killed += 1
        assert_same_bits(told(trained(est, LEARNED, path=path)[0]), expected)
    assert n_killed >= 10


@pytest.mark.parametrize("case", ["noise and masks of each epoch", "denoiser with early stopping"])
def test_training_may_be_killed_after_every_single_step(case, path):
    est, *data = CASES[case]
    undisturbed, n_calls = trained(est, *data)
    for _ in range(n_calls - 1):
        with pytest.raises(Killed):
            trained(est, *data, at=2, path=path)
    resumed, n_left = trained(est, *data, path=path)
    assert n_left == 1
    assert_same_bits(told(resumed), told(undisturbed))


def test_a_solver_s_numbers_go_on_where_they_were(path):
    est = small(GaussianBlur(), HQS(TINY, n_iter=1), noise=0.1, tune_solver="auto")
    undisturbed, n_calls = trained(est, LEARNED)
    with pytest.raises(Killed):
        trained(est, LEARNED, at=n_calls - 1, path=path)
    assert_same_bits(told(trained(est, LEARNED, path=path)[0]), told(undisturbed))
    assert "solver.rho.logarithm" in undisturbed.weights_


@pytest.mark.parametrize(
    "est",
    [
        small(MissingPixels(), HQS(TINY, n_iter=1), noise=0.1),
        small(**EARLY),
        small_denoiser(**EARLY),
    ],
)  # fmt: skip
def test_without_a_seed_the_file_has_it(est, path):
    unseeded = clone(est).set_params(random_state=None)
    with pytest.raises(Killed):
        trained(unseeded, LEARNED, at=3, path=path)
    seed = read(path)[1]["seed"]
    resumed, _ = trained(unseeded, LEARNED, path=path)
    seeded, _ = trained(clone(est).set_params(random_state=seed), LEARNED)
    assert_same_bits(told(resumed), told(seeded))
    other, _ = trained(unseeded, LEARNED)
    assert joblib.hash(other.weights_) != joblib.hash(seeded.weights_)


def test_a_warm_start_has_checkpoints_of_its_own(path):
    begun = pickle.dumps(small(noise=0.1, warm_start=True).fit(LEARNED))
    at_once, _ = trained(pickle.loads(begun), LEARNED)
    assert at_once.n_epochs_ == 6
    with pytest.raises(Killed):
        trained(pickle.loads(begun), LEARNED, at=4, path=path)
    resumed, n_left = trained(pickle.loads(begun), LEARNED, path=path)
    assert n_left == N_STEPS - 3
    assert_same_bits(told(resumed), told(at_once))
    with pytest.raises(ValueError, match="the weights to begin with was dict and is now nothing"):
        trained(small(noise=0.1, warm_start=True), LEARNED, path=path)
    other = small(noise=0.1, warm_start=True, random_state=1).fit(LEARNED)
    with pytest.raises(ValueError, match="the weights to begin with was different"):
        trained(other.set_params(random_state=0), LEARNED, path=path)


def interrupt():
    raise KeyboardInterrupt


def told_of_ctrl_c():
    return pytest.warns(ConvergenceWarning, match="interrupted in epoch 2")


def test_training_goes_on_after_ctrl_c(path):
    est = small(noise=0.1)
    undisturbed, _ = trained(est, LEARNED)
    with told_of_ctrl_c(), pytest.raises(KeyboardInterrupt):  # the only time the file is written
        trained(est, LEARNED, at=4, happens=interrupt, path=path, minutes=None)
    resumed, n_left = trained(est, LEARNED, path=path)
    assert n_left == N_STEPS - 3
    assert_same_bits(told(resumed), told(undisturbed))


def test_ctrl_c_in_the_midst_of_a_step_leaves_the_checkpoint_before_it(path, monkeypatch):
    est, step = small(noise=0.1), torch.optim.Adam.step
    undisturbed, _ = trained(est, LEARNED)

    def changes_the_weights_and_is_interrupted(optimizer):
        step(optimizer)
        if Loss.n_calls == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", changes_the_weights_and_is_interrupted)
        with told_of_ctrl_c(), pytest.raises(KeyboardInterrupt):
            trained(est, LEARNED, path=path)
    resumed, n_left = trained(est, LEARNED, path=path)
    assert n_left == N_STEPS - 3
    assert_same_bits(told(resumed), told(undisturbed))


def test_ctrl_c_in_validation_does_not_train_the_epoch_again(path):
    est = small(noise=0.1)
    undisturbed, _ = trained(est, LEARNED, None, HELD_OUT)
    images = itertools.count()  # each validation scores four

    def psnr_or_interrupt(*args, **kwargs):
        if next(images) == 5:
            raise KeyboardInterrupt
        return psnr(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skmetainv.reconstruction.training_run.psnr", psnr_or_interrupt)
        with told_of_ctrl_c(), pytest.raises(KeyboardInterrupt):
            trained(est, LEARNED, None, HELD_OUT, path=path, minutes=None)
    resumed, n_left = trained(est, LEARNED, None, HELD_OUT, path=path)
    assert n_left == N_STEPS - 4
    assert_same_bits(told(resumed), told(undisturbed))


def test_the_same_estimator_goes_on_and_then_has_nothing_to_do(path):
    est = small(checkpoint=Checkpoint(path, minutes=0.0))
    Loss.n_calls, Loss.at, Loss.happens = 0, 5, staticmethod(die)
    with pytest.raises(Killed):
        est.fit(LEARNED)
    assert not hasattr(est, "weights_")
    Loss.n_calls, Loss.at = 0, None
    first = told(est.fit(LEARNED))
    assert Loss.n_calls == N_STEPS - 4
    finished = read(path)
    assert_same_bits(told(est.fit(LEARNED)), first)
    assert Loss.n_calls == N_STEPS - 4
    assert_same_bits(read(path), finished)


def test_a_partial_fit_has_no_checkpoint(path):
    small(checkpoint=path).partial_fit(LEARNED)
    assert not path.exists()


# ---------------------------------------------------------------------- times of writing


def watched(est, path, watch):
    """Fit, and return the results of `watch` at every call of the loss."""
    seen = []

    class Watching(Loss):
        def __call__(self, x, target):
            seen.append(watch())
            return super().__call__(x, target)

    est.set_params(outer_loss=Watching()).fit(LEARNED)
    return seen


def steps_in_file(path):
    """The number of steps in the file."""
    if not path.exists():
        return 0
    record = read(path)[1]
    return 2 * record["epoch"] + record["step"]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"epochs": 2}, [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]),
        ({"epochs": 1}, [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]),
        ({"minutes": 0.0}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"minutes": None}, [0] * 10),
        ({}, [0] * 10),  # default: ten minutes
    ],
)
def test_files_are_written_every_so_many_epochs(path, options, steps):
    options = {"minutes": None} | options if "epochs" in options else options
    est = small(max_epochs=5, checkpoint=Checkpoint(path, **options))
    assert watched(est, path, lambda: steps_in_file(path)) == steps
    assert steps_in_file(path) == 10
    only_file(path)


@pytest.mark.parametrize(
    ("minutes", "steps"),
    [(1.0, [0, 1, 2, 3, 4, 5]), (2.5, [0, 0, 0, 3, 3, 3]), (4.0, [0, 0, 0, 0, 4, 4])],
)
def test_files_are_written_every_so_many_minutes(path, monkeypatch, minutes, steps):
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("skmetainv.training.checkpoints.time", clock)

    def a_minute_later():
        now[0] += 60
        return steps_in_file(path)

    est = small(checkpoint=Checkpoint(path, minutes=minutes))
    assert watched(est, path, a_minute_later) == steps


def test_a_path_stands_for_a_checkpoint(path):
    for checkpoint in (path, str(path)):
        path.unlink(missing_ok=True)
        small(checkpoint=checkpoint).fit(LEARNED)
        assert steps_in_file(path) == N_STEPS


# ---------------------------------------------------------------------- errors


def mask(place):
    observed = np.ones((9, 9), dtype=bool)
    observed[place] = False
    return observed


def weighted(weight):
    """A nested function, which differs from others only in its weight."""

    def loss(x, target):
        return weight * (x - target).square().mean((1, 2, 3))

    return loss


def absolute(x, target):
    return (x - target).abs().mean((1, 2, 3))


def squared(x, target):
    return (x - target).square().mean((1, 2, 3))


class WithTensors:
    """A loss with tensors and a module."""

    def __init__(self, weight=1.0):
        self.weight = torch.full((2,), weight)
        self.module = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(self.module.weight, weight)
        torch.nn.init.zeros_(self.module.bias)

    def __call__(self, x, target):
        return self.weight.mean() * (x - target).square().mean((1, 2, 3))


def grouped(groups):
    return LEARNED, None, None, None, groups


class ModuleLoss(torch.nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation

    def forward(self, x, target):
        return self.activation(x - target).mean((1, 2, 3))


def frozen(**changes):
    denoiser = DnCNN(depth=2, width=2, max_epochs=1, random_state=0, **changes)
    return RED(FrozenEstimator(denoiser.fit(FACES)), n_iter=1)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"outer_lr": 0.01}, {"outer_lr": 0.02}, r"outer_lr was 0\.01 and is now 0\.02"),
        ({"max_epochs": 3}, {"max_epochs": 4}, "max_epochs was 3 and is now 4"),
        ({"random_state": 0}, {"random_state": None}, "random_state was 0 and is now None"),
        (
            {"init": Siren(4, depth=2)},
            {"init": Siren(5, depth=2)},
            "init__width was 4 and is now 5",
        ),
        (
            {"init": Siren(4, depth=2)},
            {"init": ModulatedSiren(4, depth=2)},
            "init was Siren and is now Modul",
        ),
        ({"optimizer": "adam"}, {"optimizer": SGD(0.5)}, "optimizer was 'adam' and is now SGD"),
        (
            {"operator": GaussianBlur(1.0)},
            {"operator": GaussianBlur(2.0)},
            r"operator__sigma was 1\.0 and is now 2\.0",
        ),
        (
            {"operator": Inpainting(mask((0, 0)))},
            {"operator": Inpainting(mask((1, 0)))},
            "operator__mask was different",
        ),
        (
            {"solver": RED(TINY, n_iter=1)},
            {"solver": RED(DnCNN(depth=3, width=2, max_epochs=1), n_iter=1)},
            "solver__denoiser__depth was 2 and is now 3",
        ),
        (
            {"solver": frozen()},
            {"solver": frozen(noise_level=0.2)},
            "solver__denoiser was different",
        ),
        ({"outer_loss": "l1"}, {"outer_loss": "l2"}, "outer_loss was 'l1' and is now 'l2'"),
        (
            {"outer_loss": {"l1": 1.0}},
            {"outer_loss": {"l1": 2.0}},
            r"outer_loss was \{'l1': 1.0\} and is now \{'l1': 2.0\}",
        ),
        (
            {"outer_loss": lambda x, target: (x - target).square().mean((1, 2, 3))},
            {"outer_loss": lambda x, target: (x - target).abs().mean((1, 2, 3))},
            "outer_loss was different",
        ),
        ({"outer_loss": weighted(1.0)}, {"outer_loss": weighted(2.0)}, "outer_loss was different"),
        ({"outer_loss": absolute}, {"outer_loss": squared}, "outer_loss was different"),
        (
            {"outer_loss": functools.partial(weighted(1.0))},
            {"outer_loss": functools.partial(weighted(2.0))},
            "outer_loss was different",
        ),
        (
            {"outer_loss": WithTensors(1.0)},
            {"outer_loss": WithTensors(2.0)},
            "outer_loss was different",
        ),
        (
            {"outer_loss": ModuleLoss(torch.nn.Sigmoid())},
            {"outer_loss": ModuleLoss(torch.nn.Softplus())},
            "outer_loss was ModuleLoss",
        ),
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused_and_they_are_named(path, before, now, message):
    small(**before, checkpoint=path).fit(LEARNED)
    written = only_file(path)
    est = small(**before | now, checkpoint=path)
    with pytest.raises(ValueError, match=message) as raised:
        est.fit(LEARNED)
    assert "run.ckpt is from a different training run" in str(raised.value)
    assert not hasattr(est, "weights_")
    assert only_file(path) == written
    small(**before, checkpoint=path).fit(LEARNED)  # with the file's parameters


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ((LEARNED,), (FACES[1:6],), "the images of X was different"),
        ((LEARNED,), (LEARNED[::-1],), "the images of X was different"),
        ((LEARNED,), (FACES,), r"the images of X was of shape \(5, 9, 9\) and is now of shape \(9"),
        ((LEARNED,), (LEARNED.astype("float32"),), "the images of X was different"),
        (
            (LEARNED, None, HELD_OUT),
            (LEARNED, None, HELD_OUT[:3]),
            r"the images of X_val was of shape \(4, 9, 9\) and is now of shape \(3, 9, 9\)",
        ),
        ((LEARNED, None, HELD_OUT), (LEARNED,), "X_val was of shape .* and is now nothing"),
        ((LEARNED,), (LEARNED, None, HELD_OUT), "X_val was nothing and is now of shape"),
        (PAIRS, (LEARNED,), "the measurements X was of shape .* and is now nothing"),
        (PAIRS, (PAIRS[0] + 0.1, LEARNED), "the measurements X was different"),
        (
            (LEARNED, None, *PAIRS),
            (LEARNED, None, PAIRS[0] + 0.1, LEARNED),
            "the measurements X_val was different",
        ),
        (grouped([0, 0, 1, 1, 1]), grouped([0, 0, 0, 1, 1]), r"the groups of X was \[0, 0, 1"),
        (grouped(list("aabbb")), (LEARNED,), r"the groups of X was \['a', .* and is now nothing"),
    ],
)
def test_a_checkpoint_of_other_data_is_refused_and_they_are_named(path, before, now, message):
    small(MissingPixels(), checkpoint=path).fit(*before)
    written = only_file(path)
    with pytest.raises(ValueError, match=message):
        small(MissingPixels(), checkpoint=path).fit(*now)
    assert only_file(path) == written


def test_a_checkpoint_of_images_of_other_sizes_is_refused(path):
    small_denoiser(patch_size=6, checkpoint=path).fit(RAGGED)
    with pytest.raises(ValueError, match="the images of X was 5 images and is now 4 images"):
        small_denoiser(patch_size=6, checkpoint=path).fit(RAGGED[:4])
    with pytest.raises(ValueError, match="the images of X was different"):
        small_denoiser(patch_size=6, checkpoint=path).fit(RAGGED[::-1])
    with pytest.raises(ValueError, match="patch_size was 6 and is now 5"):
        small_denoiser(patch_size=5, checkpoint=path).fit(RAGGED)


class Lazy:
    """Images that are read when they are indexed."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        return self.images[indices]


def test_images_that_are_read_from_elsewhere_are_compared_by_their_values(path):
    small(checkpoint=path).fit(Lazy(LEARNED))
    with pytest.raises(ValueError, match="the images of X was different"):
        small(checkpoint=path).fit(Lazy(LEARNED[::-1]))
    for images in (Lazy(LEARNED.copy()), LEARNED):
        assert trained(small(), images, path=path)[1] == 0


def test_candidates_of_a_search_do_not_share_a_checkpoint(path):
    search = GridSearchCV(small(checkpoint=path), {"n_inner": [1, 2]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="from a different training run"):
        search.fit(LEARNED)


def test_labels_are_no_data(path):
    small(checkpoint=path).fit(LEARNED, np.arange(5))
    assert trained(small(), LEARNED, np.arange(5) + 1, path=path)[1] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"verbose": 1},
        {"device": torch.device("cpu")},
        {"solver__denoiser__verbose": 1, "solver__denoiser__device": "cpu"},
    ],
)
def test_what_changes_nothing_may_change(path, changes, capsys):
    est = small(GaussianBlur(), RED(TINY, n_iter=1), device="cpu")
    undisturbed, _ = trained(est, LEARNED)
    with pytest.raises(Killed):
        trained(est, LEARNED, at=4, path=path)
    moved = shutil.move(path, path.with_name("moved"))
    resumed, n_left = trained(
        clone(est).set_params(**changes), LEARNED, path=str(moved), minutes=3.0, epochs=1
    )
    assert n_left == N_STEPS - 3
    assert_same_bits(told(resumed), told(undisturbed))


def test_a_denoiser_that_was_fitted_again_to_the_same_is_the_same(path):
    """Its history differs only in seconds."""
    with pytest.raises(Killed):
        trained(small(solver=frozen()), LEARNED, at=4, path=path)
    assert trained(small(solver=frozen()), LEARNED, path=path)[1] == N_STEPS - 3


def test_a_denoiser_from_its_own_checkpoint_is_the_same(path, tmp_path):
    """Its optimiser's state has the same entries, in another order."""
    own = {"checkpoint": tmp_path / "denoiser.ckpt"}
    with pytest.raises(Killed):
        trained(small(solver=frozen(**own)), LEARNED, at=4, path=path)
    assert trained(small(solver=frozen(**own)), LEARNED, path=path)[1] == N_STEPS - 3


@pytest.mark.parametrize("kind", [*FOREIGN, "cut short", "changed"])
def test_a_file_that_is_no_checkpoint_is_refused(path, kind, capsys):
    small(checkpoint=path).fit(LEARNED)
    whole = path.read_bytes()
    if kind == "cut short":
        content = whole[:-1]
    elif kind == "changed":
        content = whole[:-1] + bytes([whole[-1] ^ 1])
    else:
        content = foreign_file(kind)
    path.write_bytes(content)
    est = small(checkpoint=path)
    message = r"cannot resume from the checkpoint: .*run\.ckpt is damaged"
    with pytest.raises(ValueError, match=message):
        est.fit(LEARNED)
    assert not hasattr(est, "weights_")
    assert path.read_bytes() == content
    assert "code was run" not in capsys.readouterr().out


def test_a_checkpoint_of_another_version_is_refused(path):
    small(checkpoint=path).fit(LEARNED)
    arrays, record = read(path)
    write(path, arrays, record | {"format": record["format"] + 1})
    with pytest.raises(ValueError, match="another version of skmetainv"):
        small(checkpoint=path).fit(LEARNED)


def test_no_pickle_is_read(path, monkeypatch):
    with pytest.raises(Killed):
        trained(small(), LEARNED, at=4, path=path)
    est = small(checkpoint=path)
    for name in ("pickle.load", "pickle.loads", "torch.load", "numpy.load", "joblib.load"):
        monkeypatch.setattr(name, die)
    est.fit(LEARNED)


@pytest.mark.parametrize(
    "checkpoint",
    [lambda folder: folder / "missing" / "run.ckpt", lambda folder: folder],
    ids=["no folder", "a folder"],
)
def test_a_path_where_no_file_can_be_is_refused_before_training(tmp_path, checkpoint):
    Loss.n_calls = 0
    with pytest.raises(
        ValueError, match="'checkpoint' parameter must be a file in an existing folder"
    ):
        small(checkpoint=checkpoint(tmp_path)).fit(LEARNED)
    assert Loss.n_calls == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (Checkpoint("run.ckpt", minutes=-1.0), "'minutes' parameter of Checkpoint"),
        (Checkpoint("run.ckpt", epochs=0), "'epochs' parameter of Checkpoint"),
        (Checkpoint(3), "'path' parameter of Checkpoint"),
        (3, "'checkpoint' parameter of MetaInverseSolver"),
    ],
)
def test_bad_parameters_of_checkpoints_are_named(checkpoint, message):
    with pytest.raises(ValueError, match=message):
        small(checkpoint=checkpoint).fit(LEARNED)


# ---------------------------------------------------------------------- other processes


def identities():
    """The digests of estimators with parameters of every kind."""
    named = {"names": {"a", "b", "c", "d"}, "shapes": frozenset([1, 2, 3])}
    estimators = {
        "arrays": small(Inpainting(mask((0, 0))), random_state=np.random.RandomState(0)),
        "operators": small(Stack([GaussianBlur(), MissingPixels() @ GaussianBlur(sigma=1.0)])),
        "functions": small(
            FunctionOperator(lambda x: 2 * x), outer_loss=functools.partial(weighted(2.0))
        ),
        "a function with a set": small(outer_loss=lambda x, t: x if x in {"a", "b", "c"} else t),
        "sets": small(outer_loss=named),
        "SciPy": small(MatrixOperator(LinearOperator((3, 81), matvec=lambda x: x[:3]))),
        "modules": small(outer_loss=ModuleLoss(torch.nn.Tanh())),
        "tensors": small(outer_loss=WithTensors()),
        "a denoiser": small(solver=RED(small_denoiser())),
        "a fitted denoiser": small(solver=frozen()),
        "of a denoiser": small_denoiser(loss=absolute, optimizer=AdamW(schedule=Cosine())),
    }
    return {
        name: {key: told["identity"] for key, told in parameter_identity(est).items()}
        for name, est in estimators.items()
    }


def child(folder):
    """Write the identities, then train until the process kills itself."""
    torch.set_num_threads(1)
    (Path(folder) / "identities.json").write_text(json.dumps(identities()))
    est, *data = CASES["early stopping"]
    kill = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
    trained(est, *data, at=4, happens=kill, path=Path(folder) / "run.ckpt")


@pytest.fixture(scope="module")
def killed_process(tmp_path_factory):
    """The folder of a process that killed itself during training."""
    folder = tmp_path_factory.mktemp("killed")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        f"import test_checkpoints; test_checkpoints.child({str(folder)!r})"
    )
    other_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": other_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    return folder


def test_a_process_that_was_killed_is_gone_on_from_to_the_bit(killed_process, path):
    shutil.copy(killed_process / "run.ckpt", path)
    est, *data = CASES["early stopping"]
    undisturbed, n_calls = trained(est, *data)
    resumed, n_left = trained(est, *data, path=path)
    assert n_left == n_calls - 3
    assert_same_bits(told(resumed), told(undisturbed))


def test_parameters_are_the_same_in_every_process(killed_process):
    theirs = json.loads((killed_process / "identities.json").read_text())
    assert theirs == identities()
