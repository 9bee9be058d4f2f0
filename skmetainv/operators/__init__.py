"""Forward models ``A`` of ``y = A(x) + e``."""

from skmetainv.operators.adapters import DeepInverseOperator, FunctionOperator, MatrixOperator
from skmetainv.operators.algebra import Composition, Normalized, Scaled, Stack, Sum
from skmetainv.operators.blur import Blur, GaussianBlur, MotionBlur
from skmetainv.operators.colour import Grayscale, Mosaic
from skmetainv.operators.downsampling import Downsampling
from skmetainv.operators.fourier import FourierSampling, MultiCoilMRI
from skmetainv.operators.identity import Identity
from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.data_terms import DataTerm
from skmetainv.operators.masks import Inpainting, MissingPixels
from skmetainv.operators.nonlinear import PhaseRetrieval, Saturation
from skmetainv.operators.operator import Operator
from skmetainv.operators.radon import Radon
from skmetainv.operators.random_operator import RandomOperator
from skmetainv.operators.sensing import CompressedSensing
from skmetainv.operators.with_noise import WithNoise

__all__ = [
    "Blur",
    "Composition",
    "CompressedSensing",
    "DataTerm",
    "DeepInverseOperator",
    "Downsampling",
    "ForwardMap",
    "FourierSampling",
    "FunctionOperator",
    "GaussianBlur",
    "Grayscale",
    "Identity",
    "Inpainting",
    "LinearMap",
    "MatrixOperator",
    "MissingPixels",
    "Mosaic",
    "MotionBlur",
    "MultiCoilMRI",
    "Normalized",
    "Operator",
    "PhaseRetrieval",
    "Radon",
    "RandomOperator",
    "Saturation",
    "Scaled",
    "Stack",
    "Sum",
    "WithNoise",
]
