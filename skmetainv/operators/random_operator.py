"""An operator with random parameters: every image is measured by another instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any

import scipy.stats
from scipy.stats import rv_continuous, rv_discrete
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.instruments import InstrumentPool, instrument_pool
from skmetainv.operators.operator import Operator, require_operator
from skmetainv.parameters import COUNT, Interval


class RandomOperator(Operator):
    """An operator with random parameters, to train one estimator for many instruments.

    `fit` draws a known instrument for each image, and `score` draws from the same instruments.
    `predict` restores measurements of an instrument that you pass, ``predict(X,
    operator=GaussianBlur(1.5))``, or of one instrument per measurement, if you pass a list. These
    need not be among the drawn ones, but their measurements must have the same shape.

    Parameters
    ----------
    operator : Operator
        The operator. Parameters that are not drawn keep its values.
    distributions : dict of str to list or distribution
        What is drawn, by the names that ``operator.set_params`` takes: a list of values, or a
        distribution of `scipy.stats`, as in scikit-learn's `RandomizedSearchCV`.
    n_instruments : int, default=64
        Number of instruments. They are drawn, and their maps built, once for each image shape; each
        image is then measured by one of them. Fewer instruments train faster, because the images of
        one instrument are computed together. If all distributions are lists, their combinations
        limit the number.
    nominal : float, default=0.0
        Probability, in [0, 1), that an image is measured by `operator` itself instead of a drawn
        instrument.
    random_state : int, default=0
        Seed of the instruments.

    Raises
    ------
    ValueError
        By `build`, if `distributions` is empty, names no parameter of the operator or holds no
        distribution, or if the measurements of two instruments differ in shape or in how they mark
        missing samples.

    Examples
    --------
    >>> from scipy.stats import uniform
    >>> from skmetainv import UnrolledReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur, RandomOperator
    >>> faces = load_faces()
    >>> blurs = RandomOperator(GaussianBlur(), {"sigma": uniform(0.5, 2.5)})
    >>> est = UnrolledReconstructor(blurs, noise=0.01, max_epochs=1, random_state=0)
    >>> est = est.fit(faces[:80])
    >>> sharp = GaussianBlur(sigma=0.8)
    >>> est.predict(sharp(faces[80:]), operator=sharp).shape
    (20, 25, 25)
    """

    operator: Operator
    distributions: Mapping[str, Any]
    _: KW_ONLY
    n_instruments: int = 64
    nominal: float = 0.0
    random_state: int = 0

    _parameter_constraints = {
        "operator": [Operator],
        "distributions": [dict],
        "n_instruments": [COUNT],
        "nominal": [Interval(Real, 0, 1, closed="left")],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        drawn = repr(self.distributions)
        if isinstance(self.distributions, dict):
            items = (f"{name!r}: {_text(values)}" for name, values in self.distributions.items())
            drawn = f"{{{', '.join(items)}}}"
        defaults = {"n_instruments": 64, "nominal": 0.0, "random_state": 0}
        others = {name: getattr(self, name) for name in defaults}
        set_ones = [f", {n}={v!r}" for n, v in others.items() if v != defaults[n]]
        return f"RandomOperator({self.operator!r}, {drawn}{''.join(set_ones)})"

    @property
    def has_noise(self) -> bool:
        """Whether the instruments have their own noise."""
        return getattr(self.operator, "has_noise", False)

    def _check_noise(self) -> None:
        """Raise no error, because instruments may have their own noise."""

    def instruments(self) -> list[Operator]:
        """Return the operators that are drawn.

        Returns
        -------
        operators : list of Operator
            Copies of `operator` with drawn parameters. If `nominal` is positive, `operator` itself
            comes first.

        Raises
        ------
        ValueError
            If `distributions` is not valid.
        """
        self._validate_params()
        require_operator(self.operator, "The 'operator' parameter of RandomOperator")
        if not self.distributions:
            raise ValueError("The 'distributions' parameter of RandomOperator must not be empty.")
        try:
            is_finite = all(not hasattr(values, "rvs") for values in self.distributions.values())
            most = len(ParameterGrid(dict(self.distributions))) if is_finite else self.n_instruments
            sampler = ParameterSampler(
                dict(self.distributions),
                min(self.n_instruments, most),
                random_state=self.random_state,
            )
            drawn = [{name: _plain(value) for name, value in p.items()} for p in sampler]
            operators = [clone(self.operator).set_params(**params) for params in drawn]
        except (TypeError, ValueError) as error:
            raise ValueError(
                "The 'distributions' parameter of RandomOperator must map names of parameters of "
                f"{self.operator!r} to lists or to distributions of scipy.stats. Got "
                f"{self.distributions!r} instead: {error}"
            ) from error
        return [clone(self.operator), *operators] if self.nominal else operators

    @property
    def has_missing(self) -> bool:
        """Whether measurements hold NaN where samples are missing."""
        try:
            return self.instruments()[0].has_missing
        except ValueError:  # `build` tells what is wrong
            return False

    def build(self, image_shape: Shape) -> InstrumentPool:
        operators = self.instruments()
        maps = [operator.build(image_shape) for operator in operators]
        for operator, A in zip(operators, maps, strict=True):
            _check_alike(operator, A, operators[0], maps[0])
        return instrument_pool(maps, self.nominal)


def distribution_parts(value: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
    """Return the name and arguments of a distribution of `scipy.stats`; None for other values."""
    distribution: Any = getattr(value, "dist", None)
    if not isinstance(distribution, rv_continuous | rv_discrete):
        return None
    name: str = distribution.name
    if type(distribution) is not type(getattr(scipy.stats, name, None)):
        return None  # a user's distribution
    return name, value.args, value.kwds


def _text(values: Any) -> str:
    """Return a list or a distribution as it is written in code."""
    parts = distribution_parts(values)
    if parts is None:
        return repr(values)
    name, args, kwds = parts
    return f"{name}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in kwds.items())])})"


def _plain(value: Any) -> Any:
    """Return a drawn NumPy scalar as a number of Python."""
    return value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value


def _check_alike(operator: Operator, A: ForwardMap, first: Operator, B: ForwardMap) -> None:
    if operator.has_missing != first.has_missing:
        raise ValueError(
            "Either all instruments of a RandomOperator leave out samples, or none does. Got "
            f"{operator!r} and {first!r}."
        )
    if A.measurement_shape != B.measurement_shape:
        raise ValueError(
            "All instruments of a RandomOperator must have measurements of one shape. Got "
            f"{A.measurement_shape} of {operator!r} and {B.measurement_shape} of {first!r}."
        )
