"""Networks whose weights ``theta`` represent an image ``phi_theta``, the start of a solver."""

from skmetainv.representations.adapters import ModuleRepresentation
from skmetainv.representations.base import ImageModule, Representation
from skmetainv.representations.encoder import Encoder
from skmetainv.representations.fourier_mlp import FourierMLP
from skmetainv.representations.modulated_siren import ModulatedSiren
from skmetainv.representations.pixel_grid import PixelGrid
from skmetainv.representations.refiner import Refiner
from skmetainv.representations.siren import Siren

__all__ = [
    "Encoder",
    "FourierMLP",
    "ImageModule",
    "ModulatedSiren",
    "ModuleRepresentation",
    "PixelGrid",
    "Refiner",
    "Representation",
    "Siren",
]
