"""Solvers converge to known solutions, at the rates of theory."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle
from sklearn.linear_model import Lasso
from solver_registry import (
    CONTRACTION,
    OPERATORS,
    RED_METHODS,
    SHAPE,
    SMOOTH,
    images,
)

from skmetainv.denoisers import (
    FunctionDenoiser,
    GaussianSmoothing,
    SoftThreshold,
    TotalVariation,
)
from skmetainv.denoisers.differences import gradient, gradient_adjoint
from skmetainv.operators import (
    CompressedSensing,
    FourierSampling,
    GaussianBlur,
    Identity,
    MatrixOperator,
    MissingPixels,
    Saturation,
)
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)


def test_gradient_descent_is_equation_6():
    A = GaussianBlur(sigma=1.0).build(SHAPE)
    x, y = images(2, *SHAPE), images(2, *SHAPE, seed=1)
    expected = x
    for _ in range(3):
        expected = expected - 0.7 * A.adjoint(A(expected) - y)
    f = GradientDescent(n_iter=3, step_size=0.7).build(SHAPE)
    torch.testing.assert_close(f(x, A.bind(y)), expected)


def test_gradient_descent_takes_nonlinear_operators():
    A = Saturation(gain=0.5).build(SHAPE)
    x = images(1, *SHAPE).abs()
    data = A.bind(A(x))
    f = GradientDescent(n_iter=20, step_size=0.5).build(SHAPE)
    z = x + 0.05
    assert (f(z, data) - x).norm() < 0.5 * (z - x).norm()


def test_gradient_descent_contracts_as_the_spectrum_says():
    A = GaussianBlur(sigma=0.6).build((1, 8, 8))
    solution = images(1, 1, 8, 8)
    data, x = A.bind(A(solution)), torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    for n_iter in (1, 10, 50):
        f = GradientDescent(n_iter=n_iter, step_size=0.5).build((1, 8, 8))
        left = A.basis.synthesis((1 - 0.5 * A.power) ** n_iter * A.basis.analysis(solution))
        torch.testing.assert_close(solution - f(x, data), left)


@pytest.mark.parametrize(
    ("operator", "damping"),
    [*((operator, 0.1) for operator in OPERATORS), ("sensing", 0.0)],
)
def test_conjugate_gradients_end_at_least_squares_within_n_steps(operator, damping):
    A = OPERATORS[operator].build(SHAPE)
    y = images(2, *A.measurement_shape)
    matrix = A.explicit()[0]
    n = matrix.shape[1]
    damped = matrix.mT @ matrix + damping * torch.eye(n, dtype=torch.float64)
    inverse = torch.linalg.pinv(damped, rtol=1e-10, hermitian=True)
    expected = (inverse @ matrix.mT @ y.flatten(1)[..., None]).reshape(-1, *SHAPE)
    f = ConjugateGradient(n_iter=n, damping=damping).build(SHAPE)
    torch.testing.assert_close(
        f(torch.zeros_like(expected), A.bind(y)), expected, rtol=1e-5, atol=1e-6
    )


def test_conjugate_gradients_end_exactly_within_the_number_of_eigenvalues():
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    A = MatrixOperator(torch.diag(values[torch.arange(30) % 3]).numpy()).build(SHAPE)
    x = images(1, *SHAPE)
    three, two = (
        ConjugateGradient(n_iter=n).build(SHAPE)(torch.zeros_like(x), A.bind(A(x))) for n in (3, 2)
    )
    torch.testing.assert_close(three, x, rtol=1e-10, atol=1e-10)
    assert (two - x).norm() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", ["zeros", "ones", "adjoint"])
@pytest.mark.parametrize("zero", [False, True])
def test_conjugate_gradients_stay_at_the_solution_of_a_singular_problem(dtype, start, zero):
    """Rounding errors must not move it away, even after many updates."""
    A = CompressedSensing(n_measurements=16).build((1, 8, 8))
    y = images(1, 16) * (0 if zero else 1)
    x = torch.ones(1, 1, 8, 8).double() if start == "ones" else A.bind(y).start(start)
    expected = x + A.pseudo_inverse(y - A(x))
    f = ConjugateGradient(n_iter=2000).build((1, 8, 8)).to(dtype)
    solution = f(x.to(dtype), A.to(dtype).bind(y.to(dtype))).double()
    tolerance = 1e-3 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(solution, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_conjugate_gradients_from_far_away_go_by_the_true_residual(dtype, tolerance):
    """The recursive residual becomes 0 while the true residual is still large."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    A = MatrixOperator(Q * np.geomspace(1, 1 / 3, 30) @ Q.T).build(SHAPE).to(dtype)
    x = images(2, *SHAPE).to(dtype)
    f = ConjugateGradient(n_iter=200).build(SHAPE).to(dtype)
    solution = f(1e6 * images(2, *SHAPE, seed=1).to(dtype), A.bind(A(x)))
    assert (solution - x).norm() < tolerance * x.norm()


def test_conjugate_gradients_stay_orthogonal_to_the_stored_residuals():
    """Without this, the error after one update per pixel is ten thousand times larger."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(144, 144)))[0]
    A = MatrixOperator(Q * np.geomspace(1, 1e-2, 144) @ Q.T).build((1, 12, 12))
    x = images(1, 1, 12, 12)
    solution = ConjugateGradient(n_iter=144).build((1, 12, 12))(torch.zeros_like(x), A.bind(A(x)))
    assert (solution - x).norm() < 1e-5 * x.norm()


def test_conjugate_gradients_converge_when_images_stand_still():
    """Residuals and directions do not count."""
    A = GaussianBlur(sigma=0.8).build((1, 8, 8))
    data = A.bind(A(images(1, 1, 8, 8)))
    f = ConjugateGradient(n_iter=50).build((1, 8, 8))
    run = f.run(data.start("zeros"), data, max_iter=50, tol=0.02)
    assert run.converged == [True]
    assert run.changes[0][-1] <= 0.02 < min(run.changes[0][:-1])
    assert len(run.changes[0]) < 40


def test_conjugate_gradients_derivatives_at_the_solution_are_not_rounding():
    A = GaussianBlur(sigma=0.8).build((1, 6, 6))
    x = images(1, 1, 6, 6).requires_grad_()
    y = A(x.detach()).requires_grad_()
    z = ConjugateGradient(n_iter=20).build((1, 6, 6))(x, A.bind(y))
    (first,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.abs().max() < 1e3


def test_conjugate_gradients_started_at_the_solution_stay_there():
    A = GaussianBlur(sigma=0.5).build(SHAPE)
    x = images(1, *SHAPE)
    f = ConjugateGradient(n_iter=5).build(SHAPE)
    torch.testing.assert_close(f(x, A.bind(A(x))), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        GradientDescent(n_iter=2000, step_size=0.25),
        ProximalGradient(FunctionDenoiser(lambda x, s: x), n_iter=2000, step_size=0.25),
        HQS(FunctionDenoiser(lambda x, s: x), n_iter=500, rho=0.01, noise_level=0.1),
        ADMM(FunctionDenoiser(lambda x, s: x), n_iter=500, rho=0.01),
    ],
)
def test_without_a_prior_the_solution_is_the_pseudo_inverse(solver):
    A = CompressedSensing(n_measurements=12).build(SHAPE)
    y = images(1, 12)
    start = torch.zeros(1, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(
        solver.build(SHAPE)(start, A.bind(y)), A.pseudo_inverse(y), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "solver",
    [
        PrimalDual(n_iter=3000, weight=0.1),
        ADMM(TotalVariation(noise_level=0.1, n_iter=100), n_iter=60, rho=1.0),
        ProximalGradient(TotalVariation(noise_level=0.1, n_iter=1000), n_iter=2, step_size=1.0),
    ],
)
def test_total_variation_is_scikit_image_s(solver):
    z = np.random.default_rng(0).random((12, 15))
    expected = denoise_tv_chambolle(z, weight=0.1, eps=0, max_num_iter=5000)
    y = torch.from_numpy(z)[None, None]
    restored = solver.build((1, 12, 15))(y, Identity().build((1, 12, 15)).bind(y))
    np.testing.assert_allclose(restored[0, 0], expected, atol=2e-4)


def test_primal_dual_satisfies_the_optimality_equation_of_deblurring():
    """0 is in A'(A x - y) + weight grad' p, with p a unit vector along grad x."""
    A = GaussianBlur(sigma=0.8).build((1, 8, 8))
    x_true = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    x_true[..., 2:6, 3:7] = 1
    data = A.bind(A(x_true))
    f = PrimalDual(n_iter=20_000, weight=0.01).build((1, 8, 8))
    with torch.no_grad():
        state = f.init(data.start("zeros"), data)
        for k in range(f.n_iter):
            state = f.step(state, data, k)
    x, p = state[0], state[1].movedim(1, 0)
    assert (data.gradient(x) + gradient_adjoint(p)).abs().max() < 1e-6
    length = p.square().sum(0).sqrt()
    assert length.max() <= 0.01 + 1e-9
    slope = gradient(x)
    steep = slope.square().sum(0).sqrt()
    edges = steep > 1e-4
    torch.testing.assert_close(p[:, edges], 0.01 * (slope / steep)[:, edges], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "solver",
    [
        ProximalGradient(SoftThreshold(0.02 * 0.15), n_iter=5000, step_size=0.15),
        ProximalGradient(SoftThreshold(0.02 * 0.15), n_iter=2000, step_size=0.15, accelerated=True),
        ADMM(SoftThreshold(0.02 / 0.5), n_iter=2000, rho=0.5),
    ],
)
def test_the_lasso_is_scikit_learn_s(solver):
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(20, 30)) / np.sqrt(20), np.zeros(30)
    w[[3, 8, 20]] = [1, -2, 0.5]
    y = X @ w + 0.01 * rng.normal(size=20)
    lasso = Lasso(alpha=0.02 / 20, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, y)
    A = MatrixOperator(X).build((1, 1, 30))
    data = A.bind(torch.from_numpy(y)[None])
    solution = solver.build((1, 1, 30))(data.start("zeros"), data)
    np.testing.assert_allclose(solution[0, 0, 0], lasso.coef_, atol=1e-5)
    assert (np.abs(lasso.coef_) > 0).sum() < 20


@pytest.mark.parametrize("method", RED_METHODS)
@pytest.mark.parametrize("denoiser", [GaussianSmoothing(0.05), CONTRACTION])
def test_red_s_fixed_point_satisfies_its_equation(method, denoiser):
    A, rho = GaussianBlur(sigma=1.0).build((1, 8, 8)), 0.2
    data = A.bind(images(2, 1, 8, 8))
    f = RED(denoiser, n_iter=2000, weight=rho, method=method).build((1, 8, 8))
    D = denoiser.build((1, 8, 8))
    with torch.no_grad():
        x = f(data.start("adjoint"), data)
        assert (data.gradient(x) + rho * (x - D(x))).abs().max() < 1e-6


def test_red_is_half_quadratic_splitting_with_a_constant_penalty():
    A = OPERATORS["masked motion blur"].build(SHAPE)
    data, x = A.bind(images(2, *A.measurement_shape)), images(2, *SHAPE, seed=1)
    red = RED(SMOOTH, n_iter=7, weight=0.3).build(SHAPE)
    hqs = HQS(SMOOTH, n_iter=7, rho=0.3, noise_level=0.2, denoise_first=True).build(SHAPE)
    torch.testing.assert_close(red(x, data), hqs(x, data))
    # with the data step first, the sequence is the same, shifted by half an update
    after = HQS(SMOOTH, n_iter=7, rho=0.3, noise_level=0.2).build(SHAPE)
    D = SMOOTH.build(SHAPE)
    torch.testing.assert_close(after(D(x), data), D(red(x, data)))


def test_hqs_schedule_is_that_of_zhang_et_al():
    f = HQS(SMOOTH, n_iter=8, measurement_noise=2.55 / 255).build(SHAPE)
    # as in utils_pnp.get_rho_sigma of DPIR: sigma_k in logarithmic steps from 49 to the noise,
    # rho = 0.23 sigma^2 / sigma_k^2
    levels = np.logspace(np.log10(49), np.log10(2.55), 8) / 255
    np.testing.assert_allclose([float(f.prior.noise_level(k)) for k in range(8)], levels)
    np.testing.assert_allclose(
        [float(f.rho.factor(k)) for k in range(8)], 0.23 * (0.01 / levels) ** 2
    )


def lasso_objective(x, data):
    return 0.5 * (data.A(x) - data.y).square().sum() + 0.01 * x.abs().sum()


def test_fista_beats_ista():
    A = MatrixOperator(np.random.default_rng(0).normal(size=(20, 30)) / 10).build((1, 1, 30))
    data = A.bind(images(1, 20, seed=1))
    step = 1 / float(A.norm()) ** 2

    def reached(n_iter, accelerated):
        denoiser = SoftThreshold(0.01 * step)
        solver = ProximalGradient(denoiser, n_iter=n_iter, step_size=step, accelerated=accelerated)
        return float(lasso_objective(solver.build((1, 1, 30))(data.start("zeros"), data), data))

    best = reached(5000, True)
    assert 0 < reached(100, True) - best < 0.2 * (reached(100, False) - best)


def test_fista_s_momentum_is_that_of_chambolle_and_dossal():
    """The next point is ``x_n + (n - 1) / (n + a) (x_n - x_n-1)``, with ``a = 3``."""
    A = GaussianBlur(sigma=0.8).build(SHAPE)
    data, x = A.bind(images(1, *SHAPE)), images(1, *SHAPE, seed=1)
    f = ProximalGradient(SMOOTH, n_iter=5, step_size=0.5, accelerated=True).build(SHAPE)
    D, result, before = SMOOTH.build(SHAPE), f(x, data), x
    for n in range(1, 6):
        z = x + (n - 1) / (n + 3) * (x - before)
        x, before = D(z - 0.5 * data.gradient(z)), x
    torch.testing.assert_close(result, x)


def test_complex_measurements_are_solved():
    A = FourierSampling(acceleration=2, complex_image=True).build((2, 8, 8))
    x = images(1, 2, 8, 8)
    data = A.bind(A(x))
    for solver in (ConjugateGradient(n_iter=10), HQS(SMOOTH), ADMM(SMOOTH), PrimalDual(n_iter=5)):
        assert solver.build((2, 8, 8))(data.start("adjoint"), data).shape == (1, 2, 8, 8)


def test_missing_pixels_vary_from_image_to_image():
    A = MissingPixels(observed=0.5).build(SHAPE)
    x = images(2, *SHAPE)
    y = A.simulate(x, lambda y, g: y, [np.random.default_rng(i) for i in range(2)])
    f = RED(GaussianSmoothing(), n_iter=500, weight=1e-3).build(SHAPE)
    restored = f(torch.zeros_like(x), A.bind(y))
    known = ~y.isnan()
    torch.testing.assert_close(restored[known], x[known], rtol=0, atol=0.02)
