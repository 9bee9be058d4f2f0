"""Users' arrays: read if they have one meaning, else an error or a warning names the way out."""

import sys
import warnings

import dask.array
import h5py
import numpy as np
import pytest
import torch
import xarray
import zarr
from PIL import Image
from settings import small, small_denoiser
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import cross_val_score

from skmetainv import ClassicalReconstructor, MetaInverseSolver, UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN, TotalVariation
from skmetainv.metrics import lpips, mse, psnr, ssim
from skmetainv.model_selection import compare, psnr_scorer
from skmetainv.noise import GaussianNoise
from skmetainv.operators import (
    CompressedSensing,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    Radon,
)
from skmetainv.solvers import HQS, RED, ConjugateGradient, GradientDescent
from skmetainv.training import Adam

FACES = load_faces()[:12]
EIGHT_BITS = np.round(255 * FACES).astype(np.uint8)
RGB = np.stack([FACES, FACES**2, 1 - FACES], axis=-1)
FIRST = np.moveaxis(RGB, -1, 1)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataConversionWarning)
        yield


def classical(operator=None, **parameters):
    return ClassicalReconstructor(GaussianBlur() if operator is None else operator, **parameters)


def meta(operator=None, **parameters):
    return small(Inpainting() if operator is None else operator, **parameters)


ESTIMATORS = {
    "classical": classical(),
    "meta": meta(),
    "unet": UNetReconstructor(GaussianBlur(), width=2, depth=2, max_epochs=1, random_state=0),
    "denoiser": small_denoiser(),
}
every_estimator = pytest.mark.parametrize("est", ESTIMATORS.values(), ids=ESTIMATORS)

# --- one image without its first axis ---------------------------------------------------------


@every_estimator
@pytest.mark.parametrize("images", [FACES, RGB, FIRST], ids=["gray", "colour", "channels first"])
def test_one_image_in_one_image_out(est, images):
    measured = est.fit(images).simulate(images[:2], random_state=0)
    one = est.predict(measured[0])
    assert one.shape == images.shape[1:]
    np.testing.assert_array_equal(one, est.predict(measured[:1])[0])
    tensor = est.predict(torch.from_numpy(measured[0]))
    assert torch.equal(tensor, torch.from_numpy(one))


def test_one_image_of_every_method():
    est = meta().fit(FACES)
    y = est.simulate(FACES[:1], random_state=0)
    assert est.score(FACES[0]) == est.score(FACES[:1])
    assert est.score(y[0], FACES[0]) == est.score(y, FACES[:1])
    stages = list(est.staged_predict(y[0]))
    np.testing.assert_array_equal(stages[-1], est.predict(y)[0])
    # On a GPU, products with sparse matrices add in any order.
    radon = classical(Radon(angles=5), device="cpu").fit(FACES)
    sinogram = radon.simulate(FACES[:1])
    np.testing.assert_array_equal(radon.predict(sinogram[0]), radon.predict(sinogram)[0])


def test_one_colour_image_is_known_before_fit():
    est = classical()
    one = est.simulate(RGB[0])
    np.testing.assert_array_equal(one, est.simulate(RGB[:1])[0])
    assert est.fit(RGB[0]).image_shape_ == (25, 25, 3)
    assert est.predict(one).shape == (25, 25, 3)
    assert est.fit(one, RGB[0]).measurement_shape_ == (25, 25, 3)


@pytest.mark.parametrize("method", ["fit", "simulate"])
@pytest.mark.parametrize("shape", [(64, 64), (30, 49), (48, 70)])
def test_one_gray_image_before_fit_is_refused_with_both_readings(method, shape):
    image = np.asarray(Image.fromarray(EIGHT_BITS[0]).resize(shape[::-1])) / 255
    for est in (classical(), small_denoiser()):
        with pytest.raises(ValueError, match=r"either one image .* or \d+ flat images") as refusal:
            getattr(est, method)(image)
        assert "[np.newaxis]" in str(refusal.value)
        assert "image_shape=" in str(refusal.value)
        getattr(est, method)(image[np.newaxis])
        getattr(est.set_params(image_shape=shape), method)(image)


def test_flat_images_are_no_image():
    flat = FACES.reshape(12, -1)
    with pytest.warns(DataConversionWarning, match=r"taken for 100 images of 25 x 25 pixels"):
        classical().fit(load_faces().reshape(100, -1))
    for length, size in ((100, (10, 10)), (700, (1, 700))):
        with pytest.warns(DataConversionWarning, match=rf"taken for 10 images of {size[0]} x"):
            own = classical().fit(FACES.ravel()[: 10 * length].reshape(10, length))
        assert own.image_shape_ == size
    est = classical(image_shape=(25, 25)).fit(flat)
    with pytest.raises(ValueError, match="Reshape your data"):
        est.predict(flat[0])


def test_a_published_denoiser_does_not_cut_an_image_into_rows(tmp_path):
    path = tmp_path / "weights.pth"
    weights = small_denoiser().fit(FACES).weights_
    torch.save({name: torch.from_numpy(w) for name, w in weights.items()}, path)
    denoiser = small_denoiser(weights=path)
    image = np.asarray(Image.fromarray(EIGHT_BITS[0]).resize((40, 30))) / 255
    with pytest.raises(ValueError, match="either one image of 30 x 40 pixels"):
        denoiser.predict(image)
    assert denoiser.predict(image[None]).shape == (1, 30, 40)


def test_a_gray_denoiser_is_not_shown_the_rows_of_a_colour_image():
    denoiser = small_denoiser().fit(FACES)
    with pytest.raises(ValueError, match="one image of 3 channels, but this DnCNN was fitted to"):
        denoiser.predict(RGB[0])


@pytest.mark.parametrize(
    ("fitted", "brought", "line"),
    [
        (FACES, FACES[..., None], r"X.reshape\(-1, 25, 25\)"),
        (FACES, FACES[:, None], r"X.reshape\(-1, 25, 25\)"),
        (FACES, FACES.reshape(12, -1), r"X.reshape\(-1, 25, 25\)"),
        (FACES[..., None], FACES, r"X.reshape\(-1, 25, 25, 1\)"),
        (RGB, FIRST, r"np.moveaxis\(X, 1, -1\)"),
        (FIRST, RGB, r"np.moveaxis\(X, -1, 1\)"),
        (RGB, RGB.reshape(12, -1), r"X.reshape\(-1, 25, 25, 3\)"),
        (FACES, FACES[0, :20, :16], r"image_shape=\(20, 16\)"),
        (FACES, RGB[0], r"one image of 3 channel\(s\); images here are gray"),
        (RGB, FIRST[0], r"np.moveaxis\(X, 0, -1\)"),
        (FIRST, RGB[0], r"np.moveaxis\(X, -1, 0\)"),
        (FACES[:, None], FACES.reshape(12, -1), r"X.reshape\(-1, 1, 25, 25\)"),
    ],
)
def test_an_array_that_lies_otherwise_is_answered_with_a_line(fitted, brought, line):
    for est in (classical(), small_denoiser()):
        if isinstance(est, DnCNN) and brought.shape == (20, 16):
            continue  # a DnCNN accepts any size
        est.fit(fitted)
        expected = line if est.operator else f"{line}|was fitted to gray"
        with pytest.raises(ValueError, match=expected):
            est.predict(brought)


def test_images_given_as_measurements_of_another_shape_are_known():
    est = classical(Radon(angles=5)).fit(FACES)
    for call in (est.predict, lambda X: est.score(X, est.simulate(X))):
        with pytest.raises(ValueError, match=r"has the shape of images: simulate\(X\)"):
            call(FACES)


def test_one_image_to_simulate_is_known_after_fit():
    est = classical().fit(FACES)
    np.testing.assert_array_equal(est.simulate(FACES[0]), est.simulate(FACES[:1])[0])


def test_one_flat_measurement_of_an_image():
    est = classical(CompressedSensing(0.3)).fit(FACES)
    y = est.simulate(FACES[:1])
    np.testing.assert_array_equal(est.predict(y[0]), est.predict(y)[0])


@pytest.mark.parametrize("images", [FACES, FIRST], ids=["gray", "channels first"])
def test_complex_measurements(images):
    est = classical(FourierSampling(acceleration=1.5), solver=ConjugateGradient()).fit(images)
    y = est.simulate(images[:2])
    as_complex = y[..., 0] + 1j * y[..., 1]
    expected = est.predict(y)
    np.testing.assert_array_equal(est.predict(as_complex), expected)
    np.testing.assert_array_equal(est.predict(as_complex[0]), expected[0])
    np.testing.assert_array_equal(est.predict(list(as_complex)), expected)
    assert est.score(as_complex[0], images[0]) == pytest.approx(est.score(y[:1], images[:1]))
    with pytest.raises(ValueError, match=r"np\.stack\(\[X\.real, X\.imag\]"):
        est.fit(images.astype(complex))


def test_one_image_is_not_compared():
    with pytest.raises(ValueError, match="either one image"):
        compare({"cg": classical()}, np.kron(FACES[0], np.ones((2, 2))), cv=2)
    with pytest.raises(ValueError, match="needs several images"):
        compare({"cg": classical()}, RGB[0], cv=2)


def test_a_tensor_of_three_planes_is_told():
    est = classical()
    with pytest.warns(DataConversionWarning, match=r"read as 3 gray images"):
        est.fit(torch.from_numpy(FIRST[0]))
    with pytest.raises(ValueError, match=r"channels last.* image_shape=\(25, 25, 3\)"):
        est.set_params(image_shape=(3, 25, 25)).fit(FIRST)


def test_an_error_says_what_the_first_axis_is():
    with pytest.raises(ValueError, match=r"shape \(25,\).*: the first axis counts measurements"):
        classical().fit(FACES).predict(FACES[0, :20])


# --- channels first ---------------------------------------------------------------------------


@every_estimator
def test_channels_first_are_the_same_images(est):
    last = est.fit(RGB)
    y = last.simulate(RGB[:2], random_state=0)
    restored, score = last.predict(y), last.score(RGB[:3])
    est.fit(FIRST)
    y_first = est.simulate(FIRST[:2], random_state=0)
    np.testing.assert_array_equal(y_first, np.moveaxis(y, -1, 1))
    np.testing.assert_array_equal(est.predict(y_first), np.moveaxis(restored, -1, 1))
    assert est.score(FIRST[:3]) == score


def test_one_channel_first():
    est = classical().fit(FACES[:, None])
    assert est.predict(est.simulate(FACES[:2, None])).shape == (2, 1, 25, 25)
    assert est.score(FACES[:, None]) == pytest.approx(classical().fit(FACES).score(FACES))


def test_the_layout_is_part_of_what_fit_learns():
    with pytest.raises(ValueError, match=r"measurements of shape \(25, 25, 3\)"):
        classical().fit(RGB).predict(FIRST)


def test_volumes_are_said_to_be_taken_for_channels():
    with pytest.warns(
        DataConversionWarning, match=r"with 12 channels: if so, pass image_shape=\(9, 10"
    ):
        classical().fit(np.random.default_rng(0).random((2, 9, 10, 12)))


@pytest.mark.parametrize("metric", [psnr, ssim, mse])
def test_metrics_know_where_channels_are(metric):
    z = RGB + 0.1
    expected = metric(RGB, z)
    assert metric(FIRST, np.moveaxis(z, -1, 1)) == pytest.approx(expected)
    assert metric(torch.from_numpy(FIRST), torch.from_numpy(np.moveaxis(z, -1, 1))) == (
        pytest.approx(expected)
    )
    assert metric(RGB[0], z[0]) == pytest.approx(metric(RGB[:1], z[:1]))


# --- units ------------------------------------------------------------------------------------


@every_estimator
def test_wide_integers_from_0_to_255_are_eight_bits(est):
    score = est.fit(EIGHT_BITS).score(EIGHT_BITS)
    wide = EIGHT_BITS.astype(int)
    with pytest.warns(DataConversionWarning, match="taken for pictures of 8 bits"):
        est.fit(wide)
    with pytest.warns(DataConversionWarning, match="taken for pictures of 8 bits"):
        assert est.score(wide) == pytest.approx(score, abs=0.01)
    y = np.round(255 * est.simulate(EIGHT_BITS, random_state=0)).clip(0, 255) // 100
    with pytest.warns(DataConversionWarning, match="taken for pictures of 8 bits"):
        dark = est.predict(y.astype(int))  # in the units of fit, although they end at 2
    np.testing.assert_allclose(dark, est.predict(y / 255), atol=1e-5)


UNITS = {
    "floats of 8 bits": (255 * FACES, "far outside the data range"),
    "8 bits in 16": (EIGHT_BITS.astype(np.uint16), "values of type uint16 up to"),
    "more than 8 bits": (16 * EIGHT_BITS.astype(int), "far outside the data range"),
}
every_unit = pytest.mark.parametrize(("images", "message"), UNITS.values(), ids=UNITS)


@every_estimator
@every_unit
def test_units_that_are_hardly_meant_are_told_by_every_method(est, images, message):
    with pytest.warns(DataConversionWarning, match=message) as told:
        est.fit(images)
    assert {warning.filename for warning in told} == {__file__}
    est.fit(FACES)
    for method in (est.score, est.simulate, lambda X: list(est.restorations(X))):
        with pytest.warns(DataConversionWarning, match=message):
            method(images)


@every_estimator
def test_measurements_in_other_units_are_told(est):
    measured = 255 * est.fit(FACES).simulate(FACES, random_state=0)
    with pytest.warns(DataConversionWarning, match="far larger than measurements of images"):
        est.predict(measured)


def test_large_measurements_of_images_in_their_range_are_none():
    est = classical(Radon(angles=90)).fit(FACES)
    measured = est.simulate(np.ones_like(FACES))
    assert measured.max() > 20
    est.predict(measured)


@every_estimator
def test_with_a_data_range_all_units_are_taken(est):
    own = type(est)(**est.get_params(deep=False)).set_params(data_range=255)
    with pytest.warns(DataConversionWarning, match="a hundredth of the data range"):
        own.fit(FACES)
    if isinstance(est, DnCNN):
        own.set_params(noise_level=25.0)
    for images in (255 * FACES, EIGHT_BITS, EIGHT_BITS.astype(np.uint16), EIGHT_BITS.astype(int)):
        own.fit(images).predict(own.simulate(images))
        assert own.score(images) > 0


NOISE = [25, GaussianNoise(25) + GaussianNoise(0.1)]


@pytest.mark.parametrize("noise", NOISE, ids=map(str, NOISE))
def test_noise_far_above_the_data_range_is_told(noise):
    match = "the noise, .* is too large. It must be in the units of the measurement"
    for call in ("fit", "simulate"):
        with pytest.warns(DataConversionWarning, match=match):
            getattr(classical(noise=noise), call)(FACES)
    with pytest.warns(DataConversionWarning, match=match):
        list(classical().fit(FACES).restorations(FACES, noise=noise))


def test_a_denoiser_s_noise_level_far_above_the_data_range_is_told():
    with pytest.warns(DataConversionWarning, match=r"the noise, 25\.0"):
        small_denoiser(noise_level=25).fit(FACES)


@pytest.mark.parametrize(
    ("solver", "name"),
    [
        (HQS(n_iter=2, noise_level=25), "noise_level"),
        (HQS(n_iter=2, measurement_noise=2.55), "measurement_noise"),
        (HQS(n_iter=2, noise_level=[0.2, 10.0]), "noise_level"),
        (RED(TotalVariation(noise_level=25.0)), "denoiser__noise_level"),
    ],
)
def test_noise_levels_of_solvers_far_above_the_data_range_are_told(solver, name):
    with pytest.warns(DataConversionWarning, match=f"The '{name}' parameter of .* data range is"):
        classical(solver=solver).fit(FACES)
    classical(solver=solver, data_range=255).fit(EIGHT_BITS)


def test_a_noise_level_to_predict_far_above_the_data_range_is_told():
    denoiser = small_denoiser(noise_level=(0.0, 0.1), noise_level_input=True).fit(FACES)
    with pytest.warns(DataConversionWarning, match=r"'noise_level' parameter of DnCNN\.predict"):
        denoiser.predict(FACES, noise_level=25)


@pytest.mark.parametrize("metric", [psnr, ssim, mse])
def test_integers_and_floats_are_compared_in_one_unit(metric):
    restored = FACES + 0.05
    expected = metric(EIGHT_BITS / 255, restored)
    assert metric(EIGHT_BITS, restored) == pytest.approx(expected, rel=1e-5)
    assert metric(restored, EIGHT_BITS) == pytest.approx(expected, rel=1e-5)
    both = np.clip(np.round(255 * restored), 0, 255).astype(np.uint8)
    assert metric(EIGHT_BITS, both) == pytest.approx(metric(EIGHT_BITS / 255, both / 255), rel=1e-5)
    with pytest.warns(DataConversionWarning, match="8 bits"):
        assert metric(EIGHT_BITS.astype(int), restored) == pytest.approx(expected, rel=1e-5)


def test_lpips_of_integers(backbone):
    _, path = backbone("squeeze")
    settings = {"net": "squeeze", "weights": path, "upsample": True}
    expected = lpips(EIGHT_BITS[:2] / 255, FACES[2:4], **settings)
    assert lpips(EIGHT_BITS[:2], FACES[2:4], **settings) == pytest.approx(expected, rel=1e-4)
    assert lpips(RGB[0], RGB[1], **settings) > 0


def test_a_range_takes_all_values_as_they_are():
    restored = 255.0 * FACES + 12
    expected = psnr(EIGHT_BITS / 255, restored / 255)
    assert psnr(EIGHT_BITS, restored, data_range=255) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("clean", "restored", "data_range"),
    [
        (EIGHT_BITS, 255 * FACES, None),
        (255 * FACES, EIGHT_BITS, None),
        (EIGHT_BITS, FACES, 255),
        (EIGHT_BITS, EIGHT_BITS.astype(np.uint16), None),
    ],
)
def test_what_is_not_in_one_unit_is_not_compared(clean, restored, data_range):
    for metric in (psnr, ssim, mse):
        with pytest.raises(ValueError, match="not in one unit"):
            metric(clean, restored, data_range=data_range)


def test_metrics_tell_of_floats_that_are_none_in_their_range():
    with pytest.warns(DataConversionWarning, match="pass data_range, 255"):
        psnr(255 * FACES, 255 * FACES + 1)
    with pytest.warns(DataConversionWarning, match="may not be in one unit: restored, of float64"):
        psnr(FACES, 255 * FACES)


def test_one_type_is_one_unit():
    wide = 2 * EIGHT_BITS.astype(int)
    with pytest.warns(DataConversionWarning, match="far outside the data range"):
        assert psnr(wide // 2, wide) == pytest.approx(psnr(wide // 2, wide, data_range=1))


def test_integers_with_overshoot_are_eight_bits_beside_such():
    wide = np.round(255 * FACES).astype(int) + 3
    wide[0, 0, :2] = -5, 270
    with pytest.warns(DataConversionWarning, match="restored has integers of type int64"):
        assert psnr(EIGHT_BITS, wide) == pytest.approx(psnr(EIGHT_BITS, wide, data_range=255))


def test_one_wrong_pixel_is_no_other_unit():
    restored = FACES + 0.05
    restored[0, 3, 3] = 200
    assert psnr(EIGHT_BITS, restored) < 30


def test_sparse_and_dark_images_are_in_one_unit():
    stars = np.zeros((4, 32, 32), np.uint8)
    stars[:, 5, 5] = 255
    for restored in (np.full(stars.shape, 0.3), np.full(stars.shape, 100.0)):
        assert psnr(stars, restored) == pytest.approx(psnr(stars / 255, restored), rel=1e-5)


def test_metrics_of_lists_of_images_of_different_sizes():
    clean, restored = [FACES[0], FACES[1, :20]], [FACES[0] + 0.1, FACES[1, :20] + 0.2]
    for metric in (psnr, ssim, mse):
        single = [metric(x[None], z[None]) for x, z in zip(clean, restored, strict=True)]
        assert metric(clean, restored) == pytest.approx(np.mean(single))


def test_a_black_restoration_is_not_taken_for_another_unit():
    assert psnr(EIGHT_BITS, np.zeros(FACES.shape), data_range=255) < 10


def test_compare_goes_by_the_same_units():
    table = compare({"cg": classical()}, EIGHT_BITS, cv=2)
    with pytest.warns(DataConversionWarning, match="8 bits"):
        wide = compare({"cg": classical()}, EIGHT_BITS.astype(int), cv=2)
    assert wide["psnr"].item() == pytest.approx(table["psnr"].item(), abs=1e-3)


# --- masked arrays and NaN --------------------------------------------------------------------


@pytest.mark.parametrize("images", [FACES, EIGHT_BITS])
def test_what_is_masked_is_missing(images):
    est = classical(MissingPixels(), solver=HQS(n_iter=2)).fit(FACES)
    masked = np.ma.masked_array(images, FACES > 0.6)
    holes = np.where(FACES > 0.6, np.nan, images / (255 if images is EIGHT_BITS else 1))
    np.testing.assert_allclose(est.predict(masked), est.predict(holes), atol=1e-6)
    np.testing.assert_allclose(est.predict(masked[0]), est.predict(holes[0]), atol=1e-6)


def test_a_mask_that_nothing_takes_is_refused():
    masked = np.ma.masked_array(FACES, FACES > 0.6)
    est = classical()
    for call in (est.fit, est.simulate, est.fit(FACES).predict, est.score):
        with pytest.raises(ValueError, match=r"masked array.*MissingPixels\(\) @ GaussianBlur\(\)"):
            call(masked)
    with pytest.raises(ValueError, match=r"An estimator with operator=MissingPixels\(\)"):
        small_denoiser().fit(masked)
    with pytest.raises(ValueError, match="masked array"):
        psnr(FACES, masked)
    nothing = np.ma.masked_array(FACES, np.zeros(FACES.shape, bool))
    np.testing.assert_array_equal(est.predict(nothing), est.predict(FACES))


def test_masks_of_lists_and_of_lazy_parts_are_not_lost():
    masked = np.ma.masked_array(FACES, FACES > 0.6)
    lazy = dask.array.from_array(FACES, chunks=(4, 25, 25))
    est = classical(MissingPixels(), solver=HQS(n_iter=2)).fit(FACES)
    expected = est.predict(masked)
    np.testing.assert_array_equal(est.predict(list(masked)), expected)
    np.testing.assert_array_equal(
        est.predict(dask.array.ma.masked_where(lazy > 0.6, lazy)), expected
    )
    np.testing.assert_array_equal(est.predict(Masked()), expected)
    for start in (masked[0], list(masked[0])):
        with pytest.raises(ValueError, match="start is a masked array"):
            classical(start=start).fit(FACES)


def test_nan_is_answered_with_the_operator_that_takes_it():
    est = classical(FourierSampling()).fit(FACES)
    measured = est.simulate(FACES[:2])
    measured[0, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"MissingPixels\(\) @ FourierSampling\(\)"):
        est.predict(measured)
    with pytest.raises(ValueError, match=r"MissingPixels\(\) @ \(Identity\(\) \+ Identity\(\)\)"):
        classical(Identity() + Identity()).fit(np.full(FACES.shape, np.nan))


class Once(torch.autograd.Function):
    """A square without a second derivative, so that its norm cannot be computed."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_a_look_asks_nothing_of_operators_but_to_measure():
    est = classical(FunctionOperator(Once.apply), solver=GradientDescent(step_size=0.1))
    est.set_params(start="measurement").fit(FACES).predict(est.simulate(FACES))
    with pytest.warns(DataConversionWarning, match="far larger than measurements of"):
        est.predict(1000 * FACES)


# --- X and y the wrong way round --------------------------------------------------------------

MASKED = [Inpainting(), MissingPixels(), MissingPixels() @ GaussianBlur()]


@pytest.mark.parametrize("operator", MASKED, ids=repr)
def test_pairs_the_wrong_way_round_are_refused(operator):
    est = classical(operator, solver=HQS(n_iter=2))
    measured = est.simulate(FACES)
    est.fit(measured, FACES).score(measured, FACES)
    with pytest.raises(ValueError, match="wrong way round"):
        est.fit(FACES, measured)
    if operator is MASKED[0]:
        with pytest.raises(ValueError, match="wrong way round"):
            est.score(FACES, measured)


@pytest.mark.parametrize("operator", MASKED, ids=repr)
def test_clean_images_to_restore_are_told(operator):
    est = classical(operator, solver=HQS(n_iter=2)).fit(FACES)
    with pytest.warns(DataConversionWarning, match="looks like clean images"):
        est.predict(FACES)
    filled = est.simulate(FACES)
    filled[filled == 0] = 0.5
    est.predict(filled)  # a hole may have any constant value


def circle():
    rows, columns = np.indices((25, 25)) - 12
    return rows**2 + columns**2 < 100


def test_noise_outside_of_the_field_of_view_is_no_image():
    field = circle()
    clean = FACES * field
    measured = clean + np.random.default_rng(0).normal(scale=0.05, size=clean.shape)
    est = classical(Inpainting(mask=field), solver=HQS(n_iter=2))
    est.fit(measured, clean).predict(measured)
    est.score(measured, clean)
    est.predict(np.where(field, measured, measured.mean((1, 2), keepdims=True)))
    est.predict(clean + np.random.default_rng(0).normal(scale=0.2, size=clean.shape))


@every_estimator
def test_validation_pairs_the_wrong_way_round_are_refused(est):
    if isinstance(est, DnCNN | ClassicalReconstructor):
        return
    own = type(est)(**est.get_params(deep=False)).set_params(operator=Inpainting())
    measured = own.simulate(FACES, random_state=0)
    with pytest.raises(ValueError, match="X_val and y_val are the wrong way round"):
        own.fit(FACES, X_val=FACES, y_val=measured)
    with pytest.warns(DataConversionWarning, match="X_val has values up to"):
        own.fit(FACES, X_val=255 * FACES)


def test_shapes_the_wrong_way_round_are_named():
    est = classical(Radon(angles=5))
    with pytest.raises(ValueError, match="X and y are the wrong way round"):
        est.fit(FACES, est.simulate(FACES))


# --- everything array-like --------------------------------------------------------------------


class TorchImages(torch.utils.data.Dataset):
    """Images, pairs or images with a label; `__getitem__` never raises."""

    def __init__(self, kind="images"):
        self.kind, self.read = kind, []

    def __len__(self):
        return len(FACES)

    def __getitem__(self, i):
        self.read.append(i)
        x = torch.from_numpy(FACES[i % len(FACES)])
        vector = torch.zeros(4)
        kinds = {"images": x, "labels": (x, i), "vectors": (x, vector), "pairs": (0.5 * x, x)}
        return kinds[self.kind]


class Images:
    """An object with a length and items that is not from any library."""

    def __len__(self):
        return len(FACES)

    def __getitem__(self, i):
        return FACES[i]


class Masked(Images):
    def __getitem__(self, i):
        return np.ma.masked_array(FACES[i], FACES[i] > 0.6)


def opened(kind, folder):
    if kind == "h5py":
        file = h5py.File(folder / "images.h5", "w")
        file["images"] = FACES
        return file["images"]
    if kind == "zarr":
        array = zarr.create_array(folder / "images.zarr", shape=FACES.shape, dtype=FACES.dtype)
        array[:] = FACES
        return array
    if kind == "memory map":
        np.save(folder / "images.npy", FACES)
        return np.load(folder / "images.npy", mmap_mode="r")
    return {
        "xarray": lambda: xarray.DataArray(FACES, dims=("image", "y", "x")),
        "dask": lambda: dask.array.from_array(FACES, chunks=(4, 25, 25)),
        "torch data set": TorchImages,
        "data set with labels": lambda: TorchImages("labels"),
        "data set with vectors": lambda: TorchImages("vectors"),
        "data set of tensors": lambda: torch.utils.data.TensorDataset(torch.from_numpy(FACES)),
        "anything with a length": Images,
        "list": lambda: list(FACES),
        "list of tensors": lambda: [torch.from_numpy(x) for x in FACES],
    }[kind]()


KINDS = [
    "h5py",
    "zarr",
    "memory map",
    "xarray",
    "dask",
    "torch data set",
    "data set with labels",
    "data set with vectors",
    "data set of tensors",
    "anything with a length",
    "list",
    "list of tensors",
]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_array_like_trains_and_predicts(kind, tmp_path):
    images, expected = opened(kind, tmp_path), meta().fit(FACES)
    measured = expected.simulate(FACES)
    est = meta().fit(images, X_val=images)
    for name, weights in expected.weights_.items():
        np.testing.assert_array_equal(est.weights_[name], weights)
    assert est.score(images) == expected.score(FACES)
    np.testing.assert_array_equal(np.asarray(est.simulate(images)), measured)
    assert meta().fit(measured, images).n_epochs_ == 1
    identity = classical().fit(FACES)
    np.testing.assert_array_equal(np.asarray(identity.predict(images)), identity.predict(FACES))
    small_denoiser().fit(images)
    if kind != "zarr":  # zarr does not support scikit-learn's indexing
        cross_val_score(classical(), images, scoring=psnr_scorer, cv=2)
    assert compare({"cg": classical()}, images, cv=2)["psnr"].item() > 20


class Counted:
    """A lazy array that records the most images read at once."""

    def __init__(self):
        self.shape, self.dtype, self.most = FACES.shape, FACES.dtype, 0

    def __len__(self):
        return len(FACES)

    def __getitem__(self, indices):
        images = FACES[indices]
        self.most = max(self.most, len(images))
        return images


@every_estimator
def test_what_is_lazy_is_read_batch_by_batch(est):
    images = Counted()
    own = type(est)(**est.get_params(deep=False)).set_params(batch_size=2)
    own.fit(images).score(images)
    if not isinstance(est, MetaInverseSolver):
        own.predict(images)
    assert images.most <= 4  # batches have 2 images; the check of units reads the first 4 at once
    data_set = TorchImages()
    own.fit(data_set)
    assert max(data_set.read) < len(FACES)


def test_a_data_set_of_pairs_is_measurements_and_images():
    est = classical().fit(TorchImages("pairs"))
    assert est.score(TorchImages("pairs")) == est.score(0.5 * FACES, FACES)
    trained = meta(GaussianBlur()).fit(TorchImages("pairs"), X_val=TorchImages("pairs"))
    expected = meta(GaussianBlur()).fit(0.5 * FACES, FACES, 0.5 * FACES, FACES)
    assert trained.history_["validation_psnr"] == expected.history_["validation_psnr"]
    np.testing.assert_array_equal(
        trained.weights_["init.0.weight"], expected.weights_["init.0.weight"]
    )
    with pytest.raises(ValueError, match="pairs of measurements and clean images instead"):
        est.predict(TorchImages("pairs"))
    listed = [(torch.from_numpy(0.5 * x), torch.from_numpy(x)) for x in FACES]
    assert est.score(listed) == est.score(0.5 * FACES, FACES)


class Dictionaries(Images):
    def __getitem__(self, i):
        return {"image": FACES[i], "label": 1}


class Unequal(Images):
    def __getitem__(self, i):
        return FACES[i][: 25 - i]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(FACES)


class Triples(Images):
    def __getitem__(self, i):
        return FACES[i], FACES[i], FACES[i]


class Numbers(Images):
    def __getitem__(self, i):
        return 0.5, 0.5


class Lists(Images):
    def __getitem__(self, i):
        return FACES[i].tolist(), i


def test_images_of_a_data_set_may_be_lists():
    est = classical().fit(FACES)
    np.testing.assert_array_equal(est.predict(Lists()), est.predict(FACES))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.utils.data.DataLoader(TorchImages()), r"Pass its data set, loader\.dataset"),
        ((x for x in FACES), "an iterator, generator, instead: pass list"),
        (Stream(), "to have a length, which Stream has not"),
        (Dictionaries(), r"dictionaries with the keys \['image', 'label'\].*np\.asarray\(entry"),
        (Unequal(), r"Image 1 has shape \(24, 25\)"),
        (Triples(), "Got tuples of 3 entries"),
        (Numbers(), r"Got tuples of 2 entries, with shapes \[\(\), \(\)\]"),
        ({"train": FACES}, r"key of \['train'\]"),
        ([{"image": x} for x in FACES], r"dictionaries with the keys \['image'\]"),
        ([], "0 sample"),
        (None, "got NoneType instead"),
        ([FACES[0], FACES[1, :20]], "images of different shapes"),
        ("folder", "ImageFolder reads a folder"),
    ],
    ids=lambda case: case if isinstance(case, str) else type(case).__name__,
)
def test_what_cannot_be_taken_says_what_to_pass(images, message):
    with pytest.raises(ValueError, match=message):
        meta().fit(images)


def test_pictures_of_pillow():
    pictures = [Image.fromarray(image) for image in EIGHT_BITS]
    est = classical().fit(pictures)
    np.testing.assert_array_equal(est.predict(pictures[0]), est.predict(EIGHT_BITS)[0])


def test_warnings_point_to_the_user_s_line():
    line = sys._getframe().f_lineno + 2
    with pytest.warns(DataConversionWarning) as told:
        classical().fit(255 * FACES)
    assert [(w.filename, w.lineno) for w in told] == [(__file__, line)]


NUMBERS = {
    "batch_size": np.int64(3),
    "n_inner": np.int64(2),
    "max_epochs": np.int32(1),
    "init__width": np.int64(4),
    "init__omega_0": np.float32(20),
    "optimizer": Adam(beta_1=0, beta_2=np.float32(0.9), max_grad_norm=np.float32(1)),
    "inner_lr": np.float32(0.1),
    "outer_lr": np.float64(1e-3),
    "noise": np.float32(0.01),
    "random_state": np.int64(1),
    "solver__n_iter": np.int64(2),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpy_are_numbers(name):
    """A search over np.arange or np.logspace passes them."""
    est = meta(solver=GradientDescent(), inner_lr=0.1).set_params(**{name: NUMBERS[name]})
    assert np.isfinite(est.predict(est.fit(FACES).simulate(FACES))).all()


@pytest.mark.parametrize("kind", ["sparse", "quantized", "meta"])
def test_tensors_that_are_not_dense_are_refused_by_name(kind):
    x = torch.from_numpy(FACES[:2]).float()
    tensor = {
        "sparse": lambda: x.to_sparse(),
        "quantized": lambda: torch.quantize_per_tensor(x, 0.01, 0, torch.quint8),
        "meta": lambda: x.to("meta"),
    }[kind]()
    est = ClassicalReconstructor().fit(FACES)
    for name, use in {
        "X": lambda: est.fit(tensor),
        "X ": lambda: est.predict(tensor),
        "restored": lambda: psnr(FACES[:2], tensor),
        "mask": lambda: psnr(FACES[:2], FACES[:2], mask=tensor),
        "x": lambda: GaussianBlur()(tensor),
    }.items():
        with pytest.raises(ValueError, match=f"must be dense.* got a .*{kind}.* tensor") as raised:
            use()
        assert raised.value.__notes__ == [f"This error concerns {name.strip()}."]


def test_floats_of_eight_bits_are_images():
    x = torch.from_numpy(FACES[:2]).to(torch.float8_e4m3fn)
    est = ClassicalReconstructor().fit(FACES)
    np.testing.assert_array_equal(est.predict(x), x.float())
