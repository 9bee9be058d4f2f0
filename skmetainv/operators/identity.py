"""The operator that measures the image itself."""

from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.masks import IdentityMap
from skmetainv.operators.operator import Operator


class Identity(Operator):
    """``A(x) = x``: denoising.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> A = Identity().build(image_shape=(1, 2, 2))
    >>> A(torch.ones(1, 1, 2, 2)).sum()
    tensor(4.)
    """

    def build(self, image_shape: Shape) -> IdentityMap:
        return IdentityMap(image_shape)
