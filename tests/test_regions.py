"""Metrics of a region: the missing pixels alone, say."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from skmetainv.metrics import mse, over_batches, psnr, ssim

RNG = np.random.default_rng(0)
CLEAN = {"gray": RNG.random((4, 16, 20)), "colour": RNG.random((4, 16, 20, 3))}
RESTORED = {name: x + 0.1 * RNG.normal(size=x.shape) for name, x in CLEAN.items()}
kinds = pytest.mark.parametrize("kind", CLEAN)
metrics = pytest.mark.parametrize("metric", [mse, psnr, ssim])


def test_regions_in_closed_form():
    clean, restored = np.zeros((2, 16, 16)), np.zeros((2, 16, 16))
    restored[0, 6:10, 6:10], restored[1, 6:10, 6:10] = 0.1, 0.01
    box = np.zeros((16, 16), dtype=bool)
    box[6:10, 6:10] = True
    np.testing.assert_allclose(mse(clean, restored, mask=box, per_image=True), [1e-2, 1e-4])
    assert psnr(clean, restored, mask=box) == pytest.approx((20 + 40) / 2)
    assert psnr(255 * clean, 255 * restored, mask=box, data_range=255) == pytest.approx(30)
    assert mse(clean, restored, mask=~box) == 0.0
    half = box.copy()
    half[:, 10:] = half[:6] = True
    share = 16 / half.sum()
    np.testing.assert_allclose(mse(clean, restored, mask=half), share * (1e-2 + 1e-4) / 2)


@kinds
@metrics
def test_a_mask_of_all_pixels_is_no_mask(metric, kind):
    x, z = CLEAN[kind], RESTORED[kind]
    expected = metric(x, z, per_image=True)
    for shape in (x.shape, x.shape[1:], x.shape[:3], x.shape[1:3]):
        own = metric(x, z, mask=np.ones(shape, dtype=bool), per_image=True)
        np.testing.assert_allclose(own, expected, rtol=1e-12)


@kinds
@metrics
def test_what_lies_outside_of_the_region_does_not_count(metric, kind):
    """SSIM sees five pixels around those of the region, and no more."""
    x, z = CLEAN[kind], RESTORED[kind].copy()
    mask = np.zeros(x.shape[1:3], dtype=bool)
    mask[5:8, 5:9] = True
    expected = metric(x, z, mask=mask, per_image=True)
    z[:, 13:] = 0.5
    z[:, :, 14:] = 0.5
    np.testing.assert_array_equal(metric(x, z, mask=mask, per_image=True), expected)
    z[:, 6, 6] += 0.5
    assert (metric(x, z, mask=mask, per_image=True) != expected).all()


@metrics
def test_masks_of_single_images_of_channels_and_of_channels_first(metric):
    x, z = CLEAN["colour"], RESTORED["colour"]
    masks = RNG.random(x.shape) < 0.5
    values = metric(x, z, mask=masks, per_image=True)
    alone = [metric(x[i : i + 1], z[i : i + 1], mask=masks[i]) for i in range(4)]
    np.testing.assert_allclose(values, alone)
    first = [np.moveaxis(a, -1, 1) for a in (x, z, masks)]
    np.testing.assert_allclose(metric(*first[:2], mask=first[2], per_image=True), values)
    tensors = [torch.from_numpy(a) for a in (x, z, masks)]
    np.testing.assert_allclose(metric(*tensors[:2], mask=tensors[2], per_image=True), values)
    red = np.zeros(x.shape[1:], dtype=bool)
    red[..., 0] = True
    np.testing.assert_allclose(metric(x, z, mask=red), metric(x[..., 0], z[..., 0]))
    pixels = masks[..., 0]
    repeated = np.repeat(pixels[..., None], 3, axis=-1)
    assert metric(x, z, mask=pixels) == metric(x, z, mask=repeated)
    assert metric(x[0], z[0], mask=pixels[0]) == metric(x[:1], z[:1], mask=pixels[:1])


@metrics
def test_gray_images_with_an_axis_of_channels(metric):
    x, z = CLEAN["gray"], RESTORED["gray"]
    mask = RNG.random(x.shape) < 0.5
    expected = metric(x, z, mask=mask)
    assert metric(x[..., None], z[..., None], mask=mask) == expected
    assert metric(x[..., None], z, mask=mask[..., None]) == expected
    assert metric(x[:, None], z, mask=mask[:, None]) == expected


def test_ssim_of_a_region_is_the_mean_of_the_map():
    x, z, mask = CLEAN["gray"][0], RESTORED["gray"][0], RNG.random((16, 20)) < 0.3
    own = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, similarities = structural_similarity(x, z, data_range=1.0, full=True, **own)
    inner = np.zeros_like(mask)
    inner[5:-5, 5:-5] = True
    expected = similarities[mask & inner].mean()
    assert ssim(x[None], z[None], mask=mask) == pytest.approx(expected, rel=1e-12)


def test_what_does_not_count_may_be_unknown():
    x, z = CLEAN["gray"].copy(), RESTORED["gray"]
    x[:, 3:6] = np.nan
    known = ~np.isnan(x)
    rows = [mse(x[known].reshape(4, 1, -1), z[known].reshape(4, 1, -1))]
    np.testing.assert_allclose(mse(x, z, mask=known), rows[0])
    assert np.isfinite(psnr(x, z, mask=known))


def test_lists_of_images_of_different_sizes():
    x = [CLEAN["gray"][0], CLEAN["gray"][1, :12]]
    z = [RESTORED["gray"][0], RESTORED["gray"][1, :12]]
    masks = [RNG.random(image.shape) < 0.5 for image in x]
    values = psnr(x, z, mask=masks, per_image=True)
    for i in range(2):
        assert values[i] == psnr(x[i][None], z[i][None], mask=masks[i])
    with pytest.raises(ValueError, match="mask must be a list of 2 masks"):
        psnr(x, z, mask=masks[0])


def test_masks_over_batches():
    x, z, mask = CLEAN["gray"], RESTORED["gray"], RNG.random((4, 16, 20)) < 0.5
    batches = [(x[:3], z[:3], mask[:3]), (x[3:], z[3:], mask[3:])]
    values = over_batches({"psnr": psnr, "ssim": ssim}, batches, (0.0, 1.0))
    np.testing.assert_allclose(values["psnr"], psnr(x, z, mask=mask, per_image=True))
    np.testing.assert_allclose(values["ssim"], ssim(x, z, mask=mask, per_image=True))


@metrics
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((16, 20)), r"boolean array, .* \(16, 20\) or \(4, 16, 20\). Got float64"),
        (np.ones((20, 16), dtype=bool), r"of shape \(16, 20\) .* Got bool, \(20, 16\) instead"),
        (np.ones((3, 16, 20), dtype=bool), r"Got bool, \(3, 16, 20\) instead"),
        (np.ones((4, 16, 20, 3), dtype=bool), r"Got bool, \(4, 16, 20, 3\) instead"),
        (np.arange(4)[:, None, None] * np.ones((16, 20)) != 2, "every pixel of image 2: leave"),
    ],
)
def test_what_is_no_mask_of_the_images(metric, mask, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        metric(CLEAN["gray"], RESTORED["gray"], mask=mask)


def test_ssim_has_nothing_to_say_of_the_border():
    border = np.ones((16, 20), dtype=bool)
    border[5:-5, 5:-5] = False
    assert np.isfinite(psnr(CLEAN["gray"], RESTORED["gray"], mask=border))
    with pytest.raises(ValueError, match=r"SSIM leaves out the border, .* of image 0"):
        ssim(CLEAN["gray"], RESTORED["gray"], mask=border)
