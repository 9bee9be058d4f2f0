"""What files of weights say about a network: its weights under own names, and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skmetainv.weight_files import State


class Published(NamedTuple):
    """Weights of a file, as a network understands them."""

    state: State
    """The weights, under the names of the library's network."""
    channels: int
    """Channels of the images that they are for."""
    architecture: dict[str, Any]
    """Parameters of the network that they decide."""


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
