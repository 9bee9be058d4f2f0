"""Users' functions as denoisers: tried once, then called in the form that works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import torch

from skmetainv.operators.maps.foreign_functions import Result, alike, through_arrays
from skmetainv.parameters import described

#: ``call(x)`` or ``call(x, noise_level)`` returns a batch of denoised images.
Call: TypeAlias = Callable[..., torch.Tensor]

# Largest side of the images in trials, if the function takes such images.
_TRIAL_PIXELS = 64
# To find out whether a function treats rows on their own, it is tried at these multiples of the
# noise level. At a low level, it may change images too little to show which axes belong together.
_LEVELS = (1.0, 10.0)


class NotDenoisedError(ValueError):
    """A function's result is not a batch of images of the shape of its input."""


def as_call(function: Callable[..., Any], name: str, x: torch.Tensor, *level: Any) -> Call:
    """Try a function on random images, and wrap it so that it takes batches of tensors.

    The function may take tensors, ``(batch, channels, height, width)``, arrays of one image,
    ``(height, width)`` or ``(height, width, channels)``, or arrays of a batch. If it treats each
    row of an image on its own, its first axis is taken as a batch axis.

    Parameters
    ----------
    function : callable
        ``function(x)`` or ``function(x, noise_level)``.
    name : str
        The name of `function` in errors.
    x : tensor of shape (batch, channels, height, width)
        The images to denoise, which set the shape, type and device of the trial.
    *level : float or tensor
        The noise level, if `function` takes one.

    Returns
    -------
    call : callable
        ``call(x)`` or ``call(x, noise_level)``, which takes and returns batches of tensors.

    Raises
    ------
    ValueError
        If the function returns images in none of these forms.
    """
    one_level = [s[:1] if isinstance(s, torch.Tensor) and s.ndim else s for s in level]
    refused: dict[str, Exception] = {}
    for form, what in (
        (_by_tensors, "a batch of tensors"),
        (_by_images, "an array of one image"),
        (_by_batches, "an array of a batch"),
        (_without_derivative, "a batch of tensors"),
    ):
        try:
            return form(function, x, one_level)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            refused[what] = error
    if isinstance(refused["a batch of tensors"], NotDenoisedError):
        raise refused["a batch of tensors"]
    reasons = "; ".join(f"with {what}: {error}" for what, error in refused.items())
    raise ValueError(
        f"{name} does not denoise images of shape {tuple(x.shape[1:])}, channels first, neither as "
        f"tensors nor as arrays: {reasons}"
    )


def checked(denoised: Any, x: torch.Tensor) -> torch.Tensor:
    """Return a function's result, or raise an error if it does not have the shape of `x`."""
    if (
        isinstance(denoised, torch.Tensor)
        and denoised.shape == x.shape
        and denoised.is_floating_point()
    ):
        return denoised
    raise NotDenoisedError(
        f"A denoiser must return images of the shape that it takes, {tuple(x.shape)}, in "
        f"floating point. Got {described(denoised)} instead."
    )


def at_a_size_that_works(
    call: Callable[[tuple[int, ...]], Result], image_shape: tuple[int, ...]
) -> Result:
    """Return the result of `call` for a small image shape or, if that fails, for the full one."""
    channels, *size = image_shape
    small = (channels, *(min(side, _TRIAL_PIXELS) for side in size))
    try:
        return call(small)
    except Exception:
        if small == image_shape:
            raise
        return call(image_shape)  # it may take images of one size only


def _by_tensors(function: Call, x: torch.Tensor, level: list[Any]) -> Call:
    """Return a function of tensors unchanged if autograd can differentiate it."""
    with torch.inference_mode(False), torch.enable_grad():
        _, y = _on_random_images(function, x, level, with_graph=True)
    if not y.requires_grad:
        raise TypeError("it has no derivative")
    return function


def _by_images(function: Callable[..., Any], x: torch.Tensor, level: list[Any]) -> Call:
    """Wrap a function of arrays so that it takes a batch of tensors.

    If `function` treats each row on its own, it is called once per batch, otherwise once per image.
    """
    through = _keeping_shape(function)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        levels = [_floats(s, len(x)) for s in level]
        images = [through(_array_order(x_i), *s) for x_i, *s in zip(x, *levels, strict=True)]
        return torch.stack([y[None] if y.ndim == 2 else y.movedim(-1, 0) for y in images])

    images, _ = _on_random_images(call, x, level)
    with suppress(Exception):  # it may not take single rows or batches
        if all(_rows_alone(through, images, [factor * s for s in level]) for factor in _LEVELS):
            return _by_batches(function, x, level)
    return call


def _by_batches(function: Callable[..., Any], x: torch.Tensor, level: list[Any]) -> Call:
    """Try `function`, which takes a batch as an array, and wrap it so that it takes tensors."""
    through = _keeping_shape(function)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        return through(x, *map(_array, level))

    images, y = _on_random_images(call, x, level)
    if not alike(y, lambda x: call(x, *level), images):
        raise TypeError("it does not treat each image on its own")
    return call


def _without_derivative(function: Call, x: torch.Tensor, level: list[Any]) -> Call:
    """Wrap `function` so that it gets detached tensors, which it may convert to arrays."""

    def call(*arguments: Any) -> torch.Tensor:
        return function(*(s.detach() if isinstance(s, torch.Tensor) else s for s in arguments))

    _on_random_images(call, x, level)
    return call


def _on_random_images(
    call: Call, x: torch.Tensor, level: list[Any], with_graph: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two random images like `x`, and the result of `call` for them."""

    def call_at(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        images = images.to(x.device, x.dtype).requires_grad_(with_graph)
        return images, checked(call(images.clone(), *level), images)

    return at_a_size_that_works(call_at, tuple(x.shape[1:]))


def _rows_alone(call: Call, x: torch.Tensor, level: list[Any]) -> bool:
    """Return whether `call`, which takes one image in the arrays' layout, treats rows alone."""
    image = _array_order(x[0])
    levels = [_floats(s, 1)[0] for s in level]
    return alike(call(image, *levels), lambda rows: call(rows, *levels), image)


def _keeping_shape(function: Callable[..., Any]) -> Call:
    """Wrap a function of arrays so that it takes tensors and keeps their shape and type."""
    through = through_arrays(function)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        return checked(through(x, *level), x).to(x)

    return call


def _array_order(x: torch.Tensor) -> torch.Tensor:
    """Return one image in the layout of the user's arrays."""
    return x[0] if len(x) == 1 else x.movedim(0, -1)


def _floats(level: float | torch.Tensor, n: int) -> list[float]:
    """Return the noise level of each of `n` images."""
    return torch.as_tensor(level, dtype=torch.float64).detach().flatten().expand(n).tolist()


def _array(level: float | torch.Tensor) -> Any:
    """Return a noise level as a float, or as an array with one value per image."""
    if isinstance(level, torch.Tensor) and level.ndim:
        return level.detach().cpu().numpy()
    return float(level)
