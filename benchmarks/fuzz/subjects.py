"""How each public class is built, and how its object is used in an estimator that fits at once."""

import atexit
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import deepinv
import numpy as np
import torch
from sklearn.base import clone
from torchvision.models import squeezenet1_1

import skmetainv.testing  # noqa: F401  imports every other package of the library
from skmetainv import (
    ClassicalReconstructor,
    DeepInverseReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DeepInverseDenoiser, Denoiser, DnCNN, DRUNet, FunctionDenoiser
from skmetainv.losses import L1, L2, LPIPS, FunctionLoss, Loss, ScaledLoss, SumLoss
from skmetainv.meta import MAML, Algorithm, InnerLoss, StepSizeRule, TuneSolver
from skmetainv.model_selection import ImageScorer
from skmetainv.noise import GaussianNoise, Mixture, Noise, PoissonNoise
from skmetainv.operators import (
    Blur,
    Composition,
    DeepInverseOperator,
    FunctionOperator,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    MatrixOperator,
    Mosaic,
    MultiCoilMRI,
    Normalized,
    Operator,
    Radon,
    RandomOperator,
    Scaled,
    Stack,
    Sum,
    WithNoise,
)
from skmetainv.parameters import ParameterObject, public_subclasses
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ModulatedSiren,
    ModuleRepresentation,
    Refiner,
    Representation,
    Siren,
)
from skmetainv.solvers import HQS, FunctionSolver, GradientDescent, Solver
from skmetainv.training import Adam, Checkpoint, EarlyStopping, LearningRate, Optimizer

_ROWS, _COLUMNS = np.mgrid[:8, :8] / 7
_PHASES = np.arange(6)[:, None, None]
#: Six gray images of 8 x 8 pixels, with values in [0, 1], and six in colour.
GRAY = 0.5 + 0.4 * np.sin(5 * _ROWS + _PHASES) * np.cos(4 * _COLUMNS - _PHASES)
COLOUR = np.stack([GRAY, GRAY**2, 1 - GRAY], axis=-1)


@dataclass(frozen=True)
class Subject:
    """A valid object of a class, and a function that restores images with it."""

    make: Callable[[], Any]
    use: Callable[[Any], np.ndarray]


def quick(operator=None, solver=None, **parameters):
    """Return a `MetaInverseSolver` that is fitted in some hundredths of a second."""
    few = {"init": Siren(width=4, depth=2), "n_inner": 1, "max_epochs": 1, "random_state": 0}
    return MetaInverseSolver(operator, solver, **few | parameters)


def restored(est, X=GRAY):
    """Fit an estimator, and restore two images; a clone must give the same."""
    first = est.fit(X).predict(est.simulate(X[:2], random_state=0))
    second = clone(est).fit(X).predict(est.simulate(X[:2], random_state=0))
    if not np.array_equal(first, second, equal_nan=True) and est.random_state == 0:
        raise AssertionError("a clone restores other images")
    return first


def by_operator(operator, X=GRAY):
    """Restore by an operator; the adjoint of a linear one must be its adjoint."""
    A = operator.build(np.moveaxis(np.atleast_3d(X[0]), -1, 0).shape)
    if hasattr(A, "adjoint") and not np.isnan(operator(X[:1])).any():
        x = torch.from_numpy(np.moveaxis(X[:1].reshape(1, *X.shape[1:3], -1), -1, 1))
        y = A(x)
        left, right = y.square().sum(), (x * A.adjoint(y)).sum()
        if not torch.isclose(left, right, rtol=1e-6, atol=1e-12) and left.isfinite():
            raise AssertionError("the adjoint is not the adjoint")
    return restored(quick(operator), X)


def by_random_operator(operator):
    """Restore measurements of one of the instruments."""
    est, one = quick(operator).fit(GRAY), operator.instruments()[0]
    return est.predict(one(GRAY[:2]), operator=one)


def by_solver(solver):
    return restored(ClassicalReconstructor(GaussianBlur(), solver, max_iter=3))


def by_score(scorer):
    est = ClassicalReconstructor(noise=0.1).fit(GRAY)
    scores = scorer(est, GRAY)
    values = np.array(list(scores.values()) if isinstance(scores, dict) else scores, dtype=float)
    return np.minimum(values, 1e9)  # the PSNR of an exact restoration is infinite


def by_checkpoint(checkpoint):
    return restored(quick(checkpoint=checkpoint))


def by_lpips(loss):
    """Restore by LPIPS; without a file of weights there is no download."""
    no_network = mock.patch("torch.hub.load_state_dict_from_url", side_effect=OSError("no network"))
    with no_network, mock.patch.dict("os.environ", TORCH_HOME=tempfile.gettempdir()):
        return restored(quick(outer_loss=loss))


@cache
def _random_squeezenet():
    """Return a file of random weights of SqueezeNet, which is removed at the end."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "squeezenet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


def _deepinv_blur():
    return DeepInverseOperator(deepinv.physics.Blur(torch.ones(1, 1, 3, 3) / 9, padding="circular"))


def _mean(x):
    return x.mean((1, 2, 3), keepdim=True).expand_as(x)


def _update(x, data):
    return x - 0.1 * data.gradient(x)


def _difference(x, target):
    return (x - target).square().mean((1, 2, 3))


class _Flat(torch.nn.Module):
    def __init__(self, image_shape):
        super().__init__()
        self.image = torch.nn.Parameter(torch.zeros(image_shape))

    def forward(self):
        return self.image


def _smooth(x, noise_level):
    return x - 0.1 * noise_level * x


#: Objects of classes that have no default, or whose defaults take long.
MADE = {
    "Blur": lambda: Blur(np.ones((3, 3)) / 9),
    "Composition": lambda: Composition(GaussianBlur(), Identity()),
    "Scaled": lambda: Scaled(GaussianBlur(), factor=2.0),
    "Normalized": lambda: Normalized(GaussianBlur()),
    "Sum": lambda: Sum(Identity(), GaussianBlur()),
    "RandomOperator": lambda: RandomOperator(GaussianBlur(), {"sigma": [0.5, 1.5]}),
    "WithNoise": lambda: WithNoise(GaussianBlur(), 0.01),
    "Stack": lambda: Stack([Identity(), GaussianBlur()]),
    "MatrixOperator": lambda: MatrixOperator(np.ones((3, 64))),
    "FunctionOperator": lambda: FunctionOperator(_mean, linear=True),
    "MultiCoilMRI": lambda: MultiCoilMRI(2),
    "Radon": lambda: Radon(4),
    "FunctionSolver": lambda: FunctionSolver(_update),
    "DeepInverseOperator": _deepinv_blur,
    "DeepInverseDenoiser": lambda: DeepInverseDenoiser(deepinv.models.MedianFilter()),
    "DeepInverseReconstructor": lambda: DeepInverseReconstructor(
        deepinv.optim.PGD(prior=deepinv.optim.TVPrior(), lambda_reg=1e-3, max_iter=2),
        _deepinv_blur(),
        random_state=0,
    ),
    "LPIPS": lambda: LPIPS("squeeze", weights=_random_squeezenet(), upsample=True),
    "FunctionDenoiser": lambda: FunctionDenoiser(_smooth),
    "FunctionLoss": lambda: FunctionLoss(_difference),
    "ModuleRepresentation": lambda: ModuleRepresentation(_Flat),
    "SumLoss": lambda: SumLoss(L1(), L2()),
    "ScaledLoss": lambda: ScaledLoss(L2(), factor=0.5),
    "FourierMLP": lambda: FourierMLP(width=4, depth=2),
    "ModulatedSiren": lambda: ModulatedSiren(width=4, depth=2),
    "Siren": lambda: Siren(width=4, depth=2),
    "Mixture": lambda: Mixture(GaussianNoise(0.1), PoissonNoise(100.0)),
    "MetaInverseSolver": lambda: quick(GaussianBlur(), GradientDescent()),
    "UNetReconstructor": lambda: UNetReconstructor(
        Inpainting(), width=2, depth=1, max_epochs=1, random_state=0
    ),
    "UnrolledReconstructor": lambda: UnrolledReconstructor(
        GaussianBlur(), GradientDescent(), max_epochs=1, random_state=0
    ),
    "ClassicalReconstructor": lambda: ClassicalReconstructor(
        GaussianBlur(), GradientDescent(), max_iter=3, random_state=0
    ),
    "LinearReconstructor": lambda: LinearReconstructor(GaussianBlur(), random_state=0),
    "DnCNN": lambda: DnCNN(depth=2, width=2, max_epochs=1, patch_size=8, random_state=0),
    "DRUNet": lambda: DRUNet(width=2, n_blocks=1, max_epochs=1, patch_size=8, random_state=0),
    "Checkpoint": lambda: Checkpoint("run.ckpt"),
    "TuneSolver": lambda: TuneSolver("numbers"),
}


def _use(cls):
    """Return the function that restores images with an object of a class."""
    uses = [
        (DnCNN, restored),
        (DRUNet, restored),
        (Grayscale, partial(by_operator, X=COLOUR)),
        (Mosaic, partial(by_operator, X=COLOUR)),
        (RandomOperator, by_random_operator),
        (Operator, by_operator),
        (Solver, by_solver),
        (Denoiser, lambda denoiser: by_solver(HQS(denoiser, n_iter=2))),
        (Representation, lambda init: restored(quick(Inpainting(), init=init))),
        (Encoder, lambda encoder: restored(quick(init=Siren(width=4, depth=2, encoder=encoder)))),
        (
            Refiner,
            lambda refiner: restored(
                quick(init=Siren(width=4, depth=2, residual="adjoint", refiner=refiner))
            ),
        ),
        (LPIPS, by_lpips),
        (Loss, lambda loss: restored(quick(outer_loss=loss))),
        (InnerLoss, lambda loss: restored(quick(GaussianBlur(), inner_loss=loss))),
        (Noise, lambda noise: restored(quick(noise=noise))),
        (Algorithm, lambda algorithm: restored(quick(GaussianBlur(), algorithm=algorithm))),
        (StepSizeRule, lambda rule: restored(quick(algorithm=MAML(step_sizes=rule)))),
        (
            TuneSolver,
            lambda tuned: restored(quick(GaussianBlur(), GradientDescent(), tune_solver=tuned)),
        ),
        (Optimizer, lambda optimizer: restored(quick(optimizer=optimizer))),
        (LearningRate, lambda schedule: restored(quick(optimizer=Adam(schedule=schedule)))),
        (EarlyStopping, lambda stopping: restored(quick(early_stopping=stopping))),
        (Checkpoint, by_checkpoint),
        (ImageScorer, by_score),
    ]
    return next((use for base, use in uses if issubclass(cls, base)), restored)


#: Classes that exist for their subclasses only.
BASES = {
    "Algorithm",
    "ClassicalDenoiser",
    "Denoiser",
    "LearningRate",
    "Loss",
    "Noise",
    "Operator",
    "Optimizer",
    "PriorSolver",
    "Reconstructor",
    "Representation",
    "Solver",
    "StepSizeRule",
    "TrainedReconstructor",
}

#: All public classes with parameters, by name.
CLASSES = {
    cls.__name__: cls
    for cls in public_subclasses(ParameterObject)
    if cls.__name__ not in BASES and cls._get_param_names()
}
SUBJECTS = {name: Subject(MADE.get(name, cls), _use(cls)) for name, cls in CLASSES.items()}
