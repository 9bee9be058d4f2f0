"""Weights of networks from files: state dicts that others published, never code."""

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import torch
from safetensors.torch import load_file

State = dict[str, torch.Tensor]


def read_state(path: str | PathLike[str]) -> State:
    """Return the tensors of a file by name.

    Parameters
    ----------
    path : path-like
        A state dict, by `torch.save` or in safetensors (by its suffix), or a dict that holds one
        under "state_dict" or "params". Pickled code is not run.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else.
    """
    name = fspath(path)
    state: Any
    try:
        if name.lower().endswith(".safetensors"):
            state = load_file(name)
        else:
            state = torch.load(name, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever the bytes of another kind of file lead to
        raise ValueError(
            f"{name} is not a file of tensors, or holds more than these: only tensors are read, "
            "and no pickled code is run."
        ) from error
    for key in ("state_dict", "params"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise ValueError(f"{name} is not a state dict, tensors by name.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def check_state(
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    path: object,
    owner: str,
) -> None:
    """Raise, with the first key that does not fit, unless names and shapes are those `expected`."""
    for key, tensor in expected.items():
        if key not in state:
            raise ValueError(f"The weights of {path} do not fit {owner}: there is no {key!r}.")
        if state[key].shape != tensor.shape:
            raise ValueError(
                f"The weights of {path} do not fit {owner}: {key!r} has shape "
                f"{tuple(state[key].shape)}, not {tuple(tensor.shape)}."
            )
        if not state[key].isfinite().all():
            raise ValueError(f"The weights of {path} are not all finite: {key!r} is not.")
    unknown = [key for key in state if key not in expected]
    if unknown:
        raise ValueError(f"The weights of {path} do not fit {owner}, which has no {unknown[0]!r}.")
