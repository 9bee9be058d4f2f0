"""Operators of any norm: starts, step sizes, penalties and single precision."""

from itertools import cycle

import numpy as np
import pytest
import scipy.sparse
import torch
from operator_registry import CASES
from sklearn.base import clone

from skmetainv import (
    ClassicalReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.datasets import load_faces
from skmetainv.denoisers import TotalVariation
from skmetainv.meta import InnerLoss
from skmetainv.metrics import psnr
from skmetainv.operators import (
    Blur,
    FunctionOperator,
    GaussianBlur,
    Identity,
    Inpainting,
    LinearMap,
    MatrixOperator,
    MissingPixels,
    MotionBlur,
    MultiCoilMRI,
    PhaseRetrieval,
    Radon,
    Saturation,
)
from skmetainv.representations import Encoder, Siren
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)

FACES = load_faces()[:2, :24, :24]
TV = TotalVariation(n_iter=5)
DEFAULT = {
    "GradientDescent": GradientDescent(n_iter=3),
    "ISTA": ProximalGradient(TV, n_iter=3),
    "RED steepest_descent": RED(TV, n_iter=3, method="steepest_descent"),
    "HQS": HQS(TV, n_iter=3),
    "HQS, learned levels": HQS(TV, n_iter=3, learnable=("noise_level",)),
    "RED": RED(TV, n_iter=3),
    "RED admm": RED(TV, n_iter=3, method="admm"),
    "ADMM": ADMM(TV, n_iter=3),
    "PrimalDual": PrimalDual(n_iter=5),
    "ConjugateGradient": ConjugateGradient(n_iter=3),
}
FOR_NONLINEAR = ("GradientDescent", "ISTA", "RED steepest_descent")
NONLINEAR = {
    "saturation": Saturation(gain=1.5),
    "phase": PhaseRetrieval(),
    "square": FunctionOperator(torch.square),
    "missing_of_saturation": MissingPixels() @ Saturation(gain=1.5),
}
STARTS = ("adjoint", "pseudo_inverse", "zeros", "400 times an image")
every_operator = pytest.mark.parametrize("name", CASES)


def measured(operator, shape, factor=1.0):
    """Images and their noisy measurements, with NaN for missing samples."""
    x = torch.from_numpy(np.random.default_rng(0).random((2, *shape)))
    A = operator.build(shape)
    y = A.simulate(x, lambda y, g: y, [np.random.default_rng(i) for i in range(2)])
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=y.shape))
    return x, factor * (y + 0.01 * A.norm() * noise)


def restored(solver, operator, y, shape, start, dtype=torch.float64):
    data = operator.build(shape).to(dtype).bind(y.to(dtype))
    return restored_of(data, solver, start)


def restored_of(data, solver, start):
    f = solver.build(data.A.image_shape).to(data.y.dtype)
    with torch.no_grad():
        return f(data.start(start) if isinstance(start, str) else start.to(data.y.dtype), data)


def in_turn(name, n):
    """`n` of the default solvers, different ones for each operator."""
    first, names = n * [*CASES].index(name), [*DEFAULT]
    return [DEFAULT[names[(first + i) % len(names)]] for i in range(n)]


@every_operator
def test_a_constant_changes_no_reconstruction(name):
    operator, shape, factor = CASES[name].operator, CASES[name].batched, -(2.0**10)
    y = measured(operator, shape)[1]
    own, multiple = operator.build(shape).bind(y), (factor * operator).build(shape).bind(factor * y)
    for solver in in_turn(name, 3):
        torch.testing.assert_close(
            restored_of(multiple, solver, "adjoint"),
            restored_of(own, solver, "adjoint"),
            rtol=1e-9,
            atol=1e-9,
        )


@pytest.mark.parametrize("name", ["RED admm", "ADMM", "PrimalDual"])
def test_a_constant_changes_no_number_of_updates(name):
    """Multipliers have other units than images, but must not change the number of updates."""
    x = torch.from_numpy(FACES)[:, None].double()
    f, blur, counts = DEFAULT[name].build(x.shape[1:]), GaussianBlur(sigma=1.0), set()
    for factor in (2.0**-10, 1.0, 2.0**10):
        A = (factor * blur).build(x.shape[1:])
        data = A.bind(A(x))
        run = f.run(data.start("adjoint"), data, max_iter=300, tol=1e-4)
        assert all(run.converged)
        counts.add(tuple(map(len, run.changes)))
    assert len(counts) == 1


SMALL = FACES[:, :6, :6]
BY_FACTOR = {
    "blur": lambda factor: factor * GaussianBlur(sigma=0.8),
    "missing of blur": lambda factor: MissingPixels() @ (factor * GaussianBlur(sigma=0.8)),
    "tomography": lambda factor: factor * Radon(angles=8),
}
TRAINED = {"max_epochs": 1, "random_state": 0}
FROM_ANY = ("adjoint", "pseudo_inverse", "measurement")
ESTIMATORS = {
    **{
        f"classical from {start}": ClassicalReconstructor(solver=HQS(n_iter=2), start=start)
        for start in (*FROM_ANY, "zeros")
    },
    **{
        f"unrolled from {start}": UnrolledReconstructor(
            solver=GradientDescent(n_iter=5), start=start, **TRAINED
        )
        for start in (*FROM_ANY, "zeros")
    },
    **{
        f"U-Net from {start}": UNetReconstructor(start=start, width=2, depth=2, **TRAINED)
        for start in ("auto", *FROM_ANY)
    },
    **{
        f"meta, encoded {start}": MetaInverseSolver(
            init=Siren(width=8, depth=2, encoder=Encoder(2, depth=1, start=start)), **TRAINED
        )
        for start in FROM_ANY
    },
    "meta with a solver": MetaInverseSolver(
        solver=GradientDescent(n_iter=1),
        init=Siren(width=8, depth=2, residual="adjoint"),
        inner_loss=InnerLoss("ssim", regularizer="tv"),
        inner_lr=0.1,
        **TRAINED,
    ),
}


def with_operators():
    """Each estimator with one operator; some need measurements with the shape of images."""
    turns = {True: cycle(["blur", "missing of blur"]), False: cycle(BY_FACTOR)}
    operators = [next(turns["measurement" in name or "auto" in name]) for name in ESTIMATORS]
    return list(zip(ESTIMATORS, operators, cycle(["float32", "float64"]), strict=False))


@pytest.mark.parametrize(("estimator", "name", "precision"), with_operators())
def test_nor_one_of_any_estimator(estimator, name, precision):
    """The U-Net's input and the inner losses must not depend on the measurements' units."""
    restored, y = {}, None
    for factor in (1.0, 1e-3, 255.0):
        est = clone(ESTIMATORS[estimator])
        est.set_params(operator=BY_FACTOR[name](factor), precision=precision).fit(SMALL)
        if y is None:
            y = est.simulate(SMALL, random_state=0).astype(float)
        restored[factor] = est.predict(factor * y)
    tolerance = 1e-3 if precision == "float32" else 1e-8
    for factor in (1e-3, 255.0):
        np.testing.assert_allclose(restored[factor], restored[1.0], rtol=0, atol=tolerance)


def test_the_data_fidelity_of_masks_and_of_nonlinear_operators_is_as_it_is():
    x = torch.from_numpy(np.random.default_rng(0).random((2, 1, 6, 6)))
    for operator in (
        Inpainting(),
        MissingPixels(),
        MissingPixels() @ Identity(),
        *NONLINEAR.values(),
    ):
        A = operator.build((1, 6, 6))
        y = A.simulate(x, lambda y, _: y, [np.random.default_rng(i) for i in range(2)])
        data = A.bind(y)
        assert torch.equal(data.start("measurement"), data.y)
        assert torch.equal(
            data.loss(x / 2, lambda x, y, observed: torch.stack([x, y])),
            torch.stack([data.A(x / 2), data.y]),
        )


@pytest.mark.parametrize("solver", FOR_NONLINEAR)
@pytest.mark.parametrize("name", NONLINEAR)
def test_nor_does_it_of_a_nonlinear_operator(name, solver):
    operator, shape = NONLINEAR[name], (1, 5, 4)
    y, start = measured(operator, shape)[1], torch.full((2, *shape), 0.5, dtype=torch.float64)
    expected = restored(DEFAULT[solver], operator, y, shape, start)
    assert expected.isfinite().all()
    result = restored(DEFAULT[solver], 512.0 * operator, 512.0 * y, shape, start)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


@every_operator
def test_single_precision_is_worth_as_much_as_double(name):
    """Their PSNR agrees to 0.1 dB, from every start, at every scale."""
    operator, shape = CASES[name].operator, CASES[name].batched
    place, solvers = [*CASES].index(name), [*DEFAULT.values()]
    factor = (1e-3, 1.0, 1e3)[place % 3]
    x, y = measured(operator, shape, factor)
    terms = [
        (factor * operator).build(shape).to(dtype).bind(y.to(dtype))
        for dtype in (torch.float32, torch.float64)
    ]
    for i, start in enumerate(STARTS):
        begin, solver = start, solvers[(place + i) % len(solvers)]
        if start not in STARTS[:3]:
            begin, solver = 400 * x, DEFAULT["HQS"]
        errors = [(restored_of(data, solver, begin) - x).square().mean().log10() for data in terms]
        assert abs(10 * (errors[0] - errors[1])) < 0.1, (factor, start, solver)


@pytest.mark.parametrize(
    ("operator", "solver", "least"),
    [
        (Radon(angles=20), HQS(), 25),
        (Blur(100 / 9 * np.ones((3, 3)), boundary="reflect"), HQS(), 25),
        (255 * MultiCoilMRI(), HQS(), 23),
        (
            MatrixOperator(490 * scipy.sparse.random(400, 576, 0.05, random_state=0)),
            HQS(),
            20,
        ),
        (Radon(angles=20), RED(), 22),
        (Radon(angles=20), GradientDescent(n_iter=5), 19),
    ],
)
def test_images_are_restored_in_single_precision(operator, solver, least):
    est = ClassicalReconstructor(operator, solver)
    y = est.fit(FACES).simulate(FACES, random_state=0)
    starts = {"adjoint": "adjoint", "zeros": "zeros", STARTS[3]: 400 * FACES[0]}
    in_double = clone(est).set_params(precision="float64").fit(FACES)
    single, double = (
        {name: psnr(FACES, e.set_params(start=start).predict(y)) for name, start in starts.items()}
        for e in (est, in_double)
    )
    assert single == pytest.approx(double, abs=0.1)
    assert min(single["adjoint"], single["zeros"]) > least


@pytest.mark.parametrize("start", ["zeros", "400 times an image"])
@pytest.mark.parametrize("n_iter", [10, 50])
@pytest.mark.parametrize(
    "operator",
    [Radon(20), Radon(180), GaussianBlur(1.0), GaussianBlur(1.6), MotionBlur(length=7)],
    ids=repr,
)
def test_rounding_takes_no_update_of_conjugate_gradients(operator, n_iter, start):
    """The PSNR is the same in both precisions, up to 60 dB, where rounding begins."""
    est = ClassicalReconstructor(
        operator,
        ConjugateGradient(n_iter),
        start=start if start == "zeros" else 400 * FACES[0],
    )
    single, double = (
        min(60, est.set_params(precision=precision).fit(FACES).score(FACES))
        for precision in ("float32", "float64")
    )
    assert single == pytest.approx(double, abs=0.1)


def test_nor_digits_of_their_derivatives():
    """First and second derivatives agree in both precisions."""
    found = []
    for dtype in (torch.float32, torch.float64):
        x = torch.from_numpy(FACES)[:, None].to(dtype)
        A = Radon(180).build(x.shape[1:]).to(dtype)
        start = torch.full_like(x, 0.5).requires_grad_()
        z = ConjugateGradient().build(x.shape[1:])(start, A.bind(A(x)))
        (first,) = torch.autograd.grad((z - x).square().sum(), start, create_graph=True)
        (second,) = torch.autograd.grad((first * x).sum(), start)
        found.append((first.detach().double(), second.double()))
    for single, double in zip(*found, strict=True):
        assert (single - double).norm() < 0.01 * double.norm()


def test_conjugate_gradients_look_again_where_they_came_from_far():
    """The recursive residual becomes 0 while the true residual of a far start is still large."""
    est = ClassicalReconstructor(MotionBlur(length=7), ConjugateGradient(50), start=400 * FACES[0])
    assert est.fit(FACES).score(FACES) > 50


@pytest.mark.parametrize("solver", [HQS(), ConjugateGradient(), GradientDescent(), PrimalDual(3)])
@pytest.mark.parametrize("factor", [1e-10, 1e10])
def test_squares_neither_vanish_nor_overflow(solver, factor):
    kernel, shape = np.ones((3, 3)) / 9, (1, 12, 12)
    x = torch.from_numpy(FACES[:, None, :12, :12]).double()
    y = Blur(kernel, boundary="reflect").build(shape)(x)
    single, double = (
        restored(solver, Blur(c * kernel, boundary="reflect"), c * y, shape, "adjoint", dtype)
        for c, dtype in ((factor, torch.float32), (1.0, torch.float64))
    )
    assert (single - double).norm() < 0.01 * double.norm()


def test_an_unrolled_solver_in_single_precision():
    solver = HQS(n_iter=3, learnable=("noise_level",))
    est = UnrolledReconstructor(255 * Radon(20), solver, max_epochs=1, lr=0.0)
    single, double = (
        est.set_params(precision=precision).fit(FACES).score(FACES)
        for precision in ("float32", "float64")
    )
    assert single == pytest.approx(double, abs=0.1)


# ---------------------------------------------------------------------- one scale


@pytest.mark.parametrize("operator", [3.0 * Identity(), 3.0 * Inpainting(), 3.0 * MissingPixels()])
def test_the_adjoint_start_is_in_the_scale_of_images(operator):
    A = operator.build((1, 6, 6))
    x = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    start = A.bind(A.draw([np.random.default_rng(0)])(x).where(A(x) != 0, 0.0)).start("adjoint")
    assert set(start.flatten().tolist()) <= {0.0, 1.0}
    assert start.any()


def test_every_adjoint_is_the_same():
    operator = 40.0 * GaussianBlur(sigma=1.0)
    A = operator.build((1, 24, 24))
    y = A(torch.from_numpy(FACES)[:, None].double())
    data = A.bind(y)
    expected = data.start("adjoint")
    torch.testing.assert_close(expected, A.adjoint(y) / A.norm() ** 2)
    own = {"precision": "float64", "start": "adjoint"}
    est = ClassicalReconstructor(operator, GradientDescent(n_iter=0), **own).fit(FACES)
    np.testing.assert_allclose(est.predict(y[:, 0].numpy()), expected[:, 0])
    unet = UNetReconstructor(operator, width=2, depth=1, max_epochs=1, **own).fit(FACES)
    unet.weights_ = {name: 0 * weight for name, weight in unet.weights_.items()}
    np.testing.assert_allclose(unet.predict(y[:, 0].numpy()), expected[:, 0])
    phi = Siren(width=4, depth=2, residual="adjoint", encoder=Encoder(2, depth=1)).build(
        (1, 24, 24), (0.0, 1.0)
    )
    weights = phi.initial_weights(np.random.default_rng(0))
    torch.testing.assert_close(phi.condition(weights, data).start, expected)


def test_the_norm_is_found_once_per_map():
    class Counted(LinearMap):
        calls = 0

        def forward(self, x):
            return 2 * x

        def norm(self):
            self.calls += 1
            return super().norm()

    A = Counted((1, 3, 3), (1, 3, 3))
    for _ in range(3):
        assert A.bind(torch.ones(2, 1, 3, 3).double()).squared_norm == pytest.approx(4.0)
    A.float()
    assert A.bind(torch.ones(2, 1, 3, 3)).squared_norm == pytest.approx(4.0)
    assert A.calls == 1


def test_the_norm_of_a_map_that_is_zero_is_no_scale():
    data = MatrixOperator(np.zeros((2, 4))).build((1, 2, 2)).bind(torch.zeros(1, 2).double())
    assert data.squared_norm == 1.0
    assert not data.start("adjoint").any()


def test_the_norm_of_a_nonlinear_map_is_that_of_its_jacobian():
    x = torch.from_numpy(np.random.default_rng(0).random((1, 1, 3, 2)))
    for operator in NONLINEAR.values():
        A = operator.build((1, 3, 2))
        jacobian = torch.func.jacrev(A.forward)(x).reshape(-1, 6)
        largest = torch.linalg.matrix_norm(jacobian, ord=2).item()
        assert A.norm().item() == pytest.approx(largest, rel=1e-6)


def test_where_there_is_no_norm_a_number_is_asked_for():
    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient

    operator = FunctionOperator(Rounded.apply)
    y, zeros = torch.ones(1, 1, 2, 2).double(), torch.zeros(1, 1, 2, 2).double()
    with pytest.raises(ValueError, match=r"Pass a number, as in GradientDescent\(step_size=0.1\)"):
        restored(GradientDescent(), operator, y, (1, 2, 2), zeros)


def test_auto_learns_its_factor():
    A = (3.0 * Identity()).build((1, 2, 2))
    for solver, factor in ((GradientDescent(), 0.9), (ADMM(), 0.1), (PrimalDual(), 0.01)):
        name = solver.number_names[0]
        f = type(solver)(learnable=(name,)).build((1, 2, 2))
        assert f.get_submodule(name).logarithm.exp().item() == pytest.approx(factor)
        expected = factor * 9.0 ** solver.automatic[name][1]
        assert f.get_submodule(name)(0, A).item() == pytest.approx(expected)


# ---------------------------------------------------------------------- algebra


@pytest.mark.parametrize("operator", [Radon(7), MissingPixels(), Saturation(gain=3.0)])
def test_normalize(operator):
    own = operator.normalize()
    assert repr(own) == f"{operator!r}.normalize()"
    assert {*own.get_params()} == {"operator", *(f"operator__{n}" for n in operator.get_params())}
    for shape in ((1, 6, 6), (1, 5, 9)):
        assert own.build(shape).norm().item() == pytest.approx(1.0)


def test_multiples_of_missing_samples():
    operator, shape = 4.0 * MissingPixels(0.5), (1, 4, 6)
    x, y = measured(operator, shape)
    assert y.isnan().any()
    assert operator.has_missing
    data = operator.build(shape).bind(y)
    known = ~y.isnan()
    assert torch.equal(data.A.observed, known)
    torch.testing.assert_close(data.start("pseudo_inverse")[known], y[known] / 4)
    assert not data.start("pseudo_inverse")[~known].any()
    z = data.prox(x, 0.3)
    torch.testing.assert_close(16 * known * z - 4 * y.nan_to_num() + 0.3 * (z - x), 0 * x)


def test_arithmetic_of_operators():
    blur, shape = GaussianBlur(sigma=1.0), (1, 6, 6)
    x = torch.from_numpy(np.random.default_rng(0).random((1, *shape)))
    y = blur.build(shape)(x)
    for operator, expected in (
        (blur / 4, y / 4),
        (blur / blur.build(shape).norm(), y),
        (np.float64(3) * blur, 3 * y),
        (-blur, -y),
        (Identity() - blur, x - y),
    ):
        torch.testing.assert_close(operator.build(shape)(x), expected)


@pytest.mark.parametrize(
    "expression",
    [
        lambda A: A * "2",
        lambda A: A / None,
        lambda A: 2 / A,
        lambda A: A + 1,
        lambda A: A - np.eye(3),
        lambda A: A @ np.eye(3),
        lambda A: np.eye(3) @ A,
        lambda A: A * np.ones(3),
    ],
)
def test_nonsense_is_a_type_error(expression):
    with pytest.raises(TypeError, match=r"must be an Operator|by a finite number|Identity|ufuncs"):
        expression(Identity())
