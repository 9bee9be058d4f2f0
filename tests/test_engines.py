"""The engines of the inner steps: our own, `higher`, and our own with recomputation."""

import pickle
import weakref
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from settings import SMALL_FACES
from sklearn.base import clone
from torch import nn

from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.denoisers import DnCNN, FunctionDenoiser
from skmetainv.losses import L2
from skmetainv.meta import (
    IMAML,
    MAML,
    STEP_SIZE_RULES,
    InnerLoop,
    InnerLoss,
    PerLayer,
    PerParameter,
    Reptile,
    Task,
    adapt,
    adapt_with_higher,
    as_algorithm,
    as_inner_loss,
    as_rule,
    learner,
)
from skmetainv.operators import GaussianBlur, Identity, Inpainting, MissingPixels
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ImageModule,
    ModulatedSiren,
    PixelGrid,
    Refiner,
    Siren,
)
from skmetainv.solvers import HQS, RED, GradientDescent

FACES = SMALL_FACES[:6, 2:7, 2:7]
NET = DnCNN(0.1, depth=2, width=3, max_epochs=1, patch_size=5)
MODULATED = {"width": 6, "depth": 3, "omega_0": 10.0}

# Estimators whose results must not depend on the engine.
VARIANTS = {
    **{rule: {"algorithm": MAML(step_sizes=rule)} for rule in STEP_SIZE_RULES},
    "positive": {"algorithm": MAML(step_sizes=PerLayer(positive=True))},
    "positive_parameter": {"algorithm": MAML(step_sizes=PerParameter(positive=True))},
    "fomaml": {"algorithm": "fomaml"},
    "reptile": {"algorithm": Reptile(n_steps=3), "outer_lr": 0.1},
    "imaml": {"algorithm": IMAML(proximity=0.5)},
    "all_steps": {"algorithm": MAML(step_weights="uniform", anneal_epochs=2)},
    "modulated": {"init": ModulatedSiren(**MODULATED)},
    "latent": {"init": ModulatedSiren(**MODULATED, modulation="latent", latent_size=2)},
    "reptile_modulated": {
        "init": ModulatedSiren(**MODULATED),
        "algorithm": "reptile",
    },
    "fourier": {"init": FourierMLP(width=6, depth=3, n_frequencies=3)},
    "pixels": {
        "init": PixelGrid(residual="adjoint"),
        "algorithm": MAML(step_sizes="per_parameter"),
    },
    "encoder": {"init": Siren(width=6, depth=3, omega_0=10.0, encoder=Encoder(2, depth=1))},
    "encoder_modulated": {
        "init": ModulatedSiren(**MODULATED, residual="adjoint", encoder=Encoder(2, depth=1))
    },
    "encoder_imaml": {
        "init": ModulatedSiren(**MODULATED, encoder=Encoder(2, depth=1)),
        "algorithm": "imaml",
    },
    "tuned_steps": {
        "solver": GradientDescent(n_iter=2, step_size=[0.7, 0.4]),
        "tune_solver": True,
    },
    "tuned_denoiser": {
        "operator": GaussianBlur(sigma=0.8),
        "solver": RED(NET, n_iter=2, weight=0.3),
        "tune_solver": True,
        "algorithm": MAML(step_sizes="per_parameter"),
    },
    "tuned_fomaml": {
        "solver": RED(NET, n_iter=1, weight=0.3),
        "tune_solver": True,
        "algorithm": "fomaml",
    },
    "tuned_imaml": {
        "solver": GradientDescent(learnable=("step_size",)),
        "tune_solver": True,
        "algorithm": "imaml",
    },
    "inner_loss": {
        "inner_loss": InnerLoss(
            "l2",
            regularizer="tv",
            weight=0.05,
            proximity=0.02,
            learnable=("weight", "proximity"),
        ),
    },
    "missing": {
        "operator": MissingPixels(0.6),
        "noise": 0.05,
        "init": Siren(4, depth=2, omega_0=10.0),
    },
    "start": {
        "solver": HQS(n_iter=2),
        "noise": 0.02,
        "inner_loss": InnerLoss(of="start"),
        "init": Siren(
            4, depth=2, omega_0=10.0, residual=LinearReconstructor(), refiner=Refiner(2, depth=2)
        ),
    },
    "one_image_at_a_time": {"batch_size": 1},
    "no_steps": {"n_inner": 0},
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


def estimator(**options):
    return MetaInverseSolver(
        **{
            "operator": Inpainting(),
            "solver": GradientDescent(),
            "init": Siren(width=6, depth=3, omega_0=10.0),
            "n_inner": 2,
            "inner_lr": 0.3,
            "outer_lr": 1e-3,
            "max_epochs": 2,
            "batch_size": 4,
            "precision": "float64",
            "random_state": 0,
            **options,
        }
    )


def assert_same(a, b, rtol=1e-9):
    assert a.weights_.keys() == b.weights_.keys()
    for name, weight in a.weights_.items():
        np.testing.assert_allclose(b.weights_[name], weight, rtol=rtol, atol=1e-12)
    assert a.history_.keys() == b.history_.keys()
    for name, figures in a.history_.items():
        if name != "seconds":
            np.testing.assert_allclose(b.history_[name], figures, rtol=rtol)


@cache
def fitted(name, **algorithm):
    """A fitted estimator, cached: tests must not change it."""
    est = estimator(**VARIANTS[name])
    own = clone(as_algorithm(est.algorithm)).set_params(**algorithm)
    return est.set_params(algorithm=own).fit(FACES)


# ---------------------------------------------------------------------- higher


@every_variant
def test_higher_gives_the_same_numbers(name):
    """All weights after a few outer steps, and the losses of every epoch, are equal."""
    own = fitted(name)
    assert_same(own, fitted(name, engine="higher"))
    losses = own.history_["outer_loss"]
    assert losses[0] != losses[1]


@every_variant
def test_the_same_weights_restore_the_same_image_whichever_engine_made_them(name):
    for makes, restores in (("native", "higher"), ("higher", "native")):
        est = copy(fitted(name, engine=makes))
        y = est.simulate(FACES)
        stages, restored = list(est.staged_predict(y)), est.predict(y)
        est.set_params(algorithm=clone(est.algorithm).set_params(engine=restores))
        np.testing.assert_allclose(est.predict(y), restored, rtol=1e-9, atol=1e-12)
        for a, b in zip(est.staged_predict(y), stages, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_prediction_takes_the_engine_that_is_asked_for(monkeypatch):
    est, runs = copy(fitted("per_step")), []
    engines = {
        name: lambda *args, _name=name, _run=run, **kw: runs.append(_name) or _run(*args, **kw)
        for name, run in learner._ENGINES.items()
    }
    monkeypatch.setattr(learner, "_ENGINES", engines)
    y = est.simulate(FACES)
    est.predict(y)
    assert set(runs) == {"native"}
    runs.clear()
    est.set_params(algorithm=MAML(engine="higher")).predict(y)
    assert runs == ["higher"] * len(FACES)


def test_training_goes_on_with_another_engine():
    whole = fitted("per_step")
    parts = estimator(algorithm=MAML(engine="higher")).partial_fit(FACES)
    parts = pickle.loads(pickle.dumps(parts)).set_params(algorithm="maml").partial_fit(FACES)
    assert_same(whole, parts)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="'engine' parameter of Reptile must be"):
        estimator(algorithm=Reptile(engine="torchopt")).fit(FACES)


# ---------------------------------------------------------------------- recomputation


@pytest.mark.parametrize("name", [n for n in VARIANTS if "reptile" not in n and "imaml" not in n])
@pytest.mark.parametrize("recompute", [True, 0.5])
def test_recomputation_gives_the_same_weights(name, recompute):
    assert_same(fitted(name), fitted(name, recompute=recompute), rtol=1e-12)


@pytest.mark.parametrize("kind", ["tensor", "dict", "nested"])
def test_recomputation_takes_whatever_an_image_depends_on(kind):
    class Own(ImageModule):
        adapted = ("image",)

        def condition(self, weights, data):
            y = weights["gain"] * data.y
            return {"tensor": y, "dict": {"y": y}, "nested": [(y, None)]}[kind]

        def forward(self, weights, condition):
            y = {"tensor": lambda c: c, "dict": lambda c: c["y"], "nested": lambda c: c[0][0]}
            return weights["image"].reshape(-1, 1, 4, 4) + y[kind](condition)

    def gradients(recompute):
        weights = {"image": torch.linspace(0, 1, 16).double(), "gain": torch.ones(1).double()}
        theta = {name: w.clone().requires_grad_() for name, w in weights.items()}
        rule = as_rule("fixed")
        alpha = rule.initial(theta, 2, 0.5)
        loss = as_inner_loss("l2").build((1, 4, 4))
        inner = InnerLoop(Own(), start, loss, rule, 2, ("image",), recompute=recompute)
        y = torch.linspace(0, 1, 32).double().reshape(2, 1, 4, 4)
        data = Identity().build((1, 4, 4)).bind(y)
        stages = adapt(theta, alpha, data, inner, learning=True).stages
        sum(stage.square().sum() for stage in stages).backward()
        return [w.grad for w in theta.values()]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recomputation_is_in_the_same_precision(precision):
    init = ModulatedSiren(width=32, depth=3, omega_0=10.0, encoder=Encoder(2, depth=1))
    once, again = (
        estimator(init=init, precision=precision, algorithm=MAML(recompute=recompute)).fit(FACES)
        for recompute in (False, True)
    )
    for name, weight in once.weights_.items():
        np.testing.assert_array_equal(again.weights_[name], weight)


def test_higher_cannot_recompute():
    with pytest.raises(ValueError, match="'recompute' parameter of MAML must be False with engine"):
        estimator(algorithm=MAML(engine="higher", recompute=True)).fit(FACES)


class Gain(nn.Module):
    """A denoiser with one weight."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))

    def forward(self, x, noise_level):
        return self.gain * torch.tanh(x)


# Networks, solvers and inner losses; all their weights are learned.
LEARNED = {
    "siren": (Siren(width=6, depth=3, omega_0=5.0), None, "l2"),
    "modulated": (
        ModulatedSiren(6, depth=3, omega_0=5.0, modulation="scale_shift"),
        GradientDescent(),
        "l2",
    ),
    "encoder": (
        ModulatedSiren(6, depth=3, omega_0=5.0, encoder=Encoder(2, depth=1), residual="adjoint"),
        None,
        "l2",
    ),
    "solver": (
        ModulatedSiren(6, depth=3, omega_0=5.0, modulation="latent", latent_size=2),
        RED(FunctionDenoiser(Gain()), n_iter=2, weight=0.7, learnable=("weight",)),
        "l2",
    ),
    "inner_loss": (
        Siren(width=6, depth=3, omega_0=5.0),
        GradientDescent(),
        InnerLoss(regularizer="tv", weight=0.1, proximity=0.1, learnable=("weight", "proximity")),
    ),
}
every_learned = pytest.mark.parametrize("name", LEARNED)


class Setting:
    """An inner loop with weights, step sizes, measurements and all learned leaf tensors."""

    def __init__(self, name, m=3, n_images=2, size=5, recompute=False):
        init, solver, inner_loss = LEARNED[name]
        rng = np.random.default_rng(0)
        shape = (1, size, size)
        A, phi = GaussianBlur(sigma=0.8).build(shape), init.build(shape)
        f = start if solver is None else solver.build(shape)
        loss, rule = as_inner_loss(inner_loss).build(shape), as_rule("per_parameter")
        self.theta = {
            k: v + torch.from_numpy(rng.normal(0, 0.1, v.shape))  # no weight is 0
            for k, v in phi.initial_weights(rng).items()
        }
        self.alpha = rule.initial({k: self.theta[k] for k in phi.adapted}, m, 0.2)
        modules = [module for module in (f, loss) if isinstance(module, nn.Module)]
        self.leaves = [v.requires_grad_() for v in (*self.theta.values(), *self.alpha.values())]
        self.leaves += [p for module in modules for p in module.parameters()]
        x = torch.from_numpy(rng.random((n_images, *shape)))
        self.task = Task(x, A.bind(A(x)), L2().build(), 0)
        self.inner = InnerLoop(phi, f, loss, rule, m, phi.adapted, recompute=recompute)

    def add_gradients(self, **changes):
        inner = replace(self.inner, **changes)
        return MAML().add_gradients(self.theta, self.alpha, self.task, inner, adapt)

    def gradients(self, **changes):
        for leaf in self.leaves:
            leaf.grad = None
        losses = self.add_gradients(**changes)
        gradients = [leaf.grad for leaf in self.leaves]
        leaves = zip(self.leaves, gradients, strict=True)
        return losses, [torch.zeros_like(leaf) if g is None else g for leaf, g in leaves]


def start(x, data):
    return x


@every_learned
@pytest.mark.parametrize("n_images", [1, 3])
@pytest.mark.parametrize("second_order", [True, False])
def test_recomputation_gives_the_same_gradients(name, n_images, second_order):
    setting = Setting(name, n_images=n_images)
    losses, gradients = setting.gradients(second_order=second_order)
    again, recomputed = setting.gradients(second_order=second_order, recompute=True)
    torch.testing.assert_close(again, losses)
    for a, b in zip(recomputed, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
    n_zero = sum(not g.any() for g in gradients)
    # in first order, the two weights of the inner loss have no gradient
    assert n_zero == (2 if name == "inner_loss" and not second_order else 0)


class Saved:
    """The tensors that are currently saved for backward passes, and their largest total size."""

    def __init__(self):
        self.boxes, self.most = weakref.WeakSet(), 0

    class Box:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # without its graph, which would keep it alive

    def pack(self, tensor):
        box = Saved.Box(tensor)
        self.boxes.add(box)
        self.most = max(self.most, self.n_bytes())
        return box

    def n_bytes(self):
        """The total size in bytes; tensors that share memory are counted once."""
        storages = [box.tensor.untyped_storage() for box in self.boxes]
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@contextmanager
def watched():
    saved = Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda box: box.tensor):
        yield saved


def saved_in_forward(name, m, recompute):
    """Bytes saved for the backward pass after all inner steps, and bytes of adapted weights."""
    setting = Setting(name, m, size=9, recompute=recompute)
    with watched() as saved:
        found = adapt(setting.theta, setting.alpha, setting.task.data, setting.inner, learning=True)
        n_bytes = saved.n_bytes()
    adapted = sum(weight.numel() * weight.element_size() for weight in found.theta.values())
    return n_bytes, adapted


@every_learned
def test_with_recomputation_only_the_adapted_weights_of_each_step_are_saved(name):
    """Six steps save the same as one, plus the adapted weights between the steps."""
    (one, weights), (six, _) = (saved_in_forward(name, m, recompute=True) for m in (1, 6))
    assert 0 < six - one <= 5 * weights
    (one, weights), (six, _) = (saved_in_forward(name, m, recompute=False) for m in (1, 6))
    activations = 2 * 81 * 6 * 8  # of a hidden layer: images x pixels x units x bytes
    assert six - one > 5 * (weights + 2 * activations)


@every_learned
def test_a_share_of_the_steps_is_recomputed(name):
    """The activations of each recomputed step are not saved, those of the others are."""
    saved = [saved_in_forward(name, 6, recompute=k / 6)[0] for k in range(7)]
    smaller = -np.diff(saved)
    assert (smaller > 0).all()
    np.testing.assert_allclose(smaller[2:5], smaller[2], rtol=0.01)


@every_learned
def test_with_recomputation_the_activations_of_one_step_are_in_memory_at_a_time(name):
    """In the forward and in the backward pass; all images share those of the first step."""
    most = {}
    for recompute in (True, False):
        for m in (2, 6):
            setting = Setting(name, m, size=9, recompute=recompute)
            with watched() as saved:
                setting.add_gradients()
            most[recompute, m] = saved.most
            assert saved.n_bytes() == 0
    weights = saved_in_forward(name, 1, recompute=True)[1]
    assert most[True, 6] - most[True, 2] <= 4 * 2 * weights
    assert most[False, 6] > 3 * most[True, 6]


# ---------------------------------------------------------------------- shared weights


@pytest.mark.parametrize("engine", ["native", "higher"])
@pytest.mark.parametrize("rule", ["per_step", "per_layer"])
@pytest.mark.parametrize("modulation", ["shift", "scale_shift", "latent"])
def test_the_shared_weights_of_a_modulated_siren_do_not_move_in_predict(modulation, rule, engine):
    """Predictions equal those of a loop in plain torch that adapts the modulations alone."""
    init = ModulatedSiren(**MODULATED, modulation=modulation, latent_size=3)
    est = estimator(
        init=init,
        algorithm=MAML(step_sizes=rule, engine=engine),
        inner_lr=2.0,
        tune_solver=False,
    ).fit(FACES)
    before = {name: weight.copy() for name, weight in est.weights_.items()}
    y = est.simulate(FACES)
    restored = est.predict(y)
    assert est.weights_.keys() == before.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(est.weights_[name], weight)
    np.testing.assert_array_equal(est.predict(y), restored)

    phi, A = init.build((1, 5, 5)), Inpainting().build((1, 5, 5))
    f = GradientDescent().build((1, 5, 5))
    theta = {
        name.removeprefix("init."): torch.from_numpy(weight)
        for name, weight in before.items()
        if name.startswith("init.")
    }

    def step_size(k, name):
        return before[f"inner_lr.{'alpha' if rule == 'per_step' else name.split('.')[0]}"][k]

    def by_hand(moving, y_i):
        data = A.bind(y_i)
        own = {name: weight.clone().requires_grad_() for name, weight in theta.items()}
        for k in range(est.n_inner):
            residual = (A(f(phi(own), data)) - y_i)[:, A.observed[0]]
            names = [name for name in own if name in moving]
            gradients = torch.autograd.grad(residual.square().mean(), [own[k] for k in names])
            with torch.no_grad():
                for name, gradient in zip(names, gradients, strict=True):
                    own[name] -= step_size(k, name) * gradient
        return f(phi(own), data)[0, 0].detach().numpy()

    moving = tuple(name for name in theta if name.endswith(("shift", "scale", "latent")))
    for i, y_i in enumerate(torch.from_numpy(y)[:, None, None]):
        expected = by_hand(moving, y_i)
        np.testing.assert_allclose(restored[i], expected, rtol=1e-9)
        if rule == "per_step":  # its step size could be applied to shared weights, too
            assert np.abs(by_hand(theta, y_i) - expected).max() > 1e-6


@pytest.mark.parametrize("run", [adapt, adapt_with_higher], ids=["native", "higher"])
@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("name", ["modulated", "encoder", "solver"])
def test_algorithm_1_returns_the_adapted_weights_alone(name, learning, run):
    setting = Setting(name, n_images=1)
    before = {k: v.detach().clone() for k, v in setting.theta.items()}
    found = run(setting.theta, setting.alpha, setting.task.data, setting.inner, learning=learning)
    assert tuple(found.theta) == setting.inner.adapted
    for k, weight in setting.theta.items():
        torch.testing.assert_close(weight.detach(), before[k], rtol=0, atol=0)
        assert k not in found.theta or not torch.equal(found.theta[k].reshape_as(weight), weight)
    phi, data = setting.inner.phi, setting.task.data
    given = phi.condition(setting.theta, data)
    result = setting.inner.f(phi({**setting.theta, **found.theta}, given), data)
    torch.testing.assert_close(found.stages[-1], result)
