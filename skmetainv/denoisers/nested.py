"""Learned denoisers that are parts of something else."""

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skmetainv.denoisers.learned import LearnedDenoiser
from skmetainv.reconstruction.counted import all_parts

_OPEN = (None, "auto")


def fit_denoisers(component: BaseEstimator, X: Any, **parameters: Any) -> None:
    """Fit, on clean images, the learned denoisers among the parts of a component.

    Those in a `FrozenEstimator` stay as they are; those with weights of a file take these.

    Parameters
    ----------
    component : BaseEstimator
        A solver, say; its parts are changed, so that it should be a copy.
    X : array-like
        Clean images.
    **parameters : dict
        Parameters to set where a denoiser leaves them open, None or "auto".
    """
    for part in _not_frozen(component):
        own = part.get_params()
        part.set_params(**{name: v for name, v in parameters.items() if own[name] in _OPEN})
        if part.weights is None:
            part.fit(X)
        else:
            part._untrained(X)


def learns_from_images(component: BaseEstimator) -> bool:
    """Whether `fit_denoisers` fits a denoiser among the parts of a component to images."""
    return any(denoiser.weights is None for denoiser in _not_frozen(component))


def has_trained_denoiser(component: BaseEstimator) -> bool:
    """Whether a denoiser among the parts of a component was trained before `fit_denoisers`."""
    learned = [part for part in all_parts(component) if isinstance(part, LearnedDenoiser)]
    to_fit = [denoiser for denoiser in _not_frozen(component) if denoiser.weights is None]
    return len(learned) > len(to_fit)


def fitted_denoisers(component: BaseEstimator) -> list[LearnedDenoiser]:
    """Return the learned denoisers among the parts of a component that are fitted."""
    parts = all_parts(component)
    return [p for p in parts if isinstance(p, LearnedDenoiser) and hasattr(p, "weights_")]


def _not_frozen(component: BaseEstimator) -> list[LearnedDenoiser]:
    """Return the learned denoisers among the parts of a component that are to be fitted."""
    parts = list(component.get_params(deep=True).values())
    frozen = {id(part.estimator) for part in parts if isinstance(part, FrozenEstimator)}
    return [p for p in parts if isinstance(p, LearnedDenoiser) and id(p) not in frozen]
