"""The inputs of estimators: arrays in a user's layout and units, read and checked.

`reader` turns arrays into a `problem`. The `geometry` of a problem holds the layout and the units
of these arrays. `validation` checks each array, and `first_look` checks the first images for
implausible values. `splits` holds out images, and `augmentation` chooses how training images are
changed.
"""

from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.problem import Problem
from skmetainv.inputs.reader import Reader

__all__ = ["Geometry", "Problem", "Reader"]
