"""Denoisers around functions, modules and DeepInverse's models."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, Self

import torch

from skmetainv.denoisers.base import ClassicalModule, Denoiser, DenoiserModule
from skmetainv.denoisers.foreign import as_call, at_a_size_that_works, checked
from skmetainv.exceptions import concerning
from skmetainv.operators.maps.foreign_functions import NO_DERIVATIVE
from skmetainv.operators.maps.hidden_parts import (
    apply_to_hidden,
    evaluating,
    start_anew,
    warm_started,
)
from skmetainv.operators.maps.precision import Conversion
from skmetainv.parameters import POSITIVE, Function

_DEFAULT_LEVEL = 0.05


class FunctionDenoiser(Denoiser):
    """A denoiser made from a function of tensors or NumPy arrays, or from a `torch.nn.Module`.

    Parameters
    ----------
    function : callable
        ``function(x, noise_level)``, or ``function(x)``, returns denoised images. If `function` is
        written in torch, both `x` and the result have the shape ``(batch, channels, height,
        width)``. The noise level is a float, or a tensor of shape ``()`` or ``(batch, 1, 1, 1)``.
        Autograd computes the derivatives. `function` must treat each image on its own. If
        `function` is a module, a copy in evaluation mode is used; a solver may train the weights of
        the copy. If `function` is written for NumPy arrays, it is called for one image at a time,
        of shape ``(height, width)`` or, with several channels, ``(height, width, channels)``. The
        noise level is then a float. Such a function has no derivative.
    noise_level : float, default=None
        Standard deviation of the noise, in the units of the images, used if the solver sets none.
        If None, 0.05. If `function` takes only the image, set no noise level, here or in the
        solver. A second parameter counts as the noise level if it has no default, or is named
        ``noise_level`` or ``sigma``.

    Raises
    ------
    ValueError
        By `build`, if a module does not take images of this shape, or returns another shape; or if
        `function` takes only the image and `noise_level` is not None. When denoising, if `function`
        does not take the images, or returns another shape; or if a derivative is needed and
        `function` has none. The training of `skmetainv.MetaInverseSolver` and
        `skmetainv.UnrolledReconstructor` needs one.

    Notes
    -----
    Before its first use, a function is called with random images to find out which input it takes.
    `numpy.fft.fft2`, and functions with ``axes=(-2, -1)``, act on the last two axes. In a colour
    image, these are the width and the channels, so that each row is treated on its own. A
    function of arrays that treats each row of an image on its own is therefore assumed to take a
    batch of images. It is then called with arrays of shape ``(batch, channels, height, width)``,
    and the noise level is a float or an array of shape ``(batch, 1, 1, 1)``.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import FunctionDenoiser
    >>> halved = FunctionDenoiser(lambda x, noise_level: (1 - noise_level) * x, noise_level=0.5)
    >>> D = halved.build((1, 1, 1))
    >>> D(torch.ones(1, 1, 1, 1))
    tensor([[[[0.5000]]]])

    A function of arrays, for `skmetainv.ClassicalReconstructor`:

    >>> from scipy.ndimage import median_filter
    >>> D = FunctionDenoiser(lambda image: median_filter(image, size=3)).build((1, 3, 3))
    >>> D(torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]])).sum()
    tensor(0.)
    """

    function: Callable[..., torch.Tensor]
    _: KW_ONLY
    noise_level: float | None = None

    _parameter_constraints = {"function": [Function()], "noise_level": [POSITIVE, None]}

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        takes_level = _takes_noise_level(self.function)
        if self.noise_level is not None and not takes_level:
            raise ValueError(
                "The 'noise_level' parameter of FunctionDenoiser must be None: 'function' takes "
                f"the image alone. Got {self.noise_level!r} instead. Only a function "
                "function(x, noise_level) takes a noise level."
            )
        level = _DEFAULT_LEVEL if self.noise_level is None else self.noise_level
        name = "'function' parameter of FunctionDenoiser"
        D = _FunctionDenoiser(level, self.function, name, takes_level)
        if isinstance(self.function, torch.nn.Module):
            with concerning(f"the {name}"):
                _try_module(D, image_shape)
        return D


class DeepInverseDenoiser(Denoiser):
    """A denoiser of DeepInverse, ``model(x, sigma)``.

    Needs the package ``deepinv`` (``pip install "skmetainv[deepinv]"``).

    Parameters
    ----------
    model : deepinv.models.Denoiser
        A model for images of shape ``(batch, channels, height, width)``, nominally in [0, 1]. A
        copy in evaluation mode is used; a solver may train the weights of the copy.
    noise_level : float, default=0.05
        The ``sigma`` of `model`, in the units of the images, used if the solver sets none. Some of
        DeepInverse's denoisers, such as its `DnCNN`, ignore it.

    Examples
    --------
    >>> import pytest, torch
    >>> deepinv = pytest.importorskip("deepinv")
    >>> from skmetainv.denoisers import DeepInverseDenoiser
    >>> D = DeepInverseDenoiser(deepinv.models.MedianFilter()).build((1, 8, 8))
    >>> D(torch.zeros(1, 1, 8, 8)).shape
    torch.Size([1, 1, 8, 8])
    """

    model: torch.nn.Module
    _: KW_ONLY
    noise_level: float = 0.05

    _parameter_constraints = {"noise_level": [POSITIVE]}

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
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
        D = _FunctionDenoiser(
            self.noise_level, self.model, "'model' parameter of DeepInverseDenoiser"
        )
        _try_module(D, image_shape)
        return D


class _FunctionDenoiser(ClassicalModule):
    """The denoiser ``function(x, noise_level)`` or ``function(x)``; a module is copied."""

    def __init__(
        self,
        noise_level: float,
        function: Callable[..., Any],
        parameter: str,
        takes_level: bool = True,
    ):
        super().__init__(noise_level)
        self.takes_noise_level = takes_level
        self.parameter = parameter
        self.function, self.warm_started = function, []
        if isinstance(function, torch.nn.Module):
            self.function = evaluating(copy.deepcopy(function))
            self.warm_started = warm_started(self.function)
        self.call: Callable[..., Any] | None = None

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        apply_to_hidden(self, fn)
        return self

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        arguments = (x, noise_level) if self.takes_noise_level else (x,)
        if isinstance(self.function, torch.nn.Module):
            denoised = self._by_module(self.function, *arguments)
        else:
            with concerning(f"the {self.parameter}"):
                if self.call is None:
                    self.call = as_call(self.function, f"The {self.parameter}", *arguments)
                denoised = checked(self.call(*arguments), x)
        needs = torch.is_grad_enabled() and any(
            isinstance(value, torch.Tensor) and value.requires_grad for value in arguments
        )
        if needs and not denoised.requires_grad:
            raise ValueError(
                f"The {self.parameter} has no derivative: {NO_DERIVATIVE}. Training differentiates "
                "through the denoiser. Write it in torch, or use ClassicalReconstructor, which "
                "needs no derivative."
            )
        return denoised

    def _by_module(
        self, module: torch.nn.Module, x: torch.Tensor, *noise_level: Any
    ) -> torch.Tensor:
        """Return the result of a module; an error names the module."""
        start_anew(self.warm_started)
        try:
            return checked(module(x, *noise_level), x)
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{type(module).__name__}, the {self.parameter}, does not denoise images of shape "
                f"{tuple(x.shape[1:])}: {error}"
            ) from error


def _takes_noise_level(function: Callable[..., Any]) -> bool:
    """Return whether a function takes an image and a noise level, by its signature."""
    forward = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        signature = inspect.signature(forward)
        bound = signature.bind("image", "noise level")
    except ValueError:  # built-in functions of torch have no signature
        return _can_be_called(function, torch.zeros(1, 1, 1, 1), _DEFAULT_LEVEL)
    except TypeError:
        return False
    name = list(bound.arguments)[-1]  # the second parameter, or "*args"
    is_required = signature.parameters[name].default is inspect.Parameter.empty
    return is_required or name in ("noise_level", "sigma")


def _can_be_called(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        function(*arguments)
    except TypeError:
        return False
    return True


@torch.no_grad()
def _try_module(D: _FunctionDenoiser, image_shape: tuple[int, ...]) -> None:
    """Raise an error if a module denoises neither small images nor images of the full shape."""
    tensors = (t for t in (*D.parameters(), *D.buffers()) if t.is_floating_point())
    like = next(tensors, torch.empty(0))
    at_a_size_that_works(lambda shape: D(like.new_zeros(1, *shape)), tuple(image_shape))
