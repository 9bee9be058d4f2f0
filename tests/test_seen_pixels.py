"""Inner steps compute only the pixels on which the measurement depends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skmetainv.losses import L2
from skmetainv.meta import MAML, InnerLoop, InnerLoss, Task, adapt, as_rule, no_solver
from skmetainv.operators import GaussianBlur, Identity, Inpainting, MissingPixels
from skmetainv.representations import Encoder, FourierMLP, ModulatedSiren, Refiner, Siren
from skmetainv.solvers import GradientDescent

SHAPE, N_IMAGES = (2, 6, 5), 3
OPERATORS = {
    "one number for all": MissingPixels(observed=4),
    "from few to many": MissingPixels(observed=(1, 25)),
    "fixed": Inpainting(mask="center", fraction=0.6),
    "scaled": 3.0 * MissingPixels(observed=4),
}
SMALL = {"width": 6, "depth": 3}
NETWORKS = {
    "siren": Siren(**SMALL, omega_0=5.0),
    "one layer": Siren(width=6, depth=1),
    "modulated": ModulatedSiren(**SMALL, omega_0=5.0),
    "scaled units": ModulatedSiren(**SMALL, omega_0=5.0, modulation="scale_shift"),
    "last layer": Siren(**SMALL, adapted="last"),
    "fourier": FourierMLP(**SMALL),
    "encoder": Siren(**SMALL, omega_0=5.0, encoder=Encoder(width=3, depth=1)),
    "residual": Siren(**SMALL, residual="adjoint", refiner=Refiner(width=3, depth=2)),
}


class Case:
    """Weights, measurements and an inner loop without a solver."""

    def __init__(self, operator, network, m=2, **inner):
        rng = np.random.default_rng(0)
        phi, rule = network.build(SHAPE), as_rule("per_parameter")
        self.theta = {
            name: weight + torch.from_numpy(rng.normal(0, 0.1, weight.shape))
            for name, weight in phi.initial_weights(rng).items()
        }
        self.alpha = rule.initial({k: self.theta[k] for k in phi.adapted}, m, 0.1)
        self.leaves = [v.requires_grad_() for v in (*self.theta.values(), *self.alpha.values())]
        A = operator.build(SHAPE).draw([np.random.default_rng((1, i)) for i in range(N_IMAGES)])
        self.x = torch.from_numpy(rng.random((N_IMAGES, *SHAPE)))
        self.task = Task(self.x, A.bind(A(self.x)), L2().build(), 0)
        loss = InnerLoss().build(SHAPE)
        common = {"phi": phi, "f": no_solver, "loss": loss, "step_size": rule, "m": m}
        self.inner = InnerLoop(**common | {"adapted": phi.adapted} | inner)

    def results(self, algorithm=None):
        """All stages, inner losses and outer gradients."""
        for leaf in self.leaves:
            leaf.grad = None
        algorithm = MAML() if algorithm is None else algorithm
        losses = algorithm.add_gradients(self.theta, self.alpha, self.task, self.inner, adapt)
        found = adapt(self.theta, self.alpha, self.task.data, self.inner, learning=False)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.leaves]
        return [*losses, *found.stages, *found.losses, *found.theta.values(), *gradients]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=list(OPERATORS))
@pytest.mark.parametrize(
    "changes",
    [{}, {"f": GradientDescent(n_iter=2), "through_solver": False}],
    ids=["result", "loss of the start"],
)
def test_all_results_are_those_of_all_pixels(network, operator, changes, monkeypatch):
    changes = {k: v.build(SHAPE) if k == "f" else v for k, v in changes.items()}
    case = Case(operator, network, **changes)
    assert case.inner.seen_pixels(case.task.data) is not None
    restricted = case.results()
    monkeypatch.setattr(InnerLoop, "seen_pixels", lambda self, data: None)
    for found, expected in zip(restricted, case.results(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_the_loss_of_every_stage_has_its_gradient(monkeypatch):
    case, multi = Case(OPERATORS["fixed"], NETWORKS["siren"]), MAML(step_weights=[1.0, 2.0])
    restricted = case.results(multi)
    monkeypatch.setattr(InnerLoop, "seen_pixels", lambda self, data: None)
    for found, expected in zip(restricted, case.results(multi), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
@pytest.mark.parametrize("lost", [slice(None), slice(1, 2)], ids=["all", "one"])
def test_images_without_an_observed_pixel(network, lost, monkeypatch):
    case = Case(MissingPixels(observed=(1, 20)), network)
    y = case.task.data.y.clone()
    y[~case.task.data.A.observed.expand_as(y)] = torch.nan
    y[lost] = torch.nan
    whole = MissingPixels(observed=4).build(SHAPE)
    case.task = replace(case.task, data=whole.bind(y))
    restricted = case.results()
    monkeypatch.setattr(InnerLoop, "seen_pixels", lambda self, data: None)
    for found, expected in zip(restricted, case.results(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9, equal_nan=True)


def test_recomputed_steps_compute_all_pixels():
    """Otherwise images of stages would be stored outside of the recomputed steps."""
    case = Case(OPERATORS["one number for all"], NETWORKS["siren"], recompute=True)
    assert case.inner.seen_pixels(case.task.data) is None


def test_shared_hidden_layers_are_computed_once():
    """With one mask per image, restricted hidden layers would be computed for each image."""
    phi = NETWORKS["last layer"].build(SHAPE)
    seen = torch.rand(N_IMAGES, 1, *SHAPE[1:], generator=torch.Generator().manual_seed(0)) < 0.3
    assert phi.restricted(None, seen) is None
    assert phi.restricted(None, seen[:1]) is not None


@pytest.mark.parametrize(
    ("name", "restricts"), [("siren", True), ("modulated", True), ("fourier", False)]
)
def test_pixels_are_restricted_if_that_saves_work(name, restricts):
    """One image with all pixels: only networks that skip the padding of the others gain by it."""
    phi = NETWORKS[name].build(SHAPE)
    seen = torch.zeros(N_IMAGES, 1, *SHAPE[1:], dtype=torch.bool)
    seen[0] = True
    seen[1:, ..., :2] = True
    assert (phi.restricted(None, seen) is not None) == restricts
    assert phi.restricted(None, torch.ones_like(seen)) is None


@pytest.mark.parametrize("name", ["siren", "fourier"])
def test_other_pixels_are_not_computed(name):
    """In inner steps their value is that of 0: the middle of the data range."""
    case = Case(MissingPixels(observed=(1, 25)), NETWORKS[name])
    data, phi = case.task.data, case.inner.phi
    seen = case.inner.seen_pixels(data)
    condition = phi.condition(case.theta, data)
    whole, part = (phi(case.theta, c) for c in (condition, phi.restricted(condition, seen)))
    torch.testing.assert_close(part, torch.where(seen, whole, 0.5))
    assert seen.shape == (N_IMAGES, 1, *SHAPE[1:])
    assert 1 <= int(seen.sum()) < seen.numel()


@pytest.mark.parametrize(
    "operator",
    [Identity(), GaussianBlur(), Inpainting() @ GaussianBlur(), MissingPixels(observed=29)],
    ids=str,
)
def test_nothing_is_gained_where_all_pixels_may_be_needed(operator):
    case = Case(operator, NETWORKS["siren"])
    condition = case.inner.phi.condition(case.theta, case.task.data)
    seen = case.inner.seen_pixels(case.task.data)
    assert seen is None or case.inner.phi.restricted(condition, seen) is condition


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": InnerLoss(regularizer="tv").build(SHAPE)},
        {"loss": InnerLoss(regularizer="tv", proximity=0.1).build(SHAPE)},
        {"loss": lambda x, data, theta_i, theta: x.sum((1, 2, 3))},
        {"f": GradientDescent().build(SHAPE)},
    ],
    ids=["regularizer", "both", "function", "solver"],
)
def test_other_losses_see_all_pixels(changes):
    case = Case(OPERATORS["fixed"], NETWORKS["siren"])
    assert case.inner.seen_pixels(case.task.data) is not None
    assert replace(case.inner, **changes).seen_pixels(case.task.data) is None
    near = replace(case.inner, loss=InnerLoss(proximity=0.1).build(SHAPE))
    assert near.seen_pixels(case.task.data) is not None


@pytest.mark.parametrize("channels", [1, 3])
def test_one_mask_for_all_images_is_one_mask_of_seen_pixels(channels):
    A = Inpainting().build((channels, 8, 8))
    seen = A.seen_pixels()
    assert seen.shape == (1, 1, 8, 8)
    assert (
        seen.sum() == 64 - (A(torch.ones(1, channels, 8, 8, dtype=torch.float64))[0, 0] == 0).sum()
    )
