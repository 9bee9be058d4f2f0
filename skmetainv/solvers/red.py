"""Regularisation by denoising."""

from dataclasses import KW_ONLY

import torch

from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.parameters import StrOptions
from skmetainv.solvers.iterative import IterativeSolver, State, warn_of_step_size
from skmetainv.solvers.prior import Prior, PriorSolver
from skmetainv.solvers.schedules import (
    HasNorm,
    Schedule,
    Values,
    ValuesAndPower,
    ValuesOrAuto,
    squared_norm,
)


class RED(PriorSolver):
    """Regularisation by denoising (RED) of Romano, Elad and Milanfar.

    Solves ``A'(A x - y) + weight (x - D(x)) = 0``. If the Jacobian of ``D`` is symmetric, the left
    side is the gradient of ``1/2 ||A x - y||^2 + weight/2 x'(x - D(x))``. Three methods have the
    same solution:

    - "fixed_point": ``x <- argmin_u 1/2 ||A u - y||^2 + weight/2 ||u - D(x)||^2``, Zhao's
      Meta-RED. It equals `HQS` with ``denoise_first=True`` and a constant penalty.
    - "steepest_descent": ``x <- x - step_size (A'(A x - y) + weight (x - D(x)))``, which takes
      nonlinear operators, too.
    - "admm": ``x <- argmin_u 1/2 ||A u - y||^2 + rho/2 ||u - v + w / rho||^2``,
      ``v <- (weight D(v) + rho x + w) / (weight + rho)``, ``w <- w + rho (x - v)``.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        ``D``. If None, ``TotalVariation()``, whose default noise level is for images in [0, 1].
    n_iter : int, default=3
        Number of updates.
    weight : "auto", float or sequence of float, default="auto"
        Weight of the prior; one number, or one per update. "auto" is ``0.1 ||A||^2``, see
        `skmetainv.operators.ForwardMap.norm`.
    noise_level : float or sequence of float, default=None
        Noise level of the denoiser, in the units of the images; one number, or one per update. If
        None, the denoiser's own. Missing pixels fill in faster if the first levels are high, as in
        ``numpy.geomspace(0.2, 0.04, n_iter)``.
    method : {"fixed_point", "steepest_descent", "admm"}, default="fixed_point"
        The method, see above.
    step_size : float or sequence of float, default=None
        Step size of "steepest_descent", the only method that takes one. If None, ``1 / (||A||^2 +
        weight)``. If the denoiser's Jacobian is symmetric with eigenvalues in [0, 1], the updates
        converge for step sizes below twice this value.
    rho : float or sequence of float, default=None
        Penalty of "admm", the only method that takes one. If None, `weight`.
    learnable : tuple of str, default=()
        Parameters that training may change: "weight", "noise_level", "step_size", "rho". For
        "auto", the factor of ``||A||^2`` is learned; for ``step_size=None``, the factor of
        ``1 / (||A||^2 + weight)``.

    References
    ----------
    Romano, Elad and Milanfar, "The little engine that could: regularization by denoising (RED)",
    SIAM Journal on Imaging Sciences, 2017.

    Qingqing Zhao, "Meta-learning for Solving Inverse Problems", Stanford University.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import GaussianSmoothing
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import RED
    >>> data = Identity().build((1, 4, 4)).bind(torch.eye(4).reshape(1, 1, 4, 4))
    >>> f = RED(GaussianSmoothing(), n_iter=5, weight=1.0).build((1, 4, 4)).float()
    >>> f(data.start("adjoint"), data).mean()
    tensor(0.2500)
    """

    _: KW_ONLY
    n_iter: int = 3
    weight: ValuesOrAuto = "auto"
    method: str = "fixed_point"
    step_size: Values | None = None
    rho: Values | None = None
    learnable: tuple[str, ...] = ()

    number_names = ("weight", "noise_level", "step_size", "rho")
    automatic = {"weight": (0.1, 1)}
    _parameter_constraints = {
        **PriorSolver._parameter_constraints,
        "method": [StrOptions({"fixed_point", "steepest_descent", "admm"})],
    }

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        for name, method in (("step_size", "steepest_descent"), ("rho", "admm")):
            if getattr(self, name) is not None and self.method != method:
                raise ValueError(
                    f"The {name!r} parameter of RED must be None unless method={method!r}. "
                    f"Got {getattr(self, name)!r} and method={self.method!r} instead."
                )
        defaults: dict[str, ValuesAndPower] = {}
        if self.method == "steepest_descent":
            # A placeholder, so that "step_size" may be learnable; it is replaced below.
            defaults["step_size"] = (1.0, 0)
        elif self.method == "admm":
            defaults["rho"] = self._checked_numbers("weight")
        prior, schedules = self.prior_and_schedules(image_shape, "step_size", "rho", **defaults)
        if self.method == "steepest_descent" and self.step_size is None:
            learnable = "step_size" in self.learnable
            schedules["step_size"] = _DefaultStepSize(learnable, schedules["weight"])
        solver: IterativeSolver = _METHODS[self.method](self.n_iter, prior, **schedules)
        return solver


class _DefaultStepSize(Schedule):
    """The default step size of steepest descent, ``factor / (||A||^2 + weight)``."""

    def __init__(self, learnable: bool, weight: Schedule):
        super().__init__(1.0, learnable)
        self.weight = weight

    def forward(self, k: int, normed: HasNorm | None = None) -> float | torch.Tensor:
        bound = squared_norm(normed) + self.weight(k, normed)
        step_size: float | torch.Tensor = self.factor(k) / bound
        return step_size


class _FixedPoint(IterativeSolver):
    def __init__(self, n_iter: int, prior: Prior, weight: Schedule):
        super().__init__(n_iter)
        self.prior, self.weight = prior, weight

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        return (data.prox(self.prior(x, k), self.weight(k, data)),)


class _SteepestDescent(IterativeSolver):
    def __init__(self, n_iter: int, prior: Prior, weight: Schedule, step_size: Schedule):
        super().__init__(n_iter)
        self.prior, self.weight, self.step_size = prior, weight, step_size

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        gradient = data.gradient(x) + self.weight(k, data) * (x - self.prior(x, k))
        return (x - self.step_size(k, data) * gradient,)

    def check(self, A: ForwardMap) -> None:
        warn_of_step_size(self.step_size, A, "RED", curvature=self.weight)


class _REDByADMM(IterativeSolver):
    def __init__(self, n_iter: int, prior: Prior, weight: Schedule, rho: Schedule):
        super().__init__(n_iter)
        self.prior, self.weight, self.rho = prior, weight, rho

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        return x, x, torch.zeros_like(x)

    def step(self, state: State, data: DataTerm, k: int) -> State:
        _, v, w = state
        weight, rho = self.weight(k, data), self.rho(k, data)
        x = data.prox(v - w / rho, rho)
        # One fixed-point iteration of argmin_v of RED's prior + rho/2 ||v - x - w / rho||^2
        v = (weight * self.prior(v, k) + rho * x + w) / (weight + rho)
        return x, v, w + rho * (x - v)

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        return 1.0, 1.0, 1 / float(self.rho(k, data))  # w / rho has the units of x


_METHODS = {"fixed_point": _FixedPoint, "steepest_descent": _SteepestDescent, "admm": _REDByADMM}
