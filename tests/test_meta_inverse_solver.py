"""`MetaInverseSolver` through its public interface."""

import pickle
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import settings
import skops.io
import torch
from settings import PAPER, SMALL_FACES
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmetainv import MetaInverseSolver
from skmetainv.exceptions import InnerStepsWarning
from skmetainv.meta import MAML, InnerLoss, PerStep
from skmetainv.metrics import psnr
from skmetainv.model_selection import psnr_scorer
from skmetainv.noise import PoissonNoise, SaltPepper
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    ForwardMap,
    FourierSampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    Operator,
    Stack,
)
from skmetainv.representations import Encoder, ModulatedSiren, Refiner, Siren
from skmetainv.solvers import GradientDescent

FACES = SMALL_FACES.astype(np.float32)
small = partial(settings.small, **PAPER, max_epochs=2)


class HalfRows(Operator):
    """Observes every second row, so measurements and images have different shapes."""

    def build(self, image_shape):
        class HalfRowsMap(ForwardMap):
            def forward(self, x):
                return x[:, :, ::2]

        channels, height, width = image_shape
        return HalfRowsMap(image_shape, (channels, (height + 1) // 2, width))


class FirstValues(Operator):
    """Measurements that are not images."""

    def build(self, image_shape):
        class FirstValuesMap(ForwardMap):
            def forward(self, x):
                return x.flatten(1)[:, :7]

        return FirstValuesMap(image_shape, (7,))


# ---------------------------------------------------------------------- arrays in, arrays out


@pytest.mark.parametrize("operator", [None, Inpainting(), MissingPixels(), GaussianBlur()])
@pytest.mark.parametrize("shape", [(9, 9), (4, 7), (1, 6), (6, 1), (1, 1), (5, 4, 3), (4, 4, 1)])
def test_images_of_any_shape(operator, shape):
    X = np.random.default_rng(0).random((6, *shape))
    est = small(operator).fit(X)
    restored = est.predict(est.simulate(X))
    assert restored.shape == X.shape
    assert restored.dtype == np.float32
    assert np.isfinite(restored).all()
    assert est.image_shape_ == est.measurement_shape_ == shape
    assert np.isfinite(est.score(X))


def test_flat_images_are_the_same_images():
    images, flat = FACES[:12], FACES[:12].reshape(12, -1)
    a, b = small(Inpainting()).fit(images), small(Inpainting()).fit(flat)
    assert b.image_shape_ == (9, 9)
    assert b.measurement_shape_ == (81,)
    np.testing.assert_array_equal(a.predict(images).reshape(12, -1), b.predict(flat))
    colour = np.random.default_rng(0).random((5, 4, 3, 2))
    c = small(image_shape=(4, 3, 2)).fit(colour.reshape(5, -1))
    np.testing.assert_array_equal(
        c.predict(colour.reshape(5, -1)), small().fit(colour).predict(colour).reshape(5, -1)
    )


@pytest.mark.parametrize(("operator", "shape"), [(HalfRows(), (5, 9)), (FirstValues(), (7,))])
def test_measurements_of_another_shape(operator, shape):
    est = small(operator).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    assert measured.shape == (10, *shape)
    assert est.measurement_shape_ == shape
    assert est.predict(measured).shape == (10, 9, 9)
    pairs = small(operator).fit(measured, FACES[:10])
    assert pairs.predict(measured).shape == (10, 9, 9)
    assert np.isfinite(pairs.score(measured, FACES[:10]))
    with pytest.raises(ValueError, match=r"is expecting measurements of shape|is expecting 7"):
        est.predict(FACES[:2])


def test_composed_operators():
    for operator in (
        MissingPixels() @ GaussianBlur(sigma=0.8),
        Stack([Inpainting(), GaussianBlur(sigma=0.8)]),
        Stack([MissingPixels(), GaussianBlur(sigma=0.8)]),
        MissingPixels() @ FirstValues(),
    ):
        est = small(operator, GradientDescent(step_size=0.5), noise=0.01).fit(FACES[:8])
        measured = est.simulate(FACES[:8])
        assert np.isnan(measured).any() == est.__sklearn_tags__().input_tags.allow_nan
        assert np.isfinite(est.predict(measured)).all()
        assert np.isfinite(est.score(FACES[:8]))
        assert "".join(repr(operator).split()) in "".join(repr(est).split())
    grid = {"operator__inner__sigma": [0.5, 1.0], "operator__outer__observed": [0.5]}
    est = small(MissingPixels() @ GaussianBlur(), max_epochs=1)
    search = GridSearchCV(est, grid, cv=2, error_score="raise").fit(FACES[:8])
    assert search.best_params_["operator__inner__sigma"] == 0.5


def test_tensors_in_tensors_out():
    X = torch.from_numpy(FACES[:10])
    est = small(Inpainting()).fit(X)
    restored = est.predict(est.simulate(X))
    assert isinstance(restored, torch.Tensor)
    np.testing.assert_array_equal(restored.numpy(), est.predict(est.simulate(FACES[:10])))


def test_integers_are_their_share_of_the_largest():
    counts = (FACES[:10] * 255).astype(np.uint8)
    a, b = small().fit(counts), small().fit(counts / np.float32(255))
    np.testing.assert_allclose(a.predict(counts), b.predict(counts / np.float32(255)), atol=1e-6)
    assert a.score(counts) == pytest.approx(b.score(counts / 255), abs=1e-3)


def test_units_change_nothing_but_the_units():
    for units in (lambda x: 4095 * x, lambda x: 3000 * x - 1000):
        low, high = units(0.0), units(1.0)
        x = FACES[:10].astype(float)
        a = small(GaussianBlur(), noise=0.01, precision="float64").fit(x)
        b = small(
            GaussianBlur(), noise=0.01 * (high - low), data_range=(low, high), precision="float64"
        ).fit(units(x))
        np.testing.assert_allclose(
            b.predict(b.simulate(units(x))), units(a.predict(a.simulate(x))), rtol=1e-6
        )
        assert a.score(x) == pytest.approx(b.score(units(x)))


def test_integers_with_a_range_of_their_own_are_taken_as_they_are():
    counts = (FACES[:10] * 4095).astype(np.uint16)
    a = small(data_range=4095).fit(counts)
    b = small(data_range=(0, 4095)).fit(counts.astype(float))
    np.testing.assert_allclose(a.predict(counts), b.predict(counts.astype(float)), rtol=1e-4)


class Lazy:
    """An array-like that is read by indexing, and records the most images read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        self.largest = max(self.largest, len(index))
        return self.array[index]

    def __array__(self, *args, **kwargs):
        raise AssertionError("read as a whole")


def test_lazy_arrays_are_read_batch_by_batch():
    lazy = Lazy(FACES[:12])
    est = small(Inpainting(), batch_size=4).fit(lazy)
    expected = small(Inpainting(), batch_size=4).fit(FACES[:12])
    np.testing.assert_array_equal(est.predict(lazy), expected.predict(FACES[:12]))
    est.fit(lazy, lazy)
    est.score(lazy)
    assert lazy.largest == 4


def test_memory_maps(tmp_path):
    np.save(tmp_path / "faces.npy", FACES[:10])
    mapped = np.load(tmp_path / "faces.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        small().fit(mapped).predict(mapped), small().fit(FACES[:10]).predict(FACES[:10])
    )


# ---------------------------------------------------------------------- learning


def test_learning_is_real():
    """Training and inner steps both raise the held-out PSNR."""
    gains, rises = [], []
    for seed in range(3):
        est = MetaInverseSolver(
            Inpainting(),
            GradientDescent(),
            init=Siren(width=32),
            inner_lr=3.0,
            algorithm=MAML(step_sizes="per_parameter"),
            outer_lr=3e-4,
            random_state=seed,
        )
        order = np.random.default_rng(seed).permutation(len(FACES))
        train, test = FACES[order[:75]], FACES[order[75:]]
        scores = []
        for epochs in (1, 7):
            for _ in range(epochs):
                est.partial_fit(train)
            scores.append(est.score(test))
        stages = [psnr(test, x) for x in est.staged_predict(est.simulate(test, random_state=0))]
        assert stages[-1] == pytest.approx(scores[-1], abs=1e-4)
        rises.append(scores[1] - scores[0])
        gains.append(stages[-1] - stages[0])
        assert est.history_["outer_loss"][-1] < est.history_["outer_loss"][0]
    assert np.mean(rises) > 0.5
    assert np.mean(gains) > 1.0


def test_the_history_is_of_every_epoch():
    est = small(n_inner=2, max_epochs=3).fit(FACES[:10])
    assert est.n_epochs_ == 3
    assert set(est.history_) == {"seconds", "outer_loss", "inner_loss", "learning_rate"}
    assert [len(v) for v in est.history_.values()] == [3, 3, 3, 3]
    assert np.shape(est.history_["inner_loss"]) == (3, 2)


def test_staged_predict_ends_with_the_prediction():
    est = small(Inpainting(), n_inner=2).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    stages = list(est.staged_predict(measured))
    assert len(stages) == 3
    np.testing.assert_array_equal(stages[-1], est.predict(measured))
    assert np.ptp(stages[0], axis=0).max() < 1e-6  # the start is the same for all images
    assert not np.allclose(stages[1], stages[2])


def test_no_inner_steps():
    est = small(Inpainting(), GradientDescent(step_size=1.0), n_inner=0).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    restored = est.predict(measured)
    observed = Inpainting().build((1, 9, 9)).observed[0, 0].numpy()
    np.testing.assert_allclose(restored[:, observed], measured[:, observed], atol=1e-6)
    filled = restored[:, ~observed]
    np.testing.assert_allclose(filled, np.broadcast_to(filled[0], filled.shape), atol=1e-6)


@pytest.mark.parametrize("rule", ["fixed", "per_step", "per_parameter"])
def test_what_is_learned(rule):
    est = small(inner_lr=0.05, algorithm=MAML(step_sizes=rule)).fit(FACES[:10])
    start = Siren(width=8, depth=3).build((1, 9, 9))
    names = {f"init.{name}" for name in start.adapted}
    assert {k for k in est.weights_ if k.startswith("init.")} == names
    step_sizes = {k: v for k, v in est.weights_.items() if k.startswith("inner_lr.")}
    if rule == "per_parameter":
        assert step_sizes["inner_lr.0.weight"].shape == (2, 8, 2)
        assert len(step_sizes) == len(names)
    else:
        assert step_sizes["inner_lr.alpha"].shape == (() if rule == "fixed" else (2,))
    moved = [not np.allclose(v, 0.05, rtol=1e-6) for v in step_sizes.values()]
    assert any(moved) == (rule != "fixed")
    assert all(type(v) is np.ndarray and v.dtype == np.float32 for v in est.weights_.values())


def test_learning_rates_are_those_asked_for():
    theta_only = small(algorithm=MAML(step_sizes=PerStep(lr=0.0))).fit(FACES[:10])
    np.testing.assert_allclose(theta_only.weights_["inner_lr.alpha"], 0.01)
    alpha_only = small(outer_lr=0.0, algorithm=MAML(step_sizes=PerStep(lr=1e-3)), max_epochs=1).fit(
        FACES[:5]
    )
    np.testing.assert_allclose(
        np.abs(alpha_only.weights_["inner_lr.alpha"] - 0.01), 1e-3, rtol=1e-3
    )  # Adam's first step has the size of its learning rate


def test_learning_rates_may_change_from_call_to_call():
    loss = InnerLoss(regularizer="tv", learnable=("weight",), lr=0.0)
    est = small(algorithm=MAML(step_sizes=PerStep(lr=0.0)), inner_loss=loss).partial_fit(FACES[:5])
    names = ("inner_lr.alpha", "inner_loss.weight.logarithm")
    before = {name: est.weights_[name].copy() for name in names}
    est.partial_fit(FACES[:5])
    for name in names:
        np.testing.assert_array_equal(est.weights_[name], before[name])
    est.set_params(algorithm__step_sizes__lr=0.1, inner_loss__lr=0.1).partial_fit(FACES[:5])
    for name in names:
        assert (est.weights_[name] != before[name]).all()


def test_more_inner_steps_after_fitting_take_the_last_step_size():
    est = small(Inpainting(), n_inner=2).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    two = list(est.staged_predict(measured))
    est.set_params(n_inner=4)
    with pytest.warns(InnerStepsWarning, match="learned for 2 inner steps"):
        four = list(est.staged_predict(measured))
    assert len(four) == 5
    for a, b in zip(two, four[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_partial_fit_goes_on_where_the_last_call_ended():
    whole = small(MissingPixels(), noise=0.05, max_epochs=3).fit(FACES[:12])
    steps = small(MissingPixels(), noise=0.05)
    for k in range(3):
        steps.partial_fit(FACES[:12])
        assert steps.n_epochs_ == k + 1
        steps = pickle.loads(pickle.dumps(steps))
    for name, weight in whole.weights_.items():
        np.testing.assert_array_equal(weight, steps.weights_[name])
    assert whole.history_["outer_loss"] == steps.history_["outer_loss"]


def test_pairs_of_measurements_and_images():
    operator = Inpainting()
    measured = small(operator).simulate(FACES[:20])
    a = small(operator).fit(measured, FACES[:20])
    b = small(operator).fit(FACES[:20])  # simulates the same measurements: no noise
    np.testing.assert_array_equal(a.predict(measured), b.predict(measured))
    assert a.score(measured, FACES[:20]) == pytest.approx(b.score(FACES[:20]))


def test_labels_are_ignored():
    labels = np.arange(10) % 2
    np.testing.assert_array_equal(
        small().fit(FACES[:10], labels).predict(FACES[:3]),
        small().fit(FACES[:10]).predict(FACES[:3]),
    )
    est = small().fit(FACES[:10])
    assert est.score(FACES[:10], labels) == est.score(FACES[:10])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(FACES[:10], labels[:5])


def test_unknown_pixels_in_clean_images():
    """If the operator has missing values, clean images may have NaN."""
    X = FACES[:10].copy()
    X[:, 2, 3] = np.nan
    est = small(MissingPixels(), noise=PoissonNoise(photons=50) + SaltPepper()).fit(X)
    assert np.isnan(est.simulate(X)[:, 2, 3]).all()
    assert all(np.isfinite(w).all() for w in est.weights_.values())
    assert np.isfinite(est.history_["outer_loss"]).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"inner_loss": "l1"},
        {"data_range": 2.0},
        {"operator": GaussianBlur()},
        {"solver": GradientDescent()},
        {"init": Siren(width=4)},
        {"algorithm": MAML(step_sizes="fixed")},
        {"inner_lr": 5.0},
    ],
)
def test_weights_are_used_for_what_they_were_learned_for(changed):
    """Parameters set after `fit` take effect in the next `fit`, with and without cached modules."""
    est = small(Inpainting(), inner_lr=0.5).fit(FACES[:10])
    expected = est.predict(FACES[:5])
    est.set_params(**changed)
    np.testing.assert_array_equal(est.predict(FACES[:5]), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(est)).predict(FACES[:5]), expected)
    once = small(Inpainting(), inner_lr=0.5, max_epochs=3).fit(FACES[:10])
    est.partial_fit(FACES[:10])
    if "inner_lr" not in changed:  # inner_lr also sets Adam's learning rate
        for name, weight in once.weights_.items():
            np.testing.assert_array_equal(weight, est.weights_[name])


def test_going_on_keeps_the_operator_s_missing_values():
    est = small(MissingPixels()).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    est.set_params(operator=None).partial_fit(measured, FACES[:10])
    assert est.n_epochs_ == 3
    whole = small().fit(FACES[:10]).set_params(operator=MissingPixels())
    with pytest.raises(ValueError, match="Input X contains NaN"):
        whole.partial_fit(measured, FACES[:10])


# ---------------------------------------------------------------------- randomness


def test_the_same_seed_gives_the_same_bits():
    fits = [small(MissingPixels(), noise=0.1).fit(FACES[:12]) for _ in range(2)]
    for name, weight in fits[0].weights_.items():
        np.testing.assert_array_equal(weight, fits[1].weights_[name])
    other = small(MissingPixels(), noise=0.1, random_state=1).fit(FACES[:12])
    assert not np.array_equal(other.weights_["init.0.weight"], fits[0].weights_["init.0.weight"])


@pytest.mark.parametrize(
    "random_state", [None, 0, np.random.RandomState(0), np.random.default_rng()]
)
def test_global_generators_are_untouched(random_state):
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()
    est = small(MissingPixels(), noise=0.1, random_state=random_state).fit(FACES[:10])
    est.predict(est.simulate(FACES[:10]))
    est.score(FACES[:10])
    for before, after in zip(numpy_state, np.random.get_state(), strict=True):
        assert np.array_equal(before, after)
    assert torch.equal(torch_state, torch.get_rng_state())


@pytest.mark.parametrize("operator", [Inpainting(), MissingPixels(), GaussianBlur()])
def test_the_batch_size_of_predictions_changes_nothing_but_rounding(operator):
    est = small(operator, GradientDescent()).fit(FACES[:10])
    measured = est.simulate(FACES[:20], random_state=1)
    one = est.set_params(batch_size=1).predict(measured)
    for batch_size in (3, 20):
        many = est.set_params(batch_size=batch_size).predict(measured)
        np.testing.assert_allclose(many, one, atol=1e-5)


@pytest.mark.parametrize("operator", [Inpainting(), MissingPixels(), GaussianBlur()])
def test_what_is_restored_beside_an_image_changes_no_bit_of_it(operator):
    est = small(operator, GradientDescent()).fit(FACES[:10])
    measured = est.simulate(FACES[:7], random_state=1)
    together = est.predict(measured)
    for i in range(7):
        np.testing.assert_array_equal(est.predict(measured[i : i + 1])[0], together[i])


@pytest.mark.parametrize(
    "init",
    [
        Siren(width=8, depth=3, encoder=Encoder()),
        Siren(width=8, depth=3, residual="adjoint", refiner=Refiner()),
        ModulatedSiren(width=8, depth=3, encoder=Encoder()),
    ],
    ids=["encoder", "refiner", "modulated"],
)
def test_what_is_restored_beside_an_image_changes_it_by_rounding_with_an_encoder(init):
    est = small(Inpainting(), init=init).fit(FACES[:10])
    measured = est.simulate(FACES[:13], random_state=1)
    for batch_size in (4, 5, 6, 7, 9, 11, 13, 16):
        together = est.set_params(batch_size=batch_size).predict(measured)
        alone = np.concatenate([est.predict(y[None]) for y in measured])
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)


def test_simulation_depends_on_its_seed():
    est = small(MissingPixels(), noise=0.1)
    a, b = est.simulate(FACES[:5], random_state=1), est.simulate(FACES[:5], random_state=1)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, est.simulate(FACES[:5], random_state=2), equal_nan=True)
    known = ~np.isnan(a)
    residual = (a - FACES[:5])[known]
    assert residual.std() == pytest.approx(0.1, abs=5 * 0.1 / np.sqrt(2 * known.sum()))


# ---------------------------------------------------------------------- scikit-learn


def test_grid_search_in_two_processes():
    est = small(GaussianBlur(sigma=1.0), max_epochs=1)
    grid = {"n_inner": [0, 1], "inner_lr": [0.01, 0.1], "operator__sigma": [0.5, 1.0]}
    search = GridSearchCV(est, grid, cv=2, n_jobs=2, error_score="raise").fit(FACES[:8])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["operator__sigma"] == 0.5  # the easier task, as documented
    assert search.predict(FACES[:2]).shape == (2, 9, 9)


def test_flat_pairs_with_scikit_learn_s_own_scorer():
    flat = FACES[:12].reshape(12, -1)
    measured = small(Inpainting()).simulate(flat)
    search = GridSearchCV(
        small(Inpainting()), {"n_inner": [0, 2]}, cv=2, scoring="neg_mean_squared_error"
    ).fit(measured, flat)
    assert (search.cv_results_["mean_test_score"] < 0).all()


def test_cross_validation_and_pipelines():
    scores = cross_validate(small(), FACES[:12], cv=3, error_score="raise")["test_score"]
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    measured = small(Inpainting()).simulate(FACES[:12])
    restored = cross_val_predict(small(Inpainting()), measured, FACES[:12], cv=3)
    assert restored.shape == FACES[:12].shape
    half = make_pipeline(FunctionTransformer(np.square), small())
    squared = half.fit(FACES[:12]).predict(FACES[:12])
    expected = small().fit(FACES[:12] ** 2).predict(FACES[:12] ** 2)
    np.testing.assert_array_equal(squared, expected)


def test_clone_and_repr():
    est = small(Inpainting(fraction=0.5), GradientDescent(), noise=0.1).fit(FACES[:10])
    copy = clone(est)
    assert not hasattr(copy, "weights_")
    assert copy.get_params()["operator__fraction"] == 0.5
    assert copy.get_params()["init__width"] == 8
    assert "Inpainting(fraction=0.5)" in repr(est)
    assert "Inpainting" in est._repr_html_()


def test_fitting_leaves_parameters_alone():
    operator, solver, init = Inpainting(), GradientDescent(), Siren(width=12, depth=3)
    est = MetaInverseSolver(operator, solver, init=init, max_epochs=1).fit(FACES[:5])
    for own, given, found in (
        (est.operator_, operator, {}),
        (est.solver_, solver, {"learnable": ("step_size",)}),
        (est.init_, init, {}),
    ):
        assert own is not given
        assert own.get_params() == given.get_params() | found
    assert solver.get_params() == GradientDescent().get_params()
    assert (est.operator, est.solver, est.init) == (operator, solver, init)
    assert set(vars(operator)) == {"mask", "fraction", "box"}


def test_a_dump_restores_the_same_in_another_process(tmp_path):
    est = small(Inpainting(), GradientDescent()).fit(FACES[:10])
    measured = est.simulate(FACES[:10])
    expected = est.predict(measured)
    joblib.dump(est, tmp_path / "est.joblib")
    np.save(tmp_path / "measured.npy", measured)
    code = (
        "import sys, joblib, numpy as np, torch; torch.set_num_threads(1);"
        "est = joblib.load(sys.argv[1] + '/est.joblib');"
        "restored = est.predict(np.load(sys.argv[1] + '/measured.npy'));"
        "np.save(sys.argv[1] + '/restored.npy', restored)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "restored.npy"), expected)
    mapped = joblib.load(tmp_path / "est.joblib", mmap_mode="r")
    np.testing.assert_array_equal(mapped.predict(measured), expected)


def test_nothing_but_arrays_is_kept(tmp_path):
    est = small(Inpainting(), GradientDescent()).fit(FACES[:10])
    before = joblib.hash(est)
    est.predict(FACES[:10])
    assert joblib.hash(est) == before
    assert b"torch" not in pickle.dumps(est)
    skops.io.dump(est, tmp_path / "est.skops")
    trusted = skops.io.get_untrusted_types(file=tmp_path / "est.skops")
    assert all(name.startswith("skmetainv.") for name in trusted)
    loaded = skops.io.load(tmp_path / "est.skops", trusted=trusted)
    np.testing.assert_array_equal(loaded.predict(FACES[:3]), est.predict(FACES[:3]))


def test_data_frames():
    columns = [f"pixel{i}" for i in range(81)]
    frame = pd.DataFrame(FACES[:10].reshape(10, -1), columns=columns)
    est = small().fit(frame)
    assert list(est.feature_names_in_) == columns
    assert est.predict(frame).shape == (10, 81)
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(frame[columns[::-1]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "operator",
    [Identity(), GaussianBlur(), CompressedSensing(0.5), Downsampling(3), FourierSampling()],
    ids=lambda operator: type(operator).__name__,
)
def test_what_is_simulated_of_a_data_frame_is_restored_without_a_warning(operator):
    columns = [f"pixel{i}" for i in range(81)]
    frame = pd.DataFrame(FACES[:6].reshape(6, -1), columns=columns, index=list("abcdef"))
    est = small(operator, max_epochs=1, noise=0.1, random_state=0).fit(frame)
    measured = est.simulate(frame)
    expected = est.simulate(frame.to_numpy())
    np.testing.assert_array_equal(measured, expected)
    if expected.ndim == 2:
        assert list(measured.index) == list("abcdef")
        same = expected.shape[1] == 81
        assert list(measured.columns) == (columns if same else list(range(expected.shape[1])))
    restored = est.predict(measured)
    assert type(restored) is np.ndarray
    assert est.score(measured, frame) == pytest.approx(psnr(FACES[:6], restored.reshape(-1, 9, 9)))
    small(operator, max_epochs=1).fit(measured, frame).predict(measured)
    if expected.ndim == 2 and expected.shape[1] == 81:
        with pytest.raises(ValueError, match="feature names should match"):
            est.predict(measured[columns[::-1]])


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((0, 9, 9)), "Found array with 0 sample"),
        (np.zeros((3, 0, 9)), "at least one pixel"),
        (np.zeros(9), "Expected 2D array, got 1D array instead"),
        (np.zeros((2, 2, 2, 2, 2)), "Images must have shape"),
        (np.full((3, 9, 9), "text"), "not compatible with arrays of bytes/strings"),
        (np.zeros((3, 9, 9), dtype=complex), "Complex data not supported"),
        (np.full((3, 9, 9), np.nan), "Input X contains NaN"),
        (np.full((3, 9, 9), np.inf), "Input X contains infinity"),
        (np.full((3, 9, 9), 1e300), "too large for"),
        ([[1, 2], [3]], "inhomogeneous"),
    ],
)
def test_what_cannot_be_fitted_leaves_the_estimator_as_it_was(X, message):
    est = small(Inpainting()).fit(FACES[:5])
    before = joblib.hash(est)
    with pytest.raises(ValueError, match=message):
        est.fit(X)
    assert joblib.hash(est) == before
    fresh = small(Inpainting())
    with pytest.raises(ValueError, match=message):
        fresh.fit(X)
    assert vars(fresh).keys() == fresh.get_params(deep=False).keys()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (FACES[:2, :8], r"measurements of shape \(8, 9\), but MetaInverseSolver is expecting"),
        (np.zeros((2, 9, 9, 3)), r"shape \(9, 9, 3\), but MetaInverseSolver is expecting"),
        (np.full((2, 9, 9), np.nan), "Input X contains NaN"),
        (np.full((2, 9, 9), np.inf), "Input X contains infinity"),
        (np.zeros((0, 9, 9)), "Found array with 0 sample"),
        (FACES[0, 0], "Expected 2D array, got 1D array instead"),
    ],
)
def test_what_cannot_be_restored(X, message):
    est = small(Inpainting()).fit(FACES[:5])
    for method in (est.predict, est.staged_predict):
        with pytest.raises(ValueError, match=message):
            method(X)


def test_one_channel_for_three():
    est = small().fit(np.zeros((3, 5, 5, 3)))
    with pytest.raises(
        ValueError, match=r"\(5, 5\), but .* expecting measurements of shape \(5, 5, 3\)"
    ):
        est.predict(np.zeros((2, 5, 5)))
    with pytest.raises(ValueError, match=r"images of shape \(5, 5, 1\)"):
        est.partial_fit(np.zeros((2, 5, 5, 1)))


def test_nothing_observed():
    est = small(MissingPixels()).fit(FACES[:5])
    measured = est.simulate(FACES[:5])
    measured[3] = np.nan
    with pytest.raises(ValueError, match="Entry 3 of X is all NaN"):
        est.predict(measured)
    with pytest.raises(ValueError, match="Entry 3 of X is all NaN"):
        small(MissingPixels()).fit(measured, FACES[:5])
    measured[3] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        est.predict(measured)


def test_a_pair_must_be_a_measurement_and_an_image():
    with pytest.raises(
        ValueError, match=r"fit\(X, y\) takes measurements X and their clean images"
    ):
        small(Inpainting()).fit(FACES[:5, :8], FACES[:5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small(Inpainting()).fit(FACES[:5], FACES[:4])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        small(Inpainting()).fit(FACES[:5], np.full_like(FACES[:5], np.nan))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"n_inner": -1},
            r"The 'n_inner' parameter of MetaInverseSolver must be an int in the "
            r"range \[0, inf\). Got -1 instead",
        ),
        ({"inner_lr": 0.0}, "'inner_lr' parameter"),
        ({"algorithm": MAML(step_sizes="per_pixel")}, "'step_sizes' parameter of MAML"),
        ({"outer_lr": -1.0}, "'outer_lr' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"noise": -0.1}, "'noise' parameter"),
        ({"outer_loss": "l3"}, "'outer_loss' parameter"),
        ({"inner_loss": 3}, "'inner_loss' parameter"),
        ({"precision": "float16"}, "'precision' parameter"),
        ({"operator": "blur"}, "'operator' parameter .* must be an instance of .*Operator"),
        ({"operator": GradientDescent()}, "'operator' parameter"),
        ({"solver": Inpainting()}, "'solver' parameter"),
        ({"init": Siren}, "'init' parameter"),
        ({"init": Siren(width=0)}, "'width' parameter of Siren"),
        ({"operator": GaussianBlur(sigma=-1.0)}, "'sigma' parameter of GaussianBlur"),
        ({"data_range": (1, 0)}, "'data_range' parameter"),
        ({"data_range": (0, 1, 2)}, "'data_range' parameter"),
        ({"image_shape": (3, 5)}, "'image_shape' parameter"),
        ({"image_shape": (9,)}, "'image_shape' parameter"),
        ({"image_shape": (-9, -9)}, "'image_shape' parameter"),
        ({"image_shape": (9.0, 9.0)}, "'image_shape' parameter"),
        ({"device": "gpu"}, "'device' parameter must be 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, "'device' parameter must be 'auto', 'cpu', 'cuda'"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    est = small(**parameters)
    with pytest.raises(ValueError, match=message):
        est.fit(FACES[:5])
    assert vars(est).keys() == est.get_params(deep=False).keys()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_inner": -1}, "'n_inner' parameter"),
        ({"n_inner": 2.0}, "'n_inner' parameter"),
        ({"batch_size": -3}, "'batch_size' parameter"),
        ({"inner_loss": 3}, "'inner_loss' parameter"),
        ({"precision": "float16"}, "'precision' parameter"),
        ({"device": "meta"}, "'device' parameter"),
    ],
)
def test_parameters_are_checked_after_fitting_too(parameters, message):
    est = small().fit(FACES[:5]).set_params(**parameters)
    methods = (est.predict, est.staged_predict, est.score, est.simulate, est.partial_fit)
    for method in methods:
        with pytest.raises(ValueError, match=message):
            method(FACES[:5])


def test_a_failed_fit_on_lazy_data_leaves_the_estimator_as_it_was():
    bad = FACES[:12].copy()
    bad[7] = np.inf
    for method in ("fit", "partial_fit"):
        est = small(batch_size=4).fit(FACES[:12])
        before = joblib.hash(est)
        with pytest.raises(ValueError, match="Input X contains infinity"):
            getattr(est, method)(Lazy(bad))
        assert joblib.hash(est) == before


def test_mixed_column_names_are_refused_before_training():
    frame = pd.DataFrame(FACES[:5].reshape(5, -1), columns=["a", *range(80)])
    est = small()
    with pytest.raises(TypeError, match="all input features have string names"):
        est.fit(frame)
    assert vars(est).keys() == est.get_params(deep=False).keys()


def test_errors_name_the_array_that_is_wrong():
    est = small().fit(FACES[:5])
    with pytest.raises(ValueError, match="y has images of shape"):
        est.score(FACES[:5], FACES[:5, :4])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.score(FACES[:5], np.arange(3))
    with pytest.raises(ValueError, match="ImageFolder reads a folder"):
        est.fit("faces/")
    with pytest.raises(ValueError, match="'random_state' parameter"):
        est.simulate(FACES[:5], random_state="seed")
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        est.fit(Lazy(FACES[:0]))


def test_images_far_outside_their_range_are_told():
    with pytest.warns(DataConversionWarning, match="far outside the data range"):
        small(inner_lr=1e-9).fit(255.0 * FACES[:5])
    for dtype in ("int32", "uint32", "int64"):
        with pytest.warns(DataConversionWarning, match=f"integers of type {dtype}"):
            small().fit((255 * FACES[:5]).astype(dtype))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none():
    with pytest.raises(ValueError, match="torch finds 0 CUDA devices"):
        small(device="cuda").fit(FACES[:5])
    est = small().fit(FACES[:5]).set_params(device="cuda:1")
    with pytest.raises(ValueError, match="torch finds 0 CUDA devices"):
        est.predict(FACES[:5])


def test_not_fitted():
    for method in ("predict", "score", "staged_predict"):
        with pytest.raises(NotFittedError):
            getattr(small(), method)(FACES[:2])
    with pytest.raises(NotFittedError):
        psnr_scorer(small(), FACES[:2])


def test_a_diverging_loop_is_told():
    est = small(inner_lr=1e20, precision="float32")
    with pytest.warns(ConvergenceWarning, match="is not finite and were skipped"):
        est.fit(FACES[:10])
    assert all(np.isfinite(w).all() for w in est.weights_.values())
    restoring = {
        "predict": est.predict,
        "staged_predict": lambda X: list(est.staged_predict(X)),
        "score": est.score,
        "scorer": lambda X: psnr_scorer(est, X),
    }
    for restore in restoring.values():
        with pytest.warns(ConvergenceWarning, match="4 of 4 reconstructions are not finite"):
            restore(FACES[:4])


def test_divergence_is_told_by_every_way_to_restore():
    est = small(
        Inpainting(), n_inner=1, algorithm=MAML(step_sizes="fixed"), init=Siren(4, depth=1)
    ).fit(FACES[:8])
    est.weights_["inner_lr.alpha"] = np.array(1e38, dtype=np.float32)
    for restore in (est.predict, lambda X: list(est.staged_predict(X))):
        with pytest.warns(ConvergenceWarning, match="3 of 3 reconstructions are not finite"):
            restore(10 * FACES[:3])


def test_nothing_known_is_refused():
    X = FACES[:5].copy()
    X[:, 4, 4] = np.nan
    with pytest.raises(ValueError, match="All measurements of the first batch are NaN"):
        small(MissingPixels() @ GaussianBlur()).fit(X)


def test_a_gradient_too_large_to_square_does_not_freeze_adam():
    options = {"inner_lr": 3.0, "n_inner": 10, "init": Siren(8, depth=3)}
    options["algorithm"] = MAML(step_sizes=PerStep(lr=0.0))
    est = small(Inpainting(), **options)
    with pytest.warns(ConvergenceWarning, match="were skipped"):
        est.fit(FACES[:10])
    est.set_params(n_inner=1)
    before = est.weights_["init.0.weight"].copy()
    est.partial_fit(FACES[:10])
    assert not np.array_equal(est.weights_["init.0.weight"], before)


@pytest.mark.cuda
@pytest.mark.parametrize("operator", [Identity(), Inpainting(), MissingPixels(), GaussianBlur()])
def test_cuda_gives_what_the_cpu_gives(operator):
    options = {"precision": "float64", "noise": 0.05}
    on_cpu = small(operator, GradientDescent(), device="cpu", **options).fit(FACES[:10])
    on_cuda = small(operator, GradientDescent(), device="cuda", **options).fit(FACES[:10])
    measured = on_cpu.simulate(FACES[:10], random_state=0)
    np.testing.assert_allclose(on_cuda.predict(measured), on_cpu.predict(measured), atol=1e-6)
    on_cuda.set_params(device="cpu")
    np.testing.assert_allclose(on_cuda.predict(measured), on_cpu.predict(measured), atol=1e-6)
