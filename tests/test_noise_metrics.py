from contextlib import nullcontext

import numpy as np
import pytest
import torch
from skimage.data import camera
from skimage.metrics import structural_similarity
from sklearn.base import clone

from skmetainv import ClassicalReconstructor
from skmetainv.metrics import mean_over_batches, mse, over_batches, psnr, ssim
from skmetainv.noise import (
    GaussianNoise,
    Noise,
    PoissonNoise,
    Quantization,
    SaltPepper,
    as_noise,
)
from skmetainv.testing import check_noise


def test_shorthands():
    assert as_noise(0.3).noise_level == 0.3
    noise = GaussianNoise(0.1)
    assert as_noise(noise) is noise
    with pytest.raises(NotImplementedError, match="Noise does not define build"):
        Noise().build()


def test_bad_noise():
    for noise, message in (
        (GaussianNoise(-0.1), "'noise_level' parameter of GaussianNoise"),
        (PoissonNoise(photons=0), "'photons' parameter of PoissonNoise"),
        (SaltPepper(amount=1.5), "'amount' parameter of SaltPepper"),
        (Quantization(n_bits=0), "'n_bits' parameter of Quantization"),
        (Quantization(low=1.0, high=1.0), "'low' parameter of Quantization must be less"),
        (GaussianNoise() + 0.1, "'second' parameter of Mixture"),
    ):
        with pytest.raises(ValueError, match=message):
            noise.build()


def generators(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussian_noise_has_its_standard_deviation(dtype):
    y = torch.full((2, 1, 200, 200), 0.5, dtype=dtype)
    noise = GaussianNoise(0.1).build()(y, generators(0, 1)) - y
    assert noise.dtype == dtype
    n = 200 * 200
    for own in noise:
        assert abs(own.mean()) < 5 * 0.1 / n**0.5
        assert abs(own.std() - 0.1) < 5 * 0.1 / (2 * n) ** 0.5
    assert abs((noise[0] * noise[1]).mean()) < 5 * 0.01 / n**0.5


def test_no_noise():
    y = torch.rand(2, 3)
    assert torch.equal(GaussianNoise(0.0).build()(y, generators(0, 1)), y)


def test_poisson_noise_has_its_mean_and_variance():
    y = torch.full((1, 1, 300, 300), 0.4, dtype=torch.float64)
    noisy = PoissonNoise(photons=50).build()(y, generators(0))
    n, variance = 300 * 300, 0.4 / 50
    assert abs(noisy.mean() - 0.4) < 5 * (variance / n) ** 0.5
    assert noisy.var().item() == pytest.approx(variance, rel=0.05)
    counts = 50 * noisy
    torch.testing.assert_close(counts, counts.round())
    assert PoissonNoise().build()(-y, generators(0)).eq(0).all()


def test_salt_and_pepper_hit_their_share():
    y = torch.full((1, 1, 300, 300), 0.5)
    noisy = SaltPepper(amount=0.2, low=-1.0, high=2.0).build()(y, generators(0))
    n = 300 * 300
    for value, share in ((-1.0, 0.1), (2.0, 0.1), (0.5, 0.8)):
        assert abs((noisy == value).double().mean() - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert torch.equal(SaltPepper(amount=0.0).build()(y, generators(0)), y)


def test_quantization_rounds_to_its_levels():
    y = torch.linspace(-0.5, 1.5, 1001, dtype=torch.float64)[None]
    rounded = Quantization(n_bits=2).build()(y, generators(0))
    assert rounded.unique().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    inside = (y >= 0) & (y <= 1)
    assert (rounded - y)[inside].abs().max() <= 1 / 6 + 1e-12
    wide = Quantization(n_bits=2, low=-30.0, high=60.0).build()(90 * y - 30, generators(0))
    torch.testing.assert_close(wide, 90 * rounded - 30)


def test_a_mixture_applies_one_after_the_other():
    mixture = PoissonNoise(photons=20) + GaussianNoise(0.1)
    y = torch.rand(2, 1, 5, 5, dtype=torch.float64)
    streams = generators(0, 1)
    first = PoissonNoise(photons=20).build()(y, streams)
    expected = GaussianNoise(0.1).build()(first, streams)
    assert torch.equal(mixture.build()(y, generators(0, 1)), expected)
    assert clone(mixture).get_params()["second__noise_level"] == 0.1
    three = mixture + Quantization(n_bits=4)
    assert "PoissonNoise(photons=20) + " in repr(three)
    assert set(three.set_params(first__first__photons=5).get_params()) >= {"second__n_bits"}


NOISES = [
    GaussianNoise(0.1),
    PoissonNoise(),
    SaltPepper(),
    Quantization(),
    PoissonNoise() + SaltPepper(),
]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_every_noise_has_the_properties_of_noise(noise):
    check_noise(noise, device="cpu")


def test_a_function_is_no_noise():
    est = ClassicalReconstructor(noise=lambda y, generators: y)
    with pytest.raises(ValueError, match=r"Write noise=MyNoise.*whose `build` returns the"):
        est.fit(np.zeros((2, 4, 4)))


@pytest.mark.cuda
@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_every_noise_agrees_on_a_gpu(noise):
    check_noise(noise, device="cuda")


def test_metrics_in_closed_form():
    clean = np.zeros((2, 3, 4))
    restored = clean + np.array([0.1, 0.5])[:, None, None]
    assert mse(clean, restored, per_image=True) == pytest.approx([0.01, 0.25])
    assert mse(clean, restored) == pytest.approx(0.13)
    assert psnr(clean, restored, per_image=True) == pytest.approx([20, -10 * np.log10(0.25)])
    assert psnr(255 * clean, 255 * restored, data_range=255) == pytest.approx(psnr(clean, restored))
    assert psnr(clean, clean) == np.inf


def test_ssim_is_that_of_wang_et_al():
    clean = camera()[::4, ::4] / 255
    restored = np.clip(clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape), 0, 1)
    value = ssim(clean[None], restored[None])
    published_settings = structural_similarity(
        clean,
        restored,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        win_size=11,
        use_sample_covariance=False,
    )
    assert value == pytest.approx(published_settings)
    assert ssim(clean[None], clean[None]) == pytest.approx(1)
    colour = np.stack([clean, restored, clean], axis=-1)
    gray = np.stack([clean] * 3, axis=-1)
    assert ssim(gray[None], colour[None]) == pytest.approx((value + 2) / 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (10, 30), (5, 5, 3)])
def test_ssim_of_small_images(shape):
    image = np.random.default_rng(0).random((2, *shape))
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(image, 1 - image) < 1


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_metrics_refuse_what_is_not_a_pair_of_images(metric):
    with pytest.raises(ValueError, match="same shape"):
        metric(np.zeros((2, 3, 4)), np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match=r"Pass one image as clean\[np.newaxis\], and flat"):
        metric(np.zeros((2, 12)), np.zeros((2, 12)))
    with pytest.raises(ValueError, match="must hold real images"):
        metric(np.zeros((2, 3, 4), complex), np.zeros((2, 3, 4)))


@pytest.mark.parametrize(("cosine", "alike"), [(0.85, True), (0.75, False)])
def test_units_are_compared_of_images_that_are_alike(cosine, alike):
    """8-bit images, and floats up to 255 with noise orthogonal to the image."""
    x = np.random.default_rng(0).integers(1, 256, (2, 6, 7), dtype=np.uint8)
    image = x / np.linalg.norm(x)
    noise = np.random.default_rng(1).normal(size=x.shape)
    noise -= (noise * image).sum() * image
    z = cosine * image + np.sqrt(1 - cosine**2) * noise / np.linalg.norm(noise)
    z *= np.linalg.norm(x)
    with pytest.raises(ValueError, match="not in one unit") if alike else nullcontext():
        mse(x, z)


def test_several_metrics_over_batches_look_at_each_batch_once():
    rng = np.random.default_rng(0)
    clean, restored = 255 * rng.random((2, 7, 12, 13, 1))
    cuts = [slice(0, 3), slice(3, 4), slice(4, 7)]
    batches = ((clean[cut], restored[cut]) for cut in cuts)  # a generator, read once
    metrics = {"first": psnr, "second": mse, "third": ssim}
    values = over_batches(metrics, batches, (0.0, 255.0))
    assert [*values] == [*metrics]
    for name, metric in metrics.items():
        expected = metric(clean, restored, per_image=True, data_range=255)
        np.testing.assert_array_equal(values[name], expected)
        batches = ((clean[cut], restored[cut]) for cut in cuts)
        assert mean_over_batches(metric, batches, (0.0, 255.0)) == expected.mean()


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
@pytest.mark.parametrize("data_range", [np.inf, (0.0, np.inf), np.nan, 0.0, (1.0, 1.0), "wide"])
def test_a_range_that_is_not_positive_and_finite_is_refused(metric, data_range):
    images = np.random.default_rng(0).random((2, 12, 12))
    with pytest.raises(ValueError, match="must be a positive finite number, or two finite numbers"):
        metric(images, images, data_range=data_range)


@pytest.mark.parametrize("data_range", [np.float32(2.0), np.array(2.0), (-1, 1.0), [0, 2]])
def test_a_range_may_be_a_number_or_a_pair_of_any_kind(data_range):
    x, z = np.random.default_rng(0).random((2, 3, 12, 12))
    assert psnr(x, z, data_range=data_range) == pytest.approx(psnr(x, z, data_range=2.0))


@pytest.mark.parametrize(("largest", "divisor"), [(200, 255), (260, 1), (2**62, 1)])
def test_integers_of_two_types_that_imply_no_range_share_a_divisor(largest, divisor):
    clean = np.array([[[0, 40], [largest, 10]]], dtype=np.int64)
    restored = np.array([[[0, 50], [90, 10]]], dtype=np.int32)
    expected = np.square((clean - restored) / divisor).mean()
    assert mse(clean, restored, per_image=True)[0] == pytest.approx(expected)
    assert mse(restored, clean) == pytest.approx(expected)


def test_a_type_that_implies_a_range_serves_both():
    clean = np.array([[[0, 40_000], [60_000, 10]]], dtype=np.uint16)
    restored = np.array([[[0, 38_000], [60_100, 10]]], dtype=np.int32)
    expected = np.square((clean.astype(float) - restored) / 65_535).mean()
    assert mse(clean, restored) == mse(restored, clean) == pytest.approx(expected)
