"""An operator with random parameters: every image is measured by another instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any

from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.instruments import InstrumentPool, instrument_pool
from skmetainv.operators.operator import Operator, require_operator
from skmetainv.parameters import COUNT, Interval


class RandomOperator(Operator):
    """An operator with random parameters, to train one estimator for many instruments.

    `fit` and `score` draw an instrument for each image, and know it. `predict` restores
    measurements of one instrument, which is named: ``predict(X, operator=GaussianBlur(1.5))``. Any
    operator with measurements of the same shape can be named, also one that was not drawn.

    Parameters
    ----------
    operator : Operator
        The operator. Parameters that are not drawn keep its values.
    distributions : dict of str to list or distribution
        What is drawn, by the names that ``operator.set_params`` takes: a list of values, or a
        distribution of `scipy.stats`, as in scikit-learn's `RandomizedSearchCV`.
    n_instruments : int, default=64
        Number of instruments. They are drawn, and their maps built, once for each image shape; each
        image is then measured by one of them. If all distributions are lists, there are at most as
        many as combinations.
    random_state : int, default=0
        Seed of the instruments.

    Raises
    ------
    ValueError
        By `build`, if `distributions` is empty, names no parameter of the operator or holds no
        distribution, or if the measurements of two instruments differ in shape.

    Examples
    --------
    >>> from scipy.stats import uniform
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur, RandomOperator
    >>> faces = load_faces()
    >>> blurs = RandomOperator(GaussianBlur(), {"sigma": uniform(0.5, 2.5)})
    >>> est = UNetReconstructor(blurs, width=4, max_epochs=1, random_state=0).fit(faces[:80])
    >>> sharp = GaussianBlur(sigma=0.8)
    >>> est.predict(sharp(faces[80:]), operator=sharp).shape
    (20, 25, 25)
    """

    operator: Operator
    distributions: Mapping[str, Any]
    _: KW_ONLY
    n_instruments: int = 64
    random_state: int = 0

    _parameter_constraints = {
        "operator": [Operator],
        "distributions": [dict],
        "n_instruments": [COUNT],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def instruments(self) -> list[Operator]:
        """Return the operators that are drawn.

        Returns
        -------
        operators : list of Operator
            Copies of `operator` with drawn parameters.

        Raises
        ------
        ValueError
            If `distributions` is not valid.
        """
        require_operator(self.operator, "The 'operator' parameter of RandomOperator")
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
        if not self.distributions:
            raise ValueError("The 'distributions' parameter of RandomOperator must not be empty.")
        return operators

    def build(self, image_shape: Shape) -> InstrumentPool:
        operators = self.instruments()
        maps = [operator.build(image_shape) for operator in operators]
        for operator, A in zip(operators, maps, strict=True):
            _check_shape(operator, A, operators[0], maps[0])
        return instrument_pool(maps)


def _plain(value: Any) -> Any:
    """Return a drawn NumPy scalar as a number of Python."""
    return value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value


def _check_shape(operator: Operator, A: ForwardMap, first: Operator, B: ForwardMap) -> None:
    if A.measurement_shape != B.measurement_shape:
        raise ValueError(
            "All instruments of a RandomOperator must have measurements of one shape. Got "
            f"{A.measurement_shape} of {operator!r} and {B.measurement_shape} of {first!r}."
        )
