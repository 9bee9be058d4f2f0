"""The protocol of denoisers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skmetainv.parameters import (
    ParameterObject,
    check_built,
    comes_from,
    described,
    is_function,
)


class Denoiser(ParameterObject):
    """A denoiser, the prior of a solver: hyper-parameters; a subclass writes `build`.

    Examples
    --------
    One step of diffusion along the rows. `ClassicalDenoiser` and `ClassicalModule` are for
    denoisers by formula, whose noise level is one number; others are a `Denoiser` whose
    `DenoiserModule` writes ``forward(x, noise_level)``.

    >>> from skmetainv.denoisers import ClassicalDenoiser, ClassicalModule
    >>> from skmetainv.testing import check_denoiser
    >>> class Diffusion(ClassicalDenoiser):
    ...     noise_level: float = 0.05
    ...
    ...     def build(self, image_shape):
    ...         return DiffusionStep(self.noise_level)
    >>> class DiffusionStep(ClassicalModule):
    ...     def denoise(self, x, noise_level):
    ...         neighbours = (x.roll(1, dims=-1) + x.roll(-1, dims=-1)) / 2
    ...         return x + noise_level * (neighbours - x)
    >>> check_denoiser(Diffusion(noise_level=0.1))
    """

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        """Return the adapter that makes a denoiser of `value`, see `ParameterObject`."""
        if isinstance(value, nn.Module) and comes_from(value, "deepinv"):
            return "DeepInverseDenoiser(model)"
        if isinstance(value, nn.Module):
            return "FunctionDenoiser(module)"
        return "FunctionDenoiser(function)" if is_function(value) else None

    def build(self, image_shape: tuple[int, ...]) -> DenoiserModule:
        """Return the denoiser for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        D : DenoiserModule
            A module; ``D(x, noise_level)`` denoises a batch of images.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def _examine(self, built: Any) -> DenoiserModule:
        return check_built(
            self,
            built,
            DenoiserModule,
            "Write a subclass of DenoiserModule with the method forward(x, noise_level); a "
            "function alone is FunctionDenoiser(function).",
        )


class DenoiserModule(nn.Module):
    """What a denoiser computes; a subclass writes `forward`.

    Attributes
    ----------
    takes_noise_level : bool
        Whether the result depends on the noise level that `forward` is given.
    """

    takes_noise_level = True

    def __call__(
        self, x: torch.Tensor, noise_level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what `forward` gives, if it is images like those that it took.

        Raises
        ------
        ValueError
            If it is not.
        """
        denoised = super().__call__(x, noise_level)
        if not isinstance(denoised, torch.Tensor) or denoised.shape != x.shape:
            raise ValueError(
                f"{type(self).__name__}.forward must return images of the shape that it takes, "
                f"{tuple(x.shape)}. Got {described(denoised)} instead."
            )
        return denoised

    def forward(
        self, x: torch.Tensor, noise_level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return denoised images.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            Images with white Gaussian noise.
        noise_level : float or tensor of shape () or (batch, 1, 1, 1), default=None
            Its standard deviation, in the units of the images, one for all or one for each; None
            is the denoiser's own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class ClassicalDenoiser(Denoiser):
    """A denoiser by formula; a subclass writes `build`.

    If a solver has no noise levels of its own, its updates begin with this one, and estimators may
    tune them.

    Parameters
    ----------
    noise_level : float
        Standard deviation of the noise, in the units of the images, where a solver says none.
    """

    noise_level: float


class ClassicalModule(DenoiserModule):
    """A denoiser by formula; a subclass writes `denoise`.

    Parameters
    ----------
    noise_level : float
        The level where `forward` is given none.
    """

    def __init__(self, noise_level: float):
        super().__init__()
        self.noise_level = noise_level

    def forward(
        self, x: torch.Tensor, noise_level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return denoised images, see `DenoiserModule.forward`."""
        return self.denoise(x, self.noise_level if noise_level is None else noise_level)

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        """Return denoised images, see `DenoiserModule.forward`; there is always a noise level."""
        raise NotImplementedError(f"{type(self).__name__} does not define denoise.")
