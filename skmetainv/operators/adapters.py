"""Operators from elsewhere: functions, matrices, and DeepInverse's physics."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import scipy.sparse
import torch
from joblib import wrap_non_picklable_objects

from skmetainv.arrays import channels_first_shape, channels_last_order
from skmetainv.operators.checks import check_numbers
from skmetainv.operators.maps.base import ForwardMap, LinearMap, Shape
from skmetainv.operators.maps.dot_test import check_adjoint, check_linear
from skmetainv.operators.maps.foreign import (
    DecomposableMap,
    FunctionLinearMap,
    FunctionMap,
    LinearOperatorMap,
    LinearPhysicsMap,
    PairMap,
    PhysicsMap,
)
from skmetainv.operators.maps.foreign_functions import (
    NO_DERIVATIVE,
    ForeignFunction,
    as_real,
    in_each_precision,
    try_function,
)
from skmetainv.operators.maps.hidden_parts import convert, move
from skmetainv.operators.maps.matrices import SparseMap, dense_map
from skmetainv.operators.operator import Operator
from skmetainv.parameters import Function, integers

_FUNCTION = "The 'function' parameter of FunctionOperator"
_ADJOINT = "The 'adjoint_function' parameter of FunctionOperator"


class _Adapter(Operator):
    """An operator around a foreign object; the object is never changed, so clones share it."""

    def __sklearn_clone__(self) -> _Adapter:
        return type(self)(**self.get_params(deep=False))


class FunctionOperator(_Adapter):
    """``A(x) = function(x)`` for any function of tensors, or of NumPy arrays.

    Parameters
    ----------
    function : callable
        Takes a batch of images, ``(batch, channels, height, width)``, and returns a batch of
        measurements, ``(batch, ...)``, in the images' type. The measurement of an image must not
        depend on other images of the batch. If measurements are complex, their real and imaginary
        parts become a last axis. Without `adjoint_function`, it must be written in torch and be
        differentiable by autograd; training through the steps of a solver needs its second
        derivatives. If it is a module, a copy in evaluation mode is used.
    adjoint_function : callable, default=None
        The adjoint of a linear `function`: takes a batch of measurements and returns images. If
        given, all derivatives are computed from the two functions, so neither needs to be
        differentiable: both may be functions of NumPy arrays, on the CPU.
    linear : bool, default=False
        Whether `function` is linear. If True and no adjoint is given, autograd computes the
        adjoint. If `adjoint_function` is given, `function` is always taken as linear.

    Raises
    ------
    ValueError
        By `build`, if `function` does not return such a batch or has no derivative; if `function`
        or `adjoint_function` mixes the images of a batch; if `function` should be linear and is
        not; or if `adjoint_function` is not its adjoint.

    Notes
    -----
    If a function computes in one precision only, images are converted to that precision. To save
    an estimator, define the functions in an importable module: pickles do not hold code.

    Linearity and the adjoint are checked on random images. The adjoint must satisfy
    ``<A x, A x> = <x, A' A x>`` to a relative error of 1e-5, for images of any size.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import FunctionOperator
    >>> A = FunctionOperator(torch.tanh).build(image_shape=(1, 2, 2))
    >>> A(torch.zeros(1, 1, 2, 2)).sum()
    tensor(0.)

    A NumPy function with its adjoint:

    >>> import numpy as np
    >>> def shift(x):
    ...     return np.roll(x, 1, axis=-1)
    >>> def shift_back(y):
    ...     return np.roll(y, -1, axis=-1)
    >>> A = FunctionOperator(shift, adjoint_function=shift_back).build(image_shape=(1, 1, 3))
    >>> A(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    tensor([[[[3., 1., 2.]]]])
    """

    function: Callable[[Any], Any]
    _: KW_ONLY
    adjoint_function: Callable[[Any], Any] | None = None
    linear: bool = False

    _parameter_constraints = {
        "function": [Function()],
        "adjoint_function": [Function(), None],
        "linear": ["boolean"],
    }

    def build(self, image_shape: Shape) -> ForwardMap:
        forward = try_function(self.function, _FUNCTION, image_shape)
        if self.adjoint_function is not None:
            return _map_of_pair(image_shape, forward, self.adjoint_function)
        if not forward.differentiable:
            raise ValueError(
                f"{_FUNCTION} has no derivative: {NO_DERIVATIVE}. If the function is linear, pass "
                "its adjoint, FunctionOperator(function, adjoint_function=...). Otherwise, write "
                "it in torch."
            )
        if not self.linear:
            return FunctionMap(image_shape, forward.shape, forward)
        A = FunctionLinearMap(image_shape, forward.shape, forward)
        check_linear(A, f"With linear=True, {_FUNCTION}")
        check_adjoint(
            A,
            "'function'",
            "The adjoint that autograd computes for FunctionOperator",
            "Write it in torch without detach, or pass its adjoint_function=...",
        )
        return A


class MatrixOperator(_Adapter):
    """``A x = M x``, where ``x`` is an image, flattened in the order rows, columns, channels.

    Parameters
    ----------
    matrix : ndarray, scipy sparse matrix, scipy LinearOperator or PyLops operator
        ``M``, of shape ``(n_measurements, height * width * channels)``, real or complex; complex
        measurements have a last axis with real and imaginary parts. SciPy's LinearOperator and
        PyLops' operators are used through `matvec` and `rmatvec`, on the CPU.
    measurement_shape : tuple of int, default=None
        Shape of one measurement in the user's arrays: ``(n,)``, ``(height, width)`` or
        ``(height, width, channels)``. If it has a height and a width, measurements are images, and
        other operators can be applied to them. If None, measurements are flat.

    Raises
    ------
    ValueError
        By `build`, if the matrix is not finite or does not fit the shape of images or measurements;
        if `matvec` or `rmatvec` fails; if `matvec` is not linear; or if `rmatvec` is not its
        adjoint.

    Notes
    -----
    A dense matrix with up to 2048 rows or columns is decomposed once, and its proximal step has a
    closed form. For other matrices, conjugate gradients compute the proximal step.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.operators import MatrixOperator
    >>> A = MatrixOperator(np.ones((1, 4))).build(image_shape=(1, 2, 2)).to(torch.float32)
    >>> A(torch.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[6.]])
    """

    matrix: Any
    _: KW_ONLY
    measurement_shape: Shape | None = None

    _parameter_constraints = {
        "matrix": "no_validation",
        "measurement_shape": [tuple, list, None],
    }

    def build(self, image_shape: Shape) -> LinearMap:
        matrix = self.matrix
        products = hasattr(matrix, "matvec") and hasattr(matrix, "rmatvec")
        sparse = scipy.sparse.issparse(matrix)
        if sparse:
            matrix = scipy.sparse.csr_array(matrix)
            check_numbers(matrix.data, "matrix", self, "buifc")
        elif not products:
            matrix = check_numbers(matrix, "matrix", self, "buifc")
        shape = self._shape(tuple(matrix.shape), image_shape)
        is_complex = np.dtype(matrix.dtype).kind == "c"
        measurement_shape = (*shape, 2) if is_complex else shape
        columns, rows = channels_last_order(image_shape), channels_last_order(shape)
        if products:
            A = LinearOperatorMap(image_shape, measurement_shape, matrix, columns, rows)
            return _checked_products(A)
        matrix = matrix[np.ix_(rows, columns)]
        if is_complex:
            matrix = _real_and_imaginary(matrix)
        if sparse:
            return SparseMap(image_shape, measurement_shape, matrix.astype(np.float64))
        dense = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64))
        return dense_map(image_shape, measurement_shape, dense)

    def _shape(self, matrix_shape: tuple[int, ...], image_shape: Shape) -> Shape:
        """Return the shape of a measurement tensor, without the axis of complex parts."""
        n = math.prod(image_shape)
        if len(matrix_shape) != 2 or matrix_shape[1] != n or matrix_shape[0] == 0:
            raise ValueError(
                f"The 'matrix' parameter of MatrixOperator must have shape (n_measurements, {n}) "
                f"for images of shape {tuple(image_shape)}, channels first. "
                f"Got {matrix_shape} instead."
            )
        if self.measurement_shape is None:
            return (matrix_shape[0],)
        shape = integers(self.measurement_shape, 1, 2, 3)
        if shape is None or math.prod(shape) != matrix_shape[0]:
            raise ValueError(
                "The 'measurement_shape' parameter of MatrixOperator must be None or one to three "
                f"positive integers with the product {matrix_shape[0]}, the number of rows. "
                f"Got {self.measurement_shape!r} instead."
            )
        return shape if len(shape) == 1 else channels_first_shape(shape)


class DeepInverseOperator(_Adapter):
    """The forward model of a `deepinv.physics.Physics`.

    Needs the package ``deepinv`` (``pip install "skmetainv[deepinv]"``).

    Parameters
    ----------
    physics : deepinv.physics.Physics
        A physics for images of shape ``(channels, height, width)``; complex images of DeepInverse's
        MRI have two channels. If the physics is linear, the operator is linear. If it is
        decomposable (masks, circular blur, single-coil MRI), the proximal step has a closed form.
        Its noise model is ignored: the estimator adds the noise. The measurements of stacked
        physics are flattened and concatenated.

    Raises
    ------
    ImportError
        By `build`, if ``deepinv`` is not installed.
    ValueError
        By `build`, if `physics` is not a `deepinv.physics.Physics`, or if it does not take images
        of this shape. Also if a `deepinv.physics.LinearPhysics` is not linear, or if its
        `A_adjoint` is not the adjoint of its `A`.

    Notes
    -----
    Every `build` works on a copy of the physics. If a physics computes in one precision only, as
    tomography does, images are converted to that precision. If linear physics are not decomposable,
    conjugate gradients with `A` and `A_adjoint` compute the proximal step. The derivatives of this
    step are exact to every order; those of DeepInverse's own step are exact to first order only.

    Examples
    --------
    >>> import pytest, torch
    >>> deepinv = pytest.importorskip("deepinv")
    >>> from skmetainv.operators import DeepInverseOperator
    >>> operator = DeepInverseOperator(deepinv.physics.Decolorize())
    >>> operator.build(image_shape=(3, 4, 4)).measurement_shape
    (1, 4, 4)
    """

    physics: Any

    def __getstate__(self) -> dict[str, Any]:
        # DeepInverse's physics hold lambdas, which pickle alone cannot save.
        whole = wrap_non_picklable_objects(self.physics, keep_wrapper=False)
        return {**super().__getstate__(), "physics": whole}

    def build(self, image_shape: Shape) -> ForwardMap:
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
        physics, measured, only_dtype = self._copy_that_works(image_shape)
        if not isinstance(physics, LinearPhysics):
            return PhysicsMap(image_shape, physics, measured, only_dtype).double()
        closed_form = (
            isinstance(physics, DecomposablePhysics)
            and only_dtype is None
            and isinstance(measured, torch.Tensor)
            and not measured.is_complex()
            and _is_orthonormal(physics, image_shape)
        )
        map_class = DecomposableMap if closed_form else LinearPhysicsMap
        A = map_class(image_shape, physics, measured, only_dtype).double()
        name = f"of {type(physics).__name__}, the 'physics' parameter of DeepInverseOperator,"
        check_linear(A, f"`A` {name}")
        check_adjoint(
            A,
            "its `A`",
            f"`A_adjoint` {name}",
            "If `A` is differentiable by autograd, FunctionOperator(physics.A, linear=True) takes "
            "the adjoint from autograd (for Tomography: adjoint_via_backprop=True).",
        )
        return A

    def _copy_that_works(self, image_shape: Shape) -> tuple[Any, Any, torch.dtype | None]:
        """Return a copy of the physics, its measurement of a zero image, and its only type.

        The type is None if the physics takes single and double precision. Each type is tried on
        its own copy, because a call may leave tensors of that type in the physics.
        """

        def measure_zeros(dtype: torch.dtype) -> tuple[Any, Any]:
            physics: Any = convert(move(_copied(self.physics), torch.device("cpu")), dtype)
            x = torch.zeros(1, *image_shape, dtype=dtype)
            y = physics.A(x)
            back = physics.A_adjoint(y) if hasattr(physics, "A_adjoint") else x
            for part in [back, y] if isinstance(y, torch.Tensor) else [back, *y]:
                if as_real(part).dtype != dtype:
                    raise TypeError(f"it computes {part.dtype} from images in {dtype}.")
            if back.shape != x.shape:
                raise ValueError(f"`A_adjoint` gives images of shape {tuple(back.shape[1:])}.")
            return physics, y

        try:
            (physics, measured), only_dtype = in_each_precision(measure_zeros)
        except Exception as error:
            raise ValueError(
                f"{type(self.physics).__name__}, the 'physics' parameter of DeepInverseOperator, "
                f"does not take images of shape {tuple(image_shape)}, in single or in double "
                f"precision: {error}"
            ) from error
        return physics, measured, only_dtype


def _map_of_pair(
    image_shape: Shape, forward: ForeignFunction, adjoint: Callable[[Any], Any]
) -> LinearMap:
    """Return the map of the two functions of a FunctionOperator, after checking them."""
    back = try_function(adjoint, _ADJOINT, forward.shape, adjoint_of=forward)
    if back.shape != tuple(image_shape):
        raise ValueError(
            f"{_ADJOINT} must return images of shape {tuple(image_shape)}. "
            f"Got {back.shape} instead."
        )
    A = PairMap(image_shape, forward.shape, forward, back)
    check_linear(A, _FUNCTION)
    check_adjoint(A, "'function'", _ADJOINT, "Without it, linear=True uses autograd's adjoint.")
    return A


def _checked_products(A: LinearOperatorMap) -> LinearOperatorMap:
    """Return the map of a MatrixOperator that has only products, after checking these."""
    parameter = "of the 'matrix' parameter of MatrixOperator"
    forward, adjoint = f"`matvec` {parameter}", f"`rmatvec` {parameter}"
    for name, product, shape in (
        (forward, A, A.image_shape),
        (adjoint, A.adjoint, A.measurement_shape),
    ):
        try:
            product(torch.zeros(1, *shape, dtype=torch.float64))
        except Exception as error:
            raise ValueError(
                f"{name} fails: {error or type(error).__name__}. It must take vectors of "
                f"{math.prod(shape)} numbers, and both products are needed, as in "
                "scipy.sparse.linalg.LinearOperator(shape, matvec=..., rmatvec=...)."
            ) from error
    check_linear(A, forward)
    check_adjoint(A, "its `matvec`", adjoint, "It is the conjugate transpose: M.conj().T @ y.")
    return A


def _copied(physics: Any) -> Any:
    """Return a deep copy of a physics; its own `clone` is slow, about half a second."""
    try:
        return copy.deepcopy(physics)
    except TypeError:  # it holds a torch.Generator, which older torch cannot copy
        return physics.clone()


def _is_orthonormal(physics: Any, image_shape: Shape) -> bool:
    """Return whether ``V V'`` of a decomposable physics is the identity, in double precision."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, *image_shape)))
    return bool((physics.V(physics.V_adjoint(x)) - x).norm() < 1e-6 * x.norm())


def _real_and_imaginary(matrix: Any) -> Any:
    """Return a real matrix: each row becomes two, its real part and then its imaginary part."""
    n = matrix.shape[0]
    parts = [matrix.real, matrix.imag]
    is_sparse = scipy.sparse.issparse(matrix)
    stacked = scipy.sparse.vstack(parts, format="csr") if is_sparse else np.vstack(parts)
    return stacked[np.arange(2 * n).reshape(2, n).T.ravel()]
