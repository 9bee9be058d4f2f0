"""The inputs of estimators: arrays in a user's layout and units, read and checked.

`reader` turns arrays into a `problem`. The problem's `geometry` holds their layout and units.
`validation` checks each array, and `first_look` checks the first images for implausible values.
`splits` holds out images.
"""

from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.problem import Problem
from skmetainv.inputs.reader import Reader

__all__ = ["Geometry", "Problem", "Reader"]
