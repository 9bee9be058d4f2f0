"""Nonlinear operators."""

import numpy as np
import pytest
import torch
from operator_registry import random_image

from skmetainv.denoisers import GaussianSmoothing
from skmetainv.operators import (
    CompressedSensing,
    DataTerm,
    ForwardMap,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Identity,
    LinearMap,
    MatrixOperator,
    MissingPixels,
    Operator,
    PhaseRetrieval,
    Radon,
    Saturation,
    Stack,
)
from skmetainv.operators.maps.foreign import FunctionMap
from skmetainv.solvers import RED, ConjugateGradient, GradientDescent, ProximalGradient
from skmetainv.testing import check_operator


class Square(Operator):
    """A user's nonlinear operator, which only defines `forward`."""

    def build(self, image_shape):
        class SquareMap(ForwardMap):
            def forward(self, x):
                return x.square()

        return SquareMap(image_shape, image_shape)


def test_a_nonlinear_operator_of_one_s_own():
    A = Square().build((1, 2, 3))
    x, y = random_image((1, 2, 3), 1).requires_grad_(), random_image((1, 2, 3), 2)
    gradient = A.bind(y).gradient
    torch.testing.assert_close(gradient(x), 2 * x * (x.square() - y))
    assert torch.autograd.gradcheck(gradient, (x,))
    assert torch.autograd.gradgradcheck(gradient, (x,))


def test_a_nonlinear_part_makes_the_whole_nonlinear():
    operators = (
        Square() @ GaussianBlur(sigma=0.7),
        GaussianBlur(sigma=0.7) @ Square(),
        Square() + GaussianBlur(sigma=0.7),
        3.0 * Square(),
        Stack([Square(), GaussianBlur(sigma=0.7)]),
    )
    for operator in operators:
        A = operator.build((1, 2, 3))
        assert not isinstance(A, LinearMap)
        x = random_image((1, 2, 3), 1).requires_grad_()
        gradient = A.bind(random_image(A.measurement_shape, 2)).gradient
        (by_autograd,) = torch.autograd.grad(
            0.5 * (A(x) - random_image(A.measurement_shape, 2)).square().sum(), x
        )
        torch.testing.assert_close(gradient(x), by_autograd)
        assert torch.autograd.gradgradcheck(gradient, (x,))


def doubled(x):
    return 2 * x


def soft_clip(x):
    return torch.tanh(2 * x).flatten(1)


NONLINEAR = {
    "saturation": Saturation(gain=1.3, low=-0.4, high=0.9),
    "phase_retrieval": PhaseRetrieval(),
    "real_magnitudes": PhaseRetrieval(CompressedSensing(0.7)),
    "magnitudes_of_samples": PhaseRetrieval(FourierSampling(acceleration=2)),
    "magnitudes_of_matrix": PhaseRetrieval(
        MatrixOperator(np.random.default_rng(0).normal(size=(5, 12)) * (1 + 2j))
    ),
    "magnitudes_of_radon": PhaseRetrieval(Radon(3)),
    "magnitudes_of_pair": PhaseRetrieval(FunctionOperator(doubled, adjoint_function=doubled)),
    "function": FunctionOperator(soft_clip),
    "saturated_blur": Saturation() @ GaussianBlur(sigma=0.7),
    "missing_saturated": MissingPixels(observed=0.6) @ Saturation(),
    "missing_magnitudes": MissingPixels(observed=0.6) @ PhaseRetrieval(),
}
nonlinear = pytest.mark.parametrize("name", NONLINEAR)


@nonlinear
def test_every_nonlinear_operator_has_the_properties_of_operators(name):
    assert not isinstance(NONLINEAR[name].build((1, 3, 4)), LinearMap)
    check_operator(NONLINEAR[name], device="cpu")


@nonlinear
def test_what_needs_a_linear_operator_says_so(name):
    A = NONLINEAR[name].build((1, 3, 4)).draw([np.random.default_rng(0)])
    data = A.bind(random_image(A.measurement_shape, 2, n=1))
    assert type(data) is DataTerm
    with pytest.raises(ValueError, match="needs a linear operator"):
        data.prox(data.start("zeros"), 1.0)
    for start in ("adjoint", "pseudo_inverse"):
        with pytest.raises(ValueError, match=f"'{start}' needs a linear operator.*'zeros'"):
            data.start(start)


@pytest.mark.parametrize(
    "around",
    [
        lambda A: A,
        lambda A: MissingPixels() @ A,
        lambda A: 2.0 * A,
        lambda A: Identity() + A,
        lambda A: Stack([Identity(), A]),
    ],
)
def test_a_function_that_is_linear_is_told_how_to_say_so(around):
    A = around(FunctionOperator(lambda x: 2 * x)).build((1, 3, 4))
    data = A.data_term(A(random_image((1, 3, 4), n=1)))
    for needing_it in (
        lambda: data.start("adjoint"),
        lambda: data.prox(data.start("zeros"), 1.0),
        lambda: ConjugateGradient().build((1, 3, 4)).init(data.start("zeros"), data),
    ):
        with pytest.raises(ValueError, match=r"FunctionOperator\(forward, linear=True\)"):
            needing_it()
    y = random_image((1, 3, 4), n=1)
    with pytest.raises(ValueError, match="needs a linear operator") as told:
        Saturation().build((1, 3, 4)).data_term(y).prox(y, 1.0)
    assert "linear=True" not in str(told.value)


def test_nor_has_a_function_without_a_derivative_a_norm():
    def infinite(x):
        return x / (x - x)

    with pytest.raises(ValueError, match=r"FunctionOperator\(forward, linear=True\)"):
        FunctionMap((1, 3, 4), (1, 3, 4), infinite).norm()


@pytest.mark.cuda
@nonlinear
def test_cuda_agrees_with_the_cpu(name):
    A = NONLINEAR[name].build((1, 3, 4)).draw([np.random.default_rng(0)])
    x, v = random_image((1, 3, 4), 1, n=1), random_image(A.measurement_shape, 2, n=1)
    expected, measured = A.vjp(x, v), A(x)
    A.cuda()
    torch.testing.assert_close(A(x.cuda()).cpu(), measured)
    torch.testing.assert_close(A.vjp(x.cuda(), v.cuda()).cpu(), expected)


def test_saturation_clips_and_phase_retrieval_forgets_the_phase():
    image = np.random.default_rng(0).normal(size=(5, 4))
    x = torch.from_numpy(image)[None, None]
    clipped = Saturation(gain=2.0, low=-1.0, high=0.5).build((1, 5, 4))(x)
    np.testing.assert_allclose(clipped[0, 0], np.clip(2 * image, -1, 0.5))
    magnitudes = PhaseRetrieval().build((1, 5, 4))(x)
    expected = np.fft.fftshift(np.abs(np.fft.fft2(image, norm="ortho")))
    np.testing.assert_allclose(magnitudes[0, 0], expected, atol=1e-12)


def test_widths_of_two_are_not_taken_for_complex_numbers():
    A = PhaseRetrieval(Identity()).build((1, 3, 2))
    assert A.measurement_shape == (1, 3, 2)


def test_a_norm_that_cannot_be_found_is_an_error_of_what_asked_for_it():
    class NotTwice(Operator):
        def build(self, image_shape):
            class NotTwiceMap(ForwardMap):
                def forward(self, x):
                    return x.square()

                def vjp(self, x, v):
                    return 2 * (x * v).detach()

            return NotTwiceMap(image_shape, image_shape)

    reason = r"norm of this nonlinear operator cannot be computed at a random image in \[0, 1\]"
    with pytest.raises(ValueError, match=reason) as error:
        NotTwice().normalize().build((1, 3, 4))
    assert "step" not in "".join([str(error.value), *getattr(error.value, "__notes__", [])])
    A = NotTwice().build((1, 3, 4))
    data, x = A.bind(torch.zeros(1, 1, 3, 4)), torch.ones(1, 1, 3, 4)
    for solver in (
        GradientDescent(),
        ProximalGradient(GaussianSmoothing()),
        RED(GaussianSmoothing(), method="steepest_descent"),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            solver.build((1, 3, 4)).float()(x, data)
        assert "GradientDescent(step_size=0.1)" in error.value.__notes__[0]
