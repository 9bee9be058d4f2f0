"""The number of learned weights of a fitted estimator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skmetainv.operators.maps.hidden_parts import all_modules
from skmetainv.parameters import unfrozen


class Counted:
    """Mixin of estimators with a count of their learned weights.

    If a subclass uses learned weights besides its ``weights_``, it extends `_weight_holders`.
    """

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
        learned = self._weight_holders()
        components = [part for part in learned if isinstance(part, BaseEstimator)]
        weights = [w for part in (*learned, *all_parts(*components)) for w in _weights(part)]
        return sum({id(w): math.prod(w.shape) for w in weights}.values())

    def _weight_holders(self) -> list[Any]:
        """Return the objects that hold the learned weights: dicts, modules, solvers and losses."""
        return [vars(self).get("weights_", {})]


def all_parts(*components: BaseEstimator) -> list[Any]:
    """Return each part of the components once, including parts in a `FrozenEstimator`."""
    parts_by_id: dict[int, Any] = {}
    for component in components:
        for part in component.get_params(deep=True).values():
            estimator = unfrozen(part)
            is_outer = estimator is not part and hasattr(estimator, "get_params")
            inner = all_parts(estimator) if is_outer else []
            parts_by_id |= {id(one): one for one in (part, *inner)}
    return list(parts_by_id.values())


def _weights(part: Any) -> list[Any]:
    if isinstance(part, Mapping):
        return list(part.values())
    if isinstance(part, Counted):
        return list(vars(part).get("weights_", {}).values())
    if isinstance(part, nn.Module):
        return [w for module in all_modules(part) for w in module.parameters(recurse=False)]
    return []
