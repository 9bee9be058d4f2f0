"""Estimators that reconstruct images from measurements, with scikit-learn's API."""

from skmetainv.estimators.classical import ClassicalReconstructor, SolverRecord
from skmetainv.estimators.deepinverse import DeepInverseReconstructor
from skmetainv.estimators.linear import LinearReconstructor
from skmetainv.estimators.meta_inverse_solver import MetaInverseSolver
from skmetainv.estimators.unet import UNetReconstructor
from skmetainv.estimators.unrolled import UnrolledReconstructor

__all__ = [
    "ClassicalReconstructor",
    "DeepInverseReconstructor",
    "LinearReconstructor",
    "MetaInverseSolver",
    "SolverRecord",
    "UNetReconstructor",
    "UnrolledReconstructor",
]
