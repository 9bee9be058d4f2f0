"""Warnings point to the user's line, at any depth of calls."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from settings import SIX_SMALL_FACES as FACES
from settings import small
from settings import small_denoiser as denoiser
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_validate
from test_unsolved_systems import NotAdjoint
from torch import nn

from skmetainv import ClassicalReconstructor, MetaInverseSolver, UNetReconstructor
from skmetainv.datasets import ImageFolder, load_faces
from skmetainv.exceptions import InnerStepsWarning, SkippedFilesWarning, WeightsWarning
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.operators import GaussianBlur, Inpainting
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED, GradientDescent


def classical(operator=None, solver=None, **options):
    return ClassicalReconstructor(operator, solver, **options)


def network(**options):
    return UNetReconstructor(
        Inpainting(), width=2, depth=2, max_epochs=1, random_state=0, **options
    )


meta = partial(small, Inpainting(), init=Siren(4, depth=2), n_inner=1)


def infinite(x, target):
    return (x - target).square().mean((1, 2, 3)) * torch.inf


def interrupt(x, target):
    raise KeyboardInterrupt


def with_weights_that_are_not_finite(est):
    est.weights_ = {name: weight * np.inf for name, weight in est.weights_.items()}
    return est


def interrupted(call):
    """Call a function and catch its interrupt, which would end pytest's session."""
    try:
        call()
    except KeyboardInterrupt:
        return


def saved(path, variance, beside):
    layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1)]
    layers += [nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1)]
    layers[3].running_var.fill_(variance)
    state = nn.ModuleDict({"model": nn.Sequential(*layers)}).state_dict()
    torch.save({f"net.{name}": tensor for name, tensor in state.items()} | beside, path / "w.pth")
    return path / "w.pth"


def pictures(path, other):
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(path / "a.png")
    (path / other).write_bytes(b"no picture")
    return path


# Each case makes its preparations and returns a function: the user's line.

fitted = classical().fit(FACES)


def no_convergence(_):
    est = classical(GaussianBlur(), GradientDescent(), max_iter=1, tol=1e-9).fit(FACES)
    return lambda: est.predict(FACES)


def no_convergence_in_score(_):
    est = classical(GaussianBlur(), GradientDescent(), max_iter=1, tol=1e-9).fit(FACES)
    return lambda: est.score(FACES)


def no_convergence_in_a_search(_):
    est = classical(GaussianBlur(), GradientDescent(), max_iter=1, tol=1e-9)
    return lambda: cross_validate(est, FACES, cv=2)


def values_that_are_not_finite(_):
    est = classical(solver=GradientDescent(500), start="zeros").fit(FACES)
    est.solver_.step_size = 50.0
    return lambda: est.predict(FACES)


def step_size_above_the_bound(_):
    return lambda: classical(GaussianBlur(), GradientDescent(step_size=2.5)).fit(FACES)


def step_size_of_a_built_solver(_):
    f, A = GradientDescent(step_size=2.5).build((1, 8, 8)), GaussianBlur().build((1, 8, 8))
    return lambda: f.check(A)


def unsolved_systems_in_fit(_):
    return lambda: classical(NotAdjoint(), HQS()).fit(FACES)


def unsolved_systems_in_predict(_):
    est = classical(GaussianBlur(), HQS()).fit(FACES)
    est.operator_ = NotAdjoint()
    return lambda: est.predict(FACES)


def unsolved_systems_of_a_built_operator(_):
    data = NotAdjoint().build((1, 8, 8)).bind(torch.ones(1, 1, 8, 8))
    return lambda: data.prox(torch.eye(8)[None, None], 0.01)


def unsolved_systems_in_training(_):
    est = MetaInverseSolver(NotAdjoint(), RED(n_iter=1, weight=0.01), n_inner=1, max_epochs=1)
    return lambda: est.fit(FACES)


def reconstructions_that_are_not_finite(_):
    est = with_weights_that_are_not_finite(network().fit(FACES))
    y = est.simulate(FACES)
    return lambda: est.predict(y)


def restorations_that_are_not_finite(_):
    est = with_weights_that_are_not_finite(network().fit(FACES))
    return lambda: list(est.restorations(FACES))


def stages_that_are_not_finite(_):
    est = with_weights_that_are_not_finite(meta().fit(FACES))
    y = est.simulate(FACES)
    return lambda: list(est.staged_predict(y))


def a_denoiser_s_images_that_are_not_finite(_):
    est = with_weights_that_are_not_finite(denoiser().fit(FACES))
    return lambda: est.predict(FACES)


def training_that_diverges(_):
    return lambda: network(loss=infinite).fit(FACES)


def interrupted_fit(_):
    return lambda: interrupted(lambda: denoiser(loss=interrupt).fit(FACES))


def interrupted_partial_fit(_):
    return lambda: interrupted(lambda: network(loss=interrupt).partial_fit(FACES))


def schedule_that_is_over(_):
    est = network(optimizer="adam").partial_fit(FACES)
    return lambda: est.partial_fit(FACES)


def more_inner_steps_than_step_sizes(_):
    est = meta(algorithm=MAML(step_sizes="per_step")).fit(FACES).set_params(n_inner=3)
    y = est.simulate(FACES)
    return lambda: est.predict(y)


def more_inner_steps_in_training(_):
    est = meta(algorithm=MAML(step_sizes="per_step")).fit(FACES).set_params(n_inner=3)
    return lambda: est.partial_fit(FACES)


def denoiser_of_another_range(_):
    est = classical(solver=RED(FrozenEstimator(denoiser().fit(FACES))), data_range=255)
    return lambda: est.fit(255 * FACES)


def tensors_beside_the_weights(path):
    est = denoiser(weights=saved(path, 1.0, {"other.weight": torch.ones(2)}))
    return lambda: est.set_params(depth=None, width=None).fit(FACES)


def variance_that_is_small(path):
    est = denoiser(weights=saved(path, 1e-4, {})).set_params(depth=None, width=None)
    return lambda: est.predict(FACES)


def kinds_that_are_not_read(path):
    folder = pictures(path, "b.dcm")
    return lambda: ImageFolder(folder, size=8)


def pictures_that_cannot_be_read(path):
    folder = pictures(path, "b.png")
    return lambda: ImageFolder(folder, size=8, on_error="skip")


def pictures_that_check_leaves_out(path):
    for name in "ab":
        Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(path / f"{name}.png")
    images = ImageFolder(path, size=8, on_error="skip")
    images.files[1].write_bytes(b"no picture")
    return lambda: images.check()


def units(_):
    return lambda: fitted.score(255 * FACES)


def units_in_a_search(_):
    return lambda: cross_validate(classical(), 255 * FACES, cv=2)


def units_of_a_metric(_):
    return lambda: psnr(255 * FACES, 255 * FACES + 1)


def integers(_):
    return lambda: clone(fitted).fit((255 * FACES).astype(int))


def flat_images(_):
    return lambda: classical().fit(np.random.default_rng(0).random((2, 9, 10, 12)))


def measurements_that_may_be_images(_):
    whole = load_faces()[:6]
    est = classical(Inpainting()).fit(whole)
    return lambda: est.predict(whole)


def noise_level_above_the_range(_):
    return lambda: denoiser(noise_level=25).fit(FACES)


CASES = {
    ConvergenceWarning: [
        no_convergence,
        no_convergence_in_score,
        no_convergence_in_a_search,
        values_that_are_not_finite,
        step_size_above_the_bound,
        step_size_of_a_built_solver,
        unsolved_systems_in_fit,
        unsolved_systems_in_predict,
        unsolved_systems_of_a_built_operator,
        unsolved_systems_in_training,
        reconstructions_that_are_not_finite,
        restorations_that_are_not_finite,
        stages_that_are_not_finite,
        a_denoiser_s_images_that_are_not_finite,
        training_that_diverges,
        interrupted_fit,
        interrupted_partial_fit,
        schedule_that_is_over,
    ],
    InnerStepsWarning: [more_inner_steps_than_step_sizes, more_inner_steps_in_training],
    WeightsWarning: [tensors_beside_the_weights, variance_that_is_small],
    SkippedFilesWarning: [
        kinds_that_are_not_read,
        pictures_that_cannot_be_read,
        pictures_that_check_leaves_out,
    ],
    DataConversionWarning: [
        denoiser_of_another_range,
        units,
        units_in_a_search,
        units_of_a_metric,
        integers,
        flat_images,
        measurements_that_may_be_images,
        noise_level_above_the_range,
    ],
}


@pytest.mark.parametrize(
    ("category", "case"), [(kind, case) for kind, cases in CASES.items() for case in cases]
)
def test_a_warning_points_to_the_user_s_line(category, case, tmp_path):
    line = case(tmp_path)
    with pytest.warns(category) as told:
        line()
    places = {(w.filename, w.lineno) for w in told if w.category is category}
    assert places == {(__file__, line.__code__.co_firstlineno)}
