"""Properties of every linear operator of the registry, for all its image shapes, in float64."""

import math

import numpy as np
import pytest
import torch
from operator_registry import CASES, bound, drawn_map, explicit_matrices, random_image

from skmetainv.operators import Identity
from skmetainv.operators.maps import data_terms
from skmetainv.testing import check_operator
from skmetainv.testing.linear_maps import check_linear_map

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
def test_every_linear_map_is_its_matrix(name, shape):
    operator = CASES[name].operator
    check_linear_map(operator.build(shape), drawn_map(operator, shape))


@every_operator
@pytest.mark.parametrize("size", ["small", "batched"])
def test_every_linear_operator_has_the_properties_of_operators(name, size):
    check_operator(CASES[name].operator, getattr(CASES[name], size), device="cpu")


@pytest.mark.cuda
@every_operator
def test_cuda_agrees_with_the_cpu(name):
    check_operator(CASES[name].operator, CASES[name].batched, device="cuda")


# Maps that compute with SciPy's or torch's sparse matrices, which the "meta" device does not have.
NEED_NUMBERS = {
    "radon",
    "radon_at_angles",
    "radon_views",
    "sparse_matrix",
    "complex_sparse",
    "linear_operator",
    "pylops",
    "complex_pylops",
}


def drawn(name):
    A = CASES[name].operator.build(CASES[name].batched)
    return A, [np.random.default_rng(seed) for seed in range(2)]


@pytest.mark.parametrize("name", [name for name in CASES if name not in NEED_NUMBERS])
def test_no_tensor_of_a_map_stays_behind_when_it_moves(name):
    """The "meta" device, as a GPU, computes with no tensor of the CPU."""
    A, generators = drawn(name)
    A = A.to("meta").draw(generators)
    y = A(random_image(A.image_shape).to("meta"))
    assert y.is_meta
    assert A.adjoint(y).is_meta


@every_operator
def test_a_map_changes_only_with_its_masks(name):
    A, generators = drawn(name)
    y = A.draw(generators)(random_image(A.image_shape))
    varies = math.isnan(A.missing_value)
    assert (A.draw(generators) is A) != varies
    assert (A.with_masks_of(y) is A) != varies


def test_there_are_four_starts():
    data = Identity().build((1, 2, 2)).bind(random_image((1, 2, 2)))
    with pytest.raises(ValueError, match="Got 'median' instead"):
        data.start("median")


# Operators without a closed form, whose proximal step uses conjugate gradients.
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
    monkeypatch.setattr(data_terms, "solve", lambda *args, **kwargs: calls.append(args) or args[1])
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
