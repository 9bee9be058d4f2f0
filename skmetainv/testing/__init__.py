"""Checks for users' operators, solvers, denoisers, representations, losses and noise models.

Each check takes an object and raises a `PropertyError` that names the property it lacks.
"""

from skmetainv.testing.denoisers import check_denoiser
from skmetainv.testing.failures import PropertyError
from skmetainv.testing.losses import check_loss
from skmetainv.testing.noise import check_noise
from skmetainv.testing.operators import check_operator
from skmetainv.testing.representations import check_representation
from skmetainv.testing.solvers import check_solver

__all__ = [
    "PropertyError",
    "check_denoiser",
    "check_loss",
    "check_noise",
    "check_operator",
    "check_representation",
    "check_solver",
]
