"""Maps around users' functions and other libraries' objects."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps.base import ForwardMap, LinearMap, Shape
from skmetainv.operators.maps.closed_forms import broadcastable
from skmetainv.operators.maps.data_terms import LinearDataTerm
from skmetainv.operators.maps.foreign_functions import OneType, as_real
from skmetainv.operators.maps.pairs import TensorFunction, apply_linear


class FunctionMap(ForwardMap):
    """``A(x) = function(x)``, with derivatives by autograd.

    Parameters
    ----------
    image_shape, measurement_shape : tuple of int
        Shapes of ``x`` and of ``A(x)``, without the batch.
    function : callable
        The function that measures a batch of images.
    """

    if_linear = "If the function is linear, write FunctionOperator(forward, linear=True)."

    def __init__(self, image_shape: Shape, measurement_shape: Shape, function: TensorFunction):
        super().__init__(image_shape, measurement_shape)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)``."""
        return self.function(x)


class FunctionLinearMap(FunctionMap, LinearMap):
    """``A x = function(x)`` for a linear function, with the adjoint by autograd."""

    if_linear = ""


class PairMap(LinearMap):
    """``A x = function(x)`` with a given adjoint; all derivatives use the two functions.

    Parameters
    ----------
    image_shape, measurement_shape : tuple of int
        Shapes of ``x`` and of ``A x``, without the batch.
    function, adjoint_function : callable
        The function that measures a batch of images, and its adjoint.
    """

    def __init__(
        self,
        image_shape: Shape,
        measurement_shape: Shape,
        function: TensorFunction,
        adjoint_function: TensorFunction,
    ):
        super().__init__(image_shape, measurement_shape)
        self.function, self.adjoint_function = function, adjoint_function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)``."""
        return apply_linear(x, self.function, self.adjoint_function)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``adjoint_function(y)``."""
        return apply_linear(y, self.adjoint_function, self.function)


class LinearOperatorMap(PairMap):
    """``A x`` by the ``matvec`` of a SciPy or PyLops operator, ``A' y`` by its ``rmatvec``.

    Both run in NumPy on the CPU, image by image.

    Parameters
    ----------
    image_shape, measurement_shape : tuple of int
        Shapes of ``x`` and of ``A x``, without the batch.
    operator : object with `shape`, `dtype`, `matvec` and `rmatvec`
        The operator. If its type is complex, so are its measurements.
    image_order, measurement_order : tensor of int
        Position of each entry of a flat image, or measurement, in the operator's vectors.
    """

    image_order: torch.Tensor
    measurement_order: torch.Tensor

    def __init__(
        self,
        image_shape: Shape,
        measurement_shape: Shape,
        operator: Any,
        image_order: torch.Tensor,
        measurement_order: torch.Tensor,
    ):
        super().__init__(image_shape, measurement_shape, self._measure, self._back)
        self.operator = operator
        self.is_complex = np.dtype(operator.dtype).kind == "c"
        self.register_buffer("image_order", image_order)
        self.register_buffer("measurement_order", measurement_order)

    def _measure(self, x: torch.Tensor) -> torch.Tensor:
        vectors = x.new_empty(len(x), self.operator.shape[1])
        vectors[:, self.image_order] = x.flatten(1)
        measured = torch.from_numpy(_rowwise(self.operator.matvec, vectors.cpu().numpy()))
        measured = measured[:, self.measurement_order.cpu()]
        return as_real(measured).reshape(-1, *self.measurement_shape).to(x)

    def _back(self, y: torch.Tensor) -> torch.Tensor:
        values = y.detach().cpu().contiguous()
        if self.is_complex:
            values = torch.view_as_complex(values)
        values = values.flatten(1)
        vectors = torch.empty_like(values)
        vectors[:, self.measurement_order.cpu()] = values
        images = np.ascontiguousarray(_rowwise(self.operator.rmatvec, vectors.numpy()).real)
        in_order = torch.from_numpy(images)[:, self.image_order.cpu()]
        return in_order.reshape(-1, *self.image_shape).to(y)


def _rowwise(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(function(row)) for row in rows])


class PhysicsMap(OneType, ForwardMap):
    """``A(x)`` of a `deepinv.physics.Physics`; stacked measurements are flattened and concatenated.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    physics : deepinv.physics.Physics
        A copy of the user's physics.
    measured : tensor or sequence of tensor
        Its measurements of a batch of images; a sequence if physics are stacked. Complex numbers
        become a last axis of real and imaginary parts.
    only_dtype : torch.dtype or None
        The only type in which the physics computes; None if it takes every type. Images of other
        types are converted to it.
    """

    def __init__(
        self, image_shape: Shape, physics: Any, measured: Any, only_dtype: torch.dtype | None
    ):
        parts = [measured] if isinstance(measured, torch.Tensor) else list(measured)
        self.complex_parts = [part.is_complex() for part in parts]
        self.shapes = [tuple(as_real(part).shape[1:]) for part in parts]
        flat = (sum(math.prod(shape) for shape in self.shapes),)
        super().__init__(image_shape, self.shapes[0] if len(parts) == 1 else flat)
        self.physics, self.only_dtype = physics, only_dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A(x)``."""
        return self._joined(self.physics.A(self.in_accepted_type(x))).to(x.dtype)

    def _joined(self, y: Any) -> torch.Tensor:
        if len(self.shapes) == 1:
            return as_real(y)
        return torch.cat([as_real(part).flatten(1) for part in y], dim=1)

    def parted(self, y: torch.Tensor) -> Any:
        """Return measurements in the physics' own form and type."""
        y = self.in_accepted_type(y)
        lengths = [math.prod(shape) for shape in self.shapes]
        parts = zip(
            torch.split(y.flatten(1), lengths, dim=1), self.shapes, self.complex_parts, strict=True
        )
        measurements = [
            torch.view_as_complex(part.reshape(-1, *shape).clone())  # a view may have an odd offset
            if is_complex
            else part.reshape(-1, *shape)
            for part, shape, is_complex in parts
        ]
        if len(measurements) == 1:
            return measurements[0]
        from deepinv.utils import TensorList

        return TensorList(measurements)


class LinearPhysicsMap(PhysicsMap, LinearMap):
    """``A x`` of a `deepinv.physics.LinearPhysics`, with its adjoint; see `PhysicsMap`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A x``."""
        return apply_linear(x, self._measure, self._back)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y``."""
        return apply_linear(y, self._back, self._measure)

    def _measure(self, x: torch.Tensor) -> torch.Tensor:
        return PhysicsMap.forward(self, x)

    def _back(self, y: torch.Tensor) -> torch.Tensor:
        back: torch.Tensor = self.physics.A_adjoint(self.parted(y))
        return back.real.to(y.dtype)


class DecomposableMap(LinearPhysicsMap):
    """``A x = U diag(s) V' x`` of a `deepinv.physics.DecomposablePhysics`; see `PhysicsMap`."""

    def data_term(self, y: torch.Tensor) -> DecomposableDataTerm:
        """Return the data fidelity, which stores ``A' y``."""
        return DecomposableDataTerm(self, y)


class DecomposableDataTerm(LinearDataTerm):
    """The data fidelity of a `DecomposableMap`, with its proximal step in closed form."""

    A: DecomposableMap

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``V (|s|^2 + rho)^-1 V' (A' y + rho z)``."""
        physics = self.A.physics
        s = torch.as_tensor(physics.mask)
        s = s if s.is_complex() else s.to(z.dtype)
        coefficients = physics.V_adjoint(self.adjoint_y + rho * z)
        x: torch.Tensor = physics.V(
            coefficients / ((s * s.conj()).real + broadcastable(rho, coefficients))
        )
        return x
