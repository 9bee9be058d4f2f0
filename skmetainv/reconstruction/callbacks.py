"""scikit-learn's callbacks, if the installed version has them (1.9 and later)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

__all__ = ["CallbackNotifier", "CallbackSupportMixin", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An empty mixin, for versions of scikit-learn without callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Return the method unchanged."""
        return method


class CallbackNotifier:
    """Notifies an estimator's callbacks when training, or an epoch, begins and ends.

    Parameters
    ----------
    estimator : BaseEstimator or None
        The estimator, with or without callbacks. If None, there is nothing to notify.
    n_epochs : int
        Maximum number of epochs.
    X, y : array-like
        The training data.
    attributes : callable
        Returns the current fitted attributes.
    """

    def __init__(
        self,
        estimator: BaseEstimator | None,
        *,
        n_epochs: int,
        X: Any,
        y: Any,
        attributes: Callable[[], dict[str, Any]],
    ):
        self._task_arguments = {"estimator": estimator, "X": X, "y": y}
        self._attributes = attributes
        context = getattr(estimator, "_init_callback_context", None)
        self._training: Any = None if context is None else context(max_subtasks=n_epochs)
        self._epoch: Any = None

    def begin_training(self) -> None:
        """Notify callbacks of the start of training."""
        if self._training is not None:
            self._training.call_on_fit_task_begin(**self._task_arguments)

    def begin(self) -> None:
        """Notify callbacks of the start of an epoch."""
        if self._training is not None:
            self._epoch = self._training.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._task_arguments)

    def end(self) -> bool:
        """Notify callbacks of the end of an epoch; return whether one of them asks to stop."""
        return self._epoch is not None and self._end_task(self._epoch)

    def end_training(self) -> None:
        """Notify callbacks of the end of training."""
        if self._training is not None:
            self._end_task(self._training)

    def _end_task(self, context: Any) -> bool:
        return context.call_on_fit_task_end(
            **self._task_arguments, reconstruction_attributes=self._attributes
        )
