"""Networks whose weights ``theta`` stand for an image ``phi_theta``, the start of a solver."""

from skmetainv.representations.base import ImageModule, Representation
from skmetainv.representations.siren import Siren

__all__ = ["ImageModule", "Representation", "Siren"]
