"""Proximal gradient descent with a denoiser: ISTA and FISTA."""

from dataclasses import KW_ONLY

import torch

from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.solvers.iterative import IterativeSolver, State, warn_of_step_size
from skmetainv.solvers.prior import Prior, PriorSolver
from skmetainv.solvers.schedules import Schedule, ValuesOrAuto


class ProximalGradient(PriorSolver):
    """Proximal gradient descent (ISTA, FISTA) with a denoiser in place of the proximal step.

    The update is ``x <- D(z - step_size A'(A z - y))`` with ``z = x`` or, if accelerated,
    ``z = x_k + k / (k + 4) (x_k - x_k-1)``. If ``D`` is the proximal step of ``step_size g`` with a
    convex ``g``, the updates converge to a minimiser of ``1/2 ||A x - y||^2 + g(x)``. This needs
    step sizes below ``2 / ||A||^2``, or, if accelerated, at most ``1 / ||A||^2``. Nonlinear
    operators are supported, too.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        ``D``. If None, ``TotalVariation()``, whose default noise level is for images in [0, 1].
    n_iter : int, default=10
        Number of updates.
    step_size : "auto", float or sequence of float, default="auto"
        Step size; one number, or one per update. "auto" is ``0.9 / ||A||^2``, see
        `skmetainv.operators.ForwardMap.norm`.
    noise_level : float or sequence of float, default=None
        Noise level of the denoiser, in the units of the images; one number, or one per update. If
        None, the denoiser's own.
    accelerated : bool, default=False
        Whether to use FISTA, with the momentum of Chambolle and Dossal for ``a = 3``.
    learnable : tuple of str, default=()
        Parameters that training may change: "step_size" (for "auto", the factor 0.9),
        "noise_level".

    References
    ----------
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", SIAM Journal on Imaging Sciences, 2009.

    Chambolle and Dossal, "On the convergence of the iterates of the fast iterative
    shrinkage/thresholding algorithm", Journal of Optimization Theory and Applications, 2015.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import SoftThreshold
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import ProximalGradient
    >>> data = Identity().build((1, 1, 2)).bind(torch.tensor([[[[0.2, 2.0]]]]))
    >>> f = ProximalGradient(SoftThreshold(noise_level=0.5), step_size=1.0).build((1, 1, 2)).float()
    >>> f(data.start("zeros"), data)
    tensor([[[[0.0000, 1.5000]]]])
    """

    _: KW_ONLY
    n_iter: int = 10
    step_size: ValuesOrAuto = "auto"
    accelerated: bool = False
    learnable: tuple[str, ...] = ()

    number_names = ("step_size", "noise_level")
    automatic = {"step_size": (0.9, -1)}
    _parameter_constraints = {**PriorSolver._parameter_constraints, "accelerated": ["boolean"]}

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        prior, schedules = self.prior_and_schedules(image_shape)
        updates = _FISTA if self.accelerated else _ISTA
        return updates(self.n_iter, prior, **schedules)


class _ISTA(IterativeSolver):
    step_size_factor = 2.0

    def __init__(self, n_iter: int, prior: Prior, step_size: Schedule):
        super().__init__(n_iter)
        self.prior, self.step_size = prior, step_size

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        return (self.prior(x - self.step_size(k, data) * data.gradient(x), k),)

    def check(self, A: ForwardMap) -> None:
        warn_of_step_size(self.step_size, A, "ProximalGradient", factor=self.step_size_factor)


class _FISTA(_ISTA):
    step_size_factor = 1.0

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        return x, x

    def step(self, state: State, data: DataTerm, k: int) -> State:
        x, last_x = state
        z = x + k / (k + 4) * (x - last_x)
        return self.prior(z - self.step_size(k, data) * data.gradient(z), k), x
