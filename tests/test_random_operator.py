"""Operators with random parameters: their maps, and estimators for many instruments."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy.stats import randint, rv_continuous, rv_discrete, uniform
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
    io,
)
from skmetainv.datasets import load_faces
from skmetainv.denoisers import TotalVariation
from skmetainv.metrics import psnr
from skmetainv.model_selection import ImageScorer, compare
from skmetainv.noise import GaussianNoise, as_noise
from skmetainv.operators import (
    CompressedSensing,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    Radon,
    RandomOperator,
    Saturation,
    Stack,
)
from skmetainv.randomness import evaluation_generators
from skmetainv.reconstruction.canonical import canonical
from skmetainv.representations import Siren
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)

SHAPE = (1, 8, 8)
CASES = {
    "blur": RandomOperator(GaussianBlur(), {"sigma": uniform(0.5, 2.5)}, n_instruments=8),
    "blur, reflected": RandomOperator(
        GaussianBlur(boundary="reflect"), {"sigma": uniform(0.5, 2.5)}, n_instruments=8
    ),
    "box": RandomOperator(Inpainting("box"), {"box": [(1, 2, 3, 3), (0, 0, 4, 4), (5, 1, 2, 6)]}),
    "masked blur": RandomOperator(
        MissingPixels(0.6) @ GaussianBlur(), {"inner__sigma": uniform(0.5, 2.5)}, n_instruments=8
    ),
    "scaled": RandomOperator(2.0 * Identity(), {"factor": [0.5, 1.0, 3.0]}),
    "sensing": RandomOperator(
        CompressedSensing(n_measurements=0.5), {"random_state": randint(0, 100)}, n_instruments=8
    ),
    "tomography": RandomOperator(
        Radon(angles=np.arange(0.0, 180.0, 30.0)),
        {"angles": [np.arange(0.0, 180.0, 30.0), np.arange(15.0, 180.0, 30.0)]},
    ),
}
SOLVERS = [
    GradientDescent(n_iter=3),
    GradientDescent(n_iter=3, step_size=0.1, learnable=("step_size",)),
    ConjugateGradient(n_iter=3),
    HQS(n_iter=2),
    RED(n_iter=2),
    RED(n_iter=2, method="steepest_descent"),
    RED(n_iter=2, method="admm"),
    ADMM(n_iter=2),
    PrimalDual(n_iter=3),
    ProximalGradient(n_iter=3),
]


def generators(n, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(n)]


def batch_of(case, n=6, seed=0):
    """Return images, the map with an instrument for each, and their measurements."""
    x = torch.from_numpy(np.random.default_rng(seed).random((n, *SHAPE)))
    drawing = generators(n, seed)
    A = CASES[case].build(SHAPE).instruments(drawing)
    return x, A, A.simulate(x, GaussianNoise(0.01).build(), drawing)


def same(of_batch, of_images):
    torch.testing.assert_close(of_batch, torch.cat(of_images), rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.fixture(params=CASES)
def case(request):
    return request.param


def test_a_batch_has_several_instruments(case):
    _, A, _ = batch_of(case)
    assert len(A.maps) > 1


def test_methods_are_those_of_each_image(case):
    x, A, y = batch_of(case)
    v = y.nan_to_num()
    alone = [A.part(i, i + 1) for i in range(len(x))]
    assert all(len(one.maps) == 1 for one in alone)
    same(A.adjoint(v), [one.maps[0].adjoint(v[[i]]) for i, one in enumerate(alone)])
    same(A.normal(x), [one.maps[0].normal(x[[i]]) for i, one in enumerate(alone)])
    same(A.vjp(x, v), [one.maps[0].vjp(x[[i]], v[[i]]) for i, one in enumerate(alone)])
    same(A.pseudo_inverse(v), [one.maps[0].pseudo_inverse(v[[i]]) for i, one in enumerate(alone)])
    bound = A.with_masks_of(y)
    same(
        bound(x),
        [one.maps[0].with_masks_of(y[[i]])(x[[i]]) for i, one in enumerate(alone)],
    )
    assert float(A.norm()) == pytest.approx(max(float(one.maps[0].norm()) for one in alone))


def test_a_measurement_does_not_depend_on_the_batch(case):
    x, _, y = batch_of(case)
    pool, noise = CASES[case].build(SHAPE), GaussianNoise(0.01).build()
    same(pool.simulate(x, noise, generators(6)), [y])
    alone = [pool.simulate(x[[i]], noise, [generators(6)[i]]) for i in range(6)]
    same(pool.simulate(x, noise, generators(6)), alone)


def test_data_terms_are_those_of_each_image(case):
    x, A, y = batch_of(case)
    starts, start = torch.stack([x, x**2], dim=1), x.flip(0)
    data = A.bind(y, starts)
    alone = [A.part(i, i + 1).maps[0].bind(y[[i]], starts[[i]]) for i in range(len(x))]
    penalties = torch.linspace(0.1, 2.0, len(x)).double().reshape(-1, 1, 1, 1)
    for compute in (
        lambda d, z, _: d.gradient(z),
        lambda d, z, _: d.prox(z, 0.3),
        lambda d, z, rho: d.prox(z, rho),
        lambda d, z, _: d.loss(z, lambda a, b, _: (a - b).square().flatten(1).sum(1)),
        lambda d, z, _: d.mean_squared_residuals(z),
        lambda d, z, _: d.start("adjoint"),
        lambda d, z, _: d.start("pseudo_inverse"),
        lambda d, z, _: d.start("given"),
        lambda d, z, _: d.uncertainty(),
        lambda d, z, _: d.observed_pixels(),
    ):
        of_images = [compute(d, start[[i]], penalties[[i]]) for i, d in enumerate(alone)]
        same(compute(data, start, penalties), of_images)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_solvers_treat_each_image_as_alone(case, solver):
    x, A, y = batch_of(case)
    f = solver.build(SHAPE).double()
    start = x.flip(0).requires_grad_()

    def result_and_gradient(start, data):
        result = f(start, data)
        (gradient,) = torch.autograd.grad(result.square().sum(), start, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), start)
        return result, gradient, second

    alone = [
        result_and_gradient(start[[i]], A.part(i, i + 1).maps[0].bind(y[[i]]))
        for i in range(len(x))
    ]
    for of_batch, of_images in zip(
        result_and_gradient(start, A.bind(y)), zip(*alone, strict=True), strict=True
    ):
        same(of_batch, of_images)


def test_parts_of_a_batch():
    x, A, _ = batch_of("blur", n=7)
    same(A(x), [A.part(k, k + 3)(x[k : k + 3]) for k in (0, 3, 6)])


def test_nonlinear_instruments():
    operator = RandomOperator(Saturation(), {"gain": [0.5, 2.0, 8.0]})
    A = operator.build(SHAPE).instruments(generators(5))
    x = torch.from_numpy(np.random.default_rng(0).random((5, *SHAPE)))
    same(A(x), [A.part(i, i + 1).maps[0](x[[i]]) for i in range(5)])
    data = A.bind(A(x))
    same(
        data.gradient(x / 2),
        [A.part(i, i + 1).bind(A(x)[[i]]).gradient(x[[i]] / 2) for i in range(5)],
    )


def test_draws_depend_on_the_seed_alone():
    sigmas = [[op.sigma for op in CASES["blur"].instruments()] for _ in range(2)]
    assert sigmas[0] == sigmas[1]
    assert len(set(sigmas[0])) == 8
    assert all(0.5 <= sigma <= 3 for sigma in sigmas[0])
    other = RandomOperator(GaussianBlur(), {"sigma": uniform(0.5, 2.5)}, random_state=1)
    assert len(other.instruments()) == 64
    assert other.instruments()[0].sigma != sigmas[0][0]


def test_an_operator_is_written_as_in_code():
    assert repr(BLURS) == (
        "RandomOperator(GaussianBlur(), {'sigma': uniform(0.5, 1.5)}, n_instruments=5)"
    )
    operator = RandomOperator(GaussianBlur(), {"sigma": uniform(scale=2.0)}, random_state=1)
    assert repr(operator) == (
        "RandomOperator(GaussianBlur(), {'sigma': uniform(scale=2.0)}, random_state=1)"
    )


def test_lists_are_drawn_without_repetition():
    operator = RandomOperator(Inpainting(), {"fraction": [0.2, 0.3, 0.5]})
    assert sorted(op.fraction for op in operator.instruments()) == [0.2, 0.3, 0.5]


def test_an_operator_is_called_with_random_instruments():
    faces = np.random.default_rng(0).random((4, 8, 8))
    y = CASES["blur"](faces, random_state=0)
    assert y.shape == faces.shape
    np.testing.assert_array_equal(y, CASES["blur"](faces, random_state=0))
    assert not np.allclose(y, CASES["blur"](faces, random_state=1))
    assert CASES["masked blur"].has_missing
    assert not CASES["blur"].has_missing


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (RandomOperator(GaussianBlur(), {}), "must not be empty"),
        (RandomOperator(GaussianBlur(), {"width": [1.0]}), "'distributions'.*names of parameters"),
        (RandomOperator(GaussianBlur(), {"sigma": 1.0}), "'distributions'.*lists"),
        (RandomOperator(GaussianBlur(), {"sigma": [1.0, -1.0]}), "sigma"),
        (RandomOperator(Radon(), {"angles": [10, 20]}), "measurements of one shape"),
        (RandomOperator("blur", {"sigma": [1.0]}), "'operator' parameter of RandomOperator"),
        (RandomOperator(GaussianBlur(), {"sigma": [1.0]}, n_instruments=0), "n_instruments"),
    ],
)
def test_wrong_distributions_are_refused(operator, message):
    with pytest.raises(ValueError, match=message):
        operator.build(SHAPE)


@pytest.mark.parametrize("method", ["adjoint", "pseudo_inverse"])
def test_what_needs_one_instrument_is_refused(method):
    with pytest.raises(ValueError, match="stands for many instruments"):
        getattr(CASES["blur"], method)(np.ones((2, 8, 8)))
    with pytest.raises(ValueError, match="stands for many instruments"):
        CASES["blur"].data_fidelity(np.ones((2, 8, 8)), np.ones((2, 8, 8)))


# ---------------------------------------------------------------------- estimators

FACES = load_faces()[:40, :16, :16]
BLURS = RandomOperator(GaussianBlur(), {"sigma": uniform(0.5, 1.5)}, n_instruments=5)
TRAINED = {"max_epochs": 1, "random_state": 0}
ESTIMATORS = {
    "linear": LinearReconstructor(BLURS, noise=0.01, random_state=0),
    "classical": ClassicalReconstructor(BLURS, HQS(n_iter=4), noise=0.01, random_state=0),
    "unet": UNetReconstructor(BLURS, width=4, depth=2, noise=0.01, **TRAINED),
    "unrolled": UnrolledReconstructor(
        BLURS, HQS(TotalVariation(), n_iter=2, learnable=("rho",), rho=0.1), noise=0.01, **TRAINED
    ),
    "default": MetaInverseSolver(BLURS, noise=0.01, **TRAINED),
    "gradient descent": MetaInverseSolver(BLURS, GradientDescent(), noise=0.01, **TRAINED),
    "plain": MetaInverseSolver(BLURS, init=Siren(width=8, depth=3), noise=0.01, **TRAINED),
    "on unrolled": MetaInverseSolver(
        BLURS,
        init=Siren(
            width=8,
            depth=3,
            residual=UnrolledReconstructor(
                solver=HQS(TotalVariation(), n_iter=2, learnable=("rho",), rho=0.1), max_epochs=1
            ),
        ),
        noise=0.01,
        **TRAINED,
    ),
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def fitted(request):
    return clone(ESTIMATORS[request.param]).fit(FACES[:30])


def test_an_instrument_is_named(fitted):
    blur = GaussianBlur(sigma=0.7)
    measured = blur(FACES[30:])
    assert fitted.predict(measured, operator=blur).shape == FACES[30:].shape
    with pytest.raises(ValueError, match="stands for many instruments"):
        fitted.predict(measured)


def test_scores_know_the_instrument_of_each_image(fitted):
    """They are those of predictions with the instrument that was drawn."""
    x = FACES[30:]
    A, noise = BLURS.build((1, 16, 16)).float(), as_noise(0.01).build()
    psnrs = []
    for i, image in enumerate(x):
        (generator,) = evaluation_generators(0, [i])
        place = int(generator.integers(5))
        y = A.maps[place].simulate(torch.from_numpy(image)[None, None].float(), noise, [generator])
        operator = BLURS.instruments()[place]
        psnrs.append(psnr(image[None], fitted.predict(y[0].numpy(), operator=operator)))
    assert fitted.score(x) == pytest.approx(np.mean(psnrs), abs=2e-3)


def test_the_right_instrument_restores_better(fitted):
    blur = GaussianBlur(sigma=1.8)
    measured = blur(FACES[30:])
    right, wrong = (
        psnr(FACES[30:], fitted.predict(measured, operator=operator))
        for operator in (blur, GaussianBlur(sigma=0.5))
    )
    if isinstance(fitted, UNetReconstructor):  # it starts from the measurement, whatever the blur
        assert right == wrong
    elif isinstance(fitted.init_ if hasattr(fitted, "init_") else None, Siren) and right < 15:
        assert right != wrong  # one epoch of a SIREN alone: gray images
    else:
        assert right > wrong


def test_other_measurements_are_refused(fitted):
    with pytest.raises(ValueError, match="measurements of shape"):
        fitted.predict(FACES[30:], operator=CompressedSensing(n_measurements=0.5))
    with pytest.raises(ValueError, match="'operator' of the measurements"):
        fitted.predict(FACES[30:], operator="blur")


def test_other_instruments_than_those_of_training_can_be_named(fitted, recwarn):
    operator = Inpainting(fraction=0.3) @ GaussianBlur(sigma=0.7)
    assert np.isfinite(fitted.predict(operator(FACES[30:]), operator=operator)).all()
    assert not recwarn.list  # the named operator leaves out pixels, not the fitted one


def test_each_measurement_may_have_its_own_instrument(fitted):
    measured, operators = fitted.simulate(FACES[30:], random_state=0, return_operators=True)
    restored = fitted.predict(measured, operator=operators)
    alone = [
        fitted.predict(y[None], operator=operator)
        for y, operator in zip(measured, operators, strict=True)
    ]
    np.testing.assert_allclose(restored, np.concatenate(alone), atol=2e-5)
    assert fitted.score(measured, FACES[30:], operator=operators) == pytest.approx(
        psnr(FACES[30:], restored), abs=1e-3
    )
    misfit = fitted.data_fidelity(measured, FACES[30:], operator=operators)
    np.testing.assert_allclose(misfit, 1e-4, rtol=0.5)  # the variance of the noise
    with pytest.raises(ValueError, match="10 operators for 9 measurements"):
        fitted.predict(measured[:9], operator=operators)


@pytest.mark.parametrize("name", ["linear", "classical", "unrolled", "gradient descent"])
def test_one_instrument_of_many_is_that_instrument(name):
    """A list of one operator is as good as the operator."""
    est = clone(ESTIMATORS[name])
    one = RandomOperator(GaussianBlur(), {"sigma": [1.2]})
    alone = (
        clone(est).set_params(operator=GaussianBlur(sigma=1.2), augment=False)
        if hasattr(est, "augment")
        else clone(est).set_params(operator=GaussianBlur(sigma=1.2))
    )
    est.set_params(operator=one)
    if hasattr(est, "augment"):
        est.set_params(augment=False)
    measured = GaussianBlur(sigma=1.2)(FACES[30:])
    expected = alone.fit(FACES[:30]).predict(measured)
    restored = est.fit(FACES[:30]).predict(measured, operator=GaussianBlur(sigma=1.2))
    if name in ("linear", "classical"):  # the others draw other noise: the instrument comes first
        np.testing.assert_allclose(restored, expected, atol=1e-4)
    else:
        assert np.abs(restored - expected).mean() < 0.01


def test_operators_are_returned_for_fixed_operators_too():
    est = LinearReconstructor(GaussianBlur()).fit(FACES)
    _, operators = est.simulate(FACES[:3], return_operators=True)
    assert [repr(operator) for operator in operators] == ["GaussianBlur()"] * 3


def test_stages_of_a_named_instrument():
    est = clone(ESTIMATORS["gradient descent"]).fit(FACES[:30])
    blur = GaussianBlur(sigma=0.7)
    stages = list(est.staged_predict(blur(FACES[30:]), operator=blur))
    assert len(stages) == est.n_inner + 1
    np.testing.assert_array_equal(stages[-1], est.predict(blur(FACES[30:]), operator=blur))


def test_a_fitted_operator_can_be_replaced_at_prediction():
    """Also an estimator for one instrument takes the measurements of another."""
    est = LinearReconstructor(GaussianBlur(sigma=1.0), noise=0.01).fit(FACES[:30])
    other = LinearReconstructor(GaussianBlur(sigma=1.6), noise=0.01)
    other.set_params(shrinkage=est.shrinkage_, flips=est.flips_).fit(FACES[:30])
    blur = GaussianBlur(sigma=1.6)
    measured = blur(FACES[30:])
    np.testing.assert_allclose(
        est.predict(measured, operator=blur), other.predict(measured), atol=1e-4
    )


def test_training_reports_validates_and_resumes(tmp_path, capsys):
    est = clone(ESTIMATORS["default"]).set_params(verbose=1, checkpoint=tmp_path / "state")
    est.fit(FACES[:30], X_val=FACES[30:])
    assert "PSNR of 10 held-out images" in capsys.readouterr().err
    assert len(est.history_["validation_psnr"]) == 1
    again = clone(est).fit(FACES[:30], X_val=FACES[30:])
    blur = GaussianBlur(sigma=0.7)
    np.testing.assert_array_equal(
        again.predict(blur(FACES), operator=blur), est.predict(blur(FACES), operator=blur)
    )


def test_saved_estimators_take_instruments(tmp_path):
    est = clone(ESTIMATORS["gradient descent"]).fit(FACES[:30])
    blur = GaussianBlur(sigma=0.7)
    expected = est.predict(blur(FACES), operator=blur)
    joblib.dump(est, tmp_path / "est.joblib")
    io.save(est, tmp_path / "est.skmetainv")
    for copy in (joblib.load(tmp_path / "est.joblib"), io.load(tmp_path / "est.skmetainv")):
        np.testing.assert_array_equal(copy.predict(blur(FACES), operator=blur), expected)


def test_a_checkpoint_knows_distributions_in_every_process():
    code = (
        "from scipy.stats import uniform;"
        "from skmetainv.operators import GaussianBlur, RandomOperator;"
        "from skmetainv.reconstruction.canonical import canonical;"
        "print(canonical(RandomOperator(GaussianBlur(), {'sigma': uniform(0.5, 1.5)})))"
    )
    texts = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}
    assert len(texts) == 1
    assert b"['uniform', [0.5, 1.5], {}]" in texts.pop()


def test_nonlinear_instruments_have_their_own_scale():
    """A nonlinear solver's step is that of each image, not of the largest in the batch."""
    pool = RandomOperator(Saturation(high=10.0), {"gain": [1.0, 4.0]}).build(SHAPE)
    A = pool.instruments(generators(6))
    x = torch.from_numpy(np.random.default_rng(0).random((6, *SHAPE)))
    f, y = GradientDescent(n_iter=3).build(SHAPE).double(), A(x)
    alone = [f(x[[i]] / 2, A.part(i, i + 1).maps[0].bind(y[[i]])) for i in range(6)]
    same(f(x / 2, A.bind(y)), alone)


def test_nonlinear_instruments_can_be_learned():
    operator = RandomOperator(Saturation(), {"gain": [1.0, 2.0, 3.0]})
    for est in (LinearReconstructor(operator), MetaInverseSolver(operator, **TRAINED)):
        est.fit(FACES[:30])
        clipped = Saturation(gain=2.0)
        assert est.predict(clipped(FACES[30:]), operator=clipped).shape == (10, 16, 16)


@pytest.mark.parametrize(
    "whole",
    [
        MissingPixels() @ BLURS,
        2.0 * BLURS,
        BLURS.normalize(),
        Stack([BLURS, Identity()]),
        RandomOperator(BLURS, {"n_instruments": [2, 3]}),
    ],
    ids=["composed", "scaled", "normalized", "stacked", "random"],
)
def test_a_random_operator_is_no_part_of_another(whole):
    with pytest.raises(ValueError, match=r"(?s)cannot be part of another operator.*inner__sigma"):
        whole.build((1, 16, 16))


def test_instruments_agree_on_missing_samples():
    operator = RandomOperator(Identity() @ GaussianBlur(), {"outer": [MissingPixels(), Identity()]})
    with pytest.raises(ValueError, match=r"all instruments .* leave out samples, or none"):
        operator.build(SHAPE)
    always = RandomOperator(
        Identity() @ GaussianBlur(), {"outer": [MissingPixels(0.3), MissingPixels(0.6)]}
    )
    assert always.has_missing


def test_parameters_are_checked_before_instruments_are_drawn():
    with pytest.raises(ValueError, match="n_instruments"):
        RandomOperator(GaussianBlur(), {"sigma": uniform()}, n_instruments=-1).instruments()
    with pytest.raises(ValueError, match="'distributions' parameter"):
        RandomOperator(GaussianBlur(), [1.0]).instruments()


@pytest.mark.parametrize("n", [1, 3])
def test_scorers_and_comparisons_name_the_instrument(n):
    operator = RandomOperator(GaussianBlur(), {"sigma": [0.5, 1.0, 1.5][:n]})
    est, blur = LinearReconstructor(operator, noise=0.01).fit(FACES[:30]), GaussianBlur(sigma=0.8)
    score = ImageScorer(operator=blur)(est, FACES[30:])
    assert score == pytest.approx(est.score(FACES[30:], operator=blur))
    measured = est.set_params(noise=0.0).simulate(FACES[30:])
    est.set_params(noise=0.01)
    assert measured.shape == (10, 16, 16)
    table = compare({"linear": clone(est)}, FACES, operator=blur, cv=2)
    assert len(table) == 1


def test_closed_forms_are_those_of_all_instruments():
    sensing = RandomOperator(CompressedSensing(), {"random_state": randint(0, 9)}, n_instruments=3)
    assert sensing.build(SHAPE).has_closed_form
    assert not CASES["masked blur"].build(SHAPE).has_closed_form


def test_named_operators_within_inference_mode():
    est = MetaInverseSolver(GaussianBlur(), GradientDescent(), **TRAINED).fit(FACES[:30])
    blur = GaussianBlur(sigma=0.7)
    expected = est.predict(blur(FACES[30:]), operator=blur)
    with torch.inference_mode():
        np.testing.assert_array_equal(est.predict(blur(FACES[30:]), operator=blur), expected)


def test_missing_samples_need_an_operator_that_leaves_them_out():
    est = LinearReconstructor(MissingPixels() @ GaussianBlur()).fit(FACES[:30])
    measured = est.simulate(FACES[30:])
    with pytest.raises(ValueError, match="NaN"):
        est.predict(measured, operator=GaussianBlur())


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_restores_as_predict_does(early_stopping):
    """A residual with its own operator restores held-out images with that operator, too."""
    init = Siren(width=8, depth=3, residual=LinearReconstructor(GaussianBlur(sigma=0.5)))
    est = MetaInverseSolver(
        GaussianBlur(sigma=1.5), init=init, n_inner=0, outer_lr=0.0, noise=0.01, **TRAINED
    ).set_params(early_stopping=early_stopping)
    est.fit(FACES[:30], X_val=FACES[30:])
    assert est.history_["validation_psnr"][0] == pytest.approx(est.score(FACES[30:]), abs=1e-3)


def test_a_residual_for_one_instrument_gets_the_others():
    init = Siren(width=8, depth=3, residual=LinearReconstructor(GaussianBlur(sigma=0.5)))
    est = MetaInverseSolver(BLURS, init=init, noise=0.01, **TRAINED).fit(FACES[:30])
    blur = GaussianBlur(sigma=0.7)
    assert est.predict(blur(FACES[30:]), operator=blur).shape == (10, 16, 16)


@pytest.mark.parametrize("name", ["linear", "classical", "unet", "default"])
def test_measured_pairs_cannot_be_learned_from(name):
    measured = GaussianBlur()(FACES)
    with pytest.raises(ValueError, match="pass clean images alone"):
        clone(ESTIMATORS[name]).fit(measured, FACES)


def test_comparisons_refuse_what_has_no_instrument():
    est = LinearReconstructor(BLURS, noise=0.01)
    for arguments in ((FACES,), (GaussianBlur()(FACES), FACES)):
        with pytest.raises(ValueError, match=r"compare\(..., operator="):
            compare({"linear": est}, *arguments, cv=2)
    frozen = FrozenEstimator(clone(est).fit(FACES))
    assert len(compare({"frozen": frozen}, FACES, operator=GaussianBlur(sigma=0.8), cv=2)) == 1


def test_lists_of_operators_are_checked_at_once():
    est = clone(ESTIMATORS["gradient descent"]).fit(FACES[:30])
    blur = GaussianBlur(sigma=0.7)
    measured = blur(FACES[:4])
    for use in (est.predict, est.staged_predict):
        with pytest.raises(ValueError, match="3 operators for 4 measurements"):
            use(measured, operator=[blur] * 3)
        with pytest.raises(ValueError, match="one for each measurement"):
            use(measured, operator=[])
    for use in (est.score, est.restorations, est.data_fidelity):
        with pytest.raises(ValueError, match="3 operators for 4 measurements"):
            use(measured, FACES[:4], operator=[blur] * 3)
    with pytest.raises(ValueError, match="3 operators for 4 measurements"):
        est.score(FACES[:4], operator=[blur] * 3)


def test_lists_of_operators_may_be_arrays_and_share_maps():
    est = LinearReconstructor(GaussianBlur(), noise=0.01).fit(FACES[:30])
    measured = GaussianBlur(sigma=0.7)(FACES[:20])
    equal = np.array([GaussianBlur(sigma=0.7) for _ in range(20)], dtype=object)
    assert len(est._named_map(equal, est._geometry_).maps) == 1
    np.testing.assert_allclose(
        est.predict(measured, operator=equal),
        est.predict(measured, operator=GaussianBlur(sigma=0.7)),
        atol=1e-6,
    )


def test_lists_agree_on_missing_samples():
    est = LinearReconstructor(MissingPixels(), random_state=0).fit(FACES[:30])
    with pytest.raises(ValueError, match="all operators of a list leave out samples, or none"):
        est.score(FACES[:2], operator=[MissingPixels(), Identity()])


class Triangle(rv_continuous):
    """A user's distribution with the name of another."""

    def _ppf(self, q):
        return np.sqrt(q)


def test_a_user_s_distribution_is_not_taken_for_another(tmp_path):
    own = Triangle(name="uniform")()
    operators = [RandomOperator(GaussianBlur(), {"sigma": d}) for d in (own, uniform())]
    assert len({canonical(operator) for operator in operators}) == 2
    est = LinearReconstructor(operators[0]).fit(FACES)
    with pytest.raises(ValueError, match="cannot hold"):
        io.save(est, tmp_path / "file")
    tables = [rv_discrete(values=(x, [0.5, 0.5]))() for x in ([1, 2], [1, 3])]
    assert canonical(tables[0]) != canonical(tables[1])


# ------------------------------------------------------------------ the nominal instrument

NOMINAL = RandomOperator(GaussianBlur(sigma=1.5), {"sigma": [0.5, 2.5]}, nominal=0.5)


def test_the_nominal_instrument_comes_first():
    assert [op.sigma for op in NOMINAL.instruments()] in ([1.5, 0.5, 2.5], [1.5, 2.5, 0.5])
    assert len(clone(NOMINAL).set_params(nominal=0.0).instruments()) == 2


def test_it_measures_its_share_of_the_images():
    A = NOMINAL.build(SHAPE)
    drawn = [B.built_by.sigma for B in A.instruments(generators(3000)).of_images(torch.empty(3000))]
    counts = [drawn.count(sigma) / 3000 for sigma in (1.5, 0.5, 2.5)]
    np.testing.assert_allclose(counts, [0.5, 0.25, 0.25], atol=0.04)


def test_without_a_nominal_instrument_draws_are_as_before():
    operator = clone(NOMINAL).set_params(nominal=0.0)
    A = operator.build(SHAPE)
    drawn = [B.built_by.sigma for B in A.instruments(generators(20)).of_images(torch.empty(20))]
    assert drawn == [A.each[int(g.integers(2))].built_by.sigma for g in generators(20)]


def test_files_and_repr_keep_it(tmp_path):
    est = LinearReconstructor(NOMINAL, random_state=0).fit(FACES)
    io.save(est, tmp_path / "est.zip")
    loaded = io.load(tmp_path / "est.zip")
    assert loaded.operator_.nominal == 0.5
    assert repr(loaded.operator) == repr(NOMINAL)
    assert "nominal=0.5" in repr(NOMINAL)


@pytest.mark.parametrize("nominal", [1.0, -0.1, "half"])
def test_a_share_out_of_range_is_refused(nominal):
    with pytest.raises(ValueError, match="'nominal' parameter of RandomOperator"):
        clone(NOMINAL).set_params(nominal=nominal).build(SHAPE)
