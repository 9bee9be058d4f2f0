"""What a user passed, checked once, at the edge."""

import os
import warnings
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array

from skmetainv.arrays import ArraySource, Layout, RealView, is_complex_shape


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
        NumPy arrays (memory-mapped ones are not read into memory), tensors, lists, data frames,
        or a lazy array with `shape`, `dtype` and indexing (`skmetainv.datasets.ImageFolder`,
        zarr, h5py), which is read only when its batches are.
    estimator : estimator
        Named in error messages.
    allow_nan : bool, default=False
        NaN stands for a missing value.
    allow_complex : bool, default=False
        Complex arrays are taken as their real and imaginary parts, along a last axis.
    name : str, default="X"
        What error messages call it.

    Returns
    -------
    array : ndarray, or the lazy array itself
        At least 2-D, numeric and real.
    """
    if isinstance(X, str | PathLike):
        raise ValueError(
            f"Expected {name} to be an array of images, got {X!r} instead: "
            "skmetainv.datasets.ImageFolder reads a folder."
        )
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().resolve_conj().resolve_neg()
        X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if allow_complex and np.dtype(getattr(X, "dtype", float)).kind == "c" and len(X.shape) > 1:
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
    return check_array(
        X,
        allow_nd=True,
        ensure_all_finite="allow-nan" if allow_nan else True,
        estimator=estimator,
        input_name=name,
    )


def _is_lazy(X: Any) -> bool:
    has_protocol = all(hasattr(X, a) for a in ("shape", "dtype", "__getitem__", "__len__"))
    in_memory = isinstance(X, np.ndarray) or issparse(X) or hasattr(X, "iloc")
    return has_protocol and not in_memory


def are_images(y: Any) -> bool:
    """Whether the second argument of `fit` holds images, not a vector of labels or nothing."""
    if y is None:
        return False
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return len(shape) >= 2


def check_shape(
    X: Any,
    expected: tuple[int, ...],
    estimator: BaseEstimator,
    what: str,
    name: str = "X",
    hint: str = "",
) -> None:
    """Raise scikit-learn's error, then a hint, if items of `X` have not the `expected` shape."""
    shape, owner = tuple(X.shape[1:]), type(estimator).__name__
    if shape == expected:
        return
    if len(shape) == len(expected) == 1:
        has, wants = f"{shape[0]} features", f"{expected[0]} features as input"
    else:
        has, wants = f"{what} of shape {shape}", f"{what} of shape {expected}"
    raise ValueError(f"{name} has {has}, but {owner} is expecting {wants}. {hint}".rstrip())


def check_measurements(X: Any, images: Layout, measurements: Layout) -> None:
    """Raise if what was given with clean images is not what the operator measures of them."""
    if tuple(X.shape[1:]) != measurements.shape:
        raise ValueError(
            "fit(X, y) takes measurements X and their clean images y; fit(X) takes clean images "
            f"and simulates. With images y of shape {images.shape} the operator gives "
            f"measurements of shape {measurements.shape}, but X has shape {tuple(X.shape[1:])}."
        )
    if isinstance(X, RealView) and not is_complex_shape(measurements.tensor_shape):
        raise ValueError("Complex data not supported: the operator's measurements are real.")


def check_device(device: str | torch.device) -> torch.device:
    """Return the device that is meant; "auto" is CUDA where there is one, else the CPU.

    Of several processes each has its own, unless an index says which.
    """
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(
            "The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:<index>' or such a "
            f"torch.device. Got {device!r} instead."
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, but torch finds "
            f"{torch.cuda.device_count()} CUDA devices here: 'auto' or 'cpu' run without one."
        )
    if str(chosen) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return chosen


def check_nothing_simulates(operator: Any, noise: Any) -> None:
    """Raise if an operator or a noise is given to simulate with, where measurements are given."""
    if not (operator is None and noise is None):
        raise ValueError(
            "With pairs of measurements X and clean images y nothing is simulated: operator and "
            f"noise must be None. Got {operator!r} and {noise!r} instead."
        )


def check_range(data_range: Any) -> tuple[float, float]:
    """Return the least and the largest value of images."""
    if data_range is None:
        return 0.0, 1.0
    if isinstance(data_range, Real):
        data_range = (0.0, float(data_range))
    return check_pair(data_range, "data_range")


def check_image_shape(image_shape: Any) -> None:
    """Check the shape of flat images."""
    if image_shape is None:
        return
    given = isinstance(image_shape, tuple | list) and len(image_shape) in (2, 3)
    if not given or not all(isinstance(n, Integral) and int(n) > 0 for n in image_shape):
        raise ValueError(
            "The 'image_shape' parameter must be None, (height, width) or (height, width, "
            f"channels), in positive integers. Got {image_shape!r} instead."
        )


def warn_of_units(images: ArraySource, data_range: tuple[float, float], n_images: int) -> None:
    """Warn if the first `n_images` lie far outside their range, or vanish in it."""
    first = images.read(np.arange(min(len(images), n_images)))
    values = first[~first.isnan()]
    low, high = data_range
    if (values - (low + high) / 2).abs().max() > 10 * (high - low):
        warnings.warn(
            f"{images.name} has values up to {values.abs().max():g}, far outside the data range "
            f"{data_range}: pass data_range, or rescale the images.",
            DataConversionWarning,
            stacklevel=5,
        )
    if images.maximum >= 2**31 - 1 and values.abs().max() < 1e-6:
        warnings.warn(
            f"{images.name} has integers of type {images.array.dtype}, which are divided by the "
            "type's maximum: pass data_range to take them as they are.",
            DataConversionWarning,
            stacklevel=5,
        )


def check_observed(y: torch.Tensor) -> None:
    """Raise if no measurement of a batch has a known value."""
    if y.isnan().all():
        raise ValueError(
            "No measurement of the first batch has a known value: what the clean images do not "
            "know has spread over all that the operator measures."
        )


def check_pair(pair: Any, name: str) -> tuple[float, float]:
    """Return a parameter that is two numbers, the lower one first."""
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or not all(isinstance(value, Real) for value in pair)
        or not -np.inf < pair[0] < pair[1] < np.inf
    ):
        raise ValueError(
            f"The {name!r} parameter must be two numbers (low, high) with low < high. "
            f"Got {pair!r} instead."
        )
    return float(pair[0]), float(pair[1])
