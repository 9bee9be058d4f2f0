"""Other people's denoisers."""

import copy
import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch

from skmetainv.denoisers.base import ClassicalModule, Denoiser, DenoiserModule
from skmetainv.parameters import Interval

_DEFAULT_LEVEL = 0.05
# A model is tried on images no larger than this along a side.
_TRIAL_PIXELS = 64
_CONSTRAINTS = {"noise_level": [Interval(Real, 0, None, closed="neither")]}


class FunctionDenoiser(Denoiser):
    """A function, or a `torch.nn.Module`, as a denoiser.

    Parameters
    ----------
    fn : callable
        ``fn(x, noise_level)``, or ``fn(x)``, returns denoised images. Both `x` and the result have
        the shape ``(batch, channels, height, width)``. The noise level is a float, or a tensor of
        shape ``()`` or ``(batch, 1, 1, 1)``. `fn` must be written in torch, where derivatives come
        from autograd, and treat each image on its own. If it is a module, a copy is used, in
        evaluation mode; a solver may train the weights of the copy.
    noise_level : float, default=None
        Standard deviation of the noise, if the solver gives none; None is 0.05. If `fn` takes the
        image alone, it must be None, and the solver must have none.

    Raises
    ------
    ValueError
        By `build`, if a module does not take such images or returns others. If `fn` takes the image
        alone, and `noise_level` is not None.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import FunctionDenoiser
    >>> D = FunctionDenoiser(lambda x, noise_level: (1 - noise_level) * x, 0.5).build((1, 1, 1))
    >>> D(torch.ones(1, 1, 1, 1))
    tensor([[[[0.5000]]]])
    """

    _parameter_constraints = {"noise_level": [*_CONSTRAINTS["noise_level"], None], "fn": [callable]}

    def __init__(self, fn: Callable[..., torch.Tensor], noise_level: float | None = None):
        self.fn = fn
        self.noise_level = noise_level

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`."""
        self._validate_params()
        takes_level = _takes_noise_level(self.fn)
        if self.noise_level is not None and not takes_level:
            raise ValueError(
                "The 'noise_level' parameter of FunctionDenoiser must be None: 'fn' takes the "
                f"image alone. Got {self.noise_level!r} instead; a function fn(x, noise_level) "
                "takes one."
            )
        level = _DEFAULT_LEVEL if self.noise_level is None else self.noise_level
        D = _FunctionDenoiser(level, self.fn, takes_level)
        if isinstance(self.fn, torch.nn.Module):
            _check_module(D, self.fn, image_shape, "'fn' parameter of FunctionDenoiser")
        return D


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
        _check_module(D, self.model, image_shape, "'model' parameter of DeepInverseDenoiser")
        return D


class _FunctionDenoiser(ClassicalModule):
    def __init__(self, noise_level: float, fn: Callable[..., Any], takes_level: bool = True):
        super().__init__(noise_level)
        self.takes_noise_level = takes_level
        self.fn = copy.deepcopy(fn).eval() if isinstance(fn, torch.nn.Module) else fn

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        denoised = self.fn(x, noise_level) if self.takes_noise_level else self.fn(x)
        if not isinstance(denoised, torch.Tensor) or denoised.shape != x.shape:
            is_tensor = isinstance(denoised, torch.Tensor)
            got = tuple(denoised.shape) if is_tensor else type(denoised).__name__
            raise ValueError(
                f"A denoiser must give images of the shape that it takes, {tuple(x.shape)}. "
                f"Got {got} instead."
            )
        return denoised


def _takes_noise_level(fn: Callable[..., Any]) -> bool:
    """Whether a function can be called with an image and a noise level, by its signature."""
    try:
        signature = inspect.signature(fn.forward if isinstance(fn, torch.nn.Module) else fn)
    except ValueError:  # functions of torch that are built in have none
        return _can_be_called(fn, torch.zeros(1, 1, 1, 1), _DEFAULT_LEVEL)
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def _can_be_called(fn: Callable[..., Any], *arguments: Any) -> bool:
    try:
        fn(*arguments)
    except TypeError:
        return False
    return True


def _check_module(
    D: DenoiserModule, module: torch.nn.Module, image_shape: tuple[int, ...], parameter: str
) -> None:
    """Raise if a module does not make images of such images."""
    try:
        with torch.no_grad():
            D(_small_image(module, image_shape))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{type(module).__name__}, the {parameter}, does not denoise images of shape "
            f"{tuple(image_shape)}: {error}"
        ) from error


def _small_image(model: torch.nn.Module, image_shape: tuple[int, ...]) -> torch.Tensor:
    """Return a zero image with the channels of `image_shape`, where and as `model` computes."""
    like = next(model.parameters(), torch.empty(0))
    return like.new_zeros(1, image_shape[0], *(min(n, _TRIAL_PIXELS) for n in image_shape[1:]))
