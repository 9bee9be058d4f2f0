"""Files of estimators that can be shared: `load` runs no code from the file, unlike pickle."""

from skmetainv.io.classes import TRUSTED_TYPES
from skmetainv.io.files import ModelDescription, describe, load, save

__all__ = ["TRUSTED_TYPES", "ModelDescription", "describe", "load", "save"]
