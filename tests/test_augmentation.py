"""Random changes of training images, and their choice."""

import itertools
from functools import partial

import numpy as np
import pytest
import settings
import torch
from settings import PAPER
from settings import SIX_SMALL_FACES as FACES
from skimage.draw import ellipse
from skimage.transform import downscale_local_mean
from sklearn.datasets import load_digits

from skmetainv import UNetReconstructor
from skmetainv.arrays import ArraySource, image_layout
from skmetainv.datasets import load_faces
from skmetainv.inputs.augmentation import suitable_augmentation
from skmetainv.noise import GaussianNoise
from skmetainv.operators import MissingPixels
from skmetainv.training import Augmentation, SimulatedPairs

small = partial(settings.small, **PAPER | {"n_inner": 1, "max_epochs": 1, "augment": "auto"})


def pairs_of(images, seed=3, augment=True):
    A = MissingPixels().build((1, *images.shape[1:]))
    layout = image_layout(images.shape, None)
    source = ArraySource(images, layout, dtype=torch.float64, device=torch.device("cpu"))
    changes = Augmentation(mirrors=True, shifts=True) if augment else None
    return SimulatedPairs(source, A, GaussianNoise(0.1).build(), seed, changes)


def test_how_an_image_is_changed_depends_on_seed_epoch_and_index_alone():
    images = load_faces()[:9]
    x, y, *_ = pairs_of(images)(np.arange(9), epoch=2)
    alone, measured, *_ = pairs_of(images)(np.array([5]), epoch=2)
    assert torch.equal(alone[0], x[5])
    assert torch.equal(measured[0].nan_to_num(), y[5].nan_to_num())
    others = [pairs_of(images)(np.arange(9), 3), pairs_of(images, seed=4)(np.arange(9), 2)]
    for other, *_ in others:
        assert sum(not torch.equal(a, b) for a, b in zip(other, x, strict=True)) > 3


@pytest.mark.parametrize(("n", "share"), [(150, 0.5), (1000, 0.1)])
def test_images_are_mirrored_and_some_shifted_by_up_to_a_twelfth(n, share):
    """All 30 variants, by NumPy, occur in the expected shares."""
    image = np.random.default_rng(0).random((13, 24))
    known = {}
    for mirrored in (False, True):
        padded = np.pad(image[:, ::-1] if mirrored else image, ((1, 1), (2, 2)), mode="edge")
        for i, j in itertools.product(range(3), range(5)):
            known[padded[i : i + 13, j : j + 24].tobytes()] = mirrored, (i, j) != (1, 2)
    assert len(known) == 30
    read = pairs_of(np.broadcast_to(image, (n, 13, 24)))
    found = [x[0].numpy().tobytes() for epoch in range(4) for x in read(np.arange(n), epoch)[0]]
    assert set(found) == set(known)
    mirrored, shifted = np.mean([known[x] for x in found], axis=0)
    assert 0.45 < mirrored < 0.55
    assert shifted == pytest.approx(share * 14 / 15, rel=0.15)  # one of 15 shifts is 0


def test_small_images_are_mirrored_only():
    images = np.random.default_rng(0).random((20, 5, 11))
    for x, clean in zip(pairs_of(images)(np.arange(20), 0)[0], images, strict=True):
        assert any(np.array_equal(x[0].numpy(), own) for own in (clean, clean[:, ::-1]))


def test_images_stay_as_they_are_where_that_is_asked_for():
    images = load_faces()[:6]
    x, *_ = pairs_of(images, augment=False)(np.arange(6), epoch=1)
    np.testing.assert_array_equal(x[:, 0], images)


def test_without_an_epoch_images_are_not_changed():
    images = load_faces()[:6]
    x, y, *_ = pairs_of(images)(np.arange(6), epoch=None)
    np.testing.assert_array_equal(x[:, 0], images)
    assert torch.equal(y.isnan(), pairs_of(images)(np.arange(6), epoch=0)[1].isnan())


def heads(n):
    """Return ellipses within ellipses, all in the middle."""
    generator = np.random.default_rng(0)
    images = np.zeros((n, 48, 48))
    for image in images:
        height, width = generator.uniform(16, 20, 2)
        image[ellipse(23.5, 23.5, height, width)] = 1.0
        image[ellipse(23.5, 23.5, height - 3, width - 3)] = generator.uniform(0.2, 0.8)
    return downscale_local_mean(images, (1, 2, 2))


def with_unknown_pixels(images):
    return np.where(np.random.default_rng(0).random(images.shape) < 0.1, np.nan, images)


def problem_of(images, groups=None):
    est = UNetReconstructor(MissingPixels())
    return est._reader().problem(images, None).grouped(groups)


@pytest.mark.parametrize(
    ("images", "mirrors", "shifts"),
    [
        (load_faces()[:80], True, True),
        (heads(60), True, False),
        (load_digits().images[:200] / 16, False, True),
        (heads(60)[:9], True, True),  # too few for a decision
        (np.stack([heads(60)] * 3, axis=3), True, False),
        (with_unknown_pixels(heads(60)), True, False),
        (with_unknown_pixels(np.repeat(np.repeat(heads(60), 4, 1), 4, 2)), True, False),
        (np.full((20, 24, 24), 0.5), True, True),
    ],
    ids=["faces", "heads", "digits", "few", "colour", "unknown pixels", "large", "constant"],
)
def test_augmentation_keeps_images_alike(images, mirrors, shifts):
    assert suitable_augmentation(problem_of(images), batch_size=16) == Augmentation(mirrors, shifts)


def test_images_of_one_group_do_not_judge_each_other():
    """Copies of an image would make any change of it look large."""
    copies = np.repeat(load_faces()[:20], 4, axis=0)
    alone = suitable_augmentation(problem_of(copies), 16)
    assert alone == Augmentation(mirrors=False, shifts=False)
    grouped = suitable_augmentation(problem_of(copies, np.repeat(np.arange(20), 4)), 16)
    assert grouped == Augmentation(mirrors=True, shifts=True)


def test_the_choice_leaves_the_global_generators_alone():
    faces = load_faces()[:40]
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    suitable_augmentation(problem_of(faces), 16)
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_the_choice_is_made_once():
    """Later calls of `partial_fit` keep the choice of the first, whatever their images."""
    est = small(augment="auto").partial_fit(heads(20))
    assert est._augmentation_ == (True, False)
    est.partial_fit(load_faces()[:20, :24, :24])
    assert est._augmentation_ == (True, False)


def test_auto_may_be_set_later():
    est = small(augment=False).partial_fit(heads(20))
    est.set_params(augment="auto").partial_fit(heads(20))
    assert est._augmentation_ == (True, False)


def test_the_log_says_which_changes_are_left_out(capsys):
    small(verbose=1).fit(heads(20))
    assert "Training images are not shifted, because" in capsys.readouterr().err
    small(verbose=1, augment=True).fit(heads(20))
    assert "shifted" not in capsys.readouterr().err


def test_pairs_are_never_changed():
    y = small().simulate(FACES)
    kept = small(augment=False).fit(y, FACES)
    for augment in (True, "auto"):
        changed = small(augment=augment).fit(y, FACES)
        for name, weight in kept.weights_.items():
            np.testing.assert_array_equal(changed.weights_[name], weight)
    simulated = [small(augment=augment).fit(FACES) for augment in (True, False)]
    assert any(
        not np.array_equal(simulated[0].weights_[name], weight)
        for name, weight in simulated[1].weights_.items()
    )
