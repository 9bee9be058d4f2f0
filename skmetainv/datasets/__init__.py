"""Data sets: scikit-image's faces, and any folder of images as a lazy array."""

from skmetainv.datasets.faces import load_faces
from skmetainv.datasets.folder import ImageFolder

__all__ = ["ImageFolder", "load_faces"]
