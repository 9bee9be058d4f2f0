"""Starts restored by an estimator, and the images to which it is fitted."""

import pickle

import numpy as np
import pytest
import torch
from settings import PLAIN, SMALL_FACES
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
)
from skmetainv.datasets import load_faces
from skmetainv.estimators import default_init as default_init_module
from skmetainv.estimators.default_init import default_init
from skmetainv.estimators.residuals import residual_of
from skmetainv.meta import MAML, InnerLoss
from skmetainv.metrics import psnr
from skmetainv.operators import (
    Downsampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    PhaseRetrieval,
    RandomOperator,
    WithNoise,
)
from skmetainv.reconstruction import Restorer
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ModulatedSiren,
    ModuleRepresentation,
    PixelGrid,
    Refiner,
    Siren,
)
from skmetainv.solvers import HQS, GradientDescent, ProximalGradient
from skmetainv.training import Adam, EarlyStopping

FACES = SMALL_FACES[:14]
STILL = {"n_inner": 0, "outer_lr": 0.0, "max_epochs": 1, "random_state": 0}


class Memory(LinearReconstructor):
    """Restores ones if it has seen an image with the same first pixel, else zeros."""

    n_fits = 0

    def _learn(self, problem):
        Memory.n_fits += 1
        self.seen_ = problem.clean.read(np.arange(len(problem)))[:, 0, 0, 0].numpy()
        super()._learn(problem)

    def _without_search(self):
        return clone(self)

    def _restorer(self, geometry):
        def restore(y, A):
            seen = torch.from_numpy(self.seen_).to(y)
            is_known = (y[:, :1, :1, :1] - seen).abs().amin(-1, keepdim=True) < 1e-6
            return torch.ones_like(y) * is_known

        return Restorer(restore, self.operator_)


def labelled(labels):
    """Random images with their label in the first pixel."""
    images = np.random.default_rng(0).uniform(0, 1, (len(labels), 4, 5))
    images[:, 0, 0] = np.asarray(labels) / 100
    return images


def on_memory(residual=None, **options):
    residual = Memory() if residual is None else residual
    init = Siren(width=3, depth=2, residual=residual)
    return MetaInverseSolver(init=init, precision="float64", **PLAIN | STILL | options)


def first_loss(est):
    (loss,) = est.history_["outer_loss"]
    return loss


# ---------------------------------------------------------------------- cross-fitted


@pytest.mark.parametrize("n_images", [2, 3, 5, 12])
def test_starts_of_training_images_come_from_copies_that_never_saw_them(n_images):
    x = labelled(range(n_images))
    est = on_memory().fit(x)
    assert first_loss(est) == pytest.approx(np.mean(x**2), rel=1e-10)  # all starts are zeros
    np.testing.assert_array_equal(est.predict(x), np.ones_like(x))  # predict's copy saw all
    np.testing.assert_array_equal(est.predict(x + 0.5), np.zeros_like(x))


def test_pairs_are_cross_fitted_too():
    x = labelled(range(7))
    est = on_memory().fit(x, x)
    assert first_loss(est) == pytest.approx(np.mean(x**2), rel=1e-10)


def test_a_single_image_has_no_other_to_learn_from():
    x = labelled([3])
    assert first_loss(on_memory().fit(x)) == pytest.approx(np.mean((1 - x) ** 2), rel=1e-10)


def test_images_of_one_group_are_never_on_both_sides():
    labels = np.repeat(np.arange(6), 3)
    x = labelled(labels)
    est = on_memory().fit(x, groups=[f"person {label}" for label in labels])
    assert first_loss(est) == pytest.approx(np.mean(x**2), rel=1e-10)
    assert abs(first_loss(on_memory().fit(x)) - np.mean(x**2)) > 0.01


def test_one_group_alone_is_learned_from_as_a_whole():
    x = labelled(range(4))
    est = on_memory().fit(x, groups=np.zeros(4))
    assert first_loss(est) == pytest.approx(np.mean((1 - x) ** 2), rel=1e-10)


def test_starts_of_held_out_images_come_from_what_learned_from_the_others():
    """In early stopping, the start of held-out images is not fitted to them."""
    x = labelled(range(6))
    est = on_memory(early_stopping=EarlyStopping(validation_fraction=0.3)).fit(x)
    seen = residual_of(est.init_).seen_
    assert 0 < len(seen) < 6
    held_out = ~np.isclose(x[:, 0, 0][:, None], seen).any(axis=1)
    assert est.history_["validation_psnr"] == pytest.approx(
        [psnr(x[held_out], np.zeros_like(x[held_out]))], rel=1e-6
    )


def test_a_frozen_estimator_is_not_fitted_again():
    fitted = Memory().fit(labelled(range(50, 60)))
    Memory.n_fits = 0
    x = labelled(range(8))
    est = on_memory(FrozenEstimator(fitted)).fit(x)
    assert Memory.n_fits == 0
    assert residual_of(est.init_) is fitted
    assert first_loss(est) == pytest.approx(np.mean(x**2), rel=1e-10)
    np.testing.assert_array_equal(est.predict(labelled([50, 3])).mean((1, 2)), [1, 0])


def test_the_estimator_that_was_given_stays_as_it_was():
    own = LinearReconstructor()
    MetaInverseSolver(init=Siren(3, depth=2, residual=own), **STILL).fit(FACES)
    assert not hasattr(own, "weights_")
    assert own.operator is None


@pytest.mark.parametrize("n_images", [3, 11])
def test_each_copy_learned_from_four_fifths(n_images):
    """One fit to all images, and one per fold: five, or one per image if there are fewer."""
    x = labelled(range(n_images))
    Memory.n_fits = 0
    on_memory().fit(x)
    assert Memory.n_fits == 1 + min(5, n_images)


def test_copies_take_the_shrinkage_that_all_images_asked_for():
    """Starts by hand, from copies fitted to the other images with the chosen shrinkage."""
    x = FACES[:5]  # five images, five folds: each copy is fitted to the four others
    blur = GaussianBlur(sigma=1.0)
    y = MetaInverseSolver(blur, noise=0.05).simulate(x)
    init = Siren(3, depth=2, residual=LinearReconstructor(noise=0.05))
    est = MetaInverseSolver(blur, init=init, precision="float64", **PLAIN | STILL).fit(y, x)
    whole = residual_of(est.init_)
    errors = []
    for i in range(5):
        others = np.arange(5) != i
        copy = LinearReconstructor(
            blur, noise=0.05, precision="float64", shrinkage=whole.shrinkage_, flips=whole.flips_
        ).fit(y[others], x[others])
        errors.append(np.mean((copy.predict(y[i : i + 1]) - x[i]) ** 2))
    assert first_loss(est) == pytest.approx(np.mean(errors), rel=1e-8)


# ------------------------------------------------------------ training begins at the start


class Zeros(torch.nn.Module):
    def __init__(self, image_shape):
        super().__init__()
        self.image = torch.nn.Parameter(torch.zeros(image_shape))

    def forward(self):
        return self.image


REPRESENTATIONS = {
    "siren": lambda **own: Siren(width=4, depth=3, **own),
    "one layer": lambda **own: Siren(width=4, depth=1, **own),
    "fourier": lambda **own: FourierMLP(width=4, depth=3, n_frequencies=4, **own),
    "shift": lambda **own: ModulatedSiren(width=4, depth=3, **own),
    "scale and shift": lambda **own: ModulatedSiren(4, depth=3, modulation="scale_shift", **own),
    "latent": lambda **own: ModulatedSiren(4, depth=3, modulation="latent", latent_size=3, **own),
    "encoder": lambda **own: Siren(width=4, depth=3, encoder=Encoder(2, depth=1), **own),
    "grid": lambda **own: PixelGrid(**own),
    "module": lambda **own: ModuleRepresentation(Zeros, **own),
}
RESIDUALS = {
    "linear": lambda A: LinearReconstructor(A, noise=0.02),
    "classical": lambda A: ClassicalReconstructor(A, HQS(n_iter=3), noise=0.02),
    "unet": lambda A: UNetReconstructor(A, noise=0.02, width=2, depth=2, max_epochs=1),
}


@pytest.mark.parametrize(
    "refiner", [None, Refiner(width=2, depth=3, lr=0.0)], ids=["plain", "refined"]
)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_training_begins_at_the_quality_of_the_start(name, refiner):
    init = REPRESENTATIONS[name](residual=LinearReconstructor(), refiner=refiner)
    est = MetaInverseSolver(MissingPixels(0.6), noise=0.02, init=init, **STILL).fit(FACES)
    y = est.simulate(FACES)
    start = residual_of(est.init_)
    np.testing.assert_allclose(est.predict(y), start.predict(y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("residual", RESIDUALS)
def test_the_start_is_what_the_estimator_alone_restores(residual):
    """Operator, noise and seed that it leaves open are taken from the outer estimator."""
    A = MissingPixels(0.6)
    alone = RESIDUALS[residual](A).set_params(random_state=0).fit(FACES)
    own = RESIDUALS[residual](None).set_params(noise=0.0, random_state=None)
    init = Siren(width=4, depth=2, residual=own)
    est = MetaInverseSolver(A, noise=0.02, init=init, **STILL).fit(FACES)
    y = est.simulate(FACES)
    np.testing.assert_allclose(est.predict(y), alone.predict(y), rtol=0, atol=1e-6)
    for i in (0, 5):  # whatever else is in the batch
        np.testing.assert_array_equal(est.predict(y[i : i + 1])[0], est.predict(y)[i])


@pytest.mark.parametrize("residual", ["adjoint", "pseudo_inverse"])
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_start_by_name_is_begun_at_too(name, residual):
    init, A = REPRESENTATIONS[name](residual=residual), GaussianBlur(sigma=0.6)
    est = MetaInverseSolver(A, init=init, precision="float64", **STILL).fit(FACES)
    y = est.simulate(FACES)
    data = A.build((1, 9, 9)).bind(torch.from_numpy(y[:, None]))
    np.testing.assert_allclose(est.predict(y)[:, None], data.start(residual), rtol=0, atol=1e-9)


def test_a_given_start_is_the_image_of_bind():
    A, y = Inpainting().build((1, 9, 9)), torch.ones(1, 1, 9, 9).double()
    assert A.bind(y, 2 * y[:, None]).start("given").equal(2 * y)
    with pytest.raises(ValueError, match=r"needs A\.bind\(y, start\)"):
        A.bind(y).start("given")


def test_the_default_begins_at_the_linear_estimate():
    A = Inpainting().build((1, 9, 9))
    init = default_init(MAML(), A, Inpainting()).set_params(refiner__lr=0.0)
    est = MetaInverseSolver(Inpainting(), noise=0.05, init=init, **STILL).fit(FACES)
    y = est.simulate(FACES)
    alone = LinearReconstructor(Inpainting(), noise=0.05, random_state=0).fit(FACES)
    np.testing.assert_allclose(est.predict(y), alone.predict(y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "unet"])
def test_what_is_missing_is_missing_to_the_start_and_not_black(name):
    A = MissingPixels(0.5)
    start = RESIDUALS[name](A).set_params(random_state=0).fit(FACES)
    init = Siren(width=3, depth=2, residual=FrozenEstimator(start))
    est = MetaInverseSolver(A, init=init, precision="float64", **PLAIN | STILL)
    y = est.simulate(FACES)
    est.fit(y, FACES)
    restored = start.predict(y)
    np.testing.assert_allclose(est.predict(y), restored, rtol=0, atol=1e-6)
    assert first_loss(est) == pytest.approx(np.mean((restored - FACES) ** 2), rel=1e-5)
    with pytest.warns(Warning, match="looks like clean images"):
        black = est.predict(np.nan_to_num(y))
    assert np.abs(black - restored).max() > 0.1


# ---------------------------------------------------------------------- training from the start


def default(**options):
    own = {"noise": 0.02, "max_epochs": 2, "batch_size": 7, "random_state": 0, "n_inner": 2}
    return MetaInverseSolver(MissingPixels(0.6), **own | options)


def test_a_pickle_restores_the_same_bits():
    est = default(solver=GradientDescent()).fit(FACES)
    y = est.simulate(FACES)
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(y), est.predict(y))
    for a, b in zip(again.staged_predict(y), est.staged_predict(y), strict=True):
        np.testing.assert_array_equal(a, b)


def test_partial_fits_are_one_fit():
    own = {"optimizer": Adam(schedule="constant"), "device": "cpu"}  # a GPU adds in any order
    once, twice = default(**own).fit(FACES), default(**own)
    for _ in range(2):
        twice = pickle.loads(pickle.dumps(twice.partial_fit(FACES)))
    assert once.weights_.keys() == twice.weights_.keys()
    for name, weight in once.weights_.items():
        np.testing.assert_array_equal(twice.weights_[name], weight)


def test_images_are_restored_as_they_are_alone():
    est = default().fit(FACES)
    y = est.simulate(FACES)
    restored = est.predict(y)
    for i in (0, 9):
        np.testing.assert_array_equal(est.predict(y[i : i + 1])[0], restored[i])
    np.testing.assert_array_equal(est.set_params(batch_size=7).predict(y[::-1])[::-1], restored)


def test_unknown_pixels_of_clean_images_spoil_nothing():
    x = FACES.copy()
    x[:3, 2, 3] = np.nan
    x[5, 4] = np.nan
    est = default().fit(x)
    assert all(np.isfinite(weight).all() for weight in est.weights_.values())
    assert np.isfinite(est.history_["outer_loss"]).all()
    assert np.isfinite(est.predict(est.simulate(FACES))).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 4095.0), (-1000.0, 2000.0)])
def test_other_units_change_nothing_but_the_units(low, high):
    def units(x):
        return low + (high - low) * x

    own = {"init": Siren(4, depth=2, residual=LinearReconstructor(), refiner=Refiner(2, depth=2))}
    own |= {"precision": "float64", "noise": 0.02, "inner_loss": InnerLoss(of="start")}
    a = default(**own).fit(FACES)
    b = default(**own | {"noise": 0.02 * (high - low), "data_range": (low, high)})
    b.fit(units(FACES))
    assert b.inner_lr_ == pytest.approx(a.inner_lr_, rel=1e-6)
    y = a.simulate(FACES)
    restored = units(a.predict(y))
    np.testing.assert_allclose(b.predict(units(y)), restored, rtol=0, atol=1e-5 * (high - low))
    np.testing.assert_allclose(b.history_["outer_loss"], a.history_["outer_loss"], rtol=1e-5)


@pytest.mark.parametrize("residual", [Ridge(), FrozenEstimator(Ridge())])
def test_what_restores_no_images_is_refused(residual):
    init = Siren(4, depth=2, residual=residual)
    with pytest.raises(ValueError, match="'residual' parameter of Siren must be an estimator that"):
        MetaInverseSolver(init=init, max_epochs=1).fit(FACES)


def test_a_refiner_without_a_start_is_refused():
    with pytest.raises(ValueError, match="'refiner' parameter of Siren must be None without a"):
        MetaInverseSolver(init=Siren(4, depth=2, refiner=Refiner()), max_epochs=1).fit(FACES)


def test_groups_have_a_label_for_every_image():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        default().fit(FACES, groups=[1, 2, 3])


@pytest.mark.parametrize(
    ("fitted", "error", "message"),
    [
        (lambda: LinearReconstructor(Inpainting()), NotFittedError, "not fitted"),
        (
            lambda: LinearReconstructor(Downsampling(3)).fit(FACES),
            ValueError,
            "restores measurements of shape",
        ),
    ],
)
def test_a_frozen_start_that_cannot_serve_is_refused(fitted, error, message):
    est = MetaInverseSolver(
        Inpainting(), init=Siren(4, depth=2, residual=FrozenEstimator(fitted()))
    )
    with pytest.raises(error, match=message):
        est.set_params(**STILL).fit(FACES)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (LinearReconstructor(Inpainting(), data_range=255.0).fit(255 * FACES), "with data_range"),
        (LinearReconstructor(GaussianBlur()).fit(FACES), "was fitted for GaussianBlur"),
    ],
)
def test_a_frozen_start_of_other_units_or_another_operator_is_told(residual, message):
    est = MetaInverseSolver(
        Inpainting(), init=Siren(4, depth=2, residual=FrozenEstimator(residual))
    )
    with pytest.warns(DataConversionWarning, match=message):
        est.set_params(**STILL).fit(FACES)


def test_a_start_with_a_checkpoint_is_refused(tmp_path):
    residual = UNetReconstructor(width=2, depth=2, checkpoint=tmp_path / "u.ckpt")
    est = MetaInverseSolver(Inpainting(), init=Siren(4, depth=2, residual=residual), **STILL)
    with pytest.raises(ValueError, match="checkpoint=None"):
        est.fit(FACES)


def test_the_default_of_large_images_has_no_uncertainty():
    for size, shrinkage in {16: "auto", 100: 1.0}.items():
        init = default_init(MAML(), GaussianBlur().build((1, size, size)), GaussianBlur())
        assert init.residual.shrinkage == shrinkage
        assert init.refiner.uncertainty == (size == 16)
    missing = MissingPixels()
    for size, shrinkage in {16: "auto", 40: 1.0}.items():
        init = default_init(MAML(), missing.build((1, size, size)), missing)
        assert init.residual.shrinkage == shrinkage
        assert not init.refiner.uncertainty
    nonlinear = PhaseRetrieval()
    assert default_init(MAML(), nonlinear.build((1, 100, 100)), nonlinear).residual is None


LARGE = np.kron(load_faces()[:6], np.ones((3, 3)))  # 75 x 75


def fitted_to_large(monkeypatch, operator, images=LARGE[1:], y=None, **parameters):
    """Fit the default to large images, with few updates allowed."""
    monkeypatch.setattr(default_init_module, "_MOST_UPDATES", 200)
    return MetaInverseSolver(operator, GradientDescent(), **STILL, **parameters).fit(
        images if y is None else y, None if y is None else images
    )


@pytest.mark.parametrize(
    ("operator", "noise", "floor"),
    [
        (GaussianBlur(), 0.05, None),
        (Identity(), 0.05, None),
        (Inpainting(), 0.0, 0.04),
        (WithNoise(Inpainting(), 1e-3), 0.0, 0.04),
        (RandomOperator(GaussianBlur(), {"sigma": [0.7, 1.5]}), 0.05, None),
    ],
)
def test_large_images_start_at_a_linear_estimate_of_few_updates(
    operator, noise, floor, monkeypatch
):
    est = fitted_to_large(monkeypatch, operator, noise=noise)
    residual = est.init_.residual
    assert residual.shrinkage_ == 1.0
    assert residual.noise_floor == floor
    single = getattr(operator, "operator", operator) if noise else operator
    camera = ClassicalReconstructor(single, noise=noise, random_state=0)
    y = camera.simulate(LARGE[:1])
    alone = LinearReconstructor(single, noise=noise, shrinkage=1.0, random_state=0)
    expected = psnr(LARGE[:1], alone.fit(LARGE[1:]).predict(y))
    assert psnr(LARGE[:1], est.predict(y, operator=single)) > expected - 0.5


def test_the_floor_does_not_depend_on_offsets_missing_pixels_and_pairs(monkeypatch):
    images = LARGE[1:].copy()
    offset = {"data_range": (1000, 1001)}
    est = fitted_to_large(monkeypatch, Inpainting(), 1000 + images, **offset)
    assert est.init_.residual.noise_floor == 0.04
    restored = est.predict(est.simulate(1000 + LARGE[:1]))
    assert psnr(1000 + LARGE[:1], restored, data_range=1.0) > 20
    measured = est.simulate(images)
    pairs = fitted_to_large(monkeypatch, Inpainting(), images, measured)
    assert pairs.init_.residual.noise_floor == 0.04
    images[0] = 0.5  # a blank image takes few updates
    assert fitted_to_large(monkeypatch, Inpainting(), images).init_.residual.noise_floor == 0.04
    images[0, :5, :5] = np.nan
    boxes = MissingPixels(observed=0.75, pattern="box")
    assert fitted_to_large(monkeypatch, boxes, images).init_.residual.noise_floor == 0.04


@pytest.mark.parametrize("operator", [Inpainting(), WithNoise(Inpainting(), 1e-6)])
def test_a_start_that_stays_slow_is_the_adjoint(operator, monkeypatch):
    monkeypatch.setattr(default_init_module, "_MOST_UPDATES", 3)
    est = MetaInverseSolver(operator, **STILL).fit(LARGE[:3])
    assert est.init_.residual == "adjoint"


def test_what_is_noticed_about_the_images_is_told_once():
    est = MetaInverseSolver(Inpainting(), noise=30.0, max_epochs=1, random_state=0)
    with pytest.warns(DataConversionWarning, match="noise") as caught:
        est.fit(FACES)
    texts = [str(w.message) for w in caught if w.category is DataConversionWarning]
    assert len(set(texts)) == 1  # by default, Python shows equal texts once
    assert len(texts) == 2  # by the estimator and by its start, not by the five folds


def test_what_only_the_start_notices_is_told():
    solver = ProximalGradient(noise_level=30.0)
    init = Siren(residual=ClassicalReconstructor(solver=solver))
    with pytest.warns(DataConversionWarning, match="noise_level"):
        MetaInverseSolver(GaussianBlur(), init=init, **STILL).fit(FACES)
