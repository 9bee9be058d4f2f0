import copy
import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from test_losses import (
    LEAST_SIDE,
    PUBLISHED,
    of_the_package,
    rand,
    refuse,
)

from skmetainv import ClassicalReconstructor
from skmetainv.losses import LPIPS
from skmetainv.metrics import lpips, mean_over_batches, over_batches, perceptual
from skmetainv.model_selection import ImageScorer, compare, lpips_scorer


@pytest.fixture
def squeeze(backbone):
    """Return our LPIPS and that of the package lpips, with the same random weights."""
    network, path = backbone("squeeze")
    return functools.partial(lpips, net="squeeze", weights=path), network


def images(n, *shape):
    return np.random.default_rng(0).random((2, n, *shape), dtype=np.float32)


def expected(network, clean, restored):
    """Return the distances by the package lpips, per image, of arrays in [0, 1]."""
    clean, restored = (x[..., None] if x.ndim == 3 else x for x in (clean, restored))
    tensors = (torch.from_numpy(np.moveaxis(x, -1, 1).copy()) for x in (restored, clean))
    return of_the_package(network, *tensors).numpy()


@pytest.mark.parametrize(("net", "least"), LEAST_SIDE.items())
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_lpips_is_that_of_the_package(net, least, channels, backbone):
    network, path = backbone(net)
    clean, restored = images(2, least + 3, least, *channels)
    values = lpips(clean, restored, net=net, weights=path, per_image=True)
    assert values.min() > 0.01
    np.testing.assert_allclose(values, expected(network, clean, restored), rtol=1e-4, atol=1e-6)
    assert lpips(clean, restored, net=net, weights=str(path)) == pytest.approx(values.mean())
    assert lpips(clean, clean, net=net, weights=path) == 0


def test_lpips_does_not_depend_on_batches(squeeze):
    own, network = squeeze
    clean, restored = images(35, 18, 17)  # more than two of its internal batches
    values = own(clean, restored, per_image=True)
    assert values.shape == (35,)
    np.testing.assert_allclose(values, expected(network, clean, restored), rtol=1e-4, atol=1e-6)
    cuts = [slice(0, 17), slice(17, 18), slice(18, 35)]
    pairs = [(clean[cut], restored[cut]) for cut in cuts]
    parts = over_batches({"d": own}, pairs, (0.0, 1.0))["d"]
    np.testing.assert_allclose(parts, values, rtol=1e-4, atol=1e-6)
    assert mean_over_batches(own, pairs, (0.0, 1.0)) == pytest.approx(values.mean(), rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_lpips_in_any_units(dtype, squeeze):
    own, _ = squeeze
    clean, restored = ((200 * x).round() for x in images(3, 17, 17))
    values = own(clean / 200, restored / 200, per_image=True)
    for low, high, data_range in [(0, 200, 200), (0, 200, (0, 200)), (-50, 150, [-50.0, 150.0])]:
        pair = [(low + x * (high - low) / 200).astype(dtype) for x in (clean, restored)]
        moved = own(*pair, data_range=data_range, per_image=True)
        np.testing.assert_allclose(moved, values, rtol=1e-3, atol=1e-5)


def test_lpips_keeps_the_digits_of_a_narrow_range(squeeze):
    own, _ = squeeze
    clean, restored = images(2, 17, 17).astype(np.float64)
    far = own(1e6 + clean, 1e6 + restored, data_range=(1e6, 1e6 + 1), per_image=True)
    np.testing.assert_allclose(far, own(clean, restored, per_image=True), rtol=1e-3)


def test_lpips_reads_a_network_once(squeeze, monkeypatch):
    own, _ = squeeze
    perceptual._lpips_of_unit_images.cache_clear()
    clean, restored = images(1, 17, 17)
    first = own(clean, restored)
    monkeypatch.setattr(torch, "load", refuse)
    assert own(clean, restored, data_range=1) == first
    with pytest.raises(OSError, match="no network"):
        own(clean, restored, upsample=True)


def test_lpips_enlarges_small_images(squeeze):
    own, _ = squeeze
    clean, restored = images(2, 8, 9, 3)
    with pytest.raises(ValueError, match=r"at least 17 x 17 pixels.*upsample=True"):
        own(clean, restored)
    assert own(clean, restored, upsample=True) > 0.01


def test_lpips_refuses_what_it_cannot_compare(squeeze):
    own, _ = squeeze
    x = np.zeros((2, 17, 17, 2))
    with pytest.raises(ValueError, match=r"1 or 3 channels\. Got 2"):
        own(x, x)
    with pytest.raises(ValueError, match="same shape"):
        own(x[..., 0], x[:1, ..., 0])
    with pytest.raises(ValueError, match="'data_range' parameter must be a positive finite"):
        own(x[..., 0], x[..., 0], data_range=0)
    for name, value in (("net", "resnet"), ("net", ["alex"]), ("weights", 3), ("upsample", 1)):
        with pytest.raises(ValueError, match=f"'{name}' parameter of LPIPS"):
            own(x[..., 0], x[..., 0], **{name: value})


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Remove network access and all files of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


@pytest.mark.parametrize(("net", "name"), PUBLISHED.items())
def test_lpips_says_which_file_it_needs(net, name, nowhere):
    x = np.zeros((1, 32, 32))
    with pytest.raises(OSError, match=f"the file {name} in the folder"):
        lpips(x, x, net=net)


class Untouched(ClassicalReconstructor):
    def fit(self, X, y=None):
        raise AssertionError("fitted before everything was checked")


def test_a_comparison_needs_its_file_before_it_fits(nowhere):
    x = np.random.default_rng(0).random((4, 32, 32))
    with pytest.raises(OSError, match=r"the file .* in the folder"):
        compare([Untouched()], x, cv=2, metrics=["psnr", "lpips"])


# Scorers and comparisons


FACES = rand(9, 18, 17).numpy()


@pytest.fixture
def loss(backbone):
    return LPIPS("squeeze", weights=backbone("squeeze")[1])


@pytest.mark.parametrize("width", [1.0, 255.0])
def test_the_scorer_is_its_metric(width, loss):
    own = functools.partial(lpips, **loss.get_params())
    x = width * FACES
    est = ClassicalReconstructor(noise=0.1 * width, data_range=width, batch_size=4).fit(x)
    expected = own(x, est.predict(est.simulate(x, random_state=0)), data_range=width)
    assert expected > 0.001
    scorer = ImageScorer("neg_lpips", lpips=loss)
    assert scorer(est, x) == pytest.approx(-expected, rel=1e-4)
    both = clone(scorer).set_params(metric=("neg_lpips", "psnr"))(est, x)
    assert both == pytest.approx({"neg_lpips": -expected, "psnr": est.score(x)}, rel=1e-4)


def test_the_lpips_scorer_is_that_of_alexnet(backbone, tmp_path, monkeypatch):
    network, path = backbone("alex")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("skmetainv.losses.perceptual._sha256_in_name", lambda path: None)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / PUBLISHED["alex"]).symlink_to(path)
    x = images(3, 32, 33)[0]
    est = ClassicalReconstructor(noise=0.1).fit(x)
    restored = est.predict(est.simulate(x, random_state=0))
    of_each = expected(copy.deepcopy(network), x, restored)
    assert lpips_scorer.__name__ == "neg_lpips"
    assert lpips_scorer(est, x) == pytest.approx(-of_each.mean(), rel=1e-4)


def test_a_comparison_with_lpips(loss):
    est, split = ClassicalReconstructor(noise=0.1), (np.arange(5), np.arange(5, 9))
    table = compare([est], FACES, cv=[split], metrics="lpips", lpips=loss)
    scorer = ImageScorer("neg_lpips", lpips=loss)
    expected = -scorer(est.fit(FACES[:5]), FACES[5:])
    assert table["lpips"].item() == pytest.approx(expected, rel=1e-4)
    wide = loss.set_params(upsample=True)
    assert compare([est], FACES[:, :9], cv=3, metrics="lpips", lpips=wide)["lpips"].item() > 0.001


def test_small_images_are_refused_before_anything_is_fitted(loss):
    with pytest.raises(ValueError, match="at least 17 x 17 pixels"):
        compare([Untouched()], FACES[:, :9], cv=3, metrics=["psnr", "lpips"], lpips=loss)


@pytest.mark.parametrize("lpips", ["squeeze", {"net": "vgg"}, LPIPS])
def test_settings_of_lpips_are_an_lpips(lpips):
    with pytest.raises(ValueError, match="'lpips' parameter must be None or an LPIPS"):
        ImageScorer("neg_lpips", lpips=lpips)(ClassicalReconstructor().fit(FACES), FACES)
    with pytest.raises(ValueError, match="'lpips' parameter must be None or an LPIPS"):
        compare([Untouched()], FACES, metrics="lpips", lpips=lpips)


def test_settings_of_lpips_are_for_lpips_alone(loss):
    with pytest.raises(ValueError, match="'lpips' parameter must be None unless"):
        ImageScorer(["psnr", "ssim"], lpips=loss)(ClassicalReconstructor().fit(FACES), FACES)
    with pytest.raises(ValueError, match="'lpips' parameter must be None unless"):
        compare([Untouched()], FACES, lpips=loss)
