"""The representations that `MetaInverseSolver` uses and recommends if none is given."""

from __future__ import annotations

from typing import Any

from skmetainv.estimators.linear import LinearReconstructor
from skmetainv.estimators.residuals import has_direct_starts
from skmetainv.meta import Algorithm
from skmetainv.operators import ForwardMap, LinearMap, Operator
from skmetainv.representations import Refiner, Representation, Siren


def default_init(algorithm: Algorithm, A: ForwardMap, operator: Operator) -> Representation:
    """Return the representation for ``init=None``, see `MetaInverseSolver`."""
    residual: Any = LinearReconstructor()
    if not has_direct_starts(A, operator):  # slow for every start
        residual = "adjoint" if isinstance(A, LinearMap) else None
    refines = residual is not None and "refiner" in algorithm.learns
    return _added_to(residual, Refiner() if refines else None)


def recommended_init(operator: Operator | None) -> Representation:
    """Return the representation of `MetaInverseSolver.recommended`."""
    # If masks vary, the uncertainty takes longer than the start itself (20 instead of 6 ms for half
    # of 32 x 32 pixels).
    varies = operator is not None and operator.has_missing
    return _added_to(LinearReconstructor(), Refiner(uncertainty=not varies, lr=4e-3))


def _added_to(residual: Any, refiner: Refiner | None) -> Representation:
    """Return a small SIREN that is added to a start."""
    return Siren(width=64, depth=3, residual=residual, refiner=refiner, adapted="last")
