"""Denoisers: priors for solvers, classical and learned."""

from skmetainv.denoisers.adapters import DeepInverseDenoiser, FunctionDenoiser
from skmetainv.denoisers.base import ClassicalDenoiser, ClassicalModule, Denoiser, DenoiserModule
from skmetainv.denoisers.dncnn import DnCNN
from skmetainv.denoisers.drunet import DRUNet
from skmetainv.denoisers.gaussian_smoothing import GaussianSmoothing
from skmetainv.denoisers.shrinkage import SoftThreshold, Wavelet
from skmetainv.denoisers.total_variation import TotalVariation

__all__ = [
    "ClassicalDenoiser",
    "ClassicalModule",
    "DRUNet",
    "DeepInverseDenoiser",
    "Denoiser",
    "DenoiserModule",
    "DnCNN",
    "FunctionDenoiser",
    "GaussianSmoothing",
    "SoftThreshold",
    "TotalVariation",
    "Wavelet",
]
