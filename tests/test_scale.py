"""The benchmark of scale at its smallest size."""

import numpy as np
import pytest

from benchmarks import scale


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(scale, "in_own_process", lambda function, *args: function(*args))
    estimator = scale.estimator
    monkeypatch.setattr(scale, "estimator", lambda width, **own: estimator(4, **own))


def test_time_by_images_pixels_and_steps(tmp_path):
    per_image = scale.by_images((3, 6), tmp_path)
    assert set(per_image) == {3, 6}
    assert min(per_image.values()) > 0
    for found, numbers in ((scale.by_pixels((5, 9)), {25, 81}), (scale.by_steps((1, 3)), {1, 3})):
        assert set(found["seconds"]) == numbers
        assert np.isfinite(found["exponent"])


def test_the_exponent_is_that_of_a_power_law():
    assert scale.exponent({n: 7 * n**1.5 for n in (10, 20, 80)}) == pytest.approx(1.5)


def test_the_first_step_of_a_sparse_file(tmp_path):
    found = scale.first_step(50, (9, 9, 3), tmp_path)
    assert found["seconds"] > 0


def test_the_linear_estimate_of_many_and_of_large_images(tmp_path):
    found = scale.linear_estimate(1001, ((5, 6), (5, 5, 3)), (3, (9, 9, 3)), tmp_path)
    assert len(found) == 3
    assert all(own["fit_seconds"] > 0 for own in found.values())


def test_a_folder_and_predictions(tmp_path):
    found = scale.folder_share(6, tmp_path)
    assert 0 < found["share"] < 1
    assert set(scale.predicted_memory((2, 5))) == {2, 5}
    assert scale.served(20)["predictions"] == 20


def test_one_and_two_processes(monkeypatch):
    monkeypatch.setattr(scale, "_SCRIPT", scale._SCRIPT.replace("images(8, 32)", "images(8, 9)"))
    assert all(seconds > 0 for seconds in scale.by_processes().values())
