"""Forward models ``A`` of ``y = A(x) + e``."""

from skmetainv.operators.base import DataTerm, ForwardMap, LinearMap, Operator
from skmetainv.operators.blur import GaussianBlur
from skmetainv.operators.identity import Identity
from skmetainv.operators.masks import Inpainting, MissingPixels

__all__ = [
    "DataTerm",
    "ForwardMap",
    "GaussianBlur",
    "Identity",
    "Inpainting",
    "LinearMap",
    "MissingPixels",
    "Operator",
]
