"""Forward models ``A`` of ``y = A(x) + e``."""

from skmetainv.operators.blur import Blur, GaussianBlur, MotionBlur
from skmetainv.operators.identity import Identity
from skmetainv.operators.maps import DataTerm, ForwardMap, LinearMap
from skmetainv.operators.masks import Inpainting, MissingPixels
from skmetainv.operators.operator import Composition, Operator, Scaled, Stack, Sum

__all__ = [
    "Blur",
    "Composition",
    "DataTerm",
    "ForwardMap",
    "GaussianBlur",
    "Identity",
    "Inpainting",
    "LinearMap",
    "MissingPixels",
    "MotionBlur",
    "Operator",
    "Scaled",
    "Stack",
    "Sum",
]
