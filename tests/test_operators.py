"""Each operator compared with an independent implementation or a closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_registry import Difference, doubled, matrix, random_image
from scipy.ndimage import convolve, gaussian_filter
from scipy.signal import convolve2d
from sklearn.base import clone

from skmetainv.operators import (
    Blur,
    Downsampling,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Identity,
    Inpainting,
    LinearMap,
    MatrixOperator,
    MissingPixels,
    MotionBlur,
    MultiCoilMRI,
    Radon,
    Stack,
)
from skmetainv.operators.maps.composed import composed

K = np.arange(1, 10).reshape(3, 3) / 45
GENERATORS = [np.random.default_rng(i) for i in range(2)]


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.2, 4.0))
@settings(max_examples=40, deadline=None)
def test_gaussian_blur_is_scipy_s(height, width, sigma):
    image = np.random.default_rng(0).normal(size=(height, width))
    A = GaussianBlur(sigma=sigma).build((1, height, width))
    blurred = A(torch.from_numpy(image[None, None]))
    expected = gaussian_filter(image, sigma, mode="wrap")
    np.testing.assert_allclose(blurred[0, 0], expected, atol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_center_leaves_out_a_centred_box_of_its_fraction(height, width, fraction):
    mask = Inpainting(fraction=fraction).build((1, height, width)).observed[0, 0]
    assert mask.any()
    if height * width > 1:
        rows, columns = (~mask).any(1).nonzero()[:, 0], (~mask).any(0).nonzero()[:, 0]
        for inside, n in ((rows, height), (columns, width)):
            assert len(inside) == max(1, int(fraction * n + 1e-9))
            before, after = inside[0].item(), n - 1 - inside[-1].item()
            assert 0 <= after - before <= 1
        assert (~mask).sum() == len(rows) * len(columns)


def test_a_third_of_a_face():
    mask = Inpainting().build((1, 25, 25)).observed[0, 0]
    assert (~mask).sum() == 8 * 8
    assert not mask[8:16, 8:16].any()


def test_inpainting_by_an_array():
    gray = np.array([[True, False], [True, True]])
    x = torch.ones(1, 3, 2, 2, dtype=torch.float64)
    A = Inpainting(mask=gray).build((3, 2, 2))
    assert A(x)[0, :, 0, 1].eq(0).all()
    assert A(x).sum() == 9
    colour = np.ones((2, 2, 3), dtype=bool)
    colour[1, 0, 2] = False
    missing = (Inpainting(mask=colour).build((3, 2, 2))(x) == 0).nonzero()
    assert missing.tolist() == [[0, 2, 1, 0]]


def test_what_inpainting_does_not_observe_does_not_matter():
    A = Inpainting().build((1, 6, 6))
    y = torch.rand(2, 1, 6, 6, dtype=torch.float64)
    filled = torch.where(A.observed, y, 7.0)
    z = torch.rand(2, 1, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(A.bind(filled).prox(z, 0.3), A.bind(y).prox(z, 0.3))


@given(st.integers(2, 8), st.integers(2, 8), st.data())
@settings(max_examples=40, deadline=None)
def test_missing_pixels_keeps_the_count_it_was_given(height, width, data):
    n = height * width
    low = data.draw(st.integers(1, n))
    high = data.draw(st.integers(low, n))
    seed = data.draw(st.integers(0, 10_000))
    shape = (3, height, width)
    for observed, counts in ((low, (low, low)), ((low, high), (low, high))):
        mask = MissingPixels(observed=observed).build(shape).draw([np.random.default_rng(seed)])
        assert mask.observed.shape == (1, 1, height, width)
        assert counts[0] <= mask.observed.sum() <= counts[1]


def test_missing_pixels_as_a_share_and_per_channel():
    generator = np.random.default_rng(0)
    whole = MissingPixels(observed=0.25).build((3, 8, 8)).draw([generator])
    assert whole.observed.sum() == 16
    entries = MissingPixels(observed=0.25, per_channel=True).build((3, 8, 8)).draw([generator])
    assert entries.observed.sum() == 48
    assert entries.observed[0].any(0).sum() > 16


def test_masks_are_spread_over_all_pixels():
    A = MissingPixels(observed=4).build((1, 4, 4))
    drawn = A.draw([np.random.default_rng(i) for i in range(800)]).observed
    share = drawn.double().mean((0, 1))
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 800) ** 0.5


def test_the_mask_is_read_from_the_nan():
    A = MissingPixels(observed=5).build((1, 4, 4))
    x = random_image((1, 4, 4), n=1)
    y = A.simulate(x, lambda y, _: y, [np.random.default_rng(3)])
    assert y.isnan().sum() == 11
    data = A.bind(y)
    assert torch.equal(data.A.observed, ~y.isnan())
    assert data.y.isfinite().all()
    torch.testing.assert_close(data.y[data.A.observed], x[~y.isnan()])


def test_what_a_map_does_not_observe_takes_no_part():
    class FirstRow(LinearMap):
        def forward(self, x):
            return torch.where(self.observed, 2 * x, 0.0)

    observed = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    observed[..., 0, :] = True
    A = FirstRow((1, 3, 3), (1, 3, 3), observed)
    x = random_image((1, 3, 3), 1)
    y = torch.where(observed, random_image((1, 3, 3), 2), torch.nan)
    gradient = A.bind(y).gradient(x)
    assert (gradient[..., 1:, :] == 0).all()
    torch.testing.assert_close(gradient[..., 0, :], 2 * (2 * x - y)[..., 0, :])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_blur_is_scipy_s_convolution(height, width, rows, columns):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(height, width)), rng.normal(size=(rows, columns))
    modes = {"circular": "wrap", "reflect": "mirror", "replicate": "nearest", "zero": "constant"}
    for boundary, mode in modes.items():
        A = Blur(kernel, boundary=boundary).build((1, height, width))
        expected = convolve(image, kernel, mode=mode)
        measured = A(torch.from_numpy(image[None, None]))[0, 0]
        np.testing.assert_allclose(measured, expected, atol=1e-12)
    if rows <= height and columns <= width:
        A = Blur(kernel, boundary="valid").build((1, height, width))
        measured = A(torch.from_numpy(image[None, None]))[0, 0]
        expected = convolve2d(image, kernel, mode="valid")
        np.testing.assert_allclose(measured, expected, atol=1e-12)
        v = torch.from_numpy(rng.normal(size=(1, *A.measurement_shape)))
        x = torch.from_numpy(rng.normal(size=(1, 1, height, width)))
        assert (A(x) * v).sum().item() == pytest.approx((x * A.adjoint(v)).sum().item())


def test_motion_blur_is_a_line():
    kernel = MotionBlur(length=5.0).kernel
    assert kernel.sum() == pytest.approx(1)
    assert kernel[[0, 2]].max() < 1e-12
    assert kernel[1, 2:-2] == pytest.approx(1 / 5, rel=0.02)
    np.testing.assert_allclose(kernel, kernel[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(MotionBlur(length=5.0, angle=90.0).kernel, kernel.T, atol=1e-12)
    rising = MotionBlur(length=9.0, angle=45.0).kernel
    middle = len(rising) // 2
    assert rising[middle - 2, middle + 2] > 0.05  # up and to the right
    assert rising[middle + 2, middle + 2] < 1e-12


def test_composition_is_one_after_the_other():
    x = random_image((1, 6, 5))
    blur, inpainting = GaussianBlur(sigma=0.7), Inpainting()
    A, B = blur.build((1, 6, 5)), inpainting.build((1, 6, 5))
    torch.testing.assert_close((inpainting @ blur).build((1, 6, 5))(x), B(A(x)))
    torch.testing.assert_close((blur + inpainting).build((1, 6, 5))(x), A(x) + B(x))
    torch.testing.assert_close((2.0 * blur).build((1, 6, 5))(x), 2 * A(x))
    stacked = Stack([blur, inpainting]).build((1, 6, 5))(x)
    torch.testing.assert_close(stacked, torch.cat([A(x).flatten(1), B(x).flatten(1)], dim=1))


def test_composed_operators_print_readably_and_expose_their_parts():
    operator = MissingPixels(observed=9) @ (0.5 * (Identity() + GaussianBlur(sigma=2.0)))
    text = "MissingPixels(observed=9) @ (0.5 * (Identity() + GaussianBlur(sigma=2.0)))"
    assert repr(operator) == text
    assert repr(clone(operator).set_params(inner__operator__second__sigma=1.5)) == text.replace(
        "2.0", "1.5"
    )
    assert repr(Blur([[1]]) @ (0.5 * Identity())) == "Blur(kernel=[[1]]) @ (0.5 * Identity())"
    assert repr(Identity() * 2.0) == "2.0 * Identity()"
    stack = Stack([Inpainting(), GaussianBlur(sigma=2.0)])
    changed = clone(stack).set_params(**{"1__sigma": 1.0, "0": Identity()})
    assert repr(changed) == "Stack(operators=[Identity(), GaussianBlur()])"
    assert stack.get_params()["1__sigma"] == 2.0


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (GaussianBlur(), False),
        (MissingPixels(), True),
        (Radon(5), False),
        (Radon(5, n_views=2), True),
        (MissingPixels() @ GaussianBlur(), True),
        (GaussianBlur() + 2.0 * Identity(), False),
        ((2.0 * MissingPixels()).normalize(), True),
        (Stack([GaussianBlur(), MissingPixels()]), True),
        (Stack([GaussianBlur(), Inpainting()]), False),
        (Stack([3, GaussianBlur()]), False),
    ],
)
def test_an_operator_has_missing_samples_if_a_part_does(operator, expected):
    assert operator.has_missing is expected


def test_the_norm_of_a_large_map():
    shape = (1, 48, 48)
    A = Difference().build(shape)
    assert A.norm().item() == pytest.approx(1.5, rel=1e-2)  # |1 - 0.5 exp(i w)| at w = pi


@pytest.mark.parametrize("gap", [0.003, 0.01, 0.03])
def test_the_norm_is_right_to_a_tenth_of_a_percent(gap):
    """One eigenvalue above ten thousand others, which are dense at the ends: hard for Lanczos."""
    eigenvalues = (1 - gap) * (1 - torch.linspace(0, np.pi, 10_000).double().cos()) / 2
    eigenvalues[-1] = 1

    class Diagonal(LinearMap):
        def forward(self, x):
            return eigenvalues.sqrt().reshape(1, 1, 100, 100) * x

    norm = Diagonal((1, 100, 100), (1, 100, 100)).norm().item()
    assert 1 - 1e-3 < norm < 1 + 1e-12


def test_the_pseudo_inverse_of_a_large_map():
    shape = (1, 48, 48)
    A = Difference().build(shape)
    x = random_image(shape)
    torch.testing.assert_close(A.pseudo_inverse(A(x)), x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 16), (1, 8, 16)])
def test_the_norm_where_there_are_few_different_singular_values(shape, dtype):
    """Lanczos' method ends early, and must not take rounding errors for new directions."""
    for operator, expected in (
        (MultiCoilMRI(4, acceleration=1), 1.0),
        (3.0 * MultiCoilMRI(4, acceleration=1), 3.0),
        (FunctionOperator(doubled, linear=True), 2.0),
        ((Identity() + Inpainting()) @ FunctionOperator(doubled, linear=True), 4.0),
    ):
        A = operator.build(shape).to(dtype)
        assert LinearMap.norm(A).item() == pytest.approx(expected, rel=1e-3)


def test_multiples_and_sums_observe_what_their_parts_do():
    mask = Inpainting().build((1, 4, 4)).observed
    for operator in (0.5 * Inpainting(), Inpainting() + Inpainting(), 0.5 * Inpainting() @ Blur(K)):
        assert torch.equal(operator.build((1, 4, 4)).observed, mask)
    assert (Inpainting() + Identity()).build((1, 4, 4)).observed is None
    one = (0.5 * Inpainting()).build((1, 4, 4))
    noisy = one.simulate(random_image((1, 4, 4)), lambda y, _: y + 1, [None] * 2)
    assert (noisy[..., ~mask[0, 0]] == 0).all()


def test_unknown_values_of_a_stack_take_no_part():
    A = Stack([Identity(), MissingPixels()]).build((1, 4, 4))
    x = random_image((1, 4, 4))
    y = A.draw([np.random.default_rng(i) for i in range(2)])(x)
    unknown = y.clone()
    unknown[0, 3] = torch.nan
    changed = y.clone()
    changed[0, 3] = 7.0
    z = random_image((1, 4, 4), 1)
    data = A.bind(unknown)
    assert data.prox(z, 0.3).isfinite().all()
    assert not data.A.observed[0, 3]
    torch.testing.assert_close(data.prox(z, 0.3)[1], A.bind(y).prox(z, 0.3)[1])
    assert not torch.allclose(A.bind(changed).prox(z, 0.3)[0], data.prox(z, 0.3)[0])


def test_a_complex_sample_is_missing_as_a_whole():
    for operator, shape in (
        (MissingPixels(3) @ MatrixOperator(matrix(5, 16, dtype=complex)), (5, 2)),
        (MissingPixels(3) @ FourierSampling(acceleration=1), (1, 4, 4, 2)),
    ):
        A = operator.build((1, 4, 4))
        y = A.simulate(random_image((1, 4, 4)), lambda y, _: y, GENERATORS)
        missing = y.isnan()
        assert (missing.all(-1) == missing.any(-1)).all()
        assert ((~missing).flatten(1).sum(1) == 6).all()
        half = torch.where(missing, 0.0, random_image(shape))
        half[0].view(-1)[1] = torch.nan  # only the imaginary part is NaN
        whole = half.clone()
        whole[0].view(-1)[0] = torch.nan
        z = random_image((1, 4, 4), 1)
        torch.testing.assert_close(A.bind(half).prox(z, 0.3), A.bind(whole).prox(z, 0.3))


def test_maps_on_the_move_are_composed_in_their_own_type():
    """A user's map may change when it is drawn, after it was moved."""
    area, blur = (
        Downsampling(2).build((1, 6, 8)).float(),
        GaussianBlur(1.0).build((1, 6, 8)).float(),
    )
    x = random_image((1, 6, 8)).float()
    for outer, inner in ((area, blur), (area, Downsampling(1).build((1, 6, 8)).float())):
        A = composed(outer, inner)
        torch.testing.assert_close(A(x), outer(inner(x)))
        assert A.bind(A(x)).prox(x, 0.1).dtype == torch.float32


@pytest.mark.parametrize(
    "kernel", [[[1.0], [2.0], [0.0]], [[1.0, 2.0, 0.0]], [[0, 1, 0], [2, 3, 4], [0, 5, 6]]]
)
def test_kernels_that_are_even_along_one_axis_only(kernel):
    """Only a kernel that is even along both axes has a real spectrum."""
    kernel = np.array(kernel, dtype=float)
    x = torch.from_numpy(np.random.default_rng(0).random((1, 1, 5, 6)))
    found = Blur(kernel).build((1, 5, 6))(x)
    centre = [(n - 1) // 2 for n in kernel.shape]
    expected = sum(
        weight * x.roll((i - centre[0], j - centre[1]), (2, 3))
        for (i, j), weight in np.ndenumerate(kernel)
    )
    torch.testing.assert_close(found, expected)
