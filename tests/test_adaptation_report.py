"""The warnings at the end of `fit`: results that are worse than a start."""

import warnings

import numpy as np
import pytest

from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.estimators.adaptation_report import summary, warn_of_adaptation
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


FLAT, FALLING = [3.0] * 8, [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("losses", "stages", "told"),
    [
        (FLAT, [30.0, 31.0, 31.02], ""),
        (
            FALLING,
            [30.0, 31.0, 32.0],
            "The outer loss was still falling: raise max_epochs, here 8.",
        ),
        ([-8 + loss for loss in FALLING], [30.0], "still falling"),
        ([-5.0] * 8, [30.0], ""),
        (FALLING[:3], [30.0], ""),
        (FLAT, [30.0, 31.0, 32.0], "The last inner step still helped: raise n_inner."),
        (FLAT, [30.0, 30.01, 30.02], "The inner steps change little"),
        (FALLING, [30.0, 30.01, 30.02], "here 8. The inner steps change little"),
        (FLAT, [30.0], ""),
    ],
)
def test_the_summary_has_the_qualities_and_the_parameter_most_worth_raising(losses, stages, told):
    psnrs = {"start": np.array([28.5, 29.5]), "stages": np.repeat(stages, 2).reshape(-1, 2)}
    line = summary(psnrs, {"outer_loss": losses}, "held-out images")
    m = len(stages) - 1
    after = f", after {m} inner step(s) {stages[-1]:.2f} dB" if m else ""
    begins = f"PSNR of 2 held-out images: start alone 29.00 dB, learned start 30.00 dB{after}."
    assert line.startswith(begins)
    assert told in line
    assert (line == begins) == (told == "")


def test_fit_shows_the_step_size_and_the_summary(capsys):
    est = MetaInverseSolver(GaussianBlur(), max_epochs=1, random_state=0, verbose=1)
    est.fit(load_faces()[:10])
    shown = capsys.readouterr().err
    assert f"At the start: inner_lr={est.inner_lr_:.3g}, the inner loss is that of the " in shown
    assert "PSNR of 10 training images: start alone" in shown


def test_a_loss_without_curvature_has_no_step_size_and_a_warning_says_so():
    est = MetaInverseSolver(GaussianBlur(), inner_loss="l1", max_epochs=1, random_state=0)
    with pytest.warns(AdaptationWarning, match="found no step size"):
        est.fit(load_faces()[:10])
    assert est.inner_lr_ == 0.01
