"""What must hold for every noise."""

from __future__ import annotations

import torch

from skmetainv.noise import Noise
from skmetainv.testing.failures import require, required
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import devices, generators, global_seed, uniform

_SEEDS = (0, 1, 2)


def check_noise(
    noise: Noise, measurement_shape: tuple[int, ...] = (2, 4, 5), *, device: str = "auto"
) -> None:
    """Raise unless a noise has the properties that this library's noise has.

    The noise of each measurement comes from its own generator alone, whatever else is in the batch
    and however global generators are seeded. Shape and type stay, and what is given is left as it
    is. The parameters are scikit-learn's: cloned, set, shown, pickled.

    Parameters
    ----------
    noise : Noise
        What is checked.
    measurement_shape : tuple of int, default=(2, 4, 5)
        Shape of one measurement, whose values are between 0 and 1.
    device : str, default="auto"
        Where results are compared with those of the CPU. "auto" is a CUDA device where there is
        one, "cpu" compares with no other.

    Raises
    ------
    PropertyError
        If a property does not hold: an AssertionError, which names the property, the numbers and
        the likely cause.
    TypeError, ValueError
        By `noise` itself, where it refuses its parameters.

    Examples
    --------
    >>> from skmetainv.noise import GaussianNoise, PoissonNoise
    >>> from skmetainv.testing import check_noise
    >>> check_noise(PoissonNoise(photons=20) + GaussianNoise(0.1))
    """
    y = uniform(len(_SEEDS), *measurement_shape)
    name = check_parameter_object(
        noise, Noise, lambda own: own.build()(y.clone(), generators(*_SEEDS))
    )
    noisy = noise.build()
    for dtype in (torch.float64, torch.float32):
        given = y.to(dtype)
        before = given.clone()
        together = noisy(given, generators(*_SEEDS))
        require(
            torch.equal(given, before),
            name,
            "must leave the measurements as they are",
            f"measurements changed by up to {float((given - before).abs().max()):.3g}",
            "an operation in place, as y += e; write y + e",
        )
        for i, seed in enumerate(_SEEDS):
            alone = noisy(given[i : i + 1], generators(seed))
            require(
                torch.equal(alone, together[i : i + 1]),
                name,
                "must add to each measurement the noise of its own generator alone",
                f"a difference of up to {float((alone - together[i : i + 1]).abs().max()):.3g} "
                "without the others of the batch",
                "all noise is drawn from the first generator, or depends on the batch; draw "
                "np.stack([g.standard_normal(y.shape[1:]) for g in generators])",
            )
    results = []
    for seed in (0, 1):
        with global_seed(seed):
            results.append(noisy(y, generators(*_SEEDS)))
    require(
        torch.equal(*results),
        name,
        "must be drawn from the generators that it is given",
        f"a difference of up to {float((results[0] - results[1]).abs().max()):.3g} where "
        "torch and NumPy are seeded otherwise",
        "torch.randn_like(y) or np.random.normal(), which draw from global generators",
    )
    for place in devices(device):
        with required(
            name,
            f"must take measurements on {place}",
            "noise that stays on the CPU; move it, .to(y.device)",
            (RuntimeError, TypeError),
        ):
            there = noisy(y.to(place), generators(*_SEEDS))
        require(
            there.device.type == place.type
            and torch.allclose(there.cpu(), noisy(y, generators(*_SEEDS))),
            name,
            f"must be the same on {place} and the CPU",
            f"measurements on {there.device}",
            "noise that is drawn on the device; draw it from the generators and move it",
        )
