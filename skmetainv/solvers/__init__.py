"""Classical, differentiable solvers ``f`` of inverse problems."""

from skmetainv.solvers.base import IterativeSolver, Solver
from skmetainv.solvers.gradient_descent import GradientDescent

__all__ = ["GradientDescent", "IterativeSolver", "Solver"]
