"""Conversion of named tensors to the arrays that fitted estimators store, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch

#: Tensors by name.
Tensors: TypeAlias = Mapping[str, torch.Tensor]


def to_numpy(tensors: Tensors, prefix: str = "") -> dict[str, np.ndarray]:
    """Return copies of named tensors as arrays, with `prefix` before their names."""
    return {prefix + name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}


def to_tensors(
    arrays: Mapping[str, np.ndarray], prefix: str, dtype: torch.dtype, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return copies of the arrays whose names begin with `prefix` as tensors, without `prefix`."""
    return {
        name.removeprefix(prefix): torch.tensor(array, dtype=dtype, device=device)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
