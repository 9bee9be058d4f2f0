"""Total-variation denoising by Chambolle's dual method."""

from dataclasses import KW_ONLY

import torch

from skmetainv.denoisers.base import ClassicalDenoiser, ClassicalModule, DenoiserModule
from skmetainv.denoisers.differences import gradient_adjoint
from skmetainv.denoisers.dual_ascent import dual_ascent
from skmetainv.parameters import COUNT, POSITIVE


class TotalVariation(ClassicalDenoiser):
    """Total-variation denoising of Rudin, Osher and Fatemi, by Chambolle's dual method.

    ``D(z) = argmin_x 1/2 ||x - z||^2 + w sum |grad x|``, where ``|grad x|`` is the length of the
    vector of a pixel's two forward differences (isotropic total variation). Each channel is
    denoised on its own. The weight is proportional to the noise level: ``w = scale * noise_level``.
    For a fixed level, ``D`` is the proximal step of total variation with weight ``w``.

    Parameters
    ----------
    noise_level : float, default=0.05
        Standard deviation of the noise, in the units of the images, used if the solver sets none.
    scale : float, default=1.0
        Weight divided by noise level. About 1 removes the noise of photographs.
    n_iter : int, default=50
        Number of updates of the dual variable, by accelerated projected gradient. First and second
        derivatives are exactly those of these updates; third derivatives raise an error.

    References
    ----------
    Chambolle, "An algorithm for total variation minimization and applications", Journal of
    Mathematical Imaging and Vision, 2004.

    Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation image
    denoising and deblurring problems", IEEE Transactions on Image Processing, 2009.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import TotalVariation
    >>> D = TotalVariation(noise_level=0.5).build((1, 1, 2))
    >>> D(torch.tensor([[[[0.0, 2.0]]]]))
    tensor([[[[0.5000, 1.5000]]]])
    """

    noise_level: float = 0.05
    _: KW_ONLY
    scale: float = 1.0
    n_iter: int = 50

    _parameter_constraints = {"noise_level": [POSITIVE], "scale": [POSITIVE], "n_iter": [COUNT]}

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        return _TotalVariation(self.noise_level, self.scale, self.n_iter)


class _TotalVariation(ClassicalModule):
    def __init__(self, noise_level: float, scale: float, n_iter: int):
        super().__init__(noise_level)
        self.scale, self.n_iter = scale, n_iter

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        weight = self.scale * noise_level
        return x - weight * gradient_adjoint(dual_ascent(x / weight, self.n_iter))
