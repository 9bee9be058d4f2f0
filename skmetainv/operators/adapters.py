"""Operators from elsewhere: functions, matrices, and DeepInverse's physics."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse
import torch

from skmetainv.arrays import channels_last_order
from skmetainv.operators.maps.base import ForwardMap, LinearMap, Shape
from skmetainv.operators.maps.foreign import (
    DecomposableMap,
    FunctionLinearMap,
    FunctionMap,
    LinearOperatorMap,
    LinearPhysicsMap,
    PairMap,
    PhysicsMap,
    convert_physics,
)
from skmetainv.operators.maps.matrices import SparseMap, dense_map
from skmetainv.operators.operator import Operator, check_numbers


class _Adapter(Operator):
    """An operator around a foreign object, which clones share: it is never changed."""

    def __sklearn_clone__(self) -> _Adapter:
        return type(self)(**self.get_params(deep=False))


class FunctionOperator(_Adapter):
    """``A(x) = forward(x)`` for any function of tensors.

    Parameters
    ----------
    forward : callable
        Takes a batch of images, ``(batch, channels, height, width)``, and gives a real tensor of
        shape ``(batch, ...)``, each image on its own, in the images' type and on their device.
        Without `adjoint`, differentiable by autograd, twice where training is to be exact.
    adjoint : callable, default=None
        The adjoint of a linear `forward`. With it neither needs to be differentiable.
    linear : bool, default=False
        Whether `forward` is linear though no adjoint is given: autograd then finds it. With
        `adjoint` it is in any case.

    Raises
    ------
    ValueError
        By `build`, if `forward` does not give such a tensor, or `adjoint` is not its adjoint.

    Notes
    -----
    To save an estimator, define the functions in a module: pickles do not hold code.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import FunctionOperator
    >>> A = FunctionOperator(torch.tanh).build(image_shape=(1, 2, 2))
    >>> A(torch.zeros(1, 1, 2, 2)).sum()
    tensor(0.)
    """

    _parameter_constraints = {
        "forward": [callable],
        "adjoint": [callable, None],
        "linear": ["boolean"],
    }

    def __init__(
        self,
        forward: Callable[[torch.Tensor], torch.Tensor],
        adjoint: Callable[[torch.Tensor], torch.Tensor] | None = None,
        linear: bool = False,
    ):
        self.forward = forward
        self.adjoint = adjoint
        self.linear = linear

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        x = torch.zeros(2, *image_shape, dtype=torch.float64)
        try:
            y = self.forward(x)
        except Exception as error:
            raise ValueError(
                "The 'forward' parameter of FunctionOperator does not take images of shape "
                f"{tuple(image_shape)} in double precision: {error}"
            ) from error
        if not isinstance(y, torch.Tensor) or y.dtype != x.dtype or y.ndim < 2 or len(y) != 2:
            got = f"shape {tuple(y.shape)}, {y.dtype}" if isinstance(y, torch.Tensor) else repr(y)
            raise ValueError(
                "The 'forward' parameter of FunctionOperator must give a tensor of the images' "
                f"type and of shape (batch, ...), here {x.dtype} and (2, ...); torch.view_as_real "
                f"makes one of complex numbers. Got {got} instead."
            )
        shape = tuple(y.shape[1:])
        if self.adjoint is None:
            if not self.linear:
                return FunctionMap(image_shape, shape, self.forward)
            linear = FunctionLinearMap(image_shape, shape, self.forward)
            _check_linear(linear)
            return linear
        A = PairMap(image_shape, shape, self.forward, self.adjoint)
        _check_adjoint(A)
        return A


class MatrixOperator(_Adapter):
    """``A x = M x`` for flat images, in the order of the user's arrays: rows, columns, channels.

    Parameters
    ----------
    matrix : ndarray, scipy sparse matrix, scipy LinearOperator or PyLops operator
        ``M``, of shape ``(n_measurements, height * width * channels)``, real or complex; complex
        measurements have a last axis with real and imaginary parts. Of an operator that is known by
        its products, `matvec` and `rmatvec` are called, on the CPU.
    measurement_shape : tuple of int, default=None
        Shape of one measurement in the user's arrays: ``(n,)``, ``(height, width)`` or
        ``(height, width, channels)``, which other operators then take for an image. None is
        flat.

    Raises
    ------
    ValueError
        By `build`, if the matrix does not fit the images or the measurement's shape, or is not
        finite.

    Notes
    -----
    A dense matrix with up to 2048 rows or columns is decomposed once, and its proximal step is in
    closed form; the others take conjugate gradients.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.operators import MatrixOperator
    >>> A = MatrixOperator(np.ones((1, 4))).build(image_shape=(1, 2, 2)).to(torch.float32)
    >>> A(torch.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[6.]])
    """

    _parameter_constraints = {
        "matrix": "no_validation",
        "measurement_shape": [tuple, list, None],
    }

    def __init__(self, matrix: Any, measurement_shape: Any = None):
        self.matrix = matrix
        self.measurement_shape = measurement_shape

    def build(self, image_shape: Shape) -> LinearMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        products = hasattr(self.matrix, "matvec") and hasattr(self.matrix, "rmatvec")
        sparse = scipy.sparse.issparse(self.matrix)
        known = products or sparse
        matrix = self.matrix if known else check_numbers(self.matrix, "matrix", self, "buifc")
        shape = self._shape(tuple(matrix.shape), image_shape)
        is_complex = np.dtype(matrix.dtype).kind == "c"
        measurement_shape = (*shape, 2) if is_complex else shape
        columns, rows = channels_last_order(image_shape), channels_last_order(shape)
        if products:
            return LinearOperatorMap(
                image_shape,
                measurement_shape,
                matrix,
                torch.from_numpy(columns),
                torch.from_numpy(rows),
            )
        if sparse:
            matrix = scipy.sparse.csr_array(matrix)[rows][:, columns]
            values = matrix.data
        else:
            matrix = values = matrix[np.ix_(rows, columns)]
        check_numbers(values, "matrix", self, "buifc")
        if is_complex:
            matrix = _real_and_imaginary(matrix)
        if sparse:
            return SparseMap(image_shape, measurement_shape, matrix.astype(np.float64))
        dense = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64))
        return dense_map(image_shape, measurement_shape, dense)

    def _shape(self, matrix_shape: tuple[int, ...], image_shape: Shape) -> Shape:
        """Return the shape of a measurement as a tensor, without complex parts."""
        n = math.prod(image_shape)
        if len(matrix_shape) != 2 or matrix_shape[1] != n or matrix_shape[0] == 0:
            raise ValueError(
                f"The 'matrix' parameter of MatrixOperator must have shape (n_measurements, {n}) "
                f"for images of shape {tuple(image_shape)}, channels first. "
                f"Got {matrix_shape} instead."
            )
        own = self.measurement_shape
        if own is None:
            return (matrix_shape[0],)
        if (
            len(own) not in (1, 2, 3)
            or not all(isinstance(k, Integral) and int(k) > 0 for k in own)
            or math.prod(own) != matrix_shape[0]
        ):
            raise ValueError(
                "The 'measurement_shape' parameter of MatrixOperator must be None or one to three "
                f"positive integers with the product {matrix_shape[0]}, the number of rows. "
                f"Got {own!r} instead."
            )
        if len(own) == 1:
            return tuple(own)
        height, width = own[:2]
        return (own[2] if len(own) == 3 else 1, height, width)


class DeepInverseOperator(_Adapter):
    """The forward model of a `deepinv.physics.Physics`.

    Needs the package ``deepinv`` (``pip install "skmetainv[deepinv]"``).

    Parameters
    ----------
    physics : deepinv.physics.Physics
        For images of ``(channels, height, width)``; complex images of DeepInverse's MRI have two
        channels. Linear physics give a linear operator, decomposable ones (masks, circular blur,
        single-coil MRI) its closed-form proximal step. Its noise model plays no part: noise is the
        estimator's. The measurements of stacked physics are flat, side by side.

    Raises
    ------
    ValueError
        By `build`, if `physics` is none, or does not take images of this shape.

    Notes
    -----
    Every `build` works on a copy. A physics that computes in one type only, as tomography does, is
    kept in it, and images are converted on the way. The proximal step of other linear physics is by
    conjugate gradients around `A` and `A_adjoint`, exact to every order of derivative;
    DeepInverse's own is right to first order.

    Examples
    --------
    >>> import pytest, torch
    >>> deepinv = pytest.importorskip("deepinv")
    >>> from skmetainv.operators import DeepInverseOperator
    >>> operator = DeepInverseOperator(deepinv.physics.Decolorize())
    >>> operator.build(image_shape=(3, 4, 4)).measurement_shape
    (1, 4, 4)
    """

    def __init__(self, physics: Any):
        self.physics = physics

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        try:
            from deepinv.physics import DecomposablePhysics, LinearPhysics, Physics
        except ImportError as error:
            raise ImportError(
                'DeepInverseOperator needs deepinv: pip install "skmetainv[deepinv]".'
            ) from error
        if not isinstance(self.physics, Physics):
            raise ValueError(
                "The 'physics' parameter of DeepInverseOperator must be a deepinv.physics.Physics. "
                f"Got {self.physics!r} instead."
            )
        physics = self.physics.clone().to("cpu")
        shapes, types = self._measured_zeros(physics, image_shape)
        only = types[0] if len(types) == 1 else None
        decomposable = isinstance(physics, DecomposablePhysics) and only is None
        if decomposable and _is_orthonormal(physics, image_shape):
            kind: type[PhysicsMap] = DecomposableMap
        else:
            kind = LinearPhysicsMap if isinstance(physics, LinearPhysics) else PhysicsMap
        return kind(image_shape, physics, shapes, only).double()

    def _measured_zeros(
        self, physics: Any, image_shape: Shape
    ) -> tuple[list[Shape], list[torch.dtype]]:
        """Return the shapes that a physics gives, and the types that it computes in."""
        types, shapes, refused = [], [], None
        for dtype in (torch.float32, torch.float64):
            try:
                y = convert_physics(physics, dtype).A(torch.zeros(1, *image_shape, dtype=dtype))
                if hasattr(physics, "A_adjoint"):
                    physics.A_adjoint(y)
            except Exception as error:
                refused = error
            else:
                parts = [y] if isinstance(y, torch.Tensor) else y
                shapes = [tuple(part.shape[1:]) for part in parts]
                types.append(dtype)
        if types:
            return shapes, types
        raise ValueError(
            f"{type(physics).__name__}, the 'physics' parameter of DeepInverseOperator, does not "
            f"take images of shape {tuple(image_shape)}: {refused}"
        ) from refused


def _is_orthonormal(physics: Any, image_shape: Shape) -> bool:
    """Whether ``V V'`` of a decomposable physics, in double precision, is the identity."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, *image_shape)))
    return bool((physics.V(physics.V_adjoint(x)) - x).norm() < 1e-6 * x.norm())


def _check_linear(A: LinearMap) -> None:
    """Raise if ``A(2 x + z)`` is not ``2 A x + A z``."""
    x, z = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, *A.image_shape)))
    expected = 2 * A(x) + A(z)
    if (A(2 * x + z) - expected).norm() > 1e-4 * expected.norm():
        raise ValueError(
            "The 'forward' parameter of FunctionOperator is not linear, though linear=True says so."
        )


def _check_adjoint(A: LinearMap) -> None:
    """Raise if ``<A x, v>`` is not ``<x, A' v>``."""
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.standard_normal((1, *A.image_shape)))
    v = torch.from_numpy(generator.standard_normal((1, *A.measurement_shape)))
    Ax, back = A(x), A.adjoint(v)
    left, right = float((Ax * v).sum()), float((x * back).sum()) if back.shape == x.shape else None
    if right is None or abs(left - right) > 1e-4 * float(Ax.norm() * v.norm()):
        raise ValueError(
            "The 'adjoint' parameter of FunctionOperator is not the adjoint of 'forward': "
            f"<A x, v> is {left:.6g} and <x, A' v> {right if right is None else f'{right:.6g}'} "
            f"for random x and v, the latter of shape {tuple(v.shape)}."
        )


def _real_and_imaginary(matrix: Any) -> Any:
    """Return a real matrix with two rows for each complex one."""
    if scipy.sparse.issparse(matrix):
        both = scipy.sparse.vstack([matrix.real, matrix.imag]).tocsr()
    else:
        both = np.concatenate([matrix.real, matrix.imag])
    n = matrix.shape[0]
    return both[np.arange(2 * n).reshape(2, n).T.ravel()]
