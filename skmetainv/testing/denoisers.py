"""The check of denoisers."""

from __future__ import annotations

from typing import Any

import torch

from skmetainv.denoisers import Denoiser, DenoiserModule
from skmetainv.testing.derivatives import require_derivatives, require_finite_derivatives
from skmetainv.testing.failures import checking, require, require_close, require_unchanged, required
from skmetainv.testing.other_types import require_other_types
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import BATCH, normal

_LOW, _HIGH = 0.02, 0.2
# In images with a smaller side, there may be nothing to smooth or no coefficient to shrink.
_LEAST_SIDE = 6


def check_denoiser(
    denoiser: Denoiser,
    image_shape: tuple[int, ...] = (1, 6, 6),
    *,
    differentiable: bool = True,
    device: str = "auto",
) -> None:
    """Raise an error unless a denoiser has the properties of this library's denoisers.

    The result must have the shape and type of the images, and each image must be denoised on its
    own. First and second derivatives with respect to image and noise level must be exact. One noise
    level for all images and one for each image must be accepted; None must mean the denoiser's own.
    If `takes_noise_level` is False, the noise level must not matter. The object must work with
    scikit-learn's `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    denoiser : Denoiser
        The denoiser to check. If it is a learned one, it must be fitted.
    image_shape : (int, int, int), default=(1, 6, 6)
        Channels, height and width of the test images. The effect of the noise level is only checked
        on images of at least 6 x 6 pixels.
    differentiable : bool, default=True
        Whether the denoiser must have derivatives, which training needs.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `denoiser` itself, if it does not accept its parameters or such images.

    Examples
    --------
    >>> from skmetainv.denoisers import GaussianSmoothing
    >>> from skmetainv.testing import check_denoiser
    >>> check_denoiser(GaussianSmoothing(noise_level=0.1))
    """
    x = normal(BATCH, *image_shape)
    with checking(denoiser):
        check_parameter_object(
            denoiser, Denoiser, lambda part: part.build(image_shape).double()(x.clone())
        )
        D = denoiser.build(image_shape).double()
        _check_images(D, x)
        _check_noise_levels(denoiser, D, x)
        if differentiable:
            _check_derivatives(D, x[:1])
        _check_other_types(denoiser, x, device)


@torch.no_grad()
def _check_images(D: DenoiserModule, x: torch.Tensor) -> None:
    original = x.clone()
    together = D(x)
    require_unchanged(x, original, "the images as they are", "x.clamp_()")
    require(
        together.dtype == x.dtype and bool(together.isfinite().all()),
        f"must give finite images in their type, {x.dtype}",
        f"{together.dtype} and {int((~together.isfinite()).sum())} numbers that are not finite",
        "a tensor of another type, or a division",
    )
    for i in range(len(x)):
        require_close(
            D(x[i : i + 1]),
            together[i : i + 1],
            1e-8,
            "must denoise each image of a batch as it would alone",
            "a mean, a norm or a maximum over the batch; compute along the axes after the first",
        )


@torch.no_grad()
def _check_noise_levels(denoiser: Any, D: DenoiserModule, x: torch.Tensor) -> None:
    low, high = D(x, _LOW), D(x, _HIGH)
    change = float((low - high).norm() / x.norm())
    require(
        (change > 0) == D.takes_noise_level or (change == 0 and min(x.shape[2:]) < _LEAST_SIDE),
        "must depend on the noise level that it is called with, or have takes_noise_level = False",
        f"a change of {change:.3g} between the levels {_LOW} and {_HIGH}, and takes_noise_level = "
        f"{D.takes_noise_level}",
        "`forward` uses the parameter noise_level, not its argument; ClassicalModule passes the "
        "right one to `denoise`",
    )
    levels = torch.linspace(_LOW, _HIGH, len(x), dtype=x.dtype).reshape(-1, 1, 1, 1)
    each = torch.cat([D(x[i : i + 1], float(level)) for i, level in enumerate(levels)])
    cause = "float(noise_level), or an `if` over it; compute with it as with a number"
    property_ = "must take a noise level for each image"
    with required(property_, cause):
        together = D(x, levels)
    require_close(together, each, 1e-8, property_, cause)
    alone = D(x, torch.tensor(_HIGH, dtype=x.dtype))
    require_close(alone, high, 1e-8, "must take a noise level as a tensor", cause)
    default = getattr(denoiser, "noise_level", None)
    if isinstance(default, float) and D.takes_noise_level:
        require_close(
            D(x),
            D(x, default),
            1e-10,
            f"must use its own noise level, {default}, if it is called without one",
            "`forward` treats None as another level",
        )


def _check_derivatives(D: DenoiserModule, x: torch.Tensor) -> None:
    D = D.requires_grad_(False)
    if D.takes_noise_level:
        level = torch.tensor(_HIGH, dtype=x.dtype)
        require_derivatives(D, (x, level), "the denoised image in image and noise level")
    else:
        require_derivatives(D, (x,), "the denoised image in the image")
    for value in (0.0, 0.5):
        require_finite_derivatives(D, torch.full_like(x, value), "on constant images")


@torch.no_grad()
def _check_other_types(denoiser: Denoiser, x: torch.Tensor, device: str) -> None:
    def compute(place: torch.device, dtype: torch.dtype) -> torch.Tensor:
        there = denoiser.build(tuple(x.shape[1:])).to(place, dtype)
        restored: torch.Tensor = there(x.to(place, dtype))
        return restored

    cause = "a tensor that is no buffer; keep it by self.register_buffer(name, tensor)"
    require_other_types(compute, (1e-4, 1e-6), "denoise", cause, device, size=x)
