"""Maps around users' functions and other libraries' objects."""

from __future__ import annotations

import math
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
    image_order, measurement_order : ndarray of int
        Position of each entry of a flat image, or measurement, in the operator's vectors.
    """

    def __init__(
        self,
        image_shape: Shape,
        measurement_shape: Shape,
        operator: Any,
        image_order: np.ndarray,
        measurement_order: np.ndarray,
    ):
        super().__init__(image_shape, measurement_shape, self._measure, self._back)
        self.operator = operator
        self.is_complex = np.dtype(operator.dtype).kind == "c"
        self.image_order, self.measurement_order = image_order, measurement_order

    def _measure(self, x: torch.Tensor) -> torch.Tensor:
        vectors = _in_order(x, self.image_order)
        measured = np.stack([np.asarray(self.operator.matvec(v)) for v in vectors])
        y = as_real(torch.from_numpy(measured[:, self.measurement_order]))
        return y.reshape(-1, *self.measurement_shape).to(x)

    def _back(self, y: torch.Tensor) -> torch.Tensor:
        values = torch.view_as_complex(y.contiguous()) if self.is_complex else y
        vectors = _in_order(values, self.measurement_order)
        images = np.stack([np.asarray(self.operator.rmatvec(v)) for v in vectors]).real
        x = torch.from_numpy(images[:, self.image_order])
        return x.reshape(-1, *self.image_shape).to(y)


def _in_order(batch: torch.Tensor, order: np.ndarray) -> np.ndarray:
    """Return a batch as flat arrays, with each entry at its position in the operator's vectors."""
    values = batch.flatten(1).cpu().numpy()
    vectors = np.empty_like(values)
    vectors[:, order] = values
    return vectors


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
        y = self.physics.A(self.in_accepted_type(x))
        if len(self.shapes) > 1:
            y = torch.cat([as_real(part).flatten(1) for part in y], dim=1)
        return as_real(y).to(x.dtype)

    def parted(self, y: torch.Tensor) -> Any:
        """Return measurements in the physics' own form and type."""
        y = self.in_accepted_type(y)
        lengths = [math.prod(shape) for shape in self.shapes]
        pieces = y.flatten(1).split(lengths, dim=1)
        measurements = []
        for piece, shape, is_complex in zip(pieces, self.shapes, self.complex_parts, strict=True):
            part = piece.reshape(-1, *shape)
            if is_complex:
                part = torch.view_as_complex(part.clone())  # a view may have an odd offset
            measurements.append(part)
        if len(measurements) == 1:
            return measurements[0]
        from deepinv.utils import TensorList

        return TensorList(measurements)


class LinearPhysicsMap(PhysicsMap, LinearMap):
    """``A x`` of a `deepinv.physics.LinearPhysics`, with its adjoint; see `PhysicsMap`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A x``."""
        return apply_linear(x, super().forward, self._back)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y``."""
        return apply_linear(y, self._back, super().forward)

    def _back(self, y: torch.Tensor) -> torch.Tensor:
        return self.physics.A_adjoint(self.parted(y)).real.to(y.dtype)


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
        power = (s * s.conj()).real
        return physics.V(coefficients / (power + broadcastable(rho, coefficients)))
