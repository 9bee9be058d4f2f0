"""Undersampled Fourier transforms: one coil, or several coils with sensitivity maps."""

from __future__ import annotations

import torch

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import Basis, FourierBasis
from skmetainv.operators.maps.closed_forms import DiagonalNormalMap

_AXES = (-2, -1)


class ComplexFourierBasis(Basis):
    """The orthonormal Fourier transform of complex images, which are stored as two channels."""

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, shape ``(batch, 1, height, width)``, complex."""
        return torch.fft.fft2(to_complex(x), norm="ortho")

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the real and the imaginary channel."""
        return to_channels(torch.fft.ifft2(coefficients, norm="ortho"))


class FourierMap(DiagonalNormalMap):
    """``A x = m F x`` with the orthonormal Fourier transform ``F``, its origin in the middle.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width.
    observed : tensor of bool, broadcastable to (batch, *measurement_shape)
        The mask ``m``, the zero frequency in the middle.
    complex_image : bool
        Whether the two channels of an image are its real and imaginary parts. If images are real,
        the transform is Hermitian, and the eigenvalues of ``A' A`` are the mask averaged with its
        point reflection.
    """

    observed: torch.Tensor
    factor: torch.Tensor

    def __init__(self, image_shape: Shape, observed: torch.Tensor, complex_image: bool):
        channels, height, width = image_shape
        shape = (1 if complex_image else channels, height, width, 2)
        super().__init__(image_shape, shape, observed)
        self.complex_image = complex_image
        power = torch.fft.ifftshift(observed[..., 0].double(), dim=_AXES)
        self.register_buffer("factor", _shifted(power))
        if complex_image:
            self.keep_normal(power, ComplexFourierBasis())
        else:
            reflected = power.flip(_AXES).roll((1, 1), _AXES)
            half = ((power + reflected) / 2)[..., : width // 2 + 1]
            self.keep_normal(half, FourierBasis((height, width)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``m F x``, real and imaginary parts along the last axis."""
        return sampled_fft2(to_complex(x) if self.complex_image else x, self.factor)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``F' m y``; if images are real, its real part."""
        field = sampled_ifft2(y, self.factor)
        return to_channels(field) if self.complex_image else field.real

    def masked(self, observed: torch.Tensor) -> FourierMap:
        """Return the map that also leaves out the frequencies where `observed` is False."""
        both = self.observed & observed
        return FourierMap(self.image_shape, both, self.complex_image).to(self.power)


class CoilMap(LinearMap):
    """``A x = m F (s_c x)`` for every coil ``c`` with sensitivity ``s_c``.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels (one, or two for a complex image), height and width.
    sensitivities : tensor of shape (coils, height, width), complex
        The maps ``s_c``.
    observed : tensor of bool, broadcastable to (batch, *measurement_shape)
        The mask ``m``, the zero frequency in the middle.
    """

    observed: torch.Tensor
    mask: torch.Tensor
    factor: torch.Tensor
    sensitivities: torch.Tensor

    def __init__(self, image_shape: Shape, sensitivities: torch.Tensor, observed: torch.Tensor):
        super().__init__(image_shape, (*sensitivities.shape, 2), observed)
        self.register_buffer("sensitivities", sensitivities)
        self.register_buffer("mask", torch.fft.ifftshift(observed[..., 0].double(), dim=_AXES))
        self.register_buffer("factor", _shifted(self.mask))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``m F (s_c x)``, real and imaginary parts along the last axis."""
        return sampled_fft2(self.sensitivities * self._field(x), self.factor)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``sum_c conj(s_c) F' m y_c``; if images are real, its real part."""
        return self._combined(sampled_ifft2(y, self.factor))

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x``; the positions of the origins cancel out."""
        coefficients = torch.fft.fft2(self.sensitivities * self._field(x))
        return self._combined(torch.fft.ifft2(self.mask * coefficients))

    def masked(self, observed: torch.Tensor) -> CoilMap:
        """Return the map that also leaves out the frequencies where `observed` is False."""
        both = self.observed & observed
        return CoilMap(self.image_shape, self.sensitivities, both).to(self.mask)

    def _field(self, x: torch.Tensor) -> torch.Tensor:
        return to_complex(x) if self.image_shape[0] == 2 else x

    def _combined(self, fields: torch.Tensor) -> torch.Tensor:
        field = (self.sensitivities.conj() * fields).sum(1, keepdim=True)
        return to_channels(field) if self.image_shape[0] == 2 else field.real


def _shifted(mask: torch.Tensor) -> torch.Tensor:
    """Return `mask`, its zero frequency first, times the phase that shifts the image's origin."""
    height, width = mask.shape[-2:]
    rows, columns = (
        torch.arange(n, dtype=torch.float64, device=mask.device) * (n // 2) / n
        for n in (height, width)
    )
    turns = rows[:, None] + columns
    return mask * torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)


def sampled_fft2(field: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return the sampled transform of real or complex images, as real and imaginary parts."""
    samples = factor * torch.fft.fft2(field, norm="ortho")
    return torch.view_as_real(torch.fft.fftshift(samples, dim=_AXES))


def sampled_ifft2(y: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return the adjoint of `sampled_fft2`, a batch of complex images."""
    samples = torch.fft.ifftshift(torch.view_as_complex(y.contiguous()), dim=_AXES)
    return torch.fft.ifft2(samples * factor.conj(), norm="ortho")


def to_complex(x: torch.Tensor) -> torch.Tensor:
    """Return two channels as complex images, shape ``(batch, 1, height, width)``."""
    return torch.complex(x[:, :1], x[:, 1:])


def to_channels(field: torch.Tensor) -> torch.Tensor:
    """Return the real and the imaginary part of a complex image as channels."""
    return torch.view_as_real(field[:, 0]).movedim(-1, 1)
