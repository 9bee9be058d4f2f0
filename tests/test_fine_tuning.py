"""The solver's own weights, trained with theta (Table 4 of the paper)."""

import joblib
import numpy as np
import pytest
import torch
from settings import PLAIN, small, small_denoiser
from settings import TWELVE_SMALL_FACES as FACES
from sklearn.frozen import FrozenEstimator

from skmetainv.denoisers import FunctionDenoiser
from skmetainv.meta import TuneSolver
from skmetainv.operators import GaussianBlur
from skmetainv.solvers import (
    HQS,
    RED,
    ConjugateGradient,
    FunctionSolver,
    GradientDescent,
    PrimalDual,
)
from skmetainv.training import SGD

DENOISER = small_denoiser().fit(FACES)


def tuned(solver, **parameters):
    own = PLAIN | {"n_inner": 1, "tune_solver": True, "noise": 0.02, "batch_size": 4}
    return small(GaussianBlur(sigma=1.0), solver, **own | parameters)


def of_solver(est):
    return {k.removeprefix("solver."): v for k, v in est.weights_.items() if k.startswith("solver")}


def untrained(solver):
    """The initial weights of a solver."""
    module = solver.build((1, 9, 9))
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


@pytest.mark.parametrize(
    ("solver", "learned"),
    [
        (GradientDescent(n_iter=2, step_size=0.5), {"step_size.logarithm"}),
        (GradientDescent(n_iter=2, step_size=[0.5, 0.4]), {"step_size.logarithm"}),
        (ConjugateGradient(n_iter=2, damping=0.1), {"damping.logarithm"}),
        (PrimalDual(weight=0.01, n_iter=2), {"weight.logarithm", "step_size.logarithm"}),
        (PrimalDual(weight=0.01, n_iter=2, learnable=("weight",)), {"weight.logarithm"}),
        (HQS(rho=0.3, n_iter=2), {"rho.logarithm"}),
    ],
)
def test_its_numbers_are_trained_those_it_names_or_else_all(solver, learned):
    own = of_solver(tuned(solver).fit(FACES))
    assert set(own) == learned
    named = type(solver)(**solver.get_params(deep=False) | {"learnable": _names(learned)})
    for name, before in untrained(named).items():
        assert np.isfinite(own[name]).all()
        assert (own[name] != before.astype(np.float32)).all()


def _names(learned):
    return tuple(name.partition(".")[0] for name in learned)


def test_its_denoiser_is_trained_and_the_user_s_stays_as_it_was():
    before = {name: w.copy() for name, w in DENOISER.weights_.items()}
    est = tuned(RED(FrozenEstimator(DENOISER), n_iter=2), max_epochs=2).fit(FACES)
    prefix = "prior.denoiser.network."
    own = {k.removeprefix(prefix): v for k, v in of_solver(est).items() if prefix in k}
    assert set(own) == set(before)
    assert all(not np.array_equal(own[name], before[name]) for name in before)
    assert all(np.array_equal(DENOISER.weights_[name], before[name]) for name in before)
    assert np.array_equal(
        est.solver_.denoiser.estimator.weights_["model.0.bias"], before["model.0.bias"]
    )


def test_a_module_of_the_user_s_is_trained_as_a_copy():
    module = torch.nn.Conv2d(1, 1, 3, padding=1)
    before = module.weight.detach().clone()

    class Denoise(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.own = module

        def forward(self, x, noise_level):
            return x + 0.1 * self.own(x)

    est = tuned(HQS(FunctionDenoiser(Denoise()), rho=0.5, n_iter=1)).fit(FACES)
    (name,) = (name for name in of_solver(est) if name.endswith("own.weight"))
    assert not np.array_equal(of_solver(est)[name], before.numpy())
    assert torch.equal(module.weight, before)


def test_without_it_nothing_of_the_solver_is_trained():
    est = tuned(RED(FrozenEstimator(DENOISER), n_iter=1), tune_solver=False).fit(FACES)
    assert of_solver(est) == {}


def test_numbers_are_asked_for_where_there_are_some():
    chosen = GradientDescent(n_iter=1, step_size=0.5)
    assert of_solver(tuned(chosen, tune_solver="auto").fit(FACES)) == {}
    for solver in (chosen, None):
        with pytest.raises(ValueError, match="'tune_solver' parameter must be False if the so"):
            tuned(solver, tune_solver=TuneSolver()).fit(FACES)


@pytest.mark.parametrize("own", [{"lr": -1.0}, {"part": "some"}])
def test_bad_options_of_tuning_are_named(own):
    with pytest.raises(ValueError, match="parameter of TuneSolver must be"):
        tuned(GradientDescent(), tune_solver=TuneSolver(**own)).fit(FACES)


def test_its_learning_rate_is_its_own():
    solver = GradientDescent(n_iter=1, step_size=0.5)
    still = tuned(solver, tune_solver=TuneSolver("all", lr=0.0)).fit(FACES)
    assert of_solver(still)["step_size.logarithm"] == pytest.approx(np.log(0.5), rel=1e-6)
    assert not np.array_equal(still.weights_["init.0.bias"], _initial_bias(still))
    # one step of gradient descent: the displacement is proportional to the rate
    descent = SGD(schedule="constant", max_grad_norm=None)
    once = {"optimizer": descent, "batch_size": len(FACES), "precision": "float64"}
    moves = [
        of_solver(tuned(solver, tune_solver=TuneSolver("all", lr=rate), **once).fit(FACES))[
            "step_size.logarithm"
        ]
        - np.log(0.5)
        for rate in (1e-2, 3e-2)
    ]
    np.testing.assert_allclose(moves[1], 3 * moves[0], rtol=1e-9)
    default = tuned(solver, outer_lr=3e-2, **once).fit(FACES)
    np.testing.assert_allclose(
        of_solver(default)["step_size.logarithm"] - np.log(0.5), moves[1], rtol=1e-9
    )


def _initial_bias(est):
    return tuned(None, tune_solver=False, outer_lr=0.0).fit(FACES).weights_["init.0.bias"]


def test_prediction_takes_the_trained_solver(tmp_path):
    est = tuned(
        RED(FrozenEstimator(DENOISER), n_iter=2), tune_solver=TuneSolver("all", lr=1e-2)
    ).fit(FACES)
    measured = est.simulate(FACES[:3])
    restored = est.predict(measured)
    joblib.dump(est, tmp_path / "tuned.joblib")
    assert np.array_equal(joblib.load(tmp_path / "tuned.joblib").predict(measured), restored)
    est.weights_ = {k: np.zeros_like(v) if "solver" in k else v for k, v in est.weights_.items()}
    est._cache.clear()
    assert not np.allclose(est.predict(measured), restored, atol=1e-3)


def test_training_that_goes_on_keeps_what_the_solver_learned():
    solver = RED(FrozenEstimator(DENOISER), n_iter=1)
    once = tuned(solver, max_epochs=2).fit(FACES)
    twice = tuned(solver).partial_fit(FACES).partial_fit(FACES)
    assert all(np.array_equal(once.weights_[name], w) for name, w in twice.weights_.items())
    frozen = twice.set_params(tune_solver=False).partial_fit(FACES)
    assert all(
        np.array_equal(once.weights_[f"solver.{k}"], w) for k, w in of_solver(frozen).items()
    )
    assert of_solver(frozen)


@pytest.mark.parametrize(
    "solver", [None, ConjugateGradient(), HQS(), FunctionSolver(lambda x, data: x)]
)
def test_a_solver_with_nothing_to_learn_is_refused(solver):
    with pytest.raises(ValueError, match="'tune_solver' parameter must be False if the solver"):
        tuned(solver).fit(FACES)
