"""Checks of a user's arrays and parameters."""

import os
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array, check_consistent_length

from skmetainv.arrays import (
    Layout,
    MaskedView,
    RealView,
    Single,
    as_array,
    has_mask,
    is_complex_shape,
    is_one_image,
)
from skmetainv.arrays.layouts import MOST_CHANNELS, size_of_flat, warn_of_planes
from skmetainv.exceptions import concerning, warn
from skmetainv.inputs.geometry import Geometry
from skmetainv.operators import ForwardMap, MissingPixels
from skmetainv.parameters import integers

# A two-dimensional array with fewer rows or columns than this certainly holds flat images.
_LEAST_SIDE = 16

# A two-dimensional array may be one image if the mean squared difference of neighbouring rows is
# less than this share of the mean squared difference of distant rows. In 200 photographs, the ratio
# is at most 0.42, and typically 0.06. In flat faces and digits, sorted by person or not, it is 0.53
# to 1.1.
_MOST_OF_DISTANT = 0.45
_MOST_ROWS = 512


def check_images(
    X: Any,
    estimator: BaseEstimator,
    *,
    allow_nan: bool = False,
    allow_complex: bool = False,
    name: str = "X",
) -> Any:
    """Return images or measurements as an array that can be read batch by batch.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        A NumPy array, a tensor, a list, a data frame, or an object that is read batch by batch: a
        memory-mapped array, a lazy array with `shape`, `dtype` and indexing
        (`skmetainv.datasets.ImageFolder`, zarr, h5py, dask, xarray), or a map-style data set of
        torch. Masked entries count as NaN.
    estimator : estimator
        The estimator that error messages refer to.
    allow_nan : bool, default=False
        Whether NaN is allowed, for missing values.
    allow_complex : bool, default=False
        Whether complex arrays are allowed. They are read as real and imaginary parts along a last
        axis.
    name : str, default="X"
        The name of the array in error messages.

    Returns
    -------
    array : ndarray, or the lazy array itself
        At least 2-D, numeric and real.
    """
    X = as_array(X, name)
    if has_mask(X):
        if not allow_nan:
            raise ValueError(
                f"{name} is a masked array, and nothing may be missing here. "
                f"{_hint_on_missing(estimator)}"
            )
        X = MaskedView(X)
    is_complex = np.dtype(getattr(X, "dtype", float)).kind == "c"
    if is_complex and not allow_complex:
        raise ValueError(
            f"Complex data not supported: {name} has {X.dtype}. To use real and imaginary parts as "
            f"two channels, write np.stack([{name}.real, {name}.imag], axis=-1)."
        )
    if is_complex and len(X.shape) > 1:
        X = RealView(X)
    if _is_lazy(X):
        if X.shape[0] == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}) in {name}.")
        if np.dtype(X.dtype).kind not in "buif" or len(X.shape) < 2:
            raise ValueError(
                f"Expected {name} to be a real array of images, (n, height, width) or (n, height, "
                f"width, channels). Got {X.dtype}, shape {X.shape} instead."
            )
        return X
    _check_one_shape(X, name)
    with concerning(name):
        array = check_array(
            X, allow_nd=True, ensure_all_finite="allow-nan", estimator=estimator, input_name=name
        )
    if array.dtype.kind not in "buif":
        kind = "dates or times" if array.dtype.kind in "mM" else "entries that are not numbers"
        raise ValueError(f"Expected {name} to be images. Got {kind}, {array.dtype}.")
    if not allow_nan and array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(
            f"Input {name} contains NaN, and nothing may be missing here. "
            f"{_hint_on_missing(estimator)}"
        )
    return array


def check_lengths(**arrays: Any) -> None:
    """Raise if arrays, passed by their names in errors, differ in length; None has none."""
    with concerning(" and ".join(arrays)):
        check_consistent_length(*arrays.values())


def _hint_on_missing(estimator: BaseEstimator) -> str:
    """Return a hint on which arrays may have missing values, or which operator allows them."""
    operator = getattr(estimator, "operator", None)
    if operator is None:
        return "An estimator with operator=MissingPixels() fills in missing pixels."
    if operator.has_missing:
        return "Measurements, and clean images in `fit`, may have missing values."
    if not type(operator).__module__.startswith("skmetainv."):
        return f"If its measurements may, write has_missing = True in {type(operator).__name__}."
    return f"For missing measurements, use operator={MissingPixels() @ operator!r}."


def _is_lazy(X: Any) -> bool:
    """Return whether an array is read batch by batch, and its values are checked only then."""
    has_protocol = all(hasattr(X, a) for a in ("shape", "dtype", "__getitem__", "__len__"))
    in_memory = isinstance(X, np.ndarray) or issparse(X) or hasattr(X, "iloc")
    return isinstance(X, np.memmap) or (has_protocol and not in_memory)


def _check_one_shape(X: Any, name: str) -> None:
    """Raise if a list has images of different shapes."""
    if isinstance(X, list | tuple):
        shapes = {tuple(image.shape) for image in X if hasattr(image, "shape")}
        if len(shapes) > 1:
            raise ValueError(
                f"{name} has images of different shapes, {sorted(shapes)[:3]}: resize them to one "
                "shape (as ImageFolder does), or fit a learned denoiser, which accepts such lists."
            )


def as_batch(
    array: Any, image_shape: tuple[int, ...] | None, X: Any, name: str = "X"
) -> tuple[Any, bool]:
    """Return images with a first axis that counts them, and whether this axis was missing.

    Parameters
    ----------
    array : array
        Output of `check_images`.
    image_shape : tuple of int or None
        The `image_shape` parameter.
    X : array-like
        The user's array. The rows of a data frame are certainly flat images. The first axis of a
        tensor may be the channels of one colour image.
    name : str, default="X"
        The name of the array in messages.

    Returns
    -------
    array : array
        The array. If its first axis was missing, it is added.
    is_single : bool
        Whether the axis was missing.

    Raises
    ------
    ValueError
        If the array may be either one image or several flat images. The message names both.

    Warns
    -----
    DataConversionWarning
        If flat images are assumed to be square or one row, if a last axis with many entries is
        assumed to be channels, or if a tensor of three gray images may be one colour image.
    """
    shape = tuple(array.shape)
    if is_one_image(shape, image_shape):
        return Single(array), True
    if image_shape is None and not hasattr(X, "iloc") and len(shape) == 2:
        _check_flat(array, name)
    if image_shape is None and isinstance(X, torch.Tensor):
        warn_of_planes(shape, name)
    if image_shape is None and len(shape) == 4 and min(shape[1], shape[3]) > MOST_CHANNELS:
        warn(
            f"{name} has shape {shape}, and is taken for {shape[0]} images of {shape[1]} x "
            f"{shape[2]} pixels with {shape[3]} channels: if so, pass image_shape={shape[1:]}. "
            f"To use slices of volumes as images, write {name}.reshape(-1, {shape[2]}, "
            f"{shape[3]}).",
            DataConversionWarning,
        )
    return array, False


def _check_flat(array: Any, name: str) -> None:
    """Raise if the array may be one image; else warn of the shape assumed for flat images."""
    n, n_pixels = array.shape
    size, may_be_one = size_of_flat(n_pixels), min(array.shape) >= _LEAST_SIDE
    alike = n_pixels < 4 * n < 16 * n_pixels and may_be_one and _rows_go_together(array)
    if alike or (size[0] == 1 and may_be_one):
        raise ValueError(
            f"{name} has shape {array.shape}: either one image of {n} x {n_pixels} pixels (then "
            f"pass {name}[np.newaxis], because the first axis counts images), or {n} flat images "
            f"(then pass their shape, image_shape={size} for instance)."
        )
    if n_pixels >= _LEAST_SIDE:
        warn(
            f"{name} has shape {array.shape}, and is taken for {n} images of {size[0]} x {size[1]} "
            f"pixels: if so, pass image_shape={size}; for signals, image_shape=(1, {n_pixels}).",
            DataConversionWarning,
        )


def _rows_go_together(array: Any) -> bool:
    """Return whether neighbouring rows are much more similar than distant ones, as in one image."""
    rows = np.asarray(array[:_MOST_ROWS]).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    after, far = np.diff(rows, axis=0), rows - np.roll(rows, len(rows) // 2, axis=0)
    return len(rows) > 2 and bool((after**2).mean() < _MOST_OF_DISTANT * (far**2).mean())


def are_images(y: Any) -> bool:
    """Return whether the second argument of `fit` holds images, not labels or None."""
    if y is None:
        return False
    array = as_array(y, "y")
    if isinstance(array, list | tuple) and len(array) > 0:
        return np.ndim(array[0]) >= 1
    return len(array.shape if hasattr(array, "shape") else np.shape(array)) >= 2


def check_shape(
    X: Any,
    expected: tuple[int, ...],
    estimator: BaseEstimator,
    what: str,
    name: str = "X",
    hint: str = "",
) -> None:
    """Raise scikit-learn's error, with a hint, if items of `X` do not have the `expected` shape."""
    shape, owner = tuple(X.shape[1:]), type(estimator).__name__
    if shape == expected:
        return
    if len(shape) == len(expected) == 1:
        has, wants = f"{shape[0]} features", f"{expected[0]} features as input"
    else:
        has, wants = f"{what} of shape {shape}", f"{what} of shape {expected}"
        if shape == expected[1:]:
            wants += f": the first axis counts {what}"
    raise ValueError(f"{name} has {has}, but {owner} is expecting {wants}. {hint}".rstrip())


def how_to_rearrange(shape: tuple[int, ...], layout: Layout, name: str) -> str:
    """Return a hint on how to convert an array of `shape` to `layout`, or an empty text."""
    channels, height, width = layout.tensor_shape if len(layout.tensor_shape) == 3 else (0, 0, 0)
    last, first = (height, width, channels), (channels, height, width)
    if len(layout.shape) == 3 and first != last:
        other_order = last if layout.channels_first else first
        for axis, image_shape in ((1, shape[1:]), (0, shape)):
            if image_shape == other_order:
                axes = f"-1, {axis}" if layout.channels_first else f"{axis}, -1"
                return f"Write np.moveaxis({name}, {axes})."
    if len(layout.shape) == 1 and shape in (last, (height, width)):
        return f"Write {name}.reshape(1, -1)."
    if prod(first) and (
        (channels == 1 and shape[1:] in ((height, width), last, first, (prod(first),)))
        or (shape[1:] == (prod(first),) and not layout.channels_first)
        or (len(layout.shape) == 1 and shape[1:] == last)
    ):
        return f"Write {name}.reshape{(-1, *layout.shape)}."
    if len(layout.shape) == 2 and is_one_image(shape, None):
        return f"{name} may be one image of {shape[2]} channel(s); images here are gray."
    return ""


def check_measurements(X: Any, geometry: Geometry, are_swapped: Callable[[], bool]) -> None:
    """Raise if `X` does not have the shape or the type of the operator's measurements."""
    measurements = geometry.measurement_layout
    if tuple(X.shape[1:]) != measurements.shape:
        raise ValueError(
            f"{'X and y are the wrong way round. ' * are_swapped()}"
            "fit(X, y) takes measurements X and their clean images y; fit(X) takes clean images "
            f"and simulates. With images y of shape {geometry.image_layout.shape}, the operator "
            f"returns measurements of shape {measurements.shape}, but X has shape "
            f"{tuple(X.shape[1:])}."
        )
    if isinstance(X, RealView) and not is_complex_shape(measurements.tensor_shape):
        raise ValueError("Complex data not supported: the operator's measurements are real.")


def check_device(device: str | torch.device) -> torch.device:
    """Return the device; "auto" is CUDA if it is available, else the CPU.

    With several processes (``LOCAL_RANK`` is set), each uses its own GPU, unless an index is given.
    """
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cpu" and chosen.index):
        raise ValueError(
            "The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:<index>' or such a "
            f"torch.device. Got {device!r} instead."
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, but torch finds "
            f"{torch.cuda.device_count()} CUDA devices: use 'auto' or 'cpu' instead."
        )
    if str(chosen) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return chosen


def check_one_noise(A: ForwardMap, noise: Any) -> None:
    """Raise if both an operator and an estimator, or a simulation, have noise."""
    if A.noises() and noise != 0:
        raise ValueError(
            f"The noise is that of the operator, {A.noises()[0]!r} (WithNoise). The 'noise' "
            f"parameter must then be 0, its default. Got {noise!r} instead."
        )


def check_nothing_simulates(operator: Any, noise: Any) -> None:
    """Raise if an operator or a noise for simulation is given along with measurements."""
    if not (operator is None and noise is None):
        raise ValueError(
            "With pairs of measurements X and clean images y, nothing is simulated: operator and "
            f"noise must be None. Got {operator!r} and {noise!r} instead."
        )


def check_image_shape(image_shape: Any) -> None:
    """Raise if the `image_shape` parameter is not a shape of images, channels last, or None."""
    if image_shape is None:
        return
    if integers(image_shape, 2, 3) is None:
        raise ValueError(
            "The 'image_shape' parameter must be None, (height, width) or (height, width, "
            f"channels), in positive integers. Got {image_shape!r} instead."
        )
    if len(image_shape) == 3 and image_shape[0] <= MOST_CHANNELS < image_shape[2]:
        raise ValueError(
            "The 'image_shape' parameter must have channels last, also if arrays have them first. "
            f"Write image_shape={(*image_shape[1:], image_shape[0])}. Got {image_shape!r} instead."
        )


def check_observed(y: torch.Tensor) -> None:
    """Raise if no measurement of a batch has a known value."""
    if y.isnan().all():
        raise ValueError(
            "All measurements of the first batch are NaN: the operator spreads the NaN of the "
            "clean images over every measurement."
        )
