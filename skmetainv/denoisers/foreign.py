"""Other people's functions as denoisers: tried once, then called with what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import torch

from skmetainv.operators.maps.foreign_functions import alike, through_arrays
from skmetainv.parameters import described

#: ``call(x)`` or ``call(x, noise_level)`` gives a batch of denoised images.
Call: TypeAlias = Callable[..., torch.Tensor]
Result = TypeVar("Result")

# Trials are made on images no larger than this along a side, where those are taken.
_TRIAL_PIXELS = 64
# A function is asked for its treatment of rows at so many times the noise level: what hardly
# changes an image does not show which of its axes belong together.
_LEVELS = (1.0, 10.0)


class NotDenoisedError(ValueError):
    """What a function gives is no images of the shape that it took."""


def understood(fn: Callable[..., Any], name: str, x: torch.Tensor, *level: Any) -> Call:
    """Try a function on random images, and return how it is to be called.

    It takes tensors, ``(batch, channels, height, width)``; or arrays of one image, ``(height,
    width)`` or ``(height, width, channels)``; or arrays of batches. The last is decided by the
    rows: a function that treats each row of one image on its own has the batch in the first axis.

    Parameters
    ----------
    fn : callable
        ``fn(x)`` or ``fn(x, noise_level)``.
    name : str
        How errors name it.
    x : tensor of shape (batch, channels, height, width)
        What it is to denoise: the shape, type and device of the trial.
    *level : float or tensor
        The noise level, if it takes one.

    Returns
    -------
    call : callable
        ``call(x)`` or ``call(x, noise_level)``, between batches of tensors.

    Raises
    ------
    ValueError
        If none of these ways gives images.
    """
    one_level = [s[:1] if isinstance(s, torch.Tensor) and s.ndim else s for s in level]
    refused: dict[str, Exception] = {}
    for found, what in (
        (_by_tensors, "a batch of tensors"),
        (_by_images, "an array of one image"),
        (_by_batches, "an array of a batch"),
        (_without_derivative, "a batch of tensors"),
    ):
        try:
            return found(fn, x, one_level)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            refused[what] = error
    if isinstance(refused["a batch of tensors"], NotDenoisedError):
        raise refused["a batch of tensors"]
    reasons = "; ".join(f"of {what}: {error}" for what, error in refused.items())
    raise ValueError(
        f"{name} does not denoise images of shape {tuple(x.shape[1:])}, channels first, given as "
        f"tensors or as arrays: {reasons}"
    )


def checked(denoised: Any, x: torch.Tensor) -> torch.Tensor:
    """Return what a function gives of images, if it is images of the same shape."""
    if (
        isinstance(denoised, torch.Tensor)
        and denoised.shape == x.shape
        and denoised.is_floating_point()
    ):
        return denoised
    raise NotDenoisedError(
        f"A denoiser must give images of the shape that it takes, {tuple(x.shape)}, in floating "
        f"point. Got {described(denoised)} instead."
    )


def at_a_size_that_works(
    call: Callable[[tuple[int, ...]], Result], image_shape: tuple[int, ...]
) -> Result:
    """Return what a call gives for the shape of small images or, if it fails, for the full one."""
    channels, *size = image_shape
    small = (channels, *(min(side, _TRIAL_PIXELS) for side in size))
    if small != image_shape:
        try:
            return call(small)
        except Exception:  # it may be for images of one size
            return call(image_shape)
    return call(small)


def _by_tensors(fn: Call, x: torch.Tensor, level: list[Any]) -> Call:
    """Return a function as it is, if autograd knows its derivative."""
    with torch.inference_mode(False), torch.enable_grad():
        _, y = _tried(fn, x, level, with_graph=True)
    if not y.requires_grad:
        raise TypeError("there is no derivative")
    return fn


def _by_images(fn: Callable[..., Any], x: torch.Tensor, level: list[Any]) -> Call:
    """Return how a function of arrays is called that takes one image, or a batch just as well."""
    call = _of_images(fn)
    given, _ = _tried(call, x, level)
    try:
        if all(_rows_alone(fn, given, [factor * s for s in level]) for factor in _LEVELS):
            return _by_batches(fn, x, level)
    except Exception:  # it does not take a row, or no batch
        return call
    return call


def _by_batches(fn: Callable[..., Any], x: torch.Tensor, level: list[Any]) -> Call:
    """Return how a function of arrays is called that takes a batch."""
    call = _of_batches(fn)
    given, y = _tried(call, x, level)
    if not alike(y, lambda x: call(x, *level), given):
        raise TypeError("it does not treat each image on its own")
    return call


def _without_derivative(fn: Call, x: torch.Tensor, level: list[Any]) -> Call:
    """Return how a function of tensors is called that may turn them into arrays itself."""

    def call(*arguments: Any) -> torch.Tensor:
        return fn(*(s.detach() if isinstance(s, torch.Tensor) else s for s in arguments))

    _tried(call, x, level)
    return call


def _tried(
    call: Call, x: torch.Tensor, level: list[Any], with_graph: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two random images like `x`, and what a call makes of them."""

    def tried(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        given = images.to(x.device, x.dtype).requires_grad_(with_graph)
        return given, checked(call(given.clone(), *level), given)

    return at_a_size_that_works(tried, tuple(x.shape[1:]))


def _rows_alone(fn: Callable[..., Any], x: torch.Tensor, level: list[Any]) -> bool:
    """Whether a function of one image as an array treats each of its rows on its own."""
    image = _array_order(x[0])
    call = _through_arrays(fn)
    levels = [_floats(s, 1)[0] for s in level]
    return alike(call(image, *levels), lambda rows: call(rows, *levels), image)


def _of_images(fn: Callable[..., Any]) -> Call:
    """Return a function of one image as an array as one of a batch of tensors."""
    through = _through_arrays(fn)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        levels = [_floats(s, len(x)) for s in level]
        images = [through(_array_order(x_i), *s) for x_i, *s in zip(x, *levels, strict=True)]
        return torch.stack([y[None] if y.ndim == 2 else y.movedim(-1, 0) for y in images])

    return call


def _of_batches(fn: Callable[..., Any]) -> Call:
    """Return a function of a batch as an array as one of tensors."""
    through = _through_arrays(fn)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        return through(x, *(_array(s) for s in level))

    return call


def _through_arrays(fn: Callable[..., Any]) -> Call:
    """Return a function of arrays as one of tensors that keeps their shape and type."""
    through = through_arrays(fn)

    def call(x: torch.Tensor, *level: Any) -> torch.Tensor:
        return checked(through(x, *level), x).to(x)

    return call


def _array_order(x: torch.Tensor) -> torch.Tensor:
    """Return one image as the user's arrays have it."""
    return x[0] if len(x) == 1 else x.movedim(0, -1)


def _floats(level: float | torch.Tensor, n: int) -> list[float]:
    """Return the noise level of each of `n` images."""
    return torch.as_tensor(level, dtype=torch.float64).detach().flatten().expand(n).tolist()


def _array(level: float | torch.Tensor) -> Any:
    """Return a noise level as a float, or as an array with one for each image."""
    if isinstance(level, torch.Tensor) and level.ndim:
        return level.detach().cpu().numpy()
    return float(level)
