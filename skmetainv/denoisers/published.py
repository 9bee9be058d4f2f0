"""What files of weights say about a network: its weights under own names, and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from skmetainv.weight_files import State


class Published(NamedTuple):
    """Weights of a file, as a network understands them."""

    state: State
    """The weights, under the names of the library's network."""
    channels: int
    """Channels of the images that they are for."""
    architecture: dict[str, Any]
    """Parameters of the network that they decide."""


def check_state(state: State, expected: Mapping[str, torch.Tensor]) -> None:
    """Raise, with the first name that does not fit, unless names and shapes are those `expected`.

    Raises
    ------
    ValueError
        With the reason.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(f"there is no {name!r}.")
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}."
            )
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise ValueError(f"the network has no {unknown[0]!r}.")


def check_channels(published: int, channels: int) -> None:
    """Raise unless the images have the channels that the weights are for."""
    if published != channels:
        raise ValueError(
            f"they are for {_images(published)}, and these are {_images(channels)}. Give images "
            "of that kind, or other weights."
        )


def check_architecture(decided: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise unless parameters that are not left open (None) are those that the weights decide."""
    for name, value in decided.items():
        if given[name] not in (None, value):
            raise ValueError(
                f"their network has {name}={value!r}, not {name}={given[name]!r}. Write "
                f"{name}={value!r}."
            )


def _images(channels: int) -> str:
    kinds = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
    return kinds.get(channels, f"images of {channels} channels")
