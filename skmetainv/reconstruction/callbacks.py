"""scikit-learn's callbacks, where the installed version has them (1.9 and later)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing, in this version of scikit-learn."""

    def with_callbacks(method: Any) -> Any:
        """Return the method as it is."""
        return method


class Epochs:
    """Tells the callbacks of an estimator of its training, epoch by epoch.

    Parameters
    ----------
    estimator : BaseEstimator
        Has callbacks, perhaps.
    n_epochs : int
        Most epochs.
    X, y : array-like
        What it learns from.
    attributes : callable
        Gives its fitted attributes as they are.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        n_epochs: int,
        X: Any,
        y: Any,
        attributes: Callable[[], dict[str, Any]],
    ):
        self._told = {"estimator": estimator, "X": X, "y": y}
        self._attributes = attributes
        self._training: Any = None
        self._epoch: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self._training = estimator._init_callback_context(max_subtasks=n_epochs)
            self._training.call_on_fit_task_begin(**self._told)

    def begin(self) -> None:
        """Tell that an epoch begins."""
        if self._training is not None:
            self._epoch = self._training.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._told)

    def end(self) -> bool:
        """Tell that an epoch is over; return whether a callback asks to stop."""
        return self._epoch is not None and self._tell_end(self._epoch)

    def end_training(self) -> None:
        """Tell that training is over."""
        if self._training is not None:
            self._tell_end(self._training)

    def _tell_end(self, context: Any) -> bool:
        return context.call_on_fit_task_end(
            **self._told, reconstruction_attributes=self._attributes
        )
