"""The representation that `MetaInverseSolver` uses if none is given."""

from __future__ import annotations

from typing import Any

from skmetainv.estimators.linear import LinearReconstructor
from skmetainv.estimators.linear_estimates import smallest_space
from skmetainv.meta import Algorithm
from skmetainv.operators import ForwardMap, LinearMap, Operator
from skmetainv.representations import Refiner, Representation, Siren


def default_init(algorithm: Algorithm, A: ForwardMap, operator: Operator) -> Representation:
    """Return the representation for ``init=None``, see `MetaInverseSolver`."""
    residual: Any = LinearReconstructor()
    if smallest_space(A, operator.has_missing) == "iterative":  # every start would take seconds
        residual = "adjoint" if isinstance(A, LinearMap) else None
    refines = residual is not None and "refiner" in algorithm.learns
    refiner = Refiner() if refines else None
    return Siren(width=64, depth=3, residual=residual, refiner=refiner, adapted="last")
