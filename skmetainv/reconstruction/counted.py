"""How many learned numbers an estimator predicts with."""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skmetainv.parameters import unfrozen


class Counted:
    """An estimator whose learned numbers are counted."""

    @property
    def n_weights_(self) -> int:
        """How many learned numbers the fitted estimator predicts with; 0 where nothing is learned.

        Those of its ``weights_``, of the learned denoisers and other networks in its solver or
        inner loss, of a model that it is around, and of the estimator that restores its start.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        fitted = vars(self)
        own, model = fitted.get("weights_", {}), fitted.get("model_")
        kept = [own, {} if model is None else dict(model.named_parameters())]
        of_solver = [name for name in own if name.startswith("solver.")]
        has_networks = any(not name.endswith(".logarithm") for name in of_solver)
        # Networks of a solver that were trained with it are among its own weights.
        names = ("inner_loss_",) if has_networks else ("inner_loss_", "solver_")
        components = [part for part in map(fitted.get, names) if part is not None]
        for part in all_parts(*components):
            if isinstance(part, Counted):
                kept.append(getattr(part, "weights_", {}))
            elif isinstance(part, nn.Module):
                kept.append(dict(part.named_parameters()))
        start = unfrozen(getattr(fitted.get("init_"), "residual", None))
        of_start = start.n_weights_ if isinstance(start, Counted) else 0
        return of_start + sum(math.prod(w.shape) for weights in kept for w in weights.values())


def all_parts(*components: BaseEstimator) -> list[Any]:
    """Return the parts of components, those in a `FrozenEstimator` as well, each once."""
    found: dict[int, Any] = {}
    for component in components:
        for part in component.get_params(deep=True).values():
            inner = all_parts(part.estimator) if isinstance(part, FrozenEstimator) else []
            found |= {id(one): one for one in (part, *inner)}
    return list(found.values())
