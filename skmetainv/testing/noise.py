"""The check of noise models."""

from __future__ import annotations

import torch

from skmetainv.noise import Noise, NoiseFunction
from skmetainv.testing.failures import checking, require, require_unchanged, required
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import devices, generators, global_seed, uniform

_SEEDS = (0, 1, 2)


def check_noise(
    noise: Noise, measurement_shape: tuple[int, ...] = (2, 4, 5), *, device: str = "auto"
) -> None:
    """Raise an error unless a noise model has the properties of this library's noise models.

    The noise of each measurement must depend only on its own generator, not on the rest of the
    batch or on global seeds. The shape and the type must be kept, and the argument must not be
    changed. The object must work with scikit-learn's `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    noise : Noise
        The noise model to check.
    measurement_shape : tuple of int, default=(2, 4, 5)
        Shape of one measurement; the check uses values between 0 and 1.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `noise` itself, if its parameters are invalid.

    Examples
    --------
    >>> from skmetainv.noise import GaussianNoise, PoissonNoise
    >>> from skmetainv.testing import check_noise
    >>> check_noise(PoissonNoise(photons=20) + GaussianNoise(0.1))
    """
    y = uniform(len(_SEEDS), *measurement_shape)
    with checking(noise):
        check_parameter_object(
            noise, Noise, lambda part: part.build()(y.clone(), generators(*_SEEDS))
        )
        noisy = noise.build()
        _check_measurements(noisy, y)
        _check_generators(noisy, y)
        _check_devices(noisy, y, device)


def _check_measurements(noisy: NoiseFunction, y: torch.Tensor) -> None:
    for dtype in (torch.float64, torch.float32):
        exact = y.to(dtype)
        original = exact.clone()
        together = noisy(exact, generators(*_SEEDS))
        what = "the measurements as they are"
        require_unchanged(exact, original, what, "y += e; write y + e")
        for i, seed in enumerate(_SEEDS):
            alone = noisy(exact[i : i + 1], generators(seed))
            require(
                torch.equal(alone, together[i : i + 1]),
                "must add to each measurement the noise of its own generator alone",
                f"a difference of up to {float((alone - together[i : i + 1]).abs().max()):.3g} "
                "without the others of the batch",
                "all noise is drawn from the first generator, or depends on the batch; draw "
                "np.stack([g.standard_normal(y.shape[1:]) for g in generators])",
            )


def _check_generators(noisy: NoiseFunction, y: torch.Tensor) -> None:
    with global_seed(0):
        first = noisy(y, generators(*_SEEDS))
    with global_seed(1):
        second = noisy(y, generators(*_SEEDS))
    require(
        torch.equal(first, second),
        "must be drawn from the generators that it is given",
        f"a difference of up to {float((first - second).abs().max()):.3g} with "
        "other seeds of torch and NumPy",
        "torch.randn_like(y) or np.random.normal(), which draw from global generators",
    )


def _check_devices(noisy: NoiseFunction, y: torch.Tensor, device: str) -> None:
    for place in devices(device):
        with required(
            f"must take measurements on {place}",
            "noise that stays on the CPU; move it, .to(y.device)",
        ):
            there = noisy(y.to(place), generators(*_SEEDS))
        require(
            there.device.type == place.type
            and torch.allclose(there.cpu(), noisy(y, generators(*_SEEDS))),
            f"must be the same on {place} and the CPU",
            f"measurements on {there.device}",
            "noise that is drawn on the device; draw it from the generators and move it",
        )
