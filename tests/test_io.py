"""Files of estimators that can be shared."""

import contextlib
import json
import os
import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import skops.io
import torch
from settings import SMALL_FACES, small, small_denoiser
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import skmetainv
from skmetainv import (
    ClassicalReconstructor,
    DeepInverseReconstructor,
    LinearReconstructor,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DnCNN, DRUNet, FunctionDenoiser, TotalVariation, Wavelet
from skmetainv.exceptions import VersionWarning
from skmetainv.io import TRUSTED_TYPES, describe, load, save
from skmetainv.losses import L1, L2, LPIPS
from skmetainv.meta import MAML, InnerLoss, PerLayer, TuneSolver
from skmetainv.noise import GaussianNoise, PoissonNoise
from skmetainv.operators import (
    Blur,
    CompressedSensing,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Identity,
    Inpainting,
    MatrixOperator,
    MissingPixels,
    MultiCoilMRI,
    Operator,
    Stack,
)
from skmetainv.reconstruction.canonical import canonical
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ModulatedSiren,
    PixelGrid,
    Refiner,
    Siren,
)
from skmetainv.solvers import HQS, RED, ConjugateGradient, GradientDescent
from skmetainv.storage import read, write
from skmetainv.training import Adam, Checkpoint, Cosine, EarlyStopping

FACES = SMALL_FACES[:8]
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(30, 81))
COILS = RNG.normal(size=(9, 9, 2)) + 1j * RNG.normal(size=(9, 9, 2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skmi"


def short(estimator, **parameters):
    return estimator.set_params(max_epochs=1, random_state=0, **parameters)


ESTIMATORS = {
    "literal": lambda: skmetainv.MetaInverseSolver(
        Inpainting(), GradientDescent(), max_epochs=1, random_state=0
    ),
    "options": lambda: small(
        Inpainting(box=(1, 2, 3, 4)),
        HQS(TotalVariation(), n_iter=2),
        noise=GaussianNoise(0.01) + PoissonNoise(100.0),
        inner_loss=InnerLoss(L2() + 0.1 * L1(), of="result"),
        algorithm=MAML(step_sizes=PerLayer(positive=True), step_weights=(0.0, 1.0)),
        optimizer=Adam(schedule=Cosine()),
        tune_solver=TuneSolver("numbers", lr=0.01),
        early_stopping=EarlyStopping(2, validation_fraction=0.5),
        data_range=(0.0, 1.0),
    ),
    "encoder": lambda: small(
        Stack([Identity(), 2 * GaussianBlur()]),
        init=Siren(width=8, depth=3, residual="adjoint", encoder=Encoder(), refiner=Refiner()),
    ),
    "modulated": lambda: small(MissingPixels(0.5) @ GaussianBlur(), init=ModulatedSiren(width=8)),
    "fourier": lambda: small(FourierSampling(), ConjugateGradient(), init=FourierMLP(width=8)),
    "pixels": lambda: small(init=PixelGrid(), outer_loss={"l2": 1.0, "l1": 0.5}),
    "start": lambda: small(Inpainting(), init=Siren(width=8, residual=LinearReconstructor())),
    "frozen": lambda: small(
        GaussianBlur(), HQS(FrozenEstimator(small_denoiser().fit(FACES)), n_iter=1)
    ),
    "denoiser": lambda: small(GaussianBlur(), RED(small_denoiser(), n_iter=1)),
    "linear": lambda: LinearReconstructor(CompressedSensing(0.5), noise=0.01),
    "matrix": lambda: LinearReconstructor(MatrixOperator(MATRIX), noise=0.01),
    "sparse": lambda: LinearReconstructor(
        MatrixOperator(scipy.sparse.csr_array(MATRIX * (MATRIX > 1))), noise=0.01
    ),
    "tensor": lambda: ClassicalReconstructor(
        Blur(torch.ones(3, 3, dtype=torch.float64) / 9), HQS(TotalVariation())
    ),
    "complex": lambda: ClassicalReconstructor(MultiCoilMRI(COILS), ConjugateGradient(n_iter=3)),
    "unet": lambda: short(UNetReconstructor(Inpainting()), width=4, depth=1),
    "unrolled": lambda: short(UnrolledReconstructor(GaussianBlur(), HQS(small_denoiser()))),
    "dncnn": small_denoiser,
    "drunet": lambda: short(DRUNet(), width=4, n_blocks=1),
}


def fitted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ESTIMATORS[name]().fit(FACES)


def assert_the_same(loaded, est):
    """The same parameters, fitted attributes and predictions, bit for bit."""
    assert type(loaded) is type(est)
    assert canonical(loaded) == canonical(est)
    measured = est.simulate(FACES[:3], random_state=1)
    np.testing.assert_array_equal(loaded.predict(measured), est.predict(measured))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_is_saved_is_loaded_to_the_bit(path, name):
    est = fitted(name)
    save(est, path)
    assert_the_same(load(path), est)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_description_reads_no_arrays(path, name):
    est = fitted(name)
    save(est, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a byte of an array
    path.write_bytes(content)
    description = describe(path)
    assert description.estimator.startswith(type(est).__name__)
    assert description.is_fitted
    assert description.image_shape == (9, 9)
    assert description.measurement_shape == est.measurement_shape_
    assert description.data_range == est.data_range_
    assert description.n_weights == est.n_weights_
    assert description.history == getattr(est, "history_", {})
    assert f"{est.n_weights_} learned weights" in str(description)
    with pytest.raises(ValueError, match=r"model\.skmi is damaged"):
        load(path)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_that_is_not_fitted(path, name):
    est = ESTIMATORS[name]()
    save(est, path)
    assert canonical(load(path)) == canonical(est)
    assert str(describe(path)).endswith("not fitted")


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "tensor"])
def test_skops_needs_no_other_types(path, name):
    est = fitted(name)
    skops.io.dump(est, path)
    trusted = [*TRUSTED_TYPES, "scipy.sparse._csr.csr_array"]
    assert set(skops.io.get_untrusted_types(file=path)) <= set(trusted)
    assert_the_same(skops.io.load(path, trusted=trusted), est)


def test_training_goes_on_from_a_loaded_estimator(path):
    first, second = (small(Inpainting(), warm_start=True) for _ in range(2))
    save(first.fit(FACES), path)
    loaded = load(path).fit(FACES)
    assert len(loaded.history_["seconds"]) == 2
    expected = second.fit(FACES).fit(FACES)
    for name, weight in expected.weights_.items():
        np.testing.assert_array_equal(loaded.weights_[name], weight)


def test_data_frames_keep_their_columns(path):
    frame = pd.DataFrame(FACES.reshape(8, -1)).add_prefix("pixel")
    est = LinearReconstructor(GaussianBlur(), noise=0.01).fit(frame)
    save(est, path)
    loaded = load(path)
    assert loaded.feature_names_in_.dtype == object
    assert list(loaded.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame[frame.columns[::-1]])


def test_equal_arrays_are_stored_once(path):
    est = LinearReconstructor(MatrixOperator(MATRIX), noise=0.01).fit(FACES)
    save(est, path)
    arrays, _ = read(path)
    assert sum(array.shape == MATRIX.shape for array in arrays.values()) == 1
    loaded = load(path)
    assert not np.shares_memory(loaded.operator_.matrix, loaded.operator.matrix)


@pytest.mark.parametrize(
    "value",
    [
        np.random.RandomState(3),
        np.random.default_rng(3),
        np.random.Generator(np.random.MT19937(3)),
        np.int64(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_random_states(path, value):
    est = LinearReconstructor(CompressedSensing(0.5), random_state=value)
    save(est, path)
    loaded = load(path)
    assert type(loaded.random_state) is type(value)
    np.testing.assert_array_equal(loaded.simulate(FACES), est.simulate(FACES))


@pytest.mark.parametrize(
    "weights",
    [
        torch.arange(6.0, dtype=torch.bfloat16).reshape(2, 3),
        torch.arange(6).reshape(2, 3).T,
        torch.nn.Parameter(torch.ones(2)),
        torch.ones(2, dtype=torch.complex64).conj(),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.float32(1.5),
        np.array([["a"], ["b"]], dtype=object)[:, 0],
        np.array(["a", "bc"]),
        np.zeros((0, 3)),
        np.array(2.0),
        {"a": [1, (2.5, None)], "b": {"c": float("nan"), "d": -float("inf")}},
        complex(1, float("inf")),
        1 << 100,
    ],
    ids=range(13),
)
def test_values_of_fitted_attributes(path, weights):
    est = small().fit(FACES)
    est.value_ = weights
    save(est, path)
    loaded = load(path).value_
    assert type(loaded) is (torch.Tensor if torch.is_tensor(weights) else type(weights))
    assert repr(loaded) == repr(weights.data if torch.is_tensor(weights) else weights).replace(
        "dtype='>f4'", "dtype=float32"
    )


def test_what_concerns_the_machine_is_left_out(path, tmp_path):
    inner = LinearReconstructor(device="cpu")
    est = small(
        init=Siren(width=8, residual=inner),
        checkpoint=Checkpoint(tmp_path / "run.ckpt"),
        device="cpu",
    )
    save(est, path)
    loaded = load(path)
    assert loaded.checkpoint is None
    assert loaded.device == loaded.init.residual.device == "auto"
    assert est.device == "cpu"


def test_an_estimator_of_a_gpu_is_loaded_where_there_is_none(path, tmp_path):
    """A file with the parameters of another machine, which `save` does not write."""
    est = small().fit(FACES)
    save(est, path)
    forged = {"checkpoint": str(tmp_path / "written.ckpt"), "device": "cuda:7"}
    changed(path, set_parameter(**forged))
    loaded = load(path)
    np.testing.assert_array_equal(loaded.predict(FACES[:2]), est.predict(FACES[:2]))
    loaded.fit(FACES)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.cuda
def test_what_a_gpu_learned_is_loaded_on_a_cpu(path):
    est = small(Inpainting(), device="cuda").fit(FACES)
    save(est, path)
    loaded = load(path).set_params(device="cpu")
    measured = est.simulate(FACES[:2], random_state=0)
    np.testing.assert_allclose(loaded.predict(measured), est.predict(measured), atol=1e-4)


@pytest.mark.parametrize(
    "value",
    [np.float32(0.25), np.float64(1e-3), np.int64(4), np.uint8(200), np.bool_(True)],
    ids=lambda value: value.dtype.name,
)
def test_numbers_of_numpy_are_loaded_and_described(path, value):
    save(small(outer_lr=value), path)
    with contextlib.suppress(ValueError):  # a boolean is no learning rate
        loaded = load(path).outer_lr
        assert loaded == value
        assert type(loaded) is type(value)
    assert f"outer_lr={value!r}" in describe(path).estimator


def test_strings_of_numpy(path):
    save(small(optimizer=np.array(["adam", "sgd"])[1]), path)
    assert load(path).optimizer == "sgd"


def test_arrays_keep_their_own_names(path):
    est = small().fit(FACES)
    est.value_ = {"a/b": np.zeros(2), "a": {"b": np.ones(2)}}
    save(est, path)
    value = load(path).value_
    np.testing.assert_array_equal(value["a/b"], np.zeros(2))
    np.testing.assert_array_equal(value["a"]["b"], np.ones(2))


def test_metadata_requests_are_left_out(path):
    with sklearn.config_context(enable_metadata_routing=True):
        save(small().set_fit_request(groups=True), path)
    load(path)


@pytest.mark.parametrize("denoiser", [TotalVariation(scale=2.0), Wavelet()])
def test_denoisers_without_weights(path, denoiser):
    save(denoiser, path)
    assert repr(load(path)) == repr(denoiser)
    assert describe(path).estimator == repr(denoiser)


# ---------------------------------------------------------------------- left-out parts


class OwnOperator(Operator):
    sigma: float = 1.0

    def build(self, image_shape):
        return GaussianBlur(self.sigma).build(image_shape)


def shift(x):
    return x.roll(1, -1)


def layer(image_shape):
    return torch.nn.Conv2d(1, 1, 1)


def deepinverse():
    deepinv = pytest.importorskip("deepinv")
    physics = skmetainv.operators.DeepInverseOperator(deepinv.physics.Denoising())
    return DeepInverseReconstructor(
        deepinv.models.ArtifactRemoval(deepinv.models.MedianFilter()), physics
    )


@pytest.mark.parametrize(
    ("make", "components"),
    [
        (
            lambda: ClassicalReconstructor(
                FunctionOperator(shift, linear=True), GradientDescent(n_iter=2)
            ),
            {"operator__function": shift},
        ),
        (lambda: small(OwnOperator()), {"operator": OwnOperator()}),
        (
            lambda: small(Stack([Identity(), OwnOperator()])),
            {"operator__operators__1": OwnOperator()},
        ),
        (
            lambda: small(GaussianBlur(), HQS(FunctionDenoiser(shift), n_iter=1)),
            {"solver__denoiser__function": shift},
        ),
        (lambda: small(outer_loss=shift), {"outer_loss": shift}),
    ],
    ids=["function", "own class", "in a list", "denoiser", "loss"],
)
def test_parts_that_need_code_are_left_out_by_name(path, make, components):
    (name,) = components
    est = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name != "outer_loss":  # no loss
            est.fit(FACES)
    with pytest.raises(ValueError, match=rf"^{name} is .*components=\['{name}'\]"):
        save(est, path)
    assert not path.exists()
    save(est, path, components=components)
    description = describe(path)
    assert list(description.components) == [name]
    assert f"needs {name}, " in str(description)
    with pytest.raises(ValueError, match=rf"needs {name} \(.*\) as components. Got none"):
        load(path)
    loaded = load(path, components=components)
    if name != "outer_loss":
        assert_the_same(loaded, est)


def test_models_of_deepinverse(path):
    est = deepinverse().fit(FACES)
    components = {"model": est.model, "operator__physics": est.operator.physics}
    save(est, path, components=components)
    est.model.train()
    loaded = load(path, components=components)
    assert not any(part.training for part in loaded.model_.modules())
    measured = est.simulate(FACES[:2], random_state=0)
    np.testing.assert_array_equal(loaded.predict(measured), est.predict(measured))
    assert describe(path).measurement_shape == (9, 9)


def test_names_of_components_are_checked(path):
    est = small()
    with pytest.raises(ValueError, match="no part operator__nothing to leave out"):
        save(est, path, components=["operator__nothing"])
    save(est, path)
    with pytest.raises(ValueError, match=r"needs no parts as components\. Got operator"):
        load(path, components={"operator": GaussianBlur()})
    with pytest.raises(TypeError, match=r"write components=\['operator'\]"):
        save(est, path, components="operator")


def test_a_component_that_is_not_that_of_fit_is_refused(path):
    est = ClassicalReconstructor(FunctionOperator(shift, linear=True), GradientDescent())
    est.fit(FACES)
    est.operator = FunctionOperator(torch.neg, linear=True)
    with pytest.raises(ValueError, match="operator__function is not what the estimator was fitted"):
        save(est, path, components=["operator__function"])


def test_a_component_is_checked(path):
    est = small(GaussianBlur(), HQS(FunctionDenoiser(shift)))
    save(est, path, components=["solver__denoiser__function"])
    with pytest.raises(ValueError, match="'function' parameter of FunctionDenoiser must be a call"):
        load(path, components={"solver__denoiser__function": 3})


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (GridSearchCV(small(), {}), "Got GridSearchCV instead"),
        (GaussianBlur(), "Got GaussianBlur instead"),
        (HQS(TotalVariation()), "Got HQS instead"),
        (None, "Got NoneType instead"),
        (type("Mine", (LinearReconstructor,), {})(), "Got Mine instead"),
        (small, "Got function instead"),
    ],
)
def test_other_objects_are_refused(path, value, message):
    with pytest.raises(TypeError, match=rf"save takes an estimator of skmetainv\. {message}"):
        save(value, path)


def test_the_best_estimator_of_a_search(path):
    search = GridSearchCV(small(), {"n_inner": [1, 2]}, cv=2).fit(FACES)
    with pytest.raises(TypeError, match="Pass the best_estimator_ of the search"):
        save(search, path)
    save(search.best_estimator_, path)
    assert_the_same(load(path), search.best_estimator_)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: None, "the function"),
        (torch.nn.Linear(1, 1), "a Linear"),
        ({1: 2}, "a dict"),
        ({1, 2}, "a set"),
        (np.ma.masked_array([1.0]), "a MaskedArray"),
        (np.array([object()]), "a ndarray"),
        (np.array(["2020"], dtype="datetime64"), "a ndarray"),
        (torch.ones(2).to_sparse(), "a Tensor"),
        (torch.ones(2, device="meta"), "a Tensor"),
        (torch.ones(2).to(torch.float8_e4m3fn), "a Tensor"),
    ],
    ids=range(10),
)
def test_values_that_a_file_cannot_hold_are_named(path, value, text):
    est = small().fit(FACES)
    est.value_ = {"inner": [value]}
    with pytest.raises(ValueError, match=f"^value__inner__0 is {text}"):
        save(est, path)
    del est.value_
    est.note = "x"
    with pytest.raises(ValueError, match=r"^note is neither a parameter nor a fitted attribute"):
        save(est, path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing folder", "device"])
def test_paths_that_cannot_be_files(path, kind):
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path(os.devnull)
    else:
        path = path / "model.skmi"
    for use in (lambda: save(small(), path), lambda: load(path), lambda: describe(path)):
        with pytest.raises(OSError, match=r"is not a file|folder does not exist"):
            use()


def test_a_path_with_a_null_byte_is_named():
    for use in (
        lambda: save(small(), "a\0b"),
        lambda: load("a\0b"),
        lambda: describe("a\0b"),
        lambda: DnCNN(weights="a\0b").build((1, 8, 8)),
        lambda: DnCNN(weights="a\0b", sha256="0" * 8).build((1, 8, 8)),
        lambda: LPIPS(weights="a\0b").build((0.0, 1.0)),
    ):
        with pytest.raises(ValueError, match=r"^'a\\x00b' cannot be a file: it has a null byte"):
            use()


def test_a_link_is_written_through(path, tmp_path):
    target = tmp_path / "target"
    path.symlink_to(target)
    save(small(), path)
    assert path.is_symlink()
    assert target.is_file()
    load(path)


def test_other_files_are_refused(path):
    joblib.dump(small(), path)
    with pytest.raises(ValueError, match="damaged, or was written by another program"):
        load(path)
    small(checkpoint=path.with_suffix(".ckpt")).fit(FACES)
    with pytest.raises(ValueError, match=r"was not written by `skmetainv.io.save`"):
        load(path.with_suffix(".ckpt"))
    with pytest.raises(FileNotFoundError):
        load(path.with_suffix(".none"))


def changed(path, change):
    """Change the record of a file, and write it with correct checksums."""
    arrays, record = read(path)
    write(path, arrays, change(record) or record)


def test_another_version_is_announced(path):
    save(small().fit(FACES), path)
    changed(path, lambda record: record.update(version="0.0.9"))
    with pytest.warns(VersionWarning, match=r"written by skmetainv 0\.0\.9"):
        load(path)
    with pytest.warns(VersionWarning):
        describe(path)


def test_parameters_that_a_version_lacks(path):
    save(small(), path)
    arrays, record = read(path)
    del record["model"]["parameters"]["n_inner"]
    write(path, arrays, record)
    assert load(path).n_inner == skmetainv.MetaInverseSolver().n_inner  # added since the file
    changed(path, lambda record: record["model"]["parameters"].update(new=1))
    with pytest.raises(ValueError, match="has no parameter new"):
        load(path)


def set_model(model):
    return lambda record: record.update(model=model)


def set_fitted(**attributes):
    return lambda record: record["model"].setdefault("fitted", {}).update(attributes)


def set_parameter(**parameters):
    return lambda record: record["model"]["parameters"].update(parameters)


#: States of generators.
OPEN = {"dict": {"bit_generator": "open"}}
PCG64 = {"dict": {"bit_generator": "PCG64"}}
BEYOND = {
    "dict": {
        "bit_generator": "MT19937",
        "state": {"dict": {"key": [1] * 624, "pos": 200_000_000}},
    }
}


def nested(depth):
    node = 1
    for _ in range(depth):
        node = [node]
    return node


@pytest.mark.parametrize(
    "change",
    [
        set_model(None),
        set_model([]),
        set_model({}),
        set_model({"object": "os.system", "parameters": {"command": "echo"}}),
        set_model({"object": "skmetainv.io.files.os", "parameters": {}}),
        set_model({"object": "skmetainv.operators.GaussianBlur", "parameters": {}}),
        set_model({"object": ["skmetainv.MetaInverseSolver"], "parameters": {}}),
        set_model({"object": "skmetainv.estimators.MetaInverseSolver", "parameters": []}),
        set_model({"object": "skmetainv.estimators.MetaInverseSolver"}),
        set_model({"object": "skmetainv.estimators.MetaInverseSolver", "parameters": {}, "x": 1}),
        set_parameter(__class__=1),
        set_parameter(n_inner=-1),
        set_parameter(n_inner={"code": "1"}),
        set_parameter(n_inner={"object": "skmetainv.inputs.Geometry", "parameters": {}}),
        set_parameter(n_inner={"component": "x"}),
        set_parameter(random_state={"generator": "Generator", "state": {"dict": {}}}),
        set_parameter(random_state={"generator": "Generator", "state": OPEN}),
        set_parameter(random_state={"generator": "open", "state": PCG64}),
        set_parameter(random_state={"generator": "Generator", "state": BEYOND}),
        set_parameter(noise={"array": "../../etc/passwd"}),
        set_parameter(noise={"complex": [10**400, 0]}),
        set_parameter(noise={"number": 1, "dtype": "U100000000"}),
        set_parameter(noise={"strings": ["a"], "dtype": "U100000000"}),
        set_parameter(noise={"strings": [1], "dtype": "U"}),
        set_parameter(noise={"sparse": "csr_array", "shape": [10**12, 2], "parts": []}),
        set_parameter(operator={"object": "skmetainv.training.Checkpoint", "parameters": {}}),
        set_fitted(many_=[{"array": "weights_/init.0.weight"}] * 100_000),
        set_parameter(noise={"float": "1e5"}),
        set_parameter(noise={"tuple": 1}),
        set_parameter(noise={"sparse": "os", "shape": [1], "parts": []}),
        set_parameter(outer_loss={"dict": [1]}),
        set_parameter(operator=nested(600)),
        set_fitted(fit=1),
        set_fitted(predict_=1, __dict__=1),
        set_fitted(n_weights_=3),
        lambda record: record.update(components={"x": "y"}),
        lambda record: record.update(format=2),
        lambda record: record.update(format=None),
        lambda record: record.pop("version"),
        lambda record: record.update(kind="other"),
        lambda record: [record],
        lambda record: "text",
    ],
)  # fmt: skip
def test_a_forged_file_is_refused(path, change):
    save(small().fit(FACES), path)
    changed(path, change)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load(path)
    with contextlib.suppress(ValueError):  # it neither copies arrays nor checks parameters
        assert str(describe(path))


def test_a_forged_history_is_refused(path):
    save(small().fit(FACES), path)
    for change in (set_fitted(history_="x"), set_fitted(history_={"dict": {"loss": 1}})):
        changed(path, change)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            describe(path)
    for change in (
        lambda record: record.update(version="0\x1b[31m"),
        lambda record: record.update(components={"a": "\x1b[2J"}),
    ):
        save(small().fit(FACES), path)
        changed(path, change)
        with pytest.raises(ValueError, match="cannot be printed"):
            describe(path)


def test_arrays_that_nothing_uses_are_refused(path):
    save(small().fit(FACES), path)
    arrays, record = read(path)
    write(path, arrays | {"more": np.ones(2)}, record)
    with pytest.raises(ValueError, match="does not use all of its arrays"):
        load(path)


@pytest.mark.parametrize(
    "forge", ["trailing", "overlapping", "header too long", "longer than allowed", "no header"]
)
def test_forged_headers_are_refused(path, forge):
    save(small().fit(FACES), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    body = content[8 + length :]
    if forge == "trailing":
        body += bytes(8)
    elif forge == "overlapping":
        names = [n for n in header if n != "__metadata__" and header[n]["shape"] == [8]]
        header[names[0]]["data_offsets"] = header[names[1]]["data_offsets"]
    elif forge == "no header":
        header = {}
    elif forge == "longer than allowed":
        header["__metadata__"]["more"] = "x" * 2**24
    text = json.dumps(header).encode()
    size = 2**62 if forge == "header too long" else len(text)
    path.write_bytes(size.to_bytes(8, "little") + text + body)
    for use in (load, describe):
        with pytest.raises(ValueError, match=r"model\.skmi is damaged"):
            use(path)


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.skmi"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_files_of_every_release_are_loaded(path):
    """The restorations are those of the release, up to rounding by another processor or torch."""
    expected = np.load(path.with_suffix(".npz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionWarning)
        loaded = load(path)
        assert describe(path).version == path.parent.name
    restored = loaded.predict(expected["measured"])
    np.testing.assert_allclose(restored, expected["restored"], rtol=0, atol=1e-4)


def test_there_are_files_of_this_release():
    assert {path.stem for path in GOLDEN if path.parent.name == skmetainv.__version__} == {
        "meta_inverse_solver",
        "linear_reconstructor",
        "unet_reconstructor",
        "dncnn",
    }


def test_a_damaged_file_is_refused_or_described(path):
    save(LinearReconstructor(GaussianBlur()).fit(FACES), path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 101):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"model\.skmi is damaged"):
            load(path)
        path.write_bytes(whole[:place])
        with pytest.raises(ValueError, match=r"model\.skmi is damaged"):
            load(path)
