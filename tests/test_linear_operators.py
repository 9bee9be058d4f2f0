"""What must hold for every linear operator of the registry, over its shapes, in float64."""

import pickle

import numpy as np
import pytest
import torch
from operator_registry import BATCH, CASES, bound, drawn_map, explicit_matrices, random_image
from sklearn.base import clone

from skmetainv.operators.maps import base

every_operator = pytest.mark.parametrize("name", CASES)
every_case = pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}")
        for name, case in CASES.items()
        for shape in case.shapes
    ],
)


@every_case
def test_adjoint(name, shape):
    A = drawn_map(CASES[name].operator, shape)
    x, v = random_image(shape, 1), random_image(A.measurement_shape, 2)
    left, right = (A(x) * v).sum(), (x * A.adjoint(v)).sum()
    assert abs(left - right) <= 1e-10 * A(x).norm() * v.norm()


@every_case
def test_linear(name, shape):
    A = drawn_map(CASES[name].operator, shape)
    x, z = random_image(shape, 1), random_image(shape, 2)
    torch.testing.assert_close(A(2.5 * x - z), 2.5 * A(x) - A(z))


@every_case
def test_normal_norm_and_vjp(name, shape):
    A = drawn_map(CASES[name].operator, shape)
    x = random_image(shape)
    torch.testing.assert_close(A.normal(x), A.adjoint(A(x)))
    torch.testing.assert_close(A.vjp(x, A(x)), A.adjoint(A(x)))
    largest = torch.linalg.matrix_norm(explicit_matrices(A, shape), ord=2).max()
    assert A.norm().item() == pytest.approx(largest.item(), rel=1e-4)


@every_case
def test_pseudo_inverse_is_the_explicit_matrix_s(name, shape):
    A = drawn_map(CASES[name].operator, shape)
    y, rcond = random_image(A.measurement_shape), 0.05
    matrices = explicit_matrices(A, shape)
    largest = torch.linalg.matrix_norm(matrices, ord=2).max().item()
    inverse = torch.linalg.pinv(matrices, atol=rcond * largest, rtol=0.0)
    expected = (inverse @ y.flatten(1)[..., None]).reshape(BATCH, *shape)
    torch.testing.assert_close(A.pseudo_inverse(y, rcond=rcond), expected, atol=1e-8, rtol=1e-8)


@every_case
def test_data_term(name, shape):
    A = drawn_map(CASES[name].operator, shape)
    y = A(random_image(shape, 1)) + 0.1 * random_image(A.measurement_shape, 2)
    whole = CASES[name].operator.build(shape)
    data = whole.bind(y if A.observed is None else y.where(A.observed, A.missing_value))
    x = random_image(shape, 3)
    matrix, residual = explicit_matrices(A, shape), A(x) - data.y
    gradient = (matrix.mT @ residual.flatten(1)[..., None]).reshape(x.shape)
    torch.testing.assert_close(data.gradient(x), gradient)
    largest = whole.norm().item() ** 2 or 1.0  # whatever is drawn
    assert data.squared_norm == whole.squared_norm == largest
    torch.testing.assert_close(data.start("adjoint"), A.adjoint(data.y) / data.squared_norm)
    torch.testing.assert_close(data.start("pseudo_inverse"), A.pseudo_inverse(data.y))
    assert not data.start("zeros").any()
    with pytest.raises(ValueError, match="no start 'median'"):
        data.start("median")


@every_case
@pytest.mark.parametrize("rho", [0.01, 3.0])
def test_prox_satisfies_its_optimality_equation(name, shape, rho):
    _, data = bound(CASES[name].operator, shape)
    z = random_image(shape, 3)
    x = data.prox(z, rho)
    assert (data.gradient(x) + rho * (x - z)).norm() <= 1e-8 * z.norm()


@every_operator
def test_derivatives_of_the_data_steps(name):
    shape = CASES[name].small
    A, data = bound(CASES[name].operator, shape)
    z, y = random_image(shape, 3).requires_grad_(), data.y.clone().requires_grad_()

    def steps(z, y, rho):
        data = A.bind(y)
        return data.prox(z, rho), data.gradient(z).square()

    for rho in (0.7, [[[[0.7]]], [[[0.2]]]]):
        rho = torch.tensor(rho, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(steps, (z, y, rho))
        assert torch.autograd.gradgradcheck(steps, (z, y, rho))


@every_operator
def test_each_image_of_a_batch_gets_the_answer_it_would_get_alone(name):
    shape = CASES[name].batched
    generators = [np.random.default_rng(i) for i in range(BATCH)]
    together = CASES[name].operator.build(shape).draw(generators)
    x, z = random_image(shape, 1), random_image(shape, 2)
    for i in range(BATCH):
        alone = CASES[name].operator.build(shape).draw([np.random.default_rng(i)])
        own = slice(i, i + 1)
        torch.testing.assert_close(together(x)[own], alone(x[own]))
        prox = together.bind(together(x)).prox(z, 0.5)[own]
        torch.testing.assert_close(prox, alone.bind(alone(x[own])).prox(z[own], 0.5))


@every_operator
def test_operators_are_parameter_objects(name):
    operator = CASES[name].operator
    assert clone(operator).get_params().keys() == operator.get_params().keys()
    assert repr(clone(operator)) == repr(operator)
    before = dict(vars(operator))
    operator.build(CASES[name].small)
    assert vars(operator) == before


@every_operator
def test_single_precision(name):
    shape = CASES[name].batched
    _, data = bound(CASES[name].operator, shape)
    x = random_image(shape, 3)
    expected = data.prox(x, 0.5)
    A32 = drawn_map(CASES[name].operator, shape).to(torch.float32)
    result = A32.bind(data.y.float()).prox(x.float(), 0.5)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.cuda
@every_operator
def test_cuda_agrees_with_the_cpu(name):
    shape = CASES[name].batched
    _, data = bound(CASES[name].operator, shape)
    x = random_image(shape, 3)
    on_cuda = drawn_map(CASES[name].operator, shape).cuda().bind(data.y.cuda())
    torch.testing.assert_close(on_cuda.prox(x.cuda(), 0.5).cpu(), data.prox(x, 0.5))


# Without a closed form: conjugate gradients are all there is.
ITERATIVE = {
    "reflect",
    "replicate",
    "zero",
    "zero_even",
    "valid",
    "masked_blur",
    "missing_of_blur",
    "missing_of_sensing",
    "fourier_of_area",
    "coils",
    "complex_coils",
    "missing_of_coils",
    "radon",
    "radon_at_angles",
    "radon_views",
    "mosaic_of_blur",
    "of_one_s_own",
    "missing_of_flat",
    "scaled_user",
    "doubled",
    "missing_of_complex_matrix",
    "sum",
    "stack",
    "stack_of_missing",
    "function",
    "pair",
    "sparse_matrix",
    "complex_sparse",
    "linear_operator",
    "pylops",
    "complex_pylops",
}


@every_operator
def test_the_proximal_step_is_in_closed_form_wherever_there_is_one(name, monkeypatch):
    calls = []
    monkeypatch.setattr(base, "solve", lambda *args, **kwargs: calls.append(args) or args[1])
    _, data = bound(CASES[name].operator, CASES[name].batched)
    data.prox(random_image(CASES[name].batched), 0.3)
    assert bool(calls) == (name in ITERATIVE)


@pytest.mark.parametrize("name", sorted(set(CASES) - ITERATIVE))
def test_closed_forms_keep_their_digits_when_the_penalty_is_small(name):
    shape = CASES[name].batched
    A, data = bound(CASES[name].operator, shape)
    z, rho = random_image(shape, 3), 1e-9
    matrix = explicit_matrices(A, shape)
    largest = torch.linalg.matrix_norm(matrix, ord=2).max()
    x = data.prox(z, rho)
    residual = data.gradient(x) + rho * (x - z)
    assert residual.norm() <= 1e-12 * largest**2 * (x.norm() + z.norm())


@every_operator
def test_derivatives_at_the_solution_and_on_constant_images_are_finite(name):
    shape = CASES[name].small
    A = drawn_map(CASES[name].operator, shape)
    constant = torch.full((BATCH, *shape), 0.5, dtype=torch.float64)
    for image in (constant, torch.zeros_like(constant), random_image(shape)):
        z = image.clone().requires_grad_()
        data = A.bind(A(image))
        (gradient,) = torch.autograd.grad(data.prox(z, 0.7).square().sum(), z, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), z)
        assert gradient.isfinite().all()
        assert second.isfinite().all()


@every_operator
def test_what_is_built_can_be_pickled_with_its_operator(name):
    operator = pickle.loads(pickle.dumps(CASES[name].operator))
    shape = CASES[name].small
    x = random_image(shape)
    expected = drawn_map(CASES[name].operator, shape)(x)
    torch.testing.assert_close(drawn_map(operator, shape)(x), expected)
