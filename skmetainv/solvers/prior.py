"""The base class of solvers with a denoiser."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Self

import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from skmetainv.denoisers import ClassicalDenoiser, Denoiser, DenoiserModule, TotalVariation
from skmetainv.parameters import unfrozen
from skmetainv.solvers.base import Solver
from skmetainv.solvers.schedules import Schedule, Values, ValuesAndPower


class PriorSolver(Solver):
    """A solver with a denoiser; a subclass writes `build`, using `prior_and_schedules`.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        The prior. If None, ``TotalVariation()``.
    noise_level : float or sequence of float, default=None
        Noise level of the denoiser, in the units of the images; one number, or one per update. If
        None, the denoiser's own.

    Examples
    --------
    A new solver, which makes a gradient step and then denoises:

    >>> from dataclasses import KW_ONLY
    >>> import torch
    >>> from skmetainv.denoisers import SoftThreshold
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import IterativeSolver, PriorSolver
    >>> class PlugAndPlay(PriorSolver):
    ...     _: KW_ONLY
    ...     n_iter: int = 10
    ...     step_size: object = "auto"
    ...     learnable: tuple = ()
    ...     number_names = ("step_size", "noise_level")
    ...     automatic = {"step_size": (0.9, -1)}
    ...
    ...     def build(self, image_shape):
    ...         prior, schedules = self.prior_and_schedules(image_shape)
    ...         return PlugAndPlayUpdates(self.n_iter, prior, **schedules)
    >>> class PlugAndPlayUpdates(IterativeSolver):
    ...     def __init__(self, n_iter, prior, step_size):
    ...         super().__init__(n_iter)
    ...         self.prior, self.step_size = prior, step_size
    ...
    ...     def step(self, state, data, k):
    ...         (x,) = state
    ...         return (self.prior(x - self.step_size(k, data) * data.gradient(x), k),)
    >>> data = Identity().build((1, 1, 2)).bind(torch.tensor([[[[0.2, 2.0]]]]))
    >>> f = PlugAndPlay(SoftThreshold(), noise_level=0.5, step_size=1.0).build((1, 1, 2)).float()
    >>> f(data.start("zeros"), data)
    tensor([[[[0.0000, 1.5000]]]])
    """

    denoiser: Denoiser | FrozenEstimator | None = None
    _: KW_ONLY
    noise_level: Values | None = None

    _parameter_constraints = {
        **Solver._parameter_constraints,
        "denoiser": [Denoiser, FrozenEstimator, None],
    }

    def opened(self, image_shape: tuple[int, ...]) -> Self:
        """Return a solver that learns open numbers, see `Solver.opened`.

        If `noise_level` is None, the noise level of a classical denoiser counts as open, too. One
        value per update is then learned.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        solver : Solver
            The solver itself, or a copy.
        """
        if self.learnable:
            return self
        opened = super().opened(image_shape)  # a copy, because nothing is learnable yet
        chosen = self._chosen_denoiser()
        is_open = self.noise_level is None and self.n_iter > 0
        if is_open and isinstance(chosen, ClassicalDenoiser):
            opened.noise_level = [chosen.noise_level] * self.n_iter
            opened.learnable += ("noise_level",)
        return opened

    def _chosen_denoiser(self) -> Denoiser:
        chosen = TotalVariation() if self.denoiser is None else unfrozen(self.denoiser)
        if not isinstance(chosen, Denoiser):
            raise ValueError(
                f"The 'denoiser' parameter of {type(self).__name__} must be a Denoiser, or one in "
                f"a FrozenEstimator. Got {self.denoiser!r} instead."
            )
        return chosen

    def prior_and_schedules(
        self, image_shape: tuple[int, ...], *optional: str, **defaults: ValuesAndPower
    ) -> tuple[Prior, dict[str, Schedule]]:
        """Return the built denoiser and the schedules; `build` calls this method.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.
        *optional, **defaults
            See `Solver.build_schedules`. `noise_level` is optional in any case.

        Returns
        -------
        prior : Prior
            The denoiser with its noise levels. In update `k`, call it as ``prior(x, k)``.
        schedules : dict of str to Schedule
            The other numbers, see `Solver.build_schedules`.

        Raises
        ------
        ValueError
            If a number is not valid, or if noise levels are set or learnable although the denoiser
            takes none.
        """
        schedules = self.build_schedules("noise_level", *optional, **defaults)
        chosen = self._chosen_denoiser()
        D = chosen.build(image_shape)
        asked = self.noise_level is not None or "noise_level" in self.learnable
        if asked and not D.takes_noise_level:
            raise ValueError(
                f"The 'noise_level' parameter of {type(self).__name__} must be None, and not "
                f"learnable: this {type(chosen).__name__} takes no noise level."
            )
        return Prior(D, schedules.pop("noise_level", None)), schedules


class Prior(nn.Module):
    """A denoiser with a noise level for every update.

    Parameters
    ----------
    denoiser : DenoiserModule
        The denoiser.
    noise_level : Schedule or None
        Its noise levels. If None, the denoiser's own.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import SoftThreshold
    >>> from skmetainv.solvers import Prior, Schedule
    >>> levels = Schedule([0.5, 0.25], learnable=False)
    >>> prior = Prior(SoftThreshold().build((1, 1, 2)), levels)
    >>> prior(torch.ones(1, 1, 1, 2), 0)
    tensor([[[[0.5000, 0.5000]]]])
    >>> prior(torch.ones(1, 1, 1, 2), 1)
    tensor([[[[0.7500, 0.7500]]]])
    """

    def __init__(self, denoiser: DenoiserModule, noise_level: Schedule | None):
        super().__init__()
        self.denoiser, self.noise_level = denoiser, noise_level

    def forward(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """Return the images `x`, denoised at the noise level of update `k`.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            Images.
        k : int
            Index of the update, from 0.

        Returns
        -------
        x : tensor of shape (batch, channels, height, width)
            Denoised images.
        """
        noise_level = None if self.noise_level is None else self.noise_level(k)
        denoised: torch.Tensor = self.denoiser(x, noise_level)
        return denoised
