"""Estimators trained end to end: unrolled solvers and the U-Net."""

import io

import joblib
import numpy as np
import pytest
import torch
from settings import PLAIN, SMALL_FACES
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d, pad

from skmetainv import (
    ClassicalReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN, TotalVariation
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    PhaseRetrieval,
    Radon,
    Saturation,
)
from skmetainv.representations import Siren
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    FunctionSolver,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)
from skmetainv.training import SGD, Checkpoint, EarlyStopping, TrainingLoop

FACES = SMALL_FACES[:30]
DENOISER = DnCNN(depth=3, width=4, max_epochs=2, random_state=0).fit(FACES)
D = FrozenEstimator(DENOISER)
DESCENT = SGD(schedule="constant", max_grad_norm=None)
SOLVERS = {
    "gradient descent": GradientDescent(n_iter=4, step_size=[0.9, 0.8, 0.7, 0.6]),
    "conjugate gradients": ConjugateGradient(n_iter=3, damping=0.1),
    "RED": RED(D, n_iter=4, weight=0.2),
    "RED, steepest descent": RED(D, n_iter=4, method="steepest_descent"),
    "HQS": HQS(D, n_iter=4, measurement_noise=0.02),
    "ADMM": ADMM(D, n_iter=4),
    "FISTA": ProximalGradient(D, n_iter=4, accelerated=True),
    "total variation": HQS(TotalVariation(n_iter=5), n_iter=3, learnable=("noise_level",)),
    "primal-dual": PrimalDual(n_iter=4),
}


def unrolled(operator=None, solver=None, **parameters):
    settings = {"max_epochs": 1, "random_state": 0, "precision": "float64"} | parameters
    solver = GradientDescent(n_iter=5) if solver is None else solver
    return UnrolledReconstructor(operator, solver, **PLAIN | settings)


def unet(operator=None, **parameters):
    settings = {"width": 2, "depth": 3, "max_epochs": 1, "random_state": 0, "precision": "float64"}
    return UNetReconstructor(operator, **PLAIN | settings | parameters)


MAKERS = {"unrolled": unrolled, "unet": unet}


# --- unrolled solvers ------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["adjoint", "pseudo_inverse", "measurement", "zeros", "image"])
@pytest.mark.parametrize("name", SOLVERS)
def test_with_frozen_weights_it_is_the_classical_solver(name, start):
    """The results agree to 1e-10 in double precision."""
    own = {"start": FACES[0] if start == "image" else start, "precision": "float64", "noise": 0.01}
    operator = GaussianBlur(sigma=0.7)
    frozen = unrolled(operator, SOLVERS[name], lr=0.0, **own).fit(FACES[:10])
    classical = ClassicalReconstructor(operator, SOLVERS[name], **own).fit(FACES[:10])
    measured = classical.simulate(FACES[10:16], random_state=0)
    expected = classical.predict(measured)
    np.testing.assert_allclose(frozen.predict(measured), expected, rtol=0, atol=1e-10)
    assert frozen.score(FACES[10:16]) == pytest.approx(classical.score(FACES[10:16]), abs=1e-8)


def test_in_single_precision_it_is_the_classical_solver_to_one_millionth():
    solver, operator = HQS(D, n_iter=6), GaussianBlur(sigma=1.0)
    frozen = unrolled(operator, solver, lr=0.0, precision="float32").fit(FACES[:10])
    classical = ClassicalReconstructor(operator, solver).fit(FACES[:10])
    measured = classical.simulate(FACES[10:16], random_state=0)
    np.testing.assert_allclose(frozen.predict(measured), classical.predict(measured), atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_training_lifts_every_solver(name):
    own = {"noise": 0.02, "lr": 3e-3, "max_epochs": 8, "batch_size": 5}
    est = unrolled(GaussianBlur(sigma=1.0), SOLVERS[name], **own).fit(FACES[:20])
    start = unrolled(GaussianBlur(sigma=1.0), SOLVERS[name], **own | {"lr": 0.0, "max_epochs": 1})
    assert est.score(FACES[:20]) > start.fit(FACES[:20]).score(FACES[:20]) + 0.02
    assert len(est.history_["loss"]) == est.n_epochs_ == 8


def test_a_step_of_training_is_the_gradient_of_the_whole_solver():
    """One step of gradient descent agrees with finite differences of the loss."""
    operator, solver = GaussianBlur(sigma=1.0), RED(D, n_iter=2, weight=[0.2, 0.3])
    own = {"noise": 0.02, "batch_size": 4, "loss": "l2", "optimizer": DESCENT}
    start = unrolled(operator, solver, lr=0.0, **own).fit(FACES[:4]).weights_
    stepped = unrolled(operator, solver, lr=1.0, **own).fit(FACES[:4]).weights_
    trained = unrolled(operator, solver, lr=0.0, **own)
    noise_of_the_epoch = trained.fit(FACES[:4])  # history_ has the loss

    def loss(weights):
        est = unrolled(operator, solver, lr=0.0, warm_start=True, **own).fit(FACES[:4])
        est.weights_, est.n_epochs_ = weights, 0
        return est.fit(FACES[:4]).history_["loss"][-1]

    assert loss(start) == pytest.approx(noise_of_the_epoch.history_["loss"][0], rel=1e-12)
    h = 1e-5
    for name, index in [
        ("solver.weight.logarithm", (1,)),
        ("solver.prior.denoiser.network.model.0.weight", (1, 0, 2, 1)),
        ("solver.prior.denoiser.network.model.4.bias", (0,)),
    ]:
        sides = []
        for sign in (1, -1):
            moved = {key: value.copy() for key, value in start.items()}
            moved[name][index] += sign * h
            sides.append(loss(moved))
        descended = start[name][index] - stepped[name][index]
        assert descended == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-4, abs=1e-10)


def test_the_solver_and_the_denoiser_that_were_given_stay_as_they_are():
    before = {name: weight.copy() for name, weight in DENOISER.weights_.items()}
    solver = RED(D, n_iter=2)
    est = unrolled(GaussianBlur(), solver, lr=1e-2).fit(FACES[:10])
    assert solver.learnable == () == est.solver_.learnable
    for name, weight in before.items():
        np.testing.assert_array_equal(DENOISER.weights_[name], weight)
        assert (est.weights_[f"solver.prior.denoiser.network.{name}"] != weight).any()


def test_a_denoiser_that_is_not_fitted_is_fitted_first():
    solver = HQS(DnCNN(depth=2, width=4, max_epochs=3, random_state=0), n_iter=2)
    est = unrolled(GaussianBlur(), solver, lr=0.0).fit(FACES[:10])
    denoiser = solver.denoiser.fit(FACES[:10])
    learned = est.weights_["solver.prior.denoiser.network.model.0.weight"]
    np.testing.assert_allclose(learned, denoiser.weights_["model.0.weight"], rtol=1e-6)


def test_a_step_size_is_learned():
    est = unrolled(GaussianBlur(sigma=1.0), lr=0.05, max_epochs=5).fit(FACES[:10])
    assert set(est.weights_) == {"solver.step_size.logarithm"}
    assert est.weights_["solver.step_size.logarithm"] > np.log(0.9)


@pytest.mark.parametrize(
    ("operator", "kind", "number"),
    [(GaussianBlur(), HQS, "rho"), (Saturation(), ProximalGradient, "step_size")],
)
def test_without_a_solver_a_small_denoiser_is_unrolled(operator, kind, number, monkeypatch):
    monkeypatch.setattr(DnCNN, "_default_length", (3, 1))  # few steps when the denoiser is fitted
    own = {"start": "measurement", "max_epochs": 3, "random_state": 0}
    est = UnrolledReconstructor(operator, **own).fit(FACES[:10])
    assert isinstance(est.solver_, kind)
    numbers = {name for name in est.weights_ if "logarithm" in name}
    assert numbers == {f"solver.{number}.logarithm", "solver.prior.noise_level.logarithm"}


@pytest.mark.parametrize(
    ("solver", "lr"),
    [
        (None, 3e-3),
        (GradientDescent(), 3e-3),
        (HQS(DnCNN(depth=2, width=2, max_epochs=1)), 3e-3),
        (HQS(D), 3e-4),
    ],
    ids=["default", "numbers", "fitted along", "frozen"],
)
def test_a_denoiser_that_is_trained_already_learns_slowly(solver, lr, monkeypatch):
    monkeypatch.setattr(DnCNN, "_default_length", (3, 1))
    own = {"max_epochs": 1, "optimizer": DESCENT}
    est = UnrolledReconstructor(GaussianBlur(), solver, **own).fit(FACES[:4])
    assert est.history_["learning_rate"] == [lr]
    given = UnrolledReconstructor(GaussianBlur(), solver, lr=0.5, **own).fit(FACES[:4])
    assert given.history_["learning_rate"] == [0.5]


def test_the_default_solver_goes_by_the_data_range(monkeypatch):
    monkeypatch.setattr(DnCNN, "_default_length", (3, 1))
    own = {"max_epochs": 2, "random_state": 0, "precision": "float64", "noise": 0.01}
    unit = UnrolledReconstructor(GaussianBlur(), **own).fit(FACES[:10])
    own |= {"noise": 2.55, "data_range": 255}
    wide = UnrolledReconstructor(GaussianBlur(), **own).fit(255 * FACES[:10])
    measured = unit.simulate(FACES[10:12])
    restored = wide.predict(255 * measured) / 255
    np.testing.assert_allclose(restored, unit.predict(measured), atol=1e-3)


@pytest.mark.parametrize(
    "solver",
    [
        FunctionSolver(lambda x, data: x, n_iter=1),
        HQS(TotalVariation()),
        GradientDescent(n_iter=0),
        RED(D, n_iter=0),
    ],
)
def test_what_has_nothing_to_learn_is_refused(solver):
    est = unrolled(Identity(), solver)
    with pytest.raises(ValueError, match="'solver' parameter must have something to learn"):
        est.fit(FACES[:3])


def test_the_start_stays_what_the_weights_were_learned_with():
    est = unrolled(GaussianBlur(), RED(D), start="zeros").fit(FACES[:5])
    measured = est.simulate(FACES[5:8], random_state=0)
    expected = est.predict(measured)
    np.testing.assert_array_equal(est.set_params(start="adjoint").predict(measured), expected)
    assert est.start_ == "zeros"
    given = FACES[0].copy()
    est = unrolled(GaussianBlur(), RED(D), start=given).fit(FACES[:5])
    expected = est.predict(measured)
    given[:] = 0
    np.testing.assert_array_equal(est.predict(measured), expected)


def test_a_start_may_be_a_tensor():
    own = {"solver": RED(D, n_iter=2), "lr": 0.0}
    array, tensor = (
        unrolled(GaussianBlur(), start=start, **own).fit(FACES[:5])
        for start in (FACES[0], torch.from_numpy(FACES[0]).requires_grad_())
    )
    np.testing.assert_array_equal(array.predict(FACES[5:8]), tensor.predict(FACES[5:8]))


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="start has images of shape"):
        unrolled(GaussianBlur(), RED(D), start=np.zeros((3, 3))).fit(FACES[:3])
    with pytest.raises(ValueError, match="start 'measurement' needs measurements of the shape"):
        unrolled(CompressedSensing(n_measurements=9), RED(D), start="measurement").fit(FACES[:3])


def test_solvers_tuned_around_a_network_have_the_same_names():
    solver, own = RED(D, n_iter=2), {"max_epochs": 1, "random_state": 0}
    meta = MetaInverseSolver(init=Siren(8, depth=3), solver=solver, tune_solver=True, **own)
    tuned = {name for name in meta.fit(FACES[:3]).weights_ if name.startswith("solver.")}
    assert tuned == set(unrolled(solver=solver).fit(FACES[:3]).weights_)


# --- the U-Net -------------------------------------------------------------------------------


def by_formula(weights, x, depth):
    """Figure 1 of Ronneberger et al. (2015), with zero padding in convolutions."""
    w = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    n_rows, n_columns = x.shape[2:]
    multiple = 2 ** (depth - 1)
    z = pad(x, (0, -n_columns % multiple, 0, -n_rows % multiple), mode="replicate")

    def twice(z, part):
        for layer in (0, 2):
            name = f"network.{part}.{layer}"
            z = conv2d(z, w[f"{name}.weight"], w[f"{name}.bias"], padding=1).relu()
        return z

    seen = []
    for level in range(depth):
        z = twice(z if level == 0 else max_pool2d(z, 2), f"down.{level}")
        seen.append(z)
    for level in range(depth - 1):
        kernel, bias = (w[f"network.up.{level}.{part}"] for part in ("weight", "bias"))
        up = conv_transpose2d(z, kernel, bias, stride=2)
        z = twice(torch.cat([seen[depth - 2 - level], up], dim=1), f"merge.{level}")
    last = conv2d(z, w["network.last.weight"], w["network.last.bias"])
    return last[:, :, :n_rows, :n_columns]


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_much_noise_is_not_amplified(noise):
    est = unet(CompressedSensing(n_measurements=60), noise=noise).fit(FACES[:6])
    assert est.start_ == ("adjoint" if noise else "pseudo_inverse")


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("depth", "size"), [(1, (12, 12)), (3, (12, 12)), (3, (9, 11)), (4, (5, 3))]
)
def test_it_is_ronneberger_s_network(depth, size, residual):
    faces = load_faces()[:8, : size[0], : size[1]]
    est = unet(GaussianBlur(sigma=0.5), depth=depth, residual=residual).fit(faces)
    measured = est.simulate(faces, random_state=0)
    y = torch.from_numpy(measured)[:, None]
    seen = torch.cat([2 * y - 1, torch.ones_like(y)], dim=1)
    expected = (y if residual else 0.5) + 0.5 * by_formula(est.weights_, seen, depth)
    np.testing.assert_allclose(est.predict(measured), expected[:, 0], atol=1e-10)


def test_the_original_size_has_23_convolutions_and_31_million_weights():
    est = unet(width=64, depth=5, lr=0.0, precision="float32").fit(FACES[:1])
    kernels = [w for name, w in est.weights_.items() if name.endswith("weight")]
    assert len(kernels) == 23  # the paper's number of convolutions
    seen_mask = 9 * 64
    assert sum(w.size for w in est.weights_.values()) == 31_030_593 + seen_mask


def test_it_begins_with_the_same_variance_at_every_scale():
    """As in He et al. (2015), with gain 1 in layers without ReLU: up-convolutions and the last."""
    weights = unet(width=16, depth=4, lr=0.0).fit(FACES[:1]).weights_
    for name, w in weights.items():
        if name.endswith("bias"):
            assert (w == 0).all()
        elif ".up." in name:  # stride 2, size 2: fan-in is the number of channels
            assert w.std() == pytest.approx(w.shape[0] ** -0.5, rel=0.1)
        else:
            gain = 1 if ".last." in name else 2**0.5
            assert w.std() == pytest.approx(gain * w[0].size ** -0.5, rel=0.2)
    assert any(".up." in name for name in weights)


def test_it_sees_which_pixels_are_missing():
    """A missing pixel and one measured as 0 differ only in the mask."""
    est = unet(MissingPixels(observed=0.5)).fit(FACES[:10])
    measured = est.simulate(FACES[:2], random_state=0)
    missing = np.isnan(measured)
    assert 0.4 < missing.mean() < 0.6
    zeros = np.where(missing, 0.0, measured)
    y, mask = (torch.from_numpy(a)[:, None] for a in (zeros, (~missing).astype(float)))
    expected = y + 0.5 * by_formula(est.weights_, torch.cat([2 * y - 1, mask], dim=1), 3)
    np.testing.assert_allclose(est.predict(measured), expected[:, 0], atol=1e-10)
    assert abs(est.predict(zeros) - est.predict(measured)).max() > 1e-4


@pytest.mark.parametrize(
    ("operator", "start"),
    [
        (GaussianBlur(), "measurement"),
        (Saturation(), "measurement"),
        (MissingPixels(), "measurement"),
        (Downsampling(3), "adjoint"),
        (CompressedSensing(n_measurements=30), "pseudo_inverse"),
        (0.5 * CompressedSensing(n_measurements=30), "pseudo_inverse"),
        (Radon(7), "adjoint"),  # whose pseudo-inverse has no closed form
    ],
)
def test_it_sees_the_measurement_or_else_the_nearer_image(operator, start):
    est = unet(operator, depth=1, device="cpu").fit(FACES[:6])
    assert est.start_ == start
    measured = est.simulate(FACES[:2], random_state=0)
    A = est.operator_.build((1, 9, 9))
    y, _, _ = est._reader().to_restore(measured, est._geometry_)
    data = A.bind(y.read(np.arange(2)))
    x = data.start(start)
    if start == "adjoint":
        scale = np.linalg.norm(A.explicit()[0].numpy(), 2) ** 2
        torch.testing.assert_close(x, A.adjoint(data.y) / scale)
    if start == "pseudo_inverse":
        inverse = np.linalg.pinv(A.explicit()[0].numpy())
        np.testing.assert_allclose(x.flatten(1), data.y.flatten(1).numpy() @ inverse.T, atol=1e-9)
    mask = data.observed_pixels().double()
    expected = x + 0.5 * by_formula(est.weights_, torch.cat([2 * x - 1, mask], dim=1), 1)
    np.testing.assert_allclose(est.predict(measured), expected[:, 0], rtol=1e-6)


def test_starts_that_there_are_not():
    with pytest.raises(ValueError, match="needs a linear operator"):
        unet(PhaseRetrieval(), start="adjoint").fit(FACES[:3])
    with pytest.raises(ValueError, match="'start' parameter of UNetReconstructor"):
        unet(start="zeros").fit(FACES[:3])


def test_what_the_weights_belong_to_stays():
    est = unet(GaussianBlur(), depth=2, warm_start=True).fit(FACES[:6])
    measured = est.simulate(FACES[:2], random_state=0)
    expected = est.predict(measured)
    est.set_params(depth=4, width=3, residual=False, start="adjoint")
    np.testing.assert_array_equal(est.predict(measured), expected)
    est.fit(FACES[:6])
    assert est.n_epochs_ == 2
    assert est.start_ == "measurement"


def test_it_learns_to_fill_in():
    faces = load_faces()
    own = {"width": 8, "lr": 3e-3, "max_epochs": 15, "batch_size": 10, "precision": "float32"}
    est = unet(Inpainting(), **own).fit(faces[20:])
    measured = est.simulate(faces[:20])
    filled = measured.copy()
    missing = est.simulate(np.ones_like(faces[:1]))[0] == 0
    filled[:, missing] = faces[20:].mean(axis=0)[missing]
    assert psnr(faces[:20], est.predict(measured)) > psnr(faces[:20], measured) + 5
    inside = (slice(None), *np.where(missing))
    errors = [np.square((x - faces[:20])[inside]).mean() for x in (est.predict(measured), filled)]
    assert errors[0] < errors[1]


def test_units_change_nothing():
    x = FACES[:8]
    unit = unet(GaussianBlur(), noise=0.01, max_epochs=3).fit(x)
    other = unet(GaussianBlur(), noise=2.0, max_epochs=3, data_range=(-50, 150)).fit(200 * x - 50)
    measured = unit.simulate(x, random_state=0)
    expected = 200 * unit.predict(measured) - 50
    np.testing.assert_allclose(other.predict(200 * measured - 50), expected, atol=1e-7)


# --- both ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_layouts_give_the_same_numbers(name):
    colour = np.stack([FACES[:6], 0.5 * FACES[:6], 0.2 * FACES[:6]], axis=-1)
    denoiser = DnCNN(depth=2, width=2, max_epochs=1, random_state=0)
    solver = {"solver": HQS(denoiser, n_iter=2)} if name == "unrolled" else {}
    own = {"operator": GaussianBlur(), "noise": 0.01, **solver}
    est = MAKERS[name](**own).fit(colour)
    flat = MAKERS[name](**own, image_shape=(9, 9, 3)).fit(colour.reshape(6, -1))
    measured = est.simulate(colour, random_state=0)
    restored = est.predict(measured)
    assert restored.shape == colour.shape
    np.testing.assert_allclose(
        flat.predict(measured.reshape(6, -1)), restored.reshape(6, -1), atol=1e-12
    )
    tensor = est.predict(torch.from_numpy(measured))
    np.testing.assert_array_equal(tensor.numpy(), restored)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_restored_beside_an_image_changes_no_bit_of_it(name):
    est = MAKERS[name](GaussianBlur(), precision="float32").fit(FACES[:6])
    measured = est.simulate(FACES, random_state=0)
    together = est.predict(measured)
    for i in (0, 17, 29):
        np.testing.assert_array_equal(est.predict(measured[i : i + 1])[0], together[i])


@pytest.mark.parametrize("name", MAKERS)
def test_a_refit_gives_the_same_bits_and_so_do_epochs_one_by_one(name):
    own = {"operator": MissingPixels(), "noise": 0.02, "precision": "float32"}
    whole = MAKERS[name](**own, max_epochs=3).fit(FACES[:12])
    again = MAKERS[name](**own, max_epochs=3).fit(FACES[:12])
    steps = MAKERS[name](**own, max_epochs=3)
    for _ in range(3):
        steps = loaded(steps.partial_fit(FACES[:12]))
    for key, weight in whole.weights_.items():
        np.testing.assert_array_equal(again.weights_[key], weight)
        np.testing.assert_array_equal(steps.weights_[key], weight)
    assert steps.history_["loss"] == whole.history_["loss"]


def loaded(estimator):
    """Return the estimator after saving and loading it by joblib."""
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return joblib.load(buffer)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", MAKERS)
def test_an_interrupted_fit_goes_on_from_its_checkpoint(name, tmp_path, monkeypatch):
    own = {"operator": GaussianBlur(), "noise": 0.02, "max_epochs": 4, "precision": "float32"}
    expected = MAKERS[name](**own).fit(FACES[:10])
    kept = Checkpoint(tmp_path / "run.ckpt", minutes=None, epochs=1)
    est, n_steps, descend = MAKERS[name](**own, checkpoint=kept), [], TrainingLoop.descend

    def killed_in_the_third_epoch(self, **figures):
        n_steps.append(1)
        if len(n_steps) == 6:
            raise KilledError
        return descend(self, **figures)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "descend", killed_in_the_third_epoch)
        with pytest.raises(KilledError):
            est.fit(FACES[:10])
    est.fit(FACES[:10])
    for key, weight in expected.weights_.items():
        np.testing.assert_array_equal(est.weights_[key], weight)


@pytest.mark.parametrize("name", MAKERS)
def test_pairs_early_stopping_and_losses(name):
    est = MAKERS[name](GaussianBlur(), noise=0.02)
    measured = est.simulate(FACES, random_state=1)
    est.set_params(early_stopping=EarlyStopping(1, min_delta=100.0), max_epochs=9)
    est.set_params(loss={"l1": 1.0, "ssim": 0.1})
    est.fit(measured, FACES)
    assert est.n_epochs_ == 2
    assert len(est.history_["validation_psnr"]) == 2
    assert est.score(measured, FACES) == pytest.approx(psnr(FACES, est.predict(measured)), abs=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_the_loss_leaves_out_what_nobody_knows(name):
    known = FACES[:6].copy()
    holes = known.copy()
    holes[:, 3:5, 2:4] = np.nan
    y = MissingPixels(observed=0.7)
    measured = MAKERS[name](y).simulate(known, random_state=0)
    est = MAKERS[name](y, lr=0.0, batch_size=6).fit(measured, holes)
    errors = np.square(est.predict(measured) - known)
    expected = np.nanmean(np.where(np.isnan(holes), np.nan, errors), axis=(1, 2)).mean()
    assert est.history_["loss"][0] == pytest.approx(expected, rel=1e-10)
    assert expected != pytest.approx(errors.mean(), rel=1e-3)


@pytest.mark.parametrize("name", MAKERS)
def test_they_can_be_searched(name):
    grid = {"unrolled": {"solver__n_iter": [1, 2], "lr": [1e-3]}, "unet": {"width": [1, 2]}}[name]
    base = {"solver": GradientDescent()} if name == "unrolled" else {}
    search = GridSearchCV(MAKERS[name](Inpainting(), **base), grid, cv=2, error_score="raise")
    assert np.isfinite(search.fit(FACES[:6]).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("name", MAKERS)
def test_mixed_precision_is_close(name):
    own = {"operator": GaussianBlur(), "noise": 0.02, "max_epochs": 2}
    own |= {"width": 16} if name == "unet" else {"solver": HQS(D, n_iter=3)}
    full = MAKERS[name](**own, precision="float32").fit(FACES[:10])
    half = MAKERS[name](**own, precision="bfloat16").fit(FACES[:10])
    assert half.weights_.keys() == full.weights_.keys()
    measured = full.simulate(FACES[:3], random_state=0)
    difference = abs(half.predict(measured) - full.predict(measured)).max()
    assert 1e-7 < difference < 0.1


@pytest.mark.cuda
@pytest.mark.parametrize("name", MAKERS)
def test_on_a_gpu_they_learn_the_same(name):
    own = {"operator": GaussianBlur(), "noise": 0.02, "max_epochs": 2}
    cpu = MAKERS[name](**own, device="cpu").fit(FACES[:10])
    gpu = MAKERS[name](**own, device="cuda").fit(FACES[:10])
    for key, weight in cpu.weights_.items():
        np.testing.assert_allclose(gpu.weights_[key], weight, atol=1e-6)


# --- a network's image as the start ----------------------------------------------------------


@pytest.mark.parametrize("name", SOLVERS)
def test_without_inner_steps_meta_learning_is_the_solver_from_the_network_s_image(name):
    operator, init = GaussianBlur(sigma=0.7), Siren(width=8, depth=3)
    own = {"init": init, "max_epochs": 2, "random_state": 0, "precision": "float64"}
    own |= {"n_inner": 0, "algorithm": MAML(step_sizes="fixed"), "tune_solver": False}
    meta = MetaInverseSolver(operator, SOLVERS[name], **own).fit(FACES[:10])
    phi = init.build((1, 9, 9))
    theta = {
        key.removeprefix("init."): torch.from_numpy(weight)
        for key, weight in meta.weights_.items()
        if key.startswith("init.")
    }
    image = phi(theta)[0, 0].detach().numpy()
    classical = ClassicalReconstructor(
        operator, SOLVERS[name], start=image, precision="float64"
    ).fit(FACES[:10])
    measured = classical.simulate(FACES[10:15], random_state=0)
    np.testing.assert_allclose(
        meta.predict(measured), classical.predict(measured), rtol=0, atol=1e-10
    )
