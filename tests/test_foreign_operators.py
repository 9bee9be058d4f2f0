"""Operators from users' functions, matrices and DeepInverse's physics."""

import deepinv
import numpy as np
import pytest
import scipy.ndimage
import torch
from operator_registry import random_image
from scipy.sparse.linalg import LinearOperator

from skmetainv import MetaInverseSolver
from skmetainv.operators import (
    DeepInverseOperator,
    FunctionOperator,
    LinearMap,
    MatrixOperator,
)
from skmetainv.representations import Siren
from skmetainv.solvers import GradientDescent

KERNEL = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3) / 45
FLIPPED = KERNEL.flip(2, 3)
M = np.random.default_rng(0).normal(size=(7, 16))
Z = M + 1j * np.random.default_rng(1).normal(size=(7, 16))


def conv(x, kernel=KERNEL):
    return torch.nn.functional.conv2d(x, kernel.to(x), padding=1)


def single(x, kernel=KERNEL):
    """A convolution that always computes in single precision."""
    return conv(x.float(), kernel).to(x)


def rigid(x, kernel=KERNEL):
    """A convolution that only accepts the kernel's type."""
    return torch.nn.functional.conv2d(x, kernel, padding=1)


def smooth(x):
    return scipy.ndimage.gaussian_filter(x, 1.0, mode="wrap", axes=(-2, -1))


def shifted(x):
    return np.roll(x, 1, axis=-1) - 0.5 * x


def shifted_back(y):
    return np.roll(y, -1, axis=-1) - 0.5 * y


def shifted_back_in_torch(y):
    return torch.roll(y, -1, dims=-1) - 0.5 * y


# ------------------------------------------------------------------ adjoints


@pytest.mark.parametrize("n", [8, 128, 256])
@pytest.mark.parametrize("function", [conv, single, rigid])
def test_a_wrong_adjoint_is_refused_at_any_size_and_a_right_one_taken(function, n):
    shape = (1, n, n)
    FunctionOperator(function, adjoint_function=lambda y: function(y, FLIPPED)).build(shape)
    for wrong in (
        lambda y: 1.01 * function(y, FLIPPED),
        function,
        lambda y: function(y, FLIPPED + 1e-2 * (KERNEL - FLIPPED)),
        lambda y: function(y, FLIPPED).flip(-1),
    ):
        with pytest.raises(
            ValueError, match=r"'adjoint_function' .* is not the adjoint of 'function': <A x"
        ):
            FunctionOperator(function, adjoint_function=wrong).build(shape)


def test_what_is_skew_does_not_hide():
    """``<x, (A' + K) x> = <x, A' x>`` if ``K' = -K``, so the test needs two different images."""
    n = 64
    with pytest.raises(ValueError, match=r"is not the adjoint .* <A x, A z>"):
        FunctionOperator(
            lambda x: x, adjoint_function=lambda y: y + 1e-2 * (y.roll(1, -1) - y.roll(-1, -1))
        ).build((1, n, n))


@pytest.mark.parametrize(
    ("wrong", "equation"),
    [
        (lambda y: (1 + 2e-5) * y, "<A x, A x>"),
        (lambda y: y + 2e-4 * (y.roll(1, -1) - y.roll(-1, -1)), "<A x, A z>"),
    ],
)
def test_a_small_error_of_an_adjoint_is_refused(wrong, equation):
    with pytest.raises(ValueError, match=f"is not the adjoint of 'function': {equation}"):
        FunctionOperator(lambda x: x, adjoint_function=wrong).build((1, 64, 64))


def test_a_function_that_is_barely_not_linear_is_refused():
    def bent(x):
        return x + 1e-3 * x**2

    with pytest.raises(ValueError, match=r"'function' .* is not linear"):
        FunctionOperator(bent, adjoint_function=lambda y: y).build((1, 8, 8))


def test_an_adjoint_wrong_outside_of_the_range_is_refused():
    """``A`` repeats an image. The adjoint is right only on measurements with two equal copies."""
    with pytest.raises(ValueError, match=r"is not the adjoint .* <A x, v>"):
        FunctionOperator(
            lambda x: torch.cat([x, x], 1), adjoint_function=lambda y: 2 * y[:, :1]
        ).build((1, 64, 64))


@pytest.mark.parametrize(
    ("forward", "adjoint", "message"),
    [
        (lambda x: 0 * x, lambda y: y, "<A x, v> is 0 and"),
        (lambda x: x * np.nan, lambda y: y, "'function' .* not finite"),
        (lambda x: x, lambda y: y * np.nan, "'adjoint_function' .* is not the adjoint"),
        (lambda x: x + 1, lambda y: y, "'function' .* is not linear"),
        (
            lambda x: x[..., :3],
            lambda y: y,
            r"_function' .* \(1, 4, 4\)\. Got \(1, 4, 3\)",
        ),
        (lambda x: x, lambda y: y.bool(), "'adjoint_function' .* of the images' type.*torch.bool"),
        (lambda x: x, lambda y: y @ KERNEL, "'adjoint_function' .* does not take batches"),
        (
            lambda x: x + x.detach(),
            None,
            "adjoint that autograd computes .* is not the adjoint",
        ),
    ],
)
def test_what_is_wrong_with_a_pair_is_named(forward, adjoint, message):
    with pytest.raises(ValueError, match=message):
        FunctionOperator(forward, adjoint_function=adjoint, linear=True).build((1, 4, 4))


def test_a_map_of_zeros_has_an_adjoint():
    A = FunctionOperator(lambda x: 0 * x, adjoint_function=lambda y: 0 * y).build((1, 4, 4))
    assert A(random_image((1, 4, 4))).abs().max() == 0


def products(forward, back, dtype=float):
    return LinearOperator((7, 16), matvec=forward, rmatvec=back, dtype=dtype)


def test_right_products_of_a_matrix_are_taken():
    half = M.astype(np.float32)
    for operator in (
        products(lambda x: M @ x, lambda y: M.T @ y),
        products(lambda x: Z @ x, lambda y: Z.conj().T @ y, complex),
        products(lambda x: half @ np.float32(x), lambda y: half.T @ np.float32(y), np.float32),
    ):
        MatrixOperator(operator).build((1, 4, 4))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (products(lambda x: M @ x, lambda y: (M.T @ y)[::-1]), "`rmatvec` .* is not the adjoint"),
        (products(lambda x: Z @ x, lambda y: Z.T @ y, complex), r"conjugate transpose: M.conj"),
        (products(lambda x: M @ x, lambda y: M.T @ y / 7), "`rmatvec` .* is not the adjoint"),
        (products(lambda x: M @ x, None), "`rmatvec` .* fails.*LinearOperator"),
        (products(lambda x: M @ x, lambda y: y), "`rmatvec` .* fails.*vectors of 7 numbers"),
        (products(lambda x: (M @ x) ** 2, lambda y: M.T @ y), "`matvec` .* is not linear"),
    ],
)
def test_wrong_products_of_a_matrix_are_named(matrix, message):
    with pytest.raises(ValueError, match=message):
        MatrixOperator(matrix).build((1, 4, 4))


def blur_physics(factor=1.0, dtype=None):
    """Return a blur for images of `dtype`, whose adjoint is `factor` times what it should be."""

    def forward(x, **kwargs):
        if dtype is not None and x.dtype != dtype:
            raise RuntimeError("expected another scalar type")
        return conv(x)

    return deepinv.physics.LinearPhysics(
        A=forward, A_adjoint=lambda y, **kwargs: factor * conv(y, FLIPPED)
    )


def test_the_adjoint_of_a_physics_is_checked():
    DeepInverseOperator(blur_physics()).build((1, 6, 6))
    with pytest.raises(
        ValueError, match=r"`A_adjoint` of LinearPhysics.*FunctionOperator\(physics.A"
    ):
        DeepInverseOperator(blur_physics(1.01)).build((1, 6, 6))
    unmatched = deepinv.physics.Tomography(angles=5, img_width=8, adjoint_via_backprop=False)
    with pytest.raises(ValueError, match=r"`A_adjoint` of Tomography.*adjoint_via_backprop=True"):
        DeepInverseOperator(unmatched).build((1, 8, 8))
    spectral = deepinv.physics.CompressiveSpectralImaging((3, 8, 8))
    with pytest.raises(ValueError, match="`A_adjoint` of CompressiveSpectralImaging"):
        DeepInverseOperator(spectral).build((3, 8, 8))
    assert isinstance(FunctionOperator(spectral.A, linear=True).build((3, 8, 8)), LinearMap)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_physics_of_one_precision_is_used_in_it(dtype):
    A = DeepInverseOperator(blur_physics(dtype=dtype)).build((1, 6, 6))
    x = random_image((1, 6, 6))
    for own in (torch.float32, torch.float64):
        assert A.to(own)(x.to(own)).dtype == own
        torch.testing.assert_close(A(x.to(own)), conv(x).to(own), atol=1e-6, rtol=1e-5)


def test_complex_measurements_of_a_physics_keep_both_parts():
    physics = deepinv.physics.PtychographyLinearOperator((1, 16, 16))
    A, x = DeepInverseOperator(physics).build((1, 16, 16)), random_image((1, 16, 16))
    torch.testing.assert_close(torch.view_as_complex(A(x)), physics.A(x.to(torch.complex128)))


# ------------------------------------------------------------------ precision


@pytest.mark.parametrize("kernel", [KERNEL, KERNEL.double()])
def test_a_function_of_one_precision_is_used_in_it(kernel):
    def forward(x):
        return rigid(x, kernel)

    def back(y):
        return rigid(y, kernel.flip(2, 3))

    x = random_image((1, 6, 6))
    for operator in (
        FunctionOperator(forward, adjoint_function=back),
        FunctionOperator(forward, linear=True),
    ):
        A = operator.build((1, 6, 6))
        for own in (torch.float32, torch.float64):
            y = A.to(own)(x.to(own))
            assert y.dtype == A.adjoint(y).dtype == own
            torch.testing.assert_close(y, conv(x).to(own), atol=1e-6, rtol=1e-5)


def test_a_module_is_copied_and_moves_with_the_map():
    module = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
    A, x = FunctionOperator(module, linear=True).build((1, 6, 6)), random_image((1, 6, 6))
    assert A(x).dtype == torch.float64
    assert A.float()(x.float()).dtype == torch.float32
    assert module.weight.dtype == torch.float32
    assert module.weight.requires_grad
    assert not next(iter(A.parameters())).requires_grad


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("adjoint", [shifted_back, shifted_back_in_torch])
def test_derivatives_of_numpy_functions_are_exact_to_every_order(adjoint):
    A = FunctionOperator(shifted, adjoint_function=adjoint).build((1, 3, 4))
    x = random_image((1, 3, 4), n=2).requires_grad_()

    def squared(x):
        data = A.bind(torch.ones(2, 1, 3, 4, dtype=torch.float64))
        return A(x).square(), data.prox(x, 0.7), A.adjoint(A(x)).square()

    assert torch.autograd.gradcheck(squared, (x,))
    assert torch.autograd.gradgradcheck(squared, (x,))
    expected = torch.from_numpy(shifted(x.detach().numpy()))
    torch.testing.assert_close(A(x).detach(), expected)


def test_a_numpy_function_trains():
    est = MetaInverseSolver(
        FunctionOperator(shifted, adjoint_function=shifted_back),
        GradientDescent(),
        init=Siren(width=8, depth=2),
        max_epochs=1,
        device="cpu",
        random_state=0,
    )
    images = np.random.default_rng(0).random((4, 6, 6))
    assert np.isfinite(est.fit(images).predict(est.simulate(images))).all()
    assert np.isfinite(est.history_["outer_loss"]).all()


@pytest.mark.parametrize(
    ("forward", "back"),
    [
        (np.fft.fft2, lambda y: np.fft.ifft2(y) * 12),
        (torch.fft.fft2, lambda y: torch.fft.ifft2(y) * 12),
        (torch.fft.fft2, None),
    ],
)
def test_complex_results_have_both_parts_last(forward, back):
    A = FunctionOperator(forward, adjoint_function=back, linear=True).build((1, 3, 4))
    x = random_image((1, 3, 4))
    assert A.measurement_shape == (1, 3, 4, 2)
    torch.testing.assert_close(torch.view_as_complex(A(x)), torch.fft.fft2(x))
    torch.testing.assert_close(A.adjoint(A(x)), 12 * x)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("function", [smooth, np.sin, torch.no_grad()(torch.sin)])
def test_a_function_without_a_derivative_is_refused(function, linear):
    with pytest.raises(
        ValueError, match=r"no derivative.*FunctionOperator\(function, adjoint_function="
    ):
        FunctionOperator(function, linear=linear).build((1, 4, 4))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: scipy.ndimage.gaussian_filter(x, 1.0),
        lambda x: scipy.ndimage.gaussian_filter(np.asarray(x), 1.0),
        lambda x: x - x.mean(),
        lambda x: x + torch.rand(1),
        lambda x: x.cumsum(0),  # which leaves the first image as it is
        lambda x: x.flip(0).cumsum(0).flip(0),  # and the last one
    ],
)
def test_functions_that_mix_the_images_of_a_batch_are_refused(function):
    for adjoint in (function, None):
        with pytest.raises(ValueError, match=r"each image of a batch on its own.*axes=\(-2, -1\)"):
            FunctionOperator(function, adjoint_function=adjoint).build((1, 4, 4))


@pytest.mark.parametrize("ones", [np.ones((30, 30), np.float32), torch.ones(30, 30)])
def test_no_message_holds_the_numbers_of_an_array(ones):
    with pytest.raises(ValueError, match=r"Got shape \(30, 30\), \S*float32 instead"):
        FunctionOperator(lambda x: ones).build((1, 4, 4))
