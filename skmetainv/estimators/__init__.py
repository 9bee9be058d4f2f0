"""scikit-learn's face of the library."""

from skmetainv.estimators.classical import ClassicalReconstructor
from skmetainv.estimators.meta_inverse_solver import MetaInverseSolver

__all__ = ["ClassicalReconstructor", "MetaInverseSolver"]
