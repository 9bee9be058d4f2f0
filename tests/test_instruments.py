"""The operators of instruments against independent implementations and published conventions."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_registry import matrix, random_image
from PIL import Image
from scipy.ndimage import gaussian_filter
from settings import small
from skimage.color import rgb2gray
from skimage.transform import downscale_local_mean, radon, resize

from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Grayscale,
    MatrixOperator,
    MissingPixels,
    Mosaic,
    MultiCoilMRI,
    PhaseRetrieval,
    Radon,
)
from skmetainv.operators.checks import as_count
from skmetainv.solvers import GradientDescent


def measured(operator, image):
    """The measurement of an array of shape (height, width[, channels])."""
    image = image[..., np.newaxis] if image.ndim == 2 else image
    x = torch.from_numpy(np.moveaxis(image, -1, 0).copy())[None]
    return operator.build(tuple(x.shape[1:]))(x)[0].numpy()


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def phantom(height, width, seed=0):
    """An image of smooth blobs near the middle."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for _ in range(4):
        row = height // 2 + rng.uniform(-0.15, 0.15) * height
        column = width // 2 + rng.uniform(-0.15, 0.15) * width
        squared = (rows - row) ** 2 + (columns - column) ** 2
        image += rng.uniform(0.3, 1) * np.exp(-squared / 2 / (0.08 * min(height, width)) ** 2)
    return image


@pytest.mark.parametrize(
    ("boundary", "mode"), [("reflect", "mirror"), ("replicate", "nearest"), ("zero", "constant")]
)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.2, 3.0))
@settings(max_examples=20, deadline=None)
def test_gaussian_blur_with_boundaries_is_scipy_s(boundary, mode, height, width, sigma):
    image = picture(height, width)
    blurred = measured(GaussianBlur(sigma, boundary=boundary), image)[0]
    np.testing.assert_allclose(blurred, gaussian_filter(image, sigma, mode=mode), atol=1e-12)


@given(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))  # torch is wrong on one column
@settings(max_examples=30, deadline=None)
def test_downsampling_is_scikit_image_s_and_torch_s(factor, rows, columns):
    image = picture(factor * rows, factor * columns)
    x = torch.from_numpy(image)[None, None]
    expected = {
        "area": downscale_local_mean(image, (factor, factor)),
        "gaussian": resize(image, (rows, columns), order=1, anti_aliasing=True),
        "nearest": torch.nn.functional.interpolate(x, size=(rows, columns), mode="nearest")[0, 0],
        "bicubic": torch.nn.functional.interpolate(
            x, size=(rows, columns), mode="bicubic", antialias=True
        )[0, 0],
    }
    for prefilter, reduced in expected.items():
        if prefilter == "gaussian" and factor == 1:
            reduced = image
        result = measured(Downsampling(factor, prefilter=prefilter), image)[0]
        np.testing.assert_allclose(result, reduced, atol=1e-12, err_msg=prefilter)


def test_bicubic_downsampling_is_pillow_s():
    image = picture(24, 36).astype(np.float32)
    reduced = Image.fromarray(image).resize((12, 8), Image.Resampling.BICUBIC)
    result = measured(Downsampling(3, prefilter="bicubic"), image.astype(np.float64))[0]
    np.testing.assert_allclose(result, np.asarray(reduced), atol=1e-6)


def test_structured_sensing_is_scipy_s_transforms():
    image = picture(4, 8, 2)
    for kind in ("hadamard", "cosine"):
        A = CompressedSensing(1.0, matrix=kind, random_state=5).build((2, 4, 8))
        signed = (np.sign(A.signs.numpy()) * np.moveaxis(image, -1, 0)).ravel()
        if kind == "hadamard":
            expected = scipy.linalg.hadamard(64) @ signed / 8
        else:
            expected = scipy.fft.dctn(signed.reshape(2, 4, 8), norm="ortho").ravel()
        result = measured(CompressedSensing(1.0, matrix=kind, random_state=5), image)
        np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher", "hadamard", "cosine"])
def test_sensing_keeps_the_norm_on_average_and_its_seed(kind):
    images = random_image((1, 8, 8), n=1000)
    A = CompressedSensing(16, matrix=kind).build((1, 8, 8))
    ratios = A(images).square().sum(1) / images.square().flatten(1).sum(1)
    assert ratios.mean().item() == pytest.approx(1, abs=0.2)
    again = CompressedSensing(16, matrix=kind).build((1, 8, 8))
    other = CompressedSensing(16, matrix=kind, random_state=1).build((1, 8, 8))
    assert torch.equal(A(images), again(images))
    assert not torch.allclose(A(images), other(images))


@pytest.mark.parametrize("kind", ["hadamard", "cosine"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 5, 12), (2, 7, 1)])
def test_rows_of_structured_sensing_are_orthogonal(kind, shape):
    A = CompressedSensing(0.5, matrix=kind).build(shape)
    M = A.explicit()[0]
    n_rows, n = M.shape
    torch.testing.assert_close(M @ M.T, n / n_rows * torch.eye(n_rows, dtype=torch.float64))


@given(st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_fourier_sampling_is_numpy_s(height, width):
    image = picture(height, width) + 1j * picture(height, width, seed=1)
    k_space = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))
    channels = np.stack([image.real, image.imag], axis=-1)
    result = measured(FourierSampling(acceleration=1, complex_image=True), channels)[0]
    np.testing.assert_allclose(result[..., 0] + 1j * result[..., 1], k_space, atol=1e-12)
    real = measured(FourierSampling(acceleration=1), image.real)[0]
    k_space = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.real), norm="ortho"))
    np.testing.assert_allclose(real[..., 0] + 1j * real[..., 1], k_space, atol=1e-12)


def test_sampling_patterns():
    def mask(**parameters):
        return FourierSampling(**parameters).build((1, 32, 64)).observed[0, 0, :, :, 0]

    columns = mask(acceleration=4, center_fraction=0.125)
    assert columns.all(0).sum() == columns.any(0).sum() == 16
    assert columns[:, 28:36].all()
    single = mask(pattern="random", acceleration=5, center_fraction=0.25)
    assert single.sum() == round(32 * 64 / 5)
    assert single[12:20, 24:40].all()
    assert not single.all(0).any()
    spokes = mask(pattern="radial", acceleration=32)  # two spokes: a row and a column
    assert spokes[16].all()
    assert spokes[:, 32].all()
    assert spokes.sum() == 32 + 64 - 1
    given_one = np.zeros((32, 64), dtype=bool)
    given_one[3, 4] = True
    assert torch.equal(mask(pattern=given_one), torch.from_numpy(given_one))
    assert torch.equal(mask(random_state=3), mask(random_state=3))
    assert not torch.equal(mask(random_state=3), mask(random_state=4))


def test_coils_see_the_image_through_their_sensitivities():
    image, maps = picture(6, 5), picture(6, 5, 3) + 1j * picture(6, 5, 3, seed=1)
    result = measured(MultiCoilMRI(maps, acceleration=1), image)
    for coil in range(3):
        field = maps[..., coil] * image
        channels = np.stack([field.real, field.imag], axis=-1)
        alone = measured(FourierSampling(acceleration=1, complex_image=True), channels)[0]
        np.testing.assert_allclose(result[coil], alone, atol=1e-12)
    simulated = MultiCoilMRI(4).build((1, 6, 5)).sensitivities
    torch.testing.assert_close(
        simulated.abs().square().sum(0), torch.ones(6, 5, dtype=torch.float64)
    )


def test_simulated_coils_lie_on_a_circle_of_three_quarters_of_the_diagonal():
    """In an image of 6 x 8 pixels, with a diagonal of 10, the radius is 7.5."""
    sensitivities = MultiCoilMRI(4).build((1, 6, 8)).sensitivities[:, 1, 6]
    pixel, coils = 2.5 - 1.5j, 7.5 * np.array([1, 1j, -1, -1j])  # right + i down, from the middle
    sizes = sensitivities.numpy() * (pixel - coils).conj()  # equal, up to the normalisation
    np.testing.assert_allclose(sizes, abs(sizes[0]), rtol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (65, 65), (64, 48)])
def test_radon_is_scikit_image_s(size):
    """Joseph's method (ours) and image rotation (theirs) differ by 0.2 % of the maximum here."""
    image, angles = phantom(*size), np.linspace(3, 183, 37, endpoint=False)
    expected = radon(image, angles, circle=False).T
    result = measured(Radon(angles, n_detectors=expected.shape[1]), image)[0]
    assert np.abs(result - expected).max() < 3e-3 * expected.max()


def test_radon_keeps_the_mass_at_every_angle():
    image = phantom(40, 40)
    sums = measured(Radon(24), image)[0].sum(axis=1)
    np.testing.assert_allclose(sums, image.sum(), rtol=1e-3)


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2), (24, 24), (25, 25), (32, 32), (24, 25), (9, 32), (31, 10), (1, 6)]
)
def test_radon_sees_every_pixel_at_every_angle(size):
    """A pixel's weights sum to 0.8 to sqrt(2) at any angle; more detectors change no sum."""
    diagonal = np.rad2deg(np.arctan2(*size))
    angles = np.concatenate([np.arange(0, 360, 7.5), [diagonal, -diagonal]])
    A = Radon(angles).build((1, *size))
    seen = A.explicit()[0].reshape(len(angles), -1, size[0] * size[1]).sum(1)
    assert seen.min() > 0.8
    assert seen.max() < 1.42
    n_more = A.measurement_shape[2] + 2
    more = Radon(angles, n_detectors=n_more).build((1, *size)).explicit()[0]
    torch.testing.assert_close(more.reshape(len(angles), n_more, -1).sum(1), seen)


def test_each_image_has_its_own_views():
    A = Radon(12, n_views=5).build((1, 9, 9))
    x = random_image((1, 9, 9), n=4)
    y = A.simulate(x, lambda y, _: y, [np.random.default_rng(i) for i in range(4)])
    seen = ~y.isnan()
    assert (seen.all(-1) == seen.any(-1)).all()
    assert (seen.any(-1).sum(-1) == 5).all()
    assert not torch.equal(seen[0], seen[1])
    whole = Radon(12).build((1, 9, 9))(x)
    torch.testing.assert_close(y[seen], whole[seen])


def test_colours():
    image = picture(5, 7, 3)
    np.testing.assert_allclose(measured(Grayscale(), image)[0], rgb2gray(image))
    raw = measured(Mosaic("GRBG"), image)[0]
    for row, column, channel in ((0, 0, 1), (0, 1, 0), (1, 0, 2), (1, 1, 1)):
        expected = image[row::2, column::2, channel]
        np.testing.assert_allclose(raw[row::2, column::2], expected)


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize(
    "wrap", [np.asarray, scipy.sparse.csc_array, scipy.sparse.linalg.aslinearoperator]
)
def test_a_matrix_acts_on_the_user_s_flat_image(kind, wrap):
    M, image = matrix(12, 18, dtype=kind), picture(2, 3, 3)
    expected = M @ image.ravel()
    flat = measured(MatrixOperator(wrap(M)), image)
    shaped = measured(MatrixOperator(wrap(M), measurement_shape=(2, 2, 3)), image)
    shaped = np.moveaxis(shaped, 0, 2)  # channels last, as the user has them
    if kind is complex:
        flat, shaped = (part[..., 0] + 1j * part[..., 1] for part in (flat, shaped))
    np.testing.assert_allclose(flat, expected)
    np.testing.assert_allclose(shaped.ravel(), expected)


@pytest.mark.parametrize("size", [(16, 20), (20, 5), (1, 30), (1, 1)])
@pytest.mark.parametrize("observed", [0.75, 0.1, 1.0, (5, 200), 1])
def test_missing_boxes_have_the_size_that_was_asked_for(size, observed):
    n = size[0] * size[1]
    if isinstance(observed, tuple):
        observed = (1, max(1, n // 2))
    A = MissingPixels(observed, pattern="box").build((2, *size))
    drawn = A.draw([np.random.default_rng(i) for i in range(100)]).observed
    assert drawn.shape == (100, 1, *size)
    least, most = observed if isinstance(observed, tuple) else (as_count(observed, n),) * 2
    for mask in drawn[:, 0]:
        missing = ~mask
        rows, columns = missing.any(1), missing.any(0)
        assert torch.equal(missing, rows[:, None] & columns)  # a box
        for side in (rows, columns):
            assert side.diff().sum() <= 2  # without gaps
        height, width = int(rows.sum()), int(columns.sum())
        kept = n - height * width
        rounding = max(height, width) / 2 + 0.5
        assert least - rounding <= kept <= most + rounding


def test_missing_boxes_are_anywhere_and_of_several_shapes():
    A = MissingPixels(0.75, pattern="box").build((1, 16, 20))
    missing = ~A.draw([np.random.default_rng(i) for i in range(1000)]).observed[:, 0]
    assert missing.any(0).all()
    heights, widths = missing.any(2).sum(1), missing.any(1).sum(1)
    assert {6, 9, 13} <= {*heights.tolist()}
    assert {6, 9, 13} <= {*widths.tolist()}


def test_missing_sides_are_contiguous_halves():
    A = MissingPixels(0.5, pattern="side").build((3, 6, 8))
    drawn = A.draw([np.random.default_rng(i) for i in range(200)]).observed[:, 0]
    assert (drawn.sum((1, 2)) == 24).all()
    sides = [drawn[:, 0].all(1), drawn[:, -1].all(1), drawn[:, :, 0].all(1), drawn[:, :, -1].all(1)]
    assert (sum(side.int() for side in sides) == 1).all()
    assert all(20 < side.sum() < 80 for side in sides)


# ------------------------------------------------------------------ through an estimator


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (FourierSampling(acceleration=2), (6, 5, 2)),
        (MultiCoilMRI(3), (6, 5, 3, 2)),
        (MatrixOperator(matrix(7, 30, dtype=complex)), (7, 2)),
    ],
)
def test_complex_measurements_as_complex_arrays(operator, shape):
    images = picture(8, 6, 5)
    est = small(operator, GradientDescent()).fit(images)
    y = est.simulate(images)
    assert est.measurement_shape_ == shape
    assert y.shape == (8, *shape)
    as_complex = y[..., 0] + 1j * y[..., 1]
    expected = est.predict(y)
    np.testing.assert_array_equal(est.predict(as_complex), expected)
    assert est.score(as_complex, images) == est.score(y, images)
    small(operator, GradientDescent()).fit(as_complex, images)
    with pytest.raises(ValueError, match="Complex data not supported"):
        small(operator, GradientDescent()).fit(as_complex)


def test_complex_measurements_of_flat_images():
    images = picture(8, 30)
    est = small(FourierSampling(acceleration=2), GradientDescent(), image_shape=(6, 5)).fit(images)
    y = est.simulate(images)
    assert y.shape == (8, 30, 2)
    expected = est.predict(y)
    assert expected.shape == images.shape
    np.testing.assert_array_equal(est.predict(y[..., 0] + 1j * y[..., 1]), expected)


def test_complex_tensors_may_be_conjugate_views():
    est = small(FourierSampling(acceleration=2), GradientDescent()).fit(picture(5, 6, 5))
    y = torch.view_as_complex(torch.from_numpy(est.simulate(picture(5, 6, 5))))
    np.testing.assert_array_equal(est.predict(y.conj()), est.predict(y.conj().resolve_conj()))


def test_real_measurements_are_not_complex():
    est = small(GaussianBlur(), GradientDescent()).fit(picture(5, 6, 5))
    with pytest.raises(ValueError, match="Complex data not supported"):
        est.predict(picture(5, 6, 5) + 1j)
    with pytest.raises(ValueError, match="Complex data not supported"):
        small(None, GradientDescent()).fit(picture(5, 6, 5) + 1j, picture(5, 6, 5, 2))


@pytest.mark.parametrize(
    "operator",
    [
        MissingPixels(0.5) @ FourierSampling(acceleration=2),
        Radon(6, n_views=3),
        Downsampling(3) @ GaussianBlur(1.0),
        CompressedSensing(0.5, matrix="cosine"),
        PhaseRetrieval(),
    ],
    ids=repr,
)
def test_instruments_in_an_estimator(operator):
    images = picture(8, 6, 6)
    est = small(operator, GradientDescent()).fit(images)
    restored = est.predict(est.simulate(images))
    assert restored.shape == images.shape
    assert np.isfinite(est.score(images))
