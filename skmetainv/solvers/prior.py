"""What solvers with a denoiser share."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, Self

import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from skmetainv.denoisers import Denoiser, DenoiserModule, TotalVariation
from skmetainv.denoisers.base import ClassicalDenoiser
from skmetainv.parameters import unfrozen
from skmetainv.solvers.base import Solver
from skmetainv.solvers.schedules import Schedule


class PriorSolver(Solver):
    """A solver with a denoiser; a subclass writes `build`, of `schedules` and `prior`.

    Parameters
    ----------
    denoiser : Denoiser, or a fitted one in a FrozenEstimator, default=None
        The prior; None is ``TotalVariation()``.
    noise_level : float or sequence of float, default=None
        What the denoiser takes the noise to be, in the units of the images, or one per update. None
        is the denoiser's own.
    """

    denoiser: Denoiser | FrozenEstimator | None = None
    _: KW_ONLY
    noise_level: Any = None

    _parameter_constraints = {
        **Solver._parameter_constraints,
        "denoiser": [Denoiser, FrozenEstimator, None],
    }

    def opened(self, image_shape: tuple[int, ...]) -> Self:
        """Return a copy whose open numbers may be changed, see `Solver.opened`.

        A classical denoiser's own noise level counts as open, one per update, if `noise_level` is
        None.
        """
        own = super().opened(image_shape)
        chosen = self._chosen_denoiser()
        if self.noise_level is None and isinstance(chosen, ClassicalDenoiser) and self.n_iter:
            own.noise_level = [chosen.noise_level] * self.n_iter
            own.learnable += ("noise_level",)
        return own

    def _chosen_denoiser(self) -> Denoiser:
        chosen = TotalVariation() if self.denoiser is None else unfrozen(self.denoiser)
        if not isinstance(chosen, Denoiser):
            raise ValueError(
                f"The 'denoiser' parameter of {type(self).__name__} must be a Denoiser, or one in "
                f"a FrozenEstimator. Got {self.denoiser!r} instead."
            )
        return chosen

    def prior(self, image_shape: tuple[int, ...], noise_level: Schedule | None) -> Prior:
        """Return the denoiser of every update, for the solver that `build` makes.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.
        noise_level : Schedule or None
            Its noise levels, of `Solver.schedules`; None is the denoiser's own.

        Returns
        -------
        prior : Prior
            Call it as ``prior(x, k)`` in the update `k`.

        Raises
        ------
        ValueError
            If there are noise levels, and the denoiser takes none.
        """
        chosen = self._chosen_denoiser()
        D = chosen.build(image_shape)
        asked = self.noise_level is not None or "noise_level" in self.learnable
        if asked and not D.takes_noise_level:
            raise ValueError(
                f"The 'noise_level' parameter of {type(self).__name__} must be None, and not "
                f"learnable: this {type(chosen).__name__} takes no noise level."
            )
        return Prior(D, noise_level)


class Prior(nn.Module):
    """A denoiser with a noise level for every update.

    Parameters
    ----------
    denoiser : DenoiserModule
        The denoiser.
    noise_level : Schedule or None
        Its noise levels; None is the denoiser's own.
    """

    def __init__(self, denoiser: DenoiserModule, noise_level: Schedule | None):
        super().__init__()
        self.denoiser, self.noise_level = denoiser, noise_level

    def forward(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """Return the images `x`, denoised at the noise level of update `k`."""
        denoised: torch.Tensor = self.denoiser(
            x, None if self.noise_level is None else self.noise_level(k)
        )
        return denoised
