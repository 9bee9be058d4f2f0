"""Quality of estimators against time or size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmetainv.display.drawing import axis_label, one_axes, styles
from skmetainv.model_selection.named_metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {
    "fit_seconds": "seconds of training",
    "predict_ms": "milliseconds per image",
    "n_weights": "number of weights",
}


class ComparisonDisplay:
    """A metric of estimators against their time or size, from the table of `compare`.

    Use `from_table` to create one. Bars are two standard errors to either side. They belong to
    the means; the differences between estimators on the same images have smaller errors, see
    `skmetainv.model_selection.compare`.

    Parameters
    ----------
    table : DataFrame or dict of str to list
        The result of `compare`.

    Attributes
    ----------
    containers_ : list of ErrorbarContainer
        One point with its bars per estimator.
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from skmetainv import ClassicalReconstructor, LinearReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import ComparisonDisplay
    >>> from skmetainv.model_selection import compare
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import PrimalDual
    >>> blur = GaussianBlur()
    >>> estimators = [LinearReconstructor(blur), ClassicalReconstructor(blur, PrimalDual())]
    >>> display = ComparisonDisplay.from_table(compare(estimators, load_faces()[:10], cv=2))
    >>> display.ax_.get_ylabel()
    'PSNR (dB)'
    """

    def __init__(self, table: Any):
        self.table = table

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        metric: str = "psnr",
        x: str = "predict_ms",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the table of `skmetainv.model_selection.compare`.

        Parameters
        ----------
        table : DataFrame or dict of str to list
            The table, with one row per estimator.
        metric, x, ax : object
            See `plot`.

        Returns
        -------
        display : ComparisonDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the table has no such columns.
        ImportError
            If matplotlib is not installed.
        """
        return cls(table).plot(metric=metric, x=x, ax=ax)

    def plot(self, *, metric: str = "psnr", x: str = "predict_ms", ax: Axes | None = None) -> Self:
        """Draw one point per estimator.

        Parameters
        ----------
        metric : {"psnr", "ssim", "mse", "lpips"}, default="psnr"
            The metric of the vertical axis.
        x : {"fit_seconds", "predict_ms", "n_weights"}, default="predict_ms"
            The horizontal axis, which is logarithmic; if it begins at 0, it is linear up to 1.
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : ComparisonDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the table has no such columns.
        """
        columns = [c for c in self.table if not str(c).endswith("_se")]
        needed = [metric, f"{metric}_se", x]
        if metric not in METRICS or x not in _LABELS or any(c not in self.table for c in needed):
            raise ValueError(
                f"The 'metric' and 'x' parameters must be columns of the table of compare: a "
                f"metric, and one of {[*_LABELS]}. Got {metric!r} and {x!r}; the table has "
                f"{columns}, and must have {metric}_se."
            )
        names = self.table["name"] if "name" in columns else self.table.index
        values, errors, of_x = (
            np.asarray(self.table[c], dtype=float) for c in (metric, f"{metric}_se", x)
        )
        self.ax_ = one_axes(ax)
        self.figure_, self.containers_ = self.ax_.figure, []
        points = zip(names, of_x, values, errors, styles(len(values)), strict=True)
        for name, at, value, error, style in points:
            label = name if np.isfinite(value) else f"{name} ({value:g}, not drawn)"
            drawn = self.ax_.errorbar(
                at, value, 2 * error, **{**style, "linestyle": "none"}, capsize=3, label=label
            )
            self.containers_.append(drawn)
        # Time is positive, but an estimator may have no weights.
        if of_x.min() > 0:
            self.ax_.set_xscale("log")
        else:
            self.ax_.set_xscale("symlog", linthresh=1.0)
        self.ax_.set(xlabel=_LABELS[x], ylabel=axis_label(metric))
        self.ax_.legend(fontsize="small")
        return self
