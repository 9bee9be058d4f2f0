"""The alternating direction method of multipliers with a denoiser."""

from dataclasses import KW_ONLY

import torch

from skmetainv.operators import DataTerm
from skmetainv.solvers.iterative import IterativeSolver, State
from skmetainv.solvers.prior import Prior, PriorSolver
from skmetainv.solvers.schedules import Schedule, ValuesOrAuto


class ADMM(PriorSolver):
    """Alternating direction method of multipliers with a denoiser in place of a proximal step.

    ``u <- argmin_u 1/2 ||A u - y||^2 + rho/2 ||u - x + w / rho||^2``, ``x <- D(u + w / rho)``,
    ``w <- w + rho (u - x)``. If ``D`` is the proximal step of a convex function ``g / rho``, the
    updates converge to a minimiser of ``1/2 ||A x - y||^2 + g(x)``.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        ``D``. If None, ``TotalVariation()``, whose default noise level is for images in [0, 1].
    n_iter : int, default=10
        Number of updates.
    rho : "auto", float or sequence of float, default="auto"
        Penalty; one number, or one per update. "auto" is ``0.1 ||A||^2``, see
        `skmetainv.operators.ForwardMap.norm`. The multiplier ``w`` is not scaled by `rho`, so `rho`
        may change between updates.
    noise_level : float or sequence of float, default=None
        Noise level of the denoiser, in the units of the images; one number, or one per update. If
        None, the denoiser's own. Missing pixels fill in faster if the first levels are high, as in
        ``numpy.geomspace(0.2, 0.04, n_iter)``.
    learnable : tuple of str, default=()
        Parameters that training may change: "rho" (for "auto", the factor 0.1), "noise_level".

    References
    ----------
    Venkatakrishnan, Bouman and Wohlberg, "Plug-and-play priors for model based reconstruction",
    GlobalSIP 2013.

    Chan, Wang and Elgendy, "Plug-and-play ADMM for image restoration: fixed-point convergence and
    applications", IEEE Transactions on Computational Imaging, 2017.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import SoftThreshold
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import ADMM
    >>> data = Identity().build((1, 1, 2)).bind(torch.tensor([[[[0.2, 2.0]]]]))
    >>> f = ADMM(SoftThreshold(noise_level=0.5), n_iter=60, rho=1.0).build((1, 1, 2)).float()
    >>> f(data.start("zeros"), data)
    tensor([[[[0.0000, 1.5000]]]])
    """

    _: KW_ONLY
    n_iter: int = 10
    rho: ValuesOrAuto = "auto"
    learnable: tuple[str, ...] = ()

    number_names = ("rho", "noise_level")
    automatic = {"rho": (0.1, 1)}

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        prior, schedules = self.prior_and_schedules(image_shape)
        return _ADMM(self.n_iter, prior, **schedules)


class _ADMM(IterativeSolver):
    def __init__(self, n_iter: int, prior: Prior, rho: Schedule):
        super().__init__(n_iter)
        self.prior, self.rho = prior, rho

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        return x, torch.zeros_like(x)

    def step(self, state: State, data: DataTerm, k: int) -> State:
        x, w = state
        rho = self.rho(k, data)
        u = data.prox(x - w / rho, rho)
        x = self.prior(u + w / rho, k)
        return x, w + rho * (u - x)

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        return 1.0, 1 / float(self.rho(k, data))  # w / rho has the units of x
