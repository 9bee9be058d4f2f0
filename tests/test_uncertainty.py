"""The uncertainty of the linear estimate, and refiners that read it."""

import numpy as np
import pytest
import torch
from settings import FACES
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from test_linear_reconstructor import covariance_matrix, statistics, system

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    io,
)
from skmetainv.denoisers import DnCNN
from skmetainv.estimators import linear_estimates
from skmetainv.estimators.image_statistics import Statistics
from skmetainv.estimators.linear_estimates import LinearSystem
from skmetainv.estimators.residuals import cross_fitted_starts
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    PhaseRetrieval,
    RandomOperator,
)
from skmetainv.representations import Encoder, Refiner, Siren
from skmetainv.solvers import HQS, GradientDescent

SHAPE = (2, 6, 4)
SHRINKAGE = 0.3
BOXES = [(0, 0, 5, 8), (9, 3, 12, 4), (2, 12, 6, 6)]


def error_deviations(own, matrix, variance):
    """The deviation of each pixel's error relative to that of the images, from dense matrices."""
    C = covariance_matrix(own, SHRINKAGE)
    G = matrix @ C @ matrix.T + variance * np.eye(len(matrix))
    error = C - C @ matrix.T @ np.linalg.solve(G, matrix @ C)
    return np.sqrt(np.diag(error) / np.diag(C)).reshape(own.mean.shape)


def uncertain(residual=None, encoder=None, **parameters):
    """A small estimator with a refiner that reads the uncertainty."""
    residual = LinearReconstructor(shrinkage=0.5, flips=False) if residual is None else residual
    refiner = Refiner(4, depth=2, uncertainty=True)
    init = Siren(4, depth=2, residual=residual, refiner=refiner, adapted="last", encoder=encoder)
    own = {"init": init, "n_inner": 1, "max_epochs": 2, "random_state": 0}
    return MetaInverseSolver(**own | parameters)


@pytest.mark.parametrize("for_few", [False, True])
@pytest.mark.parametrize("space", ["measurements", "images"])
@pytest.mark.parametrize(
    "operator", [Inpainting(), GaussianBlur(), CompressedSensing(0.4), Downsampling(2), Identity()]
)
def test_it_is_the_deviation_of_the_error(operator, space, for_few, monkeypatch):
    monkeypatch.setattr(linear_estimates, "smallest_space", lambda *_: space)
    own = statistics(SHAPE)
    A, linear_system = system(operator, own)
    y = torch.zeros(3, *A.measurement_shape, dtype=torch.float64)
    u = linear_system.estimate(SHRINKAGE, for_few=for_few).uncertainty(None, y)
    expected = error_deviations(own, A.explicit()[0].numpy(), 0.5)
    assert u.shape == (3, *SHAPE)
    np.testing.assert_allclose(u, np.broadcast_to(expected, u.shape), rtol=1e-6)


@pytest.mark.parametrize("observed", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(
    "operator",
    [
        MissingPixels,
        lambda n: MissingPixels(n, per_channel=True),
        lambda n: MissingPixels(n) @ GaussianBlur(),
        lambda n: MissingPixels(n) @ FourierSampling(acceleration=2),
    ],
)
def test_every_mask_has_its_own(operator, observed):
    own = statistics(SHAPE)
    A, linear_system = system(operator(observed), own, varies=True)
    drawn = A.draw([np.random.default_rng(i) for i in range(3)])
    x = torch.rand(3, *SHAPE, dtype=torch.float64)
    measured = torch.where(drawn.observed, drawn(x), np.nan)
    estimate = linear_system.estimate(SHRINKAGE)
    u = estimate.uncertainty(A.with_masks_of(measured).observed, measured)
    rows = A.explicit()[0].numpy()
    for i, mask in enumerate(drawn.observed.expand_as(measured).flatten(1).numpy()):
        np.testing.assert_allclose(u[i], error_deviations(own, rows[mask], 0.5), rtol=1e-6)


@pytest.mark.parametrize("operator", [MissingPixels(0.8), MissingPixels(0.7) @ GaussianBlur(3.0)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_the_system_of_the_hidden_entries_is_that_of_the_observed_ones(shrinkage, operator):
    faces = FACES[:, :20, :20]
    est = LinearReconstructor(operator, shrinkage=shrinkage, flips=False, precision="float64")
    est.set_params(random_state=0).fit(faces[:80])
    own = Statistics(**est.weights_)
    A, linear_system = system(operator, own, variance=0.0, varies=True)
    y = torch.from_numpy(est.simulate(faces[80:84])[:, None])
    data = A.bind(y)
    hidden, observed = (linear_system.estimate(shrinkage, for_few=few) for few in (False, True))
    assert all(map(hidden._hides_few, data.A.observed.flatten(1)))
    assert not any(map(observed._hides_few, data.A.observed.flatten(1)))
    # The least noise is a 1e8th of the images' variance, so that the matrices lose 8 digits.
    torch.testing.assert_close(hidden(data), observed(data), rtol=0, atol=1e-5)
    u = [estimate.uncertainty(data.A.observed, y) for estimate in (hidden, observed)]
    torch.testing.assert_close(*u, rtol=0, atol=1e-3)


def test_errors_have_this_deviation():
    own, rng = statistics((1, 5, 5)), np.random.default_rng(0)
    A, linear_system = system(CompressedSensing(0.5), own, variance=0.04)
    root = np.linalg.cholesky(covariance_matrix(own, SHRINKAGE) + 1e-12 * np.eye(25))
    x = own.mean + (rng.normal(size=(20_000, 25)) @ root.T).reshape(-1, 1, 5, 5)
    x = torch.from_numpy(x)
    noise = 0.2 * torch.from_numpy(rng.normal(size=(20_000, *A.measurement_shape)))
    data = A.bind(A(x) + noise)
    estimate = linear_system.estimate(SHRINKAGE)
    actual = (estimate(data) - x).square().mean(0).sqrt() / x.std(0)
    np.testing.assert_allclose(actual, estimate.uncertainty(None, data.y)[0], rtol=0.03)


def test_it_is_between_0_and_1_and_0_for_pixels_that_never_vary():
    own = statistics(SHAPE)
    own.factor[:, 0, 0, 0] = 0.0
    _, linear_system = system(Inpainting(), own, variance=0.0)
    u = linear_system.estimate(0.0).uncertainty(None, torch.zeros(1, *SHAPE).double())
    assert u.min() >= 0
    assert u.max() <= 1
    assert u[0, 0, 0, 0] == 0


@pytest.mark.parametrize("operator", [GaussianBlur(1.0), MissingPixels(0.4), MissingPixels(0.8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_predict_returns_deviations_as_gaussian_processes_do(operator, channels):
    images = FACES[:, 5:13, 8:15]
    images = images if channels == 1 else np.stack([images, images**2, 1 - images], axis=-1)
    est = LinearReconstructor(operator, noise=0.05, precision="float64", random_state=0)
    est.fit(images[:80])
    y = est.simulate(images[80:83])
    restored, std = est.predict(y, return_std=True)
    np.testing.assert_array_equal(restored, est.predict(y))
    C = covariance_matrix(Statistics(**est.weights_), est.shrinkage_)
    rows = operator.build((channels, 8, 7)).explicit()[0].numpy()
    moved = np.moveaxis(y.reshape(3, 8, 7, channels), -1, 1).reshape(3, -1)
    for y_i, std_i in zip(moved, np.moveaxis(std.reshape(3, 8, 7, channels), -1, 1), strict=True):
        A = rows[~np.isnan(y_i)]
        G = A @ C @ A.T + 0.05**2 * np.eye(len(A))
        error = C - C @ A.T @ np.linalg.solve(G, A @ C)
        np.testing.assert_allclose(std_i.ravel(), np.sqrt(np.diag(error)), rtol=1e-6)


def test_deviations_have_the_units_and_containers_of_images():
    est = LinearReconstructor(Inpainting(), data_range=255.0, random_state=0).fit(255 * FACES)
    unit = LinearReconstructor(Inpainting(), random_state=0).fit(FACES)
    y = torch.from_numpy(unit.simulate(FACES[:2]))
    _, std = unit.predict(y, return_std=True)
    assert isinstance(std, torch.Tensor)
    _, of_one = est.predict(255 * y[0].numpy(), return_std=True)
    assert of_one.shape == (25, 25)
    np.testing.assert_allclose(of_one, 255 * std[0].numpy(), rtol=1e-3, atol=1e-2)


def test_deviations_cover_faces_that_were_not_seen():
    est = LinearReconstructor(Inpainting(), random_state=0).fit(FACES[:80])
    y = est.simulate(FACES[80:])
    restored, std = est.predict(y, return_std=True)
    hole = np.isclose(est.operator_(np.ones((1, 25, 25))), 0)[0]
    z = ((restored - FACES[80:]) / std)[:, hole]
    assert 0.5 < np.mean(np.abs(z) < 1) < 0.8  # 0.68 if the model were exact
    assert np.mean(np.abs(z) < 3) > 0.95


def test_deviations_need_a_direct_solution(monkeypatch):
    monkeypatch.setattr(linear_estimates, "_MATRIX_ENTRIES", 2**10)
    est = LinearReconstructor(GaussianBlur(), random_state=0).fit(FACES)
    with pytest.raises(ValueError, match=r"linear system of GaussianBlur\(\) .* is too large"):
        est.predict(FACES[:1], return_std=True)


def test_images_and_deviations_share_their_system_and_their_warnings(monkeypatch):
    est = LinearReconstructor(Inpainting(), random_state=0).fit(FACES)
    built, build = [], LinearSystem.__init__
    monkeypatch.setattr(
        LinearSystem, "__init__", lambda self, *a, **k: built.append(self) or build(self, *a, **k)
    )
    hole = Inpainting("box", box=(2, 2, 8, 8))
    with pytest.warns(DataConversionWarning) as told:
        est.predict(100 * hole(FACES), operator=hole, return_std=True)
    assert len(built) == len(told) == 1


# ------------------------------------------------------------------ refiners


def test_the_correction_is_in_proportion_to_it():
    phi = Siren(
        4, depth=2, residual=LinearReconstructor(), refiner=Refiner(3, depth=2, uncertainty=True)
    ).build(SHAPE, (-1.0, 3.0))
    weights = phi.initial_weights(np.random.default_rng(0))
    weights["refiner.1.bias"] += 0.25  # a constant correction, because the last weights are 0
    image, u = torch.rand(3, *SHAPE).double(), torch.rand(3, *SHAPE).double()
    A = Identity().build(SHAPE)
    data = A.bind(torch.zeros(3, *SHAPE).double(), torch.stack([image, u], dim=1))
    corrected = phi(weights, phi.condition(weights, data))
    torch.testing.assert_close(corrected, image + 2.0 * u * 0.25)


def test_the_refiner_reads_it():
    phi = Siren(
        4, depth=2, residual=LinearReconstructor(), refiner=Refiner(3, depth=3, uncertainty=True)
    ).build(SHAPE)
    weights = phi.initial_weights(np.random.default_rng(0))
    weights["refiner.2.weight"] += 0.1
    image, A = torch.rand(2, *SHAPE).double(), Identity().build(SHAPE)

    def correction(u):
        start = torch.stack([image, u], dim=1)
        data = A.bind(torch.zeros(2, *SHAPE).double(), start)
        return (phi(weights, phi.condition(weights, data)) - image) / u

    ones = torch.ones_like(image)
    assert (correction(ones) - correction(0.5 * ones)).abs().max() > 1e-3


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(),
        GaussianBlur(),
        MissingPixels(0.5),
        RandomOperator(Inpainting("box"), {"box": BOXES}),
    ],
)
def test_known_pixels_stay_as_they_are(operator):
    est = uncertain(operator=operator, solver=None, n_inner=0).fit(FACES)
    named = Inpainting() if isinstance(operator, RandomOperator) else operator
    y = ClassicalReconstructor(named, random_state=0).simulate(FACES)
    restored = est.predict(y, operator=named)
    start = est.init_.residual.predict(y, operator=named)
    assert np.abs(restored - start).max() > 1e-6  # something was learned
    if not isinstance(named, GaussianBlur):
        seen = ~np.isnan(y) if named.has_missing else y == FACES
        np.testing.assert_allclose(restored[seen], FACES[seen], atol=2e-3)


def test_cross_fitted_starts_have_it_image_by_image():
    operator = RandomOperator(Inpainting("box"), {"box": BOXES})
    est = uncertain(operator=operator).fit(FACES)
    with est._fitting(FACES, None) as (_, problem):
        starts = cross_fitted_starts(est.init_, problem, est, seed=0)
    indices = np.arange(12)
    batch = problem.batch(indices, lambda y, _: y, 0)
    together = starts(batch, indices)
    assert together.shape == (12, 2, 1, 25, 25)
    for i in indices:  # the folds and the instruments of a batch are restored in groups
        alone = starts(problem.batch(indices[[i]], lambda y, _: y, 0), indices[[i]])
        torch.testing.assert_close(together[[i]], alone, rtol=0, atol=1e-5)
    seen = batch.A.observed[:, None]
    assert together[:, [1]][seen].max() < 1e-3
    assert together[:, [1]][~seen].min() > 0.05


def test_it_survives_files_clones_and_other_instruments(tmp_path):
    colour = np.stack([FACES, FACES**2, 1 - FACES], axis=-1)
    est = uncertain(operator=Inpainting()).fit(colour)
    assert est.weights_["init.refiner.0.weight"].shape[1] == 6
    y = est.simulate(colour[:3])
    io.save(est, tmp_path / "est.zip")
    np.testing.assert_array_equal(io.load(tmp_path / "est.zip").predict(y), est.predict(y))
    hole = Inpainting("box", box=(2, 2, 8, 8))
    assert np.isfinite(est.predict(hole(colour[:3]), operator=hole)).all()
    assert clone(est).init.refiner.uncertainty


def test_a_fitted_start_can_be_kept():
    start = LinearReconstructor(Inpainting(), random_state=0).fit(FACES)
    est = uncertain(FrozenEstimator(start), operator=Inpainting()).fit(FACES)
    assert est.predict(est.simulate(FACES[:2])).shape == (2, 25, 25)


def test_a_nonlinear_operator_s_start_knows_it_too():
    est = uncertain(operator=PhaseRetrieval(), noise=0.01, max_epochs=1).fit(FACES)
    assert np.isfinite(est.predict(est.simulate(FACES[:2]))).all()


def test_frozen_starts_have_no_folds(monkeypatch):
    blurs = RandomOperator(GaussianBlur(), {"sigma": [1.0, 2.0, 3.0]})
    start = LinearReconstructor(blurs, random_state=0).fit(FACES)
    monkeypatch.setattr(linear_estimates, "_ENTRIES_OF_INSTRUMENTS", 4 * 625**2)
    est = uncertain(FrozenEstimator(start), operator=blurs).fit(FACES)
    assert np.isfinite(est.predict(FACES[:2], operator=GaussianBlur(1.5))).all()


@pytest.mark.parametrize("residual", ["adjoint", UNetReconstructor(width=2)])
def test_a_start_that_does_not_know_it_is_refused_before_training(residual, monkeypatch):
    for trained in (UNetReconstructor, DnCNN):
        monkeypatch.setattr(trained, "fit", lambda *_, **__: pytest.fail("was trained"))
    est = uncertain(residual, operator=Inpainting(), solver=HQS(DnCNN(depth=2, width=2)))
    with pytest.raises(ValueError, match="'uncertainty' parameter of Refiner must be False"):
        est.fit(FACES)


@pytest.mark.parametrize("n_instruments", [1, 3])
def test_images_too_large_to_know_it_are_refused_before_training(n_instruments, monkeypatch):
    # Three instruments are refused, because each has six matrices in cross-fitting.
    most = {1: ("_MATRIX_ENTRIES", 2**10), 3: ("_ENTRIES_OF_INSTRUMENTS", 4 * 625**2)}
    monkeypatch.setattr(linear_estimates, *most[n_instruments])
    monkeypatch.setattr(LinearReconstructor, "fit", lambda *_, **__: pytest.fail("was fitted"))
    blurs = RandomOperator(GaussianBlur(), {"sigma": [1.0, 2.0, 3.0]})
    est = uncertain(operator=GaussianBlur() if n_instruments == 1 else blurs)
    with pytest.raises(ValueError, match="matrices of the LinearReconstructor would be too large"):
        est.fit(FACES)


def test_other_instruments_too_large_to_know_it_are_named(monkeypatch):
    hole = Inpainting("box", box=(0, 0, 2, 2))
    monkeypatch.setattr(linear_estimates, "_MATRIX_ENTRIES", 600 * 625)
    est = uncertain(operator=Inpainting()).fit(FACES)
    with pytest.raises(ValueError, match=r"linear system of Inpainting.box=.0, 0, 2, 2."):
        est.predict(hole(FACES[:2]), operator=hole)


def test_a_network_needs_it_in_the_data_term():
    phi = Siren(
        4, depth=2, residual=LinearReconstructor(), refiner=Refiner(3, depth=2, uncertainty=True)
    ).build(SHAPE)
    y = torch.zeros(1, *SHAPE).double()
    with pytest.raises(ValueError, match=r"needs A\.bind"):
        phi.condition(
            phi.initial_weights(np.random.default_rng(0)), Identity().build(SHAPE).bind(y, y[None])
        )


@pytest.mark.parametrize("shape", [(2, *SHAPE), (2, 3, *SHAPE), (2, 1, 2, 4, 6)])
def test_starts_of_another_shape_are_refused(shape):
    A, y = Identity().build(SHAPE), torch.zeros(2, *SHAPE).double()
    with pytest.raises(ValueError, match=r"must have the shape \(batch, 1 or 2, "):
        A.bind(y, torch.zeros(shape).double())


@pytest.mark.parametrize(
    "own",
    [
        {"precision": "float64"},
        {"precision": "bfloat16"},
        {"algorithm": "imaml"},
        {"encoder": Encoder(2, depth=1)},
        {"operator": FourierSampling(acceleration=2)},
    ],
)
def test_it_works_with_the_other_parameters(own):
    est = uncertain(**{"operator": Inpainting()} | own).fit(FACES).partial_fit(FACES)
    assert np.isfinite(est.predict(est.simulate(FACES[:2]))).all()


# ------------------------------------------------------------------ the recommended settings


def test_recommended_settings_are_an_ordinary_estimator():
    est = MetaInverseSolver.recommended(GaussianBlur(), noise=0.02)
    classes = [MetaInverseSolver, Siren, Refiner, LinearReconstructor, GradientDescent]
    names = {c.__name__: c for c in [*classes, GaussianBlur]}
    assert repr(eval(repr(est), names)) == repr(est)
    assert est.n_inner == 1
    assert MetaInverseSolver.recommended().operator is None


def test_a_subclass_recommends_itself():
    class Own(MetaInverseSolver):
        pass

    assert type(Own.recommended()) is Own


@pytest.mark.parametrize("wrong", ["blur", GaussianBlur, np.eye(3)])
def test_what_is_no_operator_is_not_recommended_for(wrong):
    with pytest.raises(ValueError, match="'operator' parameter of MetaInverseSolver"):
        MetaInverseSolver.recommended(wrong)


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(),
        GaussianBlur(),
        MissingPixels(0.5),
        RandomOperator(GaussianBlur(), {"sigma": [0.7, 1.5]}, nominal=0.5),
        None,
    ],
)
def test_recommended_settings_restore_better_than_their_start(operator):
    est = MetaInverseSolver.recommended(operator, noise=0.05)
    est.set_params(random_state=0, max_epochs=30).fit(FACES[:80])
    y, operators = est.simulate(FACES[80:], return_operators=True)
    restored, start = (r.predict(y, operator=operators) for r in (est, est.init_.residual))
    assert np.square(restored - FACES[80:]).mean() < np.square(start - FACES[80:]).mean()
