"""Image quality: scikit-image's metrics and LPIPS for batches of images, with fixed settings.

All metrics take the ground truth first. They return the mean over the images, or one value per
image. Both arrays have shape ``(n, height, width)``, ``(n, height, width, channels)`` or
``(n, channels, height, width)``. One image of shape ``(height, width, channels)``, with 1 to 4
channels and at least 8 rows and columns, may lack the first axis. Tensors, and lists of images of
different sizes, are accepted, too.

If `data_range` is None, integers may be compared with floats. Integers of images (uint8, uint16)
are divided by their type's maximum, so that 8-bit images can be compared with the results of
`predict`. Other integer types are divided by 255 if their values lie in 0..255 and exceed 1. A
`DataConversionWarning` is issued if the unit of integers is uncertain, if values of `clean` are far
outside [0, 1] or all close to 0, or if the unit of `restored` may differ from that of `clean`.

`mse`, `psnr` and `ssim` take a `mask` and then measure only a region, such as the missing pixels,
``mask=np.isnan(measured)``, a face or a field of view. A mask is boolean, True where a pixel
counts. It has the shape of all images or of one image, with or without channels:
``(height, width)``, ``(height, width, channels)``, ``(n, height, width)`` or
``(n, height, width, channels)``, or ``(n, channels, height, width)`` if the images have this
layout. For images of different sizes, pass a list of masks, one per image. In `mse` and `psnr`,
pixels that do not count may be NaN. LPIPS takes no mask, as the features of its network depend on a
large neighbourhood of a pixel.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from skimage.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)
from sklearn.exceptions import DataConversionWarning

from skmetainv.arrays import as_array, has_mask, image_layout, integer_unit, is_one_image
from skmetainv.arrays.units import tells_its_range, warn_of_range, warn_of_type
from skmetainv.exceptions import warn
from skmetainv.losses import LPIPS, Criterion
from skmetainv.losses.structural import RADIUS, SIGMA
from skmetainv.parameters import described

Range: TypeAlias = float | tuple[float, float]

# Factors between images of 8 or 16 bits and floats. Two arrays are in different units if the ratio
# of their norms is about such a factor and their cosine similarity is above _ALIKE.
_UNITS, _ALIKE = (255, 65535), 0.8

# Number of images whose features are computed at once.
_LPIPS_BATCH = 16


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
        The ground truth and its reconstruction, see the module's docstring.
    data_range : float or (float, float), default=None
        If given, values are used unchanged, whatever the range. If None, integers of images (uint8,
        uint16) are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts, such as the missing pixels: True where a pixel counts. See the
        module's docstring for its shapes.
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
        `data_range` is not positive; or if `mask` does not fit the images or is False for all
        pixels of an image.

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
    pairs = _within(mask, _paired(clean, restored, data_range))
    return _reduced([mean_squared_error(x, z) for x, z in pairs], per_image)


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
        The ground truth and its reconstruction, see the module's docstring.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high); values are then used unchanged. If None, the
        range is [0, 1], and integers of images (uint8, uint16) are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts, such as the missing pixels: True where a pixel counts. See the
        module's docstring for its shapes.
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
        `data_range` is not positive; or if `mask` does not fit the images or is False for all
        pixels of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.metrics import psnr
    >>> psnr(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.1))
    20.0
    """
    pairs = _within(mask, _paired(clean, restored, data_range))
    _, width = _checked_range(data_range)
    with np.errstate(divide="ignore"):
        values = [peak_signal_noise_ratio(x, z, data_range=width) for x, z in pairs]
    return _reduced(values, per_image)


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
    border of half a window. If an image has fewer than 11 rows or columns, the border is that of
    the largest odd window that fits; the Gaussian stays the same, and the image is mirrored at its
    edges.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, see the module's docstring.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high); values are then used unchanged, except that
        `low` (0 for a width) is subtracted. If None, the range is [0, 1], and integers of images
        (uint8, uint16) are divided by their type's maximum.
    mask : array-like of bool, default=None
        The region that counts: True where a pixel counts. The mean is over the similarity map at
        these pixels, without the border. The windows around them also contain pixels that do not
        count. See the module's docstring for its shapes.
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
        `data_range` is not positive; or if `mask` does not fit the images or is False for all
        pixels of an image.

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
    pairs = _paired(clean, restored, data_range)
    low, width = _checked_range(data_range)
    values = [
        structural_similarity(
            x - low,
            z - low,
            data_range=width,
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
        return _reduced([mean for mean, _ in values], per_image)
    masks = _inside(_masks(mask, [x for x, _ in pairs]))
    maps = [similarities for _, similarities in values]
    return _reduced([s[m].mean(dtype=float) for s, m in zip(maps, masks, strict=True)], per_image)


def lpips(
    clean: ArrayLike,
    restored: ArrayLike,
    *,
    net: str = "alex",
    weights: str | os.PathLike[str] | None = None,
    upsample: bool = False,
    data_range: Range | None = None,
    per_image: bool = False,
) -> float | np.ndarray:
    """Return the learned perceptual image patch similarity (LPIPS) of Zhang et al. (2018).

    This is a distance, at least 0: ``sum_l mean_hw w_l' (f_l(restored) - f_l(clean))^2`` over the
    layers `l` of a network, whose features `f_l` are normalised to unit length at each pixel. See
    `skmetainv.losses.LPIPS`.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, with 1 or 3 channels, see the module's docstring.
        Gray images count as three equal channels.
    net : {"alex", "vgg", "squeeze"}, default="alex"
        The network: AlexNet, VGG-16 or SqueezeNet 1.1, trained on ImageNet. Values of different
        networks cannot be compared.
    weights : path-like, default=None
        A file with the network's weights. If None, torchvision's file in the folder
        ``torch.hub.get_dir()``, which is downloaded if it is not there.
    upsample : bool, default=False
        Whether to enlarge images that are too small for the network. They are interpolated
        bilinearly so that their shorter side is just large enough. Their values cannot be compared
        with those of larger images.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high); values are then used unchanged, except that
        `low` (0 for a width) is subtracted. If None, the range is [0, 1], and integers of images
        (uint8, uint16) are divided by their type's maximum.
    per_image : bool, default=False
        Whether to return one value per image, not their mean.

    Returns
    -------
    distance : float, or ndarray of shape (n,)
        Lower is better; 0 for equal images.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images with 1 or 3 channels; if `upsample` is False
        and a side of the images is smaller than 31 pixels ("alex"), 16 ("vgg") or 17 ("squeeze");
        if the arrays are not in the same unit; if `data_range` is not positive; or if the file
        holds no weights of the network.
    OSError
        If there is no file of weights and it cannot be downloaded.

    Notes
    -----
    The distance is computed in float32 on the CPU. The four networks used last are cached, so that
    a file is not read in every call.

    References
    ----------
    Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR, 2018.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.metrics import lpips
    >>> faces = load_faces()
    >>> lpips(faces, faces, upsample=True)  # doctest: +SKIP
    0.0
    """
    pairs = _paired(clean, restored, data_range)
    low, width = _checked_range(data_range)
    LPIPS(net, weights=weights, upsample=upsample)._validate_params()
    criterion = _lpips_of_unit_images(
        net, None if weights is None else os.path.abspath(weights), upsample
    )
    values: list[float] = []
    n = _LPIPS_BATCH if len({x.shape for x, _ in pairs}) == 1 else 1
    for start in range(0, len(pairs), n):
        xs, zs = zip(*pairs[start : start + n], strict=True)
        with torch.no_grad():
            distances = criterion(_unit_tensor(zs, low, width), _unit_tensor(xs, low, width))
        values += distances.tolist()
    return _reduced(values, per_image)


def _window(image: np.ndarray) -> int:
    """Return the side of the largest odd window that fits, at most 11."""
    shortest: int = min(image.shape[:2])
    return min(2 * RADIUS + 1, shortest - 1 + shortest % 2)


def over_batches(
    metrics: Mapping[str, Callable[..., Any]],
    batches: Iterable[tuple[np.ndarray, ...]],
    data_range: tuple[float, float],
) -> dict[str, np.ndarray]:
    """Return the values of several metrics for each image, in one pass over the batches.

    Parameters
    ----------
    metrics : mapping of str to {mse, psnr, ssim, lpips}
        Functions of this module, under any names.
    batches : iterable of (ndarray, ndarray) or (ndarray, ndarray, ndarray)
        Batches of clean images, their reconstructions and, optionally, the masks of pixels that
        count.
    data_range : (float, float)
        The smallest and the largest nominal value of the images.

    Returns
    -------
    values : dict of str to ndarray of shape (n,)
        The values under the same names, for the images of all batches in their order.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for x, z, *masks in batches:
        region = {"mask": masks[0]} if masks else {}
        for name, metric in metrics.items():
            values[name].append(metric(x, z, per_image=True, data_range=data_range, **region))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def mean_over_batches(
    metric: Callable[..., Any],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    data_range: tuple[float, float],
) -> float:
    """Return the mean of one metric over the images of all batches, see `over_batches`."""
    (values,) = over_batches({"metric": metric}, batches, data_range).values()
    return float(np.mean(values))


def known_pixels(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the known pixels of each clean image and of its reconstruction, each as one row."""
    for clean, restored in batches:
        for x, z in zip(clean, restored, strict=True):
            known = ~np.isnan(x)
            if known.any():
                yield x[known][None, None], z[known][None, None]


def _paired(
    clean: ArrayLike, restored: ArrayLike, data_range: Range | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of images from two batches, as floats in the same unit, channels last."""
    if _differ_in_size(clean) or _differ_in_size(restored):
        singles: Any = zip(clean, restored, strict=True)  # type: ignore[arg-type]
        return [_paired(x[None], z[None], data_range)[0] for x, z in singles]
    x, z = _batch(clean, "clean"), _batch(restored, "restored")
    if {x.ndim, z.ndim} == {3, 4} and x.size == z.size:  # gray images, one with an axis of channels
        x, z = x.reshape(x.shape[:3]), z.reshape(z.shape[:3])
    if x.shape != z.shape:
        raise ValueError(
            "clean and restored must have the same shape, (n, height, width), (n, height, width, "
            f"channels) or (n, channels, height, width). Got {x.shape} and {z.shape} instead."
        )
    dtype = np.result_type(x.dtype, z.dtype, np.float32)
    units = (1.0, 1.0) if data_range is not None else _units(x, z)
    _check_units([("clean", x, units[0]), ("restored", z, units[1])], data_range)
    shares = [a.astype(dtype) / dtype.type(unit) for a, unit in zip((x, z), units, strict=True)]
    return list(zip(*shares, strict=True))


def _within(
    mask: ArrayLike | None, pairs: list[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixels of a region of each pair, as rows; without a mask, the images."""
    if mask is None:
        return pairs
    masks = _masks(mask, [x for x, _ in pairs])
    return [(x[m], z[m]) for (x, z), m in zip(pairs, masks, strict=True)]


def _masks(mask: ArrayLike, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a user's mask as a list of masks, each of the shape of its image."""
    if len({x.shape for x in images}) > 1:
        each = list(mask) if isinstance(mask, list | tuple) else []
        if len(each) != len(images):
            raise ValueError(
                f"If images have different sizes, mask must be a list of {len(images)} masks, one "
                f"for each image. Got {described(mask)} instead."
            )
        return [_masks(m, [x])[0] for m, x in zip(each, images, strict=True)]
    n, shape = len(images), images[0].shape
    given = np.asarray(as_array(mask, "mask"))
    masks = _of_images(given, (n, *shape)) if given.dtype == bool else None
    if masks is None:
        size = shape[:2]
        shapes = dict.fromkeys([size, shape, (n, *size), (n, *shape)])
        raise ValueError(
            "mask must be a boolean array, True where a pixel counts, of shape "
            f"{' or '.join(map(str, shapes))}. Got {given.dtype}, {given.shape} instead."
        )
    _check_not_empty(masks, "mask is False at every pixel")
    return list(masks)


def _of_images(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a mask broadcast to images of a shape, channels last, or None if it does not fit."""
    n, height, width, *channels = shape
    first = (n, *(channels or [1]), height, width)
    if mask.shape == first:
        mask = np.moveaxis(mask, 1, -1)
    if mask.shape == (n, height, width, 1):
        mask = mask[..., 0]
    if mask.shape in (shape[1:], shape[1:3]):
        mask = mask[np.newaxis]
    if mask.shape[1:] == shape[1:3] and channels:
        mask = mask[..., np.newaxis]
    fits = mask.ndim == len(shape) and mask.shape[0] in (1, n) and mask.shape[1:3] == shape[1:3]
    return np.broadcast_to(mask, shape) if fits else None


def _inside(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Return masks that are False at the border, which SSIM leaves out."""
    inside = []
    for mask in masks:
        border = (_window(mask) - 1) // 2
        inner = np.zeros_like(mask)
        rows, columns = (slice(border, n - border) for n in mask.shape[:2])
        inner[rows, columns] = mask[rows, columns]
        inside.append(inner)
    _check_not_empty(inside, "SSIM leaves out the border, and mask is False at every other pixel")
    return inside


def _check_not_empty(masks: Iterable[np.ndarray], reason: str) -> None:
    for i, mask in enumerate(masks):
        if not mask.any():
            raise ValueError(f"{reason} of image {i}: leave such images out.")


def _differ_in_size(images: ArrayLike) -> bool:
    """Return whether images are a list of arrays of different shapes."""
    return isinstance(images, list | tuple) and len({np.shape(image) for image in images}) > 1


def _units(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Return the divisors of two arrays; arrays of the same type have the same divisor."""
    if x.dtype == z.dtype and x.dtype.kind in "iu":
        ends = [min(x.min(), z.min()), max(x.max(), z.max())]
        unit = integer_unit(np.array(ends, dtype=x.dtype))
        return unit, unit
    units = integer_unit(x), integer_unit(z)
    if x.dtype.kind in "iu" and z.dtype.kind in "iu":  # use the unit of a type that implies a range
        units = (
            units[0] if tells_its_range(x.dtype) else units[1],
            units[1] if tells_its_range(z.dtype) else units[0],
        )
    return units


def _batch(images: ArrayLike, name: str) -> np.ndarray:
    """Return images as an array of (n, height, width) or (n, height, width, channels)."""
    array = as_array(images, name)
    if has_mask(array):
        raise ValueError(
            f"{name} is a masked array, but a metric counts all pixels. Pass only the known "
            f"pixels, or {name}.filled(value)."
        )
    array = np.asarray(array)
    if array.ndim == 2:
        raise ValueError(
            f"{name} has shape {array.shape}. Pass one image as {name}[np.newaxis], and flat "
            f"images as {name}.reshape(-1, height, width)."
        )
    if is_one_image(array.shape, None):
        array = array[np.newaxis]
    if array.ndim not in (3, 4) or 0 in array.shape or array.dtype.kind not in "buif":
        raise ValueError(
            f"{name} must hold real images, of shape (n, height, width), (n, height, width, "
            f"channels) or (n, channels, height, width). Got {array.dtype}, {array.shape} instead."
        )
    return np.moveaxis(array, 1, -1) if image_layout(array.shape, None).channels_first else array


def _check_units(images: list[tuple[str, np.ndarray, float]], data_range: Range | None) -> None:
    """Raise an error if two arrays are not in the same unit, and warn about implausible units.

    `images` has the name, the values and the divisor of each array.
    """
    low, width = _checked_range(data_range)
    (_, x, unit), (_, z, other) = images
    kinds = {"float" if v.dtype.kind == "f" else v.dtype.name for v in (x, z)}
    ratio = _ratio_of_the_same(x, z) * unit / other
    in_different_units = any(u / 2 < ratio < 2 * u for n in _UNITS for u in (n, 1 / n))
    told = f"restored, of {z.dtype}, is {ratio:.3g} times clean, of {x.dtype}"
    if in_different_units and len(kinds) > 1:
        raise ValueError(
            f"clean and restored are not in one unit: {told}. Without data_range, integers of "
            "images are divided by their type's maximum. With data_range, all values are "
            "used unchanged."
        )
    if data_range is not None:
        return
    for name, values, unit in images:
        warn_of_type(values, unit, name)
    name, clean, unit = images[0]
    if unit == 1:
        warn_of_range(clean, (low, low + width), name)
    if in_different_units:
        warn(
            f"clean and restored may not be in one unit: {told}.",
            DataConversionWarning,
        )


def _ratio_of_the_same(x: np.ndarray, z: np.ndarray) -> float:
    """Return the ratio of norms, ``||z|| / ||x||``, or 0 if the arrays show different images."""
    x_, z_ = (np.nan_to_num(a.astype(np.float64)).ravel() for a in (x, z))
    lengths = np.linalg.norm(x_), np.linalg.norm(z_)
    alike = np.vdot(x_, z_) > _ALIKE * lengths[0] * lengths[1] > 0
    return float(lengths[1] / lengths[0]) if alike else 0.0


def _checked_range(data_range: Range | None) -> tuple[float, float]:
    """Return the smallest nominal value of images and the width of their range."""
    data_range = 1.0 if data_range is None else data_range
    low, high = data_range if isinstance(data_range, tuple | list) else (0.0, data_range)
    if not high > low:
        raise ValueError(
            "The 'data_range' parameter must be positive, or (low, high) with low < high. "
            f"Got {data_range!r} instead."
        )
    return low, high - low


def _reduced(values: list[float], per_image: bool) -> float | np.ndarray:
    return np.asarray(values) if per_image else float(np.mean(values))


@lru_cache(maxsize=4)
def _lpips_of_unit_images(net: str, path: str | None, upsample: bool) -> Criterion:
    """Return the LPIPS criterion for images in [0, 1]; results are cached."""
    return LPIPS(net, weights=path, upsample=upsample).build()


def _unit_tensor(images: Sequence[np.ndarray], low: float, width: float) -> torch.Tensor:
    """Return images scaled to [0, 1] as float32, shape (batch, channels, height, width)."""
    unit = ((np.stack(images) - low) / width).astype(np.float32)
    return torch.from_numpy(unit if unit.ndim == 4 else unit[..., None]).movedim(-1, 1)
