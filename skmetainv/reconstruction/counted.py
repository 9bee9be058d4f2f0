"""The number of learned weights of a fitted estimator."""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skmetainv.arrays.weights import SOLVER, of_part
from skmetainv.operators.maps.hidden_parts import all_modules
from skmetainv.parameters import unfrozen


class Counted:
    """Mixin of estimators with a count of their learned weights."""

    @property
    def n_weights_(self) -> int:
        """Number of learned weights that prediction uses; 0 if nothing is learned.

        It counts ``weights_``, the learned denoisers and other networks in the solver and the inner
        loss, a wrapped model, and the estimator that restores the start.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        fitted = vars(self)
        weights, model = fitted.get("weights_", {}), fitted.get("model_")
        kept = [weights, {} if model is None else _all_parameters(model)]
        of_solver = of_part(weights, SOLVER)
        has_networks = any(not name.endswith(".logarithm") for name in of_solver)
        # Networks of a solver that was trained here are part of weights_.
        names = ("inner_loss_",) if has_networks else ("inner_loss_", "solver_")
        components = [part for part in map(fitted.get, names) if part is not None]
        for part in all_parts(*components):
            if isinstance(part, Counted):
                kept.append(getattr(part, "weights_", {}))
            elif isinstance(part, nn.Module):
                kept.append(_all_parameters(part))
        start = unfrozen(getattr(fitted.get("init_"), "residual", None))
        of_start = start.n_weights_ if isinstance(start, Counted) else 0
        return of_start + sum(math.prod(w.shape) for weights in kept for w in weights.values())


def all_parts(*components: BaseEstimator) -> list[Any]:
    """Return all parts of components once, including those in a `FrozenEstimator`."""
    parts_by_id: dict[int, Any] = {}
    for component in components:
        for part in component.get_params(deep=True).values():
            estimator = unfrozen(part)
            inner = [] if estimator is part else all_parts(estimator)
            parts_by_id |= {id(one): one for one in (part, *inner)}
    return list(parts_by_id.values())


def _all_parameters(module: nn.Module) -> dict[int, nn.Parameter]:
    """Return the parameters of a module and of its parts, by identity."""
    return {id(w): w for part in all_modules(module) for w in part.parameters(recurse=False)}
