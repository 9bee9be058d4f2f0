"""Classical, differentiable solvers ``f`` of inverse problems."""

from skmetainv.solvers.admm import ADMM
from skmetainv.solvers.base import Solver
from skmetainv.solvers.conjugate_gradient import ConjugateGradient
from skmetainv.solvers.function_solver import FunctionSolver
from skmetainv.solvers.gradient_descent import GradientDescent
from skmetainv.solvers.hqs import HQS
from skmetainv.solvers.iterative import IterativeSolver, Run, State
from skmetainv.solvers.primal_dual import PrimalDual
from skmetainv.solvers.prior import Prior, PriorSolver
from skmetainv.solvers.proximal_gradient import ProximalGradient
from skmetainv.solvers.red import RED
from skmetainv.solvers.schedules import Schedule

__all__ = [
    "ADMM",
    "HQS",
    "RED",
    "ConjugateGradient",
    "FunctionSolver",
    "GradientDescent",
    "IterativeSolver",
    "PrimalDual",
    "Prior",
    "PriorSolver",
    "ProximalGradient",
    "Run",
    "Schedule",
    "Solver",
    "State",
]
