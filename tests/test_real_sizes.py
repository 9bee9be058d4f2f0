"""The operators of the registry on images of a real size, in both precisions."""

from copy import deepcopy

import numpy as np
import pytest
import scipy.sparse
import torch
from operator_registry import CASES, matrix, random_image

from skmetainv.operators import CompressedSensing, MatrixOperator, MissingPixels

SIZE = 128
N = SIZE * SIZE
# Operators of a fixed size in the registry are replaced by these.
_SPARSE = scipy.sparse.random(N // 2, N, 4 / N, random_state=0)
IN_PLACE = {
    "sparse_matrix": MatrixOperator(_SPARSE),
    "complex_sparse": MatrixOperator(_SPARSE.tocsr() * (1 + 2j)),
    "linear_operator": MatrixOperator(scipy.sparse.linalg.aslinearoperator(_SPARSE)),
    "wide_matrix": MatrixOperator(matrix(64, N)),
    "complex_matrix": MatrixOperator(matrix(32, N, dtype=complex)),
    "missing_of_complex_matrix": MissingPixels(0.5) @ MatrixOperator(matrix(32, N, dtype=complex)),
    "sensing": CompressedSensing(n_measurements=64),
    "signs": CompressedSensing(n_measurements=64, matrix="rademacher", random_state=3),
    "scaled_sensing": -0.5 * CompressedSensing(n_measurements=64),
    "missing_of_sensing": MissingPixels(observed=0.7) @ CompressedSensing(n_measurements=64),
}
# A square or tall matrix of this size takes gigabytes; PyLops' operators would only differ in the
# matrix; the size of a box is fixed in pixels.
LEFT_OUT = {"all_measurements", "tall_matrix", "pylops", "complex_pylops", "sensing_of_area"}


@pytest.fixture(name="A", scope="module", params=[n for n in CASES if n not in LEFT_OUT])
def map_of_a_real_size(request):
    return built(request.param)


def built(name):
    """The map of one image of a real size, with its mask drawn."""
    case = CASES[name]
    channels = 1 if name in IN_PLACE else case.small[0]
    size = SIZE + (-SIZE) % (3 if name == "area" else 1)
    A = IN_PLACE.get(name, case.operator).build((channels, size, size))
    return A.draw([np.random.default_rng(0)])


def test_the_operator_is_what_it_says(A):
    x, v = random_image(A.image_shape, 1, 1), random_image(A.measurement_shape, 2, 1)
    Ax, z = A(x), random_image(A.image_shape, 3, 1)
    back = A.adjoint(v)
    assert abs((Ax * v).sum() - (x * back).sum()) <= 1e-11 * Ax.norm() * v.norm()
    normal = A.normal(x)
    assert abs((normal * x).sum() - Ax.square().sum()) <= 1e-11 * Ax.square().sum()
    torch.testing.assert_close(normal, A.adjoint(Ax))
    norm = A.norm()
    for image in (x, normal, z):  # no image is amplified more than by the norm
        assert A(image).norm() <= 1.01 * norm * image.norm()
    for _ in range(12):
        z = A.normal(z / z.norm())
    assert z.norm().sqrt() >= 0.9 * norm


def test_the_proximal_step_in_both_precisions(A):
    y, z = A(random_image(A.image_shape, 1, 1)), random_image(A.image_shape, 2, 1)
    y = y + random_image(A.measurement_shape, 3, 1)
    if A.observed is not None:
        y = y.where(A.observed, 0.0)
    data, rho = A.data_term(y), 0.1 * float(A.norm()) ** 2
    x = data.prox(z, rho)
    scale = (data.adjoint_y + rho * z).norm()
    assert (data.gradient(x) + rho * (x - z)).norm() <= 1e-11 * scale
    single = deepcopy(A).float().data_term(y.float()).prox(z.float(), rho)
    assert single.dtype == torch.float32
    assert (single - x).norm() <= 1e-4 * x.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_pseudo_inverse_of_a_real_size_ends(dtype):
    A = built("radon").to(dtype)
    calls, normal = [], A.normal
    A.normal = lambda v: calls.append(1) or normal(v)
    y = A(random_image(A.image_shape, 1, 1).to(dtype))
    x = A.pseudo_inverse(y)
    assert len(calls) < 1500
    assert (A(x) - y).norm() < 1e-3 * y.norm()
