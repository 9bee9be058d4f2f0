"""Metrics of a region, such as the missing pixels."""

import numpy as np
import pytest
import torch
from settings import TEN_FACES as FACES
from skimage.metrics import structural_similarity
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor
from skmetainv.losses import LPIPS
from skmetainv.metrics import mse, over_batches, psnr, ssim
from skmetainv.model_selection import ImageScorer, compare
from skmetainv.operators import (
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
)
from skmetainv.solvers import PrimalDual

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
    """SSIM uses pixels up to five pixels outside the region."""
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


# ------------------------------------------------------------------ scorers and comparisons

MISSING = MissingPixels(observed=0.6)
SPLIT = [(np.arange(4), np.arange(4, 10))]


def classical(operator, **parameters):
    return ClassicalReconstructor(operator, PrimalDual(weight=1e-2, n_iter=5), **parameters)


@pytest.mark.parametrize("name", ["psnr", "ssim", "neg_mse"])
def test_a_scorer_of_a_mask_is_its_metric(name):
    est = classical(GaussianBlur(), noise=0.02, batch_size=4).fit(FACES)
    measured = est.simulate(FACES, random_state=0)
    restored = est.predict(measured)
    metric, sign = {"psnr": (psnr, 1), "ssim": (ssim, 1), "neg_mse": (mse, -1)}[name]
    for mask in (RNG.random(FACES.shape) < 0.5, RNG.random(FACES.shape[1:]) < 0.5):
        expected = sign * metric(FACES, restored, mask=mask)
        assert ImageScorer(name, mask=mask)(est, FACES) == pytest.approx(expected, rel=1e-6)
        assert ImageScorer(name, mask=mask)(est, measured, FACES) == pytest.approx(expected)
    whole = ImageScorer(name, mask=np.ones(FACES.shape[1:], dtype=bool))
    assert whole(est, FACES) == pytest.approx(ImageScorer(name)(est, FACES))


@pytest.mark.parametrize("operator", [MISSING, MissingPixels(0.5) @ GaussianBlur(), Inpainting()])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_scorer_of_missing_pixels(operator, noise):
    """Missing pixels have a NaN measurement, or are outside the mask of `Inpainting`."""
    est = classical(operator, noise=noise, batch_size=4).fit(FACES)
    measured = est.simulate(FACES, random_state=3)
    missing = np.isnan(measured)
    if isinstance(operator, Inpainting):
        missing = operator(np.ones_like(FACES)) == 0
    expected = psnr(FACES, est.predict(measured), mask=missing)
    scorer = ImageScorer(mask="missing", random_state=3)
    assert scorer(est, FACES) == pytest.approx(expected, abs=1e-4)
    assert scorer(est, measured, FACES) == pytest.approx(expected, abs=1e-4)
    assert expected < psnr(FACES, est.predict(measured)) - 1


def test_missing_channels_of_a_pixel_count_one_by_one():
    images = RNG.random((3, 12, 12, 3))
    est = classical(MissingPixels(0.5, per_channel=True)).fit(images)
    measured = est.simulate(images, random_state=0)
    expected = mse(images, est.predict(measured), mask=np.isnan(measured))
    assert ImageScorer("neg_mse", mask="missing")(est, images) == pytest.approx(-expected)


def test_what_simulates_says_what_is_missing():
    est = classical(Identity()).fit(FACES)
    box = Inpainting(mask="box", box=(3, 4, 5, 6))
    restored = est.predict(box(FACES))
    expected = psnr(FACES, restored, mask=box(np.ones_like(FACES)) == 0)
    scorer = ImageScorer(mask="missing", operator=box)
    assert scorer(est, FACES) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "operator", [FourierSampling(), MissingPixels(0.5) @ Downsampling(2), Identity()]
)
def test_samples_that_are_no_pixels_are_no_region(operator):
    images = FACES[:, :12, :12]
    est = classical(operator).fit(images)
    with pytest.raises(ValueError, match="needs an operator that leaves out pixels of an image"):
        ImageScorer(mask="missing")(est, images)
    with pytest.raises(ValueError, match="needs an operator that leaves out pixels of an image"):
        compare([est], images, mask="missing")


def test_images_of_which_nothing_is_missing_are_left_out():
    n_pixels = FACES[0].size
    est = classical(MissingPixels((n_pixels - 1, n_pixels))).fit(FACES)
    measured = est.simulate(FACES, random_state=0)
    missing = np.isnan(measured)
    some = missing.any(axis=(1, 2))
    assert 0 < some.sum() < len(FACES)
    restored = est.predict(measured)
    expected = mse(FACES[some], restored[some], mask=missing[some], per_image=True)
    scorer = ImageScorer("neg_mse", mask="missing")
    assert scorer(est, FACES) == pytest.approx(-expected.mean())
    options = {"cv": [(np.arange(10), np.arange(10))], "metrics": "mse", "per_image": True}
    images = compare({"a": est}, FACES, mask="missing", **options)
    images = images if isinstance(images, dict) else images.to_dict("list")
    np.testing.assert_array_equal(images["image"], np.flatnonzero(some))
    with pytest.raises(ValueError, match="no image has any"):
        scorer(classical(MissingPixels(1.0)).fit(FACES), FACES)


def test_comparisons_of_a_region():
    estimators = {
        "few": classical(MISSING),
        "many": classical(MISSING).set_params(solver__n_iter=9),
    }
    table = compare(estimators, FACES, cv=SPLIT, mask="missing", noise=0.01)
    masks = RNG.random(FACES.shape) < 0.5
    of_masks = compare(estimators, FACES, cv=SPLIT, mask=masks, noise=0.01)
    of_one = compare(estimators, FACES, cv=SPLIT, mask=masks[0], noise=0.01)
    for name, est in estimators.items():
        est.set_params(noise=0.01).fit(FACES[:4])
        measured = est.simulate(FACES[4:], random_state=0)
        restored, missing = est.predict(measured), np.isnan(measured)
        for metric in (psnr, ssim, mse):
            for own, mask in [(table, missing), (of_masks, masks[4:]), (of_one, masks[0])]:
                expected = metric(FACES[4:], restored, mask=mask)
                assert own[metric.__name__][name] == pytest.approx(expected, rel=1e-5)


def test_a_search_by_the_missing_pixels():
    scorer = clone(ImageScorer(["psnr", "ssim"], mask="missing"))
    grid = {"solver__n_iter": [1, 9]}
    search = GridSearchCV(classical(MISSING), grid, scoring=scorer, refit="psnr", cv=2)
    best = search.fit(FACES).best_estimator_
    assert scorer(search, FACES) == scorer(best, FACES)


class Predictor(BaseEstimator):
    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return 0.5 * X


def test_predictors_of_other_libraries_are_scored_by_masks_that_are_arrays():
    mask = RNG.random(FACES.shape) < 0.5
    expected = psnr(FACES, 0.5 * FACES, mask=mask)
    assert ImageScorer(mask=mask)(Predictor(), FACES, FACES) == pytest.approx(expected)
    with pytest.raises(ValueError, match="pass the mask as an array"):
        ImageScorer(mask="missing")(Predictor(), FACES, FACES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": "outside"}, r"'mask' parameter of .* must be .*'missing'.* Got 'outside'"),
        ({"mask": "missing"}, r"leaves out pixels .* Got GaussianBlur\(\)"),
        ({"mask": np.ones(FACES.shape)}, "mask must be a boolean array"),
        ({"mask": np.ones((9, *FACES.shape[1:]), dtype=bool)}, None),
        ({"mask": np.ones((11, *FACES.shape[1:]), dtype=bool)}, None),
        ({"mask": FACES > 0.5, "lpips": LPIPS()}, "must be None if LPIPS is among the metrics"),
    ],
)
def test_masks_that_do_not_fit_are_refused(given, message):
    est = classical(GaussianBlur()).fit(FACES)
    named = {"metric": "neg_lpips"} if "lpips" in given else {}
    of_scorers = message or r"one for each of 10|boolean array.* Got bool, \(9, "
    with pytest.raises(ValueError, match=f"(?s){of_scorers}"):
        ImageScorer(**named, **given)(est, FACES)
    metrics = {"metrics": "lpips"} if "lpips" in given else {}
    of_comparisons = message or "inconsistent numbers of samples"
    with pytest.raises(ValueError, match=f"(?s){of_comparisons}"):
        compare([ClassicalReconstructor(GaussianBlur())], FACES, **metrics, **given)
