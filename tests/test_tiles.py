"""Networks give the same result tile by tile as on the whole image."""

import numpy as np
import pytest
import torch
from settings import TEN_FACES as FACES

from skmetainv import UNetReconstructor
from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.denoisers.network import Network
from skmetainv.operators import GaussianBlur, Identity, MissingPixels
from skmetainv.reconstruction.tiles import extent

RNG = np.random.default_rng(0)
LARGE = RNG.random((1, 200, 136))
ODD = RNG.random((1, 107, 71))
SMALL = {"max_epochs": 1, "random_state": 0}
MAKERS = {
    "DnCNN": lambda **own: DnCNN(depth=4, width=4, **SMALL | own),
    "DnCNN, noise level": lambda **own: DnCNN(
        (0.1, 0.3), depth=3, width=4, residual=False, noise_level_input=True, **SMALL | own
    ),
    "DRUNet": lambda **own: DRUNet(width=2, n_blocks=1, **SMALL | own),
    "U-Net of 4": lambda **own: UNetReconstructor(MissingPixels(), width=2, **SMALL | own),
    "U-Net of 2": lambda **own: UNetReconstructor(GaussianBlur(), width=2, depth=2, **SMALL | own),
}


def both(est, images, **tiles):
    """Return images restored at once and tile by tile."""
    shape = {"image_shape": images.shape[1:]}
    measured = est.fit(FACES).simulate(images, random_state=0)
    return est.predict(measured, **shape), est.predict(measured, **shape, **tiles)


@pytest.mark.parametrize("tile", [32, (48, 200), (9, 41)])
@pytest.mark.parametrize("name", MAKERS)
def test_tiles_give_the_whole_image(name, tile):
    whole, tiled = both(MAKERS[name](precision="float64"), ODD, tile=tile)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-12)
    whole, tiled = both(MAKERS[name](), ODD, tile=tile)
    assert tiled.dtype == np.float32
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_at_a_larger_size(name):
    whole, tiled = both(MAKERS[name](), LARGE, tile=(64, 72))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_a_tile_as_large_as_the_image_is_the_image(name):
    whole, tiled = both(MAKERS[name](), ODD, tile=112)
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.parametrize("name", MAKERS)
def test_less_overlap_is_nearer_the_more_there_is(name):
    est = MAKERS[name](precision="float64").fit(FACES)
    step = 8 if "4" in name or name == "DRUNet" else 2
    errors = [np.ptp(np.subtract(*both(est, ODD, tile=32, overlap=n))) for n in (0, step, 2 * step)]
    assert errors[0] > 1e-3
    assert errors[0] > errors[1] > errors[2]


def unet(depth):
    own = {"precision": "float64", "device": "cpu", **SMALL}
    est = UNetReconstructor(width=1, depth=depth, **own).fit(FACES)
    return est._built()[1].network


@pytest.mark.parametrize(
    ("network", "reach"),
    [
        (DnCNN()._network(1, depth=7, width=1, residual=False, noise_level_input=False), 7),
        (DRUNet()._network(1, width=1, n_blocks=1), 47),
        (unet(1), 2),
        (unet(2), 8),
        (unet(3), 22),
    ],
)
def test_the_reach_is_how_far_a_cut_is_felt(network, reach):
    """If an image is cut, the result changes in `reach` columns beside the cut, and in no more.

    Weights are 0 or 1 and pixels are integers, so that nothing is rounded.
    """
    assert network.extent.reach == reach
    level = [torch.tensor(0.0)] * isinstance(network, Network)
    channels = 1 if level else 2
    for weight in network.state_dict().values():
        weight.zero_()
        if weight.ndim == 4:  # sums along rows; in denoisers, of one channel
            sums, middle = weight[:1, :1] if level else weight, weight.shape[2] == 3
            sums[:, :, 1 if middle else slice(None)] = 1.0
    x = torch.from_numpy(RNG.integers(0, 3, (1, channels, 256, 128))).double()
    cut = 2 * network.extent.multiple
    with torch.no_grad():
        part, whole = (network(z, *level) for z in (x[..., cut:], x))
    assert whole.abs().max() < 2**53
    wrong = (part != whole[..., cut:]).any(dim=2)[0, 0]
    assert wrong.nonzero().max() + 1 == reach


def test_the_reach_of_published_networks():
    assert DRUNet()._network(3, width=64, n_blocks=4).extent == (185, 8)
    assert extent([2] * 5, [2] * 4) == (94, 16)  # the U-Net of Ronneberger et al.


@pytest.mark.parametrize("name", MAKERS)
def test_a_network_sees_no_more_of_a_larger_image(name, monkeypatch):
    """The tile alone determines the size of its input."""
    est = MAKERS[name]().fit(FACES)
    (_, module), areas = est._built(), []
    network = type(module.network)
    forward = network.forward

    def told(self, x, *level):
        areas.append(x[0, 0].numel())
        return forward(self, x, *level)

    monkeypatch.setattr(network, "forward", told)
    for shape in ((25, 25), (200, 33)):
        est.predict(LARGE[:, : shape[0], : shape[1]], image_shape=shape, tile=8, overlap=8)
        assert max(areas) == 24 * 24
        areas.clear()


def test_layouts_batches_and_lists():
    colour = RNG.random((3, 40, 31, 3))
    est = DnCNN(depth=3, width=4, **SMALL).fit(np.stack([FACES] * 3, axis=-1))
    whole, tiled = est.predict(colour), est.predict(torch.from_numpy(colour), tile=(16, 8))
    assert isinstance(tiled, torch.Tensor)
    np.testing.assert_allclose(tiled.numpy(), whole, atol=1e-6)
    different = [colour[0], colour[1, :33], colour[2, :, :9]]
    parts = est.predict(different, tile=12)
    for part, image in zip(parts, est.predict(different), strict=True):
        np.testing.assert_allclose(part, image, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tile": 0}, r"'tile' parameter must be None, an int in the range \[1, inf\).*Got 0"),
        ({"tile": -8}, "Got -8 instead"),
        ({"tile": 8.0}, "Got 8.0 instead"),
        ({"tile": True}, "Got True instead"),
        ({"tile": "8"}, "Got '8' instead"),
        ({"tile": (8, 0)}, r"Got \(8, 0\) instead"),
        ({"tile": (8, 8, 8)}, r"Got \(8, 8, 8\) instead"),
        ({"tile": 8, "overlap": -1}, r"'overlap' parameter must be None or an int.*Got -1 instead"),
        ({"tile": 8, "overlap": (1, 1)}, r"Got \(1, 1\) instead"),
        ({"tile": 8, "overlap": False}, "Got False instead"),
        (
            {"overlap": 4},
            r"write tile=\(height, width\), overlap=4. Got overlap=4 and tile=None",
        ),
    ],
)
def test_bad_tiles_are_named(given, message):
    for est in (DnCNN(depth=2, width=2, **SMALL), UNetReconstructor(Identity(), width=2, **SMALL)):
        with pytest.raises(ValueError, match=message):
            est.fit(FACES).predict(FACES, **given)
