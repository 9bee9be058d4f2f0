"""Algorithms 1 and 2: second-order gradients are exact."""

import math
from dataclasses import replace

import higher
import numpy as np
import pytest
import torch
from settings import PLAIN
from sklearn.base import clone
from torch import nn

from skmetainv import MetaInverseSolver
from skmetainv.losses import L2
from skmetainv.meta import (
    MAML,
    STEP_SIZE_RULES,
    FixedStepSize,
    InnerLoop,
    PerLayer,
    PerParameter,
    PerStep,
    StepSizeRule,
    adapt,
    as_inner_loss,
    as_rule,
    with_rate_of,
)
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.reconstruction.chunks import images_at_once
from skmetainv.representations import ImageModule, PixelGrid, Siren
from skmetainv.solvers import ConjugateGradient, GradientDescent

SHAPE = (1, 4, 5)
M = 3
POSITIVE = {
    "per_step+": PerStep(positive=True),
    "per_layer+": PerLayer(positive=True),
    "per_parameter+": PerParameter(positive=True),
}
RULES = {name: as_rule(name) for name in STEP_SIZE_RULES} | POSITIVE

every_rule = pytest.mark.parametrize("rule", RULES)
every_plain_rule = pytest.mark.parametrize("rule", STEP_SIZE_RULES)
every_positive_rule = pytest.mark.parametrize("rule", POSITIVE)
every_problem = pytest.mark.parametrize(
    ("operator", "solver"),
    [
        (Inpainting(), None),
        (Inpainting(), GradientDescent(n_iter=1, step_size=0.9)),
        (GaussianBlur(sigma=0.8), GradientDescent(n_iter=3, step_size=0.5)),
        (MissingPixels(observed=0.5), GradientDescent(n_iter=2, step_size=0.4)),
    ],
    ids=["no_solver", "one_step", "blur", "missing"],
)


def start(x, data):
    return x


def setting(operator, solver, rule, inner_loss="l2", n_images=3):
    """An inner loop with weights, step sizes and a batch of measurements, in float64."""
    rng = np.random.default_rng(0)
    A = operator.build(SHAPE)
    f = start if solver is None else solver.build(SHAPE)
    phi = Siren(width=4, depth=3, omega_0=5.0).build(SHAPE)
    theta = {k: v.requires_grad_() for k, v in phi.initial_weights(rng).items()}
    alpha = {}
    for k, v in RULES[rule].initial(theta, M, 0.05).items():
        u = torch.from_numpy(rng.uniform(0.5, 1.5, v.shape))
        alpha[k] = (v + u.log() if rule in POSITIVE else v * u).requires_grad_()
    x = torch.from_numpy(rng.uniform(size=(n_images, *SHAPE)))
    y = A.simulate(x, lambda y, _: y, [np.random.default_rng(i) for i in range(n_images)])
    loss = as_inner_loss(inner_loss).build(SHAPE)
    return A, InnerLoop(phi, f, loss, RULES[rule], M, phi.adapted), theta, alpha, x, y


def outer_loss(theta, alpha, A, inner, x, y):
    stages = adapt(theta, alpha, A.bind(y), inner, learning=True).stages
    return (stages[-1] - x).square().mean()


@every_plain_rule
@every_problem
def test_gradient_of_the_outer_loss_is_that_of_finite_differences(operator, solver, rule):
    check_gradients(*setting(operator, solver, rule))


@pytest.mark.parametrize("rule", ["fixed", "per_layer"])
@pytest.mark.parametrize(
    "solver",
    [GradientDescent(n_iter=2, step_size=0.4), ConjugateGradient(n_iter=3, damping=0.1)],
    ids=lambda solver: type(solver).__name__,
)
def test_so_it_is_where_the_inner_steps_descend_the_loss_of_the_start(solver, rule):
    """The outer loss is that of the solver's result, also if the inner loss is of the start."""
    A, inner, *others = setting(GaussianBlur(sigma=0.8), solver, rule)
    of_start = replace(inner, through_solver=False)
    check_gradients(A, of_start, *others)
    losses = [outer_loss(*others[:2], A, own, *others[2:]).item() for own in (inner, of_start)]
    assert abs(losses[0] - losses[1]) > 1e-9


def test_inner_steps_on_the_loss_of_the_start_run_the_solver_once():
    A, inner, theta, alpha, _, y = setting(GaussianBlur(), GradientDescent(), "per_step")
    calls, data = [], A.bind(y)

    def counted(x, data):
        calls.append(len(x))
        return inner.f(x, data)

    of_start = replace(inner, f=counted, through_solver=False)
    stages, losses, _ = adapt(theta, alpha, data, of_start, learning=False)
    assert calls == []
    assert not stages[-1].requires_grad
    assert calls == [len(y)]
    starts = adapt(theta, alpha, data, replace(inner, f=start), learning=False).stages
    for stage, x in zip(stages, starts, strict=True):
        torch.testing.assert_close(stage, inner.f(x, data))
    for loss, x in zip(losses, starts, strict=False):  # all but the last
        torch.testing.assert_close(loss, data.loss(x, L2().build()))


def check_gradients(A, inner, theta, alpha, x, y):
    names = [("theta", k) for k in theta] + [("alpha", k) for k in alpha]

    def loss(*tensors):
        values = dict(zip(names, tensors, strict=True))
        parts = [{k: values[part, k] for p, k in names if p == part} for part in ("theta", "alpha")]
        return outer_loss(*parts, A, inner, x, y)

    assert torch.autograd.gradcheck(loss, [*theta.values(), *alpha.values()], atol=1e-8)


class SirenModule(nn.Module):
    """A SIREN in plain torch, for `higher`."""

    def __init__(self, theta, shape, omega_0):
        super().__init__()
        n_layers = len(theta) // 2
        self.layers = nn.ModuleList(
            nn.Linear(theta[f"{i}.weight"].shape[1], theta[f"{i}.weight"].shape[0]).double()
            for i in range(n_layers)
        )
        with torch.no_grad():
            for i, layer in enumerate(self.layers):
                layer.weight.copy_(theta[f"{i}.weight"])
                layer.bias.copy_(theta[f"{i}.bias"])
        rows, columns = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape[1:])
        grid = torch.meshgrid(rows, columns, indexing="ij")
        self.shape, self.omega_0 = shape, omega_0
        self.coordinates = torch.stack(grid, dim=-1)

    def forward(self):
        h = self.coordinates
        for i, layer in enumerate(self.layers):  # higher's modules cannot be sliced
            h = layer(h if i == 0 else torch.sin(self.omega_0 * h))
        return (h.movedim(-1, 0)[None] + 1) / 2


@pytest.mark.parametrize("rule", ["fixed", "per_step"])
@every_problem
def test_gradients_are_those_of_higher(operator, solver, rule):
    A, inner, theta, alpha, x, y = setting(operator, solver, rule)
    loss = outer_loss(theta, alpha, A, inner, x, y)
    leaves = [*theta.values(), *alpha.values()]
    ours = torch.autograd.grad(loss, leaves, allow_unused=True)

    module = SirenModule(theta, SHAPE, omega_0=5.0)
    steps = alpha["alpha"].detach().expand(M).clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for x_i, y_i in zip(x.split(1), y.split(1), strict=True):
        observed, data = ~y_i.isnan(), A.bind(y_i)
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        with higher.innerloop_ctx(module, optimizer, copy_initial_weights=False) as (
            net,
            inner_opt,
        ):
            for k in range(M):
                residual = (data.A(inner.f(net(), data)) - data.y).square()
                entries = observed if A.observed is None else A.observed.expand_as(y_i)
                fidelity = (residual * entries).sum() / entries.sum()
                inner_opt.step(fidelity, override={"lr": [steps[k]]})
            total = total + (inner.f(net(), data) - x_i).square().mean() / len(x)
    torch.testing.assert_close(loss, total)
    gradient = torch.autograd.grad(total, [*module.parameters(), steps])
    for own, theirs in zip(ours[: len(theta)], gradient[:-1], strict=True):
        torch.testing.assert_close(own, theirs)
    theirs = gradient[-1] if rule == "per_step" else gradient[-1].sum()
    torch.testing.assert_close(ours[-1], theirs)


def test_gradients_of_step_sizes_per_parameter_are_those_of_higher():
    A, inner, theta, alpha, x, y = setting(
        Inpainting(), GradientDescent(), "per_parameter", n_images=1
    )
    loss = outer_loss(theta, alpha, A, inner, x, y)
    ours = torch.autograd.grad(loss, [*theta.values(), *alpha.values()])

    module = SirenModule(theta, SHAPE, omega_0=5.0)
    data = A.bind(y)
    net = higher.monkeypatch(module, copy_initial_weights=False)
    for k in range(M):
        residual = (data.A(inner.f(net(), data)) - data.y).square()
        fidelity = residual.sum() / A.observed.sum()
        gradient = torch.autograd.grad(fidelity, net.fast_params, create_graph=True)
        net.update_params(
            [
                p - alpha[name][k] * g
                for p, name, g in zip(net.fast_params, theta, gradient, strict=True)
            ]
        )
    total = (inner.f(net(), data) - x).square().mean()
    torch.testing.assert_close(loss, total)
    gradient = torch.autograd.grad(total, [*module.parameters(), *alpha.values()])
    for own, theirs in zip(ours, gradient, strict=True):
        torch.testing.assert_close(own, theirs)


def test_second_order_terms_are_there():
    """The gradient differs from that of first-order MAML."""
    A, inner, theta, alpha, x, y = setting(Inpainting(), None, "fixed", n_images=1)
    exact = torch.autograd.grad(outer_loss(theta, alpha, A, inner, x, y), [*theta.values()])
    adapted = {k: v.detach().clone().requires_grad_() for k, v in theta.items()}
    data = A.bind(y)
    for _ in range(M):
        loss = data.loss(inner.phi(adapted), L2().build()).sum()
        gradient = torch.autograd.grad(loss, list(adapted.values()))
        adapted = {
            k: (v - alpha["alpha"].detach() * g).detach().requires_grad_()
            for (k, v), g in zip(adapted.items(), gradient, strict=True)
        }
    result = (inner.phi(adapted) - x).square().mean()
    first_order = torch.autograd.grad(result, list(adapted.values()))
    assert not torch.allclose(exact[0], first_order[0], rtol=1e-3)


@every_plain_rule
@every_problem
def test_images_adapted_together_are_those_adapted_alone(operator, solver, rule):
    A, inner, theta, alpha, _, y = setting(operator, solver, rule)
    together = adapt(theta, alpha, A.bind(y), inner, learning=False)
    for i, y_i in enumerate(y.split(1)):
        alone = adapt(theta, alpha, A.bind(y_i), inner, learning=False)
        for stage, own in zip(together.stages, alone.stages, strict=True):
            torch.testing.assert_close(stage[i : i + 1], own)
        torch.testing.assert_close(torch.stack(together.losses)[:, i], torch.cat(alone.losses))
        for name, weight in together.theta.items():
            torch.testing.assert_close(weight[i], alone.theta[name])


@every_rule
def test_prediction_takes_the_steps_of_training(rule):
    A, inner, theta, alpha, _, y = setting(Inpainting(), GradientDescent(), rule)
    learning = adapt(theta, alpha, A.bind(y), inner, learning=True)
    predicting = adapt(theta, alpha, A.bind(y), inner, learning=False)
    assert len(predicting.stages) == M + 1
    assert len(predicting.losses) == M
    for kept, free in (
        (learning.stages, predicting.stages),
        (learning.losses, predicting.losses),
        (learning.theta.values(), predicting.theta.values()),
    ):
        for a, b in zip(kept, free, strict=True):
            torch.testing.assert_close(a, b)
            assert a.requires_grad
            assert not b.requires_grad


@every_problem
def test_the_result_is_that_of_the_adapted_weights(operator, solver):
    A, inner, theta, alpha, _, y = setting(operator, solver, "per_step")
    data = A.bind(y)
    stages, losses, theta_i = adapt(theta, alpha, data, inner, learning=False)
    torch.testing.assert_close(stages[-1], inner.f(inner.phi(theta_i), data))
    for x, loss in zip(stages, losses, strict=False):  # all stages but the last
        torch.testing.assert_close(loss, data.loss(x, L2().build()))


@pytest.mark.parametrize("n_images", [1, 3])
def test_without_inner_steps_the_start_is_all(n_images):
    A, inner, theta, alpha, _, y = setting(Inpainting(), None, "fixed", n_images=n_images)
    found = adapt(theta, alpha, A.bind(y), replace(inner, m=0), learning=False)
    (image,) = found.stages
    torch.testing.assert_close(image, inner.phi(theta).expand(n_images, *SHAPE))
    assert found.losses == []
    for name, weight in theta.items():
        own = found.theta[name].reshape(n_images, *weight.shape)
        torch.testing.assert_close(own, weight.expand_as(own))


def test_one_step_is_a_gradient_step_on_the_fidelity():
    """Line 5 of Algorithm 1 on a problem whose gradient is known."""

    class Constant(ImageModule):
        adapted = ("value",)

        def forward(self, weights, condition=None):
            return weights["value"].reshape(-1, 1, 1, 1).expand(-1, *SHAPE)

    A = Inpainting().build(SHAPE)
    y = A(torch.full((2, *SHAPE), 0.8, dtype=torch.float64))
    rule, loss = as_rule("fixed"), as_inner_loss("l2").build(SHAPE)
    theta = {"value": torch.tensor(0.3, dtype=torch.float64)}
    inner = InnerLoop(Constant(), start, loss, rule, m=2, adapted=("value",))
    alpha = rule.initial(theta, 2, 0.1)
    stages, losses, theta_i = adapt(theta, alpha, A.bind(y), inner, learning=False)
    for k, stage in enumerate(stages):
        assert stage.mean().item() == pytest.approx(0.8 - 0.5 * (1 - 0.2) ** k)
    assert losses[1][0].item() == pytest.approx(0.4**2)
    torch.testing.assert_close(theta_i["value"], stages[-1][:, 0, 0, 0])


def test_shared_weights_are_not_adapted():
    class Scaled(ImageModule):
        adapted = ("value",)

        def forward(self, weights, condition=None):
            image = (weights["scale"] * weights["value"]).reshape(-1, 1, 1, 1)
            return image.expand(-1, *SHAPE)

    A = Inpainting().build(SHAPE)
    y = A(torch.full((1, *SHAPE), 0.8, dtype=torch.float64))
    one = torch.ones((), dtype=torch.float64)
    theta = {"value": (0.3 * one).requires_grad_(), "scale": (2 * one).requires_grad_()}
    loss = as_inner_loss("l2").build(SHAPE)
    inner = InnerLoop(Scaled(), start, loss, as_rule("fixed"), m=1, adapted=("value",))
    stages, _, theta_i = adapt(theta, {"alpha": 0.1 * one}, A.bind(y), inner, learning=True)
    assert list(theta_i) == ["value"]
    # the image is scale * (value - alpha * 2 * scale * (scale * value - 0.8))
    assert stages[-1].mean().item() == pytest.approx(2 * (0.3 + 0.1 * 2 * 2 * 0.2))
    (gradient,) = torch.autograd.grad(stages[-1].mean(), theta["scale"])
    scale, value, a = 2.0, 0.3, 0.1
    expected = value - a * (6 * scale**2 * value - 4 * scale * 0.8)
    assert gradient.item() == pytest.approx(expected)


def test_inner_losses_may_have_kinks():
    A, inner, theta, alpha, x, y = setting(Inpainting(), None, "per_step", inner_loss="l1")
    loss = outer_loss(theta, alpha, A, inner, x, y)
    gradient = torch.autograd.grad(loss, [*theta.values()], allow_unused=True)
    assert all(g.isfinite().all() for g in gradient if g is not None)


# --- step sizes ------------------------------------------------------------------------------


def distinct(rule, inner_lr=0.05):
    """A rule's step sizes for a network of two layers, all different."""
    theta = {
        "a.0.weight": torch.zeros(2, 3),
        "a.0.bias": torch.zeros(2),
        "a.1.weight": torch.zeros(1, 2),
    }
    alpha = RULES[rule].initial(theta, M, inner_lr)
    rng = np.random.default_rng(0)
    alpha = {k: v + torch.from_numpy(rng.uniform(0, 0.01, v.shape)) for k, v in alpha.items()}
    return theta, alpha


@every_rule
def test_every_step_size_begins_at_inner_lr(rule):
    """Also step sizes whose logarithm is learned."""
    phi = Siren(width=4, depth=3).build(SHAPE)
    theta = phi.initial_weights(np.random.default_rng(0))
    alpha = RULES[rule].initial(theta, M, 0.07)
    assert all(v.dtype == torch.float64 for v in alpha.values())
    for k in range(M):
        for name, weight in theta.items():
            size = RULES[rule].at(alpha, k, name)
            assert torch.broadcast_shapes(size.shape, weight.shape) == weight.shape
            torch.testing.assert_close(size, torch.full_like(size, 0.07))


@pytest.mark.parametrize(
    ("rule", "n_numbers"),
    [("fixed", 1), ("per_step", M), ("per_layer", 2 * M), ("per_parameter", 10 * M)],
)
def test_how_many_step_sizes_a_rule_has(rule, n_numbers):
    for name in (rule, rule + "+"):
        if name in RULES:
            _, alpha = distinct(name)
            assert sum(v.numel() for v in alpha.values()) == n_numbers
            assert RULES[name].learned == (rule != "fixed")
            assert RULES[name].n_steps(alpha) == (None if rule == "fixed" else M)


@every_rule
def test_what_shares_a_step_size(rule):
    _, alpha = distinct(rule)

    def at(k, name):
        return RULES[rule].at(alpha, k, name)

    assert (at(0, "a.0.bias") != at(1, "a.0.bias")).all() == (rule != "fixed")
    kind = rule.removesuffix("+")
    if kind == "per_parameter":
        sizes = torch.cat([at(k, name).flatten() for k in range(M) for name in alpha])
        assert len(sizes.unique()) == 10 * M
        assert at(1, "a.0.weight").shape == (2, 3)
    else:
        assert torch.equal(at(1, "a.0.weight"), at(1, "a.0.bias"))
        across = torch.equal(at(1, "a.0.weight"), at(1, "a.1.weight"))
        assert across == (kind != "per_layer")


@every_rule
def test_steps_past_the_learned_ones_take_the_last(rule):
    theta, alpha = distinct(rule)
    for name in theta:
        last = RULES[rule].at(alpha, M - 1, name)
        torch.testing.assert_close(RULES[rule].at(alpha, M + 4, name), last)


@every_positive_rule
def test_positive_step_sizes_outlive_a_great_step_downwards(rule):
    for name, stay in ((rule, True), (rule.removesuffix("+"), False)):
        theta, alpha = distinct(name)
        leaves = [v.requires_grad_() for v in alpha.values()]
        optimizer = torch.optim.SGD(leaves, lr=1e3)
        sum(RULES[name].at(alpha, k, w).sum() for k in range(M) for w in theta).backward()
        optimizer.step()
        for k in range(M):
            for w in theta:
                after = RULES[name].at(alpha, k, w)
                assert (after < 0.05).all()
                assert (after > 0).all() == stay


@every_positive_rule
def test_what_is_learned_of_positive_step_sizes_is_the_logarithm(rule):
    """By the chain rule, the logarithm's gradient is the step size times its gradient."""
    plain = rule.removesuffix("+")
    A, inner, theta, logarithms, x, y = setting(Inpainting(), GradientDescent(), rule)
    sizes = {k: v.detach().exp().requires_grad_() for k, v in logarithms.items()}
    outer_loss(theta, logarithms, A, inner, x, y).backward()
    outer_loss(theta, sizes, A, replace(inner, step_size=RULES[plain]), x, y).backward()
    for k, size in sizes.items():
        torch.testing.assert_close(logarithms[k].grad, size * size.grad)
        assert size.grad.abs().max() > 0


@every_positive_rule
def test_an_estimator_keeps_step_sizes_positive(rule):
    """Denoising from a gray image, where the best step ends at the measurement.

    The step size begins at three times the best one, so that Adam's first step decreases it.
    """
    X = np.random.default_rng(0).random((4, 3, 3))
    options = {
        **PLAIN,
        "init": PixelGrid(),
        "n_inner": 1,
        "inner_lr": 3 * 2.0 * X[0].size,
        "outer_lr": 0.0,
        "max_epochs": 1,
        "precision": "float64",
        "random_state": 0,
    }

    def fit(rule, lr):
        own = clone(RULES[rule]) if isinstance(RULES[rule], StepSizeRule) else as_rule(RULES[rule])
        est = MetaInverseSolver(algorithm=MAML(step_sizes=own.set_params(lr=lr)), **options)
        est.fit(X)
        (learned,) = (v for k, v in est.weights_.items() if k.startswith("inner_lr."))
        return est, learned

    first, same = fit(rule, 0.0)[0], fit(rule.removesuffix("+"), 0.0)[0]
    np.testing.assert_allclose(first.predict(X), same.predict(X), rtol=1e-12)
    assert (fit(rule.removesuffix("+"), 100.0)[1] < 0).all()
    est, logarithms = fit(rule, 100.0)
    assert est.batch_size >= len(X)  # one step
    np.testing.assert_allclose(logarithms, math.log(options["inner_lr"]) - 100, rtol=1e-6)


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"fixed"}))
def test_a_step_of_adam_moves_a_step_size_by_a_percent(rule):
    rule, inner_lr = RULES[rule], 0.3
    alpha = rule.initial({"0.weight": torch.zeros(2, 3)}, M, inner_lr)
    weights = [a.requires_grad_() for a in alpha.values()]
    optimizer = torch.optim.Adam(weights, lr=rule.learning_rate(inner_lr))
    sum(w.sum() for w in weights).backward()
    optimizer.step()
    moved = rule.at(alpha, 0, "0.weight")
    torch.testing.assert_close(moved, torch.full_like(moved, 0.99 * inner_lr), rtol=1e-3, atol=0)


def test_a_rule_s_string_is_shorthand_for_its_defaults():
    for name, kind in STEP_SIZE_RULES.items():
        assert type(as_rule(name)) is kind
        assert as_rule(name).get_params() == kind().get_params()
    rule = PerLayer(positive=True)
    assert as_rule(rule) is rule


def test_a_rule_takes_the_learning_rate_of_another():
    rule = PerLayer(positive=True, lr=0.5)
    changed = with_rate_of(PerStep(), rule)
    assert (type(changed), changed.get_params()) == (PerLayer, {"positive": True, "lr": None})
    assert rule.lr == 0.5
    assert with_rate_of(FixedStepSize(), rule) is rule


def test_images_at_once_is_between_one_and_all():
    cpu, shape, large = torch.device("cpu"), (1, 64, 64), 10**7
    assert images_at_once(5, shape, cpu, n_weights_per_image=large) == 1
    assert images_at_once(5, shape, cpu, n_weights_per_image=1) == 5
    assert 1 < images_at_once(500, shape, cpu, n_weights_per_image=420) < 500
    assert 1 < images_at_once(50, shape, cpu, n_weights_per_image=5000) < 50
    assert images_at_once(50, (1, 8, 8), cpu, n_weights_per_image=large) == 1
    assert images_at_once(50, (1, 8, 8), cpu, n_weights_per_image=5000) == 50
    assert images_at_once(5, shape, cpu) < 5 == images_at_once(5, (1, 8, 8), cpu)
    assert images_at_once(5, shape, cpu, n_weights_per_image=200_000) == 1
    assert images_at_once(5, shape, torch.device("cuda")) == 5


@pytest.mark.parametrize("batch_size", [5, 16, 17, 23, 50])
def test_chunks_of_a_batch_have_little_padding(batch_size):
    for size in range(8, 100, 4):
        n = images_at_once(
            batch_size, (1, size, size), torch.device("cpu"), n_weights_per_image=10_000
        )
        assert -batch_size % n <= batch_size / 5
