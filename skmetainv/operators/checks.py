"""Checks of an operator's parameters and of the images that it takes."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps.base import Shape
from skmetainv.parameters import FINITE

# A hint for errors: the usual cause of images of the wrong shape is that X and y are swapped.
_PAIRS = " In fit(X, y) the measurements X come first, and y are the images."


def check_image(operator: object, image_shape: Shape) -> None:
    """Raise an error if the input of an operator is not an image."""
    if len(image_shape) != 3:
        raise ValueError(
            f"{type(operator).__name__} takes images, (channels, height, width). The operator "
            f"before it gives {tuple(image_shape)}: flat or complex measurements."
        )


def check_channels(operator: object, image_shape: Shape, channels: int, which: str = "") -> None:
    """Raise an error if images do not have `channels` channels; the message adds `which`."""
    check_image(operator, image_shape)
    if image_shape[0] != channels:
        colours = {1: "gray images, of 1 channel", 3: "colour images, of 3 channels"}
        takes = colours.get(channels, f"images of {channels} channels")
        got = f"{image_shape[0]} channel{'' if image_shape[0] == 1 else 's'}"
        raise ValueError(
            f"{type(operator).__name__} takes {takes}{which}. Got images of {got} instead.{_PAIRS}"
        )


def check_size(operator: object, name: str, size: Shape, image_shape: Shape) -> None:
    """Raise an error if a parameter's height and width, `size`, are not those of the images."""
    image_size = tuple(image_shape[1:3])
    if size != image_size:
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} is for images of "
            f"{pixels(size)}. Got images of {pixels(image_size)} instead.{_PAIRS}"
        )


def as_count(number: Any, n: int) -> int:
    """Return a count: an integer unchanged, a float as a share of `n`, rounded, at least 1."""
    return int(number) if isinstance(number, Integral) else max(1, round(number * n))


def pixels(size: Shape) -> str:
    """Return a height and a width as text."""
    return f"{size[0]} x {size[1]} pixels"


def check_numbers(value: Any, name: str, operator: object, kinds: str = "buif") -> np.ndarray:
    """Return a parameter as an array of finite numbers; `kinds` are the NumPy kinds allowed."""
    try:
        array = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: torch's
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} is not an array: {error}"
        ) from error
    if array.dtype.kind not in kinds or not (np.abs(array) <= FINITE.right).all():
        raise ValueError(
            f"The {name!r} parameter of {type(operator).__name__} must hold finite "
            f"{'numbers' if 'c' in kinds else 'real numbers'}, up to {FINITE.right:g}. Got an "
            f"array of {array.dtype}."
        )
    return array
