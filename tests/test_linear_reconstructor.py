"""The linear minimum-mean-square-error estimate as an estimator."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from settings import FACES
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV

from skmetainv import LinearReconstructor
from skmetainv.arrays import ArraySource
from skmetainv.datasets import load_faces
from skmetainv.estimators import image_statistics, linear, linear_estimates
from skmetainv.estimators.image_statistics import Covariance, Statistics
from skmetainv.estimators.linear_estimates import LinearSystem, MapMatrices
from skmetainv.metrics import psnr
from skmetainv.model_selection import compare
from skmetainv.noise import GaussianNoise, PoissonNoise, Quantization
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    MissingPixels,
    MultiCoilMRI,
    PhaseRetrieval,
    Radon,
    Saturation,
    Stack,
)
from skmetainv.operators.maps import normal_equations

SMALL = FACES[:, 5:13, 8:15]
RNG = np.random.default_rng(0)


def statistics(shape=(2, 5, 4), rank=3, seed=0):
    """Random statistics."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    root = rng.normal(size=(height, width, channels, channels))
    return Statistics(
        rng.normal(size=shape),
        rng.normal(size=(rank, *shape)).astype(np.float32),
        rng.uniform(0.5, 2.0, shape),
        root @ root.swapaxes(-1, -2) + 0.1 * np.eye(channels),
    )


def covariance_matrix(own, shrinkage):
    """The covariance as a matrix, by SciPy's cosine transform."""
    L = own.factor.reshape(len(own.factor), -1).astype(np.float64)
    n = L.shape[1]
    z = own.scale * np.eye(n).reshape(n, *own.scale.shape)
    z = dctn(z, axes=(-2, -1), norm="ortho")
    z = np.einsum("hwcd,ndhw->nchw", own.power, z)
    z = own.scale * idctn(z, axes=(-2, -1), norm="ortho")
    return (1 - shrinkage) * L.T @ L + shrinkage * z.reshape(n, n)


def textbook(own, C, matrix, variance, y):
    """``mu + C A' (A C A' + R)^-1 (y - A mu)``."""
    mu = own.mean.ravel()
    G = matrix @ C @ matrix.T + np.diag(np.broadcast_to(variance, len(matrix)))
    return mu + (y - matrix @ mu) @ np.linalg.solve(G, matrix @ C)


def system(operator, own, variance=0.5, varies=False, dtype=torch.float64):
    A = operator.build(own.mean.shape)
    return A, LinearSystem(A, own, torch.tensor(variance, dtype=torch.float64), varies, dtype)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 6), (2, 5, 4), (3, 3, 1)])
def test_the_covariance_is_what_its_docstring_says(shape, shrinkage):
    own = statistics(shape)
    C = covariance_matrix(own, shrinkage)
    x = RNG.normal(size=(4, *shape))
    product = Covariance(own, shrinkage).double()(torch.from_numpy(x))
    np.testing.assert_allclose(product.flatten(1), x.reshape(4, -1) @ C, rtol=1e-10, atol=1e-10)


OPERATORS = {
    "identity": Identity(),
    "blur": GaussianBlur(0.7),
    "mask": Inpainting(),
    "sensing": CompressedSensing(0.4),
    "fourier": FourierSampling(acceleration=2),
    "tall": Stack([GaussianBlur(0.7), Identity(), Inpainting()]),
    "coils": MultiCoilMRI(2, acceleration=2, complex_image=True),
}


@pytest.mark.parametrize("space", ["measurements", "images", "iterative"])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_all_systems_give_the_textbook_s_estimate(name, shrinkage, space, monkeypatch):
    monkeypatch.setattr(linear_estimates, "smallest_space", lambda *_: space)
    own = statistics(rank=40 if shrinkage == 0 else 3)
    A, solved = system(OPERATORS[name], own)
    matrix = A.explicit()[0].numpy()
    y = A(torch.from_numpy(RNG.normal(size=(3, *own.mean.shape))))
    expected = textbook(own, covariance_matrix(own, shrinkage), matrix, 0.5, y.flatten(1).numpy())
    estimated = solved.estimate(shrinkage)(A.bind(y)).flatten(1)
    np.testing.assert_allclose(estimated, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ["measurements", "images", "iterative"])
def test_every_entry_has_its_own_noise(space, monkeypatch):
    monkeypatch.setattr(linear_estimates, "smallest_space", lambda *_: space)
    own = statistics((1, 4, 5))
    variance = RNG.uniform(0.1, 1.0, (1, 4, 5))
    A, solved = system(GaussianBlur(0.7), own, variance)
    matrix = A.explicit()[0].numpy()
    y = torch.from_numpy(RNG.normal(size=(3, 1, 4, 5)))
    C = covariance_matrix(own, 0.4)
    expected = textbook(own, C, matrix, variance.ravel(), y.flatten(1).numpy())
    estimated = solved.estimate(0.4)(A.bind(y)).flatten(1)
    np.testing.assert_allclose(estimated, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("space", ["measurements", "iterative"])
@pytest.mark.parametrize(
    "operator",
    [
        MissingPixels(0.5),
        MissingPixels(0.5, per_channel=True),
        MissingPixels(0.6) @ GaussianBlur(0.7),
        MissingPixels(0.6) @ FourierSampling(acceleration=2),
        Stack([MissingPixels(0.5), GaussianBlur(0.7)]),
    ],
)
def test_masks_of_single_images_leave_out_rows(operator, space, monkeypatch):
    monkeypatch.setattr(linear_estimates, "smallest_space", lambda *_: space)
    own = statistics()
    A, solved = system(operator, own, varies=True)
    x = torch.from_numpy(RNG.normal(size=(3, *own.mean.shape)))
    y = A.simulate(x, GaussianNoise(0.1).build(), [np.random.default_rng(i) for i in range(3)])
    C, matrix = covariance_matrix(own, 0.4), A.explicit()[0].numpy()
    for y_i, estimated in zip(y, solved.estimate(0.4)(A.bind(y)), strict=True):
        known = ~y_i.isnan().flatten().numpy()
        assert 0 < known.sum() < len(known)
        y_i = y_i.flatten().numpy()[known]
        expected = textbook(own, C, matrix[known], 0.5, y_i)
        np.testing.assert_allclose(estimated.flatten(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ["measurements", "images", "iterative"])
def test_systems_of_one_map_share_what_is_the_map_s(space, monkeypatch):
    monkeypatch.setattr(linear_estimates, "smallest_space", lambda *_: space)
    rng = np.random.default_rng(0)
    A = GaussianBlur(0.7).build((1, 4, 5))
    matrices = MapMatrices(A, False)
    calls = []
    monkeypatch.setattr(A, "adjoint", lambda y, adjoint=A.adjoint: calls.append(1) or adjoint(y))
    own_variance = torch.from_numpy(rng.uniform(0.1, 1.0, (1, 4, 5)))
    y = torch.from_numpy(rng.normal(size=(3, 1, 4, 5)))
    numbers = []
    for seed, variance in enumerate([own_variance, 8 * own_variance, 0 * own_variance + 0.3]):
        own = statistics((1, 4, 5), seed=seed)
        calls.clear()
        shared = LinearSystem(A, own, variance, False, torch.float64, matrices)
        numbers.append(len(calls))
        alone = LinearSystem(A, own, variance, False, torch.float64)
        images = [each.estimate(0.4)(A.bind(y)) for each in (shared, alone)]
        np.testing.assert_allclose(*images, rtol=1e-6, atol=1e-8)
    computed = {"images": [28, 0, 20]}.get(space, [8, 0, 0])  # 8 random images, 20 columns
    assert numbers == computed


def test_it_is_gaussian_process_regression():
    own = statistics((1, 5, 5))
    A, solved = system(CompressedSensing(8), own, variance=0.01)
    C, matrix = covariance_matrix(own, 0.5), A.explicit()[0].numpy()
    y = A(torch.from_numpy(RNG.normal(size=(1, 1, 5, 5))))

    class Measured(RBF):  # X has rows of the matrix or of the identity
        def __call__(self, X, Y=None, eval_gradient=False):
            return X @ C @ (X if Y is None else Y).T

        def diag(self, X):
            return np.einsum("ij,jk,ik->i", X, C, X)

    process = GaussianProcessRegressor(Measured(), alpha=0.01, optimizer=None)
    process.fit(matrix, y[0].numpy() - matrix @ own.mean.ravel())
    deviation_from_mean, std = process.predict(np.eye(25), return_std=True)
    estimate, data = solved.estimate(0.5), A.bind(y)
    expected = own.mean.ravel() + deviation_from_mean
    np.testing.assert_allclose(estimate(data).flatten(), expected, atol=1e-6)
    np.testing.assert_allclose(estimate.deviation(None, y).flatten(), std, atol=1e-6)


def test_it_has_the_least_error_of_all_linear_estimates():
    own = statistics((1, 4, 4), rank=2)
    A, solved = system(GaussianBlur(0.8), own, variance=0.3)
    root = np.linalg.cholesky(covariance_matrix(own, 0.5))
    x = own.mean + (RNG.normal(size=(40_000, 16)) @ root.T).reshape(-1, 1, 4, 4)
    y = A(torch.from_numpy(x)) + 0.3**0.5 * torch.from_numpy(RNG.normal(size=x.shape))
    error = (solved.estimate(0.5)(A.bind(y)).numpy() - x).reshape(-1, 16)
    r = (y - A(torch.from_numpy(own.mean[None]))).reshape(-1, 16).numpy()
    correlation = error.T @ r / len(x) / np.outer(error.std(0), r.std(0))
    assert abs(correlation).max() < 5 / np.sqrt(len(x))
    assert abs(error.mean(0)).max() < 5 * error.std() / np.sqrt(len(x))
    for _ in range(5):
        other = error + r @ (0.1 * RNG.normal(size=(16, 16)))
        assert np.square(other).mean() > np.square(error).mean()


def test_denoising_with_a_stationary_covariance_is_the_wiener_filter():
    own = statistics((1, 6, 5))._replace(scale=np.ones((1, 6, 5)))
    A, solved = system(Identity(), own, variance=0.2)
    y = RNG.normal(size=(2, 1, 6, 5))
    power = own.power[..., 0, 0]
    spectrum = dctn(y - own.mean, axes=(-2, -1), norm="ortho") * power / (power + 0.2)
    expected = own.mean + idctn(spectrum, axes=(-2, -1), norm="ortho")
    estimated = solved.estimate(1.0)(A.bind(torch.from_numpy(y)))
    np.testing.assert_allclose(estimated, expected, rtol=1e-8, atol=1e-8)


# ------------------------------------------------------------------ the estimator


@pytest.mark.parametrize(
    ("operator", "noise", "least"),
    [
        (Inpainting(), 0.0, 27.5),
        (GaussianBlur(), 0.0, 40.0),
        (MissingPixels(), 0.0, 24.0),
        (CompressedSensing(), 0.0, 21.4),
        (FourierSampling(), 0.0, 20.8),
        (Identity(), 0.1, 23.0),
        (Radon(30), 0.1, 25.0),
    ],
)
def test_it_restores_faces_that_it_has_not_seen(operator, noise, least):
    how = {"shrinkage": 0.9, "flips": False} if isinstance(operator, Radon) else {}
    estimator = LinearReconstructor(operator, noise=noise, random_state=0, **how).fit(FACES[:80])
    assert estimator.score(FACES[80:]) > least


def test_what_is_learned_of_images():
    estimator = LinearReconstructor(shrinkage=0.5, flips=False, precision="float64").fit(SMALL)
    np.testing.assert_allclose(estimator.weights_["mean"][0], SMALL.mean(0))
    z = (SMALL - SMALL.mean(0)).reshape(len(SMALL), -1)
    L = estimator.weights_["factor"].reshape(56, 56)
    np.testing.assert_allclose(L.T @ L, z.T @ z / len(SMALL), atol=1e-6)
    C = covariance_matrix(Statistics(**estimator.weights_), 1.0)
    own = SMALL.var(0).ravel()  # the mean variance has the weight of ten images
    drawn = (len(SMALL) * own + 10 * own.mean()) / (len(SMALL) + 10)
    np.testing.assert_allclose(np.diag(C), drawn, rtol=1e-6)
    assert estimator.shrinkage_ == 0.5
    assert (estimator.noise_variance_ == 0).all()


@pytest.mark.parametrize("n_components", [None, 20])
def test_the_factor_of_many_images_is_that_of_few(n_components, monkeypatch):
    basis = np.linalg.qr(RNG.normal(size=(30, 30)))[0]
    X = (RNG.normal(size=(300, 30)) * 0.7 ** np.arange(30) @ basis).reshape(300, 6, 5)
    monkeypatch.setattr(linear, "_MOST_COMPONENTS", n_components or 30)
    monkeypatch.setattr(linear, "_VALUES_AT_ONCE", 1700)
    factors = [LinearReconstructor(shrinkage=0.5, flips=False).fit(X).weights_["factor"]]
    monkeypatch.setattr(image_statistics, "_MATRIX_PIXELS", 1)
    factors.append(LinearReconstructor(shrinkage=0.5, flips=False).fit(X).weights_["factor"])
    z = (X - X.mean(0)).reshape(300, -1)
    values, vectors = np.linalg.eigh(z.T @ z / 300)
    kept = len(factors[0])
    best = (vectors[:, -kept:] * values[-kept:]) @ vectors[:, -kept:].T
    for L in factors:
        L = L.reshape(kept, -1)
        np.testing.assert_allclose(L.T @ L, best, atol=1e-5)


def test_a_multiple_of_the_operator_gives_the_same_images():
    for noise in (0.0, 0.01):
        own = LinearReconstructor(GaussianBlur(1.0), noise=noise)
        multiple = LinearReconstructor(1e3 * GaussianBlur(1.0), noise=1e3 * noise)
        for estimator in (own, multiple):
            estimator.set_params(precision="float64", random_state=0)
        y = own.simulate(SMALL[:5], random_state=0)
        images = own.fit(SMALL).predict(y)
        np.testing.assert_allclose(multiple.fit(SMALL).predict(1e3 * y), images, atol=1e-6)


def test_colour_uses_what_channels_have_in_common():
    X = np.stack([FACES, 0.8 * FACES, 0.5 * FACES], axis=-1)[:, ::2, ::2]
    estimator = LinearReconstructor(Grayscale()).fit(X[:80])
    assert estimator.score(X[80:]) > 40  # all channels are multiples of one image


def test_noise_that_is_not_gaussian_has_its_mean_variance():
    noise = PoissonNoise(photons=20)
    how = {"shrinkage": 0.9, "flips": False, "random_state": 0}
    estimator = LinearReconstructor(noise=noise, **how).fit(FACES)
    np.testing.assert_allclose(estimator.noise_variance_.mean(), FACES.mean() / 20, rtol=0.05)
    correlation = np.corrcoef(estimator.noise_variance_.ravel(), FACES.mean(0).ravel())[0, 1]
    assert correlation > 0.7
    coarse = LinearReconstructor(noise=Quantization(2), **how).fit(FACES)
    np.testing.assert_allclose(coarse.noise_variance_.mean(), (1 / 3) ** 2 / 12, rtol=0.2)


def test_pairs_tell_their_noise():
    rng = np.random.default_rng(0)
    y = FACES + rng.normal(size=FACES.shape) * 0.1
    estimator = LinearReconstructor().fit(y[:80], FACES[:80])
    np.testing.assert_allclose(estimator.noise_variance_.mean(), 0.01, rtol=0.05)
    assert psnr(FACES[80:], estimator.predict(y[80:])) > 23


def test_it_is_the_same_beside_other_images_and_after_pickling():
    for operator in (MissingPixels(), GaussianBlur()):
        estimator = LinearReconstructor(operator, noise=0.01, shrinkage=0.8).fit(SMALL)
        y = estimator.simulate(SMALL[:7], random_state=0)
        together = estimator.predict(y)
        assert (estimator.predict(y[2:3]) == together[2:3]).all()
        loaded = pickle.loads(pickle.dumps(estimator))
        assert joblib.hash(loaded) == joblib.hash(pickle.loads(pickle.dumps(estimator)))
        assert (loaded.predict(y) == together).all()


def test_grid_search_and_compare_take_it():
    search = GridSearchCV(
        LinearReconstructor(noise=0.1, random_state=0), {"shrinkage": [0.0, 0.8]}, cv=2
    ).fit(SMALL)
    assert search.best_params_ == {"shrinkage": 0.8}
    table = compare({"linear": LinearReconstructor(noise=0.1)}, SMALL, cv=2)
    assert table.loc["linear", "n_weights"] > 0


def test_one_image_is_enough():
    estimator = LinearReconstructor(Inpainting()).fit(FACES[:1])
    measured = estimator.simulate(FACES[:2])
    assert estimator.shrinkage_ == 1
    assert np.isfinite(estimator.predict(measured)).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_images", [1, 2, 3, 5])
def test_few_images_restore_no_worse_than_their_mean(n_images, seed):
    faces = FACES[:, ::2, ::2]
    learned = faces[np.random.default_rng(seed).permutation(80)[:n_images]]
    mean = np.broadcast_to(learned.mean(0), faces[80:].shape)
    for operator in (Inpainting(), MissingPixels()):
        estimator = LinearReconstructor(operator, random_state=seed).fit(learned)
        y = estimator.simulate(faces[80:], random_state=seed)
        known = y == faces[80:].astype(y.dtype)
        assert 0 < known.mean() < 1
        filled = psnr(faces[80:], np.where(known, faces[80:], mean))
        assert psnr(faces[80:], estimator.predict(y)) > filled - 1e-3


def test_images_of_one_group_are_held_out_together():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(8), 5)  # sorted: contiguous folds would separate people
    X = SMALL[people * 10] + 0.01 * rng.normal(size=(40, 8, 7))
    estimator = LinearReconstructor(Inpainting(), random_state=0)
    alone = estimator.fit(X).shrinkage_
    assert alone < 0.2  # other images of the person are almost equal
    assert estimator.fit(X, groups=people).shrinkage_ > 0.3
    assert estimator.fit(X, groups=[f"person {k}" for k in people]).shrinkage_ > 0.3
    assert estimator.fit(X, X, people).shrinkage_ > 0.3
    assert estimator.fit(X, groups=np.zeros(40)).shrinkage_ == 1  # nothing to hold out
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.fit(X, groups=people[:-1])


def test_powers_of_few_images_are_drawn_towards_those_of_similar_frequencies():
    rng = np.random.default_rng(0)
    rough = []
    for n_images in (3, 1000):
        estimator = LinearReconstructor(shrinkage=1.0, flips=False, data_range=(-4, 4))
        power = estimator.fit(rng.normal(size=(n_images, 12, 12))).weights_["power"]
        rough.append(power.std() / power.mean())
    assert rough[0] < 0.5  # without shrinkage: 1, for two degrees of freedom
    assert rough[1] < 0.06


def test_images_of_another_size_are_refused():
    estimator = LinearReconstructor().fit(SMALL)
    with pytest.raises(ValueError, match="of images of shape"):
        estimator.predict(FACES[:1])
    with pytest.raises(ValueError, match="images of this shape only"):
        estimator.predict(FACES[:1], image_shape=(25, 25))


def test_pixels_that_are_not_known_are_left_out():
    rng = np.random.default_rng(0)
    known = rng.random(FACES.shape) < 0.7
    incomplete = np.where(known, FACES, np.nan)
    estimator = LinearReconstructor(MissingPixels(), shrinkage=0.9, flips=False)
    estimator.fit(incomplete[:80])
    np.testing.assert_allclose(
        estimator.weights_["mean"][0], np.nanmean(incomplete[:80], axis=0), atol=1e-6
    )
    score = estimator.score(FACES[80:])
    assert score > clone(estimator).fit(FACES[:80]).score(FACES[80:]) - 0.5
    black = clone(estimator).fit(np.nan_to_num(incomplete[:80])).score(FACES[80:])
    assert score > black + 1


def test_a_pixel_that_nobody_knows_is_no_trouble():
    X = SMALL.copy()
    X[:, 2, 3] = np.nan
    estimator = LinearReconstructor(MissingPixels(), random_state=0).fit(X)
    assert np.isfinite(estimator.predict(X[:5])).all()


def test_nonlinear_operators_are_linearised_at_the_mean_image():
    saturated = Saturation(gain=1.0, low=-5.0, high=5.0) @ GaussianBlur(0.7)
    inside = LinearReconstructor(saturated, precision="float64", shrinkage=0.8, flips=False)
    plain = clone(inside).set_params(operator=GaussianBlur(0.7)).fit(SMALL)
    y = plain.simulate(SMALL[:5])
    inside.fit(SMALL)
    np.testing.assert_allclose(inside.predict(y), plain.predict(y), atol=1e-6)
    magnitudes = LinearReconstructor(PhaseRetrieval(), noise=0.01, shrinkage=0.9, flips=False).fit(
        FACES[:80]
    )
    mean = np.broadcast_to(FACES[:80].mean(0), FACES[80:].shape)
    assert magnitudes.score(FACES[80:]) > psnr(FACES[80:], mean)


def test_complex_measurements_as_complex_arrays():
    operator = FourierSampling(acceleration=2)
    estimator = LinearReconstructor(operator, noise=0.01, random_state=0).fit(SMALL)
    y = estimator.simulate(SMALL[:3])
    both = estimator.predict(y[..., 0] + 1j * y[..., 1])
    np.testing.assert_allclose(both, estimator.predict(y), atol=1e-6)
    coils = LinearReconstructor(MultiCoilMRI(3, acceleration=2), shrinkage=0.9, flips=False)
    coils.fit(FACES[:80])
    assert coils.score(FACES[80:]) > 25


def test_large_systems_are_solved_by_iterations(monkeypatch):
    for operator in (MissingPixels(), Downsampling(2), Identity()):
        scores = []
        for entries in (2**24, 1):
            monkeypatch.setattr(linear_estimates, "_MATRIX_ENTRIES", entries)
            estimator = LinearReconstructor(operator, noise=0.05, flips=False, random_state=0)
            scores.append(estimator.fit(FACES[:80, :24, :24]).score(FACES[80:, :24, :24]))
        assert abs(scores[0] - scores[1]) < 0.2


def test_large_systems_that_are_not_solved_are_told_of(monkeypatch):
    monkeypatch.setattr(linear_estimates, "_MATRIX_ENTRIES", 1)
    estimator = LinearReconstructor(Inpainting(), shrinkage=0.8).fit(SMALL)
    y = estimator.simulate(SMALL[:3])
    monkeypatch.setattr(normal_equations, "_MAX_ITER", 1)
    with pytest.warns(ConvergenceWarning, match="linear system"):
        estimator.predict(y)


def test_memory_maps_are_read_in_batches(tmp_path, monkeypatch):
    np.save(tmp_path / "faces.npy", np.tile(SMALL, (4, 1, 1)).astype(np.float32))
    mapped = np.load(tmp_path / "faces.npy", mmap_mode="r")
    monkeypatch.setattr(linear, "_VALUES_AT_ONCE", 50 * 56)
    sizes = []
    read = ArraySource.read

    def reading(self, indices):
        sizes.append(len(indices))
        return read(self, indices)

    monkeypatch.setattr(ArraySource, "read", reading)
    estimator = LinearReconstructor(Inpainting(), random_state=0).fit(mapped)
    assert max(sizes) <= 50
    assert np.isfinite(estimator.score(SMALL))


def test_of_very_many_values_evenly_spread_images_are_read(monkeypatch):
    monkeypatch.setattr(linear, "_MOST_VALUES", 50 * 56)
    some = LinearReconstructor(shrinkage=0.5, flips=False).fit(SMALL[::-1])
    places = np.linspace(0, 99, 50).round().astype(int)
    np.testing.assert_allclose(some.weights_["mean"][0], SMALL[::-1][places].mean(0), atol=1e-6)


def test_the_built_module_maps_data_terms_to_images():
    own = {"noise": 0.01, "shrinkage": 0.8, "device": "cpu"}
    estimator = LinearReconstructor(GaussianBlur(0.7), **own).fit(SMALL)
    A, estimate_of = estimator._built()
    y = torch.from_numpy(estimator.simulate(SMALL[:3], random_state=0))[:, None]
    x = estimate_of(A)(A.bind(y))
    assert (x.shape, x.dtype, x.requires_grad) == ((3, 1, 8, 7), torch.float32, False)
    images = estimator.predict(y[:, 0].numpy())
    np.testing.assert_allclose(x[:, 0], images, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shrinkage": 1.5}, "'shrinkage' parameter"),
        ({"n_components": 0}, "'n_components' parameter"),
        ({"flips": "yes"}, "'flips' parameter"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        LinearReconstructor(**parameters).fit(SMALL)


@pytest.mark.cuda
@pytest.mark.parametrize("operator", [GaussianBlur(), MissingPixels(), Radon(40)])
@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_on_a_gpu_it_is_the_same(operator, precision):
    images = []
    for device in ("cpu", "cuda"):
        estimator = LinearReconstructor(
            operator, noise=0.02, device=device, precision=precision, random_state=0
        ).fit(FACES[:60])
        y = estimator.simulate(FACES[60:70])
        images.append(estimator.predict(y))
        assert estimator.shrinkage_ <= 1
    np.testing.assert_allclose(images[0], images[1], atol=1e-3)


@pytest.mark.parametrize(
    "operator",
    [FourierSampling(acceleration=1.5), MultiCoilMRI(4, acceleration=4), Radon(angles=30)],
)
def test_single_precision_restores_as_well_as_double(operator):
    """There are more samples than pixels, some images are not seen, and there is no noise."""
    single, double = (
        LinearReconstructor(operator, random_state=0, precision=precision).fit(FACES[:20])
        for precision in ("float32", "float64")
    )
    measured = double.simulate(FACES[20:24])
    assert np.abs(single.predict(measured) - double.predict(measured)).max() < 1e-3


@pytest.mark.parametrize("size", [9, 75])  # with a matrix, and by conjugate gradients
def test_a_noise_floor_is_noise_relative_to_the_measurements(size):
    faces = np.kron(load_faces(), np.ones((3, 3)))[:, :size, :size]

    def restored(**parameters):
        est = LinearReconstructor(shrinkage=1.0, n_components=1, random_state=0, **parameters)
        return est.fit(faces[:60]).predict(faces[60:62])

    variance = float(faces[:60].var(axis=0).mean())
    alike = restored(noise=(0.1 * variance) ** 0.5)
    np.testing.assert_allclose(restored(noise_floor=0.1), alike, rtol=0, atol=0.02)
    assert np.abs(restored(noise_floor=0.1) - faces[60:62]).max() > 0.05  # not fitted closely
    noisy = {"noise": variance**0.5}
    np.testing.assert_allclose(restored(noise_floor=0.01, **noisy), restored(**noisy), atol=1e-6)


def test_with_one_component_varying_masks_are_solved_by_iterations_and_clean_images_filled(
    monkeypatch,
):
    """Beyond 512 entries; unknown pixels of clean images are still filled directly."""
    X = FACES[:12, :24, :24].copy()
    X[:, 3:6, 4:8] = np.nan
    filled, make = [], linear.filling

    def recorded(*args):
        fill = make(*args)
        return lambda x: filled.append(fill(x)) or filled[-1]

    monkeypatch.setattr(linear, "filling", recorded)
    est = LinearReconstructor(MissingPixels(), n_components=1, random_state=0).fit(X)
    assert filled
    assert all(x.isfinite().all() for x in filled)
    with pytest.raises(ValueError, match="return_std"):
        est.predict(est.simulate(FACES[:1, :24, :24]), return_std=True)
