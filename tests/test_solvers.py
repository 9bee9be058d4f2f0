"""Solvers: known answers, rates, derivatives of second order, schedules, the driver."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso

from skmetainv.denoisers import (
    DnCNN,
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
    Inpainting,
    MatrixOperator,
    MissingPixels,
    MotionBlur,
    Saturation,
)
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    FunctionSolver,
    GradientDescent,
    IterativeSolver,
    PrimalDual,
    ProximalGradient,
)
from skmetainv.solvers.schedules import Schedule

SHAPE = (1, 5, 6)
SMALL = (1, 3, 4)  # where all derivatives are compared, one by one


def smooth(x, noise_level):
    """A denoiser that is not linear, and smooth everywhere."""
    return x - noise_level * torch.tanh(gradient_adjoint(gradient(x)))


def contraction(x, noise_level):
    """Nonlinear, with a Jacobian whose norm is below 1."""
    return 0.9 * torch.tanh(x) - 0.05 * noise_level


CONTRACTION = FunctionDenoiser(contraction, noise_level=0.2)
SMOOTH = FunctionDenoiser(smooth, noise_level=0.2)
RED_METHODS = ("fixed_point", "steepest_descent", "admm")
SOLVERS = {
    "GradientDescent": GradientDescent(n_iter=3, step_size=[0.5, 0.4, 0.3]),
    "ConjugateGradient": ConjugateGradient(n_iter=3),
    "ConjugateGradient damped": ConjugateGradient(n_iter=3, damping=0.2),
    **{f"RED {method}": RED(SMOOTH, n_iter=2, rho=0.3, method=method) for method in RED_METHODS},
    "HQS": HQS(SMOOTH, n_iter=3),
    "HQS fixed": HQS(SMOOTH, n_iter=2, rho=0.2, noise_level=[0.2, 0.1]),
    "ADMM": ADMM(SMOOTH, n_iter=3, rho=[0.2, 0.3, 0.4], noise_level=0.1),
    "ISTA": ProximalGradient(SMOOTH, n_iter=2, step_size=0.5),
    "FISTA": ProximalGradient(SMOOTH, n_iter=3, step_size=0.5, accelerated=True),
    "PrimalDual": PrimalDual(n_iter=3, weight=0.3),
    "FunctionSolver": FunctionSolver(lambda x, data: data.prox(torch.sin(x), 0.5), n_iter=2),
}
# A closed form, conjugate gradients, and rows that are orthogonal.
OPERATORS = {
    "circular blur": GaussianBlur(sigma=0.8),
    "masked motion blur": Inpainting() @ MotionBlur(length=3, angle=45, boundary="reflect"),
    "sensing": CompressedSensing(n_measurements=7),
}


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def learnable(solver):
    return solver.get_params().keys() >= {"learnable"}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", SOLVERS)
def test_second_derivatives_are_exact(name, operator):
    """With respect to start, measurement, and what is learned, at generic points."""
    solver, A = SOLVERS[name], OPERATORS[operator].build(SMALL)
    if learnable(solver):
        set_ones = [n for n in solver.scheduled if getattr(solver, n) not in (None, 0.0)]
        solver = type(solver)(**{**solver.get_params(deep=False), "learnable": set_ones})
    f = solver.build(SMALL).double()
    x, y = images(1, *SMALL), images(1, *A.measurement_shape, seed=1)
    names = [n for n, _ in f.named_parameters()]
    weights = [p.detach().clone() for _, p in f.named_parameters()]

    def run(x, y, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(f, given, (x, A.bind(y)))

    inputs = [t.requires_grad_() for t in (x, y, *weights)]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_second_derivatives_with_respect_to_a_network_s_weights():
    rng = np.random.default_rng(0)
    denoiser = DnCNN(0.1, depth=3, width=2, max_epochs=1, precision="float64", random_state=0)
    denoiser.fit(rng.random((2, 3, 4)))
    f = RED(denoiser, n_iter=2, rho=0.5).build(SMALL)
    names = [n for n, _ in f.named_parameters()]
    assert len(names) == 6
    A = OPERATORS["masked motion blur"].build(SMALL)
    data, x = A.bind(images(1, *A.measurement_shape)), images(1, *SMALL, seed=1)

    def run(*weights):
        return torch.func.functional_call(f, dict(zip(names, weights, strict=True)), (x, data))

    weights = [p.detach().clone().requires_grad_() for p in f.parameters()]
    assert torch.autograd.gradcheck(run, weights)
    assert torch.autograd.gradgradcheck(run, weights)


def derivatives(f, x, A, y):
    """The value, and all first and second derivatives along a direction."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    inputs = [x, y, *f.parameters()]
    value = f(x, A.bind(y))
    first = torch.autograd.grad(
        (value * images(*value.shape, seed=7)).sum(), inputs, create_graph=True, allow_unused=True
    )
    reached = [g for g in first if g is not None]
    total = sum((g * images(*g.shape, seed=8)).sum() for g in reached)
    second = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else []
    return [value, *reached, *(g for g in second if g is not None)]


@pytest.mark.parametrize("denoiser", [TotalVariation(n_iter=5), SoftThreshold(0.1), SMOOTH])
@pytest.mark.parametrize("name", SOLVERS)
def test_derivatives_are_finite_at_the_solution_and_on_constant_images(name, denoiser):
    solver = SOLVERS[name]
    if "denoiser" in solver.get_params():
        solver = type(solver)(**{**solver.get_params(deep=False), "denoiser": denoiser})
    f, A = solver.build(SHAPE), GaussianBlur(sigma=0.8).build(SHAPE)
    constant = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    for x in (constant, torch.zeros_like(constant), images(1, *SHAPE)):
        assert all(d.isfinite().all() for d in derivatives(f, x, A, A(x)))


@pytest.mark.parametrize("name", SOLVERS)
def test_each_image_is_solved_on_its_own(name):
    f, A = SOLVERS[name].build(SHAPE), OPERATORS["circular blur"].build(SHAPE)
    x, y = images(3, *SHAPE), images(3, *SHAPE, seed=1)
    together = f(x, A.bind(y))
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], f(x[i : i + 1], A.bind(y[i : i + 1])))


@pytest.mark.parametrize("name", SOLVERS)
def test_single_precision_agrees_with_double(name):
    A = OPERATORS["circular blur"].build(SHAPE)
    x, y = images(1, *SHAPE), images(1, *SHAPE, seed=1)
    exact = SOLVERS[name].build(SHAPE)(x, A.bind(y))
    single = SOLVERS[name].build(SHAPE).float()(x.float(), A.float().bind(y.float()))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- known answers


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
    f = RED(denoiser, n_iter=2000, rho=rho, method=method).build((1, 8, 8))
    D = denoiser.build((1, 8, 8))
    with torch.no_grad():
        x = f(data.start("adjoint"), data)
        assert (data.gradient(x) + rho * (x - D(x))).abs().max() < 1e-6


def test_red_is_half_quadratic_splitting_with_a_constant_penalty():
    A = OPERATORS["masked motion blur"].build(SHAPE)
    data, x = A.bind(images(2, *A.measurement_shape)), images(2, *SHAPE, seed=1)
    red = RED(SMOOTH, n_iter=7, rho=0.3).build(SHAPE)
    hqs = HQS(SMOOTH, n_iter=7, rho=0.3, noise_level=0.2, denoise_first=True).build(SHAPE)
    torch.testing.assert_close(red(x, data), hqs(x, data))
    # and, with the data step first, the same sequence half an update on
    after = HQS(SMOOTH, n_iter=7, rho=0.3, noise_level=0.2).build(SHAPE)
    D = SMOOTH.build(SHAPE)
    torch.testing.assert_close(after(D(x), data), D(red(x, data)))


def test_hqs_schedule_is_that_of_zhang_et_al():
    f = HQS(SMOOTH, n_iter=8, measurement_noise=2.55 / 255).build(SHAPE)
    # utils_pnp.get_rho_sigma of DPIR: sigmas in logarithmic steps from 49 to the noise, rho =
    # 0.23 sigma^2 / sigma_k^2
    levels = np.logspace(np.log10(49), np.log10(2.55), 8) / 255
    np.testing.assert_allclose([float(f.prior.noise_level(k)) for k in range(8)], levels)
    np.testing.assert_allclose([float(f.rho(k)) for k in range(8)], 0.23 * (0.01 / levels) ** 2)


def lasso_objective(x, data):
    return 0.5 * (data.A(x) - data.y).square().sum() + 0.01 * x.abs().sum()


def test_fista_beats_ista():
    A = MatrixOperator(np.random.default_rng(0).normal(size=(20, 30)) / 10).build((1, 1, 30))
    data = A.bind(images(1, 20, seed=1))
    step = 1 / float(A.norm()) ** 2

    def reached(n_iter, accelerated):
        denoiser = SoftThreshold(0.01 * step)
        solver = ProximalGradient(denoiser, n_iter, step, accelerated=accelerated)
        return float(lasso_objective(solver.build((1, 1, 30))(data.start("zeros"), data), data))

    best = reached(5000, True)
    assert 0 < reached(100, True) - best < 0.2 * (reached(100, False) - best)


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
    f = RED(GaussianSmoothing(), n_iter=500, rho=1e-3).build(SHAPE)
    restored = f(torch.zeros_like(x), A.bind(y))
    known = ~y.isnan()
    torch.testing.assert_close(restored[known], x[known], rtol=0, atol=0.02)


# ---------------------------------------------------------------------- schedules


def test_one_number_per_update():
    A = Identity().build(SHAPE)
    x, data = images(1, *SHAPE), A.bind(images(1, *SHAPE, seed=1))
    steps = [0.1, 0.2, 0.3]
    expected = x
    for step in steps:
        expected = GradientDescent(1, step).build(SHAPE)(expected, data)
    f = GradientDescent(3, steps).build(SHAPE)
    torch.testing.assert_close(f(x, data), expected)
    # past the last one, the last
    again = GradientDescent(1, 0.3).build(SHAPE)(expected, data)
    torch.testing.assert_close(f.run(x, data, max_iter=4).x, again)


def test_what_is_learnable_trains_and_stays_positive():
    A = GaussianBlur(sigma=0.6).build(SHAPE)
    x = images(1, *SHAPE)
    data, start = A.bind(A(x)), torch.zeros_like(x)
    f = GradientDescent(n_iter=3, step_size=[0.01] * 3, learnable=("step_size",)).build(SHAPE)
    optimizer = torch.optim.Adam(f.parameters(), lr=0.1)
    before = (f(start, data) - x).norm().detach()
    for _ in range(100):
        optimizer.zero_grad()
        (f(start, data) - x).square().sum().backward()
        optimizer.step()
    assert (f(start, data) - x).norm() < 0.5 * before
    assert all(f.step_size(k) > 0 for k in range(3))


def test_nothing_else_is_learnable():
    f = HQS(SMOOTH, n_iter=3).build(SHAPE)
    assert list(f.parameters()) == []
    f = HQS(SMOOTH, n_iter=3, learnable=("rho", "noise_level")).build(SHAPE)
    assert [p.shape for p in f.parameters()] == [(3,), (3,)]
    schedule = Schedule(0.3, learnable=True)
    assert schedule(5).item() == pytest.approx(0.3)


# ---------------------------------------------------------------------- the driver


def test_no_updates_leave_the_start():
    data = Identity().build((1, 2, 2)).bind(torch.ones(1, 1, 2, 2))
    x = torch.zeros(1, 1, 2, 2)
    assert GradientDescent(n_iter=0).build((1, 2, 2))(x, data) is x


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_of_n_iter_updates_is_the_solver(name):
    f, A = SOLVERS[name].build(SHAPE), OPERATORS["circular blur"].build(SHAPE)
    x, data = images(2, *SHAPE), A.bind(images(2, *SHAPE, seed=1))
    run = f.run(x, data, max_iter=f.n_iter)
    assert torch.equal(run.x, f(x, data))
    assert run.n_iter.tolist() == [f.n_iter] * 2
    assert run.residuals.shape == (2, f.n_iter)


def test_every_image_stops_on_its_own():
    A = Identity().build(SHAPE)
    y = images(3, *SHAPE)
    start = y + torch.tensor([0.0, 1e-3, 1.0]).reshape(3, 1, 1, 1) * images(3, *SHAPE, seed=1)
    f = GradientDescent(step_size=0.5).build(SHAPE)
    run = f.run(start, A.bind(y), max_iter=100, tol=1e-4)
    assert run.converged.all()
    assert run.n_iter.tolist()[0] == 1
    assert run.n_iter[0] < run.n_iter[1] < run.n_iter[2] < 100
    for i in range(3):
        alone = f.run(start[i : i + 1], A.bind(y[i : i + 1]), max_iter=100, tol=1e-4)
        assert alone.n_iter[0] == run.n_iter[i]
        torch.testing.assert_close(alone.x[0], run.x[i])
        own = run.residuals[i, : run.n_iter[i]]
        torch.testing.assert_close(own, alone.residuals[0])
        assert own[-1] <= 1e-4
        assert (own[:-1] > 1e-4).all()
        assert (run.residuals[i, run.n_iter[i] :] == 0).all()


def test_residuals_are_the_relative_changes():
    A = Identity().build(SHAPE)
    x, y = images(1, *SHAPE), images(1, *SHAPE, seed=1)
    f = GradientDescent(step_size=0.5).build(SHAPE)
    run = f.run(x, A.bind(y), max_iter=3)
    for k in range(3):
        after = f(x, A.bind(y))
        assert float(run.residuals[0, k]) == pytest.approx(float((after - x).norm() / after.norm()))
        x = after


def test_an_image_that_is_not_finite_stops_there():
    A = Identity().build(SHAPE)
    y = images(2, *SHAPE).float()
    y[0] *= 1e30
    y[1] *= 1e-30
    run = GradientDescent(step_size=100.0).build(SHAPE).run(y * 0, A.bind(y), max_iter=20)
    assert not run.residuals[0].isfinite().all()
    assert run.n_iter[0] < 10
    assert run.x[1].isfinite().all()
    assert run.n_iter[1] == 20
    assert not run.converged.any()


def test_a_user_s_own_solver():
    class Halving(IterativeSolver):
        def step(self, state, data, k):
            return (state[0] / 2,)

    x = images(1, *SHAPE)
    assert torch.equal(Halving(3)(x, None), x / 8)


def test_a_module_as_update_is_copied_and_trainable():
    class Update(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def forward(self, x, data):
            return x - self.weight * data.gradient(x)

    own = Update()
    f = FunctionSolver(own, n_iter=2).build(SHAPE)
    assert [p.shape for p in f.parameters()] == [()]
    assert next(f.parameters()) is not own.weight


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (GradientDescent(n_iter=-1), "'n_iter' parameter of GradientDescent must be an int"),
        (GradientDescent(step_size=0.0), "'step_size' parameter of GradientDescent must be a pos"),
        (GradientDescent(step_size="big"), "'step_size' parameter of GradientDescent must be a"),
        (GradientDescent(2, [0.1] * 3), "one per update: n_iter is 2. Got 3 numbers instead"),
        (HQS(n_iter=4, noise_level=[0.1, 0.2]), "'noise_level' parameter of HQS must be one num"),
        (HQS(noise_level=-0.1), "'noise_level' parameter of HQS must be a positive number"),
        (HQS(noise_level=[0.1] * 7 + [0.0]), "'noise_level' parameter of HQS must be a positive"),
        (HQS(measurement_noise=0.0), "'measurement_noise' parameter of HQS"),
        (RED(rho=np.nan), "'rho' parameter of RED must be a positive number"),
        (RED(step_size=0.1), "'step_size' parameter of RED must be None unless"),
        (RED(beta=0.1), "'beta' parameter of RED must be None unless method='admm'"),
        (RED(method="newton"), "'method' parameter of RED"),
        (RED(denoiser=3), "'denoiser' parameter of RED"),
        (RED(learnable=("n_iter",)), "'learnable' parameter of RED may name 'rho', which are set"),
        (ADMM(learnable=("noise_level",)), "'learnable' parameter of ADMM may name 'rho'"),
        (ConjugateGradient(damping=-1.0), "'damping' parameter of ConjugateGradient"),
        (ConjugateGradient(learnable=("damping",)), "'damping' parameter of ConjugateGradient"),
        (PrimalDual(weight=0.0), "'weight' parameter of PrimalDual"),
        (FunctionSolver(update=3), "'update' parameter of FunctionSolver must be a callable"),
    ],
)
def test_bad_parameters_are_named(solver, message):
    with pytest.raises(ValueError, match=message):
        solver.build((1, 4, 4))


def test_a_noise_level_for_a_denoiser_that_takes_none_is_refused():
    denoiser = DnCNN(0.1, depth=2, width=2, max_epochs=1).fit(np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="takes no noise level"):
        RED(denoiser, noise_level=0.1).build((1, 4, 4))
    HQS(denoiser).build((1, 4, 4))  # the schedule then governs the penalties alone


@pytest.mark.parametrize(
    "solver", [ConjugateGradient(), RED(), HQS(), ADMM(), PrimalDual(n_iter=1)]
)
def test_solvers_that_need_a_linear_operator_say_so(solver):
    data = Saturation().build(SHAPE).bind(images(1, *SHAPE))
    with pytest.raises(ValueError, match="needs a linear operator"):
        solver.build(SHAPE)(torch.zeros(1, *SHAPE, dtype=torch.float64), data)


@pytest.mark.parametrize(
    ("solver", "bound"),
    [
        (GradientDescent(step_size=0.52), "0.5"),
        (GradientDescent(n_iter=2, step_size=[0.1, 0.6]), "0.5"),
        (ProximalGradient(step_size=0.52), "0.5"),
        (ProximalGradient(step_size=0.26, accelerated=True), "0.25"),
        (RED(method="steepest_descent", rho=4.0, step_size=0.26), "0.25"),
    ],
)
def test_a_step_size_above_the_bound_is_warned_of(solver, bound):
    A = (2.0 * Identity()).build(SHAPE)
    with pytest.warns(ConvergenceWarning, match=f"'step_size' parameter of .* = {bound} for this"):
        solver.build(SHAPE).check(A)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SOLVERS)
def test_step_sizes_below_the_bound_are_not(name):
    for operator in (*OPERATORS.values(), Saturation()):
        if isinstance(operator, CompressedSensing):
            continue  # its norm is above 1
        SOLVERS[name].build(SHAPE).check(operator.build(SHAPE))
