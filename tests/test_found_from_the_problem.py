"""Values that `fit` finds for "auto": step size, inner loss, solver's numbers, epochs."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import settings
import torch
from settings import PLAIN, SMALL_FACES, small_denoiser
from sklearn.frozen import FrozenEstimator

from skmetainv import LinearReconstructor, MetaInverseSolver, UNetReconstructor
from skmetainv.denoisers import TotalVariation
from skmetainv.inputs.splits import cut_off
from skmetainv.meta import MAML, InnerLoss, PerStep, TuneSolver
from skmetainv.operators import GaussianBlur, Identity, Inpainting, MissingPixels
from skmetainv.representations import PixelGrid, Refiner, Siren
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    GradientDescent,
    PrimalDual,
)
from skmetainv.training import Adam, EarlyStopping

STILL = {"outer_lr": 0.0, "algorithm": MAML(step_sizes=PerStep(lr=0.0))}
FACES = SMALL_FACES[:12, 1:7, 1:7]
NETWORK = small_denoiser().fit(FACES)
ONE_EPOCH = {"max_epochs": 1, "batch_size": 6, "random_state": 0, "precision": "float64"}


small = partial(settings.small, **ONE_EPOCH, init=Siren(width=3, depth=3, omega_0=5.0))


# ---------------------------------------------------------------------- the inner step size


def inner_step(est, y, through_solver):
    """The smaller of ``||g||^2 / g' G g`` and ``1 / ||G||``, by explicit matrices."""
    shape = (1, *y.shape)
    A, phi = est.operator_.build(shape), est.init_.build(shape)
    theta = phi.initial_weights(np.random.default_rng(0))
    theta |= {
        name.removeprefix("init."): torch.from_numpy(weight)
        for name, weight in est.weights_.items()
        if name.startswith("init.")
    }
    f = None if est.solver_ is None else est.solver_.build(shape).requires_grad_(False)
    data, norm = A.bind(torch.from_numpy(y)[None, None]), math.sqrt(A.squared_norm)
    sizes = [theta[name].numel() for name in phi.adapted]

    def image(vector):
        parts = zip(phi.adapted, vector.split(sizes), strict=True)
        own = theta | {name: part.reshape(theta[name].shape) for name, part in parts}
        x = phi(own, phi.condition(own, data))
        return f(x, data) if through_solver and f is not None else x

    def loss(x):
        return ((A(x) - data.y) / norm).square().mean()

    vector = torch.cat([theta[name].flatten() for name in phi.adapted])
    x, n = image(vector).detach(), math.prod(shape)
    J = torch.autograd.functional.jacobian(image, vector).reshape(n, -1)
    H = torch.func.hessian(loss)(x).reshape(n, n)
    g = J.T @ torch.func.grad(loss)(x).flatten()
    G = J.T @ H @ J
    v, cauchy = g, (g @ g / (g @ G @ g)).item()
    for _ in range(12):
        v = G @ (v / v.norm())
    assert v.norm() == pytest.approx(torch.linalg.eigvalsh(G)[-1].item(), rel=0.1)
    return min(cauchy, 1 / v.norm().item())


@pytest.mark.parametrize("of", ["result", "start"])
@pytest.mark.parametrize(
    ("operator", "solver"),
    [
        (GaussianBlur(sigma=0.8), None),
        (3 * GaussianBlur(sigma=0.8), GradientDescent(n_iter=2, step_size=0.02)),
        (GaussianBlur(sigma=0.8), RED(TotalVariation(0.1, n_iter=5), n_iter=1, weight=0.7)),
    ],
    ids=["no solver", "scaled", "denoiser"],
)
def test_the_inner_step_minimises_the_linearised_loss_unless_it_is_unstable(operator, solver, of):
    """The step is the median over images. With learning rates of 0 the weights do not change."""
    still = {**STILL, "inner_loss": InnerLoss(of=of)}
    est = small(operator, solver, tune_solver=False, **still)
    y = est.simulate(FACES[:5])
    est.fit(y, FACES[:5])
    steps = [inner_step(est, y_i, of == "result") for y_i in y]
    assert est.inner_lr_ == pytest.approx(np.median(steps), rel=1e-9)
    np.testing.assert_allclose(est.weights_["inner_lr.alpha"], est.inner_lr_)


def test_a_small_misfit_has_a_gradient_too():
    init = Siren(3, depth=3, omega_0=5.0, residual="adjoint")
    own = {**STILL, "inner_loss": InnerLoss(of="start")}
    est = small(GaussianBlur(sigma=0.25), init=init, **own)
    y = est.simulate(FACES[:5])
    est.fit(y, FACES[:5])
    assert max(est.history_["inner_loss"][0]) < 1e-5
    steps = [inner_step(est, y_i, through_solver=False) for y_i in y]
    assert est.inner_lr_ == pytest.approx(np.median(steps), rel=1e-9)


def test_weights_that_are_not_adapted_have_no_part_in_it():
    own = {**STILL, "inner_loss": InnerLoss(of="start")}
    init = Siren(3, depth=3, omega_0=5.0, residual="adjoint", refiner=Refiner(2, depth=2))
    est = small(GaussianBlur(sigma=0.8), init=init, **own)
    y = est.simulate(FACES[:5])
    est.fit(y, FACES[:5])
    steps = [inner_step(est, y_i, through_solver=False) for y_i in y]
    assert est.inner_lr_ == pytest.approx(np.median(steps), rel=1e-9)


def test_one_step_of_that_size_is_the_best_on_a_grid_of_pixels():
    """The loss is quadratic with equal curvatures, so one step ends at the minimum."""
    est = small(init=PixelGrid(), n_inner=1, **STILL).fit(FACES)
    np.testing.assert_allclose(est.predict(FACES), FACES, atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e4), (-1e-3, 2e-3)])
def test_the_inner_step_is_the_same_in_other_units(low, high):
    a = small(GaussianBlur(sigma=0.8)).fit(FACES)
    b = small(GaussianBlur(sigma=0.8), data_range=(low, high)).fit(low + (high - low) * FACES)
    assert b.inner_lr_ == pytest.approx(a.inner_lr_, rel=1e-7)


@pytest.mark.parametrize("solver", [None, GradientDescent()])
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_the_inner_step_is_the_same_for_a_multiple_of_the_operator(factor, solver):
    a, b = (small(A, solver).fit(FACES) for A in (Inpainting(), factor * Inpainting()))
    assert b.inner_lr_ == pytest.approx(a.inner_lr_, rel=1e-7)


@pytest.mark.parametrize("operator", [Identity(), Inpainting(), MissingPixels(0.6)])
def test_the_inner_step_is_positive_where_the_start_leaves_no_misfit(operator):
    est = small(operator, init=Siren(3, depth=2, residual=LinearReconstructor())).fit(FACES)
    assert est.inner_lr_ > 0
    assert math.isfinite(est.inner_lr_)
    assert np.isfinite(est.predict(est.simulate(FACES))).all()


def test_the_default_s_inner_step_is_positive():
    est = MetaInverseSolver(Inpainting(), max_epochs=1, random_state=0).fit(FACES)
    assert est.inner_lr_ > 0


def test_a_step_size_that_was_given_is_taken():
    est = small(inner_lr=0.25, **STILL).fit(FACES)
    assert est.inner_lr_ == 0.25
    assert est.weights_["inner_lr.alpha"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize("wrong", ["cauchy", 0.0, -1.0, None])
def test_other_step_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="The 'inner_lr' parameter of MetaInverseSolver must be"):
        small(inner_lr=wrong).fit(FACES)


# ---------------------------------------------------------------------- the inner loss


@pytest.mark.parametrize("operator", [GaussianBlur(sigma=0.8), Inpainting()])
@pytest.mark.parametrize(
    "init",
    [
        Siren(3, depth=3, omega_0=5.0),
        PixelGrid(),
        Siren(3, depth=2, residual=LinearReconstructor()),
    ],
    ids=["siren", "grid", "linear"],
)
@pytest.mark.parametrize(
    ("solver", "of"),
    [
        (None, "result"),
        (GradientDescent(), "result"),
        (ConjugateGradient(n_iter=40, damping=1e-9), "start"),
        (HQS(), "start"),
        (RED(n_iter=3, weight=0.01), "start"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_the_inner_loss_is_that_of_the_start_where_the_solver_fits_the_data(
    operator, init, solver, of
):
    est = small(operator, solver, init=init, noise=0.01).fit(FACES)
    assert est.inner_loss_.of == of
    assert est.inner_loss == "l2"


@pytest.mark.parametrize(("share", "of"), [(2e-3, "start"), (8e-3, "result")])
def test_the_result_counts_if_the_solver_leaves_half_a_percent_of_its_start(share, of):
    # One update with the step size 1 - a of a start x leaves a x in the measurement.
    solver = GradientDescent(n_iter=1, step_size=1 - share**0.5)
    assert small(Identity(), solver, noise=0.01).fit(FACES).inner_loss_.of == of


@pytest.mark.parametrize("of", ["result", "start"])
@pytest.mark.parametrize("solver", [GradientDescent(), HQS()])
def test_what_was_given_is_taken(solver, of):
    own = InnerLoss(of=of)
    assert small(solver=solver, inner_loss=own).fit(FACES).inner_loss_.of == of


def test_what_was_found_is_no_change_of_the_parameter():
    own = InnerLoss("l1", regularizer="tv")
    est = small(inner_loss=own).fit(FACES)
    assert own.of == "auto"
    assert est.inner_loss_.get_params() == own.get_params() | {"of": "result"}


@pytest.mark.parametrize("solver", [None, GradientDescent(n_iter=2)])
def test_inner_losses_of_the_start_are_those_of_the_network_s_image(solver):
    """They are in the history, and the solver runs only once, after the last step."""
    still = {
        "outer_lr": 0.0,
        "algorithm": MAML(step_sizes="fixed"),
        "inner_lr": 0.7,
        "tune_solver": False,
    }
    options = PLAIN | still | {"inner_loss": InnerLoss(of="start"), "batch_size": 6}
    with_solver = small(Inpainting(), solver, **options).fit(FACES)
    without = small(Inpainting(), **options).fit(FACES)
    np.testing.assert_allclose(
        with_solver.history_["inner_loss"], without.history_["inner_loss"], rtol=1e-10
    )
    y = without.simulate(FACES)
    data = Inpainting().build((1, 6, 6)).bind(torch.from_numpy(y[:, None]))
    stages = zip(with_solver.staged_predict(y), without.staged_predict(y), strict=True)
    for restored, start in stages:
        x = torch.from_numpy(start[:, None])
        f = (lambda x, data: x) if solver is None else solver.build((1, 6, 6))
        np.testing.assert_allclose(restored[:, None], f(x, data), rtol=0, atol=1e-10)


# ---------------------------------------------------------------------- the solver's numbers


def learned_numbers(est):
    return {k.removeprefix("solver.") for k in est.weights_ if k.startswith("solver.")}


@pytest.mark.parametrize(
    ("solver", "learned"),
    [
        (None, set()),
        (GradientDescent(), {"step_size"}),
        (GradientDescent(step_size=0.5), set()),
        (ConjugateGradient(), set()),
        (ConjugateGradient(damping=0.1), set()),
        (HQS(n_iter=2), {"rho", "prior.noise_level"}),
        (HQS(n_iter=2, rho=0.3), {"prior.noise_level"}),
        (HQS(n_iter=2, noise_level=[0.2, 0.1]), {"rho"}),
        (HQS(n_iter=2, rho=0.3, noise_level=0.1), set()),
        (HQS(FrozenEstimator(NETWORK), n_iter=2), {"rho"}),
        (HQS(FrozenEstimator(NETWORK), n_iter=2, rho=0.3), set()),
        (RED(n_iter=2, weight=0.7), {"noise_level"}),
        (RED(FrozenEstimator(NETWORK), n_iter=2), {"weight"}),
        (RED(n_iter=2, weight=0.7, noise_level=0.1), set()),
        (RED(n_iter=2, weight=0.7, noise_level=0.1, learnable=("noise_level",)), {"noise_level"}),
        (ADMM(n_iter=2, rho=0.7), {"noise_level"}),
        (PrimalDual(n_iter=2, weight=0.01, step_size=0.5), set()),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_numbers_that_nobody_chose_are_learned_and_no_others(solver, learned):
    given = None if solver is None else solver.get_params()
    est = small(GaussianBlur(sigma=0.8), solver, noise=0.02).fit(FACES)
    found = {name.removesuffix(".logarithm") for name in learned_numbers(est)}
    assert {name.rpartition(".")[2] for name in found} == {
        name.rpartition(".")[2] for name in learned
    }
    tuning = TuneSolver(lr=0.0) if learned else "auto"
    own = {"noise": 0.02, "tune_solver": tuning}
    still = small(GaussianBlur(sigma=0.8), solver, **own).fit(FACES)
    for name in learned_numbers(est):
        assert (est.weights_[f"solver.{name}"] != still.weights_[f"solver.{name}"]).all()
    if solver is not None:
        assert {k: str(v) for k, v in solver.get_params().items()} == {
            k: str(v) for k, v in given.items()
        }


@pytest.mark.parametrize("tune_solver", ["auto", False])
def test_the_weights_of_a_denoiser_stay(tune_solver):
    """Only `tune_solver=True` trains them; without tuning no solver values are stored."""
    D = FrozenEstimator(NETWORK)
    before = {name: weight.copy() for name, weight in NETWORK.weights_.items()}
    est = small(None, HQS(D, n_iter=2), tune_solver=tune_solver, outer_lr=0.1).fit(FACES)
    assert not any("network" in name for name in est.weights_)
    assert bool(learned_numbers(est)) == (tune_solver == "auto")
    for name, weight in NETWORK.weights_.items():
        np.testing.assert_array_equal(weight, before[name])


def test_reptile_has_no_gradient_for_them():
    own = {"algorithm": "reptile"}
    est = small(solver=GradientDescent(), **own).fit(FACES)
    assert learned_numbers(est) == set()


def test_numbers_that_were_learned_stay_when_they_no_longer_are():
    est = small(solver=GradientDescent()).partial_fit(FACES)
    (before,) = (v.copy() for k, v in est.weights_.items() if k.startswith("solver."))
    est.set_params(tune_solver=False, optimizer=Adam(schedule="constant")).partial_fit(FACES)
    (after,) = (v for k, v in est.weights_.items() if k.startswith("solver."))
    np.testing.assert_array_equal(after, before)


def test_predictions_go_by_the_learned_numbers():
    est = small(GaussianBlur(sigma=0.8), GradientDescent(), tune_solver=TuneSolver(lr=0.3)).fit(
        FACES
    )
    (logarithm,) = (v for k, v in est.weights_.items() if k.startswith("solver."))
    A = GaussianBlur(sigma=0.8).build((1, 6, 6))
    by_hand = small(
        GaussianBlur(sigma=0.8),
        GradientDescent(step_size=float(np.exp(logarithm).item()) / A.squared_norm),
    ).fit(FACES)
    by_hand.weights_ = {k: v for k, v in est.weights_.items() if not k.startswith("solver.")}
    by_hand.inner_loss_ = est.inner_loss_
    by_hand._cache.clear()
    y = est.simulate(FACES)
    np.testing.assert_allclose(by_hand.predict(y), est.predict(y), rtol=1e-9)


# ---------------------------------------------------------------------- epochs


@pytest.mark.parametrize("n_images", [1, 16, 17, 100, 2000, 40_000, 10**6])
@pytest.mark.parametrize(("kind", "n_steps"), [(MetaInverseSolver, 600), (UNetReconstructor, 1200)])
def test_as_many_epochs_as_give_enough_steps(kind, n_steps, n_images):
    n_epochs, steps_per_epoch = kind(batch_size=16)._n_epochs(n_images), -(-n_images // 16)
    assert n_epochs >= 8 or n_epochs * steps_per_epoch >= 10 * n_steps
    assert n_epochs * steps_per_epoch >= n_steps
    assert n_epochs <= 8 or (n_epochs - 1) * steps_per_epoch < n_steps
    assert n_epochs == 1 or (n_epochs - 1) * steps_per_epoch < 10 * n_steps
    assert kind(max_epochs=3)._n_epochs(n_images) == 3


@pytest.mark.parametrize(("batch_size", "n_epochs"), [(12, 7), (5, 3), (1, 2)])
def test_fit_makes_them(monkeypatch, batch_size, n_epochs):
    monkeypatch.setattr(MetaInverseSolver, "_default_length", (7, 2))
    est = small(max_epochs=None, batch_size=batch_size).fit(FACES)
    assert est.n_epochs_ == len(est.history_["outer_loss"]) == n_epochs
    rates = est.history_["learning_rate"]
    assert all(a > b for a, b in pairwise(rates))  # the schedule ends there
    assert rates[-1] < 0.5 * est.outer_lr


# ---------------------------------------------------------------------- groups


def test_groups_are_held_out_as_wholes():
    """The start and its copies are fitted to all images of a group, or to none."""
    fitted_to = []

    class Seen(LinearReconstructor):
        def _learn(self, problem):
            fitted_to.append(problem.clean.read(np.arange(len(problem)))[:, 0, 0, 0].tolist())
            super()._learn(problem)

    groups, images = np.repeat(np.arange(6), 2), FACES.copy()
    images[:, 0, 0] = groups / 8  # exact in any precision
    own = {"early_stopping": EarlyStopping(1, validation_fraction=0.4)}
    small(init=Siren(3, depth=2, residual=Seen()), **own).fit(images, groups=groups)
    learned, *parts = fitted_to
    assert sorted(learned) == sorted(2 * list(set(learned)))
    assert len(set(learned)) == 3  # 40 percent of six, rounded up, are held out
    assert len(parts) == 3
    assert all(len(part) == 4 and set(part) < set(learned) for part in parts)
    assert all(len(set(part)) == 2 for part in parts)


def test_a_share_of_one_group_leaves_nothing():
    with pytest.raises(ValueError, match=r"'validation_fraction' .* 0\.1: with 1 group\(s\),"):
        small(early_stopping=True).fit(FACES, groups=np.zeros(12))


@pytest.mark.parametrize("seed", range(3))
def test_the_images_held_out_depend_on_the_seed(seed):
    groups = np.repeat(np.arange(4), 3)
    problem = small()._reader().problem(FACES, None).grouped(groups)
    learned, held_out = cut_off(problem, 0.25, seed)
    assert len(held_out.clean) == 3
    assert len(set(held_out.groups)) == 1
    assert set(held_out.groups) | set(learned.groups) == set(groups)
    assert not set(held_out.groups) & set(learned.groups)
    again = cut_off(problem, 0.25, seed)
    np.testing.assert_array_equal(again[1].groups, held_out.groups)


# ------------------------------------------------------------ step sizes in special cases


@pytest.mark.parametrize("proximity", [10.0, 1000.0])
def test_a_proximal_term_bends_the_inner_loss_too(proximity):
    est = small(Inpainting(), inner_loss=InnerLoss(proximity=proximity)).fit(FACES)
    assert 0 < est.inner_lr_ <= 1 / proximity


def test_reptile_s_step_is_that_of_the_loop_it_trains():
    """Its steps change all weights and descend the outer loss; MAML's step size would diverge."""
    maker = {"init": Siren(width=32, depth=3), "max_epochs": 3}
    blur = GaussianBlur(sigma=1.6), GradientDescent()
    est = small(*blur, algorithm="reptile", **maker).fit(FACES)
    assert est.inner_lr_ < small(*blur, **maker).fit(FACES).inner_lr_
    assert max(est.history_["outer_loss"]) < 1  # images are in [0, 1]


def test_an_outer_loss_may_be_negative():
    def loss(x, clean):
        return (x - clean).square().flatten(1).mean(1) - 5

    est = small(GaussianBlur(), GradientDescent(), outer_loss=loss).fit(FACES)
    assert est.history_["outer_loss"][0] < -4


def test_numbers_that_are_named_begin_at_their_value():
    named = RED(TotalVariation(), weight=2.0, learnable=("weight",))
    est = small(GaussianBlur(), named, tune_solver=TuneSolver(lr=0.0)).fit(FACES)
    assert est.weights_["solver.weight.logarithm"] == pytest.approx(np.log(2.0), rel=1e-6)


def test_streams_learn_at_a_constant_rate():
    est = small(Inpainting(), max_epochs=None, optimizer="adam")
    for n_images in (5, 12, 1):
        est.partial_fit(FACES[:n_images])
    assert est.history_["learning_rate"] == [est.outer_lr] * 3


def test_a_report_that_fails_loses_no_training(monkeypatch):
    def broken(*given):
        raise RuntimeError("no memory")

    monkeypatch.setattr(MetaInverseSolver, "_report", broken)
    est = small(Inpainting())
    with pytest.raises(RuntimeError, match="no memory"):
        est.fit(FACES)
    assert est.n_epochs_ == 1
    assert np.isfinite(est.score(FACES))
