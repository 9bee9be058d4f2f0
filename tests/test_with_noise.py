"""Operators with their own noise."""

import numpy as np
import pytest
import torch
from scipy.stats import uniform
from settings import FACES
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UnrolledReconstructor,
    io,
)
from skmetainv.metrics import psnr
from skmetainv.model_selection import ImageScorer, compare
from skmetainv.noise import GaussianNoise, PoissonNoise
from skmetainv.operators import (
    FourierSampling,
    GaussianBlur,
    Identity,
    MissingPixels,
    Operator,
    RandomOperator,
    Saturation,
    Stack,
    WithNoise,
)
from skmetainv.representations import Siren
from skmetainv.solvers import GradientDescent
from skmetainv.testing import check_operator

BLUR = GaussianBlur(sigma=1.0)
LEVELS = [0.01, 0.05, 0.2]


class Hidden(Operator):
    """A user's operator that builds one with noise."""

    def build(self, image_shape):
        return WithNoise(BLUR, 0.1).build(image_shape)


def measured(operator, images):
    """Return measurements of a seed."""
    return ClassicalReconstructor(operator, GradientDescent()).simulate(images, random_state=0)


def linear(operator, **parameters):
    own = {"shrinkage": 0.5, "flips": False, "random_state": 0}
    return LinearReconstructor(operator, **own | parameters).fit(FACES[:80])


@pytest.mark.parametrize("noise", [0.05, PoissonNoise(100)])
@pytest.mark.parametrize(
    "operator", [BLUR, MissingPixels(0.5) @ BLUR, FourierSampling(acceleration=2), Saturation()]
)
def test_measurements_have_its_noise(operator, noise):
    own = ClassicalReconstructor(WithNoise(operator, noise), GradientDescent())
    given = ClassicalReconstructor(operator, GradientDescent(), noise=noise)
    measurements = own.simulate(FACES[:3], random_state=0)
    np.testing.assert_array_equal(measurements, given.simulate(FACES[:3], random_state=0))


def test_a_call_adds_the_noise():
    noisy = WithNoise(BLUR, 0.5)
    y = noisy(FACES, random_state=0)
    assert np.std(y - BLUR(FACES)) == pytest.approx(0.5, rel=0.02)
    np.testing.assert_array_equal(y, noisy(FACES, random_state=0))
    assert not np.array_equal(y, noisy(FACES, random_state=1))
    np.testing.assert_array_equal(WithNoise(BLUR, 0.5).adjoint(FACES[:2]), BLUR.adjoint(FACES[:2]))


@pytest.mark.parametrize("operator", [BLUR, MissingPixels(0.5) @ BLUR])
def test_the_linear_estimate_is_that_of_this_noise(operator):
    own, given = linear(WithNoise(operator, 0.1)), linear(operator, noise=0.1)
    y = own.simulate(FACES[80:], random_state=1)
    np.testing.assert_array_equal(own.predict(y), given.predict(y))
    assert own.shrinkage_ == given.shrinkage_
    np.testing.assert_array_equal(own.noise_variance_, given.noise_variance_)


def test_other_noise_than_in_training_is_named():
    est = linear(BLUR, noise=0.01)
    noisier = WithNoise(BLUR, 0.1)
    y = measured(noisier, FACES[80:])
    named, unnamed = (est.predict(y, operator=operator) for operator in (noisier, BLUR))
    expected = linear(BLUR, noise=0.1, shrinkage=est.shrinkage_, flips=est.flips_).predict(y)
    np.testing.assert_allclose(named, expected, atol=1e-5)
    assert psnr(FACES[80:], named) > psnr(FACES[80:], unnamed) + 3


def test_every_measurement_may_have_its_own():
    est = linear(BLUR, noise=0.05)
    operators = [WithNoise(BLUR, level) for level in LEVELS]
    y = np.concatenate([measured(o, FACES[:1]) for o in operators])
    alone = [est.predict(y[[i]], operator=o)[0] for i, o in enumerate(operators)]
    np.testing.assert_allclose(est.predict(y, operator=operators), alone, atol=1e-6)
    _, std = est.predict(y, operator=operators, return_std=True)
    assert std[0].mean() < std[1].mean() < std[2].mean()


def test_random_noise_levels():
    noisy = RandomOperator(WithNoise(BLUR), {"noise": uniform(0.01, 0.2)}, n_instruments=8)
    y, operators = ClassicalReconstructor(noisy, GradientDescent()).simulate(
        np.repeat(FACES[:1], 400, axis=0), random_state=0, return_operators=True
    )
    levels = np.array([operator.noise for operator in operators])
    assert len(set(levels)) == 8
    for level in set(levels):
        e = y[levels == level] - BLUR(FACES[:1])
        assert e.std() == pytest.approx(level, rel=0.05)


def test_a_pool_measures_each_image_as_alone():
    pool = RandomOperator(WithNoise(BLUR), {"noise": LEVELS}).build((1, 25, 25))
    x = torch.from_numpy(FACES[:6, None]).double()
    none = GaussianNoise(0.0).build()

    def generators():
        return [np.random.default_rng([3, i]) for i in range(6)]

    together = pool.simulate(x, none, generators())
    alone = [pool.simulate(x[[i]], none, [generators()[i]]) for i in range(6)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert (together - BLUR.build((1, 25, 25))(x)).std(dim=(1, 2, 3)).min() > 0.005


@pytest.mark.parametrize(
    "make",
    [
        lambda operator: MetaInverseSolver.recommended(operator),
        lambda operator: UnrolledReconstructor(operator),
    ],
)
def test_estimators_are_trained_on_random_noise(make, tmp_path):
    noisy = RandomOperator(WithNoise(BLUR), {"noise": LEVELS}, nominal=0.5)
    est = make(noisy).set_params(random_state=0, max_epochs=2).fit(FACES[:40])
    today = WithNoise(BLUR, 0.03)
    y = measured(today, FACES[80:])
    restored = est.predict(y, operator=today)
    quiet = make(BLUR).set_params(random_state=0, max_epochs=2).fit(FACES[:40])
    assert psnr(FACES[80:], restored) > psnr(FACES[80:], quiet.predict(y)) + 1
    io.save(est, tmp_path / "est.zip")
    np.testing.assert_array_equal(
        io.load(tmp_path / "est.zip").predict(y, operator=today), restored
    )


def test_the_start_weighs_a_measurement_by_its_noise():
    est = MetaInverseSolver.recommended(BLUR, noise=0.01)
    est.set_params(random_state=0, max_epochs=2).fit(FACES[:80])
    noisier = WithNoise(BLUR, 0.1)
    y = measured(noisier, FACES[80:])
    named, unnamed = (est.predict(y, operator=operator) for operator in (noisier, BLUR))
    assert psnr(FACES[80:], named) > psnr(FACES[80:], unnamed) + 3


def test_scores_and_comparisons_simulate_with_it():
    est = linear(BLUR, noise=0.01)
    noisier = WithNoise(BLUR, 0.1)
    y = measured(noisier, FACES[80:])
    expected = est.score(y, FACES[80:], operator=BLUR)
    assert est.score(FACES[80:], operator=noisier) == pytest.approx(expected, abs=0.3)
    assert ImageScorer(operator=noisier)(est, FACES[80:]) < est.score(FACES[80:]) - 3
    own, given, quiet = linear(noisier), linear(BLUR, noise=0.1), linear(BLUR)
    table = compare({"own": own, "given": given}, FACES, cv=2)
    assert table["psnr"]["own"] == pytest.approx(table["psnr"]["given"], abs=1e-3)
    noiseless = compare({"quiet": quiet, "given": given}, FACES, cv=2)
    assert noiseless["psnr"]["given"] > table["psnr"]["given"] + 1
    named = compare({"quiet": quiet, "given": given}, FACES, cv=2, operator=noisier)
    assert named["psnr"]["given"] == pytest.approx(table["psnr"]["given"], abs=1e-3)


@pytest.mark.parametrize(
    "act",
    [
        lambda: linear(WithNoise(BLUR, 0.1), noise=0.2),
        lambda: linear(RandomOperator(WithNoise(BLUR), {"noise": [0.1]}), noise=PoissonNoise(9)),
        lambda: ClassicalReconstructor(WithNoise(BLUR), GradientDescent(), noise=1).simulate(FACES),
        lambda: ImageScorer(noise=0.2)(linear(WithNoise(BLUR, 0.1)), FACES),
        lambda: compare({"own": linear(WithNoise(BLUR, 0.1))}, FACES, cv=2, noise=0.2),
        lambda: list(linear(BLUR).restorations(FACES, operator=WithNoise(BLUR, 0.1), noise=0.2)),
    ],
)
def test_there_is_one_noise(act):
    with pytest.raises(ValueError, match="'noise' parameter must then be 0"):
        act()


def test_pairs_have_the_noise_that_is_learned_from_them():
    y = WithNoise(BLUR, 0.1)(FACES, random_state=0)
    with pytest.raises(ValueError, match="With pairs, LinearReconstructor learns the noise"):
        LinearReconstructor(WithNoise(BLUR, 0.01)).fit(y[:80], FACES[:80])
    est = LinearReconstructor(BLUR, random_state=0).fit(y[:80], FACES[:80])
    named = est.predict(y[80:], operator=WithNoise(BLUR, 0.1))
    assert psnr(named, FACES[80:]) == pytest.approx(est.score(y[80:], FACES[80:]), abs=0.1)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_start_with_its_own_operator_weighs_a_measurement_by_its_noise(frozen):
    noisier = WithNoise(BLUR, 0.1)
    y = noisier(FACES, random_state=0)
    start = LinearReconstructor(BLUR, noise=0.01, random_state=0)
    residual = FrozenEstimator(start.fit(FACES[:80])) if frozen else start
    init = Siren(4, depth=2, residual=residual, adapted="last")
    est = MetaInverseSolver(noisier, init=init, n_inner=0, max_epochs=1, random_state=0)
    est.fit(FACES[:80])
    assert (
        est.score(y[80:], FACES[80:], operator=noisier)
        > est.score(y[80:], FACES[80:], operator=WithNoise(BLUR, 0.01)) + 3
    )


def test_the_mean_noise_of_instruments_is_weighted():
    pool = RandomOperator(WithNoise(BLUR, 0.01), {"noise": [0.3]}, nominal=0.9)
    variance = linear(pool).noise_variance_
    np.testing.assert_allclose(variance, 0.9 * 0.01**2 + 0.1 * 0.3**2)


@pytest.mark.parametrize("noise", [0.1, PoissonNoise(50)])
def test_it_has_the_properties_of_operators(noise):
    check_operator(WithNoise(BLUR, noise), (1, 8, 8))
    check_operator(WithNoise(MissingPixels(0.5) @ BLUR, noise), (1, 8, 8))


def test_implausible_noise_is_named():
    with pytest.warns(DataConversionWarning, match=r"the noise, GaussianNoise\(.*25"):
        linear(WithNoise(BLUR, 25.0))


def test_searches_over_noise_have_one_simulation():
    plain = GridSearchCV(
        linear(BLUR), {"noise": [0.01, 0.1]}, cv=2,
        scoring=ImageScorer(noise=0.1),
    )  # fmt: skip
    own = GridSearchCV(
        linear(WithNoise(BLUR)), {"operator__noise": [0.01, 0.1]},
        scoring=ImageScorer(operator=WithNoise(BLUR, 0.1)), cv=2,
    )  # fmt: skip
    assert plain.fit(FACES).best_params_ == {"noise": 0.1}
    assert own.fit(FACES).best_params_ == {"operator__noise": 0.1}


def test_files_keep_noise_objects(tmp_path):
    est = linear(RandomOperator(WithNoise(BLUR), {"noise": [PoissonNoise(50), GaussianNoise(0.1)]}))
    io.save(est, tmp_path / "est.zip")
    assert repr(io.load(tmp_path / "est.zip").operator_) == repr(est.operator_)


def test_text_clones_and_files(tmp_path):
    operator = WithNoise(MissingPixels(0.5) @ BLUR, 0.02)
    assert repr(operator) == f"WithNoise({MissingPixels(0.5) @ BLUR!r}, 0.02)"
    assert repr(clone(operator)) == repr(operator)
    assert operator.has_missing
    io.save(linear(operator), tmp_path / "est.zip")
    assert repr(io.load(tmp_path / "est.zip").operator_) == repr(operator)


@pytest.mark.parametrize(
    "wrong",
    [
        MissingPixels(0.5) @ WithNoise(BLUR, 0.1),
        2.0 * WithNoise(BLUR, 0.1),
        WithNoise(BLUR, 0.1) + BLUR,
        Stack([BLUR, WithNoise(BLUR, 0.1)]),
    ],
)
def test_it_stands_outside(wrong):
    with pytest.raises(ValueError, match="WithNoise cannot be part of another operator"):
        wrong.build((1, 8, 8))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (WithNoise(RandomOperator(BLUR, {"sigma": [1.0]}), 0.1), "cannot be part of WithNoise"),
        (WithNoise(BLUR, -1.0), "'noise' parameter of WithNoise"),
        (WithNoise(BLUR, "much"), "'noise' parameter of WithNoise"),
        (WithNoise("blur", 0.1), "'operator' parameter of WithNoise"),
        (WithNoise(Hidden(), 0.1), "has its own noise already"),
        (WithNoise(WithNoise(BLUR, 0.1), 0.1), "has its own noise already"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong.build((1, 8, 8))


def test_identity_with_noise_is_denoising():
    own, given = linear(WithNoise(Identity(), 0.1)), linear(None, noise=0.1)
    y = given.simulate(FACES[80:], random_state=0)
    np.testing.assert_allclose(own.predict(y), given.predict(y), atol=1e-6)
