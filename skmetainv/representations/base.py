"""The protocol of representations: networks whose weights represent an image."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.operators import DataTerm
from skmetainv.operators.maps.precision import check_double
from skmetainv.parameters import ParameterObject, check_built, described, is_function


class Representation(ParameterObject):
    """The hyper-parameters of a network ``phi_theta`` whose image is the start of a solver.

    A subclass stores its hyper-parameters and implements `build`.

    Examples
    --------
    An image that is the product of a column and a row. The module holds no weights. Its `forward`
    takes them: one set for all images, or one set per image along a first axis.

    >>> import torch
    >>> from skmetainv.representations import ImageModule, Representation
    >>> from skmetainv.testing import check_representation
    >>> class Separable(Representation):
    ...     spread: float = 0.1
    ...
    ...     def build(self, image_shape, data_range=(0.0, 1.0)):
    ...         return SeparableImage(image_shape, data_range, self.spread)
    >>> class SeparableImage(ImageModule):
    ...     adapted = ("column", "row")
    ...
    ...     def __init__(self, image_shape, data_range, spread):
    ...         super().__init__()
    ...         channels, height, width = image_shape
    ...         self.shapes = {"column": (channels, height, 1), "row": (channels, 1, width)}
    ...         self.middle, self.spread = sum(data_range) / 2, spread
    ...
    ...     def initial_weights(self, generator):
    ...         normal = generator.standard_normal
    ...         shapes = self.shapes.items()
    ...         return {name: self.spread * torch.from_numpy(normal(n)) for name, n in shapes}
    ...
    ...     def forward(self, weights, condition=None):
    ...         column, row = (weights[name].reshape(-1, *n) for name, n in self.shapes.items())
    ...         return self.middle + column * row
    >>> check_representation(Separable())
    """

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        if isinstance(value, nn.Module):
            return "ModuleRepresentation(module)"
        return "ModuleRepresentation(factory)" if is_function(value) else None

    def build(
        self, image_shape: tuple[int, ...], data_range: tuple[float, float] = (0.0, 1.0)
    ) -> "ImageModule":
        """Build the network for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.
        data_range : (float, float), default=(0.0, 1.0)
            The least and the largest value that images nominally have.

        Returns
        -------
        phi : ImageModule
            A module without weights of its own, in float64 on the CPU.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def _examine(self, built: Any) -> "ImageModule":
        module = check_built(
            self,
            built,
            ImageModule,
            "Write a subclass of ImageModule with the methods initial_weights(generator) and "
            "forward(weights, condition); a module alone is ModuleRepresentation(module).",
        )
        check_double(self, module)
        name = type(module).__name__
        adapted: Any = module.adapted
        if isinstance(adapted, str) or not adapted:
            raise TypeError(
                f"The attribute 'adapted' of {name} must be a tuple of the names of the weights "
                f"that are adapted to each image, as in ('image',). Got {adapted!r} instead."
            )
        parameters = [parameter for parameter, _ in module.named_parameters()]
        if parameters:
            raise TypeError(
                f"{name} must hold no weights: `initial_weights` returns them, and `forward` takes "
                f"them. Got the parameters {parameters} instead. For a module with its own "
                "weights, use ModuleRepresentation."
            )
        return module


class ImageModule(nn.Module):
    """The function from weights to an image; it holds no weights.

    A subclass implements `initial_weights` and `forward`, and sets `adapted`. If its images depend
    on the measurement, it also implements `condition`.

    Attributes
    ----------
    adapted : tuple of str
        The weights that Algorithm 1 adapts to each image; all others are shared by all images.
    continuous : bool
        Whether the same weights represent images of any height and width. If so, a module built for
        another height and width accepts them.
    autocasts : bool
        Whether it may run under `torch.autocast`. Its large matrix products are then in bfloat16,
        but its images are in the type of the weights.
    own_rates : mapping of str to float
        Outer learning rates of the weights that need a rate of their own, by name.

    Examples
    --------
    Images with one value for all pixels:

    >>> import numpy as np, torch
    >>> from skmetainv.representations import ImageModule
    >>> class Constant(ImageModule):
    ...     adapted = ("value",)
    ...
    ...     def initial_weights(self, generator):
    ...         return {"value": torch.zeros(1, dtype=torch.float64)}
    ...
    ...     def forward(self, weights, condition=None):
    ...         return weights["value"].reshape(-1, 1, 1, 1).expand(-1, 1, 4, 5)
    >>> phi = Constant()
    >>> phi(phi.initial_weights(np.random.default_rng(0))).shape
    torch.Size([1, 1, 4, 5])
    >>> phi({"value": torch.tensor([[0.2], [0.4], [0.6]])}).shape  # one weight per image
    torch.Size([3, 1, 4, 5])
    """

    adapted: tuple[str, ...] = ()
    continuous: bool = False
    autocasts: bool = True
    own_rates: Mapping[str, float] = MappingProxyType({})

    def __call__(self, weights: Tensors, condition: Any = None) -> torch.Tensor:
        """Return the result of `forward`, after checking that it is a batch of images.

        Raises
        ------
        ValueError
            If the result is not a batch of images.
        """
        images = super().__call__(weights, condition)
        if not isinstance(images, torch.Tensor) or images.ndim != 4:
            raise ValueError(
                f"{type(self).__name__}.forward must return images, a tensor of shape (batch, "
                f"channels, height, width). Got {described(images)} instead."
            )
        return images

    def initial_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return the initial weights, in float64, by name.

        Parameters
        ----------
        generator : numpy.random.Generator
            The generator of all random numbers.

        Returns
        -------
        weights : dict of str to tensor
            The weights, without an axis of images.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define initial_weights.")

    def condition(self, weights: Tensors, data: DataTerm) -> Any:
        """Return the condition of the images, computed from the measurement; by default None.

        It is computed once, before the first inner step, with the weights shared by all images.

        Parameters
        ----------
        weights : mapping of str to tensor
            The weights, as for `forward`.
        data : DataTerm
            The batch of measurements.

        Returns
        -------
        condition : object
            The second argument of `forward`.
        """
        return None

    def restricted(self, condition: Any, seen: torch.Tensor) -> Any:
        """Return a condition with which `forward` need not compute all pixels.

        The others may have any finite value. By default, `condition` itself: all are computed.

        Parameters
        ----------
        condition : object
            The result of `condition`.
        seen : tensor of bool, of shape (1 or batch, 1, height, width)
            The pixels to compute.

        Returns
        -------
        condition : object
            The condition.
        """
        return condition

    def forward(self, weights: Tensors, condition: Any = None) -> torch.Tensor:
        """Return the images ``phi`` of `weights`.

        Parameters
        ----------
        weights : mapping of str to tensor
            Shared weights are single tensors. Adapted weights are one set for all images, or one
            set per image, stacked along a first axis.
        condition : object, default=None
            The result of `condition`.

        Returns
        -------
        phi : tensor of shape (batch, channels, height, width)
            One image per set of weights or per measurement. One set without a condition gives one
            image.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")
