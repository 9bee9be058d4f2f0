"""The protocol of denoisers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skmetainv.parameters import ParameterObject, check_built, comes_from, described, is_function


class Denoiser(ParameterObject):
    """The base class of denoisers: it holds parameters but no tensors; a subclass writes `build`.

    Examples
    --------
    A new denoiser: one step of diffusion along the rows. `ClassicalDenoiser` and `ClassicalModule`
    are for denoisers without weights, whose noise level is one number. For other denoisers, derive
    one class from `Denoiser`, and one with a method ``forward(x, noise_level)`` from
    `DenoiserModule`.

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
            "Write a subclass of DenoiserModule with the method forward(x, noise_level), or wrap "
            "a function: FunctionDenoiser(function).",
        )


class DenoiserModule(nn.Module):
    """The module of a denoiser; a subclass writes `forward`.

    Attributes
    ----------
    takes_noise_level : bool
        Whether the result depends on the noise level passed to `forward`.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import DenoiserModule
    >>> class Halving(DenoiserModule):
    ...     takes_noise_level = False
    ...
    ...     def forward(self, x, noise_level=None):
    ...         return x / 2
    >>> Halving()(torch.ones(1, 1, 1, 2))
    tensor([[[[0.5000, 0.5000]]]])
    """

    takes_noise_level = True

    def __call__(
        self, x: torch.Tensor, noise_level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the result of `forward`, after checking that it has the shape of `x`.

        Raises
        ------
        ValueError
            If it does not have the shape of `x`.
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
            Standard deviation of the noise, in the units of the images, one for all images or one
            for each. If None, the denoiser's own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class ClassicalDenoiser(Denoiser):
    """A denoiser without weights; a subclass writes `build`.

    If a solver sets no noise levels, all its updates use `noise_level`. Estimators may tune one
    noise level for each update.

    Parameters
    ----------
    noise_level : float
        Standard deviation of the noise, in the units of the images, used if the solver sets none.

    Examples
    --------
    The best linear denoiser of white images with variance 1:

    >>> import torch
    >>> from skmetainv.denoisers import ClassicalDenoiser, ClassicalModule
    >>> class Shrinkage(ClassicalDenoiser):
    ...     noise_level: float = 0.05
    ...
    ...     def build(self, image_shape):
    ...         return ShrinkageModule(self.noise_level)
    >>> class ShrinkageModule(ClassicalModule):
    ...     def denoise(self, x, noise_level):
    ...         return x / (1 + noise_level**2)
    >>> Shrinkage(noise_level=1.0).build((1, 1, 2))(torch.ones(1, 1, 1, 2))
    tensor([[[[0.5000, 0.5000]]]])
    """

    noise_level: float


class ClassicalModule(DenoiserModule):
    """A denoiser's module with a default noise level; a subclass writes `denoise`.

    Parameters
    ----------
    noise_level : float
        The noise level that is used if `forward` gets None.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.denoisers import ClassicalModule
    >>> class ShrinkageModule(ClassicalModule):
    ...     def denoise(self, x, noise_level):
    ...         return x / (1 + noise_level**2)
    >>> D = ShrinkageModule(noise_level=1.0)
    >>> D(torch.ones(1, 1, 1, 2))
    tensor([[[[0.5000, 0.5000]]]])
    >>> D(torch.ones(1, 1, 1, 2), noise_level=3.0)
    tensor([[[[0.1000, 0.1000]]]])
    """

    def __init__(self, noise_level: float):
        super().__init__()
        self.noise_level = noise_level

    def forward(
        self, x: torch.Tensor, noise_level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        return self.denoise(x, self.noise_level if noise_level is None else noise_level)

    def denoise(self, x: torch.Tensor, noise_level: float | torch.Tensor) -> torch.Tensor:
        """Return denoised images, see `DenoiserModule.forward`; `noise_level` is never None.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            Noisy images.
        noise_level : float, or tensor of shape (batch, 1, 1, 1)
            The standard deviation of the noise, in the units of the images.

        Returns
        -------
        x : tensor of shape (batch, channels, height, width)
            Denoised images.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define denoise.")
