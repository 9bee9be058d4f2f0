"""Half-quadratic splitting with a denoiser."""

from dataclasses import KW_ONLY
from typing import Any, Self, cast

import numpy as np
import torch

from skmetainv.operators import DataTerm
from skmetainv.parameters import POSITIVE
from skmetainv.solvers.iterative import IterativeSolver, State
from skmetainv.solvers.prior import Prior, PriorSolver
from skmetainv.solvers.schedules import Schedule, Values

# First noise level of Zhang et al. (2021), for images in [0, 1].
_FIRST_LEVEL = 49 / 255


class HQS(PriorSolver):
    """Half-quadratic splitting with a denoiser in place of the prior (plug and play).

    ``u <- argmin_u 1/2 ||A u - y||^2 + rho_k/2 ||u - x||^2``, then ``x <- D(u, noise_level_k)``.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        ``D``. If None, ``TotalVariation()``.
    n_iter : int, default=8
        Number of updates.
    rho : float or sequence of float, default=None
        Penalty; one number, or one per update. If None, the choice of Zhang et al. (2021),
        ``weight (||A|| measurement_noise / noise_level_k)^2``. This penalty grows as the noise
        level falls. If noise levels are learned, the penalty changes with them. ``||A||`` is
        `skmetainv.operators.ForwardMap.norm`.
    noise_level : float or sequence of float, default=None
        Noise level of the denoiser, in the units of the images; one number, or one per update. If
        None, `n_iter` levels that decrease from 49/255 (or `measurement_noise`, if that is larger)
        to `measurement_noise`, equally spaced in logarithm. This schedule is for images in [0, 1];
        for another range, set the levels. If the denoiser takes no noise level, the schedule only
        determines the penalties.
    measurement_noise : float, default=0.01
        Standard deviation of the measurement's noise, in the units of the images. It is used if
        `rho` or `noise_level` is None. If the measurement has other units, divide its noise by
        ``||A||``.
    weight : float, default=0.23
        Weight of the prior, used if `rho` is None.
    denoise_first : bool, default=False
        Whether each update denoises before its data step instead of after it. The result then comes
        from a data step.
    learnable : tuple of str, default=()
        Parameters that training may change: "rho", "noise_level". If `rho` is None, training
        changes the factor of ``||A||^2``.

    References
    ----------
    Zhang, Zuo, Gu and Zhang, "Learning deep CNN denoiser prior for image restoration", CVPR 2017.

    Zhang, Li, Zuo, Zhang, Van Gool and Timofte, "Plug-and-play image restoration with deep denoiser
    prior", IEEE Transactions on Pattern Analysis and Machine Intelligence, 2021.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Inpainting
    >>> from skmetainv.solvers import HQS
    >>> data = Inpainting().build((1, 9, 9)).float().bind(torch.ones(1, 1, 9, 9))
    >>> f = HQS(n_iter=20).build((1, 9, 9)).float()
    >>> f(data.start("adjoint"), data).round(decimals=1).min()
    tensor(1.)
    """

    _: KW_ONLY
    n_iter: int = 8
    rho: Values | None = None
    measurement_noise: float = 0.01
    weight: float = 0.23
    denoise_first: bool = False
    learnable: tuple[str, ...] = ()

    number_names = ("rho", "noise_level")
    _parameter_constraints = {
        **PriorSolver._parameter_constraints,
        "measurement_noise": [POSITIVE],
        "weight": [POSITIVE],
        "denoise_first": ["boolean"],
    }

    def opened(self, image_shape: tuple[int, ...]) -> Self:
        if self.learnable:
            return self  # without building the denoiser
        D = self._chosen_denoiser().build(image_shape)
        used = self.number_names if D.takes_noise_level else ("rho",)
        return self._learning(name for name in used if getattr(self, name) is None)

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        noise = self.measurement_noise
        levels: Values
        if self.noise_level is None:
            levels = np.geomspace(max(noise, _FIRST_LEVEL), noise, max(1, self.n_iter))
        else:
            levels, _ = self._checked_numbers("noise_level")
        penalties = _penalty(self.weight, noise, np.atleast_1d(levels))
        prior, schedules = self.prior_and_schedules(
            image_shape, noise_level=(levels, 0), rho=(penalties, 1)
        )
        rho = schedules["rho"]  # used if it is set or learned; else it follows the noise level
        if self.rho is None and "rho" not in self.learnable:
            rho = _PenaltyOfLevel(self.weight, noise, cast(Schedule, prior.noise_level))
        return _HQS(self.n_iter, prior, rho, self.denoise_first)


def _penalty(weight: float, noise: float, level: Any) -> Any:
    """Return ``rho / ||A||^2`` for a noise level: ``alpha_k`` of Zhang et al. (2021)."""
    return weight * (noise / level) ** 2


class _PenaltyOfLevel(Schedule):
    """The default penalty, which follows the noise level, also while that is learned."""

    def __init__(self, weight: float, noise: float, noise_level: Schedule):
        penalties = _penalty(weight, noise, np.array(noise_level.values))
        super().__init__(penalties, learnable=False, power=1)  # the initial values
        self.weight, self.noise, self.noise_level = weight, noise, noise_level

    def factor(self, k: int) -> float | torch.Tensor:
        penalty: float | torch.Tensor = _penalty(self.weight, self.noise, self.noise_level(k))
        return penalty


class _HQS(IterativeSolver):
    def __init__(self, n_iter: int, prior: Prior, rho: Schedule, denoise_first: bool):
        super().__init__(n_iter)
        self.prior, self.rho, self.denoise_first = prior, rho, denoise_first

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        rho = self.rho(k, data)
        if self.denoise_first:
            return (data.prox(self.prior(x, k), rho),)
        u = data.prox(x, rho)
        return (self.prior(u, k),)
