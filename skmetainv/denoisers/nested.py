"""Learned denoisers that are parts of another component, such as a solver."""

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skmetainv.denoisers.learned import LearnedDenoiser
from skmetainv.parameters import fill_in
from skmetainv.reconstruction.counted import all_parts


def fit_denoisers(component: BaseEstimator, X: Any, **parameters: Any) -> None:
    """Fit the learned denoisers among the parts of a component on clean images.

    Denoisers in a `FrozenEstimator` are not changed. Denoisers with `weights` load this file, and
    are not trained.

    Parameters
    ----------
    component : BaseEstimator
        A component, such as a solver. Its parts are changed in place, so pass a copy.
    X : array-like
        Clean images.
    **parameters : dict
        Values for parameters that a denoiser has at their defaults.
    """
    for part in _not_frozen(component):
        fill_in(part, parameters)
        if part.weights is None:
            part.fit(X)
        else:
            part._untrained(X)


def learns_from_images(component: BaseEstimator) -> bool:
    """Return whether `fit_denoisers` fits a part of a component to images."""
    return any(denoiser.weights is None for denoiser in _not_frozen(component))


def has_trained_denoiser(component: BaseEstimator) -> bool:
    """Return whether a denoiser among a component's parts was trained before `fit_denoisers`."""
    learned = [part for part in all_parts(component) if isinstance(part, LearnedDenoiser)]
    to_fit = [denoiser for denoiser in _not_frozen(component) if denoiser.weights is None]
    return len(learned) > len(to_fit)


def fitted_denoisers(component: BaseEstimator) -> list[LearnedDenoiser]:
    """Return the fitted learned denoisers among the parts of a component."""
    parts = all_parts(component)
    return [p for p in parts if isinstance(p, LearnedDenoiser) and hasattr(p, "weights_")]


def _not_frozen(component: BaseEstimator) -> list[LearnedDenoiser]:
    """Return the learned denoisers among a component's parts that are not frozen."""
    parts = list(component.get_params(deep=True).values())
    frozen = {id(part.estimator) for part in parts if isinstance(part, FrozenEstimator)}
    return [p for p in parts if isinstance(p, LearnedDenoiser) and id(p) not in frozen]
