"""Conversion between arrays and tensors: layouts, types and units.

`views` turns a user's data into an array. `layouts` finds the layout of an image from the array's
shape, and `units` finds the units from the array's type and some of its values. `sources` reads
batches as tensors, and `results` converts results to the type of the input.
"""

from skmetainv.arrays.layouts import (
    Layout,
    channels_first_shape,
    channels_last_order,
    image_layout,
    is_complex_shape,
    is_image_shape,
    is_one_image,
    measurement_layout,
)
from skmetainv.arrays.results import channels_last, match_container, match_type
from skmetainv.arrays.sources import ArraySource
from skmetainv.arrays.units import integer_unit
from skmetainv.arrays.views import (
    MaskedView,
    RealView,
    Single,
    as_array,
    differ_in_size,
    has_mask,
    pairs_of,
)
from skmetainv.arrays.weights import Tensors, to_numpy, to_tensors

__all__ = [
    "ArraySource",
    "Layout",
    "MaskedView",
    "RealView",
    "Single",
    "Tensors",
    "as_array",
    "channels_first_shape",
    "channels_last",
    "channels_last_order",
    "differ_in_size",
    "has_mask",
    "image_layout",
    "integer_unit",
    "is_complex_shape",
    "is_image_shape",
    "is_one_image",
    "match_container",
    "match_type",
    "measurement_layout",
    "pairs_of",
    "to_numpy",
    "to_tensors",
]
