"""The training loop and its options."""

from functools import partial

import numpy as np
import pytest
import settings
import torch
from settings import PAPER
from settings import SIX_SMALL_FACES as FACES
from sklearn.exceptions import ConvergenceWarning
from torch.utils._python_dispatch import TorchDispatchMode

from skmetainv.arrays import ArraySource, image_layout
from skmetainv.meta import MAML, PerStep
from skmetainv.noise import GaussianNoise
from skmetainv.operators import MissingPixels
from skmetainv.randomness import (
    augmentation_generator,
    evaluation_generators,
    integer_seed,
    order_generator,
    training_generators,
    weights_generator,
)
from skmetainv.training import (
    SGD,
    Adam,
    AdamW,
    Batches,
    BestWeights,
    Constant,
    Cosine,
    SimulatedPairs,
    TrainingLoop,
    as_early_stopping,
    as_learning_rate,
    as_optimizer,
    load_arrays,
    state_to_arrays,
)

CPU = torch.device("cpu")


#: Two steps in an epoch.
small = partial(settings.small, **PAPER | {"n_inner": 1, "max_epochs": 4, "batch_size": 3})


def numbered(n, batch_size, seed=0):
    """Batches in which each image is its index, a number."""

    def read(indices, epoch):
        x = torch.from_numpy(indices).double()
        return x, x

    return Batches(n, batch_size, seed, read)


def seen(batches, epoch):
    return [x.long().tolist() for x, _ in batches.epoch(epoch)]


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (10, 30), (1, 5)])
def test_an_epoch_sees_every_image_once(n, batch_size):
    batches = numbered(n, batch_size)
    drawn = seen(batches, 0)
    assert sorted(i for batch in drawn for i in batch) == list(range(n))
    assert len(drawn) == len(batches)
    assert all(batch == sorted(batch) for batch in drawn)


def test_epochs_have_orders_of_their_own_that_the_seed_fixes():
    batches = numbered(20, 4)
    assert seen(batches, 0) != seen(batches, 1)
    assert seen(batches, 0) == seen(numbered(20, 4), 0)
    assert seen(batches, 0) != seen(numbered(20, 4, seed=1), 0)


def source_of(images):
    return ArraySource(images, image_layout(images.shape, None), dtype=torch.float64, device=CPU)


def test_draws_of_an_image_depend_on_seed_epoch_and_index_alone():
    images = np.random.default_rng(0).random((6, 4, 4))
    source = source_of(images)
    noise = GaussianNoise(0.1).build()
    A = MissingPixels().build((1, 4, 4))
    pairs = SimulatedPairs(source, A, noise, seed=3)
    _, many, *_ = pairs(np.array([1, 2, 5]), epoch=2)
    _, one, *_ = pairs(np.array([5]), epoch=2)
    torch.testing.assert_close(many[2:], one, equal_nan=True)
    _, next_epoch, *_ = pairs(np.array([5]), epoch=3)
    assert not torch.equal(next_epoch.isnan(), one.isnan())
    _, other_seed, *_ = SimulatedPairs(source, A, noise, seed=4)(np.array([5]), epoch=2)
    assert not torch.equal(other_seed.isnan(), one.isnan())


def test_streams_are_independent():
    draws = [
        weights_generator(0).random(),
        order_generator(0, 0).random(),
        training_generators(0, 0, [0])[0].random(),
        training_generators(0, 1, [0])[0].random(),
        training_generators(0, 0, [1])[0].random(),
        evaluation_generators(0, [0])[0].random(),
        augmentation_generator(0, 0, 0).random(),
        augmentation_generator(0, 1, 0).random(),
        augmentation_generator(0, 0, 1).random(),
    ]
    assert len(set(draws)) == len(draws)


# ---------------------------------------------------------------------- the loop


def zero(*shape):
    return torch.zeros(shape, dtype=torch.float64, requires_grad=True)


def fit_mean(batches, optimizer, w, **options):
    """Minimise the mean squared distance between one number `w` and the images."""
    loop = TrainingLoop(batches, optimizer, {"w": w}, **options)
    for x, _ in loop:
        loss = (w - x).square()
        loss.sum().backward()
        loop.descend(loss=loss)
    return loop


def test_the_loop_minimises_and_keeps_a_history():
    w = zero()
    loop = fit_mean(numbered(5, 5), torch.optim.Adam([w], lr=0.1), w, max_epochs=200)
    assert w.item() == pytest.approx(2, abs=0.05)
    assert {name: len(values) for name, values in loop.history.items()} == {
        "loss": 200,
        "learning_rate": 200,
        "seconds": 200,
    }
    assert loop.epoch == loop.n_epochs == 200
    assert loop.history["loss"][0] == pytest.approx(np.mean(np.arange(5) ** 2))


def test_the_gradient_of_a_step_is_the_mean_over_the_images_of_its_batch():
    """Steps from 0 with the gradient 2 (w - mean), in batches of 4 and of 1."""
    batches, w = numbered(5, 4), zero()
    fit_mean(batches, torch.optim.SGD([w], lr=0.1), w, max_epochs=1)
    expected = 0.0
    for numbers in seen(batches, 0):
        expected -= 0.1 * 2 * (expected - np.mean(numbers))
    assert w.item() == pytest.approx(expected, rel=1e-12)


def test_history_is_the_mean_over_images_not_over_batches():
    w = zero()
    loop = fit_mean(numbered(5, 4), torch.optim.SGD([w], lr=0.0), w, max_epochs=1)
    assert loop.history["loss"] == [pytest.approx(np.mean(np.arange(5) ** 2))]


def test_figures_with_several_numbers_per_image_have_as_many_in_the_history():
    w = zero()
    loop = TrainingLoop(numbered(5, 4), torch.optim.SGD([w], lr=0.0), {"w": w}, max_epochs=1)
    for x, _ in loop:
        loop.descend(loss=x, powers=torch.stack([x, x**2], dim=1))
    assert loop.history["loss"] == [pytest.approx(2)]
    assert loop.history["powers"] == [pytest.approx([2, 6])]


def test_training_goes_on_after_a_round_trip_of_the_optimiser():
    once = zero()
    fit_mean(numbered(5, 2), torch.optim.Adam([once], lr=0.1), once, max_epochs=6)

    w, state = zero(), {}
    for epoch in range(6):
        optimizer = torch.optim.Adam([w], lr=0.1)
        load_arrays(optimizer, state)
        fit_mean(numbered(5, 2), optimizer, w, max_epochs=1, first_epoch=epoch)
        state = state_to_arrays(optimizer)
    assert w.item() == once.item()


@pytest.mark.parametrize("bad", ["loss", "gradient", "square"])
def test_a_step_that_is_not_finite_is_skipped_and_told(bad):
    w = zero()
    loop = TrainingLoop(numbered(4, 1), torch.optim.SGD([w], lr=0.1), {"w": w}, max_epochs=1)
    with pytest.warns(ConvergenceWarning, match=r"1 step\(s\) had a loss or a squared gradient"):
        for x, _ in loop:
            loss = (w - x).square()
            loss.sum().backward()
            if x.item() == 2:
                w.grad.fill_(1e200 if bad == "square" else torch.inf)
                loss = loss * (torch.nan if bad == "loss" else 1)
            loop.descend(loss=loss)
    assert w.isfinite()
    assert loop.n_epochs == 1


class Looks(TorchDispatchMode):
    """Counts how often the processor needs a number of a tensor, and so waits for its device."""

    n_looks = 0

    def __torch_dispatch__(self, fn, types, args=(), kwargs=None):
        self.n_looks += fn is torch.ops.aten._local_scalar_dense.default
        return fn(*args, **(kwargs or {}))


@pytest.mark.parametrize("adam", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("first", [True, False])
def test_with_fused_adam_the_device_skips_steps_without_a_look(adam, first):
    """The library builds fused Adam for weights on CUDA devices."""
    weights, histories, n_looks = [], [], []
    for fused in (False, True):
        w = torch.tensor([3.0, -1.0], requires_grad=True)
        loop = TrainingLoop(
            numbered(4, 1),
            adam([w], lr=0.1, fused=fused),
            {"w": w},
            max_epochs=2,
            max_grad_norm=1.0,
        )
        with pytest.warns(ConvergenceWarning, match=r"2 step\(s\) had a loss or"):
            for i, (x, _) in enumerate(loop):
                loss = (w - x).square().sum()[None]
                loss.sum().backward()
                if i % 4 == (0 if first else 2):
                    loss = loss * torch.nan
                with Looks() as looks:
                    loop.descend(loss=loss)
                n_looks.append(looks.n_looks)
        weights.append(w.detach())
        histories.append({k: v for k, v in loop.history.items() if k != "seconds"})
    torch.testing.assert_close(*weights)
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5)
    assert set(n_looks[:8]) != {0}
    assert set(n_looks[8:]) == {0}


@pytest.mark.parametrize("optimizer", [Adam(), AdamW()])
def test_weights_of_a_group_may_be_an_iterator_or_one_tensor(optimizer):
    """As torch's own optimisers take them."""
    weights = [zero(), zero()]
    groups = [{"params": iter(weights), "lr": 0.1}, {"params": zero(), "lr": 0.1}]
    built = optimizer.build(groups)
    assert [len(group["params"]) for group in built.param_groups] == [2, 1]


@pytest.mark.cuda
def test_a_step_with_adam_does_not_wait_for_a_cuda_device():
    w = torch.zeros(3, device="cuda", requires_grad=True)
    optimizer = Adam().build([{"params": [w], "lr": 0.1}])
    loop = TrainingLoop(numbered(4, 2), optimizer, {"w": w}, max_epochs=1, max_grad_norm=1.0)
    mode = torch.cuda.get_sync_debug_mode()
    for _ in loop:
        loss = (w - 1).square().sum().expand(2)
        loss.sum().backward()
        torch.cuda.set_sync_debug_mode("error")
        try:
            loop.descend(loss=loss)
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    assert (w > 0).all()


def test_an_epoch_without_a_finite_step_ends_training():
    w = zero()
    loop = TrainingLoop(numbered(4, 2), torch.optim.SGD([w], lr=0.1), {"w": w}, max_epochs=9)
    steps = 0
    with pytest.warns(ConvergenceWarning, match="training stopped"):
        for x, _ in loop:
            steps += 1
            loop.descend(loss=x * torch.nan)
    assert steps == 2
    assert loop.n_epochs == 0
    assert loop.history == {}


def test_an_observer_is_told_of_every_epoch_and_may_stop():
    class Observer:
        told = []

        def begin(self):
            self.told.append("begin")

        def end(self):
            self.told.append("end")
            return len(self.told) == 4

    w = zero()
    loop = fit_mean(
        numbered(4, 2), torch.optim.SGD([w], lr=0.1), w, max_epochs=9, observer=Observer()
    )
    assert Observer.told == ["begin", "end"] * 2
    assert loop.epoch == len(loop.history["loss"]) == 2


def test_progress_is_shown_when_asked_for(capsys):
    w = zero()
    fit_mean(numbered(4, 2), torch.optim.SGD([w], lr=0.1), w, max_epochs=2)
    assert capsys.readouterr().err == ""
    loop = TrainingLoop(
        numbered(4, 2), torch.optim.SGD([w], lr=0.1), {"w": w}, max_epochs=2, show_progress=True
    )
    for x, _ in loop:
        loop.descend(loss=x)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2
    assert shown[1].startswith("epoch 2/2: loss=1.5, learning_rate=0.1, seconds=")


# ---------------------------------------------------------------------- optimisers

GRADIENTS = np.random.default_rng(0).normal(size=(6, 3))


def adam(w, lr, beta_1=0.9, beta_2=0.999, decay=0.0):
    """Algorithm 1 of Kingma and Ba; with decay, algorithm 2 of Loshchilov and Hutter."""
    m = v = 0.0
    for t, g in enumerate(GRADIENTS, 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        direction = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + 1e-8)
        w = w - lr * (direction + decay * w)
    return w


def sgd(w, lr, momentum=0.0, nesterov=False):
    """Sutskever et al. (2013) in torch's form, with the learning rate outside the velocity."""
    velocity = 0.0
    for g in GRADIENTS:
        velocity = momentum * velocity + g
        w = w - lr * (g + momentum * velocity if nesterov else velocity)
    return w


@pytest.mark.parametrize(
    ("optimizer", "by_hand"),
    [
        ("adam", lambda w, lr: adam(w, lr)),
        (Adam(beta_1=0.5, beta_2=0.7), lambda w, lr: adam(w, lr, 0.5, 0.7)),
        ("adamw", lambda w, lr: adam(w, lr, decay=0.01)),
        (AdamW(0.3, beta_1=0.5, beta_2=0.7), lambda w, lr: adam(w, lr, 0.5, 0.7, 0.3)),
        ("sgd", lambda w, lr: sgd(w, lr)),
        (SGD(momentum=0.8), lambda w, lr: sgd(w, lr, 0.8)),
        (SGD(momentum=0.8, nesterov=True), lambda w, lr: sgd(w, lr, 0.8, nesterov=True)),
    ],
)
def test_optimisers_step_by_their_papers_formulas(optimizer, by_hand):
    start = np.array([1.0, -2.0, 0.5])
    first, second = (torch.tensor(start, requires_grad=True) for _ in range(2))
    built = as_optimizer(optimizer).build(
        [{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.02}]
    )
    for g in GRADIENTS:
        first.grad, second.grad = torch.tensor(g), torch.tensor(g)
        built.step()
    np.testing.assert_allclose(first.detach(), by_hand(start, 0.1), rtol=1e-10)
    np.testing.assert_allclose(second.detach(), by_hand(start, 0.02), rtol=1e-10)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Adam(beta_1=1.0), r"'beta_1' parameter of Adam must be a float in the range \[0"),
        (AdamW(beta_2=-0.1), "'beta_2' parameter of AdamW"),
        (AdamW(weight_decay=-1.0), "'weight_decay' parameter of AdamW"),
        (SGD(momentum=1.0), "'momentum' parameter of SGD"),
        (SGD(nesterov=True), "'nesterov' parameter of SGD needs a positive momentum"),
    ],
)
def test_bad_options_of_optimisers_are_named(optimizer, message):
    with pytest.raises(ValueError, match=message):
        small(optimizer=optimizer).fit(FACES)


# ---------------------------------------------------------------------- learning rates


def rates_of_steps(learning_rate, *, n_epochs, rate=1.0, **options):
    """The learning rate of every step, two in an epoch."""
    w = zero()
    loop = TrainingLoop(
        numbered(4, 2),
        torch.optim.SGD([w], lr=rate),
        {"w": w},
        max_epochs=n_epochs,
        learning_rate=learning_rate,
        **options,
    )
    rates = []
    for x, _ in loop:
        rates.append(loop.optimizer.param_groups[0]["lr"])
        loop.descend(loss=x)
    assert loop.history["learning_rate"] == rates[1::2]  # the last step's rate
    return rates


def test_a_schedule_starts_and_ends_where_it_says():
    assert [Constant().factor(t) for t in (0, 0.3, 1)] == [1, 1, 1]
    assert Cosine().factor(0) == 1
    assert Cosine().factor(0.5) == pytest.approx(1 / 2)
    assert Cosine().factor(1) == pytest.approx(0, abs=1e-15)
    assert Cosine(final=0.2).factor(0.5) == pytest.approx(0.6)
    assert Cosine(final=0.2).factor(1) == pytest.approx(0.2)


@pytest.mark.parametrize("schedule", [Constant(warmup=0.2), Cosine(warmup=0.2, final=0.1)])
def test_a_warm_up_rises_from_0_in_equal_steps_and_the_rest_takes_what_is_left(schedule):
    rising = [schedule.factor(t) for t in (0, 0.05, 0.1, 0.15, 0.2)]
    np.testing.assert_allclose(rising, [0, 0.25, 0.5, 0.75, 1], atol=1e-15)
    rest = type(schedule)(**schedule.get_params() | {"warmup": 0.0})
    for t in (0, 0.25, 0.6, 1):
        assert schedule.factor(0.2 + 0.8 * t) == pytest.approx(rest.factor(t))


def test_a_cosine_is_that_of_torch():
    w = zero()
    optimizer = torch.optim.SGD([w], lr=3.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.3)
    for step in range(11):
        assert 3.0 * Cosine(final=0.1).factor(step / 10) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_step_s_learning_rate_is_that_of_its_middle():
    halves = (np.arange(10) + 0.5) / 10
    rates = rates_of_steps(Cosine(), n_epochs=5, rate=0.4)
    np.testing.assert_allclose(rates, 0.4 * (1 + np.cos(np.pi * halves)) / 2, rtol=1e-12)
    rates = rates_of_steps(Constant(warmup=0.5), n_epochs=5)
    np.testing.assert_allclose(rates, np.minimum(1, halves / 0.5), rtol=1e-12)
    assert rates_of_steps(None, n_epochs=5, rate=0.4) == [0.4] * 10


def test_a_schedule_can_be_laid_over_other_epochs_than_those_of_the_loop():
    once = rates_of_steps(Cosine(), n_epochs=5)
    parts = [
        rates_of_steps(Cosine(), n_epochs=n, first_epoch=first, planned_epochs=range(5))
        for first, n in ((0, 2), (2, 3))
    ]
    np.testing.assert_allclose(np.concatenate(parts), once, rtol=1e-12)
    after = rates_of_steps(Cosine(final=0.25), n_epochs=2, first_epoch=5, planned_epochs=range(5))
    np.testing.assert_allclose(after, 0.25)
    anew = rates_of_steps(Cosine(), n_epochs=5, first_epoch=5)
    np.testing.assert_allclose(anew, once, rtol=1e-12)


def test_the_rates_of_all_groups_are_multiplied():
    u, v = zero(), zero()
    groups = [{"params": [u], "lr": 1.0}, {"params": [v], "lr": 10.0}]
    loop = TrainingLoop(
        numbered(4, 2),
        torch.optim.SGD(groups),
        {"u": u, "v": v},
        max_epochs=3,
        learning_rate=Cosine(warmup=0.3),
    )
    for x, _ in loop:
        (u + v).backward()
        loop.descend(loss=x)
    assert v.item() == pytest.approx(10 * u.item())
    assert u.item() != 0


def test_partial_fits_and_a_warm_start_have_their_schedule_where_one_expects_it():
    """All `partial_fit` calls share the schedule of `max_epochs`; each `fit` starts a new one."""
    schedule = {"optimizer": Adam(schedule=Cosine(0.25, final=0.1)), "outer_lr": 0.02}
    once = small(**schedule).fit(FACES)
    halves = (2 * np.arange(4) + 1.5) / 8  # the middle of an epoch's last step
    rest = (halves - 0.25) / 0.75
    factors = np.where(halves < 0.25, halves / 0.25, 0.1 + 0.9 * (1 + np.cos(np.pi * rest)) / 2)
    rates = once.history_["learning_rate"]
    np.testing.assert_allclose(rates, 0.02 * factors, rtol=1e-12)

    partly = small(**schedule)
    for _ in range(5):
        partly.partial_fit(FACES)
    np.testing.assert_allclose(partly.history_["learning_rate"], [*rates, 0.02 * 0.1], rtol=1e-12)

    twice = small(warm_start=True, **schedule).fit(FACES).fit(FACES)
    np.testing.assert_allclose(twice.history_["learning_rate"], rates + rates, rtol=1e-12)


def test_names_stand_for_schedules():
    assert as_learning_rate("constant").get_params() == Constant().get_params()
    assert isinstance(as_learning_rate("cosine"), Cosine)
    schedule = Cosine(final=0.5)
    assert as_learning_rate(schedule) is schedule
    rates = small(optimizer="adam").fit(FACES).history_["learning_rate"]
    assert rates[0] > rates[1] > rates[2] > rates[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": Adam(schedule=Cosine(warmup=1.0))}, "'warmup' parameter of Cosine"),
        ({"optimizer": Adam(schedule=Cosine(final=1.5))}, "'final' parameter of Cosine"),
        ({"optimizer": Adam(schedule=Constant(warmup=-0.1))}, "'warmup' parameter of Constant"),
        ({"optimizer": Adam(schedule="linear")}, "'schedule' parameter of Adam"),
        ({"optimizer": "lion"}, "'optimizer' parameter of MetaInverseSolver"),
        ({"optimizer": SGD(max_grad_norm=0.0)}, "'max_grad_norm' parameter of SGD"),
    ],
)
def test_bad_options_of_training_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options).fit(FACES)


# ---------------------------------------------------------------------- clipping


@pytest.mark.parametrize("max_norm", [None, 100.0, 0.5])
def test_the_mean_gradient_of_all_weights_together_is_clipped(max_norm):
    """The loss of image i (0 to 3) is (i, 2 i) u + 3 i v."""
    u, v = zero(2), zero()
    groups = [{"params": [u], "lr": 0.1}, {"params": [v], "lr": 1.0}]
    loop = TrainingLoop(
        numbered(4, 4), torch.optim.SGD(groups), {"u": u, "v": v}, max_epochs=1,
        max_grad_norm=max_norm,
    )  # fmt: skip
    for i, _ in loop:
        loss = i * u[0] + 2 * i * u[1] + 3 * i * v
        loss.sum().backward()
        loop.descend(loss=loss)
    gradient = np.mean([0, 1, 2, 3]) * np.array([1.0, 2.0, 3.0])
    if max_norm == 0.5:
        gradient *= 0.5 / np.sqrt(np.sum(gradient**2))
    np.testing.assert_allclose(u.detach(), -0.1 * gradient[:2], rtol=1e-5)
    np.testing.assert_allclose(v.detach(), -gradient[2], rtol=1e-5)


def test_an_estimator_s_step_is_clipped():
    """One step of SGD with learning rates of 1 moves all weights together by `max_grad_norm`."""
    rates = {"outer_lr": 1.0, "algorithm": MAML(step_sizes=PerStep(lr=1.0)), "precision": "float64"}
    options = {"max_epochs": 1, "batch_size": 6, **rates}
    start = (
        small(**options | {"outer_lr": 0.0, "algorithm": MAML(step_sizes=PerStep(lr=0.0))})
        .fit(FACES)
        .weights_
    )

    def moved(max_grad_norm):
        sgd = SGD(schedule="constant", max_grad_norm=max_grad_norm)
        weights = small(**options, optimizer=sgd).fit(FACES).weights_
        return np.concatenate([np.ravel(w - start[name]) for name, w in weights.items()])

    free, clipped = moved(None), moved(1e-4)
    assert np.linalg.norm(free) > 1e-3
    np.testing.assert_allclose(clipped, 1e-4 * free / np.linalg.norm(free), rtol=1e-2, atol=1e-12)


# ---------------------------------------------------------------------- early stopping


def stop_early(scores, **options):
    """Train in steps of 1 with given scores; return the number of epochs and the best weight."""
    w, stopping = zero(), BestWeights(**options)
    loop = TrainingLoop(
        numbered(2, 2),
        torch.optim.SGD([w], lr=1.0),
        {"w": w},
        max_epochs=len(scores),
        validate=iter(scores).__next__,
        best_weights=stopping,
    )
    for x, _ in loop:
        w.grad = torch.tensor(-2.0, dtype=torch.float64)  # a sum over two images
        loop.descend(loss=x)
    assert loop.history["validation_psnr"] == pytest.approx(scores[: loop.n_epochs], nan_ok=True)
    assert w.item() == loop.n_epochs
    return loop.n_epochs, stopping.weights["w"].item()


def test_a_tenth_of_a_thousand_images_of_several_people_is_held_out():
    assert as_early_stopping("auto", n_images=999, n_groups=999) is None
    assert as_early_stopping("auto", n_images=1000, n_groups=1) is None
    assert as_early_stopping("auto", n_images=1000, n_groups=2).validation_fraction == 0.1


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "n_epochs", "best"),
    [
        ([1, 2, 3, 4], 2, 0.0, 4, 4),
        ([1, 3, 2, 2.5, 9], 2, 0.0, 4, 2),
        ([1, 3, 2, 4, 3, 3.5, 9], 2, 0.0, 6, 4),
        ([1, 3, 3, 3, 9], 2, 0.0, 4, 2),  # an equal score is not better
        ([5, 4, 3], 1, 0.0, 2, 1),
        ([1, 1.4, 1.4, 9], 2, 0.5, 3, 2),  # the best is kept, even if within min_delta
        ([1, 1.4, 1.8, 1.9, 1.9, 9], 2, 0.5, 5, 4),  # small gains add up to min_delta
        ([1, np.nan, np.nan, 9], 2, 0.0, 3, 1),
        ([np.nan, 2, 3, 1, 1], 3, 0.0, 5, 3),
    ],
)
def test_early_stopping_waits_and_keeps_the_best(scores, patience, min_delta, n_epochs, best):
    assert stop_early(scores, patience=patience, min_delta=min_delta) == (n_epochs, best)


def test_seeds_from_every_kind_of_random_state():
    assert integer_seed(7) == 7
    assert integer_seed(np.random.RandomState(0)) == integer_seed(np.random.RandomState(0))
    assert integer_seed(np.random.default_rng(0)) == integer_seed(np.random.default_rng(0))
    state = np.random.get_state()[1].copy()
    assert integer_seed(None) != integer_seed(None)
    assert (np.random.get_state()[1] == state).all()
