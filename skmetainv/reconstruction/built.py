"""What an estimator builds for images of one shape, that of training or another."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, replace
from typing import Any, TypeVar

import torch

from skmetainv.arrays import measurement_layout
from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.validation import check_device, check_image_shape
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.operator import check_operator, has_missing
from skmetainv.parameters import ParameterObject
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.reconstruction.counted import Counted

Module = TypeVar("Module", bound=torch.nn.Module)

#: What weights and images are computed in; under "bfloat16" networks round it further.
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}

# Built parts that are kept, for so many image shapes: each may have a matrix, or a network.
_PARTS_KEPT = 4


class Fitted:
    """What fitted estimators have."""

    operator_: Operator
    _geometry_: Geometry
    _cache: dict[Any, Any]


class Built(Counted, Fitted, ParameterObject):
    """A fitted estimator's operator and networks, built for images of one shape and kept.

    A subclass writes `_build`.

    Parameters
    ----------
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations; with "bfloat16" networks take their products in
        it, and weights, images and the physics are float32.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device when there is one, else the CPU.
    """

    _: KW_ONLY
    precision: str = "float32"
    device: str | torch.device = "auto"

    # ------------------------------------------------------------------ images of another size

    def _bound_to_size(self) -> str | None:
        """Return why only images of the training shape can be restored; None if others can."""
        return None

    def _resized(self, image_shape: tuple[int, ...] | None) -> Geometry:
        """Return how images of another shape lie, and their measurements."""
        own = self._geometry_
        if image_shape is None:
            return own
        check_image_shape(image_shape)
        n_channels = own.images.tensor_shape[0]
        if (*image_shape[2:], n_channels)[0] != n_channels:
            raise ValueError(
                f"image_shape is {image_shape}, but the training images have {n_channels} "
                "channel(s)."
            )
        images = own.images.resized(*image_shape[:2])
        reason = self._bound_to_size()
        if reason is not None and images != own.images:
            raise ValueError(reason)
        try:
            A = self._map(replace(own, images=images))
        except ValueError as error:
            error.add_note(
                "The operator, or what is built beside it, does not allow images of shape "
                f"{image_shape}."
            )
            raise
        measurements = measurement_layout(A.measurement_shape, images)
        return replace(own, images=images, measurements=measurements)

    # ------------------------------------------------------------------ built modules

    def _parts(self, geometry: Geometry | None = None) -> tuple[ForwardMap, Any]:
        """Return the map and what `_build` makes, once per device, precision and image shape.

        They depend on fitted attributes alone, so that `set_params` cannot make them stale. Those
        built last are kept.
        """
        geometry = self._geometry_ if geometry is None else geometry
        key = (str(check_device(self.device)), self.precision, geometry.images.tensor_shape)
        parts = self._cache.get(key)
        if parts is None:
            parts = self._cache[key] = self._new_parts(geometry)
            for oldest in list(self._cache)[:-_PARTS_KEPT]:
                self._cache.pop(oldest, None)  # another thread may have been first
        return parts

    @torch.inference_mode(False)
    def _new_parts(self, geometry: Geometry) -> tuple[ForwardMap, Any]:
        """Return the map and what `_build` makes, which are not kept."""
        A = self._placed(self.operator_.build(geometry.images.tensor_shape))
        return A, self._build(geometry, A)

    @abstractmethod
    def _build(self, geometry: Geometry, A: ForwardMap) -> Any:
        """Return what restores the images of measurements of a map, a network say."""

    def _map(self, geometry: Geometry) -> ForwardMap:
        """Return what measures images that lie as `geometry` says."""
        return self._parts(geometry)[0]

    def _other_map(self, operator: Operator, geometry: Geometry) -> ForwardMap:
        """Return the map of an operator to simulate with, whose measurements can be restored."""
        check_operator(operator, "The 'operator' to simulate with")
        A = self._placed(operator.build(geometry.images.tensor_shape))
        fitted = self._map(geometry)
        if A.measurement_shape != fitted.measurement_shape:
            raise ValueError(
                f"{operator!r} gives measurements of shape {A.measurement_shape}, but the fitted "
                f"{self.operator_!r} takes {fitted.measurement_shape}."
            )
        if has_missing(operator) and not has_missing(self.operator_):
            raise ValueError(
                f"{operator!r} gives measurements with missing values, which the fitted "
                f"{self.operator_!r} does not have."
            )
        return A

    def _placed(self, module: Module) -> Module:
        """Return `module` where, and in the type in which, everything is computed."""
        device = check_device(self.device)
        if self.precision == "bfloat16":
            autocast_networks(module, device)
        return module.to(device, self._dtype())

    def _dtype(self) -> torch.dtype:
        return DTYPES[self.precision]
