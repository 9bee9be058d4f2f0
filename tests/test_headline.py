"""The benchmark of the meta-learned start beside learned reconstructors, at its smallest size."""

from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from benchmarks import headline
from skmetainv.datasets import load_faces
from skmetainv.operators import RandomOperator

FACES = np.pad(load_faces(), ((0, 0), (4, 3), (4, 3)), mode="edge")  # 32 x 32


@pytest.mark.parametrize(
    ("problem", "method"),
    [("centre", name) for name in headline.ALL_METHODS]
    + [(name, "linear") for name in headline.PROBLEMS]
    + [(name, "U-Net" + headline.MANY) for name, own in headline.PROBLEMS.items() if own.many],
)
def test_every_problem_and_every_method_is_measured(problem, method, monkeypatch):
    monkeypatch.setattr(headline, "N_INSTRUMENTS", 2)
    test_sets = {"faces": FACES[:3], "photographs": FACES[3:5]}
    run = headline.measure(problem, method, 0, 0.0, FACES[5:25], test_sets)
    assert list(run["conditions"]) == [
        "as trained",
        *headline.PROBLEMS[problem].others,
        "photographs",
    ]
    assert all(np.isfinite(c["psnr"]).all() for c in run["conditions"].values())


def run_of(method, seed, psnrs):
    return {
        "problem": "centre",
        "method": method,
        "seed": seed,
        "conditions": {"as trained": {"psnr": np.array(psnrs)}},
    }


def test_differences_are_paired_with_the_best_other_method():
    runs = [
        run_of("linear", 1, [20.0, 22.0]),
        run_of("linear", 0, [10.0, 12.0]),
        run_of("U-Net", 0, [1.0, 2.0]),
        run_of("U-Net", 1, [1.0, 2.0]),
        run_of("meta", 0, [11.0, 14.0]),
        run_of("meta", 1, [22.0, 24.0]),
    ]
    table = partial(headline.table, methods=headline.TABLES[0])
    text = table(runs)
    assert "| centre | as trained | 17.75 | 16.00 | 1.50 | +1.75 ± 0.25 (linear) |" in text
    one_person = {0: np.array(["a", "a"]), 1: np.array(["b", "b"])}
    assert "+1.75 ± 0.25" in table(runs, groups_of=one_person)
    same_people = {0: np.array(["a", "b"]), 1: np.array(["a", "b"])}
    assert "+1.75 ± 0.25" in table(runs, groups_of=same_people)
    assert "+1.50 ± 0.50 (linear)" in table([*runs[1:], run_of("meta", 2, [0.0, 0.0])])
    assert "linear" not in table(runs[4:])


def test_methods_for_many_instruments_have_their_own_table():
    runs = [
        run_of("meta", 0, [99.0, 99.0]),
        run_of("meta" + headline.MANY, 0, [11.0, 14.0]),
        run_of("U-Net" + headline.MANY, 0, [10.0, 12.0]),
    ]
    text = headline.table(runs, headline.TABLES[1])
    assert "| 12.50 | 11.00 | +1.50 ± 0.50 (U-Net, many instruments) |" in text


@pytest.mark.parametrize("name", [name for name, own in headline.PROBLEMS.items() if own.many])
def test_no_condition_is_among_the_many_instruments(name):
    training, others, many = headline.PROBLEMS[name]
    drawn = RandomOperator(training.operator, many, n_instruments=headline.N_INSTRUMENTS)
    instruments = list(map(repr, drawn.instruments()))
    assert len(set(instruments)) == headline.N_INSTRUMENTS
    conditions = {repr(condition.operator) for condition in (training, *others.values())}
    assert not conditions & set(instruments)


class Clockwork(BaseEstimator):
    """An estimator whose training takes 4 s, and half a second for each epoch."""

    def __init__(self, max_epochs=None, early_stopping="auto"):
        self.max_epochs, self.early_stopping = max_epochs, early_stopping

    def fit(self, X, groups=None):
        clock.append(clock[-1] + 4.0 + 0.5 * self.max_epochs)
        self.history_ = {"seconds": [0.5] * self.max_epochs}
        return self


clock = [0.0]


@pytest.mark.parametrize(("seconds", "epochs"), [(0.0, 2), (10.0, 12)])
def test_training_takes_the_time_that_was_asked_for(seconds, epochs, monkeypatch):
    monkeypatch.setattr(headline.time, "perf_counter", lambda: clock[-1])
    fitted, spent = headline.trained(Clockwork(), FACES, seconds)
    assert fitted.max_epochs == epochs
    assert spent == 4.0 + 0.5 * epochs
