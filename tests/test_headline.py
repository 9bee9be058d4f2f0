"""The benchmark of the meta-learned start beside learned reconstructors, at its smallest size."""

from argparse import Namespace
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from benchmarks import headline
from skmetainv.datasets import load_faces
from skmetainv.operators import RandomOperator

FACES = np.pad(load_faces(), ((0, 0), (4, 3), (4, 3)), mode="edge")  # 32 x 32
PROBLEMS = headline.problems(32)
WITH_INSTRUMENTS = [name for name, problem in PROBLEMS.items() if problem.many]


@pytest.mark.parametrize(
    ("problem", "method"),
    [("centre", name) for name in headline.ALL_METHODS]
    + [(name, "linear") for name in PROBLEMS]
    + [(name, "U-Net" + headline.MANY) for name in WITH_INSTRUMENTS],
)
def test_every_problem_and_every_method_is_measured(problem, method, monkeypatch):
    monkeypatch.setattr(headline, "N_INSTRUMENTS", 2)
    monkeypatch.setattr(headline, "WEIGHTS", [0.001, 0.01])
    test_sets = {"faces": FACES[:3], "photographs": FACES[3:5]}
    run = headline.measure(problem, method, 0, 0.0, FACES[5:25], test_sets)
    assert list(run["conditions"]) == [
        "as trained",
        *PROBLEMS[problem].others,
        "photographs",
    ]
    assert all(np.isfinite(c["psnr"]).all() for c in run["conditions"].values())


def run_of(method, seed, psnrs):
    return {
        "problem": "centre",
        "method": method,
        "seed": seed,
        "conditions": {"as trained": {"psnr": np.array(psnrs), "ssim": np.array(psnrs) / 50}},
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
    assert (
        "| centre | as trained | 17.75 | 16.00 | 1.50 | +1.75 ± 0.25 (linear) | +0.035 ± 0.005 |"
        in text
    )
    one_person = {0: np.array(["a", "a"]), 1: np.array(["b", "b"])}
    assert "+1.75 ± 0.25" in table(runs, groups_of=one_person)
    same_people = {0: np.array(["a", "b"]), 1: np.array(["a", "b"])}
    assert "+1.75 ± 0.25" in table(runs, groups_of=same_people)
    assert "+1.50 ± 0.50 (linear)" in table([*runs[1:], run_of("meta", 2, [0.0, 0.0])])
    assert "linear" not in table(runs[4:])


def test_total_variation_has_the_best_of_its_weights(monkeypatch):
    monkeypatch.setattr(headline, "WEIGHTS", [1e-5, 0.001, 0.1])
    blur = PROBLEMS["blur"].training
    fitted, _ = headline.tuned_variation(headline.METHODS[headline.VARIATION](blur), FACES[5:30])
    assert fitted.solver_.weight == pytest.approx(0.001, rel=0.01)  # a blur's norm is 1


def test_holes_of_larger_images_are_larger():
    own, larger = (headline.problems(size)["centre"] for size in (32, 64))
    box, larger_box = (problem.others["hole shifted"].box for problem in (own, larger))
    assert larger_box == tuple(2 * side for side in box)
    for top, left, height, width in headline.boxes(64, 100):
        assert 8 <= height <= 33
        assert 8 <= width <= 33
        assert top + height <= 64
        assert left + width <= 64


def test_each_size_has_its_own_record():
    def called(size, training, tune):
        return headline.record_name(Namespace(size=size, training=training, tune=tune))

    assert called(32, 1000, False) == "headline"
    assert called(64, 20, True) == "headline_size_64_training_20_tuning"


def test_methods_for_many_instruments_have_their_own_table():
    runs = [
        run_of("meta", 0, [99.0, 99.0]),
        run_of("meta" + headline.MANY, 0, [11.0, 14.0]),
        run_of("U-Net" + headline.MANY, 0, [10.0, 12.0]),
    ]
    text = headline.table(runs, headline.TABLES[1])
    assert "| 12.50 | 11.00 | +1.50 ± 0.50 (U-Net, many instruments) | +0.030 ± 0.010 |" in text


@pytest.mark.parametrize("name", WITH_INSTRUMENTS)
def test_no_condition_is_among_the_many_instruments(name):
    training, others, many = PROBLEMS[name]
    drawn = RandomOperator(training, many, n_instruments=headline.N_INSTRUMENTS)
    instruments = list(map(repr, drawn.instruments()))
    assert len(set(instruments)) == headline.N_INSTRUMENTS
    conditions = set(map(repr, (training, *others.values())))
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
