"""Canonical texts: equal for equal values, different for different ones, and readable."""

import functools
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from skmetainv.denoisers import TotalVariation
from skmetainv.operators import GaussianBlur
from skmetainv.reconstruction.canonical import canonical
from skmetainv.solvers import HQS


def scaled(factor):
    return lambda x: factor * x


def twice(x):  # a remark
    return 2 * x


remarked = twice


def twice(x):
    return 2 * x


def thrice(x):
    return 3 * x


def with_default(x, power=2):
    return x**power


@dataclass
class Own:
    gain: float = 1.0


LAMBDAS = [lambda x: x + 1, lambda x: x - 1]
RNG = np.random.default_rng

DIFFERENT = {
    "numbers": [1, 1.0, True, "1", None, 1 + 0j, float("nan"), b"1"],
    "containers": [[], {}, [1], [[1]], {"a": 1}, {"a": 2}, {1, 2}, ["a", "b"], ["ab"]],
    "arrays": [
        np.zeros(3),
        np.zeros(3, np.float32),
        np.zeros((1, 3)),
        np.array([0.0, 0.0, -0.0]),
        np.array([{"a"}], dtype=object),
    ],
    "functions": [twice, thrice, scaled(1.0), scaled(2.0), with_default, np.add, len, *LAMBDAS],
    "partials": [functools.partial(twice), functools.partial(twice, 1), functools.partial(thrice)],
    "objects": [Own(), Own(2.0), GaussianBlur(), GaussianBlur(sigma=2.0), Own, GaussianBlur],
    "methods": [Own(1.0).__eq__, Own(2.0).__eq__, [].append],
    "parts": [HQS(), HQS(TotalVariation()), HQS(TotalVariation(scale=2.0))],
    "generators": [RNG(0), RNG(1), np.random.RandomState(0), torch.float32, Path("a")],
    "modules": [torch.nn.Tanh(), torch.nn.Sigmoid(), torch.nn.Linear(1, 1)],
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_values_have_other_texts(kind):
    texts = [canonical(value) for value in DIFFERENT[kind]]
    assert len(set(texts)) == len(texts), texts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (remarked, twice),
        (scaled(2.0), scaled(2.0)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a", "b", "c"}, {"c", "b", "a"}),
        ((1, 2), [1, 2]),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        (torch.ones(2), np.ones(2, np.float32)),
        (np.float64(0.1), 0.1),
        (HQS(TotalVariation()), HQS(TotalVariation())),
        (RNG(3), RNG(3)),
        (Own(), Own()),
    ],
)
def test_the_same_value_has_the_same_text(one, other):
    assert canonical(one) == canonical(other)


def test_a_person_can_read_it():
    assert canonical({"l2": 1.0, "steps": (3, None)}) == "{'l2': 1.0, 'steps': [3, None]}"
    blur = "GaussianBlur(boundary='circular', sigma=2.0, truncate=4.0)"
    assert canonical(GaussianBlur(sigma=2.0)) == blur
    assert canonical(np.zeros((2, 3))).startswith("float64 array of shape (2, 3), ")
    assert canonical(np.add).endswith("add")
    assert " at 0x" not in canonical([Own(), open, scaled(1.0), torch.nn.Tanh()])


def test_a_value_may_hold_itself():
    knot = [1]
    knot.append(knot)
    assert canonical(knot) == "[1, ...]"


def test_a_function_without_source_goes_by_its_code():
    functions = [eval(f"lambda x: x {sign} 2") for sign in "+-"]
    assert canonical(functions[0]) != canonical(functions[1])


def test_another_process_writes_the_same(tmp_path):
    code = f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_canonical as t
        texts = [t.canonical(v) for kind in sorted(t.DIFFERENT) if kind != "modules"
                 for v in t.DIFFERENT[kind]]
        print("\\n".join(texts))
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    own = [canonical(v) for kind in sorted(DIFFERENT) if kind != "modules" for v in DIFFERENT[kind]]
    assert found.stdout.splitlines() == [line for text in own for line in text.splitlines()]
