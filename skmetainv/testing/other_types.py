"""The check that results agree in single precision and on another device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from skmetainv.testing.failures import require, require_close, required
from skmetainv.testing.samples import devices


def require_other_types(
    compute: Callable[[torch.device, torch.dtype], torch.Tensor],
    tolerances: tuple[float, float],
    verb: str,
    cause: str,
    device: str,
    *,
    size: torch.Tensor | None = None,
) -> None:
    """Raise an error unless results agree in single precision, and on another device.

    Parameters
    ----------
    compute : callable
        ``compute(device, dtype)`` builds the object on this device, and returns its result.
    tolerances : (float, float)
        Relative differences that are allowed in single precision, and on another device.
    verb : str
        The verb for its computation, "denoise" for instance.
    cause : str
        The likely cause of a difference.
    device : str
        See `skmetainv.testing.samples.devices`.
    size : tensor, default=None
        See `require_close`.

    Raises
    ------
    PropertyError
        If results do not agree.
    """
    cpu = torch.device("cpu")
    with required(f"must {verb} in single precision", cause):
        single = compute(cpu, torch.float32)
    require(
        single.dtype == torch.float32,
        f"must {verb} in the type of its input, torch.float32",
        str(single.dtype),
        cause,
    )
    expected = compute(cpu, torch.float64)
    agree = "must agree in single and double precision"
    require_close(single, expected, tolerances[0], agree, cause, size=size)
    for place in devices(device):
        with required(f"must {verb} on {place}", cause):
            there = compute(place, torch.float64)
        agree = f"must agree on {place} and the CPU"
        require_close(there, expected, tolerances[1], agree, cause, size=size)
