"""DeepInverse's reconstruction models as an estimator, compared with direct calls of the models."""

import copy
import pickle

import numpy as np
import pytest
import torch
from settings import SMALL_FACES
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetainv import (
    ClassicalReconstructor,
    DeepInverseReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
)
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.estimators.residuals import residual_of
from skmetainv.metrics import psnr
from skmetainv.model_selection import compare
from skmetainv.operators import DeepInverseOperator, GaussianBlur, MissingPixels
from skmetainv.operators.maps.hidden_parts import all_modules
from skmetainv.representations import Siren
from skmetainv.solvers import HQS

deepinv = pytest.importorskip("deepinv")

FACES = SMALL_FACES[:7]
STILL = {"n_inner": 0, "outer_lr": 0.0, "max_epochs": 1, "random_state": 0}
SHAPE = (1, 9, 9)
FILTER = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3) / 45
MASK = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.4


def fft(x, **kwargs):
    return torch.fft.fft2(x, norm="ortho")


def inverse_fft(y, **kwargs):
    return torch.fft.ifft2(y, norm="ortho").real


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return deepinv.models.DnCNN(1, 1, depth=3, nf=4, pretrained=None)


def pgd(**options):
    prior = deepinv.optim.PnP(denoiser=network())
    own = {"prior": prior, "stepsize": 0.5, "sigma_denoiser": 0.05, "max_iter": 4}
    return deepinv.optim.PGD(**own | options)


FOURIER = deepinv.physics.LinearPhysics(A=fft, A_adjoint=inverse_fft)
PHYSICS = {
    "blur": deepinv.physics.Blur(FILTER, padding="reflect"),
    "inpainting": deepinv.physics.Inpainting(SHAPE, mask=MASK),
    "complex": FOURIER,
    "stacked": deepinv.physics.StackedLinearPhysics(
        [deepinv.physics.Inpainting(SHAPE, mask=MASK), FOURIER]
    ),
    "one type": deepinv.physics.Tomography(angles=5, img_width=9, circle=False, normalize=False),
}
MODELS = {
    "artifact removal": lambda: deepinv.models.ArtifactRemoval(network()),
    "algorithm": pgd,
    "unfolded": lambda: pgd(unfold=True),
}


def blurred(model=None, **options):
    operator = DeepInverseOperator(PHYSICS["blur"])
    model = MODELS["artifact removal"]() if model is None else model
    return DeepInverseReconstructor(model, operator, noise=0.02, device="cpu", **options)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["blur", "inpainting", "complex"])
def test_images_are_those_of_the_model_called_by_hand(name, model):
    physics = PHYSICS[name].clone()
    x = torch.from_numpy(FACES[:, None]).float()
    with torch.no_grad():
        y = physics.A(x)
        expected = MODELS[model]().eval()(y, physics)[:, 0].numpy()
    est = DeepInverseReconstructor(MODELS[model](), DeepInverseOperator(physics), device="cpu")
    measured = est.fit(FACES).simulate(FACES)
    np.testing.assert_allclose(np.squeeze(y.numpy()), as_complex(measured, y), atol=1e-6)
    np.testing.assert_allclose(est.predict(measured), expected, atol=1e-5)
    assert est.score(measured, FACES) == pytest.approx(psnr(FACES, expected), rel=1e-5)


def as_complex(measured, y):
    return measured[..., 0] + 1j * measured[..., 1] if y.is_complex() else measured


@pytest.mark.parametrize("name", ["stacked", "one type"])
def test_measurements_become_what_the_physics_has(name):
    physics = PHYSICS[name].clone()
    with torch.no_grad():
        y = physics.A(torch.from_numpy(FACES[:, None]).float())
        expected = MODELS["artifact removal"]().eval()(y, physics)[:, 0].numpy()
    est = DeepInverseReconstructor(
        MODELS["artifact removal"](),
        DeepInverseOperator(physics),
        precision="float64" if name == "one type" else "float32",
        device="cpu",
    ).fit(FACES)
    restored = est.predict(est.simulate(FACES))
    np.testing.assert_allclose(restored, expected, atol=1e-4 * np.abs(expected).max())
    assert restored.dtype == (np.float64 if name == "one type" else np.float32)


def test_the_model_sees_the_noise_model_of_its_physics():
    class Told(torch.nn.Module):
        def forward(self, y, physics):
            return torch.full_like(y, float(physics.noise_model.sigma))

    physics = deepinv.physics.Denoising(deepinv.physics.GaussianNoise(0.25))
    est = DeepInverseReconstructor(Told(), DeepInverseOperator(physics), noise=0.01).fit(FACES)
    np.testing.assert_allclose(est.predict(FACES), 0.25)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_precision(precision):
    single, other = blurred().fit(FACES), blurred(precision=precision).fit(FACES)
    y = single.simulate(FACES)
    error = np.abs(other.predict(y) - single.predict(y)).max()
    assert 0 < error < (1e-5 if precision == "float64" else 0.02)


def test_physics_stay_in_single_precision_with_bfloat16():
    class Adjoint(torch.nn.Module):
        def forward(self, y, physics):
            return physics.A_adjoint(y)

    single, half = (blurred(Adjoint(), precision=own).fit(FACES) for own in ("float32", "bfloat16"))
    y = single.simulate(FACES)
    np.testing.assert_array_equal(half.predict(y), single.predict(y))


def test_the_model_that_was_given_stays_as_it_is():
    model = MODELS["artifact removal"]().train()
    before = copy.deepcopy(model.state_dict())
    est = blurred(model, precision="float64").fit(FACES)
    y = est.simulate(FACES)
    restored = est.predict(y)
    assert model.training
    for name, weight in model.state_dict().items():
        assert weight.dtype == before[name].dtype
        assert torch.equal(weight, before[name])
    assert all(weight.requires_grad for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    est.set_params(batch_size=2)
    np.testing.assert_allclose(est.predict(y), restored, atol=1e-12)
    assert not np.allclose(clone(est).fit(FACES).predict(y), restored)


@pytest.mark.parametrize("model", MODELS)
def test_clones_and_pickles_restore_the_same_bits(model):
    est = blurred(MODELS[model]()).fit(FACES)
    y = est.simulate(FACES)
    restored = est.predict(y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(est)).predict(y), restored)
    np.testing.assert_array_equal(clone(est).fit(FACES[:2]).predict(y), restored)
    np.testing.assert_array_equal(est.predict(y[:1])[0], restored[0])


def test_images_of_another_size():
    est = blurred().fit(FACES)
    larger = load_faces()[:2, ::2, 1::2].astype(float)
    y = est.simulate(larger)
    restored = est.predict(y, image_shape=larger.shape[1:])
    np.testing.assert_array_equal(restored, blurred().fit(larger).predict(y))
    bound = DeepInverseReconstructor(
        MODELS["artifact removal"](), DeepInverseOperator(PHYSICS["inpainting"])
    ).fit(FACES)
    with pytest.raises(ValueError, match="Inpainting, the 'physics' parameter"):
        bound.predict(y, image_shape=larger.shape[1:])


@pytest.mark.cuda
@pytest.mark.parametrize("model", MODELS)
def test_cuda_agrees_with_the_cpu(model):
    est = blurred(MODELS[model]()).fit(FACES)
    y = est.simulate(FACES)
    restored = est.predict(y)
    np.testing.assert_allclose(est.set_params(device="cuda").predict(y), restored, atol=1e-3)
    np.testing.assert_allclose(est.fit(FACES).predict(y), restored, atol=1e-3)
    weights = [w for part in all_modules(est.model_) for w in part.parameters()]
    assert {weight.device.type for weight in weights} == {"cpu"}


# ------------------------------------- networks that an algorithm of deepinv.optim has in a list


class Dropping(torch.nn.Module):
    """A denoiser that is only deterministic in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.whole = network()

    def forward(self, x, sigma):
        return torch.nn.functional.dropout(self.whole(x, sigma), 0.5, self.training)


def test_a_network_in_a_list_is_counted_frozen_and_in_evaluation_mode():
    est = blurred(pgd(prior=deepinv.optim.PnP(denoiser=Dropping()))).fit(FACES)
    weights = [w for part in all_modules(est.model_) for w in part.parameters(recurse=False)]
    assert est.n_weights_ == sum(w.numel() for w in network().parameters())
    assert not any(w.requires_grad for w in weights)
    measured = est.simulate(FACES, random_state=0)
    np.testing.assert_array_equal(est.predict(measured), est.predict(measured))


def test_a_network_in_a_list_computes_in_bfloat16():
    single, half = (blurred(pgd(), precision=own).fit(FACES) for own in ("float32", "bfloat16"))
    measured = single.simulate(FACES, random_state=0)
    restored = single.predict(measured)
    difference = np.linalg.norm(half.predict(measured) - restored)
    assert 1e-5 < difference / np.linalg.norm(restored) < 0.05


def test_predictions_do_not_start_from_the_last_ones():
    """DeepInverse's total variation keeps its last result, from which the next call would start."""
    model = pgd(prior=deepinv.optim.TVPrior(n_it_max=5))
    est = blurred(model, batch_size=len(FACES)).fit(FACES)
    measured = est.simulate(FACES, random_state=0)
    first = est.predict(measured)
    est.predict(measured[::-1])
    np.testing.assert_array_equal(est.predict(measured), first)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "operator",
    [
        None,
        GaussianBlur(),
        MissingPixels() @ DeepInverseOperator(deepinv.physics.Denoising()),
        DeepInverseOperator(deepinv.physics.Denoising()).normalize(),
    ],
)
def test_an_operator_without_physics_is_refused(operator):
    est = DeepInverseReconstructor(MODELS["artifact removal"](), operator)
    with pytest.raises(
        ValueError,
        match=r"'operator' parameter of DeepInverseReconstructor must be a Deep(.|\n)*"
        r"Write operator=DeepInverseOperator\(physics\)",
    ):
        est.fit(FACES)
    assert not hasattr(est, "operator_")


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda y, physics: y[..., 1:], r"shape \(1, 1, 9, 9\), .* Got shape \(1, 1, 9, 8\)"),
        (lambda y, physics: (y, {}), r"must give images of shape .* Got \(tensor"),
        (lambda y, physics: y > 0, r"in floating point\. Got shape .*, torch.bool"),
        (lambda y, physics: physics.no_such_thing(y), r"does not restore images .*no_such_thing"),
    ],
)
def test_a_model_that_gives_no_images_is_named(gives, message):
    class Strange(torch.nn.Module):
        def forward(self, y, physics):
            return gives(y, physics)

    with pytest.raises(ValueError, match=f"Strange, the 'model' parameter of .*{message}"):
        blurred(Strange()).fit(FACES)


def test_what_is_no_reconstruction_model_is_refused():
    with pytest.raises(ValueError, match="'model' parameter of DeepInverseReconstructor must be"):
        blurred(lambda y, physics: y).fit(FACES)
    with pytest.raises(ValueError, match=r"model=deepinv\.models\.ArtifactRemoval\(denoiser\)"):
        blurred(network()).fit(FACES)


def test_a_module_as_residual_is_refused_with_its_estimator():
    init = Siren(4, depth=2, residual=MODELS["artifact removal"]())
    with pytest.raises(
        ValueError,
        match=r"'residual' parameter of Siren must be (.|\n)*"
        r"Write residual=DeepInverseReconstructor\(model\)",
    ):
        MetaInverseSolver(init=init, max_epochs=1).fit(FACES)


# ------------------------------------------------------------ as a start, and in comparisons


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("model", ["artifact removal", "algorithm"])
def test_a_start_is_what_the_model_alone_restores(model, frozen):
    alone = blurred(MODELS[model]()).fit(FACES)
    start = FrozenEstimator(alone) if frozen else DeepInverseReconstructor(MODELS[model]())
    init = Siren(4, depth=2, residual=start)
    operator = DeepInverseOperator(PHYSICS["blur"])
    est = MetaInverseSolver(operator, noise=0.02, init=init, device="cpu", **STILL).fit(FACES)
    y = est.simulate(FACES)
    np.testing.assert_allclose(est.predict(y), alone.predict(y), rtol=0, atol=1e-6)


def test_a_start_in_mixed_precision():
    init = Siren(4, depth=2, residual=DeepInverseReconstructor(MODELS["artifact removal"]()))
    operator = DeepInverseOperator(PHYSICS["blur"])
    est = MetaInverseSolver(operator, init=init, precision="bfloat16", **STILL).fit(FACES)
    assert np.isfinite(est.predict(est.simulate(FACES))).all()


@pytest.mark.parametrize(
    ("start", "n_fits"),
    [
        (DeepInverseReconstructor(MODELS["artifact removal"]()), 1),
        (ClassicalReconstructor(solver=HQS(n_iter=1)), 1),
        (ClassicalReconstructor(solver=HQS(DnCNN(0.1, depth=2, width=2, max_epochs=1))), 4),
    ],
    ids=["model", "classical", "learned denoiser"],
)
def test_only_what_learns_is_cross_fitted(start, n_fits, monkeypatch):
    fits = []
    fit = type(start).fit

    def counted(self, *args, **kwargs):
        fits.append(self)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(type(start), "fit", counted)
    operator = DeepInverseOperator(PHYSICS["blur"])
    MetaInverseSolver(operator, init=Siren(3, depth=2, residual=start), **STILL).fit(FACES[:3])
    assert len(fits) == n_fits


def test_a_fitted_denoiser_is_not_learned_again():
    denoiser = FrozenEstimator(DnCNN(0.1, depth=2, width=2, max_epochs=1).fit(FACES))
    assert not ClassicalReconstructor(solver=HQS(denoiser))._depends_on_images()
    assert ClassicalReconstructor(solver=HQS(denoiser.estimator))._depends_on_images()


def test_compared_with_others():
    model = MODELS["artifact removal"]()
    comparison = compare(
        {"model": blurred(model), "linear": LinearReconstructor(blurred().operator, noise=0.02)},
        FACES[:4],
        cv=2,
    )
    assert np.isfinite(comparison["psnr"].to_numpy(dtype=float)).all()
    est = blurred(model).fit(FACES)
    assert est.n_weights_ == sum(weight.numel() for weight in model.parameters())
    init = Siren(3, depth=2, residual=FrozenEstimator(est))
    around = MetaInverseSolver(est.operator, init=init, **STILL).fit(FACES)
    assert residual_of(around.init_) is est
    assert around.n_weights_ > est.n_weights_


@parametrize_with_checks(
    [
        DeepInverseReconstructor(
            deepinv.models.ArtifactRemoval(network()),
            DeepInverseOperator(deepinv.physics.Denoising()),
        )
    ],
    expected_failed_checks=lambda estimator: {
        "check_estimators_overwrite_params": "joblib's hash of a module is not that of its copy"
    },
)
def test_estimator_checks(estimator, check):
    check(estimator)
