"""Predictions at another resolution than that of training."""

import numpy as np
import pytest
import torch

from skmetainv import (
    ClassicalReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN, TotalVariation
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
)
from skmetainv.representations import Encoder, FourierMLP, ModulatedSiren, PixelGrid, Siren
from skmetainv.solvers import HQS, GradientDescent

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
    """Every second of the 25 x 25 pixels has the place of one of the 13 x 13 training pixels."""
    est = fitted(Identity(), n_inner=0, algorithm=MAML(step_sizes="fixed"))
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
        ValueError, match=r"PixelGrid\(\) represent images of shape \(13, 13\) only"
    ):
        est.predict(np.zeros((1, 8, 8)), image_shape=(8, 8))


def test_an_operator_that_does_not_allow_it_says_so():
    est = fitted(Inpainting(mask=np.eye(13, dtype=bool)))
    with pytest.raises(ValueError, match="mask") as error:
        est.predict(np.zeros((1, 8, 8)), image_shape=(8, 8))
    assert "does not support images of shape (8, 8)" in error.value.__notes__[0]


def test_measurements_of_another_shape_are_refused():
    est = fitted(CompressedSensing(n_measurements=20))
    with pytest.raises(ValueError, match=r"X has 21 features, .* expecting 20 features as input.$"):
        est.predict(np.zeros((1, 21)), image_shape=(8, 8))
    with pytest.raises(ValueError, match="'image_shape' parameter"):
        est.predict(np.zeros((1, 20)), image_shape=(8,))


# --- estimators for any size ------------------------------------------------------------------

LARGE = load_faces()[8:11, :20, :24]
DENOISER = DnCNN(depth=2, width=2, max_epochs=1, random_state=0)
MAKERS = {
    "classical": lambda operator, **own: ClassicalReconstructor(
        operator, HQS(TotalVariation(n_iter=3), n_iter=2), random_state=0, **own
    ),
    "unrolled": lambda operator, **own: UnrolledReconstructor(
        operator, HQS(DENOISER, n_iter=2), max_epochs=1, random_state=0, **own
    ),
    "unet": lambda operator, **own: UNetReconstructor(
        operator, width=2, depth=3, max_epochs=1, random_state=0, **own
    ),
    "meta": lambda operator, **own: MetaInverseSolver(
        operator, init=Siren(width=8, depth=3), **SMALL, **own
    ),
}
OPERATORS = {
    "inpainting": Inpainting(),
    "missing": MissingPixels(),
    "blur": GaussianBlur(),
    "downsampling": Downsampling(factor=2),
    "sensing": CompressedSensing(n_measurements=60),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", MAKERS)
def test_it_is_the_estimator_of_that_size_with_the_weights_of_this_one(name, operator):
    make = MAKERS[name]
    small = make(OPERATORS[operator]).fit(FACES[:, :12, :12])
    large = make(OPERATORS[operator]).fit(LARGE)
    if name != "classical":
        large.weights_ = small.weights_
    if name == "unrolled":  # fit also trains its denoiser
        large.solver_ = small.solver_
    measured = large.simulate(LARGE, random_state=1)
    restored = small.predict(measured, image_shape=(20, 24))
    np.testing.assert_array_equal(restored, large.predict(measured))
    assert small.predict(small.simulate(FACES[:2, :12, :12])).shape == (2, 12, 12)


@pytest.mark.parametrize("name", MAKERS)
def test_scores_of_another_size_are_of_its_predictions(name):
    est = MAKERS[name](GaussianBlur(), noise=0.02).fit(FACES)
    measured = est.simulate(LARGE, random_state=0)
    expected = psnr(LARGE, est.predict(measured, image_shape=(20, 24)))
    for given in ((LARGE,), (measured, LARGE)):
        assert est.score(*given, image_shape=(20, 24)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_flat_and_colour_images_of_another_size(name):
    colour, large = (np.stack([x, x / 2, x / 4], axis=-1) for x in (FACES, LARGE))
    est = MAKERS[name](GaussianBlur()).fit(colour)
    flat = MAKERS[name](GaussianBlur(), image_shape=(13, 13, 3)).fit(colour.reshape(8, -1))
    measured = est.simulate(large, random_state=0)
    restored = est.predict(measured, image_shape=(20, 24))
    assert restored.shape == large.shape
    rows = flat.simulate(large.reshape(3, -1), random_state=0, image_shape=(20, 24, 3))
    np.testing.assert_allclose(rows.reshape(large.shape), measured, atol=1e-6)
    own = flat.predict(rows, image_shape=(20, 24, 3))
    np.testing.assert_allclose(own.reshape(large.shape), restored, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_who_brings_another_size_is_told_what_to_write(name):
    est = MAKERS[name](GaussianBlur()).fit(FACES)
    told = r"shape \(20, 24\), but .* shape \(13, 13\).* write predict\(..., image_shape=\(20, 24\)"
    for call in (est.predict, est.score, lambda X: est.score(X, X)):
        with pytest.raises(ValueError, match=told):
            call(LARGE)
    flat = MAKERS[name](GaussianBlur()).fit(FACES.reshape(8, -1))
    told = (
        r"has 480 features, but \w+ is expecting 169 features as input.*image_shape=\(height, width"
    )
    with pytest.raises(ValueError, match=told):
        flat.predict(LARGE.reshape(3, -1))
    with pytest.raises(ValueError, match=r"expecting measurements of shape \(20, 24\).$"):
        est.predict(FACES, image_shape=(20, 24))


def test_who_cannot_have_another_size_is_told_why():
    est = fitted(Identity(), PixelGrid())
    with pytest.raises(
        ValueError, match=r"PixelGrid\(\) represent images of shape \(13, 13\) only"
    ):
        est.predict(LARGE)
    for make in (MAKERS["classical"], MAKERS["unrolled"]):
        est = make(GaussianBlur(), start=FACES[0]).fit(FACES)
        for shape in ({}, {"image_shape": (20, 24)}):
            with pytest.raises(
                ValueError, match=r"'start' parameter is an image of shape \(13, 13"
            ):
                est.predict(LARGE, **shape)
        assert est.predict(FACES, image_shape=(13, 13)).shape == FACES.shape


def test_a_start_of_the_other_size_is_taken():
    est = MAKERS["classical"](GaussianBlur()).fit(FACES)
    large = MAKERS["classical"](GaussianBlur(), start=LARGE[0]).fit(LARGE)
    restored = est.set_params(start=LARGE[0]).predict(LARGE, image_shape=(20, 24))
    np.testing.assert_array_equal(restored, large.predict(LARGE))


def test_flat_images_of_another_size_are_denoised():
    own = {"depth": 3, "width": 2, "max_epochs": 1, "random_state": 0}
    est, flat = DnCNN(**own).fit(FACES), DnCNN(**own).fit(FACES.reshape(8, -1))
    rows, shape = LARGE.reshape(3, -1), (20, 24)
    expected = est.predict(LARGE)
    np.testing.assert_array_equal(est.predict(LARGE, image_shape=shape), expected)
    restored = flat.predict(rows, image_shape=shape)
    np.testing.assert_array_equal(restored.reshape(LARGE.shape), expected)
    assert flat.simulate(rows, image_shape=shape).shape == rows.shape
    assert flat.score(rows, image_shape=shape) == pytest.approx(est.score(LARGE), abs=1e-4)
    with pytest.raises(ValueError, match=r"480 features, .*image_shape=\(height, width\)"):
        flat.predict(rows)
    with pytest.raises(ValueError, match=r"\(20, 24\), but DnCNN is expecting .* \(24, 20\)"):
        est.predict(LARGE, image_shape=(24, 20))


def test_flat_colour_images_are_denoised_with_the_weights_of_a_file(tmp_path):
    colour = np.stack([FACES, FACES / 2, FACES / 4], axis=-1)
    own = {"depth": 3, "width": 2, "max_epochs": 1, "random_state": 0}
    est = DnCNN(**own).fit(colour)
    torch.save({k: torch.from_numpy(w) for k, w in est.weights_.items()}, tmp_path / "colour.pth")
    read = DnCNN(weights=tmp_path / "colour.pth")
    rows = colour[:, :10].reshape(8, -1)
    restored = read.predict(rows, image_shape=(10, 13, 3))
    np.testing.assert_allclose(
        restored.reshape(8, 10, 13, 3), est.predict(colour[:, :10]), atol=1e-6
    )


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_built_for_many_sizes_is_not_kept_for_ever(name):
    est = MAKERS[name](GaussianBlur()).fit(FACES)
    first = est.predict(FACES)
    for side in range(6, 16):
        est.predict(np.zeros((1, side, 9)), image_shape=(side, 9))
    assert len(est._cache) <= 4
    np.testing.assert_array_equal(est.predict(FACES), first)
