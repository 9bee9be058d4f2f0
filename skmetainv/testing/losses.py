"""The check of losses."""

from __future__ import annotations

import torch

from skmetainv.losses import Criterion, Loss
from skmetainv.testing.derivatives import require_derivatives, require_finite_derivatives
from skmetainv.testing.failures import (
    checking,
    require,
    require_close,
    require_finite,
    require_unchanged,
)
from skmetainv.testing.other_types import require_other_types
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import uniform

_BATCH = 3
_RANGE = (-50.0, 205.0)


def check_loss(
    loss: Loss,
    image_shape: tuple[int, ...] = (1, 4, 5),
    *,
    in_any_units: bool = True,
    device: str = "auto",
) -> None:
    """Raise an error unless a loss has the properties of this library's losses.

    The loss must return one value per image, which depends only on that image. First and second
    derivatives must be exact, and finite where images agree. Entries that are not observed must not
    matter, even if they are NaN. The value must not depend on the units of the images. The object
    must work with scikit-learn's `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    loss : Loss
        The loss to check.
    image_shape : tuple of int, default=(1, 4, 5)
        Channels, height and width of the test images, or the shape of one measurement if the loss
        compares measurements. All values are random in [0, 1].
    in_any_units : bool, default=True
        Whether the value must be the same for images in other units, if `build` gets the
        `data_range` in these units. It is if the loss divides errors by the width of the range.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `loss` itself, if it does not accept its parameters or such images.

    Examples
    --------
    >>> from skmetainv.losses import L1, L2
    >>> from skmetainv.testing import check_loss
    >>> check_loss(L2() + 0.1 * L1())
    """
    x, target = (uniform(_BATCH, *image_shape, seed=seed) for seed in (0, 1))
    with checking(loss):
        check_parameter_object(loss, Loss, lambda part: part.build()(x.clone(), target))
        criterion = loss.build()
        _check_values(criterion, x, target)
        _check_observed(criterion, x, target)
        _check_derivatives(criterion, x[:1], target[:1])
        if in_any_units:
            _check_units(loss, x, target)
        _check_other_types(criterion, x, target, device)


def _check_values(criterion: Criterion, x: torch.Tensor, target: torch.Tensor) -> None:
    originals = x.clone(), target.clone()
    values = criterion(x, target)
    for images, original in zip((x, target), originals, strict=True):
        require_unchanged(images, original, "the images as they are", "x -= target")
    require(
        bool(values.isfinite().all()),
        "must be finite",
        f"{values.tolist()}",
        "a root, a logarithm or a division",
    )
    alone = torch.cat([criterion(x[i : i + 1], target[i : i + 1]) for i in range(len(x))])
    require_close(
        values,
        alone,
        1e-9,
        "must give each image of a batch the value that it has alone",
        "a mean or a maximum over the batch; reduce the axes after the first, .flatten(1).mean(1)",
    )


def _check_observed(criterion: Criterion, x: torch.Tensor, target: torch.Tensor) -> None:
    """Raise an error if entries that are not observed affect the value or the derivative."""
    observed = uniform(*x.shape, seed=2) > 0.4
    unknown = torch.where(observed, target, torch.nan)
    cause = (
        "`observed` is ignored, or multiplied with NaN: take differences of "
        "torch.where(observed, target, x.detach()), and means over observed entries"
    )
    everywhere = criterion(x, target, torch.ones_like(observed))
    require_close(
        everywhere,
        criterion(x, target),
        1e-9,
        "must be the loss over all entries, if all are observed",
        cause,
    )
    leaf = x.clone().requires_grad_()
    values = criterion(leaf, unknown, observed)
    require(
        bool(values.isfinite().all()),
        "must be finite where unobserved entries are NaN",
        f"{values.tolist()}",
        cause,
    )
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    finite = "must have a finite gradient where unobserved entries are NaN"
    require_finite(gradient, finite, cause)
    other = torch.where(observed, target, 7.0)
    require_close(
        criterion(x, other, observed),
        values,
        1e-9,
        "must not depend on the target where it is not observed",
        cause,
    )
    nothing = criterion(x, torch.full_like(x, torch.nan), torch.zeros_like(observed))
    require(
        bool((nothing.abs() <= 1e-9).all()),
        "must be 0 where nothing is observed",
        f"{nothing.tolist()}",
        f"{cause}; do not divide by a number of entries that is 0, .clamp(min=1)",
    )


def _check_derivatives(criterion: Criterion, x: torch.Tensor, target: torch.Tensor) -> None:
    require_derivatives(lambda x: criterion(x, target), (x,), "the loss in the image")
    for image in (x, torch.full_like(x, 0.5)):
        require_finite_derivatives(
            lambda x, image=image: criterion(x, image),  # type: ignore[misc]
            image,
            "where images agree",
        )


def _check_units(loss: Loss, x: torch.Tensor, target: torch.Tensor) -> None:
    low, width = _RANGE[0], _RANGE[1] - _RANGE[0]
    require_close(
        loss.build(_RANGE)(low + width * x, low + width * target),
        loss.build()(x, target),
        1e-8,
        f"must have the same value in the units of data_range={_RANGE}",
        "`build` ignores data_range: divide differences by data_range[1] - data_range[0], or "
        "pass check_loss(..., in_any_units=False)",
    )


def _check_other_types(
    criterion: Criterion, x: torch.Tensor, target: torch.Tensor, device: str
) -> None:
    require_other_types(
        lambda place, dtype: criterion(x.to(place, dtype), target.to(place, dtype)),
        (1e-3, 1e-7),
        "compare images",
        "a tensor of another type, or on another device; make it like x, x.new_tensor(...)",
        device,
    )
