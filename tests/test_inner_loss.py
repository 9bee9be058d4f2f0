"""Inner losses: the data fidelity, a regulariser, a proximal term."""

import pickle

import numpy as np
import pytest
import torch
from settings import PLAIN, SMALL_FACES, small
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from skmetainv.denoisers import DnCNN, FunctionDenoiser, TotalVariation
from skmetainv.losses import L1, L2, as_loss
from skmetainv.meta import MAML, InnerLoop, InnerLoss, adapt, as_inner_loss, as_rule
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.representations import ModulatedSiren, PixelGrid
from skmetainv.solvers import GradientDescent

SHAPE = (2, 4, 5)
FACES = SMALL_FACES[:8, 1:8, 1:8]
NET = DnCNN(0.1, depth=2, width=3, max_epochs=1, patch_size=7)


def images(n=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((n, *SHAPE)))


def shrink(x, noise_level):
    """A linear denoiser that is not symmetric: it averages neighbours along one axis."""
    return 0.5 * x + 0.3 * torch.roll(x, 1, dims=3) + 0.2 * torch.roll(x, 2, dims=3)


def on_faces(**options):
    own = PLAIN | {"inner_lr": 0.5, "max_epochs": 2, "precision": "float64"}
    return small(**{"operator": Inpainting()} | own | options)


def value(loss, x, y=None, operator=None, theta_i=None, theta=None, data_range=(0.0, 1.0)):
    """The loss of some images, one value for each."""
    data = (operator or GaussianBlur(sigma=0.8)).build(SHAPE).bind(x if y is None else y)
    return loss.build(SHAPE, data_range)(x, data, theta_i or {}, theta or {})


def regularizer(R, x, **options):
    """The regulariser alone: the loss with it, minus the loss without it."""
    heavy = value(InnerLoss(regularizer=R, weight=1.0, **options), x)
    return heavy - value(InnerLoss(**options), x)


# ---------------------------------------------------------------------- data fidelity


@pytest.mark.parametrize("operator", [GaussianBlur(sigma=0.8), Inpainting(), MissingPixels(0.4)])
def test_the_default_is_equation_4(operator):
    """``||A x - y||^2`` over observed entries: the paper has the sum, the default is the mean."""
    A, x = operator.build(SHAPE), images()
    y = A.simulate(images(seed=1), lambda y, _: y, [np.random.default_rng(i) for i in range(3)])
    data = A.bind(y)
    observed = ~y.isnan() if A.observed is None or y.isnan().any() else A.observed.expand_as(y)
    for i in range(3):
        matrix = data.A.explicit()[i if data.A.explicit().shape[0] > 1 else 0].numpy()
        residual = matrix @ x[i].flatten().numpy() - y[i].flatten().nan_to_num().numpy()
        squares = residual[observed[i].flatten().numpy()] ** 2
        for loss, expected in (
            (InnerLoss(), squares.mean()),
            (as_inner_loss("l2"), squares.mean()),
            (InnerLoss(L2(reduction="sum")), squares.sum()),
        ):
            found = loss.build(SHAPE)(x, data, {}, {})[i].item()
            assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "fidelity", ["l1", "ssim", L1(), {"l1": 0.5, "l2": 2.0}, lambda x, y: (x - y).flatten(1).sum(1)]
)
def test_any_loss_may_be_the_fidelity(fidelity):
    x, y = images(), images(seed=1)
    A = GaussianBlur(sigma=0.8).build(SHAPE)
    expected = as_loss(fidelity).build()(A(x), y, None)
    for loss in (as_inner_loss(fidelity), InnerLoss(fidelity)):
        torch.testing.assert_close(value(loss, x, y), expected)


# ---------------------------------------------------------------------- total variation


def total_variation(x):
    """Total variation by loops: the mean over pixels of the gradient's length."""
    total = 0.0
    for channel in x.numpy():
        for i in range(channel.shape[0]):
            for j in range(channel.shape[1]):
                down = channel[i + 1, j] - channel[i, j] if i + 1 < channel.shape[0] else 0
                along = channel[i, j + 1] - channel[i, j] if j + 1 < channel.shape[1] else 0
                total += np.hypot(down, along)
    return total / x.numel()


@pytest.mark.parametrize("contrast", [1.0, 1e-2, 0.0])
def test_tv_is_total_variation_smoothed_below_a_thousandth(contrast):
    x = 0.5 + contrast * (images() - 0.5)
    found = regularizer("tv", x)
    for image, R in zip(x, found, strict=True):
        assert 0 <= R.item() <= total_variation(image) + 1e-12
        assert R.item() == pytest.approx(total_variation(image), abs=1e-3)


def test_tv_of_an_edge_is_its_height_times_its_length():
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    x[:, :, :, 3:] = 0.8
    assert regularizer("tv", x).item() == pytest.approx(0.8 * 4 / 20, rel=2e-3)


@pytest.mark.parametrize("contrast", [1.0, 1e-3, 0.0])
def test_tv_has_exact_second_derivatives_on_constant_images_too(contrast):
    x = (0.5 + contrast * (images(2) - 0.5)).requires_grad_()
    R = InnerLoss(regularizer="tv", weight=1.0).build(SHAPE)
    data = GaussianBlur(sigma=0.8).build(SHAPE).bind(images(2))

    def loss(x):
        return R(x, data, {}, {})

    assert torch.autograd.gradcheck(loss, x, eps=1e-7, rtol=1e-4)
    assert torch.autograd.gradgradcheck(loss, x, eps=1e-7, rtol=1e-3)
    (gradient,) = torch.autograd.grad(loss(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert second.isfinite().all()


# ---------------------------------------------------------------------- denoisers


def test_a_denoiser_regularises_by_what_it_takes_away():
    """``x'(x - D x) / 2n`` has the gradient ``(x - (D + D') x / 2) / n`` for a matrix ``D``."""
    x = images().requires_grad_()
    R = regularizer(FunctionDenoiser(shrink), x)
    (gradient,) = torch.autograd.grad(R.sum(), x)
    n = x[0].numel()
    D = shrink(torch.eye(n, dtype=torch.float64).reshape(n, *SHAPE), None).reshape(n, n).T.numpy()
    for i in range(3):
        v = x[i].detach().flatten().numpy()
        assert R[i].item() == pytest.approx(v @ (v - D @ v) / (2 * n))
        expected = (v - (D + D.T) @ v / 2) / n
        np.testing.assert_allclose(gradient[i].flatten(), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "denoiser",
    [
        TotalVariation(noise_level=0.2, n_iter=20),
        FrozenEstimator(TotalVariation(noise_level=0.2, n_iter=20)),
    ],
)
def test_total_variation_may_be_the_denoiser(denoiser):
    x = images()
    D = TotalVariation(noise_level=0.2, n_iter=20).build(SHAPE)
    expected = (x * (x - D(x))).flatten(1).mean(1) / 2
    torch.testing.assert_close(regularizer(denoiser, x), expected)
    assert (expected > 1e-3).all()


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda D: FrozenEstimator(FrozenEstimator(D))])
def test_a_frozen_denoiser_is_taken_as_it_is(wrap):
    X = np.random.default_rng(1).random((6, 7, 7))
    net = clone(NET).set_params(random_state=3, precision="float64").fit(X)
    before = {name: weight.copy() for name, weight in net.weights_.items()}
    loss = InnerLoss(regularizer=wrap(net), weight=1.0)
    est = on_faces(inner_loss=loss, max_epochs=1).fit(FACES)
    inside = est.inner_loss_.regularizer
    while isinstance(inside, FrozenEstimator):
        inside = inside.estimator
    for name, weight in before.items():
        np.testing.assert_array_equal(inside.weights_[name], weight)
        np.testing.assert_array_equal(net.weights_[name], weight)
    x = torch.from_numpy(FACES)[:, None]
    data = Inpainting().build((1, 7, 7)).bind(x)
    R = loss.build((1, 7, 7))(x, data, {}, {})  # no misfit: the data are the images
    expected = (FACES * (FACES - net.predict(FACES))).mean(axis=(1, 2)) / 2
    np.testing.assert_allclose(R.detach(), expected, rtol=1e-9)


def test_a_denoiser_that_is_not_fitted_is_fitted_with_the_estimator():
    """It equals a denoiser that was fitted to the same images, with the estimator's seed."""
    loss = InnerLoss(regularizer=clone(NET), weight=5.0)
    est = on_faces(inner_loss=loss).fit(FACES)
    assert not hasattr(loss.regularizer, "weights_")
    before = FrozenEstimator(clone(NET).set_params(random_state=0).fit(FACES))
    expected = on_faces(inner_loss=InnerLoss(regularizer=before, weight=5.0)).fit(FACES)
    without = on_faces().fit(FACES)
    np.testing.assert_array_equal(est.predict(FACES), expected.predict(FACES))
    assert not np.allclose(est.predict(FACES), without.predict(FACES), atol=1e-4)
    for name, weight in before.estimator.weights_.items():
        np.testing.assert_array_equal(est.inner_loss_.regularizer.weights_[name], weight)


def test_the_weights_of_a_denoiser_stay_as_fitted():
    """Only the regulariser's weight in the loss is trained."""
    loss = InnerLoss(regularizer=clone(NET), learnable=("weight",), lr=0.1)
    est = on_faces(inner_loss=loss, max_epochs=3, outer_lr=0.1).fit(FACES)
    alone = clone(NET).set_params(random_state=0).fit(FACES)
    for name, weight in alone.weights_.items():
        np.testing.assert_array_equal(est.inner_loss_.regularizer.weights_[name], weight)
    assert len([name for name in est.weights_ if name.startswith("inner_loss.")]) == 1


# ---------------------------------------------------------------------- proximity


@pytest.mark.parametrize("regularized", [False, True])
def test_the_proximal_term_is_half_the_squared_distance(regularized):
    """Its value and gradient, over all adapted weights of each image."""
    rng = np.random.default_rng(0)
    options = {"regularizer": "tv"} if regularized else {}
    theta = {"a": torch.from_numpy(rng.random((2, 3))), "b": torch.from_numpy(rng.random(4))}
    theta_i = {
        k: torch.from_numpy(rng.random((3, *v.shape))).requires_grad_() for k, v in theta.items()
    }
    x = images()
    shared = theta | {"c": torch.zeros(5)}
    near = InnerLoss(proximity=0.7, **options)
    found = value(near, x, theta_i=theta_i, theta=shared) - value(InnerLoss(**options), x)
    gradients = torch.autograd.grad(found.sum(), list(theta_i.values()))
    for i in range(3):
        distance = sum(np.sum((theta_i[k][i].detach() - theta[k]).numpy() ** 2) for k in theta)
        assert found[i].item() == pytest.approx(0.7 / 2 * distance)
    for k, gradient in zip(theta, gradients, strict=True):
        torch.testing.assert_close(gradient, 0.7 * (theta_i[k] - theta[k]).detach())
    alone = {k: v[0] for k, v in theta_i.items()}  # weights without a first axis
    single = value(near, x[:1], theta_i=alone, theta=shared)
    torch.testing.assert_close(single - value(InnerLoss(**options), x[:1]), found[:1])


def test_a_great_proximity_holds_the_weights_back():
    """Many steps on pixels converge to the minimiser of the proximal problem (NumPy)."""
    proximity, n = 0.05, 49
    options = {
        "init": PixelGrid(),
        "operator": None,
        "algorithm": MAML(step_sizes="fixed"),
        "inner_lr": 5.0,
    }
    loss = InnerLoss(proximity=proximity)
    est = on_faces(**options, inner_loss=loss, n_inner=200, outer_lr=1e-2, max_epochs=1).fit(FACES)
    start = est.weights_["init.image"][0]
    assert np.abs(start).max() > 1e-3
    # phi = 1/2 + theta / 2: (1 / 2n + proximity) theta = (2 y - 1) / 2n + proximity start
    theta = ((2 * FACES - 1) / (2 * n) + proximity * start) / (1 / (2 * n) + proximity)
    np.testing.assert_allclose(est.predict(FACES), 0.5 + theta / 2, rtol=1e-9)


# ---------------------------------------------------------------------- learnable weights


LEARNABLE = {
    "tv": InnerLoss(regularizer="tv", weight=0.05, learnable=("weight",)),
    "denoiser": InnerLoss(regularizer=FunctionDenoiser(shrink), weight=0.05, learnable=["weight"]),
    "proximity": InnerLoss(proximity=0.05, learnable=("proximity",)),
    "both": InnerLoss(
        regularizer="tv", weight=0.05, proximity=0.02, learnable=("weight", "proximity")
    ),
}
every_learnable = pytest.mark.parametrize("name", LEARNABLE)


def at_rate(loss, lr):
    return clone(loss).set_params(lr=lr)


def logarithms(est):
    return {k: v for k, v in est.weights_.items() if k.startswith("inner_loss.")}


@every_learnable
def test_learnable_weights_train_and_stay_positive(name):
    loss = LEARNABLE[name]
    initial = {getattr(loss, parameter) for parameter in loss.learnable}
    still = on_faces(inner_loss=at_rate(loss, 0.0), outer_lr=0.0, max_epochs=1).fit(FACES)
    assert {round(float(np.exp(v).item()), 12) for v in logarithms(still).values()} == initial
    trained = on_faces(inner_loss=at_rate(loss, 0.5), max_epochs=4).fit(FACES)
    assert len(logarithms(trained)) == len(loss.learnable)
    for key, logarithm in logarithms(trained).items():
        assert np.exp(logarithm) > 0
        assert np.abs(logarithm - logarithms(still)[key]) > 0.1


def test_a_step_of_adam_moves_a_learnable_weight_by_a_percent():
    loss = InnerLoss(regularizer="tv", weight=0.05, learnable=("weight",))
    est = on_faces(inner_loss=loss, batch_size=len(FACES), max_epochs=1).fit(FACES)
    (logarithm,) = logarithms(est).values()
    assert abs(logarithm - np.log(0.05)) == pytest.approx(0.01, rel=1e-3)


def test_weights_that_are_not_learnable_are_not_learned():
    loss = InnerLoss(regularizer="tv", weight=0.05, proximity=0.02, learnable=("proximity",), lr=0)
    (logarithm,) = logarithms(on_faces(inner_loss=loss).fit(FACES)).values()
    assert np.exp(logarithm) == pytest.approx(0.02)
    assert logarithms(on_faces(inner_loss=InnerLoss(regularizer="tv")).fit(FACES)) == {}


@every_learnable
def test_learning_goes_on_where_it_ended(name):
    options = {"inner_loss": at_rate(LEARNABLE[name], 0.5)}
    whole, parts = on_faces(max_epochs=3, **options).fit(FACES), on_faces(**options)
    for _ in range(3):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(FACES)))
    for key, logarithm in logarithms(whole).items():
        np.testing.assert_array_equal(logarithms(parts)[key], logarithm)


@every_learnable
def test_predictions_go_by_the_learned_weights(name):
    """They equal predictions with these weights set by hand, not those with initial weights."""
    loss = at_rate(LEARNABLE[name], 0.5)
    est = on_faces(inner_loss=loss, inner_lr=2.0, max_epochs=4).fit(FACES)
    learned = dict(logarithms(est))
    assert set(learned) == {f"inner_loss.{name}.logarithm" for name in loss.learnable}
    by_hand = clone(loss).set_params(learnable=(), lr=None)
    for parameter in loss.learnable:
        logarithm = learned[f"inner_loss.{parameter}.logarithm"]
        by_hand.set_params(**{parameter: float(np.exp(logarithm).item())})

    def with_theta(loss):
        other = on_faces(inner_loss=loss, inner_lr=2.0, max_epochs=1).fit(FACES)
        for key in other.weights_:
            other.weights_[key] = est.weights_[key]
        return pickle.loads(pickle.dumps(other))

    y = est.simulate(FACES)
    restored = est.predict(y)
    np.testing.assert_allclose(with_theta(by_hand).predict(y), restored, rtol=1e-9)
    first = with_theta(clone(loss).set_params(learnable=(), lr=None)).predict(y)
    assert np.abs(first - restored).max() > 1e-6
    changed = pickle.loads(pickle.dumps(est))
    for key in learned:
        changed.weights_[key] = changed.weights_[key] + 1.0
    assert np.abs(changed.predict(y) - restored).max() > 1e-6


@every_learnable
def test_the_gradient_of_a_learnable_weight_is_that_of_finite_differences(name):
    rng = np.random.default_rng(0)
    shape = (1, 4, 4)
    phi = ModulatedSiren(width=4, depth=3, omega_0=5.0).build(shape)
    theta = phi.initial_weights(rng)
    x = torch.from_numpy(rng.random((2, *shape)))
    A = Inpainting().build(shape)
    f = GradientDescent().build(shape)
    loss = LEARNABLE[name].build(shape)
    inner = InnerLoop(phi, f, loss, as_rule("fixed"), 3, phi.adapted)
    alpha = {"alpha": torch.tensor(0.5, dtype=torch.float64)}
    parameters = list(loss.parameters())

    def outer(*values):
        with torch.no_grad():
            for p, v in zip(parameters, values, strict=True):
                p.copy_(v)
        weights = {k: v.clone().requires_grad_() for k, v in theta.items()}
        result = adapt(weights, alpha, A.bind(A(x)), inner, learning=True).stages[-1]
        return (result - x).square().mean()

    here = [p.detach().clone() for p in parameters]
    gradients = torch.autograd.grad(outer(*here), parameters)
    for i, gradient in enumerate(gradients):
        step = [1e-5 * float(j == i) for j in range(len(here))]
        ahead = outer(*(v + h for v, h in zip(here, step, strict=True)))
        behind = outer(*(v - h for v, h in zip(here, step, strict=True)))
        difference = (ahead - behind).item() / 2e-5
        assert gradient.item() == pytest.approx(difference, rel=1e-5)
        assert gradient.abs().item() > 1e-8


# ---------------------------------------------------------------------- units


@pytest.mark.parametrize(
    "loss_in",
    [
        lambda width: InnerLoss(regularizer="tv", weight=0.1),
        lambda width: InnerLoss("l1", regularizer="tv", weight=0.1, learnable=("weight",)),
        lambda width: InnerLoss(proximity=0.1),
        lambda width: InnerLoss(regularizer=FunctionDenoiser(shrink), weight=0.5),
        lambda width: InnerLoss(regularizer=TotalVariation(0.1 * width, n_iter=10), weight=0.5),
        lambda width: InnerLoss(
            regularizer=clone(NET).set_params(noise_level=0.1 * width, precision="float64")
        ),
    ],
    ids=["tv", "learnable", "proximity", "function", "total_variation", "network"],
)
@pytest.mark.parametrize(("low", "high"), [(0.0, 4095.0), (-1000.0, 2000.0)])
def test_other_units_change_nothing_but_the_units(loss_in, low, high):
    def units(x):
        return low + (high - low) * x

    a = on_faces(operator=GaussianBlur(sigma=0.8), inner_loss=loss_in(1.0)).fit(FACES)
    b = on_faces(
        operator=GaussianBlur(sigma=0.8), inner_loss=loss_in(high - low), data_range=(low, high)
    ).fit(units(FACES))
    y = a.simulate(FACES)
    np.testing.assert_allclose(b.predict(units(y)), units(a.predict(y)), rtol=1e-7)
    np.testing.assert_allclose(b.history_["inner_loss"], a.history_["inner_loss"], rtol=1e-7)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (InnerLoss(learnable=("weight",)), "'learnable' parameter .* Got 'weight'"),
        (InnerLoss(regularizer="tv", learnable=("proximity",)), "Got 'proximity' instead"),
        (InnerLoss(regularizer="tv", learnable=("fidelity",)), "Got 'fidelity' instead"),
        (InnerLoss(regularizer="tv", learnable="weight"), "'learnable' parameter"),
        (InnerLoss(regularizer="tv", weight=0.0), "'weight' parameter"),
        (InnerLoss(regularizer="tv", weight=-1.0), "'weight' parameter"),
        (InnerLoss(proximity=0.0), "'proximity' parameter"),
        (InnerLoss(regularizer="l1"), "'regularizer' parameter"),
        (InnerLoss(regularizer=GradientDescent()), "'regularizer' parameter"),
        (InnerLoss(regularizer=FrozenEstimator(Ridge())), "'regularizer' parameter .* a Denoiser"),
        (InnerLoss(regularizer=TotalVariation(noise_level=-1)), "'noise_level' parameter"),
        (InnerLoss("l3"), "'fidelity' parameter"),
        (InnerLoss({"l3": 1.0}), "A loss by name must be one of"),
        ("l3", "'inner_loss' parameter"),
        (TotalVariation(), "'inner_loss' parameter"),
    ],
)
def test_what_makes_no_inner_loss_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        on_faces(inner_loss=loss).fit(FACES)


def test_it_is_searched_by_nested_names():
    est = on_faces(inner_loss=InnerLoss(regularizer=TotalVariation()))
    est.set_params(inner_loss__weight=0.3, inner_loss__regularizer__noise_level=0.2)
    assert est.inner_loss.weight == 0.3
    assert est.inner_loss.regularizer.noise_level == 0.2
    loss = InnerLoss("l1")
    assert as_inner_loss(loss) is loss
    assert repr(clone(LEARNABLE["both"])) == repr(LEARNABLE["both"])
