"""Gaussian smoothing, the simplest denoiser."""

import math
from dataclasses import KW_ONLY

import torch

from skmetainv.denoisers.base import ClassicalDenoiser, ClassicalModule, DenoiserModule
from skmetainv.parameters import POSITIVE


class GaussianSmoothing(ClassicalDenoiser):
    """Convolution with a Gaussian, with the image mirrored at its edges.

    It is linear and symmetric with eigenvalues in (0, 1], so every solver's convergence theory
    applies to it. The standard deviation of the Gaussian is ``scale * noise_level`` pixels.

    Parameters
    ----------
    noise_level : float, default=0.05
        Standard deviation of the noise, in the units of the images, used if the solver sets none.
    scale : float, default=20.0
        Standard deviation of the Gaussian, in pixels, divided by the noise level. By default, a
        noise level of 0.05 means a Gaussian with a standard deviation of one pixel.

    Notes
    -----
    The half-sample symmetric extension of the image is filtered in Fourier space by
    ``exp(-sigma^2 omega^2 / 2)``. The result is differentiable in the noise level, too.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import GaussianSmoothing
    >>> D = GaussianSmoothing(noise_level=0.05).build((1, 3, 3))
    >>> D(torch.ones(1, 1, 3, 3)).mean().round(decimals=4)
    tensor(1.)
    """

    noise_level: float = 0.05
    _: KW_ONLY
    scale: float = 20.0

    _parameter_constraints = {"noise_level": [POSITIVE], "scale": [POSITIVE]}

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        return _GaussianSmoothing(self.noise_level, self.scale)


class _GaussianSmoothing(ClassicalModule):
    def __init__(self, noise_level: float, scale: float):
        super().__init__(noise_level)
        self.scale = scale

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        mirrored = torch.cat([x, x.flip(-2)], dim=-2)
        mirrored = torch.cat([mirrored, mirrored.flip(-1)], dim=-1)
        down = torch.fft.fftfreq(2 * height, dtype=x.dtype, device=x.device)
        along = torch.fft.rfftfreq(2 * width, dtype=x.dtype, device=x.device)
        omega = 2 * math.pi * (down[:, None].square() + along.square()).sqrt()
        transfer = torch.exp(-(self.scale * noise_level * omega).square() / 2)
        spectrum = torch.fft.rfft2(mirrored) * transfer
        smoothed: torch.Tensor = torch.fft.irfft2(spectrum, s=mirrored.shape[-2:])
        return smoothed[..., :height, :width]
