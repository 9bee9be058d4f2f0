"""The operator and networks of an estimator, built for images of one shape."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import KW_ONLY, replace
from typing import Any, TypeVar

import numpy as np
import torch

from skmetainv.arrays import measurement_layout
from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.validation import check_device, check_image_shape
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.maps.instruments import per_image_map
from skmetainv.operators.operator import require_operator
from skmetainv.parameters import ParameterObject
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.reconstruction.canonical import canonical
from skmetainv.reconstruction.counted import Counted

Module = TypeVar("Module", bound=torch.nn.Module)

#: A decorator of methods that need gradients, or cache tensors for later training. They then also
#: work within a user's `torch.inference_mode`, whose tensors have no gradients.
outside_inference_mode = torch.inference_mode(False)

#: The type of weights and images; with "bfloat16", networks use autocast in addition.
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}

# The number of image shapes, devices and precisions that are cached; each may hold a matrix.
_KEPT = 4


class Fitted:
    """The attributes of fitted estimators; in a `ParameterObject`, they would be parameters."""

    operator_: Operator
    _geometry_: Geometry
    _cache: dict[Any, Any]


class Built(Counted, Fitted, ParameterObject):
    """Builds the operator and networks of a fitted estimator for images of one shape.

    A subclass implements `_build`.

    Parameters
    ----------
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations. With "bfloat16", the matrix products of networks
        are bfloat16; weights, images and the operator stay float32.
    device : str or torch.device, default="auto"
        Device of all computations; "auto" is a CUDA device if there is one, else the CPU. On a GPU,
        torch rounds the factors of "float32" convolutions to 10 bits (TF32), unless
        ``torch.backends.cudnn.allow_tf32`` is set to False.
    """

    _: KW_ONLY
    precision: str = "float32"
    device: str | torch.device = "auto"

    # ------------------------------------------------------------------ images of another size

    def _bound_to_size(self) -> str | None:
        """Return the reason why only the training shape can be restored, or None."""
        return None

    def _resized(self, image_shape: tuple[int, ...] | None) -> Geometry:
        """Return the geometry of images of another shape and of their measurements."""
        fitted = self._geometry_
        if image_shape is None:
            return fitted
        check_image_shape(image_shape)
        n_channels = fitted.tensor_shape[0]
        if tuple(image_shape[2:]) not in ((), (n_channels,)):
            raise ValueError(
                f"image_shape is {image_shape}, but the training images have {n_channels} "
                "channel(s)."
            )
        images = fitted.image_layout.resized(*image_shape[:2])
        reason = self._bound_to_size()
        if reason is not None and images != fitted.image_layout:
            raise ValueError(reason)
        try:
            A = self._map(replace(fitted, image_layout=images))
        except ValueError as error:
            error.add_note(
                "The operator, or a network built with it, does not support images of shape "
                f"{image_shape}."
            )
            raise
        measurements = measurement_layout(A.measurement_shape, images)
        return replace(fitted, image_layout=images, measurement_layout=measurements)

    # ------------------------------------------------------------------ built modules

    def _built(self, geometry: Geometry | None = None) -> tuple[ForwardMap, Any]:
        """Return the map and the result of `_build`, cached by device, precision and image shape.

        Apart from these three, they depend only on fitted attributes. So `set_params` cannot make
        them stale. (`MetaInverseSolver` sets the few parameters that still take effect at each
        prediction.) The cache holds the last few.
        """
        geometry = self._geometry_ if geometry is None else geometry
        key = (str(check_device(self.device)), self.precision, geometry.tensor_shape)
        built = self._cache.get(key)
        if built is None:
            built = self._cache[key] = self._newly_built(geometry)
            for oldest in list(self._cache)[:-_KEPT]:
                self._cache.pop(oldest, None)  # another thread may have removed it
        return built

    @outside_inference_mode
    def _newly_built(self, geometry: Geometry) -> tuple[ForwardMap, Any]:
        """Build the map, and return it with the result of `_build`, without the cache."""
        A = self._placed(self.operator_.build(geometry.tensor_shape))
        return A, self._build(geometry, A)

    @abstractmethod
    def _build(self, geometry: Geometry, A: ForwardMap) -> Any:
        """Return an object, such as a network, that restores images from measurements by `A`."""

    def _map(self, geometry: Geometry) -> ForwardMap:
        """Return the forward map for images of a geometry."""
        return self._built(geometry)[0]

    def _named_map(self, operator: Any, geometry: Geometry) -> ForwardMap | None:
        """Return the map of the operator, or operators, that took measurements; None for None."""
        if operator is None:
            return None
        if isinstance(operator, np.ndarray) and operator.ndim == 1:
            operator = operator.tolist()
        if isinstance(operator, Operator) or not isinstance(operator, list | tuple):
            return self._other_map(operator, geometry)
        if not operator:
            raise ValueError("A list of operators must have one for each measurement. Got [].")
        names = [canonical(one) for one in operator]
        map_of = {
            name: self._other_map(one, geometry)
            for name, one in dict(zip(names, operator, strict=True)).items()
        }
        if len({math.isnan(A.missing_value) for A in map_of.values()}) > 1:
            raise ValueError(
                "Either all operators of a list leave out samples, or none does: restore the "
                "measurements in two calls."
            )
        return per_image_map([map_of[name] for name in names])

    @outside_inference_mode
    def _other_map(self, operator: Operator, geometry: Geometry) -> ForwardMap:
        """Return the map of another operator, checked against the fitted one."""
        require_operator(operator, "The 'operator' of the measurements")
        A = self._placed(operator.build(geometry.tensor_shape))
        fitted = self._map(geometry)
        if A.measurement_shape != fitted.measurement_shape:
            raise ValueError(
                f"{operator!r} gives measurements of shape {A.measurement_shape}, but the fitted "
                f"{self.operator_!r} gives {fitted.measurement_shape}."
            )
        if operator.has_missing and not self.operator_.has_missing:
            raise ValueError(
                f"{operator!r} gives measurements with missing values, which the fitted "
                f"{self.operator_!r} does not have."
            )
        return A

    def _placed(self, module: Module) -> Module:
        """Return `module` on the estimator's device and in its precision."""
        device = check_device(self.device)
        if self.precision == "bfloat16":
            autocast_networks(module, device)
        return module.to(device, self._dtype())

    def _dtype(self) -> torch.dtype:
        return DTYPES[self.precision]
