"""Operators called directly on arrays and tensors."""

import numpy as np
import pytest
import torch
from operator_registry import CASES, Difference
from sklearn.base import clone

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.denoisers import FunctionDenoiser
from skmetainv.losses import FunctionLoss
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    MatrixOperator,
    MissingPixels,
    Radon,
    Saturation,
)
from skmetainv.representations import ModuleRepresentation
from skmetainv.solvers import FunctionSolver

RNG = np.random.default_rng(0)
GRAY, COLOUR = RNG.random((4, 8, 12)), RNG.random((4, 8, 12, 3))
FIRST = np.moveaxis(COLOUR, -1, 1).copy()


@pytest.mark.parametrize("name", CASES)
def test_a_call_simulates_without_noise_and_its_adjoint_is_the_map_s(name):
    """``A(x)`` equals an estimator's simulation, <A x, y> = <x, A' y>, and ``A A^+ A x = A x``."""
    case = CASES[name]
    channels, height, width = case.batched
    x = RNG.random((2, height, width, channels))
    operator = case.operator
    y = operator(x, random_state=3)
    est = ClassicalReconstructor(
        operator, image_shape=x.shape[1:], precision="float64", device="cpu"
    )
    np.testing.assert_array_equal(y, est.simulate(x, random_state=3))
    observed = ~np.isnan(y)
    v = np.where(observed, RNG.normal(size=y.shape), np.nan)
    back = operator.adjoint(v, image_shape=x.shape[1:])
    assert back.shape == x.shape
    assert np.nansum(y * v) == pytest.approx((x * back).sum(), rel=1e-9, abs=1e-12)
    least = operator.pseudo_inverse(y, image_shape=x.shape[1:])
    np.testing.assert_allclose(operator.data_fidelity(least, y), 0.0, atol=1e-10)


@pytest.mark.parametrize("operator", [GaussianBlur(), Inpainting(), MissingPixels(), Identity()])
@pytest.mark.parametrize("x", [GRAY, COLOUR, FIRST], ids=["gray", "last", "first"])
def test_measurements_that_are_images_lie_as_the_images(operator, x):
    y = operator(x, random_state=0)
    assert y.shape == operator.adjoint(y).shape == operator.pseudo_inverse(y).shape == x.shape
    assert operator.data_fidelity(x, y).shape == (4,)


@pytest.mark.parametrize("operator", [Downsampling(2), Downsampling(2) @ GaussianBlur()])
def test_channels_are_where_they_were(operator):
    last, first = operator(COLOUR), operator(FIRST)
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)
    assert operator.adjoint(first, image_shape=(3, 8, 12)).shape == FIRST.shape
    np.testing.assert_array_equal(
        np.moveaxis(operator.adjoint(first, image_shape=(3, 8, 12)), 1, -1),
        operator.adjoint(last, image_shape=(8, 12, 3)),
    )


@pytest.mark.parametrize(
    "operator", [GaussianBlur(), Downsampling(2), CompressedSensing(0.5), FourierSampling()]
)
@pytest.mark.parametrize("x", [GRAY[0], COLOUR[0]], ids=["gray", "colour"])
def test_one_image_gives_one_measurement(operator, x):
    y = operator(x)
    np.testing.assert_array_equal(y, operator(x[np.newaxis])[0])
    back = operator.adjoint(y, image_shape=x.shape)
    np.testing.assert_array_equal(back, operator.adjoint(y[np.newaxis], image_shape=x.shape)[0])
    assert back.shape == x.shape
    assert np.ndim(operator.data_fidelity(x, y)) == 0


def test_complex_measurements_are_taken_as_two_numbers_or_as_one():
    operator = FourierSampling()
    y = operator(GRAY)
    assert y.shape == (*GRAY.shape, 2)
    back = operator.adjoint(y)
    assert back.shape == GRAY.shape
    np.testing.assert_array_equal(operator.adjoint(y[..., 0] + 1j * y[..., 1]), back)
    tensor = torch.view_as_complex(torch.from_numpy(y))
    np.testing.assert_array_equal(operator.adjoint(tensor).numpy(), back)


@pytest.mark.parametrize("operator", [GaussianBlur(), MissingPixels(), Downsampling(2)])
def test_tensors_give_tensors_that_autograd_knows(operator):
    """The gradient of ``||A x||^2`` is ``2 A' A x``."""
    x = torch.tensor(GRAY, requires_grad=True)
    y = operator(x, random_state=0)
    assert isinstance(y, torch.Tensor)
    assert y.dtype == torch.float64
    y.square().nansum().backward()
    expected = 2 * operator.adjoint(y.detach(), image_shape=GRAY.shape[1:])
    torch.testing.assert_close(x.grad, expected)

    weights = torch.randn(y.shape, dtype=torch.float64).requires_grad_()
    operator.adjoint(weights, image_shape=GRAY.shape[1:]).square().sum().backward()
    assert weights.grad.abs().sum() > 0


def test_the_gradient_of_the_data_fidelity():
    """The gradient of ``||A x - y||^2 / m`` is ``2 A' (A x - y) / m``."""
    operator = MissingPixels() @ GaussianBlur()
    y = operator(GRAY, random_state=1)
    x = torch.zeros(GRAY.shape, dtype=torch.float64, requires_grad=True)
    operator.data_fidelity(x, y).sum().backward()
    m = (~np.isnan(y)).sum(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(x.grad, 2 * operator.adjoint(-y) / m, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("float64", "float64"), ("float32", "float32"), ("float16", "float32"), ("uint8", "float32")],
)
def test_types(dtype, result):
    x = np.full((2, 8, 8), 255 if dtype == "uint8" else 1, dtype=dtype)
    y = GaussianBlur()(x)
    assert y.dtype == result
    assert str(GaussianBlur()(torch.from_numpy(x)).dtype) == f"torch.{result}"
    np.testing.assert_allclose(y, 1, rtol=1e-5)


def test_masked_measurements_are_missing():
    y = np.ma.masked_greater(GRAY, 0.5)
    expected = np.where(GRAY > 0.5, 0.0, GRAY)
    np.testing.assert_array_equal(MissingPixels().adjoint(y), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masked_arrays_keep_their_precision(dtype):
    x = np.ma.masked_greater(GRAY.astype(dtype), 0.9)
    assert GaussianBlur()(x).dtype == dtype


def test_masks_are_drawn_anew_unless_there_is_a_seed():
    operator = MissingPixels()
    masks = [np.isnan(operator(GRAY, random_state=seed)) for seed in (0, 0, 1, None, None)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert all((masks[0] != mask).any() for mask in masks[2:])
    assert (masks[3] != masks[4]).any()
    assert (masks[0][0] != masks[0][1]).any()


def test_a_call_has_the_parameters_of_the_moment():
    operator = GaussianBlur(sigma=1.0)
    before = operator(GRAY)
    operator.set_params(sigma=2.0)
    np.testing.assert_array_equal(operator(GRAY), GaussianBlur(sigma=2.0)(GRAY))
    assert (operator(GRAY) != before).any()
    mask = np.ones((8, 12), dtype=bool)
    masked = Inpainting(mask)
    masked(GRAY)
    mask[0] = False
    assert not masked(GRAY)[:, 0].any()
    np.testing.assert_array_equal(clone(operator)(GRAY), operator(GRAY))


def test_data_fidelity_in_closed_form():
    """It is the mean squared residual of observed entries; for noise alone, its variance."""
    x = np.zeros((2, 8, 8))
    assert Inpainting().data_fidelity(x, x + 0.5 * Inpainting()(x + 1)) == pytest.approx(
        [0.25, 0.25]
    )
    y = x + np.arange(64.0).reshape(8, 8)
    y[0, 0] = np.nan
    expected = [np.square(np.arange(8, 64)).mean(), np.square(np.arange(64)).mean()]
    np.testing.assert_allclose(MissingPixels().data_fidelity(x, y), expected)
    truth = RNG.random((4, 64, 64))
    noisy = GaussianBlur()(truth) + 0.1 * RNG.normal(size=truth.shape)
    np.testing.assert_allclose(GaussianBlur().data_fidelity(truth, noisy), 0.01, rtol=0.1)
    saturated = Saturation(gain=2.0)
    np.testing.assert_allclose(saturated.data_fidelity(truth, saturated(truth)), 0.0)


def test_norms():
    assert GaussianBlur().norm((8, 12)) == pytest.approx(1.0)
    expected = Radon(angles=4).build((1, 8, 12)).norm().item()
    assert Radon(angles=4).norm((8, 12)) == expected
    assert (3 * Grayscale()).norm((8, 12, 3)) == pytest.approx((3 * Grayscale()).norm((3, 8, 12)))


def tripled(x):
    return 3 * x


def test_a_pair_of_functions_is_called_as_every_operator():
    pair = FunctionOperator(tripled, adjoint_function=tripled)
    np.testing.assert_allclose(pair.adjoint(pair(COLOUR)), 9 * COLOUR)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Downsampling(2).adjoint(GRAY[:, :4, :6]),
            r"cannot be inferred from y of shape \(4, 4, 6\)\. Pass image_shape=\(height, width\)",
        ),
        (
            lambda: CompressedSensing(12).adjoint(GRAY[0]),  # 8 measurements of 12 values
            r"cannot be inferred from y of shape \(8, 12\)",
        ),
        (
            lambda: Difference().adjoint(np.ones(96)),
            "images .* cannot be inferred",
        ),
        (
            lambda: Downsampling(2).adjoint(GRAY, image_shape=(8, 12)),
            r"shape \(4, 6\): .* images of shape \(8, 12\)\. Got shape \(4, 8, 12\)",
        ),
        (
            lambda: Downsampling(2).adjoint(GRAY, image_shape=(8,)),
            r"'image_shape' parameter must be .* Got \(8,\)",
        ),
        (lambda: Identity().norm((0, 8)), r"'image_shape' parameter must be .* Got \(0, 8\)"),
        (lambda: Identity().norm(8), r"'image_shape' parameter must be .* Got 8"),
        (lambda: Saturation().adjoint(GRAY), "`adjoint` needs a linear operator"),
        (lambda: Saturation().pseudo_inverse(GRAY), "`pseudo_inverse` needs a linear operator"),
        (lambda: GaussianBlur(sigma=-1.0)(GRAY), "'sigma' parameter of GaussianBlur"),
        (lambda: GaussianBlur(sigma=-1.0).adjoint(GRAY), "'sigma' parameter of GaussianBlur"),
        (lambda: Identity()(np.ones(5)), r"Images must have shape .* x has shape \(5,\)"),
        (lambda: Identity()(3.0), r"x must be a non-empty array or tensor of numbers. Got float64"),
        (lambda: Identity()([["a"]]), "x must be a non-empty array or tensor of numbers"),
        (lambda: Identity()(np.ones((0, 4, 4))), r"of numbers. Got float64, shape \(0, 4, 4\)"),
        (lambda: Identity()(torch.ones(0, 4, 4)), r"Got torch.float32, shape \(0, 4, 4\)"),
        (lambda: Identity().adjoint(torch.tensor(3.0)), r"y must be .* Got .*, shape \(\)"),
        (lambda: Identity()("faces"), "to be an array of images"),
        (
            lambda: Downsampling(2).data_fidelity(GRAY, GRAY),
            r"y must have the shape of .* by Downsampling\(\), \(4, 4, 6\). Got shape \(4, 8, 12\)",
        ),
        (lambda: Identity().data_fidelity(GRAY, GRAY[0]), r"\(4, 8, 12\)\. Got shape \(8, 12"),
        (lambda: Identity()(GRAY, random_state=-1), "'random_state' parameter"),
    ],
)
def test_what_cannot_be_called_is_told(call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()


def test_a_tensor_of_three_planes_is_told():
    with pytest.warns(UserWarning, match=r"read as 3 gray images.* x\[None\]"):
        GaussianBlur()(torch.ones(3, 8, 12))


# ------------------------------------------------------------------ algebra


def test_sums_differences_and_negatives_are_those_of_measurements():
    a, b, c = GaussianBlur(), 2 * Identity(), Inpainting()
    np.testing.assert_allclose(sum([a, b, c])(GRAY), a(GRAY) + b(GRAY) + c(GRAY))
    assert sum([a]) is a
    np.testing.assert_allclose((a - b)(GRAY), a(GRAY) - b(GRAY))
    np.testing.assert_allclose((-a)(GRAY), -a(GRAY))
    total = a
    total += b
    total -= c
    np.testing.assert_allclose(total(GRAY), a(GRAY) + b(GRAY) - c(GRAY))
    total @= GaussianBlur(2.0)
    np.testing.assert_allclose(total(GRAY), (a + b - c)(GaussianBlur(2.0)(GRAY)))


ARRAY, TENSOR = np.ones((9, 9)), torch.ones(9, 9)
NUMBERS = (3, 1.5, True, "blur", None, ARRAY, TENSOR, GaussianBlur)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
@pytest.mark.parametrize("sign", ["@", "+", "-"])
def test_what_is_no_operator_is_refused_on_either_side_at_once(sign, value):
    names = {"a": GaussianBlur(), "value": value}
    with pytest.raises(TypeError, match=f"The right operand of [{sign}] must be an Operator. Got"):
        eval(f"a {sign} value", names)
    with pytest.raises(TypeError, match=f"The left operand of [{sign}] must be an Operator. Got"):
        eval(f"value {sign} a", names)
    with pytest.raises(TypeError, match=f"The right operand of [{sign}] must be an Operator. Got"):
        exec(f"a {sign}= value", names)


@pytest.mark.parametrize("value", ["2", None, 0, 0.0, np.nan, np.inf, 1j, ARRAY, Identity()])
def test_what_scales_no_operator_is_refused_at_once(value):
    message = r"by a finite number that is not 0\. Got .* write outer @ inner"
    a = GaussianBlur()
    for scaled in (lambda: a * value, lambda: value * a, lambda: a / value):
        with pytest.raises(TypeError, match=message):
            scaled()


@pytest.mark.parametrize("value", [ARRAY, TENSOR])
def test_images_as_operands_are_answered_with_a_call(value):
    for combined in (
        lambda: Identity() @ value,
        lambda: value @ Identity(),
        lambda: Identity() * value,
    ):
        with pytest.raises(TypeError, match=r"If it holds images, operator\(x\) measures them"):
            combined()


@pytest.mark.parametrize(
    "composed",
    [
        lambda: GaussianBlur() @ MissingPixels(),
        lambda: Identity() + MissingPixels(),
        lambda: MissingPixels() - Identity(),
        lambda: sum([Identity(), MissingPixels()]),
    ],
)
def test_missing_samples_that_do_not_come_last_are_refused_at_once(composed):
    with pytest.raises(ValueError, match="missing samples come last"):
        composed()


@pytest.mark.parametrize(
    "part",
    [
        FunctionOperator(GaussianBlur()),
        FunctionOperator(tripled, adjoint_function=GaussianBlur()),
        MetaInverseSolver(outer_loss=GaussianBlur()),
        FunctionLoss(GaussianBlur()),
        FunctionSolver(GaussianBlur()),
        FunctionDenoiser(GaussianBlur()),
        ModuleRepresentation(GaussianBlur()),
    ],
)
def test_an_operator_is_no_function(part):
    """An operator can be called on arrays, but is not accepted as a function parameter."""
    with pytest.raises(ValueError, match=r"a callable.* Got GaussianBlur\(\) instead"):
        part._validate_params()


def test_a_matrix_is_called_on_images_in_the_order_of_their_arrays():
    M = RNG.normal(size=(5, 8 * 12 * 3))
    operator = MatrixOperator(M)
    np.testing.assert_allclose(operator(COLOUR), COLOUR.reshape(4, -1) @ M.T)
    y = RNG.normal(size=(2, 5))
    back = operator.adjoint(y, image_shape=(8, 12, 3))
    np.testing.assert_allclose(back, (y @ M).reshape(2, 8, 12, 3))
