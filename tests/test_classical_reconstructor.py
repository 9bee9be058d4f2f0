"""A classical solver as an estimator."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from settings import FACES
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmetainv import ClassicalReconstructor
from skmetainv.denoisers import FunctionDenoiser, TotalVariation
from skmetainv.metrics import psnr
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import (
    CompressedSensing,
    GaussianBlur,
    Identity,
    MissingPixels,
    Saturation,
)
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

TV = TotalVariation(n_iter=10)
FISTA = ProximalGradient(TV, n_iter=100, noise_level=0.002, accelerated=True)


@pytest.mark.parametrize(
    "solver",
    [RED(TV), HQS(TV), ADMM(TV), FISTA, PrimalDual(), GradientDescent(n_iter=100)],
)
def test_blurred_faces_are_restored(solver):
    estimator = ClassicalReconstructor(GaussianBlur(sigma=1.0), solver, noise=0.005, random_state=0)
    measured = estimator.simulate(FACES[:10])
    restored = estimator.fit(FACES[10:20]).predict(measured)
    assert psnr(FACES[:10], restored) > psnr(FACES[:10], measured) + 0.5
    assert estimator.score(FACES[:10]) > psnr(FACES[:10], measured) + 0.5


def test_it_is_the_solver_from_its_start():
    operator, solver = GaussianBlur(sigma=1.0), RED(TV, n_iter=4)
    estimator = ClassicalReconstructor(operator, solver, precision="float64").fit(FACES)
    measured = estimator.simulate(FACES[:3])
    data = operator.build((1, 25, 25)).bind(torch.from_numpy(measured)[:, None])
    f = solver.build((1, 25, 25))
    restored, record = estimator.predict(measured, return_record=True)
    np.testing.assert_allclose(restored, f(data.start("adjoint"), data)[:, 0])
    assert record.n_iter.tolist() == [4, 4, 4]
    assert [len(r) for r in record.changes] == [4, 4, 4]
    assert record.converged.tolist() == [False] * 3


@pytest.mark.parametrize("start", ["adjoint", "pseudo_inverse", "zeros"])
def test_starts_by_name(start):
    operator = CompressedSensing(n_measurements=200)
    none = FunctionSolver(lambda x, data: x, n_iter=1)
    estimator = ClassicalReconstructor(operator, none, start=start, precision="float64")
    measured = estimator.fit(FACES).simulate(FACES[:2])
    A = operator.build((1, 25, 25))
    expected = A.bind(torch.from_numpy(measured)).start(start)[:, 0]
    np.testing.assert_allclose(estimator.predict(measured), expected, atol=1e-9)


@pytest.mark.parametrize("flat", [False, True])
def test_a_start_of_one_s_own_in_the_images_layout(flat):
    colour = np.stack([FACES[:3], 0.5 * FACES[:3], 0.2 * FACES[:3]], axis=-1)
    shape = {"image_shape": (25, 25, 3)} if flat else {}
    X = colour.reshape(3, -1) if flat else colour
    none = FunctionSolver(lambda x, data: x, n_iter=1)
    estimator = ClassicalReconstructor(Identity(), none, start=X[1], **shape).fit(X)
    np.testing.assert_allclose(estimator.predict(X), np.stack([X[1]] * 3), atol=1e-6)
    with pytest.raises(ValueError, match="start has"):
        ClassicalReconstructor(Identity(), none, start=X[1][:-1], **shape).fit(X)


def test_max_iter_and_tolerance():
    estimator = ClassicalReconstructor(
        GaussianBlur(sigma=1.0), ConjugateGradient(n_iter=3, damping=0.1), noise=0.01
    ).fit(FACES)
    measured = estimator.simulate(FACES[:5], random_state=0)
    assert estimator.predict(measured, return_record=True)[1].n_iter.tolist() == [3] * 5
    estimator.set_params(max_iter=200, tol=1e-5)
    record = estimator.predict(measured, return_record=True)[1]
    assert (record.n_iter < 100).all()
    assert all(r[-1] <= 1e-5 < r[-2] for r in record.changes)
    assert record.converged.all()


def test_every_image_stops_on_its_own_whatever_lies_beside_it():
    operator, solver = GaussianBlur(sigma=1.0), GradientDescent(step_size=1.5)
    estimator = ClassicalReconstructor(operator, solver, max_iter=500, tol=1e-3).fit(FACES)
    images = np.concatenate([np.full((1, 25, 25), 0.5), FACES[:6]])
    measured = estimator.simulate(images)
    together, record = estimator.predict(measured, return_record=True)
    assert record.n_iter[0] < record.n_iter[1:].min()
    for i in range(7):
        alone, own = estimator.predict(measured[i : i + 1], return_record=True)
        assert (alone[0] == together[i]).all()
        assert own.n_iter.tolist() == [record.n_iter[i]]


def test_a_solver_that_stops_short_says_so():
    estimator = ClassicalReconstructor(
        GaussianBlur(sigma=2.0), GradientDescent(), max_iter=3, tol=1e-9
    ).fit(FACES)
    with pytest.warns(ConvergenceWarning, match="4 of 4 images did not converge to tol=1e-09 in 3"):
        estimator.predict(FACES[:4])
    with pytest.warns(ConvergenceWarning, match="4 of 4 images did not converge"):
        estimator.score(FACES[:4])


@pytest.mark.filterwarnings("ignore:The 'step_size' parameter")
def test_values_that_are_not_finite_stop_an_image_and_say_where():
    estimator = ClassicalReconstructor(
        Identity(), GradientDescent(n_iter=500, step_size=50.0), start="zeros"
    ).fit(FACES)
    with pytest.warns(ConvergenceWarning, match="2 of 2 images have values that are not finite"):
        _, record = estimator.predict(np.stack([FACES[0], 1e6 * FACES[1]]), return_record=True)
    first, second = record.n_iter
    assert second < first < 30  # errors grow like 49^n, up to overflow


def test_a_step_size_above_the_bound_is_warned_of_by_fit():
    solver = GradientDescent(step_size=2.5)
    with pytest.warns(ConvergenceWarning, match=r"2.5, above 2 / \(\|\|A\|\|\^2\) = 2 for this"):
        ClassicalReconstructor(GaussianBlur(), solver).fit(FACES)


def test_nonlinear_operators():
    estimator = ClassicalReconstructor(
        Saturation(gain=0.5), GradientDescent(n_iter=30), start=np.full((25, 25), 0.5)
    ).fit(FACES)
    measured = estimator.simulate(FACES[:3])
    assert psnr(FACES[:3], estimator.predict(measured)) > psnr(FACES[:3], measured) + 20
    with pytest.raises(ValueError, match="start 'adjoint' needs a linear operator"):
        estimator.set_params(start="adjoint").fit(FACES)


def test_missing_pixels_are_filled_in():
    estimator = ClassicalReconstructor(
        MissingPixels(observed=0.5), PrimalDual(n_iter=300, weight=1e-3, step_size=10.0)
    ).fit(FACES)
    measured = estimator.simulate(FACES[:5], random_state=0)
    assert psnr(FACES[:5], estimator.predict(measured)) > 24


def test_measured_pairs():
    operator = GaussianBlur(sigma=1.0)
    simulated = ClassicalReconstructor(operator).fit(FACES)
    measured = simulated.simulate(FACES)
    paired = ClassicalReconstructor(operator).fit(measured, FACES)
    assert (paired.predict(measured) == simulated.predict(measured)).all()
    assert paired.score(measured, FACES) == pytest.approx(simulated.score(FACES), abs=1e-3)


def test_model_selection_and_disk(tmp_path):
    estimator = ClassicalReconstructor(GaussianBlur(sigma=1.0), RED(TV, n_iter=2), noise=0.02)
    assert np.isfinite(cross_val_score(estimator, FACES[:10], scoring=psnr_scorer, cv=2)).all()
    grid = {"solver__weight": [0.01, 0.1], "solver__n_iter": [1, 3]}
    grid |= {"solver__denoiser__scale": [1.0]}
    search = GridSearchCV(estimator, grid, scoring=psnr_scorer, cv=2).fit(FACES[:10])
    best = search.best_estimator_
    measured = best.simulate(FACES[:3], random_state=0)
    joblib.dump(best, tmp_path / "best.joblib")
    loaded = joblib.load(tmp_path / "best.joblib")
    assert (loaded.predict(measured) == best.predict(measured)).all()
    assert best.n_iter_ == loaded.n_iter_ == 1


def test_predictions_leave_the_estimator_as_fit_left_it():
    estimator = ClassicalReconstructor(GaussianBlur(), RED(TV)).fit(FACES)
    fitted, hashed = pickle.dumps(estimator), joblib.hash(estimator)
    before = {name: value for name, value in vars(estimator).items() if name != "_cache"}
    estimator.predict(FACES[:2])
    estimator.score(FACES[:3])
    after = {name: value for name, value in vars(estimator).items() if name != "_cache"}
    assert after == before
    assert pickle.dumps(estimator) == fitted
    assert joblib.hash(estimator) == hashed
    assert estimator.n_iter_ == 1
    with pytest.raises(AttributeError):
        ClassicalReconstructor().n_iter_  # noqa: B018


def test_threads_get_their_own_images_and_records():
    """Each of several simultaneous threads gets the same as if it ran alone."""
    operator, solver = GaussianBlur(sigma=1.0), GradientDescent(step_size=1.5)
    estimator = ClassicalReconstructor(operator, solver, max_iter=500, tol=1e-2).fit(FACES)
    parts = [FACES[:3], np.full((2, 25, 25), 0.5), FACES[3:10]]
    alone = [estimator.predict(part, return_record=True) for part in parts]
    fresh = pickle.loads(pickle.dumps(estimator))  # has no built modules yet
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda part: fresh.predict(part, return_record=True), parts))
    for (images, record), (own_images, own) in zip(together, alone, strict=True):
        assert (images == own_images).all()
        assert record.n_iter.tolist() == own.n_iter.tolist()


def test_batch_statistics_are_not_of_the_batch():
    class Normalised(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm2d(1)

        def forward(self, x, noise_level):
            return self.norm(x)

    solver = RED(FunctionDenoiser(Normalised()))
    estimator = ClassicalReconstructor(GaussianBlur(), solver).fit(FACES)
    together = estimator.predict(FACES[:4])
    np.testing.assert_allclose(estimator.predict(FACES[1:2])[0], together[1], atol=1e-6)


def test_defaults_are_least_squares_denoising():
    estimator = ClassicalReconstructor().fit(FACES)
    assert isinstance(estimator.solver_, ConjugateGradient)
    np.testing.assert_allclose(estimator.predict(FACES[:2]), FACES[:2], atol=1e-5)
    assert repr(clone(estimator)) == "ClassicalReconstructor()"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_iter": 0}, "'max_iter' parameter of ClassicalReconstructor"),
        ({"tol": -1.0}, "'tol' parameter of ClassicalReconstructor"),
        ({"start": "here"}, "'start' parameter of ClassicalReconstructor must be"),
        ({"solver": 3}, "'solver' parameter of ClassicalReconstructor"),
        ({"solver": HQS(n_iter=2, rho=[1.0])}, "n_iter is 2. Got 1 numbers"),
        ({"solver": RED(noise_level=-1)}, "'noise_level' parameter of RED must be a positive"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    estimator = ClassicalReconstructor(**parameters)
    with pytest.raises(ValueError, match=message):
        estimator.fit(FACES)
    assert not hasattr(estimator, "solver_")


@pytest.mark.cuda
def test_on_a_gpu():
    estimator = ClassicalReconstructor(GaussianBlur(sigma=1.0), HQS(TV)).fit(FACES)
    measured = estimator.simulate(FACES[:4])
    on_gpu = estimator.set_params(device="cuda").predict(measured)
    np.testing.assert_allclose(
        estimator.set_params(device="cpu").predict(measured), on_gpu, atol=1e-4
    )
