"""Mean squared error, peak signal-to-noise ratio and structural similarity, also of a region."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from skmetainv.arrays.units import check_range
from skmetainv.losses.structural import RADIUS, SIGMA
from skmetainv.metrics.masks import as_masks, check_not_empty, within
from skmetainv.metrics.pairs import Range, paired, reduced


def mse(
    clean: ArrayLike,
    restored: ArrayLike,
    *,
    data_range: Range | None = None,
    mask: ArrayLike | None = None,
    per_image: bool = False,
) -> float | np.ndarray:
    """Return the mean squared error, ``mean((restored - clean)^2)``, in squared image units.

    With a `mask` ``m``, it is ``sum m (restored - clean)^2 / sum m``.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, see `skmetainv.metrics`.
    data_range : float or (float, float), default=None
        If set, values are used unchanged; the range itself does not matter. If None, arrays of
        uint8 and uint16 are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts, such as the missing pixels: True where a pixel counts. See
        `skmetainv.metrics` for the shapes of a mask.
    per_image : bool, default=False
        Whether to return one value per image, not their mean.

    Returns
    -------
    error : float, or ndarray of shape (n,)
        Lower is better; 0 for equal images.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images; if the arrays are not in the same unit; if
        `data_range` is not positive and finite; or if `mask` does not fit the images or is False
        for all pixels of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import mse
    >>> clean, restored = np.zeros((1, 2, 2)), np.array([[[0.5, 0.0], [0.0, 0.0]]])
    >>> mse(clean, restored)
    0.0625
    >>> mse(clean, restored, mask=restored > 0)
    0.25
    """
    pairs = within(mask, paired(clean, restored, data_range))
    return reduced([mean_squared_error(x, z) for x, z in pairs], per_image)


def psnr(
    clean: ArrayLike,
    restored: ArrayLike,
    *,
    data_range: Range | None = None,
    mask: ArrayLike | None = None,
    per_image: bool = False,
) -> float | np.ndarray:
    """Return the peak signal-to-noise ratio, ``10 log10(data_range^2 / mse)``, in decibels.

    With a `mask`, the mean squared error is that of the region, see `mse`.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, see `skmetainv.metrics`.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high); values are then used unchanged. If None, the
        range is [0, 1], and arrays of uint8 and uint16 are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts, such as the missing pixels: True where a pixel counts. See
        `skmetainv.metrics` for the shapes of a mask.
    per_image : bool, default=False
        Whether to return one value per image, not their mean.

    Returns
    -------
    ratio : float, or ndarray of shape (n,)
        Higher is better; infinite for equal images. The mean is over the ratios in decibels.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images; if the arrays are not in the same unit; if
        `data_range` is not positive and finite; or if `mask` does not fit the images or is False
        for all pixels of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import psnr
    >>> psnr(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.1))
    20.0
    """
    pairs = within(mask, paired(clean, restored, data_range))
    low, high = check_range(data_range)
    with np.errstate(divide="ignore"):
        values = [peak_signal_noise_ratio(x, z, data_range=high - low) for x, z in pairs]
    return reduced(values, per_image)


def ssim(
    clean: ArrayLike,
    restored: ArrayLike,
    *,
    data_range: Range | None = None,
    mask: ArrayLike | None = None,
    per_image: bool = False,
) -> float | np.ndarray:
    """Return the structural similarity of Wang et al. (2004), in [-1, 1].

    The settings are those of the original paper: a Gaussian window of 11 pixels with standard
    deviation 1.5, population covariances, and the mean over colour channels. The mean leaves out a
    border of half a window, which is 5 pixels. If an image has fewer than 11 rows or columns, the
    border is half of the largest odd window that fits. The Gaussian stays the same, and the image
    is mirrored at its edges.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, see `skmetainv.metrics`.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high); values are then used unchanged, except that
        `low` (0 for a width) is subtracted. If None, the range is [0, 1], and arrays of uint8 and
        uint16 are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts: True where a pixel counts. The mean is over the similarities at
        these pixels, without the border. The windows around these pixels also contain pixels that
        do not count. See `skmetainv.metrics` for the shapes of a mask.
    per_image : bool, default=False
        Whether to return one value per image, not their mean.

    Returns
    -------
    similarity : float, or ndarray of shape (n,)
        Higher is better; 1 for equal images.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images; if the arrays are not in the same unit; if
        `data_range` is not positive and finite; or if `mask` does not fit the images or is False
        for all pixels of an image.

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
    pairs = paired(clean, restored, data_range)
    low, high = check_range(data_range)
    values = [
        structural_similarity(
            x - low,
            z - low,
            data_range=high - low,
            channel_axis=-1 if x.ndim == 3 else None,
            win_size=_window(x),
            gaussian_weights=True,
            sigma=SIGMA,
            use_sample_covariance=False,
            full=True,
        )
        for x, z in pairs
    ]
    if mask is None:
        return reduced([mean for mean, _ in values], per_image)
    masks = [_inside(m) for m in as_masks(mask, [x for x, _ in pairs])]
    check_not_empty(masks, "SSIM leaves out the border, and mask is False at every other pixel")
    maps = [_inside(similarities) for _, similarities in values]
    return reduced([s[m].mean(dtype=float) for s, m in zip(maps, masks, strict=True)], per_image)


def _window(image: np.ndarray) -> int:
    """Return the side of the largest odd window that fits, at most 11."""
    shortest: int = min(image.shape[:2])
    return min(2 * RADIUS + 1, shortest - 1 + shortest % 2)


def _inside(image: np.ndarray) -> np.ndarray:
    """Return an image or a mask without the border, which SSIM leaves out."""
    border = (_window(image) - 1) // 2
    rows, columns = (slice(border, n - border) for n in image.shape[:2])
    return image[rows, columns]
