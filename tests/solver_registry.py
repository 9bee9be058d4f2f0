"""The solvers and operators on which the solver tests run, and smooth denoisers."""

import numpy as np
import torch

from skmetainv.denoisers import FunctionDenoiser
from skmetainv.denoisers.differences import gradient, gradient_adjoint
from skmetainv.operators import CompressedSensing, GaussianBlur, Inpainting, MotionBlur
from skmetainv.solvers import (
    ADMM,
    HQS,
    RED,
    ConjugateGradient,
    FunctionSolver,
    GradientDescent,
    PrimalDual,
    ProximalGradient,
)

SHAPE = (1, 5, 6)
SMALL = (1, 3, 4)  # for the comparison of all partial derivatives


def smooth(x, noise_level):
    """A nonlinear denoiser that is smooth everywhere."""
    return x - noise_level * torch.tanh(gradient_adjoint(gradient(x)))


def contraction(x, noise_level):
    """A nonlinear denoiser whose Jacobian has a norm below 1."""
    return 0.9 * torch.tanh(x) - 0.05 * noise_level


def of_the_sine(x, data):
    """A user's update."""
    return data.prox(torch.sin(x), 0.5)


CONTRACTION = FunctionDenoiser(contraction, noise_level=0.2)
SMOOTH = FunctionDenoiser(smooth, noise_level=0.2)
RED_METHODS = ("fixed_point", "steepest_descent", "admm")
SOLVERS = {
    "GradientDescent": GradientDescent(n_iter=3, step_size=[0.5, 0.4, 0.3]),
    "ConjugateGradient": ConjugateGradient(n_iter=3),
    "ConjugateGradient damped": ConjugateGradient(n_iter=3, damping=0.2),
    **{f"RED {method}": RED(SMOOTH, n_iter=2, weight=0.3, method=method) for method in RED_METHODS},
    "HQS": HQS(SMOOTH, n_iter=3),
    "HQS fixed": HQS(SMOOTH, n_iter=2, rho=0.2, noise_level=[0.2, 0.1]),
    "ADMM": ADMM(SMOOTH, n_iter=3, rho=[0.2, 0.3, 0.4], noise_level=0.1),
    "ISTA": ProximalGradient(SMOOTH, n_iter=2, step_size=0.5),
    "FISTA": ProximalGradient(SMOOTH, n_iter=3, step_size=0.5, accelerated=True),
    "PrimalDual": PrimalDual(n_iter=3, weight=0.3),
    "FunctionSolver": FunctionSolver(of_the_sine, n_iter=2),
}
# Proximal steps by a closed form, by conjugate gradients, and by orthogonal rows.
OPERATORS = {
    "circular blur": GaussianBlur(sigma=0.8),
    "masked motion blur": Inpainting() @ MotionBlur(length=3, angle=45, boundary="reflect"),
    "sensing": CompressedSensing(n_measurements=7),
}


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))
