"""Results in the type of the user's input."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch


def channels_last(x: torch.Tensor) -> np.ndarray:
    """Return a batch of images as an array of shape (batch, height, width, channels)."""
    return x.permute(0, 2, 3, 1).cpu().numpy()


def match_type(X: Any, array: np.ndarray) -> Any:
    """Convert `array` to a tensor on the device of `X` if `X` is a tensor."""
    return torch.from_numpy(array).to(X.device) if isinstance(X, torch.Tensor) else array


def match_container(X: Any, array: np.ndarray) -> Any:
    """Convert `array`, the measurements of `X`, to the type of `X`: tensor, data frame or array.

    In a data frame, rows keep their index. Columns keep their names if their number is the same;
    otherwise they are numbered.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame) or array.ndim != 2:
        return match_type(X, array)
    columns = X.columns if array.shape[1] == X.shape[1] else None
    return pandas.DataFrame(array, index=X.index, columns=columns)
