"""The warnings at the end of `fit`: results that are worse than a start."""

import warnings

import numpy as np
import pytest

from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.estimators.adaptation_report import warn_of_adaptation
from skmetainv.exceptions import AdaptationWarning
from skmetainv.operators import GaussianBlur
from skmetainv.representations import Siren

CHANGES = np.array([0.1, -0.1, 0.2, 0.0])  # their standard error is 0.06


def warned(**psnrs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_adaptation(psnrs, "training images")
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("start", "learned", "adapted", "told"),
    [
        (30.0, 30.0, 30.0, None),
        (30.0, 31.0, 32.0, None),
        (30.0, 32.0, 31.0, "Adaptation lowers the PSNR of 4 training images by 0.95 dB"),
        (30.0, 28.0, 29.0, "have 0.95 dB less PSNR than the images to which the network adds"),
        (30.0, 28.0, 29.9, None),  # within its error
    ],
)
def test_results_below_a_start_are_told(start, learned, adapted, told):
    stages = np.stack([np.full(4, learned), adapted + CHANGES])
    messages = warned(start=np.full(4, start), stages=stages)
    assert [told in message for message in messages] == ([] if told is None else [True])


def test_without_a_restored_start_only_the_stages_are_compared():
    assert warned(stages=np.stack([np.full(4, 28.0), 29 + CHANGES])) == []


def test_exact_restorations_are_left_out():
    stages = np.stack([np.full(4, 30.0), np.array([np.inf, 29.0, 29.1, 28.9])])
    assert "by 1.00 dB" in warned(stages=stages)[0]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_divergence_is_told(value):
    adapted = np.array([30.0, 30.0, 30.0, value])
    assert "by inf dB" in warned(stages=np.stack([np.full(4, 30.0), adapted]))[0]


def test_fit_tells_that_training_destroyed_the_linear_start():
    init = Siren(width=16, depth=3, residual=LinearReconstructor())
    est = MetaInverseSolver(
        GaussianBlur(), init=init, n_inner=0, outer_lr=1.0, max_epochs=1, random_state=0
    )
    with pytest.warns(AdaptationWarning, match="less PSNR than the images to which"):
        est.fit(load_faces()[:20])
