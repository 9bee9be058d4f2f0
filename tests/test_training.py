import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.arrays import ArraySource, image_layout
from skmetainv.noise import GaussianNoise
from skmetainv.operators import MissingPixels
from skmetainv.randomness import (
    evaluation_generators,
    integer_seed,
    order_generator,
    training_generators,
    weights_generator,
)
from skmetainv.training import (
    Batches,
    SimulatedPairs,
    TrainingLoop,
    load_arrays,
    state_to_arrays,
)

CPU = torch.device("cpu")


def numbered(n, batch_size, seed=0):
    """Batches whose images are their own numbers."""

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


def test_draws_of_an_image_depend_on_seed_epoch_and_index_alone():
    images = np.random.default_rng(0).random((6, 4, 4))
    source = ArraySource(images, image_layout(images.shape, None), dtype=torch.float64, device=CPU)
    noise = GaussianNoise(0.1).build()
    A = MissingPixels().build((1, 4, 4))
    pairs = SimulatedPairs(source, A, noise, seed=3)
    _, many = pairs(np.array([1, 2, 5]), epoch=2)
    _, one = pairs(np.array([5]), epoch=2)
    torch.testing.assert_close(many[2:], one, equal_nan=True)
    _, next_epoch = pairs(np.array([5]), epoch=3)
    assert not torch.equal(next_epoch.isnan(), one.isnan())
    _, other_seed = SimulatedPairs(source, A, noise, seed=4)(np.array([5]), epoch=2)
    assert not torch.equal(other_seed.isnan(), one.isnan())


def test_streams_are_independent():
    draws = [
        weights_generator(0).random(),
        order_generator(0, 0).random(),
        training_generators(0, 0, [0])[0].random(),
        training_generators(0, 1, [0])[0].random(),
        training_generators(0, 0, [1])[0].random(),
        evaluation_generators(0, [0])[0].random(),
    ]
    assert len(set(draws)) == len(draws)


def test_seeds_from_every_kind_of_random_state():
    assert integer_seed(7) == 7
    assert integer_seed(np.random.RandomState(0)) == integer_seed(np.random.RandomState(0))
    assert integer_seed(np.random.default_rng(0)) == integer_seed(np.random.default_rng(0))
    state = np.random.get_state()[1].copy()
    assert integer_seed(None) != integer_seed(None)
    assert (np.random.get_state()[1] == state).all()


def fit_mean(batches, epochs, optimizer, w):
    loop = TrainingLoop(batches, optimizer, max_epochs=epochs)
    for x, _ in loop:
        loss = (w - x).square()
        loss.mean().backward()
        loop.descend(loss=loss)
    return loop


def test_the_loop_minimises_and_keeps_a_history():
    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loop = fit_mean(numbered(5, 5), 200, torch.optim.Adam([w], lr=0.1), w)
    assert w.item() == pytest.approx(2, abs=0.05)
    assert len(loop.history["loss"]) == len(loop.history["seconds"]) == loop.n_epochs == 200
    assert loop.history["loss"][0] == pytest.approx(np.mean(np.arange(5) ** 2))


def test_history_is_the_mean_over_images_not_over_batches():
    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loop = fit_mean(numbered(5, 4), 1, torch.optim.SGD([w], lr=0.0), w)
    assert loop.history["loss"] == [pytest.approx(np.mean(np.arange(5) ** 2))]


def test_training_goes_on_after_a_round_trip_of_the_optimiser():
    once = torch.zeros((), dtype=torch.float64, requires_grad=True)
    fit_mean(numbered(5, 2), 6, torch.optim.Adam([once], lr=0.1), once)

    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    state = {}
    for epoch in range(6):
        optimizer = torch.optim.Adam([w], lr=0.1)
        load_arrays(optimizer, state)
        loop = TrainingLoop(numbered(5, 2), optimizer, max_epochs=1, first_epoch=epoch)
        for x, _ in loop:
            loss = (w - x).square()
            loss.mean().backward()
            loop.descend(loss=loss)
        state = state_to_arrays(optimizer)
    assert w.item() == once.item()


@pytest.mark.parametrize("bad", ["loss", "gradient", "square"])
def test_a_step_that_is_not_finite_is_skipped_and_told(bad):
    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loop = TrainingLoop(numbered(4, 1), torch.optim.SGD([w], lr=0.1), max_epochs=1)
    with pytest.warns(ConvergenceWarning, match=r"1 step\(s\) had a loss or a squared gradient"):
        for x, _ in loop:
            loss = (w - x).square()
            loss.mean().backward()
            if x.item() == 2:
                w.grad.fill_(1e200 if bad == "square" else torch.inf)
                loss = loss * (torch.nan if bad == "loss" else 1)
            loop.descend(loss=loss)
    assert w.isfinite()
    assert loop.n_epochs == 1


def test_an_epoch_without_a_finite_step_ends_training():
    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loop = TrainingLoop(numbered(4, 2), torch.optim.SGD([w], lr=0.1), max_epochs=9)
    steps = 0
    with pytest.warns(ConvergenceWarning, match="training stopped"):
        for x, _ in loop:
            steps += 1
            loop.descend(loss=x * torch.nan)
    assert steps == 2
    assert loop.n_epochs == 0
    assert loop.history == {}


def test_progress_is_shown_when_asked_for(capsys):
    w = torch.zeros((), dtype=torch.float64, requires_grad=True)
    fit_mean(numbered(4, 2), 2, torch.optim.SGD([w], lr=0.1), w)
    assert capsys.readouterr().err == ""
    loop = TrainingLoop(
        numbered(4, 2), torch.optim.SGD([w], lr=0.1), max_epochs=2, show_progress=True
    )
    for x, _ in loop:
        loop.descend(loss=x)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "loss=1.5" in shown
