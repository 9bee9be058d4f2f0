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
    """Raise unless the names and shapes of weights are those of a network.

    Parameters
    ----------
    state : dict of str to tensor
        The weights.
    expected : mapping of str to tensor
        Those of the network, whose values do not matter.

    Raises
    ------
    ValueError
        With the first name that does not fit, and the reason.
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
    """Raise unless images have the number of channels that weights are for.

    Parameters
    ----------
    published, channels : int
        Number of channels of the weights, and of the images.

    Raises
    ------
    ValueError
        If they differ.
    """
    if published != channels:
        raise ValueError(
            f"they are for {_images(published)}, and these are {_images(channels)}. Give images "
            "of that kind, or other weights."
        )


def check_architecture(decided: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise unless the parameters of a network agree with its weights.

    Parameters
    ----------
    decided : mapping of str to object
        Parameters that the weights decide.
    given : mapping of str to object
        Parameters that the user gave; None leaves one open.

    Raises
    ------
    ValueError
        With the first parameter that differs.
    """
    for name, value in decided.items():
        if given[name] not in (None, value):
            raise ValueError(
                f"their network has {name}={value!r}, not {name}={given[name]!r}. Write "
                f"{name}={value!r}."
            )


def _images(channels: int) -> str:
    kinds = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
    return kinds.get(channels, f"images of {channels} channels")
