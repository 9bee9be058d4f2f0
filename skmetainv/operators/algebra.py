"""The algebra of operators: compositions, multiples, sums and stacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any

from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.composed import composed
from skmetainv.operators.maps.scaled import scaled
from skmetainv.operators.maps.sums import added, stacked
from skmetainv.operators.operator import Operator, require_operator
from skmetainv.parameters import FINITE

# Places where an operator with missing samples is not allowed, in the words of the errors.
BEFORE_AN_OPERATOR, IN_A_SUM = "before another operator", "in a sum"


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

    def build(self, image_shape: Shape) -> ForwardMap:
        refuse_missing(BEFORE_AN_OPERATOR, self.inner)
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

    def build(self, image_shape: Shape) -> ForwardMap:
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

    def build(self, image_shape: Shape) -> ForwardMap:
        A = self.operator.build(image_shape)
        return scaled(A, 1 / math.sqrt(A.squared_norm))


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
        refuse_missing(IN_A_SUM, self.first, self.second)
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
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the operators, by index, and their parameters: ``"0__sigma"``.

        Returns
        -------
        params : dict of str to object
            The values.
        """
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for place, operator in enumerate(self._entries()):
                params[str(place)] = operator
                nested = operator.get_params() if isinstance(operator, Operator) else {}
                params |= {f"{place}__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Stack:
        """Set parameters.

        Parameters
        ----------
        **params : object
            Values by name; ``"0"`` is the first operator, ``"0__sigma"`` one of its parameters.

        Returns
        -------
        self : Stack
            The operator.
        """
        if "operators" in params:
            self.operators = params.pop("operators")
        for place in range(len(self._entries())):
            if str(place) in params:
                operators = list(self.operators)
                operators[place] = params.pop(str(place))
                self.operators = operators
        super().set_params(**params)
        return self

    @property
    def has_missing(self) -> bool:
        """Whether the measurements of at least one operator hold NaN."""
        return any(getattr(operator, "has_missing", False) for operator in self._entries())

    def _entries(self) -> Sequence[Any]:
        """Return the operators; none if `operators` is no list or tuple, which `build` rejects."""
        return self.operators if isinstance(self.operators, list | tuple) else ()

    def build(self, image_shape: Shape) -> ForwardMap:
        if not self._entries():
            raise ValueError(
                "The 'operators' parameter of Stack must be a list of at least one Operator. "
                f"Got {self.operators!r} instead."
            )
        for operator in self.operators:
            require_operator(operator, "Each entry of the 'operators' parameter of Stack")
        return stacked([operator.build(image_shape) for operator in self.operators])


def refuse_missing(where: str, *operators: Operator) -> None:
    """Raise an error if an operator has missing samples; the message names its place, `where`."""
    for operator in operators:
        if operator.has_missing:
            raise ValueError(
                f"{operator!r} cannot stand {where}: missing samples come last, as in "
                "MissingPixels(...) @ operator."
            )


def _in_brackets(operator: Any, *classes: type) -> str:
    return f"({operator!r})" if isinstance(operator, classes) else repr(operator)
