"""The images that a display restores: clean images, their measurements, and the estimators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skmetainv.arrays import channels_last, is_complex_shape, is_image_shape
from skmetainv.inputs.validation import are_images
from skmetainv.model_selection.named_estimators import named_estimators
from skmetainv.model_selection.scorers import unwrapped


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
    def of(cls, estimator: Any, X: Any, y: Any, random_state: Any, taker: str) -> Self:
        """Return the samples of a user's arguments, see `ReconstructionDisplay.from_estimator`."""
        one = not isinstance(estimator, dict | list | tuple)
        named = named_estimators([estimator] if one else estimator, taker)
        estimators = {name: unwrapped(each) for name, each in named.items()}
        for each in estimators.values():
            check_is_fitted(each)
        if are_images(y):
            return cls(estimators, X, y)
        first = next(iter(estimators.values()))
        return cls(estimators, first.simulate(X, random_state=random_state), X)

    @property
    def first(self) -> Any:
        """The first estimator, whose operator and data range hold for the display."""
        return next(iter(self.estimators.values()))

    def images(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the clean images, and the restored images by name, channels last."""
        restored = {}
        for name, estimator in self.estimators.items():
            clean, restored[name] = (
                np.concatenate(images)
                for images in zip(*estimator.restorations(self.X, self.y), strict=True)
            )
        return clean, restored

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
