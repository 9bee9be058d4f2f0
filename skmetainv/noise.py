"""Noise models: parameter objects whose `build` gives a function that adds noise."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TypeAlias

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skmetainv.parameters import Interval

#: ``noisy(y, generators)`` gives a noisy copy of `y`, from one generator per image.
NoiseFunction: TypeAlias = Callable[[torch.Tensor, Sequence[np.random.Generator]], torch.Tensor]


class Noise(BaseEstimator):
    """A noise model ``e`` of ``y = A(x) + e``. A subclass writes `build`."""

    def build(self) -> NoiseFunction:
        """Return the function that adds the noise.

        Returns
        -------
        noisy : callable
            ``noisy(y, generators)`` with `y` of shape ``(batch, ...)`` and one
            `numpy.random.Generator` per image; `y` itself is left as it is.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class GaussianNoise(Noise):
    """Additive white Gaussian noise, ``y + e`` with ``e ~ N(0, noise_level^2)``.

    Parameters
    ----------
    noise_level : float, default=0.01
        Standard deviation, in the units of the measurement; 0 adds nothing.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.noise import GaussianNoise
    >>> noisy = GaussianNoise(noise_level=0.1).build()
    >>> noisy(torch.zeros(1, 10_000), [np.random.default_rng(0)]).std().round(decimals=1)
    tensor(0.1000)
    """

    _parameter_constraints = {"noise_level": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, noise_level: float = 0.01):
        self.noise_level = noise_level

    def build(self) -> NoiseFunction:
        """Return the function that adds the noise.

        Returns
        -------
        noisy : callable
            ``noisy(y, generators)``, see `Noise.build`.
        """
        self._validate_params()
        noise_level = self.noise_level

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            if noise_level == 0:
                return y
            dtype = np.dtype(str(y.dtype).removeprefix("torch."))
            e = np.stack([g.standard_normal(y.shape[1:], dtype=dtype) for g in generators])
            return y + noise_level * torch.from_numpy(e).to(y.device)

        return noisy


#: What a parameter that takes a noise model accepts.
NOISE_CONSTRAINTS = [Interval(Real, 0, None, closed="left"), Noise]


def as_noise(noise: float | Noise) -> Noise:
    """Return Gaussian noise for a standard deviation; a `Noise` is returned as it is."""
    return noise if isinstance(noise, Noise) else GaussianNoise(noise)
