"""Conjugate gradients that do not converge: one warning per call."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv import ClassicalReconstructor, MetaInverseSolver, UnrolledReconstructor
from skmetainv.operators import LinearMap, MatrixOperator, Operator, Radon
from skmetainv.operators.maps import normal_equations
from skmetainv.operators.maps.normal_equations import solve
from skmetainv.operators.maps.unsolved_systems import Watch, watched
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED
from skmetainv.training import EarlyStopping, TrainingLoop

IMAGES = np.random.default_rng(0).random((4, 8, 8))


class NotAdjoint(Operator):
    """A pair of functions that are not adjoint."""

    def build(self, image_shape):
        class NotAdjointMap(LinearMap):
            def forward(self, x):
                return x - 0.9 * x.roll(1, -1)

            def adjoint(self, y):
                return y.roll(3, -1) - 0.9 * y.flip(-2)

        return NotAdjointMap(image_shape, image_shape)


def told(call):
    """The texts of the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if w.category is ConvergenceWarning]


def data_of(operator, dtype=torch.float64, n=2, size=8):
    A = operator.build((1, size, size)).to(dtype)
    x, z = torch.from_numpy(np.random.default_rng(1).random((2, n, 1, size, size))).to(dtype)
    return A.bind(A(x)), z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_system_that_is_not_solved_is_told_where_nobody_watches(dtype):
    data, x = data_of(NotAdjoint(), dtype)
    messages = told(lambda: data.prox(x, 0.01))
    assert len(messages) == 1
    assert "2 linear system(s) (A'A + rho I) x = b could not be solved" in messages[0]
    assert "check its adjoint" in messages[0]
    assert not told(lambda: data_of(Radon(5), dtype)[0].prox(x, 0.01))


def test_a_watch_counts_one_update_for_each_eigenvalue():
    scale = torch.tensor([1.0, 2.0, 3.0, 3.0]).double()
    with watched(Watch()) as watch:
        for _ in range(2):
            solve(lambda v: scale * v, torch.ones(5, 4).double(), torch.zeros(()).double())
    assert watch.n_updates == 2 * 3
    assert watch.n_unsolved == 0


def test_what_cannot_be_solved_is_given_up_and_no_worse_than_the_start():
    data, x = data_of(NotAdjoint(), size=48)
    calls, normal = [], data.A.normal
    data.A.normal = lambda v: calls.append(1) or normal(v)
    rho = torch.tensor(0.01).double()
    b = data.adjoint_y + rho * x
    with watched(Watch()) as watch:
        z = solve(data.A.normal, b, rho, start=x)
    assert watch.n_unsolved == 2
    assert len(calls) < 1000  # well below the limit of 10 000
    for left, before in zip(b - normal(z) - rho * z, b - normal(x) - rho * x, strict=True):
        assert left.norm() <= before.norm()


def test_where_the_matrix_has_no_curvature_it_is_given_up_at_once():
    calls = []
    with watched(Watch()) as watch:
        x = solve(
            lambda v: calls.append(1) or -v, torch.ones(1, 1, 50, 50), torch.tensor(0.5), None
        )
    assert (watch.n_unsolved, watch.worst) == (1, pytest.approx(1.0))
    assert len(calls) < 50
    assert not x.any()


def test_the_backward_pass_tells_the_same_watch():
    data, x = data_of(NotAdjoint())
    with watched(Watch()) as watch:
        z = data.prox(x.requires_grad_(), 0.01)
    forward = watch.n_unsolved
    assert not told(lambda: z.square().sum().backward())
    assert watch.n_unsolved > forward


@pytest.mark.parametrize("scale", [1e-10, 1e-3, 1e3, 1e10])
def test_systems_of_any_scale_are_solved_in_single_precision(scale):
    A = Radon(8).build((1, 16, 16)).float()
    b = A.adjoint(
        torch.from_numpy(np.random.default_rng(0).random((2, *A.measurement_shape))).float()
    )
    b, rho = scale**2 * b, torch.tensor(scale**2 * 10.0)
    with watched(Watch()) as watch:
        x = solve(lambda v: scale * A.adjoint(scale * A(v)), b, rho, start=400 * torch.ones_like(b))
    assert watch.n_unsolved == 0
    exact = solve(A.double().normal, (b / scale**2).double(), torch.tensor(10.0).double())
    assert (x - exact).norm() < 1e-4 * exact.norm()


def test_the_true_residual_is_small_from_a_start_far_away():
    data, x = data_of(Radon(20), torch.float32, size=24)
    rho = 0.001 * data.squared_norm
    z = data.prox(1000 * x, rho).double()
    exact = data_of(Radon(20), size=24)[0].prox(1000 * x.double(), rho)
    assert (z - exact).norm() < 1e-3 * exact.norm()


def test_the_cap_is_on_all_updates_together(monkeypatch):
    monkeypatch.setattr(normal_equations, "_MAX_ITER", 3)
    data, x = data_of(Radon(20), size=16)
    calls, normal = [], data.A.normal
    data.A.normal = lambda v: calls.append(1) or normal(v)
    with watched(Watch()) as watch:
        data.prox(0 * x, 1e-8)
    assert watch.n_unsolved == 2
    assert len(calls) == 3 + 2 + 5  # updates, true residuals, the norm


@pytest.mark.parametrize("n", [3, 8])
def test_a_system_has_at_most_ten_updates_per_unknown(n):
    entries = torch.from_numpy(np.random.default_rng(0).normal(size=(n, n)))
    calls, matrix = [], torch.eye(n) + entries - entries.mT  # not symmetric: no convergence
    with watched(Watch()) as watch:
        solve(
            lambda v: calls.append(1) or v @ matrix,
            torch.ones(1, n).double(),
            torch.tensor(0.0).double(),
        )
    assert watch.n_unsolved == 1
    assert len(calls) == 10 * n + 1 + 5  # updates, the true residual, the norm


def test_a_system_has_at_most_ten_thousand_updates():
    n = 10_100  # different eigenvalues, one update for each
    eigenvalues = 1e-6 + (1 - torch.linspace(0, np.pi, n).double().cos()[None]) / 2
    calls = []
    with watched(Watch()):
        solve(
            lambda v: calls.append(1) or eigenvalues * v,
            torch.ones(1, n).double(),
            torch.tensor(0.0).double(),
        )
    assert 10_000 < len(calls) < 10_010


# ---------------------------------------------------------------------- estimators


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_an_estimator_warns_once_per_call_and_names_the_operator(precision):
    est = ClassicalReconstructor(NotAdjoint(), HQS(), precision=precision, batch_size=1)
    for call in (lambda: est.fit(IMAGES), lambda: est.predict(IMAGES), lambda: est.score(IMAGES)):
        messages = told(call)
        assert len(messages) == 1
        assert "of NotAdjoint() could not be solved" in messages[0]


def test_a_long_name_of_an_operator_is_shortened():
    matrix = scipy.sparse.random(64, 64, 0.5, random_state=0)
    message = Watch(MatrixOperator(matrix)).describe()
    assert " of MatrixOperator(matrix=" in message
    assert len(message) < 350
    assert "\n" not in message


def test_staged_prediction_warns_once():
    solver = RED(n_iter=1, weight=0.01)
    est = MetaInverseSolver(NotAdjoint(), solver, init=Siren(4, depth=2), n_inner=1, max_epochs=1)
    assert "linear systems that could not be solved" in told(lambda: est.fit(IMAGES))[0]
    messages = told(lambda: [*est.staged_predict(IMAGES)])
    assert len(messages) == 1
    assert "of NotAdjoint()" in messages[0]


def test_training_skips_such_steps():
    est = UnrolledReconstructor(NotAdjoint(), HQS(n_iter=1, rho=0.01), max_epochs=3)
    messages = told(lambda: est.fit(IMAGES))
    assert len(messages) == 1
    assert "1 step(s) of training had linear systems that could not be solved" in messages[0]
    assert "All steps of the last epoch were skipped: training stopped." in messages[0]
    assert "not finite" not in messages[0]
    assert "of NotAdjoint() could not be solved" in messages[0]
    assert est.history_.get("loss", []) == []


def test_only_the_steps_in_which_they_were_are_skipped():
    class Batches:
        def __len__(self):
            return 4

        def epoch(self, epoch, first):
            return iter(range(4))

    weight = torch.nn.Parameter(torch.zeros(1))
    loop = TrainingLoop(Batches(), torch.optim.SGD([weight], lr=1.0), {"w": weight}, max_epochs=1)
    loop.watch = Watch(SimpleNamespace(name="it"))

    def train():
        for step in loop:
            loss = weight.sum().expand(1)
            loss.sum().backward()
            if step in (1, 2):
                loop.watch.note([0.5, 2.0])
            loop.descend(loss=loss)

    messages = told(train)
    assert weight.item() == -2.0
    assert len(messages) == 1
    assert "2 step(s) of training had linear systems" in messages[0]
    assert "4 linear system(s)" in messages[0]
    assert "relative residual up to 2." in messages[0]


def test_validation_between_steps_does_not_count():
    est = UnrolledReconstructor(Radon(4), HQS(n_iter=1), max_epochs=2)
    stopping = EarlyStopping(validation_fraction=0.5)
    est.set_params(solver__learnable=("noise_level",), early_stopping=stopping)
    restored = type(est)._restored_by

    def failing(self, G, y, A):
        NotAdjoint().build((1, 8, 8)).bind(y.new_ones(1, 1, 8, 8)).prox(
            y.new_zeros(1, 1, 8, 8), 0.01
        )
        return restored(self, G, y, A)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(est), "_restored_by", failing)
        assert not told(lambda: est.fit(IMAGES))
    assert len(est.history_["loss"]) == 2


def test_a_watch_keeps_the_largest_residual():
    watch = Watch()
    assert (watch.n_unsolved, watch.worst) == (0, 0.0)
    watch.note([1e-3, 2e-3])
    watch.note([1e-4])
    assert (watch.n_unsolved, watch.worst) == (3, 2e-3)
