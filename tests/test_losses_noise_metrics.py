import numpy as np
import pytest
import torch
from skimage.data import camera
from skimage.metrics import structural_similarity

from skmetainv.losses import L1, L2, Loss, as_loss
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.noise import GaussianNoise, Noise, as_noise

X = torch.tensor([[0.0, 1.0, 4.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0]], dtype=torch.float64)
OBSERVED = torch.tensor([[True, False, True], [True, True, False]])


@pytest.mark.parametrize(
    ("loss", "everywhere", "observed"),
    [
        (L1(), [4 / 3, 2 / 3], [2, 0]),
        (L2(), [10 / 3, 4 / 3], [5, 0]),
        (L1(reduction="sum"), [4, 2], [4, 0]),
        (L2(reduction="sum"), [10, 4], [10, 0]),
    ],
)
def test_losses_are_one_value_per_image(loss, everywhere, observed):
    criterion = loss.build()
    assert criterion(X, TARGET).tolist() == pytest.approx(everywhere)
    assert criterion(X, TARGET, OBSERVED).tolist() == pytest.approx(observed)


@pytest.mark.parametrize(("loss", "power"), [(L1(), 1), (L2(), 2)])
def test_losses_do_not_depend_on_units(loss, power):
    wide = loss.build(data_range=(-100.0, 300.0))
    expected = (loss.build()(X, TARGET) / 400**power).tolist()
    assert wide(X, TARGET).tolist() == pytest.approx(expected)


def test_what_is_not_observed_has_no_gradient_even_where_it_is_nan():
    x = X.clone().requires_grad_()
    target = torch.where(OBSERVED, TARGET, torch.nan)
    L2().build()(x, target, OBSERVED).sum().backward()
    assert (x.grad[~OBSERVED] == 0).all()
    assert x.grad.isfinite().all()


def test_nothing_observed_is_no_loss():
    nothing = torch.zeros_like(OBSERVED)
    assert L2().build()(X, TARGET, nothing).tolist() == [0, 0]


def test_shorthands():
    assert isinstance(as_loss("l1"), L1)
    own = L2(reduction="sum")
    assert as_loss(own) is own
    assert as_noise(0.3).noise_level == 0.3
    noise = GaussianNoise(0.1)
    assert as_noise(noise) is noise
    for protocol in (Loss, Noise):
        with pytest.raises(NotImplementedError, match=f"{protocol.__name__} does not define build"):
            protocol().build()


def test_bad_losses_and_noise():
    with pytest.raises(ValueError, match="'reduction' parameter of L2"):
        L2(reduction="median").build()
    with pytest.raises(ValueError, match="'noise_level' parameter of GaussianNoise"):
        GaussianNoise(-0.1).build()


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


def test_noise_of_an_image_depends_on_its_generator_alone():
    y = torch.zeros(3, 4)
    noisy = GaussianNoise(0.1).build()
    assert torch.equal(noisy(y, generators(0, 1, 2))[1:2], noisy(y[:1], generators(1)))


def test_no_noise():
    y = torch.rand(2, 3)
    assert torch.equal(GaussianNoise(0.0).build()(y, generators(0, 1)), y)


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
    with pytest.raises(ValueError, match="same shape"):
        metric(np.zeros((2, 12)), np.zeros((2, 12)))
