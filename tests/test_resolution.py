"""Predictions at another resolution than that of training."""

import numpy as np
import pytest
import torch

from skmetainv import MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
)
from skmetainv.representations import Encoder, FourierMLP, ModulatedSiren, PixelGrid, Siren
from skmetainv.solvers import GradientDescent

FACES = load_faces()[:8, ::2, ::2]
SMALL = {"max_epochs": 1, "n_inner": 2, "random_state": 0}


def fitted(operator, init=None, **parameters):
    init = init or Siren(width=8, depth=3)
    return MetaInverseSolver(operator, init=init, **SMALL | parameters).fit(FACES)


@pytest.mark.parametrize(
    "init",
    [
        Siren(width=8, depth=3),
        ModulatedSiren(width=8, depth=3),
        FourierMLP(width=8, n_frequencies=4),
        Siren(width=8, depth=3, residual="adjoint", encoder=Encoder(width=2, depth=1)),
    ],
)
@pytest.mark.parametrize(
    "operator", [Identity(), Inpainting(), MissingPixels(), GaussianBlur(), Downsampling(factor=2)]
)
def test_images_have_the_shape_that_is_asked_for(operator, init):
    if isinstance(operator, Downsampling):
        est = MetaInverseSolver(operator, init=init, **SMALL).fit(FACES[:, :12, :12])
    else:
        est = fitted(operator, init)
    measured = MetaInverseSolver(operator, random_state=1).simulate(load_faces()[:3, :20, :24])
    restored = est.predict(measured, image_shape=(20, 24))
    assert restored.shape == (3, 20, 24)
    assert np.isfinite(restored).all()
    stages = list(est.staged_predict(measured, image_shape=(20, 24)))
    assert len(stages) == 3
    np.testing.assert_array_equal(stages[-1], restored)


def test_the_same_field_of_view_is_seen_by_other_pixels():
    """Of 25 x 25 pixels every second one is where one of the 13 x 13 of training is."""
    est = fitted(Identity(), n_inner=0, inner_lr_rule="fixed")
    coarse = est.predict(FACES[:1])
    fine = est.predict(load_faces()[:1], image_shape=(25, 25))
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, atol=1e-6)


def test_the_training_shape_gives_what_no_shape_gives():
    est = fitted(Inpainting(), solver=GradientDescent(step_size=0.9))
    measured = est.simulate(FACES)
    same = est.predict(measured, image_shape=FACES.shape[1:])
    np.testing.assert_array_equal(same, est.predict(measured))


def test_flat_and_colour_images_and_tensors():
    flat = MetaInverseSolver(init=Siren(width=8, depth=3), **SMALL).fit(FACES.reshape(8, -1))
    assert flat.predict(np.zeros((2, 25)), image_shape=(5, 5)).shape == (2, 25)
    colour = np.repeat(FACES[..., None], 3, axis=-1)
    est = MetaInverseSolver(init=Siren(width=8, depth=3), **SMALL).fit(colour)
    restored = est.predict(torch.zeros(2, 9, 7, 3), image_shape=(9, 7, 3))
    assert isinstance(restored, torch.Tensor)
    assert restored.shape == (2, 9, 7, 3)
    with pytest.raises(ValueError, match=r"training images have 3 channel\(s\)"):
        est.predict(np.zeros((2, 9, 7, 1)), image_shape=(9, 7, 1))


def test_weights_of_one_shape_are_refused():
    est = fitted(Identity(), PixelGrid())
    with pytest.raises(
        ValueError, match=r"PixelGrid\(\) stand for images of shape \(13, 13\) only"
    ):
        est.predict(np.zeros((1, 8, 8)), image_shape=(8, 8))


def test_an_operator_that_does_not_allow_it_says_so():
    est = fitted(Inpainting(mask=np.eye(13, dtype=bool)))
    with pytest.raises(ValueError, match="mask") as error:
        est.predict(np.zeros((1, 8, 8)), image_shape=(8, 8))
    assert "does not allow images of shape (8, 8)" in error.value.__notes__[0]


def test_measurements_of_another_shape_are_refused():
    est = fitted(CompressedSensing(n_measurements=20))
    with pytest.raises(ValueError, match="X has"):
        est.predict(np.zeros((1, 21)), image_shape=(8, 8))
    with pytest.raises(ValueError, match="'image_shape' parameter"):
        est.predict(np.zeros((1, 20)), image_shape=(8,))
