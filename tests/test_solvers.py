"""Solvers: second derivatives, schedules, the loop, bad input."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from solver_registry import (
    OPERATORS,
    RED_METHODS,
    SHAPE,
    SMALL,
    SMOOTH,
    SOLVERS,
    images,
)

from skmetainv.denoisers import (
    DnCNN,
    SoftThreshold,
    TotalVariation,
)
from skmetainv.denoisers.differences import gradient, gradient_adjoint
from skmetainv.operators import (
    CompressedSensing,
    GaussianBlur,
    Identity,
    Inpainting,
    MatrixOperator,
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
from skmetainv.solvers.schedules import Schedule, scale_numbers
from skmetainv.testing import check_solver


def learnable(solver):
    return solver.get_params().keys() >= {"learnable"}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_has_the_properties_of_solvers(name, operator):
    check_solver(SOLVERS[name], SMALL, operator=OPERATORS[operator], device="cpu")


@pytest.mark.parametrize("denoiser", [TotalVariation(0.3, n_iter=4), SoftThreshold(0.1)])
@pytest.mark.parametrize("name", [n for n, s in SOLVERS.items() if hasattr(s, "denoiser")])
def test_every_solver_has_them_with_denoisers_that_have_kinks(name, denoiser):
    solver = type(SOLVERS[name])(**{**SOLVERS[name].get_params(deep=False), "denoiser": denoiser})
    check_solver(solver, SMALL, device="cpu")


@pytest.mark.cuda
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_agrees_on_a_gpu(name):
    check_solver(SOLVERS[name], SHAPE, device="cuda")


def test_second_derivatives_with_respect_to_a_network_s_weights():
    rng = np.random.default_rng(0)
    denoiser = DnCNN(0.1, depth=3, width=2, max_epochs=1, precision="float64", random_state=0)
    denoiser.fit(rng.random((2, 3, 4)))
    f = RED(denoiser, n_iter=2, weight=0.5).build(SMALL)
    names = [n for n, _ in f.named_parameters()]
    assert len(names) == 6
    A = OPERATORS["masked motion blur"].build(SMALL)
    data, x = A.bind(images(1, *A.measurement_shape)), images(1, *SMALL, seed=1)

    def run(*weights):
        return torch.func.functional_call(f, dict(zip(names, weights, strict=True)), (x, data))

    weights = [p.detach().clone().requires_grad_() for p in f.parameters()]
    assert torch.autograd.gradcheck(run, weights)
    assert torch.autograd.gradgradcheck(run, weights)


# ---------------------------------------------------------------------- schedules


def test_one_number_per_update():
    A = Identity().build(SHAPE)
    x, data = images(1, *SHAPE), A.bind(images(1, *SHAPE, seed=1))
    steps = [0.1, 0.2, 0.3]
    expected = x
    for step in steps:
        expected = GradientDescent(1, step_size=step).build(SHAPE)(expected, data)
    f = GradientDescent(3, step_size=steps).build(SHAPE)
    torch.testing.assert_close(f(x, data), expected)
    # updates after the last step size use the last one
    again = GradientDescent(1, step_size=0.3).build(SHAPE)(expected, data)
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
    assert len({float(f.step_size(k).detach()) for k in range(3)}) == 3  # learned separately


@pytest.mark.parametrize(("rho", "level"), [(512.0, 1 / 512), (1 / 64, 8.0), (1.0, 1.0)])
@torch.no_grad()
def test_each_learnable_number_is_scaled_by_the_power_of_8_that_is_best(rho, level):
    f = ADMM(SMOOTH, n_iter=2, rho=[0.2, 0.3], noise_level=0.1, learnable=("rho", "noise_level"))
    f = f.build(SHAPE)

    def losses():
        found = f.rho.factor(0) / 0.2, f.prior.noise_level.factor(0) / 0.1
        loss = sum((x / best).log().abs() for x, best in zip(found, (rho, level), strict=True))
        return torch.stack([loss, torch.nan * loss if loss > 5 else loss])

    scale_numbers(f, losses)
    numbers = [float(n) for n in (f.rho.factor(0), f.rho.factor(1), f.prior.noise_level.factor(0))]
    np.testing.assert_allclose(numbers, [0.2 * rho, 0.3 * rho, 0.1 * level])


@pytest.mark.parametrize(("loss", "factor"), [(1.02, 1.0), (1.04, 64.0), (1.1, 64.0)])
@torch.no_grad()
def test_numbers_stay_where_others_are_better_by_a_few_percent_alone(loss, factor):
    f = GradientDescent(step_size=0.5, learnable=("step_size",)).build(SHAPE)
    of_factors = {1.0: loss, 64.0: 1.0}
    scale_numbers(
        f, lambda: torch.tensor([of_factors.get(round(float(f.step_size.factor(0)) / 0.5, 3), 9.0)])
    )
    assert float(f.step_size.factor(0)) == pytest.approx(0.5 * factor)


def test_learned_levels_take_the_usual_penalties_along():
    f = HQS(SMOOTH, n_iter=3, learnable=("noise_level",)).build(SHAPE)
    fixed = HQS(SMOOTH, n_iter=3).build(SHAPE)
    A = (2.0 * Identity()).build(SHAPE)
    usual = [fixed.rho(k, A) for k in range(3)]
    assert [f.rho(k, A).item() for k in range(3)] == pytest.approx(usual)
    with torch.no_grad():
        f.prior.noise_level.logarithm += np.log(2)
    assert [f.rho(k, A).item() for k in range(3)] == pytest.approx([rho / 4 for rho in usual])


def test_primal_dual_makes_the_updates_of_chambolle_and_pock():
    """Its fixed point does not depend on the extrapolation ``2 x_k+1 - x_k``; the updates do."""
    tau, weight = 0.3, 0.05
    y = images(2, *SHAPE)
    data = Identity().build(SHAPE).bind(y)
    f = PrimalDual(n_iter=3, weight=weight, step_size=tau).build(SHAPE).double()
    x, p = torch.zeros_like(y), torch.zeros(2, *y.shape, dtype=y.dtype)
    for _ in range(3):
        z = x - tau * gradient_adjoint(p)
        new = (tau * y + z) / (1 + tau)
        p = p + gradient(2 * new - x) / (8 * tau)
        p = p / (p.square().sum(0).sqrt() / weight).clamp(min=1)
        x = new
    torch.testing.assert_close(f(torch.zeros_like(y), data), x)


@pytest.mark.parametrize("n_iter", [0, 1, 2])
def test_the_level_of_a_classical_denoiser_is_open_for_every_update(n_iter):
    opened = ADMM(TotalVariation(0.2), n_iter=n_iter).opened(SHAPE)
    assert ("noise_level" in opened.learnable) == (n_iter > 0)
    assert opened.noise_level == ([0.2] * n_iter or None)


@pytest.mark.parametrize(
    ("solver", "scales"),
    [
        (RED(SMOOTH, method="admm", rho=4.0), (1.0, 1.0, 0.25)),
        (PrimalDual(step_size=0.3), (1.0, 0.3)),
        (GradientDescent(), (1.0,)),
    ],
    ids=["RED", "primal-dual", "gradient descent"],
)
def test_scales_turn_the_parts_of_a_state_into_units_of_images(solver, scales):
    data = Identity().build(SHAPE).bind(images(1, *SHAPE))
    assert solver.build(SHAPE).scales(0, data) == pytest.approx(scales)


def test_a_function_makes_one_update_by_default():
    assert FunctionSolver(lambda x, data: x).build(SHAPE).n_iter == 1


def test_the_usual_levels_never_rise():
    f = HQS(SMOOTH, n_iter=3, measurement_noise=0.5).build(SHAPE)
    assert [f.prior.noise_level(k) for k in range(3)] == pytest.approx([0.5] * 3)


def test_nothing_else_is_learnable():
    f = HQS(SMOOTH, n_iter=3).build(SHAPE)
    assert list(f.parameters()) == []
    f = HQS(SMOOTH, n_iter=3, learnable=("rho", "noise_level")).build(SHAPE)
    assert [p.shape for p in f.parameters()] == [(3,), (3,)]
    schedule = Schedule(0.3, learnable=True)
    assert schedule(5).item() == pytest.approx(0.3)


def test_a_number_in_units_of_the_norm_needs_it():
    A = (2.0 * Identity()).build((1, 2, 2))
    for power, expected in ((-1, 0.075), (1, 1.2)):
        schedule = Schedule(0.3, learnable=False, power=power)
        assert schedule(0, A) == pytest.approx(expected, rel=1e-3)
        with pytest.raises(ValueError, match=r"scales with \|\|A\|\|\^2.* data term"):
            schedule(0)
    assert Schedule(0.3, learnable=False)(0) == 0.3
    f = HQS(SMOOTH, learnable=("noise_level",)).build(SHAPE)
    with pytest.raises(ValueError, match="data term"):
        f.rho(0)


# ---------------------------------------------------------------------- the loop


def test_no_updates_leave_the_start():
    data = Identity().build((1, 2, 2)).bind(torch.ones(1, 1, 2, 2))
    x = torch.zeros(1, 1, 2, 2)
    assert GradientDescent(n_iter=0).build((1, 2, 2))(x, data) is x


def test_every_image_stops_on_its_own():
    A = Identity().build(SHAPE)
    y = images(3, *SHAPE)
    start = y + torch.tensor([0.0, 1e-3, 1.0]).reshape(3, 1, 1, 1) * images(3, *SHAPE, seed=1)
    f = GradientDescent(step_size=0.5).build(SHAPE)
    run = f.run(start, A.bind(y), max_iter=100, tol=1e-4)
    assert run.converged == [True] * 3
    n_iter = [len(changes) for changes in run.changes]
    assert 1 == n_iter[0] < n_iter[1] < n_iter[2] < 100
    for i in range(3):
        alone = f.run(start[i : i + 1], A.bind(y[i : i + 1]), max_iter=100, tol=1e-4)
        torch.testing.assert_close(alone.x[0], run.x[i])
        own = run.changes[i]
        assert own == pytest.approx(alone.changes[0])
        assert own[-1] <= 1e-4
        assert all(r > 1e-4 for r in own[:-1])


def test_the_record_has_the_relative_changes():
    A = Identity().build(SHAPE)
    x, y = images(1, *SHAPE), images(1, *SHAPE, seed=1)
    f = GradientDescent(step_size=0.5).build(SHAPE)
    run = f.run(x, A.bind(y), max_iter=3)
    for k in range(3):
        after = f(x, A.bind(y))
        size = max(float(x.norm()), float(after.norm()))
        assert run.changes[0][k] == pytest.approx(float((after - x).norm()) / size)
        x = after


def test_an_image_that_is_not_finite_stops_there():
    A = Identity().build(SHAPE)
    y = images(2, *SHAPE).float()
    y[0] *= 1e30
    y[1] *= 1e-30
    run = GradientDescent(step_size=100.0).build(SHAPE).run(y * 0, A.bind(y), max_iter=20)
    assert not np.isfinite(run.changes[0][-1])
    assert len(run.changes[0]) < 10
    assert run.x[1].isfinite().all()
    assert len(run.changes[1]) == 20
    assert run.converged == [False, False]


def test_an_image_that_becomes_zero_has_converged():
    data = Identity().build(SHAPE).bind(images(1, *SHAPE))
    f = ProximalGradient(SoftThreshold(10.0)).build(SHAPE)
    run = f.run(torch.ones(1, *SHAPE, dtype=torch.float64), data, max_iter=9, tol=1e-3)
    assert run.changes == [[1.0, 0.0]]
    assert run.converged == [True]


@pytest.mark.parametrize(
    "solver",
    [
        PrimalDual(weight=0.1),
        RED(TotalVariation(n_iter=20), method="admm"),
        ADMM(SoftThreshold(0.5), rho=0.3),
        ProximalGradient(SoftThreshold(0.1), accelerated=True),
    ],
)
@pytest.mark.parametrize("start", ["adjoint", "zeros"])
def test_an_image_that_stands_still_while_multipliers_move_has_not_converged(solver, start):
    A = Inpainting().build(SHAPE)
    data = A.bind(A(images(1, *SHAPE)))
    f = solver.build(SHAPE)
    x = data.start(start)
    run, exact = f.run(x, data, max_iter=5000, tol=1e-7), f.run(x, data, max_iter=5000)
    assert run.converged == [True]
    torch.testing.assert_close(run.x, exact.x, rtol=0, atol=1e-4)
    assert (run.x - x).norm() > 1e-2


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
    assert not f.update.training
    assert own.training


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (GradientDescent(n_iter=-1), "'n_iter' parameter of GradientDescent must be an int"),
        (GradientDescent(step_size=0.0), "'step_size' parameter of GradientDescent must be a pos"),
        (GradientDescent(step_size="big"), "'step_size' parameter of GradientDescent must be a"),
        (
            GradientDescent(2, step_size=[0.1] * 3),
            "one per update: n_iter is 2. Got 3 numbers instead",
        ),
        (HQS(n_iter=4, noise_level=[0.1, 0.2]), "'noise_level' parameter of HQS must be one num"),
        (HQS(noise_level=-0.1), "'noise_level' parameter of HQS must be a positive number"),
        (HQS(noise_level=[0.1] * 7 + [0.0]), "'noise_level' parameter of HQS must be a positive"),
        (HQS(measurement_noise=0.0), "'measurement_noise' parameter of HQS"),
        *(
            (
                RED(weight=weight, method=method),
                "'weight' parameter of RED must be a positive number",
            )
            for weight in (np.nan, -1, [-1.0, 1.0, 1.0], "x", None, [[0.1]], np.array(0.1))
            for method in RED_METHODS
        ),
        (GradientDescent(step_size=None), "'step_size' parameter of GradientDescent must be a pos"),
        (HQS(n_iter=0, noise_level=[0.1, 0.2]), "'noise_level' parameter of HQS must be one num"),
        (RED(step_size=0.1), "'step_size' parameter of RED must be None unless"),
        (RED(rho=0.1), "'rho' parameter of RED must be None unless method='admm'"),
        (RED(method="newton"), "'method' parameter of RED"),
        (RED(denoiser=3), "'denoiser' parameter of RED"),
        (
            RED(learnable=("n_iter",)),
            "'learnable' parameter of RED may contain parameters that are set, here 'weight'",
        ),
        (ADMM(learnable=("noise_level",)), "parameter of ADMM may contain parameters that are set"),
        (ConjugateGradient(damping=-1.0), "'damping' parameter of ConjugateGradient"),
        (ConjugateGradient(learnable=("damping",)), "'damping' parameter of ConjugateGradient"),
        (PrimalDual(weight=0.0), "'weight' parameter of PrimalDual"),
        (FunctionSolver(function=3), "'function' parameter of FunctionSolver must be a callable"),
    ],
)
def test_bad_parameters_are_named(solver, message):
    with pytest.raises(ValueError, match=message):
        solver.build((1, 4, 4))


def test_a_noise_level_for_a_denoiser_that_takes_none_is_refused():
    denoiser = DnCNN(0.1, depth=2, width=2, max_epochs=1).fit(np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="takes no noise level"):
        RED(denoiser, noise_level=0.1).build((1, 4, 4))
    with pytest.raises(ValueError, match="not learnable: this DnCNN takes no noise level"):
        HQS(denoiser, learnable=("noise_level",)).build((1, 4, 4))
    HQS(denoiser).build((1, 4, 4))  # the default schedule only sets penalties


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
        (RED(method="steepest_descent", weight=4.0, step_size=0.26), "0.25"),
        (RED(method="steepest_descent", n_iter=2, weight=[0.1, 4.0], step_size=[0.1, 0.3]), "0.25"),
    ],
)
def test_a_step_size_above_the_bound_is_warned_of(solver, bound):
    A = (2.0 * Identity()).build(SHAPE)
    with pytest.warns(ConvergenceWarning, match=f"'step_size' parameter of .* = {bound} for this"):
        solver.build(SHAPE).check(A)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rho", [0.1, 30.0, [10.0, 0.1, 1.0]])
def test_the_default_step_size_of_steepest_descent_is_below_it(rho):
    f = RED(method="steepest_descent", weight=rho).build(SHAPE)
    f.check(Identity().build(SHAPE))
    f.check(MatrixOperator(np.zeros((3, 30))).build(SHAPE))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SOLVERS)
def test_step_sizes_below_the_bound_are_not(name):
    for operator in (*OPERATORS.values(), Saturation()):
        if isinstance(operator, CompressedSensing):
            continue  # its norm is above 1
        SOLVERS[name].build(SHAPE).check(operator.build(SHAPE))


@pytest.mark.parametrize(
    "solver",
    [
        GradientDescent(learnable=("step_size",)),
        HQS(rho=0.3, learnable=("rho",)),
        ADMM(noise_level=0.1, learnable=("noise_level",)),
    ],
)
def test_numbers_that_the_user_made_learnable_are_the_only_ones(solver):
    assert solver.opened((1, 4, 4)) is solver
    assert solver.trainable() is solver
