"""Warm starts with other settings, early errors, and users' modules."""

import os
import stat
from functools import partial

import numpy as np
import pytest
import settings
import torch
from settings import PAPER
from settings import TWELVE_SMALL_FACES as FACES
from sklearn.exceptions import ConvergenceWarning

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.denoisers import DnCNN
from skmetainv.exceptions import InnerStepsWarning
from skmetainv.losses import SSIM
from skmetainv.meta import IMAML, MAML, Algorithm, OuterLosses, Reptile, StepSizeRule
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.representations import (
    Encoder,
    ImageModule,
    ModuleRepresentation,
    Representation,
    Siren,
)
from skmetainv.solvers import HQS
from skmetainv.training import SGD, Adam, AdamW, Cosine, LearningRate

small = partial(settings.small, **PAPER)


@pytest.mark.parametrize(
    "est", [small(Inpainting()), DnCNN(depth=2, width=2, max_epochs=1), ClassicalReconstructor()]
)
def test_inference_mode_and_no_grad_change_nothing(est):
    restored = est.fit(FACES).predict(FACES)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            est.fit(FACES)
            within, score = est.predict(FACES), est.score(FACES)
        np.testing.assert_array_equal(est.predict(FACES), within)
        assert est.score(FACES) == score
    if isinstance(est, MetaInverseSolver):
        np.testing.assert_array_equal(within, restored)
        with torch.inference_mode():
            *_, last = est.staged_predict(FACES)
        np.testing.assert_array_equal(last, restored)


# --- a warm start ----------------------------------------------------------------------------


def test_another_algorithm_goes_on_from_the_weights_of_one():
    """First-order MAML, then MAML: `warm_start` and `partial_fit` give the same bits."""
    warm = small(algorithm="fomaml", warm_start=True).fit(FACES)
    warm.set_params(algorithm="maml").fit(FACES)
    assert not warm.algorithm_.first_order
    parts = small(algorithm="fomaml").partial_fit(FACES)
    parts.set_params(algorithm="maml").partial_fit(FACES)
    other = small(algorithm="fomaml").partial_fit(FACES).partial_fit(FACES)
    name = "init.0.weight"
    assert np.array_equal(warm.weights_[name], parts.weights_[name])
    assert not np.array_equal(warm.weights_[name], other.weights_[name])


def test_an_algorithm_of_another_proximal_term_does_not():
    est = small(algorithm=MAML(step_sizes="fixed")).fit(FACES)
    with pytest.raises(ValueError, match="must have the proximal term with which the weights"):
        est.set_params(algorithm=IMAML(proximity=2.0)).partial_fit(FACES)


def test_another_optimiser_begins_without_the_averages_of_the_one_before():
    """The first step of Adam has the same size for every weight, whatever its gradient."""
    own = {"schedule": "constant", "max_grad_norm": None}
    est = small(optimizer=AdamW(weight_decay=0.0, **own), batch_size=3).partial_fit(FACES)
    before = est.weights_["init.0.weight"]
    est.set_params(optimizer=Adam(**own), batch_size=len(FACES)).partial_fit(FACES)
    moved = np.abs(est.weights_["init.0.weight"] - before)
    np.testing.assert_allclose(moved, est.outer_lr, rtol=0.01)


def test_training_on_step_sizes_that_are_shared_is_told():
    est = small().fit(FACES)
    with pytest.warns(InnerStepsWarning, match="n_inner is 4"):
        est.set_params(n_inner=4).partial_fit(FACES)


def test_a_schedule_that_is_over_is_told():
    est = small(optimizer="adam").partial_fit(FACES)
    with pytest.warns(ConvergenceWarning, match="learning rate is 0"):
        est.partial_fit(FACES)


# --- errors before long work ------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"algorithm": MAML(step_weights=[1.0])},
        {"algorithm": MAML(anneal_epochs=3)},
        {"algorithm": Reptile(), "n_inner": 0},
        {"algorithm": MAML(recompute=True, engine="higher")},
        {"outer_loss": {"lpip": 1.0}},
        {"optimizer": SGD(nesterov=True)},
        {"optimizer": Adam(schedule=Cosine(warmup=2.0))},
        {"init": Siren(width=4, depth=2, encoder=Encoder()), "algorithm": Reptile()},
    ],
)
def test_parameters_are_checked_before_a_denoiser_is_fitted(parameters, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(DnCNN, "fit", never)
    with pytest.raises(ValueError, match=r"parameter|loss by name"):
        small(GaussianBlur(), HQS(DnCNN()), **parameters).fit(FACES)


def test_learned_step_sizes_are_named_if_an_algorithm_cannot_train_them():
    est = small(algorithm=MAML(step_sizes="per_layer")).fit(FACES)
    with pytest.raises(ValueError, match=r"with PerLayer\(\), and the algorithm Reptile\(\) has"):
        est.set_params(algorithm="reptile").partial_fit(FACES)


def test_an_interrupt_within_a_nested_denoiser_s_training_ends_all_of_it():
    calls = []

    def loss(x, target):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return (x - target).square().flatten(1).mean(1)

    denoiser = DnCNN(depth=2, width=2, max_epochs=3, loss=loss)
    est = small(GaussianBlur(), HQS(denoiser))
    with pytest.warns(ConvergenceWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        est.fit(FACES)
    assert not hasattr(est, "weights_")
    assert len(calls) == 3


# --- what a user brings ----------------------------------------------------------------------


class Distance(torch.nn.Module):
    """Features by a convolution with dropout."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Dropout(0.5))

    def forward(self, x, target):
        return (self.features(x) - self.features(target)).square().flatten(1).mean(1)


@pytest.mark.parametrize("place", ["outer_loss", "inner_loss"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_module_as_a_loss_stays_as_it_was(place, precision):
    loss = Distance()
    before = loss.features[0].weight.detach().clone()
    one, other = (small(**{place: loss}, precision=precision).fit(FACES) for _ in range(2))
    assert loss.training
    assert loss.features[0].weight.grad is None
    assert torch.equal(loss.features[0].weight, before)
    assert np.array_equal(one.weights_["init.0.weight"], other.weights_["init.0.weight"])


def test_an_algorithm_of_one_s_own():
    class Nothing(Algorithm):
        learns = ()

        def add_gradients(self, theta, alpha, task, inner, adapt):
            stages, _, _ = adapt(theta, alpha, task.data, inner, learning=False)
            loss = task.loss(stages[-1])
            return OuterLosses(loss, loss.new_empty(len(loss), 0))

    est = small(algorithm=Nothing(), outer_lr=1.0).fit(FACES)
    still = small(algorithm=MAML(step_sizes="fixed"), outer_lr=0.0).fit(FACES)
    assert np.array_equal(est.weights_["init.0.weight"], still.weights_["init.0.weight"])


def test_a_step_size_rule_without_tensors():
    class Halves(StepSizeRule):
        learned = False

        def initial(self, theta, m, inner_lr):
            return {}

        def at(self, alpha, k, name):
            return 0.5 ** (k + 1)

    est = small(algorithm=MAML(step_sizes=Halves())).fit(FACES)
    assert not any(name.startswith("inner_lr") for name in est.weights_)
    assert np.isfinite(est.history_["outer_loss"]).all()


def test_a_schedule_of_one_s_own():
    class Halving(LearningRate):
        def after_warmup(self, done):
            return 1 - done / 2

    rates = (
        small(optimizer=Adam(schedule=Halving()), max_epochs=2).fit(FACES).history_["learning_rate"]
    )
    assert rates[1] < rates[0]


def test_a_module_with_an_encoder_of_its_own_is_no_conditioned_start():
    class Decoder(torch.nn.Module):
        def __init__(self, image_shape):
            super().__init__()
            self.encoder = torch.nn.Linear(1, image_shape[1] * image_shape[2])
            self.shape = image_shape

        def forward(self):
            return self.encoder(self.encoder.weight.new_ones(1)).reshape(self.shape)

    init = ModuleRepresentation(Decoder)
    est = small(init=init, algorithm="reptile").fit(FACES)
    assert "init.encoder.weight" in est.weights_


class Product(Representation):
    """An image by a matrix product, which mixed precision computes in bfloat16."""

    def build(self, image_shape, data_range=(0.0, 1.0)):
        return _Product(image_shape)


class _Product(ImageModule):
    adapted = ("left", "right")

    def __init__(self, image_shape):
        super().__init__()
        self.shape = image_shape

    def initial_weights(self, generator):
        _, height, width = self.shape
        return {
            "left": torch.from_numpy(generator.random((height, 20))),
            "right": torch.from_numpy(generator.random((20, width))),
        }

    def forward(self, weights, condition=None):
        return (weights["left"] @ weights["right"]).reshape(-1, *self.shape) / 20


@pytest.mark.parametrize("operator", [GaussianBlur(), MissingPixels()])
def test_mixed_precision_gives_images_of_single_precision(operator):
    half, full = (
        small(operator, init=Product(), precision=p, outer_lr=0.0).fit(FACES)
        for p in ("bfloat16", "float32")
    )
    measured = full.simulate(FACES)
    assert half.predict(measured).dtype == np.float32
    np.testing.assert_allclose(half.predict(measured), full.predict(measured), atol=0.02)
    assert not np.array_equal(half.predict(measured), full.predict(measured))


def test_mixed_precision_reaches_an_encoder():
    init = Siren(width=8, depth=3, encoder=Encoder(width=16))
    half, full = (
        small(Inpainting(), init=init, precision=p, n_inner=0, algorithm=MAML(step_sizes="fixed"))
        .set_params(max_epochs=3, outer_lr=1e-2)
        .fit(FACES)
        for p in ("bfloat16", "float32")
    )
    name = "init.encoder.0.weight"
    assert not np.array_equal(half.weights_[name], full.weights_[name])


def test_the_structural_similarity_is_the_same_in_other_units():
    x, t = torch.rand(2, 2, 1, 14, 14, generator=torch.Generator().manual_seed(0)).double()
    expected = SSIM().build()(x, t)
    for low, high in [(0.0, 255.0), (-1.0, 1.0), (3.0, 5.0)]:
        own = SSIM().build((low, high))(low + (high - low) * x, low + (high - low) * t)
        torch.testing.assert_close(own, expected)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_checkpoint_has_the_permissions_of_any_file(tmp_path):
    small(checkpoint=tmp_path / "run.ckpt").fit(FACES)
    (tmp_path / "any").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run.ckpt", "any")]
    assert modes[0] == modes[1]
