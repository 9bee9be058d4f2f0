"""The inner step sizes that were learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmetainv.display.drawing import integer_ticks, one_axes, styles
from skmetainv.model_selection.scorers import unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# More shades than these would cover each other.
_N_SHADES = 4


class StepSizeDisplay:
    """The inner step sizes of each weight over the inner steps.

    Use `from_estimator` to create one. Each line is the median of the step sizes of one matrix or
    bias. With up to four lines, shades reach from the tenth to the ninetieth percentile.
    Weights with equal step sizes share a line. A dotted line is the step size before training,
    `inner_lr_`.

    Parameters
    ----------
    step_sizes : dict of str to array of shape (n_inner, ...)
        The step sizes of each weight that is adapted.
    initial : float
        The step size before training.

    Attributes
    ----------
    lines_ : list of Line2D
        One line per weight, or several with equal step sizes, then that of the initial step size.
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import StepSizeDisplay
    >>> from skmetainv.meta import MAML
    >>> from skmetainv.representations import Siren
    >>> est = MetaInverseSolver(
    ...     init=Siren(width=16, depth=3), algorithm=MAML(step_sizes="per_layer"), max_epochs=1
    ... )
    >>> display = StepSizeDisplay.from_estimator(est.fit(load_faces()[:20]))
    >>> len(display.lines_)
    4
    """

    def __init__(self, step_sizes: Mapping[str, np.ndarray], initial: float):
        self.step_sizes, self.initial = dict(step_sizes), initial

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw the step sizes of a fitted `MetaInverseSolver`.

        Parameters
        ----------
        estimator : MetaInverseSolver
            A fitted estimator, or a search of such.
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : StepSizeDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator has no inner steps.
        ImportError
            If matplotlib is not installed.
        """
        fitted = unwrapped(estimator)
        check_is_fitted(estimator)
        check_is_fitted(fitted)
        if not getattr(fitted, "n_inner", 0):
            raise ValueError(
                f"{cls.__name__} takes a MetaInverseSolver with n_inner of at least 1. Got "
                f"{estimator!r} instead."
            )
        return cls(fitted.step_sizes_, fitted.inner_lr_).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw one line per weight.

        Parameters
        ----------
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : StepSizeDisplay
            The display itself.
        """
        self.ax_ = one_axes(ax)
        self.figure_, self.lines_ = self.ax_.figure, []
        shared = self._shared()
        for style, (name, values) in zip(styles(len(shared)), shared.items(), strict=True):
            flat = values.reshape(len(values), -1)
            steps = 1 + np.arange(len(flat))
            low, middle, high = np.percentile(flat, (10, 50, 90), axis=1)
            self.lines_ += self.ax_.plot(steps, middle, **style, label=name)
            if flat.shape[1] > 1 and len(shared) <= _N_SHADES:
                self.ax_.fill_between(steps, low, high, color=style["color"], alpha=0.15, lw=0)
        initial = self.ax_.axhline(self.initial, color="black", linestyle=":", label="initial")
        self.lines_.append(initial)
        self.ax_.set(xlabel="inner step", ylabel="step size")
        integer_ticks(self.ax_)
        self.ax_.legend(fontsize="small")
        return self

    def _shared(self) -> dict[str, np.ndarray]:
        """Return the different step sizes, by the names of the weights that have them."""
        groups: list[tuple[list[str], np.ndarray]] = []
        for name, values in self.step_sizes.items():
            names = next((n for n, other in groups if np.array_equal(other, values)), None)
            if names is None:
                groups.append(([name], values))
            else:
                names.append(name)
        if len(groups) == 1:
            return {"all weights": groups[0][1]}
        return {", ".join(names): values for names, values in groups}
