"""Meta-learned starts for classical solvers of inverse problems, with scikit-learn's API."""

from skmetainv.estimators import (
    ClassicalReconstructor,
    DeepInverseReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    SolverRecord,
    UNetReconstructor,
    UnrolledReconstructor,
)

__version__ = "0.1.0"

__all__ = [
    "ClassicalReconstructor",
    "DeepInverseReconstructor",
    "LinearReconstructor",
    "MetaInverseSolver",
    "SolverRecord",
    "UNetReconstructor",
    "UnrolledReconstructor",
    "__version__",
]
