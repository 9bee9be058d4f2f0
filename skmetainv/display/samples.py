"""The images that a display draws: clean images, measurements, and restorations by estimators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skmetainv.arrays import (
    MaskedView,
    as_array,
    channels_last,
    has_mask,
    image_layout,
    integer_unit,
    is_complex_shape,
    is_image_shape,
)
from skmetainv.inputs.validation import are_images
from skmetainv.model_selection.named_estimators import named_estimators
from skmetainv.model_selection.scorers import unwrapped


def fitted_estimators(estimator: Any, taker: str) -> dict[str, Any]:
    """Return a user's fitted estimators by name; of a search, the best one.

    Parameters
    ----------
    estimator : estimator, dict of str to estimator, or list of estimators
        The user's argument.
    taker : str
        The method that takes it, for errors.
    """
    several = isinstance(estimator, Mapping | list | tuple)
    named = named_estimators(estimator if several else [estimator], taker, "estimator")
    for each in named.values():
        check_is_fitted(each)
        check_is_fitted(unwrapped(each))
    return {name: unwrapped(each) for name, each in named.items()}


@dataclass(frozen=True)
class Samples:
    """Fitted estimators and the measurements that all of them restore.

    Parameters
    ----------
    estimators : dict of str to estimator
        The fitted estimators by name.
    X, y : array-like
        Measurements and their clean images, as `predict` and `score` take them.
    """

    estimators: dict[str, Any]
    X: Any
    y: Any

    @classmethod
    def of(cls, estimators: dict[str, Any], X: Any, y: Any, random_state: Any) -> Self:
        """Return the samples of a user's arguments, see `ReconstructionDisplay.from_estimator`."""
        ranges = {name: each.data_range_ for name, each in estimators.items()}
        if len(set(ranges.values())) > 1:
            raise ValueError(f"Estimators must share one data_range. Got {ranges} instead.")
        if are_images(y):
            return cls(estimators, X, y)
        first = next(iter(estimators.values()))
        return cls(estimators, first.simulate(X, random_state=random_state), X)

    @property
    def first(self) -> Any:
        """The first estimator, whose operator and data range hold for the display."""
        return next(iter(self.estimators.values()))

    def clean(self) -> np.ndarray:
        """Return the clean images, channels last."""
        problem = self.first._reader().to_score(self.X, self.y, self.first._geometry_)
        return channels_last(problem.clean.read(np.arange(len(problem))))

    def restored(self) -> dict[str, np.ndarray]:
        """Return the restored images by name, channels last."""
        return {
            name: np.concatenate([images for _, images in each.restorations(self.X, self.y)])
            for name, each in self.estimators.items()
        }

    def measured(self) -> np.ndarray:
        """Return the measurements: images with channels last, complex arrays, or samples."""
        reader, geometry = self.first._reader(), self.first._geometry_
        source, geometry, _ = reader.measurements(self.X, geometry)
        tensor = source.read(np.arange(len(source))).cpu()
        shape = geometry.measurement_layout.tensor_shape
        if is_complex_shape(shape):
            tensor = torch.view_as_complex(tensor.contiguous())
        if is_image_shape(shape):
            return channels_last(tensor)
        samples: np.ndarray = tensor.flatten(1).numpy()
        return samples


def measurements_of_user(measured: Any, n_images: int) -> np.ndarray:
    """Return measurements of any kind as floats or complex numbers; missing ones are NaN."""
    given = as_array(measured, "measured")
    given = MaskedView(given)[:] if has_mask(given) else given
    array: np.ndarray = np.asarray(given)
    if array.ndim < 2 or len(array) != n_images or array.dtype.kind not in "buifc":
        raise ValueError(
            f"The 'measured' parameter must hold {n_images} measurements, one for each clean "
            f"image. Got {array.dtype}, {array.shape} instead."
        )
    if array.dtype.kind in "bui":
        array = array / integer_unit(array)
    is_image = array.ndim == 4 and array.dtype.kind == "f"
    if is_image and image_layout(array.shape, None).channels_first:
        array = np.moveaxis(array, 1, -1)
    return array
