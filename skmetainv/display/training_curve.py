"""The course of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmetainv.display.drawing import integer_ticks, one_axes, styles
from skmetainv.display.samples import fitted_estimators

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {
    "outer_loss": "training loss",
    "loss": "training loss",
    "inner_loss": "inner loss before the last step",
    "validation_psnr": "validation PSNR (dB)",
    "learning_rate": "learning rate",
}


class TrainingCurveDisplay:
    """Losses or validation scores of one or several estimators over their training.

    Use `from_estimator` to create one.

    Parameters
    ----------
    histories : dict of str to dict
        The `history_` of each estimator.

    Attributes
    ----------
    lines_ : list of Line2D
        One line per estimator that has these values.
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import TrainingCurveDisplay
    >>> est = UNetReconstructor(width=4, depth=1, max_epochs=3).fit(load_faces()[:20])
    >>> display = TrainingCurveDisplay.from_estimator(est)
    >>> display.ax_.get_ylabel()
    'training loss'
    """

    def __init__(self, histories: Mapping[str, Mapping[str, Any]]):
        self.histories = dict(histories)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        y: str | None = None,
        x: str = "epochs",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the histories of fitted estimators.

        Parameters
        ----------
        estimator : estimator, dict of str to estimator, or list of estimators
            Fitted estimators with a `history_`, or searches of such.
        y, x, ax : object
            See `plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If an estimator has no history, or none has these values.
        ImportError
            If matplotlib is not installed.
        """
        taker = f"{cls.__name__}.from_estimator"
        histories = {}
        for name, fitted in fitted_estimators(estimator, taker).items():
            if not hasattr(fitted, "history_"):
                raise ValueError(
                    f"{taker} takes estimators with a history_. Got {name}: {fitted!r} instead."
                )
            histories[name] = fitted.history_
        return cls(histories).plot(y=y, x=x, ax=ax)

    def plot(self, *, y: str | None = None, x: str = "epochs", ax: Axes | None = None) -> Self:
        """Draw one line per estimator.

        Parameters
        ----------
        y : str, default=None
            A key of the histories. None is "validation_psnr" if all histories have it, else the
            loss of training. Of "inner_loss", the value before the last inner step is drawn.
        x : {"epochs", "seconds"}, default="epochs"
            Epochs, or seconds of training.
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : TrainingCurveDisplay
            The display itself.

        Raises
        ------
        ValueError
            If a history has no such values, or if `x` is neither of the two.
        """
        if x not in ("epochs", "seconds"):
            raise ValueError(f"The 'x' parameter must be 'epochs' or 'seconds'. Got {x!r} instead.")
        keys = self._keys(y)
        self.ax_ = one_axes(ax)
        self.figure_, self.lines_ = self.ax_.figure, []
        for style, (name, key) in zip(styles(len(keys)), keys.items(), strict=True):
            history = self.histories[name]
            values = np.array([v[-1] if isinstance(v, list) else v for v in history[key]])
            of_x = np.cumsum(history["seconds"]) if x == "seconds" else 1 + np.arange(len(values))
            every = max(1, len(values) // 10)
            self.lines_ += self.ax_.plot(of_x, values, **style, markevery=every, label=name)
        labels = {_LABELS.get(key, key) for key in keys.values()}
        self.ax_.set(xlabel=x, ylabel=" / ".join(sorted(labels)))
        of_loss = all("loss" in key for key in keys.values())
        positive = all(np.min(line.get_ydata()) > 0 for line in self.lines_)
        self.ax_.set_yscale("log" if of_loss and positive else "linear")
        if x == "epochs":
            integer_ticks(self.ax_)
        if len(keys) > 1:
            self.ax_.legend()
        return self

    def _keys(self, y: str | None) -> dict[str, str]:
        """Return the key of each history that is drawn."""
        if y is None and all(h.get("validation_psnr") for h in self.histories.values()):
            y = "validation_psnr"
        keys = {}
        for name, history in self.histories.items():
            # Without inner steps, the lists of inner losses are empty.
            known = [k for k, v in history.items() if k != "seconds" and v and v[0] != []]
            options = [k for k in known if (k in ("outer_loss", "loss") if y is None else k == y)]
            if not options:
                raise ValueError(
                    f"The 'y' parameter must be a key of the history of {name}, among {known}. Got "
                    f"{y!r} instead."
                )
            keys[name] = options[0]
        return keys
