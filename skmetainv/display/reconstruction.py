"""Clean images, measurements and restorations side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmetainv.arrays.units import check_range
from skmetainv.display.drawing import (
    SEQUENTIAL,
    check_window,
    draw_image,
    draw_measurements,
    grid_of_axes,
    metric_of,
    written,
)
from skmetainv.display.samples import Samples, fitted_estimators, measurements_of_user
from skmetainv.metrics.pairs import paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReconstructionDisplay:
    """Clean images, their measurements and their restorations, with errors and a metric.

    Use `from_estimator` or `from_predictions` to create one. Each row is an image; the columns are
    the clean image, the measurement and the methods. All images share one intensity window, which
    is written below them: it is the data range unless another is given, and never depends on the
    values. Values outside of it have the colour of its nearer end. Missing pixels (NaN) are blue.

    Measurements with the height and width of the images share their window. Other measurements
    share one scale, written below them. Complex measurements (k-space) show ``log10 |y|``, down to
    a millionth of the largest value; several coils are combined by the root of the sum of squares.
    Sinograms show their values. Measurements with one axis are lines.

    Parameters
    ----------
    clean : array of shape (n, height, width) or (n, height, width, channels)
        The ground truth. Three channels are drawn in colour. Two are real and imaginary parts,
        whose magnitude is drawn. Other numbers of channels are averaged.
    restored : dict of str to array of the shape of `clean`
        The restorations by each method.
    measured : array of shape (n, ...), default=None
        The measurements. They are not drawn if None.
    data_range : (float, float), default=(0.0, 1.0)
        The least and the largest value that images nominally have.
    metric : {"psnr", "ssim", "mse", "lpips"} or None, default="psnr"
        The metric below each restoration, see `skmetainv.metrics`.

    Attributes
    ----------
    scores_ : dict of str to ndarray of shape (n,)
        The metric of each restoration, by method; empty without a metric.
    ax_ : ndarray of Axes
        The axes of the images: one row per image (two with errors), one column per method.
    note_ : Text
        The intensity window, written below the images.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from skmetainv import LinearReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import ReconstructionDisplay
    >>> from skmetainv.operators import Inpainting
    >>> faces = load_faces()
    >>> est = LinearReconstructor(Inpainting()).fit(faces[3:])
    >>> display = ReconstructionDisplay.from_estimator(est, faces[:3], errors=True)
    >>> display.ax_.shape
    (6, 3)
    """

    def __init__(
        self,
        clean: np.ndarray,
        restored: Mapping[str, np.ndarray],
        measured: np.ndarray | None = None,
        *,
        data_range: tuple[float, float] = (0.0, 1.0),
        metric: str | None = "psnr",
    ):
        self.clean, self.restored, self.measured = clean, dict(restored), measured
        self.data_range, self.metric = data_range, metric
        self.scores_: dict[str, np.ndarray] = {}
        if metric is not None:
            function = metric_of(metric)
            self.scores_ = {
                name: function(clean, images, data_range=data_range, per_image=True)
                for name, images in self.restored.items()
            }

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        metric: str | None = "psnr",
        random_state: Any = 0,
        errors: bool = False,
        window: tuple[float, float] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Restore images by one or several fitted estimators, and draw them.

        Parameters
        ----------
        estimator : estimator, dict of str to estimator, or list of estimators
            Fitted estimators that restore images, or searches of such, with one `data_range`. All
            restore the same measurements. Without names, they are named by their classes.
        X : array-like
            Some clean images, whose measurements the first estimator simulates. With `y`:
            measurements.
        y : array-like, default=None
            The clean images of the measurements `X`.
        metric : {"psnr", "ssim", "mse", "lpips"} or None, default="psnr"
            The metric below each restoration.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        errors, window, ax : object
            See `plot`.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If the arrays are not images or measurements of the estimators.
        ImportError
            If matplotlib is not installed.
        """
        fitted = fitted_estimators(estimator, f"{cls.__name__}.from_estimator")
        samples = Samples.of(fitted, X, y, random_state)
        display = cls(
            samples.clean(),
            samples.restored(),
            samples.measured(),
            data_range=samples.first.data_range_,
            metric=metric,
        )
        return display.plot(errors=errors, window=window, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        clean: Any,
        restored: Any,
        *,
        measured: Any = None,
        data_range: float | tuple[float, float] | None = None,
        metric: str | None = "psnr",
        errors: bool = False,
        window: tuple[float, float] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw images that were restored by any means.

        Parameters
        ----------
        clean : array-like of shape (n, height, width) or (n, height, width, channels)
            The ground truth.
        restored : array-like, or dict of str to array-like, of the shape of `clean`
            The restorations, by method.
        measured : array-like of shape (n, ...), default=None
            The measurements. Complex measurements are complex arrays.
        data_range : float or (float, float), default=None
            See `skmetainv.metrics.psnr`.
        metric : {"psnr", "ssim", "mse", "lpips"} or None, default="psnr"
            The metric below each restoration.
        errors, window, ax : object
            See `plot`.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the shapes or the units of the arrays do not agree.
        ImportError
            If matplotlib is not installed.
        """
        named = dict(restored) if isinstance(restored, Mapping) else {"restored": restored}
        if not named:
            raise ValueError("The 'restored' parameter must have at least one method. Got {}.")
        pairs = {name: paired(clean, images, data_range) for name, images in named.items()}
        if len({one.shape for one, _ in next(iter(pairs.values()))}) > 1:
            raise ValueError("The 'clean' parameter must hold images of one size.")
        x = np.stack([one for one, _ in next(iter(pairs.values()))])
        display = cls(
            x,
            {name: np.stack([z for _, z in of_method]) for name, of_method in pairs.items()},
            None if measured is None else measurements_of_user(measured, len(x)),
            data_range=check_range(data_range),
            metric=metric,
        )
        return display.plot(errors=errors, window=window, ax=ax)

    def plot(
        self,
        *,
        errors: bool = False,
        window: tuple[float, float] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the images.

        Parameters
        ----------
        errors : bool, default=False
            Whether to draw the absolute error of each restoration below it, averaged over channels,
            on one scale for all.
        window : (float, float), default=None
            The values drawn as black and as white. None is the data range.
        ax : Axes, default=None
            The axes whose place the images take. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `window` is not a pair of ascending numbers, or if `ax` cannot be divided.
        """
        window = self.data_range if window is None else check_window(window)
        given = 1 if self.measured is None else 2
        rows = 2 if errors else 1
        height, width = self.clean.shape[1:3]
        self.figure_, self.ax_, self.note_ = grid_of_axes(
            ax,
            rows * len(self.clean),
            given + len(self.restored),
            aspect=height / width,
            note=self._note(*window),
            extra_width=0.8 if errors else 0.0,
        )
        for i, axes in enumerate(self.ax_[::rows]):
            draw_image(axes[0], self.clean[i], window)
            for ax_, (name, images) in zip(axes[given:], self.restored.items(), strict=True):
                draw_image(ax_, images[i], window)
                if self.metric is not None:
                    label = written(self.metric, self.scores_[name][i])
                    ax_.set_xlabel(label, fontsize="small", labelpad=3)
        if self.measured is not None:
            draw_measurements(list(self.ax_[::rows, 1]), self.measured, (height, width), window)
        titles = [*["clean", "measured"][:given], *self.restored]
        for ax_, title in zip(self.ax_[0], titles, strict=True):
            ax_.set_title(title, fontsize="small")
        if errors:
            self._draw_errors(given)
        return self

    def _draw_errors(self, given: int) -> None:
        maps = {name: np.abs(images - self.clean) for name, images in self.restored.items()}
        if self.clean.ndim == 4:
            maps = {name: of_method.mean(-1) for name, of_method in maps.items()}
        largest = max(float(np.nanmax(of_method)) for of_method in maps.values())
        for i, axes in enumerate(self.ax_[1::2]):
            for unused in axes[:given]:
                unused.set_axis_off()
            for ax, of_method in zip(axes[given:], maps.values(), strict=True):
                drawn = draw_image(ax, of_method[i], (0.0, largest or 1.0), cmap=SEQUENTIAL)
        everything = list(self.ax_.flat)  # so that all columns stay aligned
        self.figure_.colorbar(drawn, ax=everything, label="absolute error", shrink=0.6)

    def _note(self, low: float, high: float) -> str:
        note = f"Intensities from {low:g} to {high:g}."
        drawn = [self.clean, *self.restored.values()]
        drawn += [] if self.measured is None else [self.measured]
        if any(np.isnan(values).any() for values in drawn):
            note += " Missing values are blue."
        return note
