"""Image quality: scikit-image's metrics over batches of images, with the settings stated.

All functions take arrays of shape ``(n, height, width)`` or ``(n, height, width, channels)``, the
clean images first, and give the mean over the images, or one value per image.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)

Range: TypeAlias = float | tuple[float, float]

# The Gaussian window of Wang et al. (2004): 11 pixels wide, sigma 1.5.
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5


def mse(clean: ArrayLike, restored: ArrayLike, *, per_image: bool = False) -> float | np.ndarray:
    """Mean squared error, ``mean((restored - clean)^2)``, in squared image units.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, in the same units.
    per_image : bool, default=False
        Return one value per image, not their mean.

    Returns
    -------
    error : float, or ndarray of shape (n,)
        Lower is better; 0 for equal images.

    Raises
    ------
    ValueError
        If the two shapes differ or are not those of images.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import mse
    >>> mse(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.5))
    0.25
    """
    pairs = _paired(clean, restored)
    return _reduced([mean_squared_error(x, z) for x, z in pairs], per_image)


def psnr(
    clean: ArrayLike, restored: ArrayLike, *, data_range: Range = 1.0, per_image: bool = False
) -> float | np.ndarray:
    """Peak signal-to-noise ratio, ``10 log10(data_range^2 / mse)``, in decibels.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, in the same units.
    data_range : float or (float, float), default=1.0
        The width of the images' range, or its ends: 1 for images in [0, 1], 255 for 8-bit integers.
    per_image : bool, default=False
        Return one value per image, not their mean.

    Returns
    -------
    ratio : float, or ndarray of shape (n,)
        Higher is better; infinite for equal images. The mean is over the images' ratios.

    Raises
    ------
    ValueError
        If the two shapes differ or are not those of images, or if `data_range` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import psnr
    >>> psnr(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.1))
    20.0
    """
    pairs = _paired(clean, restored)
    _, width = _checked_range(data_range)
    with np.errstate(divide="ignore"):
        values = [peak_signal_noise_ratio(x, z, data_range=width) for x, z in pairs]
    return _reduced(values, per_image)


def ssim(
    clean: ArrayLike, restored: ArrayLike, *, data_range: Range = 1.0, per_image: bool = False
) -> float | np.ndarray:
    """Structural similarity of Wang et al. (2004), in [-1, 1].

    The settings are those of the original paper: a Gaussian window of 11 pixels with standard
    deviation 1.5, population covariances, the mean over colour channels. Where an image has
    fewer than 11 rows or columns, the border left out of the mean shrinks to that of the largest
    odd window that fits; the Gaussian stays the same and sees the image mirrored at its border.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, in the same units.
    data_range : float or (float, float), default=1.0
        The width of the images' range, or its ends: 1 for images in [0, 1], 255 for 8-bit integers.
        Values are counted from the lower end, else from 0.
    per_image : bool, default=False
        Return one value per image, not their mean.

    Returns
    -------
    similarity : float, or ndarray of shape (n,)
        Higher is better; 1 for equal images.

    Raises
    ------
    ValueError
        If the two shapes differ or are not those of images, or if `data_range` is not positive.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import ssim
    >>> image = np.random.default_rng(0).random((1, 16, 16))
    >>> ssim(image, image)
    1.0
    """
    pairs = _paired(clean, restored)
    low, width = _checked_range(data_range)
    shortest = min(pairs[0][0].shape[:2])
    window = min(_SSIM_WINDOW, shortest - 1 + shortest % 2)
    values = [
        structural_similarity(
            x - low,
            z - low,
            data_range=width,
            channel_axis=-1 if x.ndim == 3 else None,
            win_size=window,
            gaussian_weights=True,
            sigma=_SSIM_SIGMA,
            use_sample_covariance=False,
        )
        for x, z in pairs
    ]
    return _reduced(values, per_image)


def mean_over_batches(
    metric: Callable[..., Any],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    data_range: tuple[float, float],
) -> float:
    """Return the mean of a metric over the images of all batches.

    Parameters
    ----------
    metric : {mse, psnr, ssim}
        A function of this module.
    batches : iterable of (ndarray, ndarray)
        Clean images and their reconstructions.
    data_range : (float, float)
        The least and the largest value of the images.

    Returns
    -------
    mean : float
        Over the images, however they lie in batches.
    """
    units = {} if metric is mse else {"data_range": data_range}
    return float(
        np.mean(np.concatenate([metric(x, z, per_image=True, **units) for x, z in batches]))
    )


def _paired(clean: ArrayLike, restored: ArrayLike) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the images of two batches side by side, as floats."""
    x, z = (np.asarray(a) for a in (clean, restored))
    if x.shape != z.shape or x.ndim not in (3, 4) or 0 in x.shape:
        raise ValueError(
            "clean and restored must have the same shape, (n, height, width) or "
            f"(n, height, width, channels). Got {x.shape} and {z.shape} instead."
        )
    dtype = np.result_type(x.dtype, z.dtype, np.float32)
    return list(zip(x.astype(dtype), z.astype(dtype), strict=True))


def _checked_range(data_range: Range) -> tuple[float, float]:
    """Return the least value of images, and the width of their range."""
    low, high = data_range if isinstance(data_range, tuple | list) else (0.0, data_range)
    if not high > low:
        raise ValueError(
            "The 'data_range' parameter must be positive, or (low, high) with low < high. "
            f"Got {data_range!r} instead."
        )
    return low, high - low


def _reduced(values: list[float], per_image: bool) -> float | np.ndarray:
    return np.asarray(values) if per_image else float(np.mean(values))
