"""What displays share: axes, colours, and the drawing of one image."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart, and markers
# and dashes, which survive a print in gray.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")
#: The colour of missing pixels, which no gray image contains.
MISSING = "#56B4E9"
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
    """
    heights = [1.0] * n_rows + [_NOTE]
    if ax is None:
        size = _INCHES * n_columns, (_INCHES * aspect + 0.3) * sum(heights)
        figure = pyplot().figure(figsize=size, layout="constrained")
        cells = figure.add_gridspec(n_rows + 1, n_columns, height_ratios=heights)
    else:
        figure, place = ax.figure, ax.get_subplotspec()
        if place is None:
            raise ValueError("The 'ax' parameter must be axes of a grid, as of plt.subplots.")
        ax.set_axis_off()
        cells = place.subgridspec(n_rows + 1, n_columns, height_ratios=heights)
    last = figure.add_subplot(cells[-1, :])
    last.set_axis_off()
    text = last.text(0.0, 0.0, note, fontsize="small", in_layout=False)
    grid = [[figure.add_subplot(cells[i, j]) for j in range(n_columns)] for i in range(n_rows)]
    return figure, np.array(grid), text


def styles(n: int) -> list[dict[str, Any]]:
    """Return colours, markers and dashes for `n` lines."""
    each = zip(cycle(_COLORS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    return [
        {"color": color, "marker": marker, "linestyle": dashes}
        for _, (color, marker, dashes) in zip(range(n), each, strict=False)
    ]


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
    ax.spines[:].set_visible(False)
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        from matplotlib.colors import to_rgb

        shown = np.clip((image[..., :3] - low) / (high - low), 0.0, 1.0)
        shown[np.isnan(image[..., :3]).any(-1)] = to_rgb(MISSING)
        return ax.imshow(shown, interpolation="nearest")
    gray = image if image.ndim == 2 else image.mean(-1)
    options = {"cmap": "gray"} | options
    drawn = ax.imshow(gray, vmin=low, vmax=high, interpolation="nearest", **options)
    drawn.set_cmap(drawn.get_cmap().with_extremes(bad=MISSING))
    return drawn


def draw_measurement(
    ax: Axes, y: np.ndarray, window: tuple[float, float], data_range: tuple[float, float]
) -> None:
    """Draw a measurement: in the window if its values are like images', else in its own scale."""
    if y.ndim == 1:
        _draw_samples(ax, y)
        return
    is_complex = np.iscomplexobj(y)
    shown = _logarithms(y) if is_complex else y
    if not is_complex and _lies_in(y, data_range):
        draw_image(ax, y, window)
        return
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    draw_image(ax, shown, (low, high if high > low else low + 1.0))
    name = "log10 |y|" if is_complex else "y"
    ax.set_xlabel(f"{name}: {low:.3g} to {high:.3g}", fontsize="small", labelpad=3)


def _lies_in(y: np.ndarray, data_range: tuple[float, float]) -> bool:
    """Return whether the values leave the data range by half of its width at most."""
    low, high = data_range
    margin = (high - low) / 2
    return bool(np.nanmin(y) >= low - margin and np.nanmax(y) <= high + margin)


def _logarithms(y: np.ndarray) -> np.ndarray:
    """Return the decimal logarithms of magnitudes, six powers of ten below the largest at least."""
    magnitude = np.abs(y)
    least = np.nanmax(magnitude) / _LARGEST_OVER_LEAST or 1.0
    return np.log10(np.maximum(magnitude, least))  # type: ignore[no-any-return]


def _draw_samples(ax: Axes, y: np.ndarray) -> None:
    """Draw a measurement without rows and columns, as a line."""
    values = np.abs(y) if np.iscomplexobj(y) else y
    ax.plot(values, linewidth=0.6, color=_COLORS[0])
    ax.set_box_aspect(1)
    ax.tick_params(labelsize="x-small")
    ax.set_xlabel(f"{len(y)} samples", fontsize="small", labelpad=1)
