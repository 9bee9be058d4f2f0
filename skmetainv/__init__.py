"""Meta-learned starts for classical solvers of inverse problems, with scikit-learn's API."""

from skmetainv.estimators import MetaInverseSolver

__version__ = "0.1.0"

__all__ = ["MetaInverseSolver", "__version__"]
