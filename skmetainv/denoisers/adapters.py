"""Other people's denoisers."""

import copy
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch

from skmetainv.denoisers.base import ClassicalModule, Denoiser, DenoiserModule
from skmetainv.parameters import Interval

# A model is tried on images no larger than this along a side.
_TRIAL_PIXELS = 64
_CONSTRAINTS = {"noise_level": [Interval(Real, 0, None, closed="neither")]}


class FunctionDenoiser(Denoiser):
    """A function, or a `torch.nn.Module`, as a denoiser.

    Parameters
    ----------
    fn : callable
        ``fn(x, noise_level)`` gives denoised images, both `x` and the result of shape
        ``(batch, channels, height, width)``, the noise level a float, or a tensor of shape ``()``
        or ``(batch, 1, 1, 1)``. It is written in torch, each image on its own; derivatives come
        from autograd. Of a module a copy is used, in evaluation mode; a solver may train its
        weights.
    noise_level : float, default=0.05
        Standard deviation of the noise, where a solver says none.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import FunctionDenoiser
    >>> D = FunctionDenoiser(lambda x, noise_level: (1 - noise_level) * x, 0.5).build((1, 1, 1))
    >>> D(torch.ones(1, 1, 1, 1))
    tensor([[[[0.5000]]]])
    """

    _parameter_constraints = {**_CONSTRAINTS, "fn": [callable]}

    def __init__(self, fn: Callable[..., torch.Tensor], noise_level: float = 0.05):
        self.fn = fn
        self.noise_level = noise_level

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`."""
        self._validate_params()
        return _FunctionDenoiser(self.noise_level, self.fn)


class DeepInverseDenoiser(Denoiser):
    """A denoiser of DeepInverse, ``model(x, sigma)``.

    Needs the package ``deepinv`` (``pip install "skmetainv[deepinv]"``).

    Parameters
    ----------
    model : deepinv.models.Denoiser
        For images of ``(batch, channels, height, width)``, nominally in [0, 1]. A copy of it is
        used, in evaluation mode, whose weights a solver may train.
    noise_level : float, default=0.05
        What `model` gets as ``sigma``, where a solver says none. Some of DeepInverse's denoisers
        (its `DnCNN` is one) pay no heed to it.

    Examples
    --------
    >>> import pytest, torch
    >>> deepinv = pytest.importorskip("deepinv")
    >>> from skmetainv.denoisers import DeepInverseDenoiser
    >>> D = DeepInverseDenoiser(deepinv.models.MedianFilter()).build((1, 8, 8))
    >>> D(torch.zeros(1, 1, 8, 8)).shape
    torch.Size([1, 1, 8, 8])
    """

    _parameter_constraints = _CONSTRAINTS

    def __init__(self, model: Any, noise_level: float = 0.05):
        self.model = model
        self.noise_level = noise_level

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`."""
        self._validate_params()
        try:
            from deepinv.models import Denoiser as Model
        except ImportError as error:
            raise ImportError(
                'DeepInverseDenoiser needs deepinv: pip install "skmetainv[deepinv]".'
            ) from error
        if not isinstance(self.model, Model):
            raise ValueError(
                "The 'model' parameter of DeepInverseDenoiser must be a deepinv.models.Denoiser. "
                f"Got {self.model!r} instead."
            )
        D = _FunctionDenoiser(self.noise_level, self.model)
        try:
            with torch.no_grad():
                D(_small_image(self.model, image_shape))
        except RuntimeError as error:
            raise ValueError(
                f"{type(self.model).__name__}, the 'model' parameter of DeepInverseDenoiser, does "
                f"not take images of shape {tuple(image_shape)}: {error}"
            ) from error
        return D


class _FunctionDenoiser(ClassicalModule):
    def __init__(self, noise_level: float, fn: Callable[..., Any]):
        super().__init__(noise_level)
        self.fn = copy.deepcopy(fn).eval() if isinstance(fn, torch.nn.Module) else fn

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        denoised = self.fn(x, noise_level)
        if not isinstance(denoised, torch.Tensor) or denoised.shape != x.shape:
            got = getattr(denoised, "shape", type(denoised).__name__)
            raise ValueError(
                f"A denoiser must give images of the shape that it takes, {tuple(x.shape)}. "
                f"Got {got} instead."
            )
        return denoised


def _small_image(model: torch.nn.Module, image_shape: tuple[int, ...]) -> torch.Tensor:
    """Return a zero image with the channels of `image_shape`, where and as `model` computes."""
    like = next(model.parameters(), torch.empty(0))
    return like.new_zeros(1, image_shape[0], *(min(n, _TRIAL_PIXELS) for n in image_shape[1:]))
