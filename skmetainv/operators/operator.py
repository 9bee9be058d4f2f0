"""The protocol of operators, parameter objects that describe an instrument, and their algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any, NoReturn

import numpy as np
import scipy.sparse
import torch
from sklearn.utils import Tags, get_tags

from skmetainv.operators.calls import (
    layout_of_one,
    mean_squared_residuals,
    measured,
    pulled_back,
)
from skmetainv.operators.maps.base import ForwardMap, Shape, check_double
from skmetainv.operators.maps.composed import composed
from skmetainv.operators.maps.scaled import normalized, scaled
from skmetainv.operators.maps.sums import added, stacked
from skmetainv.parameters import (
    FINITE,
    InvalidParameterError,
    ParameterObject,
    advice,
    check_built,
    comes_from,
    described,
    is_function,
)

# Places where an operator with missing samples is not allowed, in the words of the errors.
_BEFORE, _IN_A_SUM = "before another operator", "in a sum"

# The usual cause of images of the wrong shape: X and y are swapped.
_PAIRS = " In fit(X, y) the measurements X come first, and y are the images."


class Operator(ParameterObject):
    """A forward model ``A`` of ``y = A(x) + e``: hyper-parameters, no tensors.

    A subclass stores its hyper-parameters and writes `build`. If its measurements hold NaN where
    samples are missing, it sets the ``allow_nan`` tag.

    ``operator(x)`` returns measurements of images without noise; images are arrays or tensors.
    `adjoint` and `pseudo_inverse` map measurements to images, and `data_fidelity` returns how well
    images explain measurements. Each of these calls builds the map with the current parameters. In
    a loop, build it once: ``A = operator.build(image_shape)``.

    Operators compose: ``outer @ inner`` applies `inner` first, ``first + second``,
    ``first - second`` and ``sum([first, second, third])`` add and subtract measurements,
    ``factor * operator``, ``operator / number`` and ``-operator`` scale them, and
    ``operator.normalize()`` scales them to a norm of 1.

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
    have defaults. A linear map is a `LinearMap`, a nonlinear one a `ForwardMap`. Its tensors are
    buffers in float64. A `LinearMap` may define `adjoint`; otherwise autograd computes it.

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
        """Return the adapter that wraps `value` as an operator, see `ParameterObject`."""
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

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        A : ForwardMap
            A module in float64 on the CPU; ``A.to(dtype)`` and ``A.to(device)`` move it.
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
        return A

    def __call__(self, x: Any, *, random_state: Any = None) -> Any:
        """Return ``A(x)``, the measurements of images without noise.

        Parameters
        ----------
        x : array-like or tensor
            Images, of shape ``(n, height, width)``, ``(n, height, width, channels)`` or
            ``(n, channels, height, width)``, or one image: ``(height, width)``, or
            ``(height, width, channels)`` with 1 to 4 channels and at least 8 rows and columns.
            :doc:`/arrays` explains how these layouts are told apart and how integers are scaled.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of the random masks, one per image, of operators such as `MissingPixels`. If None,
            each call draws new masks. Other operators ignore it.

        Returns
        -------
        y : ndarray or tensor
            Measurements; a single one if `x` is one image. If `x` is a tensor, a tensor on the same
            device, differentiable by autograd. The type is float64 if `x` is float64, else float32.
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
            ``(height, width, channels)`` or ``(channels, height, width)``. If None, the shape of a
            measurement.

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
        return pulled_back(self, y, image_shape, "adjoint")

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
        return pulled_back(self, y, image_shape, "pseudo_inverse")

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
            Accurate to better than one percent. Random masks are ignored. If the operator is
            nonlinear, the norm of its Jacobian at one image, see
            `skmetainv.operators.ForwardMap.norm`.

        Raises
        ------
        ValueError
            If the operator does not take such images, or if its norm cannot be computed.
        """
        return float(self.build(layout_of_one(image_shape).tensor_shape).norm())

    def normalize(self) -> Normalized:
        """Return the operator divided by its norm, ``A / ||A||``.

        A penalty or a step size given as a number then has the same effect for every operator.
        Solvers' defaults do not need this: they scale with the norm.

        Returns
        -------
        operator : Normalized
            Its `build` computes the norm; see `Normalized` for the errors.
        """
        return Normalized(self)

    def __matmul__(self, inner: Any) -> Composition:
        _check_operand(inner, "right", "@")
        _refuse_missing([inner], _BEFORE)
        return Composition(self, inner)

    def __rmatmul__(self, outer: Any) -> NoReturn:
        raise _no_operand(outer, "left", "@")

    def __add__(self, other: Any) -> Sum:
        _check_operand(other, "right", "+")
        _refuse_missing([self, other], _IN_A_SUM)
        return Sum(self, other)

    def __radd__(self, other: Any) -> Operator:
        if isinstance(other, int) and other == 0:  # what Python's `sum` starts with
            return self
        raise _no_operand(other, "left", "+")

    def __sub__(self, other: Any) -> Sum:
        _check_operand(other, "right", "-")
        difference: Sum = self + -other
        return difference

    def __rsub__(self, other: Any) -> NoReturn:
        raise _no_operand(other, "left", "-")

    def __neg__(self) -> Scaled:
        return Scaled(self, factor=-1.0)

    def __mul__(self, factor: Any) -> Scaled:
        return Scaled(self, factor=_number(factor, "multiplied"))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Scaled:
        return Scaled(self, factor=1 / _number(divisor, "divided"))


class Composition(Operator):
    """``A(x) = outer(inner(x))``, written ``outer @ inner``.

    Parameters
    ----------
    outer, inner : Operator
        `inner` is applied first. Only `outer` may have missing samples.

    Raises
    ------
    ValueError
        By `build`, if a part is not an operator, or if `inner` has missing samples.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, MissingPixels
    >>> operator = MissingPixels(observed=0.3) @ GaussianBlur(sigma=2.0)
    >>> operator
    MissingPixels(observed=0.3) @ GaussianBlur(sigma=2.0)
    >>> operator.set_params(inner__sigma=1.5).build((1, 8, 8)).measurement_shape
    (1, 8, 8)
    """

    outer: Operator
    inner: Operator

    _parameter_constraints = {"outer": [Operator], "inner": [Operator]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        inner = _in_brackets(self.inner, Sum, Composition, Scaled)
        return f"{_in_brackets(self.outer, Sum)} @ {inner}"

    def __sklearn_tags__(self) -> Tags:
        return _tags_of(super().__sklearn_tags__(), [self.outer])

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        _refuse_missing([self.inner], _BEFORE)
        inner = self.inner.build(image_shape)
        outer = self.outer.build(inner.measurement_shape)
        return composed(outer, inner)


class Scaled(Operator):
    """``A(x) = factor operator(x)``, written ``factor * operator``.

    Parameters
    ----------
    operator : Operator
        The operator to scale.
    factor : float, default=1.0
        Any number but 0.

    Raises
    ------
    ValueError
        By `build`, if `factor` is 0, or `operator` is not an `Operator`.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur
    >>> 0.5 * GaussianBlur(sigma=2.0)
    0.5 * GaussianBlur(sigma=2.0)
    """

    operator: Operator
    _: KW_ONLY
    factor: float = 1.0

    _parameter_constraints = {
        "operator": [Operator],
        "factor": [FINITE],
    }

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.factor!r} * {_in_brackets(self.operator, Sum, Composition)}"

    def __sklearn_tags__(self) -> Tags:
        return _tags_of(super().__sklearn_tags__(), [self.operator])

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        if self.factor == 0:
            raise ValueError("The 'factor' parameter of Scaled must not be 0.")
        return scaled(self.operator.build(image_shape), self.factor)


class Normalized(Operator):
    """``A(x) = operator(x) / ||operator||``, written ``operator.normalize()``.

    The norm is `skmetainv.operators.ForwardMap.norm` of the map that `operator.build` returns,
    before masks are drawn. If the operator is 0, it is not scaled.

    Parameters
    ----------
    operator : Operator
        The operator to normalise.

    Raises
    ------
    ValueError
        By `build`, if `operator` is not an `Operator`, or if its norm cannot be computed.

    Examples
    --------
    >>> from skmetainv.operators import Radon
    >>> operator = Radon(angles=60).normalize()
    >>> operator
    Radon(angles=60).normalize()
    >>> round(operator.build((1, 8, 8)).norm().item(), 6)
    1.0
    """

    operator: Operator

    _parameter_constraints = {"operator": [Operator]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{_in_brackets(self.operator, Sum, Composition, Scaled)}.normalize()"

    def __sklearn_tags__(self) -> Tags:
        return _tags_of(super().__sklearn_tags__(), [self.operator])

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        return normalized(self.operator.build(image_shape))


class Sum(Operator):
    """``A(x) = first(x) + second(x)``, written ``first + second``.

    Parameters
    ----------
    first, second : Operator
        Operators whose measurements have the same shape and no missing samples.

    Raises
    ------
    ValueError
        By `build`, if the measurements have different shapes, or if a part has missing samples.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, Identity
    >>> Identity() + -1.0 * GaussianBlur(sigma=2.0)
    Identity() + -1.0 * GaussianBlur(sigma=2.0)
    """

    first: Operator
    second: Operator

    _parameter_constraints = {"first": [Operator], "second": [Operator]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.first!r} + {_in_brackets(self.second, Sum)}"

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        _refuse_missing([self.first, self.second], _IN_A_SUM)
        maps = [self.first.build(image_shape), self.second.build(image_shape)]
        shapes = [A.measurement_shape for A in maps]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "The terms of a sum must have measurements of the same shape. "
                f"Got {shapes[0]} from {self.first!r} and {shapes[1]} from {self.second!r}."
            )
        return added(maps)


class Stack(Operator):
    """The measurements of several operators, flattened and concatenated.

    Parameters
    ----------
    operators : list of Operator
        Operators that measure the same image. In nested parameter names, the index stands for the
        operator: ``0__sigma``, or ``operator__0__sigma`` in an estimator.

    Raises
    ------
    ValueError
        By `build`, if `operators` is empty or if an entry is not an operator.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, Inpainting, Stack
    >>> stack = Stack([Inpainting(), GaussianBlur(sigma=2.0)])
    >>> stack.set_params(**{"1__sigma": 1.0}).build((1, 4, 4)).measurement_shape
    (32,)
    """

    operators: Sequence[Operator]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; if `deep`, also those of each operator, named by its index."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for place, operator in enumerate(self.operators):
                params[str(place)] = operator
                nested = operator.get_params() if isinstance(operator, Operator) else {}
                params |= {f"{place}__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Stack:
        """Set parameters; ``"0"`` is the first operator, ``"0__sigma"`` one of its parameters."""
        if "operators" in params:
            self.operators = params.pop("operators")
        for place in range(len(self.operators)):
            if str(place) in params:
                operators = list(self.operators)
                operators[place] = params.pop(str(place))
                self.operators = operators
        super().set_params(**params)
        return self

    def __sklearn_tags__(self) -> Tags:
        return _tags_of(super().__sklearn_tags__(), self.operators)

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        if not isinstance(self.operators, list | tuple) or not self.operators:
            raise ValueError(
                "The 'operators' parameter of Stack must be a list of at least one Operator. "
                f"Got {self.operators!r} instead."
            )
        for operator in self.operators:
            check_operator(operator, "Each entry of the 'operators' parameter of Stack")
        return stacked([operator.build(image_shape) for operator in self.operators])


def check_operator(operator: Any, name: str) -> None:
    """Raise an error if a value is not an operator, and name the adapter that wraps it.

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


def _no_operator(value: Any, name: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"{name} must be an Operator. Got {described(value)} instead.{advice([Operator], value)}"
    )


def _check_operand(value: Any, side: str, sign: str) -> None:
    if not isinstance(value, Operator):
        raise _no_operand(value, side, sign)


def _no_operand(value: Any, side: str, sign: str) -> InvalidParameterError:
    """Return the error about an operand that is not an operator."""
    error = _no_operator(value, f"The {side} operand of {sign}")
    return InvalidParameterError(f"{error}{_to_measure(value)}")


def _to_measure(value: Any) -> str:
    """Return a hint for the end of an error if a value may hold images, else an empty text."""
    may_be_images = len(getattr(value, "shape", ())) > 1
    return " If it holds images, operator(x) measures them." if may_be_images else ""


def check_image(operator: Operator, image_shape: Shape) -> None:
    """Raise an error if the input of an operator is not an image."""
    if len(image_shape) != 3:
        raise ValueError(
            f"{type(operator).__name__} takes images, (channels, height, width). The operator "
            f"before it gives {tuple(image_shape)}: flat or complex measurements."
        )


def check_channels(operator: Operator, image_shape: Shape, channels: int, which: str = "") -> None:
    """Raise an error if images do not have `channels` channels; `which` explains these."""
    check_image(operator, image_shape)
    if image_shape[0] != channels:
        kind = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
        takes = kind.get(channels, f"images of {channels} channels")
        got = f"{image_shape[0]} channel{'' if image_shape[0] == 1 else 's'}"
        raise ValueError(
            f"{type(operator).__name__} takes {takes}{which}. Got images of {got} instead.{_PAIRS}"
        )


def check_size(operator: Operator, name: str, own: Shape, image_shape: Shape) -> None:
    """Raise an error if a parameter's height and width, `own`, are not those of the images."""
    size = tuple(image_shape[1:3])
    if own != size:
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} is for images of "
            f"{pixels(own)}. Got images of {pixels(size)} instead.{_PAIRS}"
        )


def pixels(size: Shape) -> str:
    """Return a height and a width as text."""
    return f"{size[0]} x {size[1]} pixels"


def check_numbers(value: Any, name: str, operator: Operator, kinds: str = "buif") -> np.ndarray:
    """Return a parameter as an array of finite numbers, of the NumPy type codes `kinds`."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} is not an array: {error}"
        ) from error
    if array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} must hold finite "
            f"{'numbers' if 'c' in kinds else 'real numbers'}. Got an array of {array.dtype}."
        )
    return array


def has_missing(operator: Any) -> bool:
    """Return whether an operator's measurements hold NaN where samples are missing."""
    return isinstance(operator, Operator) and get_tags(operator).input_tags.allow_nan


def _number(value: Any, verb: str) -> float:
    """Return a real number; it may come as an array or a tensor of shape ()."""
    alone = getattr(value, "shape", None) == () and "complex" not in str(value.dtype)
    if (isinstance(value, Real) or alone) and np.isfinite(float(value)) and value != 0:
        return float(value)
    raise InvalidParameterError(
        f"An operator is {verb} by a finite number that is not 0. Got {described(value)} instead. "
        f"To apply one operator after another, write outer @ inner.{_to_measure(value)}"
    )


def _refuse_missing(operators: Sequence[Operator], where: str) -> None:
    for operator in operators:
        if has_missing(operator):
            raise ValueError(
                f"{operator!r} cannot stand {where}: missing samples come last, as in "
                "MissingPixels(...) @ operator."
            )


def _tags_of(tags: Tags, operators: Sequence[Any]) -> Tags:
    tags.input_tags.allow_nan = any(has_missing(operator) for operator in operators)
    return tags


def _in_brackets(operator: Any, *kinds: type) -> str:
    return f"({operator!r})" if isinstance(operator, kinds) else repr(operator)
