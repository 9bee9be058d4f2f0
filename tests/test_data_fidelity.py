"""The data fidelity of images to measurements, by an estimator's operator."""

import numpy as np
import pytest
from settings import TEN_FACES as FACES
from sklearn.exceptions import NotFittedError

from skmetainv import ClassicalReconstructor
from skmetainv.denoisers import DnCNN
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Inpainting,
    MissingPixels,
    Saturation,
)
from skmetainv.solvers import GradientDescent

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "operator",
    [
        GaussianBlur(),
        Inpainting(),
        MissingPixels(),
        CompressedSensing(0.4),
        FourierSampling(),
        MissingPixels(0.5) @ GaussianBlur(),
        Saturation(gain=1.5),
    ],
)
def test_it_is_that_of_the_operator_on_observed_samples(operator):
    own = {"noise": 0.1, "start": "zeros", "batch_size": 3, "precision": "float64"}
    est = ClassicalReconstructor(operator, GradientDescent(n_iter=1), **own).fit(FACES)
    measured = est.simulate(FACES, random_state=0)
    exact = est.set_params(noise=0.0).simulate(FACES, random_state=0)
    values = est.data_fidelity(measured, FACES)
    expected = np.square(exact - measured).reshape(len(FACES), -1)
    if isinstance(operator, Inpainting):
        expected[:, operator(np.ones((1, *FACES.shape[1:]))).ravel() == 0] = np.nan
    if isinstance(operator, FourierSampling):
        expected[expected == 0] = np.nan  # samples that are not measured are 0, without noise
    np.testing.assert_allclose(values, np.nanmean(expected, axis=1), rtol=1e-9)
    np.testing.assert_allclose(values, 0.01, rtol=0.4)
    np.testing.assert_allclose(operator.data_fidelity(FACES, measured), values, rtol=1e-4)
    np.testing.assert_allclose(est.data_fidelity(exact, FACES), 0.0, atol=1e-12)


def test_a_better_reconstruction_of_the_measurement_has_a_lower_one():
    est = ClassicalReconstructor(GaussianBlur(2.0)).fit(FACES)
    measured = est.simulate(FACES)
    values = [est.data_fidelity(measured, x).mean() for x in (measured, est.predict(measured))]
    assert values[1] < values[0] / 2


def test_one_image_flat_images_and_other_sizes():
    est = ClassicalReconstructor(Downsampling(2)).fit(RNG.random((4, 12, 12)))
    images = RNG.random((3, 8, 10))
    measured = Downsampling(2)(images) + 0.1
    values = est.data_fidelity(measured, images, image_shape=(8, 10))
    np.testing.assert_allclose(values, 0.01, rtol=1e-4)
    one = est.data_fidelity(measured[0], images[0], image_shape=(8, 10))
    assert isinstance(one, float)
    assert one == pytest.approx(0.01, rel=1e-4)
    flat = ClassicalReconstructor(GaussianBlur(), image_shape=(12, 12), data_range=255)
    flat.fit(RNG.integers(0, 255, (4, 144)).astype("uint8"))
    x = RNG.integers(0, 255, (3, 144)).astype("uint8")
    y = np.stack([GaussianBlur()(image.astype(float).reshape(12, 12)) for image in x])
    np.testing.assert_allclose(flat.data_fidelity(y.reshape(3, -1) + 2, x), 4.0, rtol=1e-3)


def test_denoisers_have_it():
    denoiser = DnCNN(0.1, depth=2, width=2, max_epochs=1).fit(FACES)
    noisy = FACES + 0.1 * RNG.normal(size=FACES.shape)
    expected = np.square(noisy - FACES).mean(axis=(1, 2))
    np.testing.assert_allclose(denoiser.data_fidelity(noisy, FACES), expected, rtol=1e-4)


def test_what_is_refused():
    est = ClassicalReconstructor(Downsampling(1))
    with pytest.raises(NotFittedError):
        est.data_fidelity(FACES, FACES)
    est.fit(FACES)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.data_fidelity(FACES, FACES[:3])
    with pytest.raises(ValueError, match=r"images has images of shape \(5, 5\)"):
        est.data_fidelity(FACES, FACES[:, :5, :5])
    with pytest.raises(ValueError, match="Input images contains NaN"):
        est.data_fidelity(FACES, np.full_like(FACES, np.nan))
