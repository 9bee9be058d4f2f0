"""Noise models: parameter objects whose `build` returns a function that adds noise."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import torch

from skmetainv.parameters import (
    FINITE,
    NOT_NEGATIVE,
    POSITIVE,
    Interval,
    ParameterObject,
    comes_from,
    described,
    increasing_pair,
    is_function,
)

#: ``noisy(y, generators)`` returns `y` with noise, drawn with one generator per image.
NoiseFunction: TypeAlias = Callable[[torch.Tensor, Sequence[np.random.Generator]], torch.Tensor]

# NumPy draws counts as integers of 64 bits.
_MOST_COUNTS = 9e18


class Noise(ParameterObject):
    """A noise model, the ``e`` in ``y = A(x) + e``. A subclass defines `build`.

    ``first + second`` is the mixture that applies `first` and then `second`.

    Examples
    --------
    A new noise model: speckle, proportional to the measured value. Every measurement has its own
    generator:

    >>> import numpy as np, torch
    >>> from skmetainv.noise import GaussianNoise, Noise
    >>> from skmetainv.testing import check_noise
    >>> class Speckle(Noise):
    ...     level: float = 0.1
    ...
    ...     def build(self):
    ...         def noisy(y, generators):
    ...             e = np.stack([g.standard_normal(y.shape[1:]) for g in generators])
    ...             return y * (1 + self.level * torch.from_numpy(e).to(y))
    ...
    ...         return noisy
    >>> check_noise(Speckle() + GaussianNoise(0.01))
    """

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        name = type(value).__name__
        if comes_from(value, "deepinv") and name in [c.__name__ for c in cls.__subclasses__()]:
            return f"{name}(...) of skmetainv.noise"
        if is_function(value):
            return "MyNoise(), with a subclass MyNoise of Noise whose `build` returns the function"
        return None

    def __add__(self, other: "Noise") -> "Mixture":
        return Mixture(self, other)

    def __radd__(self, other: object) -> "Noise":
        # Python's `sum` starts with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def build(self) -> NoiseFunction:
        """Return the function that adds the noise.

        Returns
        -------
        noisy : callable
            ``noisy(y, generators)`` with `y` of shape ``(batch, ...)`` and one
            `numpy.random.Generator` per image; `y` itself is not changed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def _examine(self, built: Any) -> NoiseFunction:
        name = type(self).__name__
        if not callable(built):
            raise TypeError(
                f"{name}.build must return a function noisy(y, generators). Got {described(built)} "
                "instead."
            )

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            result: torch.Tensor = built(y, generators)
            like = isinstance(result, torch.Tensor) and result.shape == y.shape
            if not like or result.dtype != y.dtype:
                raise ValueError(
                    f"The function that {name}.build returns must return a tensor like the "
                    f"measurements, {described(y)}. Got {described(result)} instead."
                )
            return result

        return noisy


class GaussianNoise(Noise):
    """Additive white Gaussian noise, ``y + e`` with ``e ~ N(0, noise_level^2)``.

    Parameters
    ----------
    noise_level : float, default=0.01
        Standard deviation, in the units of the measurement. 0 means no noise.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.noise import GaussianNoise
    >>> noisy = GaussianNoise(noise_level=0.1).build()
    >>> noisy(torch.zeros(1, 10_000), [np.random.default_rng(0)]).std().round(decimals=1)
    tensor(0.1000)
    """

    noise_level: float = 0.01

    _parameter_constraints = {"noise_level": [NOT_NEGATIVE]}

    def build(self) -> NoiseFunction:
        """Return the function that adds the noise.

        Returns
        -------
        noisy : callable
            ``noisy(y, generators)``, see `Noise.build`.
        """
        noise_level = self.noise_level

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            if noise_level == 0:
                return y
            dtype = np.dtype(str(y.dtype).removeprefix("torch."))
            e = np.stack([g.standard_normal(y.shape[1:], dtype=dtype) for g in generators])
            return y + noise_level * torch.from_numpy(e).to(y.device, non_blocking=True)

        return noisy


class PoissonNoise(Noise):
    """Photon noise, ``Poisson(photons y) / photons``, with variance ``y / photons``.

    Parameters
    ----------
    photons : float, default=100.0
        Mean number of photons for a measured value of 1.

    Notes
    -----
    Values below 0 count as 0, because intensities are not negative.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.noise import PoissonNoise
    >>> noisy = PoissonNoise(photons=100).build()
    >>> noisy(torch.ones(1, 10_000), [np.random.default_rng(0)]).std().round(decimals=2)
    tensor(0.1000)
    """

    photons: float = 100.0

    _parameter_constraints = {"photons": [POSITIVE]}

    def build(self) -> NoiseFunction:

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            rates = y.clamp(min=0).double().cpu().numpy() * float(self.photons)
            if not rates.max(initial=0.0) < _MOST_COUNTS:
                raise ValueError(
                    f"PoissonNoise(photons={self.photons!r}) would draw counts of up to "
                    f"{rates.max():.2g}, but the largest possible count is {_MOST_COUNTS:.2g}."
                )
            counts = np.stack([g.poisson(r) for g, r in zip(generators, rates, strict=True)])
            return torch.from_numpy(counts / self.photons).to(y)

        return noisy


class SaltPepper(Noise):
    """Impulse noise: a share of the values becomes `low` or `high`, with equal probability.

    Parameters
    ----------
    amount : float, default=0.05
        Probability that a value is replaced, in [0, 1].
    low, high : float, default=0.0, 1.0
        Values of pepper (`low`) and salt (`high`), in the units of the measurement.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skmetainv.noise import SaltPepper
    >>> noisy = SaltPepper(amount=1.0).build()
    >>> noisy(torch.full((1, 4), 0.5), [np.random.default_rng(0)])
    tensor([[1., 0., 0., 0.]])
    """

    amount: float = 0.05
    _: KW_ONLY
    low: float = 0.0
    high: float = 1.0

    _parameter_constraints = {
        "amount": [Interval(Real, 0, 1, closed="both")],
        "low": [FINITE],
        "high": [FINITE],
    }

    def build(self) -> NoiseFunction:

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            chance = torch.from_numpy(np.stack([g.random(y.shape[1:]) for g in generators]))
            chance = chance.to(y.device, non_blocking=True)
            y = torch.where(chance < self.amount / 2, self.low, y)
            return torch.where(chance >= 1 - self.amount / 2, self.high, y)

        return noisy


class Quantization(Noise):
    """Rounding to the ``2^n_bits`` equally spaced levels of a converter, with saturation.

    Parameters
    ----------
    n_bits : int, default=8
        Bits of the converter, from 1 to 32.
    low, high : float, default=0.0, 1.0
        Lowest and highest level of the converter, ``low < high``, in the units of the measurement.

    Raises
    ------
    ValueError
        By `build`, if `low` is not below `high`.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.noise import Quantization
    >>> Quantization(n_bits=1).build()(torch.tensor([[0.3, 0.7, 2.0]]), [])
    tensor([[0., 1., 1.]])
    """

    n_bits: int = 8
    _: KW_ONLY
    low: float = 0.0
    high: float = 1.0

    _parameter_constraints = {
        "n_bits": [Interval(Integral, 1, 32, closed="both")],
        "low": [FINITE],
        "high": [FINITE],
    }

    def build(self) -> NoiseFunction:
        """Return the function that rounds, see `Noise.build`; it uses no random numbers.

        Returns
        -------
        noisy : callable
            ``noisy(y, generators)``.
        """
        if increasing_pair((self.low, self.high)) is None:
            raise ValueError(
                "The 'low' parameter of Quantization must be less than 'high'. "
                f"Got {self.low!r} and {self.high!r} instead."
            )
        step: float = (self.high - self.low) / (2**self.n_bits - 1)

        def noisy(y: torch.Tensor, generators: Sequence[np.random.Generator]) -> torch.Tensor:
            level = ((y.clamp(self.low, self.high) - self.low) / step).round()
            return self.low + level * step

        return noisy


class Mixture(Noise):
    """Two noise models, applied one after the other; written ``first + second``.

    Parameters
    ----------
    first, second : Noise
        The noise applied first, such as photon noise, and the noise applied to its result.

    Examples
    --------
    >>> from skmetainv.noise import GaussianNoise, PoissonNoise
    >>> PoissonNoise(photons=30) + GaussianNoise(noise_level=0.02)
    PoissonNoise(photons=30) + GaussianNoise(noise_level=0.02)
    """

    first: Noise
    second: Noise

    _parameter_constraints = {"first": [Noise], "second": [Noise]}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"{self.first!r} + {self.second!r}"

    def build(self) -> NoiseFunction:
        first, second = self.first.build(), self.second.build()
        return lambda y, generators: second(first(y, generators), generators)


#: The constraints of parameters that take a noise model.
NOISE_CONSTRAINTS = [NOT_NEGATIVE, Noise]


def as_noise(noise: float | Noise) -> Noise:
    """Return Gaussian noise for a standard deviation; a `Noise` is returned unchanged."""
    return noise if isinstance(noise, Noise) else GaussianNoise(noise)
