"""Arrays to tensors and back, and nothing else: the one place where layouts and types change.

What a user brought becomes an array (`views`), whose shape says how an image lies in it
(`layouts`), whose type and first values say what its numbers mean (`units`), and whose batches
become tensors (`sources`). `results` are arrays in the type of those that came.
"""

from skmetainv.arrays.layouts import (
    Layout,
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
    Sequence,
    Single,
    Subset,
    as_array,
    has_mask,
    pairs_of,
    taken,
)
from skmetainv.arrays.weights import Tensors, to_numpy, to_tensors

__all__ = [
    "ArraySource",
    "Layout",
    "MaskedView",
    "RealView",
    "Sequence",
    "Single",
    "Subset",
    "Tensors",
    "as_array",
    "channels_last",
    "channels_last_order",
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
    "taken",
    "to_numpy",
    "to_tensors",
]
