"""The outer gradients of MAML, FOMAML, Reptile and iMAML."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from settings import PAPER
from sklearn.base import clone
from torch import nn

from skmetainv import MetaInverseSolver
from skmetainv.denoisers import FunctionDenoiser
from skmetainv.losses import L2
from skmetainv.meta import (
    IMAML,
    MAML,
    InnerLoop,
    InnerLoss,
    InnerObjective,
    Reptile,
    Task,
    adapt,
    as_algorithm,
    as_inner_loss,
    as_rule,
)
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.representations import Encoder, ImageModule, ModulatedSiren, PixelGrid, Siren
from skmetainv.solvers import RED, GradientDescent
from skmetainv.training import SGD

SHAPE = (1, 3, 4)
N = 12
STEP = 0.8  # the solver's step size
IMAGES = np.random.default_rng(0).uniform(0.5, 1, (5, 3, 4))
BY_NAME = {
    "maml": MAML(),
    "fomaml": MAML(first_order=True),
    "reptile": Reptile(),
    "imaml": IMAML(),
}


# ---------------------------------------------------------------------- a quadratic problem


class Linear(ImageModule):
    """``phi = B theta + C s``: theta is adapted, s is shared."""

    adapted = ("theta",)

    def __init__(self, B, C):
        super().__init__()
        self.B, self.C = torch.from_numpy(B), torch.from_numpy(C)

    def forward(self, weights, condition=None):
        images = weights["theta"] @ self.B.T + weights["s"] @ self.C.T
        return images.reshape(-1, *SHAPE)


class Quadratic:
    """Deblurring by one gradient step as solver: every loss is quadratic in the weights.

    ``x = T (B theta + C s) + t A' y``, ``T = I - t A' A``, both in NumPy and by the library.
    """

    def __init__(self, m=3, n_images=2, alpha=(1.1, 0.7, 1.6), rule="per_step"):
        rng = np.random.default_rng(1)
        operator = GaussianBlur(sigma=0.8).build(SHAPE)
        self.A = operator.explicit()[0].numpy()
        B, C = rng.normal(size=(N, 4)), rng.normal(size=(N, 3))
        self.theta, self.s = rng.normal(size=4), rng.normal(size=3)
        self.alpha = np.asarray(alpha)
        self.x = rng.random((n_images, N))
        self.y = self.x @ self.A.T + 0.1 * rng.normal(size=(n_images, N))
        T = np.eye(N) - STEP * self.A.T @ self.A
        self.B, self.C = T @ B, T @ C
        self.H = 2 / N * (self.A @ self.B).T @ self.A @ self.B
        self.K = 2 / N * (self.A @ self.B).T @ self.A @ self.C

        self.weights = {
            "theta": torch.from_numpy(self.theta).requires_grad_(),
            "s": torch.from_numpy(self.s).requires_grad_(),
        }
        self.sizes = {"alpha": torch.tensor(alpha, dtype=torch.float64, requires_grad=True)}
        y = torch.from_numpy(self.y).reshape(-1, *SHAPE)
        self.task = Task(
            torch.from_numpy(self.x).reshape(-1, *SHAPE), operator.bind(y), L2().build(), 0
        )
        f = GradientDescent(n_iter=1, step_size=STEP).build(SHAPE)
        loss = as_inner_loss("l2").build(SHAPE)
        self.inner = InnerLoop(Linear(B, C), f, loss, as_rule(rule), m, ("theta",))

    def image(self, theta, i, s=None):
        s = self.s if s is None else s
        return self.B @ theta + self.C @ s + STEP * self.A.T @ self.y[i]

    def inner_gradient(self, theta, i):
        residual = self.A @ self.image(theta, i) - self.y[i]
        return 2 / N * (self.A @ self.B).T @ residual

    def outer_gradient(self, theta, i):
        """The gradient of the outer loss with respect to the image."""
        return 2 / N * (self.image(theta, i) - self.x[i])

    def steps(self, i):
        """The adapted weights before and after each inner step, and the gradients."""
        theta, gradients = [self.theta], []
        for alpha in self.alpha:
            gradients.append(self.inner_gradient(theta[-1], i))
            theta.append(theta[-1] - alpha * gradients[-1])
        return theta, gradients

    def maml(self, step_weights, second_order):
        """The gradients of the weighted sum of outer losses, by hand."""
        total = {"theta": 0.0, "s": 0.0, "alpha": np.zeros(len(self.alpha))}
        for i in range(len(self.x)):
            theta, gradients = self.steps(i)
            for k, weight in enumerate(step_weights, start=1):
                g_x = weight * self.outer_gradient(theta[k], i)
                by_theta = self.B.T @ g_x
                by_s = self.C.T @ g_x
                for j in reversed(range(k)):  # back through the steps
                    total["alpha"][j] -= by_theta @ gradients[j]
                    if second_order:
                        by_s = by_s - self.alpha[j] * self.K.T @ by_theta
                        by_theta = by_theta - self.alpha[j] * self.H @ by_theta
                total["theta"] = total["theta"] + by_theta
                total["s"] = total["s"] + by_s
        return total

    def found(self, algorithm, **changes):
        """The library's gradients, by name, and its losses."""
        task = replace(self.task, **changes)
        losses = algorithm.add_gradients(self.weights, self.sizes, task, self.inner, adapt)
        tensors = {**self.weights, **self.sizes}
        return {k: v.grad.numpy() for k, v in tensors.items() if v.grad is not None}, losses


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("n_images", [1, 3])
def test_maml_s_gradient_is_its_closed_form(n_images):
    problem = Quadratic(n_images=n_images)
    found, losses = problem.found(MAML())
    assert_same(found, problem.maml([0, 0, 1], second_order=True))
    for i in range(n_images):
        theta, _ = problem.steps(i)
        error = problem.image(theta[-1], i) - problem.x[i]
        assert losses.outer[i].item() == pytest.approx(np.mean(error**2))
        for k in range(3):
            residual = problem.A @ problem.image(theta[k], i) - problem.y[i]
            assert losses.inner[i, k].item() == pytest.approx(np.mean(residual**2))


@pytest.mark.parametrize("n_images", [1, 3])
def test_fomaml_s_gradient_is_maml_s_without_the_inner_hessian(n_images):
    problem = Quadratic(n_images=n_images)
    problem.inner = replace(problem.inner, second_order=MAML(first_order=True).second_order)
    found, _ = problem.found(MAML(first_order=True))
    assert_same(found, problem.maml([0, 0, 1], second_order=False))
    at_the_end = [
        problem.B.T @ problem.outer_gradient(problem.steps(i)[0][-1], i) for i in range(n_images)
    ]
    np.testing.assert_allclose(found["theta"], np.sum(at_the_end, axis=0), rtol=1e-10)
    exact = problem.maml([0, 0, 1], second_order=True)
    for name, gradient in found.items():
        assert not np.allclose(gradient, exact[name], rtol=1e-2)


@pytest.mark.parametrize(("first_order", "name"), [(False, "maml"), (True, "fomaml")])
def test_an_estimator_steps_by_the_gradient_of_its_algorithm(first_order, name):
    """One step of gradient descent on pixels: ``theta <- theta - beta g``, by hand."""
    alpha, beta, x = 5.0, 3.0, IMAGES
    est = on_pixels(algorithm=name, inner_lr=alpha, outer_lr=beta).fit(x)
    known = ~hidden()
    hessian = np.where(known, 2 * 0.5**2 / known.sum(), 0)  # phi = 1/2 + theta / 2
    theta = np.zeros((len(x), 3, 4))
    for _ in range(2):
        theta = theta - alpha * hessian * (theta - (2 * x - 1))
    gradient = 2 * 0.5**2 / N * (theta - (2 * x - 1))
    if not first_order:
        gradient = (1 - alpha * hessian) ** 2 * gradient
    np.testing.assert_allclose(
        est.weights_["init.image"][0], -beta * gradient.mean(axis=0), rtol=1e-10
    )


# ---------------------------------------------------------------------- a loss after each step


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, [0, 0, 1]),
        ("uniform", [1 / 3, 1 / 3, 1 / 3]),
        ([1.0, 2.0, 5.0], [1 / 8, 2 / 8, 5 / 8]),
        (np.array([0, 3, 0]), [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("first_order", [False, True])
def test_the_outer_loss_is_the_weighted_sum_of_those_after_each_step(given, weights, first_order):
    algorithm = MAML(first_order, step_weights=given)
    algorithm.check(3, {})
    problem = Quadratic()
    problem.inner = replace(problem.inner, second_order=not first_order)
    found, losses = problem.found(algorithm)
    assert_same(found, problem.maml(weights, second_order=not first_order))
    for i in range(2):
        stages = [problem.image(theta, i) for theta in problem.steps(i)[0]]
        errors = [np.mean((x - problem.x[i]) ** 2) for x in stages[1:]]
        assert losses.outer[i].item() == pytest.approx(np.dot(weights, errors))


@pytest.mark.parametrize(
    ("epoch", "weights"),
    [
        (0, [0.5, 0.25, 0.25]),
        (1, [0.375, 0.1875, 0.4375]),
        (3, [0.125, 0.0625, 0.8125]),
        (4, [0, 0, 1]),
        (9, [0, 0, 1]),
    ],
)
def test_step_weights_go_over_to_the_last_step_alone(epoch, weights):
    problem = Quadratic()
    found, _ = problem.found(MAML(step_weights=[2, 1, 1], anneal_epochs=4), epoch=epoch)
    assert_same(found, problem.maml(weights, second_order=True))


def test_an_estimator_s_outer_loss_goes_over_to_that_of_the_last_step():
    """If no weight changes, the history shows which losses are added."""
    algorithm = MAML(step_sizes="fixed", step_weights="uniform", anneal_epochs=2)
    options = {"outer_lr": 0.0, "n_inner": 3, "max_epochs": 4}
    est = on_pixels(algorithm=algorithm, **options).fit(IMAGES)
    stages = list(est.staged_predict(IMAGES))[1:]
    losses = np.array([np.mean((x - IMAGES) ** 2) for x in stages])
    last = losses[-1]
    expected = [losses.mean(), (losses.mean() + last) / 2, last, last]
    assert losses[0] > 1.01 * last
    np.testing.assert_allclose(est.history_["outer_loss"], expected, rtol=1e-10)


def test_a_stage_is_computed_when_it_is_asked_for(monkeypatch):
    est, computed = on_pixels(n_inner=3, max_epochs=1).fit(IMAGES), []
    restore = type(est)._images
    monkeypatch.setattr(type(est), "_images", lambda *args: computed.append(0) or restore(*args))
    stages = est.staged_predict(IMAGES)
    assert len(computed) == 0
    for k in range(1, 5):
        next(stages)
        assert len(computed) == k


@pytest.mark.parametrize(
    "step_weights",
    [
        [1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0],
        [1.0, -1.0, 1.0],
        [0.0, 0.0, 0.0],
        [np.nan, 1.0, 1.0],
        [np.inf, 1.0, 1.0],
        ["a", "b", "c"],
        np.ones((3, 1)),
        [[1.0], [1.0, 2.0], [1.0]],
        [],
        "linear",
        1.0,
    ],
)
def test_wrong_step_weights_are_refused(step_weights):
    est = on_pixels(algorithm=MAML(step_weights=step_weights), n_inner=3)
    with pytest.raises(ValueError, match="The 'step_weights' parameter of MAML must be"):
        est.fit(IMAGES)


@pytest.mark.parametrize(
    ("algorithm", "parameter"),
    [
        (MAML(first_order=1.5), "first_order"),
        (MAML(anneal_epochs=0), "anneal_epochs"),
        (Reptile(n_steps=0), "n_steps"),
        (Reptile(step_size=0.0), "step_size"),
        (IMAML(proximity=0.0), "proximity"),
        (IMAML(n_cg=0), "n_cg"),
    ],
)
def test_wrong_hyper_parameters_are_refused(algorithm, parameter):
    name = type(algorithm).__name__
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {name} must be"):
        on_pixels(algorithm=algorithm).fit(IMAGES)


# ---------------------------------------------------------------------- Reptile


def on_pixels(**options):
    """An estimator whose weights are pixels, some of them missing, with SGD as optimiser."""
    return MetaInverseSolver(
        **{
            **PAPER,
            "operator": Inpainting(fraction=0.4),
            "init": PixelGrid(),
            "n_inner": 2,
            "algorithm": MAML(step_sizes="fixed"),
            "inner_lr": 5.0,
            "optimizer": SGD(schedule="constant", max_grad_norm=None),
            "max_epochs": 1,
            "precision": "float64",
            "random_state": 0,
            **options,
        }
    )


def hidden():
    """The missing pixels of `on_pixels`."""
    mask = ~Inpainting(fraction=0.4).build(SHAPE).observed[0, 0].numpy()
    assert 0 < mask.sum() < N
    return mask


@pytest.mark.parametrize(
    ("algorithm", "n_steps", "step_size"),
    [
        ("reptile", 2, 5.0),
        (Reptile(n_steps=4), 4, 5.0),
        (Reptile(n_steps=1, step_size=2.0), 1, 2.0),
    ],
)
def test_reptile_s_update_is_the_averaged_displacement(algorithm, n_steps, step_size):
    """``theta + beta mean_i (theta_i - theta)`` in NumPy, theta_i by steps on the outer loss."""
    beta = 0.3
    est = on_pixels(algorithm=algorithm, outer_lr=beta).fit(IMAGES)
    theta_i = np.zeros((len(IMAGES), 3, 4))
    for _ in range(n_steps):
        phi = 0.5 + 0.5 * theta_i
        theta_i = theta_i - step_size * 2 / N * 0.5 * (phi - IMAGES)
    learned = est.weights_["init.image"][0]
    np.testing.assert_allclose(learned, beta * theta_i.mean(axis=0), rtol=1e-10)
    assert np.abs(learned[hidden()]).min() > 1e-3


def test_reptile_teaches_pixels_that_no_measurement_shows():
    """The data fidelity alone would leave unobserved pixels gray."""
    x = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    est = on_pixels(algorithm=Reptile(n_steps=20), outer_lr=1.0, max_epochs=5).fit(x)
    restored = est.predict(est.simulate(x))
    np.testing.assert_allclose(restored[:, hidden()], x[:, hidden()], atol=1e-3)


def test_reptile_s_predictions_follow_the_data_fidelity():
    est = on_pixels(algorithm="reptile", outer_lr=0.3).fit(IMAGES)
    theta, known = est.weights_["init.image"][0], ~hidden()
    y = est.simulate(IMAGES)
    image = np.broadcast_to(0.5 + 0.5 * theta, y.shape)
    for _ in range(2):
        residual = np.where(known, image - y, 0)
        image = image - 5.0 * 0.5**2 * 2 / known.sum() * residual
    np.testing.assert_allclose(est.predict(y), image, rtol=1e-10)


def test_reptile_moves_weights_that_prediction_shares_too():
    """All weights of a modulated SIREN, by a loop over images and steps in plain torch."""
    init = ModulatedSiren(width=4, depth=3, omega_0=5.0, modulation="latent", latent_size=2)
    beta, step_size, n_steps = 0.5, 0.4, 3
    options = {"init": init, "solver": GradientDescent(), "algorithm": Reptile(n_steps)}
    before = on_pixels(**options, inner_lr=step_size, outer_lr=0.0).fit(IMAGES).weights_
    after = on_pixels(**options, inner_lr=step_size, outer_lr=beta).fit(IMAGES).weights_

    phi, A = init.build(SHAPE), Inpainting(fraction=0.4).build(SHAPE)
    f = GradientDescent().build(SHAPE)
    theta = {
        k.removeprefix("init."): torch.from_numpy(v) for k, v in before.items() if "init." in k
    }
    moved = {name: torch.zeros_like(weight) for name, weight in theta.items()}
    for x in torch.from_numpy(IMAGES)[:, None, None]:
        data = A.bind(A(x))
        own = {name: weight.clone().requires_grad_() for name, weight in theta.items()}
        for _ in range(n_steps):
            loss = (f(phi(own), data) - x).square().mean()
            gradients = torch.autograd.grad(loss, list(own.values()))
            with torch.no_grad():
                for weight, gradient in zip(own.values(), gradients, strict=True):
                    weight -= step_size * gradient
        for name, weight in own.items():
            moved[name] += (weight.detach() - theta[name]) / len(IMAGES)
    assert set(moved) == {"latent", "mapping.weight"} | {
        f"{layer}.{part}" for layer in range(3) for part in ("weight", "bias")
    }
    for name, displacement in moved.items():
        np.testing.assert_allclose(
            after[f"init.{name}"], theta[name] + beta * displacement, rtol=1e-9, atol=1e-12
        )
        assert displacement.abs().max() > 1e-6


# ---------------------------------------------------------------------- iMAML


@pytest.mark.parametrize("n_images", [1, 3])
def test_imaml_s_gradient_is_its_closed_form(n_images):
    """``prox (H + prox I)^-1 grad L_outer`` at the minimiser of the proximal problem."""
    prox = 0.5
    algorithm = IMAML(proximity=prox, n_cg=4)  # exact: four weights
    problem = Quadratic(n_images=n_images, alpha=0.4, rule="fixed")
    loss = algorithm.objective(problem.inner.loss)
    problem.inner = replace(problem.inner, m=400, loss=loss)
    found, _ = problem.found(algorithm)
    matrix = problem.H + prox * np.eye(4)
    expected = {"theta": 0.0, "s": 0.0}
    for i in range(n_images):
        b = problem.inner_gradient(np.zeros(4), i)
        theta_i = np.linalg.solve(matrix, prox * problem.theta - b)
        g_x = problem.outer_gradient(theta_i, i)
        v = np.linalg.solve(matrix, problem.B.T @ g_x)
        expected["theta"] = expected["theta"] + prox * v
        expected["s"] = expected["s"] + problem.C.T @ g_x - problem.K.T @ v
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-9)
    assert "alpha" not in found


def test_too_few_updates_of_conjugate_gradients_are_those_of_their_number():
    """One update is an exact line search from first-order MAML's gradient, for each image."""
    prox = 0.5
    algorithm = IMAML(proximity=prox, n_cg=1)
    problem = Quadratic(n_images=2, alpha=0.4, rule="fixed")
    loss = algorithm.objective(problem.inner.loss)
    problem.inner = replace(problem.inner, m=400, loss=loss)
    found, _ = problem.found(algorithm)
    matrix, expected = problem.H + prox * np.eye(4), 0.0
    for i in range(2):
        b = problem.inner_gradient(np.zeros(4), i)
        theta_i = np.linalg.solve(matrix, prox * problem.theta - b)
        g = problem.B.T @ problem.outer_gradient(theta_i, i)
        r = g - matrix @ g / prox
        expected = expected + prox * (g / prox + (r @ r) / (r @ matrix @ r) * r)
    np.testing.assert_allclose(found["theta"], expected, rtol=1e-9)


def test_where_the_inner_loss_is_not_convex_imaml_s_gradient_is_first_order_maml_s():
    class Concave(InnerObjective):
        def forward(self, x, data, theta_i, theta):
            return -theta_i["theta"].reshape(len(x), -1).square().sum(dim=1)

    algorithm = IMAML(proximity=0.5)
    problem = Quadratic(rule="fixed")
    problem.inner = replace(problem.inner, m=0, loss=algorithm.objective(Concave()))
    found, _ = problem.found(algorithm)
    expected = sum(problem.B.T @ problem.outer_gradient(problem.theta, i) for i in range(2))
    np.testing.assert_allclose(found["theta"], expected, rtol=1e-12)


def smooth(x, noise_level):
    """A nonlinear, smooth denoiser that does not depend on the noise level."""
    return x - 0.1 * torch.sin(x - x.mean(dim=(2, 3), keepdim=True))


class Gain(nn.Module):
    """A denoiser with one weight."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))

    def forward(self, x, noise_level):
        return self.gain * torch.tanh(x)


IMPLICIT = {
    "siren": (Siren(width=4, depth=3, omega_0=3.0), GradientDescent(), "l2"),
    "shared": (ModulatedSiren(4, depth=3, omega_0=3.0, modulation="scale_shift"), None, "l2"),
    "latent": (
        ModulatedSiren(
            4, depth=3, omega_0=3.0, modulation="latent", latent_size=2, residual="adjoint"
        ),
        None,
        "l2",
    ),
    "encoder": (ModulatedSiren(4, depth=3, omega_0=3.0, encoder=Encoder(2, depth=1)), None, "l2"),
    "solver": (
        ModulatedSiren(4, depth=3, omega_0=3.0),
        RED(FunctionDenoiser(Gain()), weight=0.7, n_iter=2, learnable=("weight",)),
        "l2",
    ),
    "inner_loss": (
        ModulatedSiren(4, depth=3, omega_0=3.0),
        GradientDescent(n_iter=2, step_size=0.5),
        InnerLoss(
            regularizer=FunctionDenoiser(smooth),
            weight=0.3,
            proximity=0.2,
            learnable=("weight", "proximity"),
        ),
    ),
}


@pytest.mark.parametrize("name", IMPLICIT)
@pytest.mark.parametrize("n_images", [1, 2])
def test_imaml_s_gradient_is_maml_s_where_the_inner_steps_come_to_rest(name, n_images):
    init, solver, inner_loss = IMPLICIT[name]
    rng = np.random.default_rng(0)
    algorithm = IMAML(proximity=3.0, n_cg=60)
    A, phi = Inpainting(fraction=0.4).build(SHAPE), init.build(SHAPE)
    f = (lambda x, data: x) if solver is None else solver.build(SHAPE)
    loss = algorithm.objective(as_inner_loss(inner_loss).build(SHAPE))
    inner = InnerLoop(phi, f, loss, as_rule("fixed"), 150, phi.adapted)
    theta = {
        k: v + torch.from_numpy(rng.normal(0, 0.1, v.shape))  # no weight is 0
        for k, v in phi.initial_weights(rng).items()
    }
    modules = [module for module in (f, loss) if isinstance(module, nn.Module)]
    leaves = [v.requires_grad_() for v in theta.values()]
    leaves += [p for module in modules for p in module.parameters()]
    x = torch.from_numpy(rng.random((n_images, *SHAPE)))
    task = Task(x, A.bind(A(x)), L2().build(), 0)
    alpha = {"alpha": torch.tensor(0.2, dtype=torch.float64)}

    def gradients(algorithm):
        for leaf in leaves:
            leaf.grad = None
        losses = algorithm.add_gradients(theta, alpha, task, inner, adapt)
        return losses, [leaf.grad for leaf in leaves]

    at_rest = adapt(theta, alpha, task.data, inner, learning=False).theta
    once_more = adapt(theta, alpha, task.data, replace(inner, m=151), learning=False).theta
    torch.testing.assert_close(at_rest, once_more, rtol=0, atol=1e-13)
    explicit, by_steps = gradients(MAML())
    implicit, by_optimality = gradients(algorithm)
    torch.testing.assert_close(implicit.outer, explicit.outer)
    torch.testing.assert_close(implicit.inner, explicit.inner)
    for a, b in zip(by_optimality, by_steps, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)
        assert b.abs().max() > 1e-6


def test_imaml_s_inner_steps_descend_the_proximal_objective_in_prediction_too():
    prox, alpha = 0.05, 4.0
    est = on_pixels(algorithm=IMAML(proximity=prox), inner_lr=alpha, outer_lr=20.0).fit(IMAGES)
    start, known = est.weights_["init.image"][0], ~hidden()
    assert np.abs(start).max() > 1e-2
    y = est.simulate(IMAGES)
    theta = np.broadcast_to(start, y.shape)
    for _ in range(2):
        fidelity = np.where(known, 2 * 0.5 / known.sum() * (0.5 + 0.5 * theta - y), 0)
        theta = theta - alpha * (fidelity + prox * (theta - start))
    np.testing.assert_allclose(est.predict(y), 0.5 + 0.5 * theta, rtol=1e-10)


@pytest.mark.parametrize("algorithm", BY_NAME)
def test_clean_images_may_have_pixels_that_nobody_knows(algorithm):
    X = IMAGES.copy()
    X[:, 1, 2] = np.nan
    options = {"operator": MissingPixels(0.7), "algorithm": algorithm, "outer_lr": 0.5}
    est = on_pixels(**options).fit(X)
    weights = est.weights_["init.image"][0]
    assert np.isfinite(weights).all()
    assert weights[1, 2] == 0
    assert (np.delete(weights, 6) != 0).all()


# ---------------------------------------------------------------------- errors


WITHOUT = {
    "solver": (
        {"solver": GradientDescent(learnable=("step_size",)), "tune_solver": True},
        "'tune_solver' parameter must be False",
    ),
    "inner loss": (
        {"inner_loss": InnerLoss(regularizer="tv", learnable=("weight",))},
        "'learnable' parameter of InnerLoss must be empty",
    ),
    "encoder": (
        {"init": Siren(width=4, depth=3, encoder=Encoder(width=2, depth=1))},
        "'encoder' parameter of the representation must be None",
    ),
}


@pytest.mark.parametrize(
    ("algorithm", "part"),
    [
        ("fomaml", "inner loss"),
        *(("reptile", part) for part in WITHOUT),
    ],
)
def test_what_has_no_gradient_is_refused(algorithm, part):
    options, message = WITHOUT[part]
    est = on_pixels(algorithm=algorithm, **options)
    name = re.escape(repr(BY_NAME[algorithm]))
    with pytest.raises(ValueError, match=f"{message} with the algorithm {name}, which has no"):
        est.fit(IMAGES)
    assert not hasattr(est, "weights_")


@pytest.mark.parametrize(
    ("algorithm", "part"),
    [
        *(("maml", part) for part in WITHOUT),
        *(("fomaml", part) for part in WITHOUT if part != "inner loss"),
        *(("imaml", part) for part in WITHOUT),
    ],
)
def test_what_has_a_gradient_is_learned(algorithm, part):
    options, _ = WITHOUT[part]
    still = on_pixels(algorithm=algorithm, **options).set_params(outer_lr=0.0)
    if part == "inner loss":
        still.set_params(inner_loss=clone(still.inner_loss).set_params(lr=0.0))
    before = still.fit(IMAGES).weights_
    after = on_pixels(algorithm=algorithm, outer_lr=1e-2, **options).fit(IMAGES).weights_
    prefix = {
        "solver": "solver.",
        "inner loss": "inner_loss.",
        "encoder": f"init.encoder.{1}.",  # the last layer is 0, so no gradient reaches earlier ones
    }[part]
    names = [name for name in after if name.startswith(prefix)]
    assert names
    for name in names:
        assert not np.array_equal(after[name], before[name])


# ------------------------------------------------------------ names of algorithms


@pytest.mark.parametrize("name", BY_NAME)
def test_a_string_is_shorthand_for_an_object(name):
    own = BY_NAME[name]
    assert repr(as_algorithm(name)) == repr(own)
    assert as_algorithm(own) is own
    by_name, by_object = (on_pixels(algorithm=a).fit(IMAGES) for a in (name, clone(own)))
    np.testing.assert_array_equal(by_name.weights_["init.image"], by_object.weights_["init.image"])
    assert repr(by_name.algorithm_) == repr(own)


def test_algorithms_differ():
    """So a grid over their names makes sense."""
    learned = [on_pixels(algorithm=name).fit(IMAGES).weights_["init.image"] for name in BY_NAME]
    for i, a in enumerate(learned):
        assert not any(np.allclose(a, b, rtol=1e-3, atol=0) for b in learned[:i])


def test_an_unknown_algorithm_is_refused():
    for wrong in ("anil", Siren(), MAML):
        with pytest.raises(ValueError, match="'algorithm' parameter of MetaInverseSolver must be"):
            on_pixels(algorithm=wrong).fit(IMAGES)
