"""The restorations of each inner step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from skmetainv.arrays import channels_last
from skmetainv.display.drawing import (
    COLORS,
    axis_label,
    draw_image,
    grid_of_axes,
    integer_ticks,
    metric_of,
    styles,
    written,
)
from skmetainv.display.samples import Samples, fitted_estimators
from skmetainv.model_selection.scorers import unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# The largest number of stages whose images are drawn.
_N_DRAWN = 8


class TrajectoryDisplay:
    """The restorations before and after each inner step, and their metric.

    Use `from_estimator` to create one. The upper row has one image: the clean image, then the
    stages (at most eight, evenly spaced), in the window of the data range. The plot below has the
    metric of every image over the inner steps, and the mean.

    Parameters
    ----------
    clean : array of shape (n, height, width, channels)
        The ground truth.
    stages : list of array of shape (n, height, width, channels)
        The restorations before the first inner step and after each.
    data_range : (float, float), default=(0.0, 1.0)
        The least and the largest value that images nominally have.
    metric : {"psnr", "ssim", "mse", "lpips"}, default="psnr"
        The metric, see `skmetainv.metrics`.

    Attributes
    ----------
    scores_ : ndarray of shape (n_inner + 1, n)
        The metric of each stage and image.
    ax_ : ndarray of Axes
        The axes of the images, then those of the metric.
    note_ : Text
        The intensity window, written below.
    lines_ : list of Line2D
        The lines of the images, then that of the mean.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import TrajectoryDisplay
    >>> from skmetainv.operators import MissingPixels
    >>> from skmetainv.representations import Siren
    >>> faces = load_faces()
    >>> est = MetaInverseSolver(MissingPixels(), init=Siren(width=16, depth=3), max_epochs=1)
    >>> display = TrajectoryDisplay.from_estimator(est.fit(faces[4:20]), faces[:4])
    >>> display.scores_.shape
    (4, 4)
    """

    def __init__(
        self,
        clean: np.ndarray,
        stages: list[np.ndarray],
        *,
        data_range: tuple[float, float] = (0.0, 1.0),
        metric: str = "psnr",
    ):
        self.clean, self.stages = clean, stages
        self.data_range, self.metric = data_range, metric
        function = metric_of(metric)
        self.scores_ = np.stack(
            [function(clean, x, data_range=data_range, per_image=True) for x in stages]
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        metric: str = "psnr",
        random_state: Any = 0,
        image: int = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Restore images by a fitted `MetaInverseSolver`, and draw all stages.

        Parameters
        ----------
        estimator : MetaInverseSolver
            A fitted estimator, or a search of such.
        X, y, metric, random_state : object
            See `ReconstructionDisplay.from_estimator`.
        image, ax : object
            See `plot`.

        Returns
        -------
        display : TrajectoryDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator has no inner steps, or if the arrays are not its images or
            measurements.
        ImportError
            If matplotlib is not installed.
        """
        if not getattr(unwrapped(estimator), "n_inner", 0):
            raise ValueError(
                f"{cls.__name__} takes one estimator with n_inner of at least 1. Got "
                f"{estimator!r} instead."
            )
        named = fitted_estimators(estimator, f"{cls.__name__}.from_estimator")
        samples = Samples.of(named, X, y, random_state)
        fitted, clean = samples.first, samples.clean()
        layout = fitted._geometry_.image_layout
        stages = [
            channels_last(layout.to_tensor(torch.as_tensor(images)))
            for images in fitted.staged_predict(samples.X)
        ]
        display = cls(clean, stages, data_range=fitted.data_range_, metric=metric)
        return display.plot(image=image, ax=ax)

    def plot(self, *, image: int = 0, ax: Axes | None = None) -> Self:
        """Draw the stages of one image, and the metric of all.

        Parameters
        ----------
        image : int, default=0
            The index of the image that is drawn.
        ax : Axes, default=None
            The axes whose place the plots take. None makes a new figure.

        Returns
        -------
        display : TrajectoryDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `image` is no index, or if `ax` cannot be divided.
        """
        if not 0 <= image < len(self.clean):
            raise ValueError(
                f"The 'image' parameter must be an index of {len(self.clean)} images. Got "
                f"{image!r} instead."
            )
        steps = np.arange(len(self.stages))
        drawn = np.unique(np.linspace(0, steps[-1], _N_DRAWN).round().astype(int))
        height, width = self.clean.shape[1:3]
        low, high = self.data_range
        self.figure_, axes, self.note_ = grid_of_axes(
            ax,
            2,
            len(drawn) + 1,
            aspect=height / width,
            note=f"Intensities from {low:g} to {high:g}.",
        )
        for unused in axes[1]:
            unused.remove()
        plot = self.figure_.add_subplot(axes[1][0].get_gridspec()[1, :])
        self.ax_ = np.array([*axes[0], plot])
        draw_image(axes[0][0], self.clean[image], self.data_range)
        axes[0][0].set_title("clean", fontsize="small")
        for k, each in zip(drawn, axes[0][1:], strict=True):
            draw_image(each, self.stages[k][image], self.data_range)
            each.set_title(f"step {k}" if k else "start", fontsize="small")
            label = written(self.metric, self.scores_[k, image])
            each.set_xlabel(label, fontsize="small", labelpad=3)
        (style,) = styles(1)
        self.lines_ = plot.plot(steps, self.scores_, color="0.7", linewidth=0.8)
        self.lines_[image - 1].set_label("each image")  # of one image, the next line replaces it
        self.lines_[image].set(color=COLORS[1], label="the image above")
        self.lines_ += plot.plot(steps, self.scores_.mean(1), **style, label="mean")
        plot.set(xlabel="inner steps", ylabel=axis_label(self.metric))
        integer_ticks(plot)
        plot.legend(fontsize="small")
        return self
