"""Algorithms 1 and 2: second-order gradients are exact."""

import higher
import numpy as np
import pytest
import torch
from torch import nn

from skmetainv.losses import L1, L2
from skmetainv.meta import STEP_SIZE_RULES, InnerLoop, adapt, images_at_once
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.representations import ImageModule, Siren
from skmetainv.solvers import GradientDescent

SHAPE = (1, 4, 5)
M = 3

every_rule = pytest.mark.parametrize("rule", STEP_SIZE_RULES)
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


def setting(operator, solver, rule, inner_loss=None, n_images=3):
    """An inner loop with weights, step sizes and a batch of measurements, in float64."""
    rng = np.random.default_rng(0)
    A = operator.build(SHAPE)
    f = solver.build(SHAPE) if solver is not None else (lambda x, data: x)
    phi = Siren(width=4, depth=3, omega_0=5.0).build(SHAPE)
    step_size = STEP_SIZE_RULES[rule](0.05)
    theta = {k: v.requires_grad_() for k, v in phi.initial_weights(rng).items()}
    alpha = step_size.initial(theta, M)
    alpha = {
        k: (v * torch.from_numpy(rng.uniform(0.5, 1.5, v.shape))).requires_grad_()
        for k, v in alpha.items()
    }
    x = torch.from_numpy(rng.uniform(size=(n_images, *SHAPE)))
    y = A.simulate(x, lambda y, _: y, [np.random.default_rng(i) for i in range(n_images)])
    inner = InnerLoop(phi, f, (inner_loss or L2()).build(), step_size, M)
    return A, inner, theta, alpha, x, y


def outer_loss(theta, alpha, A, inner, x, y):
    stages, _ = adapt(theta, alpha, A.bind(y), inner, learning=True)
    return (stages[-1] - x).square().mean()


@every_rule
@every_problem
def test_gradient_of_the_outer_loss_is_that_of_finite_differences(operator, solver, rule):
    A, inner, theta, alpha, x, y = setting(operator, solver, rule)
    names = [("theta", k) for k in theta] + [("alpha", k) for k in alpha]

    def loss(*tensors):
        values = dict(zip(names, tensors, strict=True))
        parts = [{k: values[part, k] for p, k in names if p == part} for part in ("theta", "alpha")]
        return outer_loss(*parts, A, inner, x, y)

    assert torch.autograd.gradcheck(loss, [*theta.values(), *alpha.values()], atol=1e-8)


class SirenModule(nn.Module):
    """A SIREN as anyone would write it, for `higher`."""

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
    """The gradient differs from the one that treats inner gradients as constants."""
    A, inner, theta, alpha, x, y = setting(Inpainting(), None, "fixed", n_images=1)
    exact = torch.autograd.grad(outer_loss(theta, alpha, A, inner, x, y), [*theta.values()])
    adapted = {k: v.detach().clone().requires_grad_() for k, v in theta.items()}
    data = A.bind(y)
    for _ in range(M):
        loss = data.loss(inner.phi(adapted, data), inner.loss).sum()
        gradient = torch.autograd.grad(loss, list(adapted.values()))
        adapted = {
            k: (v - alpha["alpha"].detach() * g).detach().requires_grad_()
            for (k, v), g in zip(adapted.items(), gradient, strict=True)
        }
    result = (inner.phi(adapted, data) - x).square().mean()
    first_order = torch.autograd.grad(result, list(adapted.values()))
    assert not torch.allclose(exact[0], first_order[0], rtol=1e-3)


@every_rule
@every_problem
def test_images_adapted_together_are_those_adapted_alone(operator, solver, rule):
    A, inner, theta, alpha, _, y = setting(operator, solver, rule)
    together, losses = adapt(theta, alpha, A.bind(y), inner, learning=False)
    for i, y_i in enumerate(y.split(1)):
        alone, loss = adapt(theta, alpha, A.bind(y_i), inner, learning=False)
        for stage, own in zip(together, alone, strict=True):
            torch.testing.assert_close(stage[i : i + 1], own)
        torch.testing.assert_close(torch.stack(losses)[:, i], torch.cat(loss))


@every_rule
def test_prediction_takes_the_steps_of_training(rule):
    A, inner, theta, alpha, _, y = setting(Inpainting(), GradientDescent(), rule)
    learning, _ = adapt(theta, alpha, A.bind(y), inner, learning=True)
    predicting, losses = adapt(theta, alpha, A.bind(y), inner, learning=False)
    assert len(predicting) == M + 1
    assert len(losses) == M
    for a, b in zip(learning, predicting, strict=True):
        torch.testing.assert_close(a, b)
        assert a.requires_grad
        assert not b.requires_grad


def test_without_inner_steps_the_start_is_all():
    A, inner, theta, alpha, _, y = setting(Inpainting(), None, "fixed")
    none = InnerLoop(inner.phi, inner.f, inner.loss, inner.step_size, m=0)
    stages, losses = adapt(theta, alpha, A.bind(y[:1]), none, learning=False)
    torch.testing.assert_close(stages[0], inner.phi(theta, None))
    assert losses == []


def test_one_step_is_a_gradient_step_on_the_fidelity():
    """Line 5 of Algorithm 1 on a problem whose gradient is known."""

    class Constant(ImageModule):
        adapted = ("value",)

        def forward(self, weights, data):
            return weights["value"].reshape(-1, 1, 1, 1).expand(-1, *SHAPE)

    A = Inpainting().build(SHAPE)
    y = A(torch.full((2, *SHAPE), 0.8, dtype=torch.float64))
    step_size = STEP_SIZE_RULES["fixed"](0.1)
    theta = {"value": torch.tensor(0.3, dtype=torch.float64)}
    inner = InnerLoop(Constant(), lambda x, data: x, L2().build(), step_size, m=2)
    stages, losses = adapt(theta, step_size.initial(theta, 2), A.bind(y), inner, learning=False)
    for k, stage in enumerate(stages):
        assert stage.mean().item() == pytest.approx(0.8 - 0.5 * (1 - 0.2) ** k)
    assert losses[1][0].item() == pytest.approx(0.4**2)


def test_shared_weights_are_not_adapted():
    class Scaled(ImageModule):
        adapted = ("value",)

        def forward(self, weights, data):
            image = (weights["scale"] * weights["value"]).reshape(-1, 1, 1, 1)
            return image.expand(-1, *SHAPE)

    A = Inpainting().build(SHAPE)
    y = A(torch.full((1, *SHAPE), 0.8, dtype=torch.float64))
    step_size = STEP_SIZE_RULES["fixed"](0.1)
    one = torch.ones((), dtype=torch.float64)
    theta = {"value": (0.3 * one).requires_grad_(), "scale": (2 * one).requires_grad_()}
    inner = InnerLoop(Scaled(), lambda x, data: x, L2().build(), step_size, m=1)
    stages, _ = adapt(theta, {"alpha": 0.1 * one}, A.bind(y), inner, learning=True)
    # the image is scale * (value - alpha * 2 * scale * (scale * value - 0.8))
    assert stages[-1].mean().item() == pytest.approx(2 * (0.3 + 0.1 * 2 * 2 * 0.2))
    (gradient,) = torch.autograd.grad(stages[-1].mean(), theta["scale"])
    scale, value, a = 2.0, 0.3, 0.1
    expected = value - a * (6 * scale**2 * value - 4 * scale * 0.8)
    assert gradient.item() == pytest.approx(expected)


def test_inner_losses_may_have_kinks():
    A, inner, theta, alpha, x, y = setting(Inpainting(), None, "per_step", inner_loss=L1())
    loss = outer_loss(theta, alpha, A, inner, x, y)
    gradient = torch.autograd.grad(loss, [*theta.values()], allow_unused=True)
    assert all(g.isfinite().all() for g in gradient if g is not None)


@every_rule
def test_steps_past_the_learned_ones_take_the_last(rule):
    step_size = STEP_SIZE_RULES[rule](0.05)
    theta = {"w": torch.zeros(2, 3)}
    alpha = step_size.initial(theta, M)
    alpha = {
        k: v * (1 + torch.arange(M).reshape(-1, *[1] * (v.ndim - 1))) if v.ndim else v
        for k, v in alpha.items()
    }
    torch.testing.assert_close(step_size.at(alpha, M + 4, "w"), step_size.at(alpha, M - 1, "w"))
    if rule != "fixed":
        assert not torch.equal(step_size.at(alpha, 0, "w"), step_size.at(alpha, 1, "w"))


def test_images_at_once_is_between_one_and_all():
    A = Inpainting().build((1, 64, 64))
    assert images_at_once({"w": torch.zeros(1000, 1000)}, A, 5) == 1
    assert images_at_once({"w": torch.zeros(1)}, A, 5) == 5
