"""What files of weights say about a network: its weights under own names, and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skmetainv.weight_files import StateDict


class Published(NamedTuple):
    """Weights of a file, as a network understands them."""

    state: StateDict
    """The weights, under the names of the library's network."""
    channels: int
    """Channels of the images that they are for."""
    architecture: dict[str, Any]
    """Parameters of the network that they decide."""


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
