"""What an estimator builds for images of one shape, that of training or another."""

from __future__ import annotations

from dataclasses import KW_ONLY, replace
from typing import Any, TypeVar

import torch

from skmetainv.arrays import Layout, measurement_layout
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.operator import check_operator, has_missing
from skmetainv.parameters import ParameterObject
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.reconstruction.counted import Counted
from skmetainv.reconstruction.geometry import Geometry
from skmetainv.reconstruction.validation import (
    check_device,
    check_image_shape,
    how_to_rearrange,
)

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

    A subclass adds to `_build_parts`.

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
            A = self._parts(replace(own, images=images))["A"]
        except ValueError as error:
            error.add_note(
                "The operator, or what is built beside it, does not allow images of shape "
                f"{image_shape}."
            )
            raise
        measurements = measurement_layout(A.measurement_shape, images)
        return replace(own, images=images, measurements=measurements)

    def _shape_hint(self, array: Any, measured: bool, name: str) -> str:
        """Return what to write for arrays of another shape, the end of an error; or nothing."""
        images, measurements = self._geometry_.images, self._geometry_.measurements
        own, shape = (measurements if measured else images), tuple(array.shape)
        if shape[1:] == own.shape or shape == own.shape:
            return ""
        if measured and shape[1:] == images.shape:
            return (
                f"{name} has the shape of images, of which simulate({name}) gives measurements; in "
                "pairs measurements come first."
            )
        if shape[1:] == measurements.shape:
            return f"{name} has the shape of measurements, which come first in pairs."
        return how_to_rearrange(shape, own, name) or self._size_hint(shape, own)

    def _size_hint(self, shape: tuple[int, ...], own: Layout) -> str:
        """Return what to write for images of another size, or why none can be restored."""
        is_flat = len(shape) - 1 == len(own.shape) == 1 == len(self._geometry_.images.shape)
        is_one = own.is_another_size(shape)
        if not is_flat and not is_one and not own.is_another_size(shape[1:]):
            return ""
        reason = self._bound_to_size()
        if reason is not None:
            return reason
        told: Any = "(height, width)"
        if own == self._geometry_.images and not is_flat:
            told = own.size_in(shape if is_one else shape[1:])
        return (
            f"For images of another size write predict(..., image_shape={told}); score takes it, "
            "too."
        )

    # ------------------------------------------------------------------ built modules

    def _parts(self, geometry: Geometry | None = None) -> dict[str, Any]:
        """Return the built parts of the fitted estimator, built once per device, type and shape.

        They depend on fitted attributes alone, so that `set_params` cannot make them stale. Those
        built last are kept.
        """
        own = self._geometry_ if geometry is None else geometry
        key = (str(check_device(self.device)), self.precision, own.images.tensor_shape)
        parts = self._cache.get(key)
        if parts is None:
            parts = self._cache[key] = self._build_parts(own)
            for oldest in list(self._cache)[:-_PARTS_KEPT]:
                self._cache.pop(oldest, None)  # another thread may have been first
        return parts

    def _build_parts(self, geometry: Geometry) -> dict[str, Any]:
        return {"A": self._placed(self.operator_.build(geometry.images.tensor_shape))}

    def _other_map(self, operator: Operator, geometry: Geometry) -> ForwardMap:
        """Return the map of an operator to simulate with, whose measurements can be restored."""
        check_operator(operator, "The 'operator' to simulate with")
        A = self._placed(operator.build(geometry.images.tensor_shape))
        fitted = self._parts(geometry)["A"]
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
