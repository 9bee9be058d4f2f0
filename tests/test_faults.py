"""Kills of training and damaged files: a short version of `benchmarks.faults`."""

import numpy as np
import pytest

from benchmarks import faults


def test_killed_trainings_end_with_the_same_result():
    counts, other_results = faults.kills(2, names=["stopping"])
    assert counts["kills"] >= 2
    assert not other_results


def test_damaged_files_are_refused():
    counts, wrong = faults.damages(20)
    assert not wrong
    assert len(counts) == 6
    for outcomes in counts.values():
        assert sum(outcomes.values()) == 20
        assert outcomes["refused"] >= 10


@pytest.mark.parametrize("place", [0, 1, 50, 99])
def test_damages_change_the_bytes(place):
    content, rng = bytes(range(1, 101)), np.random.default_rng(0)
    kinds = set()
    for _ in range(60):
        changed, kind = faults.damaged(content, place, rng)
        kinds.add(str(kind))
        assert changed != content or kind in ("swapped", "end")
    assert len(kinds) == 7
