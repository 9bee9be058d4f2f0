"""What displays share: axes, colours, and the drawing of one image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from skmetainv.arrays.units import check_range
from skmetainv.model_selection.named_metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart, and markers
# and dashes, which survive a print in gray.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # one more, so that no pair repeats soon
_DASHES = ("-", "--", "-.", ":")
#: The colour of missing pixels, which no gray image contains.
MISSING = COLORS[5]
#: The colour map of errors and scores: from dark to light, also in gray.
SEQUENTIAL = "cividis"
#: The size of an image in a figure of the display's own, in inches.
_INCHES = 1.7
# The height of a line of text, relative to that of an image.
_NOTE = 0.12
# The range of magnitudes that complex measurements show.
_LARGEST_OVER_LEAST = 1e6
# Unit and decimals of each metric.
_METRICS = {"psnr": (2, " dB"), "ssim": (3, ""), "mse": (5, ""), "lpips": (3, "")}


def pyplot() -> Any:
    """Return matplotlib.pyplot, or raise an error that says how to install it."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Displays need matplotlib. Install it by: pip install "skmetainv[plot]".'
        ) from error
    return plt


def one_axes(ax: Axes | None) -> Axes:
    """Return the axes to draw in; None makes a new figure."""
    if ax is not None:
        return ax
    _, new = pyplot().subplots(figsize=(5, 3.5), layout="constrained")
    return new  # type: ignore[no-any-return]


def grid_of_axes(
    ax: Axes | None,
    n_rows: int,
    n_columns: int,
    *,
    aspect: float,
    note: str,
    extra_width: float = 0.0,
) -> tuple[Figure, np.ndarray, Text]:
    """Return a figure, a grid of axes, and a line of text below them.

    Parameters
    ----------
    ax : Axes or None
        The axes whose place the grid takes. None makes a new figure.
    n_rows, n_columns : int
        The shape of the grid.
    aspect : float
        Height over width of an image.
    note : str
        The text.
    extra_width : float, default=0.0
        Width of a new figure beside the grid, in inches.
    """
    heights = [1.0] * n_rows + [_NOTE]
    if ax is None:
        size = _INCHES * n_columns + extra_width, (_INCHES * aspect + 0.3) * sum(heights)
        figure = pyplot().figure(figsize=size, layout="constrained")
        cells = figure.add_gridspec(n_rows + 1, n_columns, height_ratios=heights)
    else:
        place = ax.get_subplotspec() if hasattr(ax, "get_subplotspec") else None
        if place is None:
            raise ValueError(
                "The 'ax' parameter must be one of the axes of plt.subplots, whose place can be "
                f"divided. Got {ax!r} instead."
            )
        figure = ax.figure
        ax.set_axis_off()
        # Without a layout engine, nothing else makes room for the texts below images.
        gap = 0.4 if figure.get_layout_engine() is None else None
        cells = place.subgridspec(n_rows + 1, n_columns, height_ratios=heights, hspace=gap)
    last = figure.add_subplot(cells[-1, :])
    last.set_axis_off()
    text = last.text(0.0, 0.0, note, fontsize="small", in_layout=False)
    grid = [[figure.add_subplot(cells[i, j]) for j in range(n_columns)] for i in range(n_rows)]
    return figure, np.array(grid), text


def styles(n: int) -> list[dict[str, Any]]:
    """Return colours, markers and dashes for `n` lines."""
    each = zip(cycle(COLORS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    return [
        {"color": color, "marker": marker, "linestyle": dashes}
        for _, (color, marker, dashes) in zip(range(n), each, strict=False)
    ]


def as_gray(image: np.ndarray) -> np.ndarray:
    """Return an image without channels: the magnitude of two, the mean of more."""
    if image.ndim == 2:
        return image
    if image.shape[-1] == 2:  # real and imaginary parts
        magnitude: np.ndarray = np.hypot(image[..., 0], image[..., 1])
        return magnitude
    mean: np.ndarray = image.mean(-1)
    return mean


def check_window(window: Any) -> tuple[float, float]:
    """Return an intensity window, or raise an error that names the parameter."""
    try:
        return check_range(tuple(window))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The 'window' parameter must be two finite numbers in ascending order. Got "
            f"{window!r} instead."
        ) from error


def metric_of(metric: Any) -> Any:
    """Return the function of a metric by its name."""
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(
            f"The 'metric' parameter must be a str among {[*METRICS]}. Got {metric!r} instead."
        )
    return METRICS[metric]


def integer_ticks(ax: Axes) -> None:
    """Label the horizontal axis at integers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def written(metric: str, value: float) -> str:
    """Return the value of a metric with its name or unit."""
    decimals, unit = _METRICS[metric]
    number = f"{value:.{decimals}f}{unit}"
    return number if unit else f"{metric.upper()} {number}"


def axis_label(metric: str) -> str:
    """Return the label of an axis of a metric."""
    return f"{metric.upper()} (dB)" if metric == "psnr" else metric.upper()


def draw_image(ax: Axes, image: np.ndarray, window: tuple[float, float], **options: Any) -> Any:
    """Draw an image without axes, in an intensity window; missing pixels have their own colour.

    Values outside of the window have the colour of its nearer end.
    """
    low, high = window
    ax.set(xticks=[], yticks=[])
    ax.set_anchor("N")
    ax.spines[:].set_visible(False)
    if image.ndim == 3 and image.shape[-1] == 3:
        from matplotlib.colors import to_rgb

        shown = np.clip((image - low) / (high - low), 0.0, 1.0)
        shown[np.isnan(image).any(-1)] = to_rgb(MISSING)
        return ax.imshow(shown, interpolation="nearest")
    gray = as_gray(image)
    options = {"cmap": "gray"} | options
    drawn = ax.imshow(gray, vmin=low, vmax=high, interpolation="nearest", **options)
    drawn.set_cmap(drawn.get_cmap().with_extremes(bad=MISSING))
    return drawn


def draw_measurements(
    axes: Sequence[Axes],
    measured: np.ndarray,
    images_shape: tuple[int, ...],
    window: tuple[float, float],
) -> None:
    """Draw measurements, all on one scale.

    Those with the shape of images have the window of images. Others have a scale of their own,
    which is written below them.

    Parameters
    ----------
    axes : sequence of Axes
        The axes of each measurement.
    measured : array of shape (n, ...)
        The measurements: images with channels last, complex numbers, or flat samples.
    images_shape : tuple of int
        Height and width of images.
    window : (float, float)
        The intensity window of images.
    """
    is_complex = np.iscomplexobj(measured)
    shown, name = (np.abs(measured), "|y|") if is_complex else (measured, "y")
    if measured.ndim == 2:
        for ax, y in zip(axes, shown, strict=True):
            _draw_samples(ax, y, name)
        return
    if not is_complex and measured.shape[1:3] == images_shape:
        for ax, y in zip(axes, measured, strict=True):
            draw_image(ax, y, window)
        return
    if is_complex:
        if shown.ndim == 4:  # of several coils, the root of the sum of squares
            shown = np.sqrt(np.square(shown).sum(-1))
        largest = np.max(shown, where=np.isfinite(shown), initial=0.0) or 1.0
        shown = np.log10(np.maximum(shown, largest / _LARGEST_OVER_LEAST))
        name = "log10 |y|"
    finite = shown[np.isfinite(shown)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    for ax, y in zip(axes, shown, strict=True):
        draw_image(ax, y, (low, high if high > low else low + 1.0))
        ax.set_xlabel(f"{name}: {low:.3g} to {high:.3g}", fontsize="small", labelpad=3)


def _draw_samples(ax: Axes, y: np.ndarray, name: str) -> None:
    """Draw a measurement without rows and columns, as a line."""
    ax.plot(y, linewidth=0.6, color=COLORS[0])
    ax.set_box_aspect(1)
    ax.set_anchor("N")
    ax.tick_params(labelsize="x-small")
    ax.set_xlabel(f"{name}, {len(y)} samples", fontsize="small", labelpad=1)
