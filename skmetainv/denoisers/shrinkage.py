"""Soft thresholding, of pixels and of wavelet coefficients."""

from dataclasses import KW_ONLY
from typing import Any

import torch

from skmetainv.denoisers.base import ClassicalDenoiser, ClassicalModule, DenoiserModule
from skmetainv.parameters import COUNT, POSITIVE, StrOptions


class SoftThreshold(ClassicalDenoiser):
    """Soft thresholding of pixels, ``sign(z) max(|z| - t, 0)``.

    The threshold is proportional to the noise level: ``t = scale * noise_level``. For a fixed
    level, soft thresholding is the proximal step of ``t ||x||_1``. With this denoiser,
    `ProximalGradient` and `ADMM` solve the LASSO.

    Parameters
    ----------
    noise_level : float, default=0.05
        Standard deviation of the noise, in the units of the images, used if the solver sets none.
    scale : float, default=1.0
        Threshold divided by noise level.

    References
    ----------
    Donoho, "De-noising by soft-thresholding", IEEE Transactions on Information Theory, 1995.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import SoftThreshold
    >>> SoftThreshold(noise_level=0.5).build((1, 1, 3))(torch.tensor([[[[-1.0, 0.2, 2.0]]]]))
    tensor([[[[-0.5000,  0.0000,  1.5000]]]])
    """

    noise_level: float = 0.05
    _: KW_ONLY
    scale: float = 1.0

    _parameter_constraints = {"noise_level": [POSITIVE], "scale": [POSITIVE]}

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        return _SoftThreshold(self.noise_level, self.scale)


class Wavelet(ClassicalDenoiser):
    """Soft thresholding of all wavelet coefficients except the coarsest approximation.

    ``D(z) = W^-1 soft(W z, t)`` with ``t = scale * noise_level``, computed by the package ``ptwt``.
    With the wavelet "haar" and sides that are multiples of ``2**level``, the transform ``W`` is
    orthogonal. ``D`` is then the proximal step of ``t ||W x||_1``, where the norm leaves out the
    coarsest approximation. Longer wavelets have additional coefficients at the edges.

    Parameters
    ----------
    noise_level : float, default=0.05
        Standard deviation of the noise, in the units of the images, used if the solver sets none.
    scale : float, default=1.5
        Threshold divided by noise level. On photographs, 1.5 has the smallest mean squared error
        (see the benchmarks page). The universal threshold of Donoho and Johnstone has the scale
        ``sqrt(2 log n)`` for `n` pixels, which is 4.7 for 256 x 256 pixels.
    wavelet : str, default="db2"
        Name of a discrete wavelet of PyWavelets.
    level : int, default=None
        Number of levels of the transform. If None, or larger than the image allows, the largest
        possible number.
    mode : {"periodic", "reflect", "symmetric", "zero", "constant"}, default="symmetric"
        Extension of the image beyond its edges.

    References
    ----------
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika, 1994.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import Wavelet
    >>> D = Wavelet(noise_level=0.5, scale=1.0, wavelet="haar").build((1, 1, 2))
    >>> D(torch.tensor([[[[0.0, 0.1]]]])).shape
    torch.Size([1, 1, 1, 2])
    """

    noise_level: float = 0.05
    _: KW_ONLY
    scale: float = 1.5
    wavelet: str = "db2"
    level: int | None = None
    mode: str = "symmetric"

    _parameter_constraints = {
        "noise_level": [POSITIVE],
        "scale": [POSITIVE],
        "wavelet": [str],
        "level": [COUNT, None],
        "mode": [StrOptions({"periodic", "reflect", "symmetric", "zero", "constant"})],
    }

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        import pywt  # here and below, because it takes as long to import as this library

        names = pywt.wavelist(kind="discrete")
        if self.wavelet not in names:
            raise ValueError(
                f"The 'wavelet' parameter of Wavelet must be one of {', '.join(names)}. Got "
                f"{self.wavelet!r} instead."
            )
        most = min(pywt.dwt_max_level(n, self.wavelet) for n in image_shape[1:])
        level = most if self.level is None else min(self.level, most)
        return _Wavelet(self.noise_level, self.scale, self.wavelet, level, self.mode)


class _SoftThreshold(ClassicalModule):
    def __init__(self, noise_level: float, scale: float):
        super().__init__(noise_level)
        self.scale = scale

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        return _soft(x, self.scale * noise_level)


class _Wavelet(ClassicalModule):
    def __init__(self, noise_level: float, scale: float, wavelet: str, level: int, mode: Any):
        super().__init__(noise_level)
        self.scale, self.wavelet, self.level, self.mode = scale, wavelet, level, mode

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        import ptwt

        threshold = self.scale * noise_level
        coarse, *details = ptwt.wavedec2(x, self.wavelet, level=self.level, mode=self.mode)
        shrunk = [type(d)(*(_soft(c, threshold) for c in d)) for d in details]
        result: torch.Tensor = ptwt.waverec2((coarse, *shrunk), self.wavelet)
        return result[..., : x.shape[-2], : x.shape[-1]]


def _soft(x: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """Return `x` moved towards 0 by `threshold`, but not past 0."""
    return (x - threshold).clamp(min=0) - (-x - threshold).clamp(min=0)
