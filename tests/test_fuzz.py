"""Random wrong parameters and arrays: a short version of `benchmarks.fuzz`."""

import numpy as np
import pytest

from benchmarks.fuzz import cases
from benchmarks.fuzz.subjects import CLASSES, SUBJECTS


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_public_class_restores_images_when_nothing_is_wrong(name):
    subject = SUBJECTS[name]
    assert cases.outcome(lambda: subject.use(subject.make()), set()) == "right"


def test_no_public_class_is_forgotten():
    assert len(CLASSES) > 74


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["parameters", "arrays"])
def test_random_cases(kind, seed):
    counts, faults = cases.run(kind, 100, seed)
    assert not faults
    assert sum(counts.values()) >= 90
    assert counts["right"] and counts["refused"]  # noqa: PT018


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: _raise(ValueError("nothing is named")), "names none of"),
        (lambda: np.array([1.0, np.nan]), "not finite, and there was no warning"),
        (lambda: np.random.seed(12345), "a global state was changed"),
    ],
)
def test_faults_are_found(use, message):
    with pytest.raises(cases.FaultError, match=message):
        cases.outcome(use, {"sigma"})


def test_errors_of_python_are_faults():
    with pytest.raises(AttributeError):
        cases.outcome(lambda: None.nothing, {"nothing"})
