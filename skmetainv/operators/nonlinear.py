"""Instruments whose measurement is a nonlinear function of the image."""

from __future__ import annotations

from dataclasses import KW_ONLY

import torch

from skmetainv.arrays import is_complex_shape
from skmetainv.operators.fourier import FourierSampling
from skmetainv.operators.maps.base import ForwardMap, LinearMap, Shape
from skmetainv.operators.operator import Operator
from skmetainv.parameters import FINITE, POSITIVE


class Saturation(Operator):
    """``A(x) = min(max(gain x, low), high)``: a sensor that clips.

    Solvers that need a linear operator raise a ValueError.

    Parameters
    ----------
    gain : float, default=1.0
        Exposure, a positive factor of the image.
    low, high : float, default=0.0, 1.0
        Smallest and largest measured value, ``low < high``.

    Raises
    ------
    ValueError
        By `build`, if `low` is not below `high`.

    Notes
    -----
    Where the sensor clips, the derivative is 0: the measurement does not show how much brighter the
    image was.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Saturation
    >>> A = Saturation(gain=2.0).build(image_shape=(1, 1, 3))
    >>> A(torch.tensor([[[[0.1, 0.4, 0.7]]]]))
    tensor([[[[0.2000, 0.8000, 1.0000]]]])
    """

    gain: float = 1.0
    _: KW_ONLY
    low: float = 0.0
    high: float = 1.0

    _parameter_constraints = {
        "gain": [POSITIVE],
        "low": [FINITE],
        "high": [FINITE],
    }

    def build(self, image_shape: Shape) -> ForwardMap:
        if not self.low < self.high:
            raise ValueError(
                "The 'low' parameter of Saturation must be below the 'high' one. "
                f"Got low={self.low!r} and high={self.high!r} instead."
            )
        return _SaturationMap(image_shape, self.gain, self.low, self.high)


class _SaturationMap(ForwardMap):
    def __init__(self, image_shape: Shape, gain: float, low: float, high: float):
        super().__init__(image_shape, image_shape)
        self.gain, self.low, self.high = gain, low, high

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.gain * x).clamp(self.low, self.high)


class PhaseRetrieval(Operator):
    """``A(x) = |B x|``, the magnitudes of the measurements of a linear operator ``B``.

    Solvers that need a linear operator raise a ValueError.

    Parameters
    ----------
    operator : Operator, default=None
        ``B``, linear and without missing samples. If its measurements are complex (a last axis of
        real and imaginary parts), the magnitudes are those of the complex numbers. If None, the
        whole Fourier transform, ``FourierSampling(acceleration=1)``.

    Raises
    ------
    ValueError
        By `build`, if `operator` is nonlinear or has missing samples.

    Notes
    -----
    A magnitude of 0 has no derivative; its first and second derivatives are taken as 0.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity, PhaseRetrieval
    >>> A = PhaseRetrieval(Identity()).build(image_shape=(1, 1, 2))
    >>> A(torch.tensor([[[[-2.0, 3.0]]]]))
    tensor([[[[2., 3.]]]])
    """

    operator: Operator | None = None

    _parameter_constraints = {"operator": [Operator, None]}

    def build(self, image_shape: Shape) -> ForwardMap:
        operator = FourierSampling(acceleration=1) if self.operator is None else self.operator
        B = operator.build(image_shape)
        if not isinstance(B, LinearMap) or operator.has_missing:
            raise ValueError(
                "The 'operator' parameter of PhaseRetrieval must be linear and without missing "
                f"samples. Got {operator!r} instead."
            )
        return _MagnitudeMap(B)


class _MagnitudeMap(ForwardMap):
    def __init__(self, B: LinearMap):
        shape, observed = B.measurement_shape, B.observed
        of_complex = is_complex_shape(shape)
        if of_complex and observed is not None:
            observed = observed[..., 0]
        super().__init__(B.image_shape, shape[:-1] if of_complex else shape, observed)
        self.B, self.of_complex = B, of_complex

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        measured = self.B(x)
        if not self.of_complex:
            return measured.abs()
        intensity = measured.square().sum(-1)
        zero = intensity == 0
        return torch.where(zero, 0.0, torch.where(zero, 1.0, intensity).sqrt())
