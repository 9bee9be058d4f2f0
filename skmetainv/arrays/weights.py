"""Named weights: selection of a part, and conversion between tensors and NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import numpy as np
import torch

Weight = TypeVar("Weight")

#: Tensors by name.
Tensors: TypeAlias = Mapping[str, torch.Tensor]

#: The parts of an estimator's `weights_`. A part has the name of the parameter that its weights
#: belong to. The names of these weights begin with it, as in "solver.rho.logarithm".
#: `Algorithm.learns` uses the same names.
INIT, INNER_LR, INNER_LOSS, SOLVER = PARTS = ("init", "inner_lr", "inner_loss", "solver")


def in_part(weights: Mapping[str, Weight], part: str) -> dict[str, Weight]:
    """Return the weights with the part put in front of their names; `of_part` reverses this."""
    return {f"{part}.{name}": weight for name, weight in weights.items()}


def of_part(weights: Mapping[str, Weight], part: str) -> dict[str, Weight]:
    """Return the weights that belong to a part, with the part removed from their names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): weight
        for name, weight in weights.items()
        if name.startswith(prefix)
    }


def to_numpy(tensors: Tensors) -> dict[str, np.ndarray]:
    """Return copies of named tensors as arrays."""
    return {name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}


def to_tensors(
    arrays: Mapping[str, np.ndarray], dtype: torch.dtype, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return copies of named arrays as tensors."""
    return {name: torch.tensor(array, dtype=dtype, device=device) for name, array in arrays.items()}
