"""Training that can be monitored, stopped and resumed."""

import copy
import math
import pickle
import sys
import warnings
from contextlib import contextmanager
from functools import partial

import joblib
import numpy as np
import pytest
import tqdm.auto
import tqdm.notebook
from settings import PAPER, SIXTEEN_SMALL_FACES, small, small_denoiser
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmetainv import ClassicalReconstructor, MetaInverseSolver, bars
from skmetainv.denoisers import DnCNN
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.model_selection import compare, psnr_scorer
from skmetainv.operators import GaussianBlur, MissingPixels
from skmetainv.representations import Siren
from skmetainv.solvers import HQS
from skmetainv.training import SGD, Adam, EarlyStopping, early_stopping
from skmetainv.training.progress import Progress

# In batches of 3: two steps in an epoch.
FACES = SIXTEEN_SMALL_FACES.astype(np.float32)
LEARNED, HELD_OUT = FACES[:6], FACES[10:]
ONES, ZEROS = np.ones_like(LEARNED), np.zeros_like(HELD_OUT)


OWN = {"max_epochs": 3, "batch_size": 3}
meta = partial(small, MissingPixels(), **PAPER | OWN | {"noise": 0.1, "outer_lr": 1e-2})
#: Trained on whole images, because they are smaller than a patch.
denoiser = partial(
    small_denoiser,
    **OWN,
    augment=False,
    residual=False,
    lr=1e-2,
    optimizer=Adam(schedule="constant"),
)


BOTH = pytest.mark.parametrize("make", [meta, denoiser])
LOSS = {meta: "outer_loss", denoiser: "loss"}
TELLS = {meta: 2, denoiser: 0}  # lines printed after training: values found, and PSNR


class Loss:
    """The mean squared error; records its images, and raises an error at call number `at`."""

    def __init__(self, at=None, error=KeyboardInterrupt):
        self.at, self.error, self.seen, self.n_calls = at, error, [], 0

    def __call__(self, x, target):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise self.error
        self.seen += list(target[:, 0].cpu().numpy().copy())
        return (x - target).square().mean((1, 2, 3))

    def n_times_seen(self, images):
        return [sum(np.array_equal(image, x) for x in self.seen) for image in images]


def assert_same_bits(first, second):
    assert joblib.hash(first) == joblib.hash(second)


def bits(est):
    return joblib.hash(est.weights_)


def without_seconds(history):
    return {name: values for name, values in history.items() if name != "seconds"}


# ---------------------------------------------------------------------- validation


@BOTH
def test_the_validation_psnr_of_each_epoch_is_the_score_of_what_it_learned(make):
    est = make().fit(LEARNED, X_val=HELD_OUT)
    after = [make(max_epochs=n).fit(LEARNED).score(HELD_OUT) for n in (1, 2, 3)]
    assert est.history_["validation_psnr"] == pytest.approx(after, rel=1e-6)
    assert len(set(after)) == 3


@BOTH
def test_pairs_may_be_given_to_validate_by(make):
    measured = make(noise_level=0.3) if make is denoiser else make(noise=0.3)
    measured = measured.simulate(HELD_OUT, random_state=1)
    est = make().fit(LEARNED, X_val=measured, y_val=HELD_OUT)
    last = est.history_["validation_psnr"][-1]
    assert last == pytest.approx(est.score(measured, HELD_OUT), rel=1e-6)
    assert last != est.score(HELD_OUT)


def test_the_validation_psnr_is_in_the_units_of_the_images():
    unit = meta().fit(LEARNED, X_val=HELD_OUT)
    other = meta(data_range=255, noise=25.5).fit(255 * LEARNED, X_val=255 * HELD_OUT)
    expected = unit.history_["validation_psnr"]
    assert other.history_["validation_psnr"] == pytest.approx(expected, abs=0.05)


def test_pixels_that_nobody_knows_are_left_out_of_the_validation_psnr():
    images = HELD_OUT.copy()
    images[0, 2:4], images[3, :, 5] = np.nan, np.nan
    est = meta().fit(LEARNED, X_val=images)
    restored = est.predict(est.simulate(images, random_state=0))
    errors = np.nanmean((restored - images) ** 2, axis=(1, 2))
    expected = np.mean(10 * np.log10(1 / errors))
    assert est.history_["validation_psnr"][-1] == pytest.approx(expected, rel=1e-5)


@BOTH
def test_images_of_other_people_are_never_learned_from(make):
    plain = make().fit(LEARNED)
    for images in (HELD_OUT, 1 - HELD_OUT[:2]):
        assert bits(make().fit(LEARNED, X_val=images)) == bits(plain)
    loss = Loss()
    make(early_stopping=True, **{LOSS[make]: loss}).fit(LEARNED, X_val=HELD_OUT)
    assert loss.n_times_seen(LEARNED) == [3] * len(LEARNED)  # no image is held out
    assert loss.n_times_seen(HELD_OUT) == [0] * len(HELD_OUT)


@BOTH
@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_a_fraction_is_held_out_and_never_learned_from(make, fraction):
    loss = Loss()
    parameters = {"early_stopping": EarlyStopping(validation_fraction=fraction)}
    est = make(**parameters, **{LOSS[make]: loss}).fit(FACES)
    counts = np.array(loss.n_times_seen(FACES))
    held_out = counts == 0
    assert held_out.sum() == math.ceil(fraction * len(FACES))
    assert (counts[~held_out] == 3).all()
    best = max(est.history_["validation_psnr"])
    assert est.score(FACES[held_out]) == pytest.approx(best, rel=1e-6)

    changed = np.where(held_out[:, None, None], 1 - FACES, FACES)
    once = [make(max_epochs=1, **parameters).fit(images) for images in (FACES, changed)]
    assert bits(once[0]) == bits(once[1])
    assert once[0].history_["validation_psnr"] != once[1].history_["validation_psnr"]


def test_which_images_are_held_out_is_drawn_by_the_seed():
    chosen = []
    for seed in (0, 0, 1):
        loss = Loss()
        parameters = {"early_stopping": EarlyStopping(validation_fraction=0.3), "max_epochs": 1}
        meta(random_state=seed, outer_loss=loss, **parameters).fit(FACES)
        chosen.append(loss.n_times_seen(FACES))
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_a_fraction_of_pairs_stays_paired():
    measured = meta().simulate(FACES, random_state=0)
    loss = Loss()
    est = meta(early_stopping=EarlyStopping(validation_fraction=0.3), outer_loss=loss).fit(
        measured, FACES
    )
    held_out = np.array(loss.n_times_seen(FACES)) == 0
    best = max(est.history_["validation_psnr"])
    assert est.score(measured[held_out], FACES[held_out]) == pytest.approx(best, rel=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"X_val": np.stack([HELD_OUT] * 3, axis=-1)}, r"X_val has images of shape \(9, 9, 3\)"),
        ({"X_val": HELD_OUT, "y_val": HELD_OUT[:3]}, "inconsistent numbers of samples"),
        ({"X_val": HELD_OUT[:0]}, "0 sample"),
        ({"y_val": HELD_OUT}, "y_val was given without the measurements X_val"),
        ({"X_val": np.full_like(HELD_OUT, np.inf)}, "infinity"),
    ],
)
def test_validation_images_that_are_wrong_are_named_before_training(make, images, message):
    loss = Loss()
    est = make(**{LOSS[make]: loss})
    with pytest.raises(ValueError, match=message) as raised:
        est.fit(LEARNED, **images)
    if "X_val" in images:
        assert "This error concerns X_val and y_val." in raised.value.__notes__
    assert loss.n_calls == 0
    assert vars(est).keys() == est.get_params(deep=False).keys()


def test_a_fraction_that_leaves_nothing_is_refused():
    est = meta(early_stopping=EarlyStopping(validation_fraction=0.9))
    with pytest.raises(ValueError, match=r"'validation_fraction' .* 0\.9: with n_samples=5,"):
        est.fit(FACES[:5])


# ---------------------------------------------------------------------- early stopping


@BOTH
def test_early_stopping_stops_and_keeps_the_weights_of_the_best_epoch(make):
    """Trained on ones, the estimator soon restores zeros worse after every epoch."""
    parameters = {"early_stopping": EarlyStopping(2), "max_epochs": 20}
    est = make(**parameters).fit(ONES, X_val=ZEROS)
    scores = est.history_["validation_psnr"]
    best = np.argmax(scores) + 1
    assert est.n_epochs_ == len(scores) == best + 2 < 20
    assert bits(est) == bits(make(max_epochs=best).fit(ONES))
    restored = est.predict(est.simulate(ZEROS, random_state=0))
    assert psnr(ZEROS, restored) == pytest.approx(max(scores), rel=1e-6)


@BOTH
def test_early_stopping_goes_on_while_scores_rise_by_more_than_min_delta(make):
    """Trained on ones, the estimator restores ones better after every epoch."""
    parameters = {"early_stopping": EarlyStopping(1), "max_epochs": 4}
    est = make(**parameters).fit(ONES, X_val=ONES)
    assert est.n_epochs_ == 4
    assert bits(est) == bits(make(max_epochs=4).fit(ONES))
    parameters["early_stopping"] = EarlyStopping(1, min_delta=1e3)
    hurried = make(**parameters).fit(ONES, X_val=ONES)
    assert hurried.n_epochs_ == 2  # the first epoch always counts as better
    assert bits(hurried) == bits(make(max_epochs=2).fit(ONES))


# ---------------------------------------------------------------------- resumed training


@BOTH
def test_a_warm_start_twice_is_one_training_twice_as_long(make):
    once = make(max_epochs=4).fit(LEARNED, X_val=HELD_OUT)
    twice = make(max_epochs=2, warm_start=True).fit(LEARNED, X_val=HELD_OUT)
    assert twice.n_epochs_ == 2
    twice = pickle.loads(pickle.dumps(twice)).fit(LEARNED, X_val=HELD_OUT)
    assert twice.n_epochs_ == once.n_epochs_ == 4
    assert bits(twice) == bits(once)
    assert without_seconds(twice.history_) == without_seconds(once.history_)
    assert len(twice.history_["seconds"]) == 4


@BOTH
def test_without_a_warm_start_fit_begins_anew(make):
    est = make(max_epochs=2)
    first = bits(est.fit(LEARNED))
    assert bits(est.fit(LEARNED)) == first
    assert est.n_epochs_ == len(est.history_["seconds"]) == 2


@BOTH
def test_partial_fits_are_one_fit_with_its_validation(make):
    once = make().fit(LEARNED, X_val=HELD_OUT)
    est = make(max_epochs=9)
    for n in (1, 2, 3):
        assert est.partial_fit(LEARNED, X_val=HELD_OUT).n_epochs_ == n
    assert bits(est) == bits(once)
    assert without_seconds(est.history_) == without_seconds(once.history_)


def test_epochs_without_validation_have_nan_in_the_history():
    est = meta().partial_fit(LEARNED).partial_fit(LEARNED, X_val=HELD_OUT).partial_fit(LEARNED)
    scores = est.history_["validation_psnr"]
    assert np.isnan(scores).tolist() == [True, False, True]
    assert {len(values) for values in est.history_.values()} == {3}


@BOTH
def test_a_partial_fit_may_change_the_optimiser(make):
    est = make(optimizer="adam").partial_fit(LEARNED)
    before = est.weights_
    est.set_params(optimizer=SGD(schedule="constant", max_grad_norm=1e-3)).partial_fit(LEARNED)
    moved = [np.abs(est.weights_[name] - w).max() for name, w in before.items()]
    assert 0 < max(moved) <= 2 * 1e-2 * 1e-3  # two steps of a small gradient, without momentum


@BOTH
def test_images_are_held_out_where_they_suffice(make, monkeypatch):
    assert "validation_psnr" not in make(max_epochs=1).fit(LEARNED).history_
    monkeypatch.setattr(early_stopping, "_ENOUGH_TO_HOLD_OUT", len(LEARNED))
    est = make(max_epochs=1).fit(LEARNED)
    assert len(est.history_["validation_psnr"]) == 1
    assert "validation_psnr" not in est.fit(LEARNED[1:]).history_
    assert "validation_psnr" not in make().partial_fit(LEARNED).history_
    assert "validation_psnr" not in make(max_epochs=1, early_stopping=False).fit(LEARNED).history_


def test_images_of_one_group_are_all_learned_from(monkeypatch):
    monkeypatch.setattr(early_stopping, "_ENOUGH_TO_HOLD_OUT", len(LEARNED))
    est = meta(max_epochs=1).fit(LEARNED, groups=np.zeros(len(LEARNED)))
    assert "validation_psnr" not in est.history_


@BOTH
@pytest.mark.parametrize(
    ("parameters", "name"),
    [({"patience": 0}, "patience"), ({"min_delta": -1.0}, "min_delta")]
    + [({"validation_fraction": bad}, "validation_fraction") for bad in ("a", 0.0, 1.5)],
)
def test_bad_options_of_early_stopping_are_named_before_anything_is_fitted(make, parameters, name):
    est = make(early_stopping=EarlyStopping(**parameters))
    with pytest.raises(ValueError, match=f"The '{name}' parameter of EarlyStopping must be"):
        est.fit(LEARNED)


@BOTH
def test_early_stopping_has_no_partial_fit(make):
    est = make(early_stopping=True)
    assert not hasattr(est, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        est.partial_fit(LEARNED)
    assert hasattr(make(), "partial_fit")


# ---------------------------------------------------------------------- history and progress


@BOTH
@pytest.mark.parametrize("validated", [False, True])
def test_the_history_has_an_entry_of_everything_for_every_epoch(make, validated):
    est = make(max_epochs=2).fit(LEARNED, X_val=HELD_OUT if validated else None)
    expected = {meta: {"outer_loss", "inner_loss"}, denoiser: {"loss"}}[make]
    expected |= {"learning_rate", "seconds"} | ({"validation_psnr"} if validated else set())
    assert est.history_.keys() == expected
    assert {len(values) for values in est.history_.values()} == {2}
    assert est.history_["learning_rate"] == [0.01, 0.01]
    for value in np.concatenate([np.ravel(values) for values in est.history_.values()]):
        assert np.isfinite(value)


def test_losses_in_the_history_are_means_over_the_images():
    """With learning rates of 0, they equal the errors of the restored images."""
    est = MetaInverseSolver(
        init=Siren(width=6, depth=2), n_inner=2, algorithm=MAML(step_sizes="fixed"), outer_lr=0.0,
        augment=False, max_epochs=1, batch_size=4, precision="float64", random_state=0,
    )  # fmt: skip
    est.fit(LEARNED)
    errors = [np.mean((stage - LEARNED) ** 2) for stage in est.staged_predict(LEARNED)]
    assert est.history_["outer_loss"] == pytest.approx([errors[2]], rel=1e-10)
    np.testing.assert_allclose(est.history_["inner_loss"], [errors[:2]], rtol=1e-10)


@BOTH
def test_progress_in_a_terminal_is_a_bar_with_the_figures_of_the_history(make, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    est = make(verbose=0).fit(LEARNED, X_val=HELD_OUT)
    assert capsys.readouterr() == ("", "")
    est = make(verbose=1).fit(LEARNED, X_val=HELD_OUT)
    out, shown = capsys.readouterr()
    assert out == ""
    assert shown.count("\n") == 1 + TELLS[make]
    assert "epoch 3/3" in shown
    assert "6/6" in shown  # number of steps
    for name, values in est.history_.items():
        assert f"{name}={np.ravel(values[-1])[0]:.4g}" in shown


@BOTH
def test_progress_in_a_file_is_a_line_per_epoch_with_the_figures_of_the_history(make, capsys):
    est = make(verbose=1).fit(LEARNED, X_val=HELD_OUT)
    out, shown = capsys.readouterr()
    assert out == ""
    assert "\r" not in shown
    lines = shown.splitlines()
    assert len(lines) == 3 + TELLS[make]
    for i, line in enumerate(lines[:3]):
        figures = {name: np.ravel(values[i])[0] for name, values in est.history_.items()}
        assert line.startswith(f"epoch {i + 1}/3: ")
        assert all(f"{name}={value:.4g}" in line for name, value in figures.items())


def test_progress_in_a_notebook_is_its_bar(monkeypatch):
    made = []

    class Widget(tqdm.notebook.tqdm_notebook):
        disable = False

        def __init__(self, **options):
            made.append(options)

        def close(self):
            pass

    assert bars.tqdm is tqdm.auto.tqdm  # which draws a widget in a notebook
    monkeypatch.setattr(bars, "tqdm", Widget)
    Progress(6, 0, show=True)
    assert made[0]["disable"] is None  # the widget is then always drawn


def test_a_bar_ends_with_its_training(monkeypatch, capsys):
    """A bar that stays open would move the next one a line down."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ends_by_an_interrupt(in_epoch=2):
        meta(outer_loss=Loss(at=3), verbose=1).fit(LEARNED)
    with pytest.raises(RuntimeError) as kept:  # kept alive, as by a prompt
        meta(outer_loss=Loss(at=3, error=RuntimeError), verbose=1).fit(LEARNED)
    assert kept.value is not None
    assert not tqdm.auto.tqdm._instances


# ---------------------------------------------------------------------- Ctrl-C


def interrupted(make, at, *data, **changes):
    """Fit, with an interrupt at call number `at` of the loss."""
    est = make(**{LOSS[make]: Loss(at)}, **changes)
    with ends_by_an_interrupt(in_epoch=(at + 1) // 2):
        est.fit(*data)
    n_epochs = (at - 1) // 2
    assert est.n_epochs_ == n_epochs
    assert {len(values) for values in est.history_.values()} == {n_epochs}
    return est


@contextmanager
def ends_by_an_interrupt(in_epoch):
    """Expect a warning about the interrupt, and the interrupt itself."""
    told = pytest.warns(ConvergenceWarning, match=f"interrupted in epoch {in_epoch}: .* be used")
    with told, pytest.raises(KeyboardInterrupt):
        yield


@BOTH
def test_an_interrupt_leaves_the_weights_that_training_came_to(make):
    came_to = set()
    for at in range(1, 7):
        est = interrupted(make, at, LEARNED, None, HELD_OUT)
        assert np.isfinite(est.predict(est.simulate(HELD_OUT))).all()
        assert pickle.loads(pickle.dumps(est)).score(HELD_OUT) == est.score(HELD_OUT)
        came_to.add(bits(est))
        if at % 2 and at > 1:  # between two epochs
            assert bits(est) == bits(make(max_epochs=est.n_epochs_).fit(LEARNED))
    assert len(came_to) == 6


@BOTH
@pytest.mark.parametrize("at", [1, 4, 10])
def test_an_interrupt_leaves_the_best_weights_of_early_stopping(make, at):
    """Trained on ones, the estimator soon restores zeros worse."""
    est = interrupted(make, at, ONES, None, ZEROS, early_stopping=True, max_epochs=9)
    if at == 1:
        assert np.isfinite(est.score(ZEROS))
    else:
        scores = est.history_["validation_psnr"]
        assert est.score(ZEROS) == pytest.approx(max(scores), rel=1e-6)
        assert bits(est) == bits(make(max_epochs=np.argmax(scores) + 1).fit(ONES))
        assert at == 4 or np.argmax(scores) < len(scores) - 1


class Lazy:
    """Images that are read when they are indexed; read number `at` is interrupted."""

    def __init__(self, images, at=None):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.at, self.n_reads = at, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        self.n_reads += 1
        if self.n_reads == self.at:
            raise KeyboardInterrupt
        return self.images[indices]


@BOTH
@pytest.mark.parametrize("which", ["X", "X_val"])
def test_an_interrupt_while_images_are_read_is_one_too(make, which, monkeypatch):
    """The interrupt comes at the last read: in the last step, or in the last validation."""
    monkeypatch.setattr(MetaInverseSolver, "_report", lambda *told: None)
    given = {"X": LEARNED, "X_val": HELD_OUT}
    counted = Lazy(given[which])
    make().fit(**given | {which: counted})
    est = make()
    with ends_by_an_interrupt(in_epoch=3):
        est.fit(**given | {which: Lazy(given[which], at=counted.n_reads)})
    assert est.n_epochs_ == 2
    assert np.isfinite(est.score(HELD_OUT))


def test_an_interrupt_after_training_loses_nothing():
    counted = Lazy(HELD_OUT)
    whole = meta().fit(LEARNED, X_val=counted)
    est = meta()
    with pytest.raises(KeyboardInterrupt), pytest.warns(ConvergenceWarning, match="interrupted"):
        est.fit(LEARNED, X_val=Lazy(HELD_OUT, at=counted.n_reads))
    assert est.n_epochs_ == 3
    assert bits(est) == bits(whole)


@BOTH
def test_an_interrupt_before_training_leaves_the_estimator_as_it_was(make):
    est = make()
    with pytest.raises(KeyboardInterrupt):
        est.fit(Lazy(LEARNED, at=1))
    assert vars(est).keys() == est.get_params(deep=False).keys()


@BOTH
def test_training_goes_on_after_an_interrupt(make):
    loss = Loss(at=3)
    est = make(warm_start=True, **{LOSS[make]: loss})
    with ends_by_an_interrupt(in_epoch=2):
        est.fit(LEARNED)
    loss.at = None
    est.set_params(max_epochs=2).fit(LEARNED)
    assert est.n_epochs_ == 3
    assert bits(est) == bits(make(max_epochs=3).fit(LEARNED))


@BOTH
def test_an_interrupt_ends_a_partial_fit_and_leaves_its_weights(make):
    est = make(**{LOSS[make]: Loss(at=4)}).partial_fit(LEARNED)
    before = bits(est)
    with ends_by_an_interrupt(in_epoch=2):
        est.partial_fit(LEARNED)
    assert est.n_epochs_ == 1
    assert bits(est) != before
    assert np.isfinite(est.score(HELD_OUT))


@BOTH
def test_the_history_of_an_interrupted_first_epoch_has_its_lists(make):
    est = interrupted(make, 2, LEARNED, None, HELD_OUT)
    finished = make(max_epochs=1).fit(LEARNED, X_val=HELD_OUT)
    assert est.history_ == {name: [] for name in finished.history_}


@BOTH
def test_the_history_of_a_divergence_in_the_first_epoch_has_its_lists(make):
    def infinite(x, target):
        return (x - target).square().mean((1, 2, 3)) * np.inf

    with pytest.warns(ConvergenceWarning, match="diverged"):
        est = make(**{LOSS[make]: infinite}).fit(LEARNED)
    assert est.n_epochs_ == 0
    assert est.history_ == {name: [] for name in make(max_epochs=1).fit(LEARNED).history_}


def restored_by(prior):
    return ClassicalReconstructor(GaussianBlur(), HQS(prior), noise=0.1)


@BOTH
@pytest.mark.parametrize(
    "run",
    {
        "search": lambda est: GridSearchCV(est, {"batch_size": [2, 3]}, cv=2).fit(LEARNED),
        "halving": lambda est: HalvingGridSearchCV(
            est, {"noise_level" if isinstance(est, DnCNN) else "noise": [0.1, 0.2]}, cv=2
        ).fit(LEARNED),
        "cross-validation": lambda est: cross_validate(est, LEARNED, cv=2),
        "predictions": lambda est: cross_val_predict(est, LEARNED, LEARNED, cv=2),
        "comparison": lambda est: compare({"a": est, "b": est}, LEARNED, cv=2),
        "pipeline": lambda est: make_pipeline(FunctionTransformer(), est).fit(LEARNED),
        "search in a search": lambda est: cross_validate(
            GridSearchCV(est, {"batch_size": [2, 3]}, cv=2), LEARNED, cv=2
        ),
    }.items(),
    ids=lambda run: run[0],
)
def test_an_interrupt_ends_what_is_around_a_fit(make, run):
    calls = []

    def loss(x, target):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return (x - target).square().mean((1, 2, 3))

    est = make(**{LOSS[make]: loss})
    if make is denoiser and run[0] == "comparison":
        est = restored_by(est)  # an estimator that fits this denoiser
    with ends_by_an_interrupt(in_epoch="[12]"):
        run[1](est)
    assert len(calls) == 2


def test_an_interrupt_is_raised_even_where_warnings_are_errors():
    est = meta(outer_loss=Loss(at=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyboardInterrupt):
            est.fit(LEARNED)
    assert np.isfinite(est.score(HELD_OUT))


# ---------------------------------------------------------------------- errors


@BOTH
@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("at", [1, 4])
def test_after_an_error_the_estimator_is_as_it_was(make, fitted, at):
    loss = Loss(error=RuntimeError("broken"))
    est = make(**{LOSS[make]: loss})
    if fitted:
        est.fit(LEARNED)
    before = {name: value for name, value in vars(est).items() if value is not loss}
    before = pickle.dumps(before)
    loss.n_calls, loss.at = 0, at
    with pytest.raises(RuntimeError, match="broken"):
        est.fit(1 - LEARNED)
    after = {name: value for name, value in vars(est).items() if value is not loss}
    assert_same_bits(after, pickle.loads(before))


# ---------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    "make",
    [
        lambda **changes: meta(init=Siren(width=32, depth=3), max_epochs=1, **changes),
        lambda **changes: denoiser(width=16, max_epochs=1, **changes),
    ],
    ids=["meta", "denoiser"],
)
def test_bfloat16_is_in_the_networks_and_nowhere_else(make):
    """Products with eight bits change the results, but only by about a percent."""
    single, half = (make(precision=p).fit(LEARNED) for p in ("float32", "bfloat16"))
    measured = single.simulate(HELD_OUT, random_state=0)
    assert {w.dtype for w in half.weights_.values()} == {np.dtype("float32")}
    assert half.predict(measured).dtype == half.simulate(HELD_OUT).dtype == np.float32
    np.testing.assert_array_equal(half.simulate(HELD_OUT, random_state=0), measured)
    assert any((half.weights_[name] != w).any() for name, w in single.weights_.items())
    difference = np.abs(half.predict(measured) - single.predict(measured))
    assert 0 < difference.max() < 0.1
    same = copy.deepcopy(single).set_params(precision="bfloat16")  # for prediction only
    assert 0 < np.abs(same.predict(measured) - single.predict(measured)).max() < 0.1
    assert half.score(HELD_OUT) == pytest.approx(single.score(HELD_OUT), abs=0.5)


@BOTH
def test_float64_is_in_everything(make):
    est = make(precision="float64", max_epochs=1).fit(LEARNED)
    assert {w.dtype for w in est.weights_.values()} == {np.dtype("float64")}
    assert est.predict(est.simulate(HELD_OUT)).dtype == np.float64


# ---------------------------------------------------------------------- scikit-learn's callbacks


@pytest.fixture
def callback():
    return pytest.importorskip("sklearn.callback")


class Told:
    """A callback that records its calls, and can stop training or raise after an epoch."""

    def __init__(self, stop_after=None, error_after=None):
        self.stop_after, self.error_after = stop_after, error_after
        self.told, self.data, self.fitted = [], [], []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.told.append(f"{context.task_name} ends")
        if context.task_name != "epoch":
            return False
        self.data.append((X, y))
        self.fitted.append(fitted_estimator)
        if context.task_id + 1 == self.error_after:
            raise RuntimeError("broken")
        return context.task_id + 1 == self.stop_after


EPOCH = ["epoch begins", "epoch ends"]


@BOTH
def test_callbacks_are_told_of_every_epoch(make, callback):
    told = Told()
    est = make().set_callbacks(told)
    assert est.fit(LEARNED) is est
    assert told.told == ["setup", "fit begins", *EPOCH * 3, "fit ends", "teardown"]
    assert bits(est) == bits(make().fit(LEARNED))
    for X, y in told.data:
        np.testing.assert_array_equal(X, LEARNED)
        assert y is None
    assert told.fitted[0] is not est
    measured = est.simulate(HELD_OUT, random_state=0)
    for n_epochs, fitted in enumerate(told.fitted, 1):
        assert fitted.n_epochs_ == n_epochs
        expected = make(max_epochs=n_epochs).fit(LEARNED)
        np.testing.assert_array_equal(fitted.predict(measured), expected.predict(measured))


@BOTH
def test_callbacks_may_stop_training(make, callback):
    told = Told(stop_after=2)
    est = make().set_callbacks(told).fit(LEARNED)
    assert told.told == ["setup", "fit begins", *EPOCH * 2, "fit ends", "teardown"]
    assert est.n_epochs_ == 2
    assert bits(est) == bits(make(max_epochs=2).fit(LEARNED))


@BOTH
def test_an_error_in_a_callback_leaves_the_estimator_as_it_was(make, callback):
    told = Told(error_after=2)
    est = make().set_callbacks(told)
    with pytest.raises(RuntimeError, match="broken"):
        est.fit(LEARNED)
    assert told.told[-1] == "teardown"
    assert vars(est).keys() - est.get_params(deep=False).keys() == {"_skl_callbacks"}


@BOTH
def test_callbacks_are_told_of_an_interrupted_training_s_end(make, callback):
    told = Told()
    with ends_by_an_interrupt(in_epoch=2):
        make(**{LOSS[make]: Loss(at=3)}).set_callbacks(told).fit(LEARNED)
    begun = ["setup", "fit begins", *EPOCH, "epoch begins"]
    assert told.told == [*begun, "fit ends", "teardown"]


def test_callbacks_are_told_of_the_epochs_of_a_warm_start(callback):
    told = Told()
    est = meta(warm_start=True, max_epochs=2).fit(LEARNED).set_callbacks(told)
    est.fit(LEARNED)
    assert told.told.count("epoch ends") == 2
    assert [fitted.n_epochs_ for fitted in told.fitted] == [3, 4]


@BOTH
def test_a_scoring_monitor_logs_the_score_after_every_epoch(make, callback):
    measured = make().simulate(LEARNED, random_state=0)
    monitor = callback.ScoringMonitor(scoring={"psnr": psnr_scorer})
    make().set_callbacks(monitor).fit(measured, LEARNED)
    logged = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    fitted = [make(max_epochs=n).fit(measured, LEARNED) for n in (1, 2, 3)]
    scores = [est.score(measured, LEARNED) for est in fitted]
    assert [row["psnr"] for row in logged] == pytest.approx(scores, rel=1e-6)

    make().set_callbacks(monitor).fit(LEARNED)  # without y, nothing is scored
    assert sum(row["task_name"] == "epoch" for row in monitor.get_logs().data) == 3


def test_callbacks_see_images_of_all_sizes_as_they_were_given(callback):
    ragged, told = [FACES[0], FACES[1, :7], FACES[2, :, 1:]], Told()
    denoiser(patch_size=6).set_callbacks(told).fit(ragged)
    for X, _ in told.data:
        assert [x.shape for x in X] == [x.shape for x in ragged]
    assert np.isfinite([fitted.score(ragged) for fitted in told.fitted]).all()
    assert told.fitted[0].n_features_in_ == denoiser(patch_size=6).fit(ragged).n_features_in_


@BOTH
def test_progress_bars_of_a_search(make, callback, capsys):
    pytest.importorskip("rich")
    grid = {"batch_size": [2, 3]}
    search = GridSearchCV(make(max_epochs=1), grid, cv=2, scoring=psnr_scorer, error_score="raise")
    search = search.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    plain = clone(search)
    plain.set_callbacks()
    scores = search.fit(LEARNED).cv_results_["mean_test_score"]
    assert type(make()).__name__ in capsys.readouterr().out
    np.testing.assert_array_equal(scores, plain.fit(LEARNED).cv_results_["mean_test_score"])


@BOTH
def test_progress_bars_of_a_fit(make, callback, capsys):
    pytest.importorskip("rich")
    est = make().set_callbacks(callback.ProgressBar()).fit(LEARNED)
    assert "100%" in capsys.readouterr().out
    assert bits(est) == bits(make().fit(LEARNED))


def test_a_clone_is_fitted_with_its_callbacks_too(callback):
    told = Told()
    clone(meta().set_callbacks(told)).fit(LEARNED)
    assert told.told.count("epoch ends") == 3


def test_estimators_that_were_trained_with_callbacks_can_be_stored(callback, tmp_path):
    est = meta().set_callbacks(Told()).fit(LEARNED)
    joblib.dump(est, tmp_path / "est.joblib")
    measured = est.simulate(HELD_OUT)
    loaded = joblib.load(tmp_path / "est.joblib")
    np.testing.assert_array_equal(loaded.predict(measured), est.predict(measured))
