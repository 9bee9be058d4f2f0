"""The contents of a file of weights: the weights of a network and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skmetainv.weight_files import StateDict


class Published(NamedTuple):
    """The weights of a file in the form that the library's network takes."""

    state: StateDict
    """The weights, under the names of the library's network."""
    channels: int
    """Number of channels of the images."""
    architecture: dict[str, Any]
    """Parameters of the network that the weights determine."""


def check_channels(published: int, channels: int) -> None:
    """Raise an error unless images have the number of channels of the weights.

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
            f"they are for {_images(published)}, but the images are {_images(channels)}. Use such "
            "images, or other weights."
        )


def check_architecture(decided: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise an error unless the parameters of a network agree with its weights.

    Parameters
    ----------
    decided : mapping of str to object
        Parameters that the weights determine.
    given : mapping of str to object
        Parameters that the user set; None if a parameter is not set.

    Raises
    ------
    ValueError
        If a parameter differs; the message names the first one.
    """
    for name, value in decided.items():
        if given[name] not in (None, value):
            raise ValueError(
                f"their network has {name}={value!r}, not {name}={given[name]!r}. Set "
                f"{name}={value!r}."
            )


def _images(channels: int) -> str:
    kinds = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
    return kinds.get(channels, f"images of {channels} channels")
