"""Total-variation denoising by Chambolle's dual method."""

from dataclasses import KW_ONLY
from numbers import Integral, Real

import torch

from skmetainv.denoisers.base import ClassicalDenoiser, ClassicalModule, DenoiserModule
from skmetainv.denoisers.differences import gradient_adjoint
from skmetainv.denoisers.dual_ascent import dual_ascent
from skmetainv.parameters import Interval


class TotalVariation(ClassicalDenoiser):
    """Total-variation denoising of Rudin, Osher and Fatemi, in Chambolle's dual.

    ``D(z) = argmin_x 1/2 ||x - z||^2 + w sum |grad x|``, isotropic (the length of the vector of the
    two forward differences of a pixel), each channel on its own. The weight follows the noise
    level: ``w = scale * noise_level``. For a fixed level it is the proximal step of total variation
    with weight ``w``.

    Parameters
    ----------
    noise_level : float, default=0.05
        Standard deviation of the noise, where a solver says none.
    scale : float, default=1.0
        Weight per noise level. About 1 removes the noise of photographs.
    n_iter : int, default=50
        Updates of the dual variable, by accelerated projected gradient. The result is that many
        updates', and its first and second derivatives are exactly theirs; third ones are refused.

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

    _parameter_constraints = {
        "noise_level": [Interval(Real, 0, None, closed="neither")],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape, see `Denoiser.build`."""
        self._validate_params()
        return _TotalVariation(self.noise_level, self.scale, self.n_iter)


class _TotalVariation(ClassicalModule):
    def __init__(self, noise_level: float, scale: float, n_iter: int):
        super().__init__(noise_level)
        self.scale, self.n_iter = scale, n_iter

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        weight = self.scale * noise_level
        return x - weight * gradient_adjoint(dual_ascent(x / weight, self.n_iter))
