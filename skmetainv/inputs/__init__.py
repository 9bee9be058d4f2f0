"""What an estimator is given: arrays in a user's layout and units, understood or refused.

`reader` makes a `problem` of them: their shapes say how they lie (`geometry`), `validation` checks
them one by one, and `first_look` what the first of them tell. `splits` holds some of them out.
"""

from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.problem import Problem
from skmetainv.inputs.reader import Reader

__all__ = ["Geometry", "Problem", "Reader"]
