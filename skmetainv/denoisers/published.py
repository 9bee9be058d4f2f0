"""The network of a learned denoiser, with first weights that are drawn or read from a file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from inspect import signature
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import to_numpy
from skmetainv.denoisers.network import Network, initial_weights
from skmetainv.exceptions import concerning
from skmetainv.randomness import weights_generator
from skmetainv.weight_files import StateDict, check_state, read_weights


class Published(NamedTuple):
    """The weights of a file in the form that the library's network takes."""

    state: StateDict
    """The weights, under the names of the library's network."""
    channels: int
    """Number of channels of the images."""
    architecture: dict[str, Any]
    """Parameters of the network that the weights determine."""


class WithNetwork:
    """The network of a denoiser.

    A subclass writes two methods, `_network` and `_published`. `_published` gets the weights of
    files that hold one of the names in `_first_weights`. `_architecture` maps each parameter of the
    network to the value that None stands for.
    """

    weights: str | PathLike[str] | None
    sha256: str | None

    _architecture: ClassVar[dict[str, Any]] = {}
    _first_weights: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def _network(self, channels: int, **architecture: Any) -> Network:
        """Return the network for images with these channels, in float64, uninitialised.

        Its weights have the names of the published ones.
        """

    @abstractmethod
    def _published(self, state: StateDict) -> Published:
        """Return the weights of a file for `_network`, or raise an error if they do not fit."""

    def _constrain(self, network: nn.Module) -> None:
        """Project the weights onto their constraints after a step of the optimiser."""

    def _first_network(
        self, channels: int, seed: int, dtype: torch.dtype
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the initial weights and the parameters of their network."""
        if self.weights is None:
            architecture = self._chosen_architecture({})
            network = self._network(channels, **architecture)
            weights = initial_weights(network, weights_generator(seed), network.gain)
            network.load_state_dict(weights)
        else:
            network, architecture = self._read(self.weights, channels)
        self._constrain(network)
        return to_numpy(network.to(dtype).state_dict()), architecture

    def _read(self, path: str | PathLike[str], channels: int) -> tuple[Network, dict[str, Any]]:
        """Return the network with the weights of a file, and its parameters."""
        parameters = self._architecture_parameters()

        def understand(state: StateDict) -> tuple[Network, dict[str, Any]]:
            published = self._published(state)
            _check_architecture(published.architecture, parameters)
            _check_channels(published.channels, channels)
            architecture = self._chosen_architecture(published.architecture)
            network = self._network(channels, **architecture)
            check_state(published.state, network.state_dict())
            network.load_state_dict(published.state)
            return network, architecture

        name, defaults = type(self).__name__, signature(type(self)).parameters
        settings = [f"{key}={v!r}" for key, v in parameters.items() if v != defaults[key].default]
        advice = " Or wrap the network itself: FunctionDenoiser(lambda x, noise_level: network(x))."
        owner = f"{name}({', '.join(settings)})" if settings else name
        with concerning("the 'weights' parameter"):
            return read_weights(path, owner, self._first_weights, understand, advice, self.sha256)

    def _chosen_architecture(self, decided: Mapping[str, Any]) -> dict[str, Any]:
        """Return the network's parameters: as set, else as in the weights, else the defaults."""
        chosen = {k: v for k, v in self._architecture_parameters().items() if v is not None}
        return {**self._architecture, **decided, **chosen}

    def _architecture_parameters(self) -> dict[str, Any]:
        """Return the network's parameters as the user set them; None means not set."""
        return {name: getattr(self, name) for name in self._architecture}


def _check_channels(published: int, channels: int) -> None:
    """Raise an error unless images have the number of channels of the weights."""
    if published != channels:
        raise ValueError(
            f"they are for {_images(published)}, but the images are {_images(channels)}. Use such "
            "images, or other weights."
        )


def _check_architecture(decided: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raise an error if the user set parameters other than those that the weights determine."""
    for name, value in decided.items():
        if parameters[name] not in (None, value):
            raise ValueError(
                f"their network has {name}={value!r}, not {name}={parameters[name]!r}. Set "
                f"{name}={value!r}."
            )


def _images(channels: int) -> str:
    descriptions = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
    return descriptions.get(channels, f"images of {channels} channels")
