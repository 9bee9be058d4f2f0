"""Errors on wrong parameters show the line to write."""

import deepinv
import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.sparse.linalg import aslinearoperator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmetainv import (
    ClassicalReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DnCNN, FunctionDenoiser, TotalVariation
from skmetainv.losses import FunctionLoss
from skmetainv.meta import MAML, InnerLoss
from skmetainv.model_selection import ImageScorer
from skmetainv.noise import PoissonNoise, SaltPepper
from skmetainv.operators import (
    Composition,
    GaussianBlur,
    Identity,
    Inpainting,
    MotionBlur,
    PhaseRetrieval,
    Stack,
)
from skmetainv.representations import ModuleRepresentation, Siren
from skmetainv.solvers import ADMM, HQS, RED, GradientDescent, ProximalGradient
from skmetainv.training import Adam

X = np.random.default_rng(0).random((4, 8, 8))
MATRIX = np.ones((3, 64))
CONV = torch.nn.Conv2d(1, 1, 3, padding=1)

FOREIGN_OPERATORS = [
    (MATRIX, r"MatrixOperator\(matrix\)"),
    (scipy.sparse.csr_array(MATRIX), r"MatrixOperator\(matrix\)"),
    (torch.ones(3, 64), r"MatrixOperator\(matrix\)"),
    (aslinearoperator(MATRIX), r"MatrixOperator\(matrix\)"),
    (X[0] > 0.5, r"Inpainting\(mask\)"),
    (deepinv.physics.Denoising(), r"DeepInverseOperator\(physics\)"),
    (CONV, r"FunctionOperator\(function, adjoint_function=\.\.\.\)"),
    (np.roll, r"FunctionOperator\(function, adjoint_function=\.\.\.\)"),
    (Inpainting, r"Inpainting\(\)"),
    (
        Identity().build((1, 8, 8)),
        r"GaussianBlur\(\), for example: the operator itself, not",
    ),
]
foreign_operators = pytest.mark.parametrize(("value", "line"), FOREIGN_OPERATORS)


@foreign_operators
@pytest.mark.parametrize(
    "kind", [ClassicalReconstructor, MetaInverseSolver, UNetReconstructor, UnrolledReconstructor]
)
def test_an_operator_of_another_kind_is_refused_with_its_adapter(kind, value, line):
    for method in ("fit", "simulate"):
        with pytest.raises(
            ValueError, match=f"(?s)'operator' parameter of {kind.__name__}.*{line}"
        ):
            getattr(kind(value), method)(X)


@foreign_operators
def test_operators_compose_with_operators_alone(value, line):
    blur = GaussianBlur()
    for compose in (lambda: blur @ value, lambda: blur + value):
        with pytest.raises(ValueError, match=f"(?s)must be an Operator.*{line}"):
            compose()
    if not hasattr(value, "matvec"):  # SciPy raises its own error
        with pytest.raises(ValueError, match=f"(?s)left operand of @ must be an Operator.*{line}"):
            value @ blur
    for composed in (Stack([blur, value]), Composition(value, blur), PhaseRetrieval(value)):
        with pytest.raises(ValueError, match=line):
            composed.build((1, 8, 8))


def test_numbers_multiply_operators_and_nothing_else():
    for factor in (2, 2.0, np.float32(2), np.int64(2)):
        for multiple in (factor * GaussianBlur(), GaussianBlur() * factor):
            assert repr(multiple) == "2.0 * GaussianBlur()"
    with pytest.raises(ValueError, match="outer @ inner"):
        GaussianBlur() * GaussianBlur()


def test_a_stack_with_a_stranger_can_be_looked_at():
    stack = Stack([GaussianBlur(), MATRIX])
    assert stack.get_params()["1"] is MATRIX
    stack.set_params(**{"1": Identity()}).build((1, 8, 8))


def test_an_operator_to_simulate_with():
    est = ClassicalReconstructor().fit(X)
    with pytest.raises(ValueError, match=r"MatrixOperator\(matrix\)"):
        next(iter(est.restorations(X, operator=MATRIX)))
    with pytest.raises(
        ValueError, match=r"(?s)'operator' parameter of ImageScorer.*MatrixOperator"
    ):
        ImageScorer(operator=MATRIX)(est, X)


@pytest.mark.parametrize("kind", [ClassicalReconstructor, MetaInverseSolver, UnrolledReconstructor])
@pytest.mark.parametrize(
    ("value", "line"),
    [
        (DnCNN(), r"solver=HQS\(denoiser\)"),
        (FrozenEstimator(DnCNN()), r"solver=HQS\(denoiser\)"),
        (CONV, r"HQS\(FunctionDenoiser\(module\)\) .* FunctionSolver\(module\)"),
        (np.roll, r"HQS\(FunctionDenoiser\(function\)\) .* FunctionSolver\(function\)"),
        (deepinv.models.MedianFilter(), r"HQS\(DeepInverseDenoiser\(model\)\)"),
        (HQS, r"solver=HQS\(\)"),
        (GaussianBlur(), r"operator=GaussianBlur"),
    ],
)
def test_a_solver_of_another_kind(kind, value, line):
    with pytest.raises(ValueError, match=f"(?s)'solver' parameter of {kind.__name__}.*{line}"):
        kind(solver=value).fit(X)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (CONV, r"denoiser=FunctionDenoiser\(module\)"),
        (np.roll, r"denoiser=FunctionDenoiser\(function\)"),
        (deepinv.models.MedianFilter(), r"denoiser=DeepInverseDenoiser\(model\)"),
        (TotalVariation, r"denoiser=TotalVariation\(\)"),
    ],
)
def test_a_denoiser_of_another_kind(value, line):
    for solver in (HQS(value), ADMM(value), RED(value), ProximalGradient(value)):
        with pytest.raises(ValueError, match=f"'denoiser' parameter of .*{line}"):
            ClassicalReconstructor(solver=solver).fit(X)
    with pytest.raises(ValueError, match="'regularizer' parameter of InnerLoss"):
        MetaInverseSolver(inner_loss=InnerLoss(regularizer=value)).fit(X)


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"init": CONV}, r"init=ModuleRepresentation\(module\)"),
        ({"init": torch.nn.Conv2d}, r"init=ModuleRepresentation\(factory\)"),
        ({"init": Siren}, r"init=Siren\(\)"),
        ({"outer_loss": "mse"}, "{'l1', 'l2', 'lpips', 'ssim'}.*outer_loss='l2'"),
        ({"outer_loss": "MSE"}, "outer_loss='l2'"),
        ({"outer_loss": "l2_loss"}, "outer_loss='l2'"),
        ({"outer_loss": "psnr"}, "outer_loss='l2'"),
        ({"outer_loss": "mae"}, "outer_loss='l1'"),
        ({"outer_loss": "LPIPS"}, "outer_loss='lpips'"),
        ({"outer_loss": {"mse": 1.0}}, "Got 'mse' instead. Write 'l2'"),
        ({"inner_loss": "mse"}, "inner_loss='l2'"),
        ({"optimizer": "Adam"}, "{'adam', 'adamw', 'sgd'}.*optimizer='adam'"),
        ({"optimizer": torch.optim.SGD}, "optimizer='sgd'"),
        ({"optimizer": "rmsprop"}, "{'adam', 'adamw', 'sgd'}"),
        ({"algorithm": "MAML"}, "{'fomaml', 'imaml', 'maml', 'reptile'}.*algorithm='maml'"),
        ({"algorithm": MAML(step_sizes="per-step")}, "step_sizes='per_step'"),
        ({"optimizer": Adam(schedule="cosine annealing")}, "schedule='cosine'"),
        ({"precision": "Float32"}, "{'bfloat16', 'float32', 'float64'}.*precision='float32'"),
        ({"noise": deepinv.physics.GaussianNoise(0.1)}, r"GaussianNoise\(\.\.\.\) of skmetainv"),
    ],
)
def test_what_stands_for_something_is_said(parameters, line):
    with pytest.raises(ValueError, match=line):
        MetaInverseSolver(**parameters).fit(X)


@pytest.mark.parametrize(
    ("metric", "line"), [("mse", "'neg_mse'"), (["PSNR"], "'psnr'"), ("LPIPS", "'neg_lpips'")]
)
def test_a_score_by_another_name(metric, line):
    with pytest.raises(ValueError, match=f"Write {line}"):
        ImageScorer(metric)(ClassicalReconstructor().fit(X), X)


# ------------------------------------------------------------------ nested names


@pytest.mark.parametrize(
    ("est", "name", "line"),
    [
        (MetaInverseSolver(), "solver__step_size", r"is None.*solver=GradientDescent\(step_size="),
        (ClassicalReconstructor(), "solver__rho", r"solver=ADMM\(rho=\.\.\.\), or HQS"),
        (MetaInverseSolver(), "init__width", r"init=FourierMLP\(width=\.\.\.\), or ModulatedSiren"),
        (MetaInverseSolver(), "operator__sigma", r"operator=GaussianBlur\(sigma=\.\.\.\)"),
        (MetaInverseSolver(), "noise__photons", r"is 0\.0.*noise=PoissonNoise\(photons="),
        (MetaInverseSolver(), "optimizer__beta_1", r"is 'adam'.*optimizer=Adam\(beta_1="),
        (MetaInverseSolver(), "algorithm__proximity", r"is 'maml'.*algorithm=IMAML\(proximity="),
        (MetaInverseSolver(), "solver__sgima", "is None, which has no parameter 'sgima'"),
        (HQS(), "denoiser__depth", r"is None.*denoiser=DnCNN\(depth="),
        (2.0 * GaussianBlur(), "factor__sigma", r"of Scaled is 2\.0"),
    ],
)
def test_a_part_that_is_none_is_named(est, name, line):
    with pytest.raises(ValueError, match=f"{name.partition('__')[0]}' parameter.*{line}"):
        est.set_params(**{name: 1.0})


def test_a_part_may_be_set_beside_its_parameters():
    est = MetaInverseSolver().set_params(solver__step_size=0.3, solver=GradientDescent())
    assert est.solver.step_size == 0.3
    with pytest.raises(ValueError, match="Invalid parameter 'sgima'"):
        est.set_params(sgima=1.0)


def test_a_search_says_so_too():
    search = GridSearchCV(ClassicalReconstructor(), {"solver__step_size": [0.1, 0.2]}, cv=2)
    with pytest.raises(ValueError, match=r"solver=GradientDescent\(step_size=\.\.\.\)"):
        search.fit(X)


# ------------------------------------------------------------------ functions of the image alone


@pytest.mark.parametrize("fn", [CONV, torch.nn.Sequential(CONV), lambda x: 0.5 * x, torch.tanh])
def test_a_function_of_the_image_alone_denoises(fn):
    D, x = FunctionDenoiser(fn).build((1, 8, 8)), torch.rand(2, 1, 8, 8)
    assert not D.takes_noise_level
    torch.testing.assert_close(D(x), fn(x))
    est = ClassicalReconstructor(solver=HQS(FunctionDenoiser(fn)), device="cpu")
    assert np.isfinite(est.fit(X).predict(X)).all()
    with pytest.raises(ValueError, match="takes no noise level"):
        HQS(FunctionDenoiser(fn), noise_level=0.1).build((1, 8, 8))
    with pytest.raises(ValueError, match=r"'noise_level' parameter of FunctionDenoiser .* alone"):
        FunctionDenoiser(fn, noise_level=0.1).build((1, 8, 8))


def test_a_function_of_both_gets_the_noise_level():
    D, x = FunctionDenoiser(lambda x, level: level * x).build((1, 2, 2)), torch.ones(1, 1, 2, 2)
    assert D.takes_noise_level
    torch.testing.assert_close(D(x), 0.05 * x)
    torch.testing.assert_close(D(x, 0.3), 0.3 * x)


@pytest.mark.parametrize(
    "module", [torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Conv2d(1, 1, 3), torch.nn.Flatten()]
)
def test_a_module_for_other_images_is_named(module):
    name = type(module).__name__
    with pytest.raises(ValueError, match=f"{name}, the 'function' .* not denoise images of shape"):
        FunctionDenoiser(module).build((1, 8, 8))


class _Picture(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.values = torch.nn.Parameter(torch.linspace(-1, 1, 16).reshape(1, 4, 4))

    def forward(self):
        return self.values


def test_a_module_is_a_representation_with_its_own_weights():
    module = _Picture()
    phi = ModuleRepresentation(module).build((1, 4, 4))
    first, second = (phi.initial_weights(np.random.default_rng(seed)) for seed in (0, 1))
    torch.testing.assert_close(first["values"], module.values.detach().double())
    torch.testing.assert_close(first["values"], second["values"])
    assert not list(phi.parameters())


@pytest.mark.parametrize(
    ("parameter", "word", "line"),
    [
        ("init", "siren", r"Write init=Siren\(\)"),
        ("solver", "hqs", r"Write solver=HQS\(\)"),
        ("solver", "gradient descent", r"Write solver=GradientDescent\(\)"),
        ("operator", "Gaussian-blur", r"Write operator=GaussianBlur\(\)"),
    ],
)
def test_a_word_for_an_object_is_answered_by_the_object(parameter, word, line):
    with pytest.raises(ValueError, match=line):
        MetaInverseSolver(**{parameter: word}).fit(np.ones((4, 5, 5)))
    with pytest.raises(ValueError, match=r"Got 'no such thing' instead\.$"):
        MetaInverseSolver(**{parameter: "no such thing"}).fit(np.ones((4, 5, 5)))


class TooFew:
    """A lazy array that returns one image whatever the indices."""

    shape, ndim, dtype = X.shape, X.ndim, X.dtype

    def __len__(self):
        return len(X)

    def __getitem__(self, indices):
        return X[indices][:1]


def trained(operator=None, solver=None, **parameters):
    small = {"init": Siren(width=4, depth=2), "n_inner": 1, "max_epochs": 1}
    operator = Inpainting() if operator is None else operator
    return MetaInverseSolver(operator, solver, **small | parameters)


def ones(x, y):
    return torch.ones(len(x), dtype=x.dtype)


STILL = RED(n_iter=1, method="admm", weight=1.0, learnable=("weight",))
EXTREMES = {
    "counts": (trained(noise=PoissonNoise(1e30)), r"PoissonNoise\(photons=1e\+30\) would draw"),
    "pixels": (trained(noise=SaltPepper(high=1e308)), "'high' parameter of SaltPepper must be"),
    "length": (trained(MotionBlur(1e9)), r"MotionBlur\(length=1000000000.0\) reaches 5e\+08"),
    "sigma": (trained(GaussianBlur(1e9)), r"GaussianBlur\(sigma=1000000000.0\) reaches 4e\+09"),
    "frozen": (
        trained(solver=HQS(FrozenEstimator("x"))),
        "'denoiser' parameter of HQS must be",
    ),
    "names": (trained(inner_loss=InnerLoss(learnable=1.0)), "'learnable' parameter of InnerLoss"),
    "weights": (trained(algorithm=MAML(step_weights=torch.tensor(1.0))), "'step_weights' param"),
    "loss": (trained(outer_loss=FunctionLoss(ones)), "loss does not depend on the weights"),
    "result": (UnrolledReconstructor(GaussianBlur(), STILL), "loss does not depend on the weights"),
    "device": (trained(device="cpu:7"), "'device' parameter must be 'auto'.*Got 'cpu:7'"),
}


@pytest.mark.parametrize(("estimator", "message"), EXTREMES.values(), ids=list(EXTREMES))
def test_what_cannot_be_computed_is_refused_by_name(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)


def test_dates_are_no_images():
    with pytest.raises(ValueError, match=r"Expected X to be images\. Got dates or times"):
        trained().fit(X.astype("datetime64[s]"))


def test_a_lazy_array_that_returns_too_few_images():
    with pytest.raises(ValueError, match=r"X returned 1 image\(s\) for 4 indices"):
        trained().fit(TooFew())


@pytest.mark.parametrize("value", [True, False])
def test_booleans_are_no_numbers(value):
    with pytest.raises(ValueError, match="multiplied by a finite number"):
        value * GaussianBlur()
    with pytest.raises(
        ValueError, match="'random_state' parameter of MetaInverseSolver must be an"
    ):
        MetaInverseSolver(random_state=value).fit(X)
