"""The protocol of operators, parameter objects that describe an instrument."""

from __future__ import annotations

from numbers import Real
from typing import Any, NoReturn

import numpy as np
import scipy.sparse
import torch

from skmetainv.operators.calls import (
    layout_of_one,
    mapped_back,
    mean_squared_residuals,
    measured,
)
from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.instruments import check_pools
from skmetainv.operators.maps.precision import check_double
from skmetainv.parameters import (
    InvalidParameterError,
    ParameterObject,
    advice,
    check_built,
    comes_from,
    described,
    is_function,
)


class Operator(ParameterObject):
    """A forward model ``A`` of ``y = A(x) + e``; it holds hyper-parameters, not tensors.

    A subclass stores its hyper-parameters and writes `build`. If its measurements hold NaN where
    samples are missing, it sets ``has_missing = True``.

    ``operator(x)`` takes images, an array or a tensor, and returns their measurements without noise
    (`WithNoise` adds its own). `adjoint` and `pseudo_inverse` map measurements to images, and
    `data_fidelity` returns how well images explain measurements. Each of these calls builds the
    map, a `ForwardMap`, with the current parameters. In a loop, build it once: ``A =
    operator.build(image_shape)``.

    Operators compose. ``outer @ inner`` applies `inner` first. ``first + second``,
    ``first - second`` and ``sum([first, second, third])`` add and subtract measurements.
    ``factor * operator``, ``operator / number`` and ``-operator`` scale measurements, and
    ``operator.normalize()`` scales them so that the operator has norm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.operators import Downsampling
    >>> half = Downsampling(2)
    >>> y = half(np.ones((5, 8, 8)))
    >>> y.shape
    (5, 4, 4)
    >>> half.adjoint(y, image_shape=(8, 8)).shape
    (5, 8, 8)

    A new operator: a lens that is darker towards the corners. Hyper-parameters are annotated and
    have defaults. The map is a subclass of `LinearMap` if it is linear, else of `ForwardMap`. Its
    tensors are buffers in float64. A `LinearMap` may define `adjoint`; otherwise autograd computes
    the adjoint.

    >>> import torch
    >>> from skmetainv.operators import LinearMap, MissingPixels, Operator
    >>> from skmetainv.testing import check_operator
    >>> class Vignetting(Operator):
    ...     strength: float = 0.5
    ...
    ...     def build(self, image_shape):
    ...         return VignettingMap(image_shape, self.strength)
    >>> class VignettingMap(LinearMap):
    ...     def __init__(self, image_shape, strength):
    ...         super().__init__(image_shape, measurement_shape=image_shape)
    ...         rows, columns = (torch.linspace(-1, 1, n).double() for n in image_shape[1:])
    ...         radius = (rows[:, None] ** 2 + columns**2) / 2
    ...         self.register_buffer("gain", 1 - strength * radius)
    ...
    ...     def forward(self, x):
    ...         return self.gain * x
    >>> check_operator(Vignetting(strength=0.8))
    >>> check_operator(MissingPixels(observed=0.5) @ Vignetting())
    """

    # NumPy leaves `array @ operator` and `number * operator` to the operator.
    __array_ufunc__ = None

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        if comes_from(value, "deepinv") and hasattr(value, "A"):
            return "DeepInverseOperator(physics)"
        if isinstance(value, ForwardMap):
            return "GaussianBlur(), for example: the operator itself, not the result of `build`"
        if hasattr(value, "matvec") or scipy.sparse.issparse(value):
            return "MatrixOperator(matrix)"
        if isinstance(value, np.ndarray | torch.Tensor | list):
            is_mask = "bool" in str(getattr(value, "dtype", ""))
            return "Inpainting(mask)" if is_mask else "MatrixOperator(matrix)"
        return "FunctionOperator(function, adjoint_function=...)" if is_function(value) else None

    @property
    def has_noise(self) -> bool:
        """Whether the operator has its own noise, as `WithNoise` does."""
        return False

    @property
    def has_missing(self) -> bool:
        """Whether measurements hold NaN where samples are missing.

        By default, True if one of the parameters is an operator whose measurements do.
        """
        parts = self.get_params(deep=False).values()
        return any(getattr(part, "has_missing", False) for part in parts)

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        A : ForwardMap
            A module in float64 on the CPU; ``A.to(dtype)`` converts and ``A.to(device)`` moves it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def _examine(self, built: Any) -> ForwardMap:
        A = check_built(
            self,
            built,
            ForwardMap,
            "Write a subclass of LinearMap or ForwardMap with the method forward(x), or wrap a "
            "function: FunctionOperator(function).",
        )
        check_double(self, A)
        check_pools(self, A)
        self._check_noise()
        A.built_by = self
        return A

    def _check_noise(self) -> None:
        """Raise an error if a part has its own noise."""
        if any(getattr(part, "has_noise", False) for part in self.get_params().values()):
            raise ValueError(
                f"WithNoise cannot be part of another operator. Got {self!r}. The noise is that "
                "of the whole measurement, as in WithNoise(MissingPixels() @ GaussianBlur(), 0.01)."
            )

    def __call__(self, x: Any, *, random_state: Any = None) -> Any:
        """Return ``A(x)``, the measurements without noise (`WithNoise` adds its own).

        Parameters
        ----------
        x : array-like or tensor
            Images, of shape ``(n, height, width)``, ``(n, height, width, channels)`` or
            ``(n, channels, height, width)``, or one image: ``(height, width)``, or
            ``(height, width, channels)`` with 1 to 4 channels and at least 8 rows and columns.
            How these layouts are told apart, and how integers are scaled: :doc:`/guide/data`.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of random masks, which operators such as `MissingPixels` draw for each image, and
            of the noise that `WithNoise` adds. If None, each call draws anew. All other operators
            ignore the seed.

        Returns
        -------
        y : ndarray or tensor
            Measurements; a single one if `x` is one image. If `x` is a tensor, so is `y`, on the
            same device and differentiable by autograd. The type is float64 if `x` is float64, else
            float32.
            Measurements that are images have the layout of `x`. Complex measurements have a last
            axis of real and imaginary parts. Missing samples are NaN.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if `x` does not hold images, or if the operator does
            not take images of this shape.

        Warns
        -----
        DataConversionWarning
            If the unit of integers is ambiguous, or if a tensor may be one colour image or three
            gray ones.
        """
        return measured(self, x, random_state)

    def adjoint(self, y: Any, *, image_shape: tuple[int, ...] | None = None) -> Any:
        """Return ``A' y``, the adjoint of a linear operator applied to measurements.

        Parameters
        ----------
        y : array-like or tensor
            One or several measurements, in the layout that the operator returns. Missing samples
            are NaN and count as 0. Complex arrays are split into real and imaginary parts.
        image_shape : tuple of int, default=None
            Shape of one image in the user's layout: ``(height, width)``,
            ``(height, width, channels)`` or ``(channels, height, width)``. If None, images have the
            shape of a measurement, without a last axis of real and imaginary parts.

        Returns
        -------
        x : ndarray or tensor
            Images, in the type of `y`, see `__call__`.

        Raises
        ------
        ValueError
            If the operator is nonlinear, if `y` does not have the shape of measurements, or if
            `image_shape` is None and measurements do not have the shape of images.
        """
        return mapped_back(self, y, image_shape, "adjoint")

    def pseudo_inverse(self, y: Any, *, image_shape: tuple[int, ...] | None = None) -> Any:
        """Return ``A^+ y``, the least-squares solutions of least norm.

        Parameters
        ----------
        y : array-like or tensor
            Measurements, see `adjoint`. Missing samples are ignored.
        image_shape : tuple of int, default=None
            Shape of one image, see `adjoint`.

        Returns
        -------
        x : ndarray or tensor
            Images, in the type of `y`. Small singular values count as zero, see
            `skmetainv.operators.LinearMap.pseudo_inverse`.

        Raises
        ------
        ValueError
            As in `adjoint`.
        """
        return mapped_back(self, y, image_shape, "pseudo_inverse")

    def data_fidelity(self, x: Any, y: Any) -> Any:
        """Return the mean squared residual of each image, ``||A(x) - y||^2 / m``.

        The mean is over the ``m`` observed samples. If `x` is the ground truth, the value is close
        to the variance of the noise, for every operator.

        Parameters
        ----------
        x : array-like or tensor
            Images, such as reconstructions, see `__call__`.
        y : array-like or tensor
            Their measurements; NaN where samples are missing. Real and imaginary parts count as two
            samples.

        Returns
        -------
        values : ndarray or tensor of shape (n,)
            One value per image, at least 0, in squared units of the measurements; a single number
            if `x` is one image. If `x` is a tensor, a tensor that is differentiable by autograd.

        Raises
        ------
        ValueError
            If `y` does not have the shape of measurements of `x`, see also `__call__`.

        Examples
        --------
        >>> import numpy as np
        >>> from skmetainv.operators import MissingPixels
        >>> y = np.array([[[1.0, np.nan], [3.0, 4.0]]])
        >>> MissingPixels().data_fidelity(np.ones((1, 2, 2)), y)  # (0 + 4 + 9) / 3
        array([4.33333333])
        """
        return mean_squared_residuals(self, x, y)

    def norm(self, image_shape: tuple[int, ...]) -> float:
        """Return ``||A||``, the largest singular value for images of one shape.

        Parameters
        ----------
        image_shape : tuple of int
            ``(height, width)``, ``(height, width, channels)`` or ``(channels, height, width)``.

        Returns
        -------
        norm : float
            Accurate to a tenth of a percent. Random masks are ignored. If the operator is
            nonlinear, the norm of its Jacobian at one image, see
            `skmetainv.operators.ForwardMap.norm`.

        Raises
        ------
        ValueError
            If the operator does not take such images, or if its norm cannot be computed.
        """
        return float(self.build(layout_of_one(image_shape).tensor_shape).norm())

    def normalize(self) -> algebra.Normalized:
        """Return the operator divided by its norm, ``A / ||A||``.

        A penalty or a step size given as a number then has the same effect for every operator.
        Solvers' defaults do not need this: they scale with the norm.

        Returns
        -------
        operator : Normalized
            Its `build` computes the norm; see `Normalized` for the errors.
        """
        return algebra.Normalized(self)

    def __matmul__(self, inner: Any) -> algebra.Composition:
        _check_operand(inner, "@")
        algebra.refuse_missing(algebra.BEFORE_AN_OPERATOR, inner)
        return algebra.Composition(self, inner)

    def __rmatmul__(self, outer: Any) -> NoReturn:
        raise _no_operand(outer, "left", "@")

    def __add__(self, other: Any) -> algebra.Sum:
        _check_operand(other, "+")
        algebra.refuse_missing(algebra.IN_A_SUM, self, other)
        return algebra.Sum(self, other)

    def __radd__(self, other: Any) -> Operator:
        if isinstance(other, int) and other == 0:  # the start value of Python's `sum`
            return self
        raise _no_operand(other, "left", "+")

    def __sub__(self, other: Any) -> algebra.Sum:
        _check_operand(other, "-")
        return self + -other

    def __rsub__(self, other: Any) -> NoReturn:
        raise _no_operand(other, "left", "-")

    def __neg__(self) -> algebra.Scaled:
        return algebra.Scaled(self, factor=-1.0)

    def __mul__(self, factor: Any) -> algebra.Scaled:
        return algebra.Scaled(self, factor=_number(factor, "multiplied"))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> algebra.Scaled:
        return algebra.Scaled(self, factor=1 / _number(divisor, "divided"))


def require_operator(operator: Any, name: str) -> None:
    """Raise an error if a value is not an operator; the error names an adapter for the value.

    Parameters
    ----------
    operator : object
        The value to check.
    name : str
        Its name in the error.

    Raises
    ------
    InvalidParameterError
        If it is not an `Operator`. This is scikit-learn's error, both a ValueError and a TypeError.
    """
    if not isinstance(operator, Operator):
        raise _no_operator(operator, name)


def _no_operator(value: Any, name: str, hint: str = "") -> InvalidParameterError:
    hint = advice([Operator], value) + hint
    return InvalidParameterError(
        f"{name} must be an Operator. Got {described(value)} instead.{hint}"
    )


def _check_operand(value: Any, sign: str) -> None:
    if not isinstance(value, Operator):
        raise _no_operand(value, "right", sign)


def _no_operand(value: Any, side: str, sign: str) -> InvalidParameterError:
    """Return the error about an operand that is not an operator."""
    return _no_operator(value, f"The {side} operand of {sign}", _to_measure(value))


def _to_measure(value: Any) -> str:
    """Return a hint for the end of an error if a value may hold images, else an empty text."""
    may_be_images = len(getattr(value, "shape", ())) > 1
    return " If it holds images, operator(x) measures them." if may_be_images else ""


def _number(value: Any, verb: str) -> float:
    """Return `value` as a float; it may be a number, or an array or a tensor of shape ()."""
    alone = getattr(value, "shape", None) == () and "complex" not in str(value.dtype)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if (is_number or alone) and np.isfinite(float(value)) and value != 0:
        return float(value)
    raise InvalidParameterError(
        f"An operator is {verb} by a finite number that is not 0. Got {described(value)} instead. "
        f"To apply one operator after another, write outer @ inner.{_to_measure(value)}"
    )


# Imported here, because the classes of the algebra derive from `Operator`
from skmetainv.operators import algebra  # noqa: E402
