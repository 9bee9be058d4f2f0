"""The protocol of operators, parameter objects that describe an instrument, and their algebra."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, get_tags

from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.composed import composed
from skmetainv.operators.maps.scaled import normalized, scaled
from skmetainv.operators.maps.sums import added, stacked
from skmetainv.parameters import Interval


class Operator(BaseEstimator):
    """A forward model ``A`` of ``y = A(x) + e``: hyper-parameters, no tensors.

    A subclass stores its hyper-parameters and writes `build`. One whose measurements hold NaN
    where samples are missing says so by the ``allow_nan`` tag.

    Operators compose: ``outer @ inner`` applies `inner` first, ``first + second`` and
    ``first - second`` add and subtract measurements, ``factor * operator`` and
    ``operator / number`` scale them, and ``operator.normalize()`` scales them to a norm of 1.
    """

    __array_ufunc__ = None  # NumPy's numbers leave products to the operator

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

    def normalize(self) -> Normalized:
        """Return the operator divided by its norm, ``A / ||A||``, whatever images it is built for.

        Returns
        -------
        operator : Normalized
            Solvers' defaults need it not: they go by the norm. Penalties and step sizes that are
            given as numbers then mean the same for every operator.
        """
        return Normalized(self)

    def __matmul__(self, inner: Operator) -> Composition:
        return Composition(self, inner) if isinstance(inner, Operator) else NotImplemented

    def __add__(self, other: Operator) -> Sum:
        return Sum(self, other) if isinstance(other, Operator) else NotImplemented

    def __sub__(self, other: Operator) -> Sum:
        return Sum(self, -other) if isinstance(other, Operator) else NotImplemented

    def __neg__(self) -> Scaled:
        return Scaled(self, -1.0)

    def __mul__(self, factor: float) -> Scaled:
        number = _as_number(factor)
        return NotImplemented if number is None else Scaled(self, number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Scaled:
        number = _as_number(divisor)
        return NotImplemented if number is None else Scaled(self, 1 / number)


class Composition(Operator):
    """``A(x) = outer(inner(x))``, written ``outer @ inner``.

    Parameters
    ----------
    outer, inner : Operator
        `inner` is applied first. Measurements may be missing in `outer` only.

    Raises
    ------
    ValueError
        By `build`, if a part is no operator, or samples of `inner` can be missing.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, MissingPixels
    >>> operator = MissingPixels(observed=0.3) @ GaussianBlur(sigma=2.0)
    >>> operator
    MissingPixels(observed=0.3) @ GaussianBlur(sigma=2.0)
    >>> operator.set_params(inner__sigma=1.5).build((1, 8, 8)).measurement_shape
    (1, 8, 8)
    """

    _parameter_constraints = {"outer": [Operator], "inner": [Operator]}

    def __init__(self, outer: Operator, inner: Operator):
        self.outer = outer
        self.inner = inner

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        inner = _in_brackets(self.inner, Sum, Composition, Scaled)
        return f"{_in_brackets(self.outer, Sum)} @ {inner}"

    def __sklearn_tags__(self) -> Tags:
        return _tags_of(super().__sklearn_tags__(), [self.outer])

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        _refuse_missing([self.inner], "before another operator")
        inner = self.inner.build(image_shape)
        outer = self.outer.build(inner.measurement_shape)
        return composed(outer, inner)


class Scaled(Operator):
    """``A(x) = factor operator(x)``, written ``factor * operator``.

    Parameters
    ----------
    operator : Operator
        What is scaled.
    factor : float, default=1.0
        Any number but 0.

    Raises
    ------
    ValueError
        By `build`, if `factor` is 0, or a part is no operator.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur
    >>> 0.5 * GaussianBlur(sigma=2.0)
    0.5 * GaussianBlur(sigma=2.0)
    """

    _parameter_constraints = {
        "operator": [Operator],
        "factor": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, operator: Operator, factor: float = 1.0):
        self.operator = operator
        self.factor = factor

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

    The norm is that of `skmetainv.operators.ForwardMap.norm`, for images of the shape that the
    operator is built for, before masks are drawn; an operator that is 0 stays as it is.

    Parameters
    ----------
    operator : Operator
        What is normalised.

    Raises
    ------
    ValueError
        By `build`, if `operator` is no operator, or its norm cannot be found.

    Examples
    --------
    >>> from skmetainv.operators import Radon
    >>> operator = Radon(angles=60).normalize()
    >>> operator
    Radon(angles=60).normalize()
    >>> round(operator.build((1, 8, 8)).norm().item(), 6)
    1.0
    """

    _parameter_constraints = {"operator": [Operator]}

    def __init__(self, operator: Operator):
        self.operator = operator

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
        With measurements of the same shape, without missing samples.

    Raises
    ------
    ValueError
        By `build`, if the measurements have different shapes.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, Identity
    >>> Identity() + -1.0 * GaussianBlur(sigma=2.0)
    Identity() + -1.0 * GaussianBlur(sigma=2.0)
    """

    _parameter_constraints = {"first": [Operator], "second": [Operator]}

    def __init__(self, first: Operator, second: Operator):
        self.first = first
        self.second = second

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.first!r} + {_in_brackets(self.second, Sum)}"

    def build(self, image_shape: Shape) -> ForwardMap:
        """Return the map for images of one shape, see `Operator.build`."""
        self._validate_params()
        _refuse_missing([self.first, self.second], "in a sum")
        maps = [self.first.build(image_shape), self.second.build(image_shape)]
        shapes = [A.measurement_shape for A in maps]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "The measurements of a sum must have one shape. "
                f"Got {shapes[0]} of {self.first!r} and {shapes[1]} of {self.second!r}."
            )
        return added(maps)


class Stack(Operator):
    """Several measurements of one image, flat, side by side.

    Parameters
    ----------
    operators : list of Operator
        What measures. In nested names they go by their place: ``operator__0__sigma``.

    Raises
    ------
    ValueError
        By `build`, if `operators` is empty or an entry is no operator.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, Inpainting, Stack
    >>> stack = Stack([Inpainting(), GaussianBlur(sigma=2.0)])
    >>> stack.set_params(**{"1__sigma": 1.0}).build((1, 4, 4)).measurement_shape
    (32,)
    """

    def __init__(self, operators: Sequence[Operator]):
        self.operators = operators

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with `deep` those of every operator by its place."""
        params = super().get_params(deep=False)
        if deep:
            for place, operator in enumerate(self.operators):
                params[str(place)] = operator
                nested = operator.get_params(deep=True)
                params |= {f"{place}__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Stack:
        """Set parameters; ``"0"`` is the first operator, ``"0__sigma"`` a parameter of it."""
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
        operators = self.operators if isinstance(self.operators, list | tuple) else []
        if not operators or not all(isinstance(operator, Operator) for operator in operators):
            raise ValueError(
                "The 'operators' parameter of Stack must be a list of at least one Operator. "
                f"Got {self.operators!r} instead."
            )
        return stacked([operator.build(image_shape) for operator in operators])


def check_image(operator: Operator, image_shape: Shape) -> None:
    """Raise if what an operator is to measure is no image."""
    if len(image_shape) != 3:
        raise ValueError(
            f"{type(operator).__name__} takes images, (channels, height, width). What comes before "
            f"it gives {tuple(image_shape)}: flat or complex measurements."
        )


def check_numbers(value: Any, name: str, operator: Operator, kinds: str = "buif") -> np.ndarray:
    """Return a parameter as an array of finite numbers (`kinds` of NumPy types)."""
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
    """Whether an operator's measurements hold NaN where samples are missing."""
    return isinstance(operator, Operator) and get_tags(operator).input_tags.allow_nan


def _as_number(value: Any) -> float | None:
    """Return a real number, which an array or a tensor of one may hold; None for all else."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    kind = getattr(value, "dtype", None)
    alone = kind is not None and getattr(value, "shape", None) == ()
    return float(value) if alone and "complex" not in str(kind) else None


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
