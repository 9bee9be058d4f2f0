"""Adapters from torch modules to representations."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.exceptions import concerning
from skmetainv.parameters import Function, described
from skmetainv.representations.base import ImageModule
from skmetainv.representations.conditioned import (
    ConditionedModule,
    ConditionedRepresentation,
    Setting,
    with_features,
)

Factory: TypeAlias = Callable[[tuple[int, ...]], nn.Module]


class ModuleRepresentation(ConditionedRepresentation):
    """A representation from any `torch.nn.Module` that returns an image.

    The module's values in [-1, 1] are mapped to `data_range`. The module is called as a function of
    its weights, vectorised over images by `torch.func.vmap`, and differentiated twice. It must
    therefore be written in torch, and compute in the type of its weights. Its tensors that are not
    weights should be buffers.

    Parameters
    ----------
    factory : callable
        ``factory(image_shape)`` returns the module. Called without arguments, the module returns an
        image of shape (channels, height, width) or (1, channels, height, width), nominally in
        [-1, 1]. It is in evaluation mode: batch normalisation should have
        ``track_running_stats=False``. `factory` can also be a `torch.nn.Module` itself: it is
        copied, and its weights are the initial weights.
    adapted : sequence of str or None, default=None
        Names of the weights that are adapted to each image. The name of a submodule stands for all
        its weights; None stands for all weights of the module. The other weights are shared by all
        images.
    continuous : bool, default=False
        Whether the module has the same weights for every height and width in `image_shape`.

    Notes
    -----
    The initial weights are those of a module that `factory` returns. torch's CPU generator is
    seeded before this call and restored after it. The buffers always come from a second module,
    made with seed 0.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.representations import ModuleRepresentation
    >>> class LowRank(torch.nn.Module):
    ...     def __init__(self, image_shape):
    ...         super().__init__()
    ...         channels, height, width = image_shape
    ...         self.columns = torch.nn.Parameter(torch.randn(channels, height, 2))
    ...         self.rows = torch.nn.Parameter(torch.randn(channels, 2, width))
    ...
    ...     def forward(self):
    ...         return self.columns @ self.rows
    >>> phi = ModuleRepresentation(LowRank, adapted=["columns"]).build(image_shape=(1, 4, 5))
    >>> phi(phi.initial_weights(np.random.default_rng(0))).shape
    torch.Size([1, 1, 4, 5])
    """

    factory: Factory
    _: KW_ONLY
    adapted: Sequence[str] | None = None
    continuous: bool = False

    _parameter_constraints = {
        "factory": [Function()],
        "adapted": [list, tuple, None],
        "continuous": ["boolean"],
        **ConditionedRepresentation._parameter_constraints,
    }

    def _network(self, setting: Setting) -> ImageModule:
        with concerning("the 'factory' parameter of ModuleRepresentation"):
            phi = _ModuleImage(setting, self.factory, self.adapted)
        phi.continuous = self.continuous and self.encoder is None
        return phi


class _ModuleImage(ConditionedModule):
    def __init__(self, setting: Setting, factory: Factory, adapted: Sequence[str] | None):
        super().__init__(setting, n_features=math.prod(setting.image_shape))
        self.new_module = partial(_new_module, factory, self.image_shape)
        module = self.new_module(seed=0)
        self.held = (module,)  # a tuple hides its weights from this module's parameters
        self.n_axes = {name: weight.ndim for name, weight in module.named_parameters()}
        self.adapted = _adapted_names(adapted, list(self.n_axes))
        for part in ("encoder", "refiner"):
            taken = any(name.startswith(f"{part}.") for name in self.n_axes)
            if taken and getattr(setting, part) is not None:
                raise ValueError(
                    "The 'factory' parameter of ModuleRepresentation must make modules without a "
                    f"submodule {part!r} if that parameter is set: weights would share names."
                )
        self.buffer_names = [name for name, _ in module.named_buffers()]
        for i, buffer in enumerate(module.buffers()):
            self.register_buffer(f"buffer_{i}", buffer)
        with torch.no_grad():
            self._one_image(dict(module.named_parameters()))

    def network_weights(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        module = self.new_module(seed=int(generator.integers(2**63)))
        return {name: weight.detach() for name, weight in module.named_parameters()}

    def image(self, weights: Tensors, features: torch.Tensor | None) -> torch.Tensor:
        of_module = {name: weights[name] for name in self.n_axes}
        batch_axes = {k: 0 if of_module[k].ndim > n else None for k, n in self.n_axes.items()}
        if any(axis is not None for axis in batch_axes.values()):
            images = torch.func.vmap(self._one_image, in_dims=(batch_axes,))(of_module)
        else:
            images = self._one_image(of_module)[None]
        return with_features(images, features)

    def _one_image(self, weights: Tensors) -> torch.Tensor:
        """Return the image of one set of weights, of shape (channels, height, width)."""
        buffers = zip(self.buffer_names, self.buffers(recurse=False), strict=True)
        try:
            image = torch.func.functional_call(self.held[0], {**weights, **dict(buffers)}, ())
        except TypeError as error:
            if "missing" not in str(error):
                raise
            raise ValueError(
                "The 'factory' parameter of ModuleRepresentation must make modules that are called "
                f"without arguments. Got {type(self.held[0]).__name__}, which takes some: "
                f"{error}. Keep the arguments in buffers, as in self.register_buffer("
                "'z', torch.randn(1, 8, 8, 8)), and write a forward(self) that uses self.z."
            ) from error
        shape = self.image_shape
        if not isinstance(image, torch.Tensor) or image.shape not in (shape, (1, *shape)):
            raise ValueError(
                "The 'factory' parameter of ModuleRepresentation must make modules that return "
                f"images of shape {shape} or {(1, *shape)}. "
                f"Got {_shape_or_type(image)} instead."
            )
        return image.reshape(shape)


def _new_module(factory: Factory, image_shape: tuple[int, ...], seed: int) -> nn.Module:
    """Return a new module with weights drawn from `seed`; torch's generators are unchanged.

    If `factory` is a module, return a copy of it.
    """
    module: Any = factory
    if not isinstance(module, nn.Module):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
            module = factory(image_shape)
    if not isinstance(module, nn.Module):
        raise ValueError(
            "The 'factory' parameter of ModuleRepresentation must make a torch.nn.Module. "
            f"Got {described(module)} instead."
        )
    return copy.deepcopy(module).double().cpu().eval()


def _adapted_names(adapted: Sequence[str] | None, names: list[str]) -> tuple[str, ...]:
    """Return the weights that `adapted` names, directly or by submodules."""
    chosen = {part: _below(part, names) for part in (names if adapted is None else adapted)}
    unknown = [part for part, weights in chosen.items() if not weights]
    if unknown or not chosen:
        raise ValueError(
            "The 'adapted' parameter of ModuleRepresentation must name weights, or submodules "
            f"with weights, of the module, which has {names}. Got {unknown or adapted!r} instead."
        )
    return tuple(name for name in names if any(name in weights for weights in chosen.values()))


def _below(part: str, names: list[str]) -> list[str]:
    return [name for name in names if name == part or name.startswith(f"{part}.")]


def _shape_or_type(image: Any) -> Any:
    return tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
