"""Linear maps with closed forms: ``A``, ``A' A`` or ``A A'`` is diagonal in a known basis."""

from __future__ import annotations

import torch

from skmetainv.operators.maps.base import LinearMap, Shape
from skmetainv.operators.maps.bases import Basis
from skmetainv.operators.maps.data_terms import LinearDataTerm
from skmetainv.operators.maps.per_image import spread


class DiagonalNormalMap(LinearMap):
    """A linear map with ``A' A = B' diag(power) B``; a subclass calls `keep_normal`.

    Attributes
    ----------
    power : tensor
        Eigenvalues of ``A' A``, broadcastable to a batch of coefficients.
    basis : Basis
        ``B``, an orthonormal basis of images.
    """

    has_closed_form = True
    power: torch.Tensor
    basis: Basis

    def keep_normal(self, power: torch.Tensor, basis: Basis) -> None:
        """Keep the eigenvalues and the basis of ``A' A``."""
        self.register_buffer("power", power)
        self.basis = basis

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(power) B x``."""
        return self.basis.synthesis(self.power * self.basis.analysis(x))

    def norm(self) -> torch.Tensor:
        """Return the largest singular value; if masks vary, the largest over the images."""
        return self.power.max().sqrt()

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        coefficients = self.basis.analysis(self.adjoint(y))
        return self.basis.synthesis(_truncated_inverse(self.power, rcond) * coefficients)

    def data_term(self, y: torch.Tensor) -> DiagonalNormalDataTerm:
        """Return the data fidelity, which stores ``A' y``."""
        return DiagonalNormalDataTerm(self, y)


class DiagonalNormalDataTerm(LinearDataTerm):
    """The data fidelity of a `DiagonalNormalMap`, with its proximal step in closed form."""

    A: DiagonalNormalMap
    _last: tuple[float, torch.Tensor] | None = None

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(1 / (power + rho)) B (A' y + rho z)``, see `LinearDataTerm.prox`."""
        coefficients = self.A.basis.analysis(_plus(self.adjoint_y, rho, z))
        inverse = self._inverse_with_penalty(rho, coefficients.dtype)
        return self.A.basis.synthesis(coefficients * inverse)

    def _inverse_with_penalty(self, rho: float | torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return ``1 / (power + rho)``, stored for the next call, as solvers often repeat `rho`.

        The result has the type of the coefficients: torch multiplies two complex tensors faster
        than a complex and a real one.
        """
        if isinstance(rho, torch.Tensor):
            return (1 / (self.A.power + rho)).to(dtype)
        if self._last is None or self._last[0] != rho:
            self._last = rho, (1 / (self.A.power + rho)).to(dtype)
        return self._last[1]


class DiagonalMap(DiagonalNormalMap):
    """``A = B' diag(s) B``: masks in the pixel basis, circular convolutions in the Fourier basis.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width; the measurement has the same shape.
    spectrum : tensor
        ``s``, real or complex, broadcastable to a batch of coefficients.
    basis : Basis
        ``B``.
    observed : tensor of bool, default=None
        See `ForwardMap`.
    """

    spectrum: torch.Tensor

    def __init__(
        self,
        image_shape: Shape,
        spectrum: torch.Tensor,
        basis: Basis,
        observed: torch.Tensor | None = None,
    ):
        super().__init__(image_shape, image_shape, observed)
        self.register_buffer("spectrum", spectrum)
        self.keep_normal((spectrum * spectrum.conj()).real, basis)

    def seen_pixels(self) -> torch.Tensor | None:
        if not self.basis.is_standard:
            return None
        n = len(self.spectrum) if self.spectrum.ndim > len(self.image_shape) else 1
        return (self.spectrum != 0).expand(n, *self.image_shape).any(dim=1, keepdim=True)

    @property
    def gram(self) -> torch.Tensor:
        """Eigenvalues of ``A A'``, which is equal to ``A' A``."""
        return self.power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(s) B x``."""
        return self.basis.synthesis(self.spectrum * self.basis.analysis(x))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(conj s) B y``."""
        return self.basis.synthesis(self.spectrum.conj() * self.basis.analysis(y))

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        """Return the least-squares solution of least norm, ``B' diag(s^+) B y``."""
        kept = _truncated_inverse(self.power, rcond) > 0
        inverse = torch.where(kept, 1 / torch.where(kept, self.spectrum, 1), 0)
        return self.basis.synthesis(inverse * self.basis.analysis(y))


class DiagonalGramMap(LinearMap):
    """A linear map with ``A A' = C' diag(gram) C``; a subclass calls `keep_gram`.

    Attributes
    ----------
    gram : tensor
        Eigenvalues of ``A A'``, broadcastable to a batch of coefficients.
    basis : Basis
        ``C``, an orthonormal basis of measurements.
    """

    has_closed_form = True
    gram: torch.Tensor
    basis: Basis

    def keep_gram(self, gram: torch.Tensor, basis: Basis) -> None:
        """Keep the eigenvalues and the basis of ``A A'``."""
        self.register_buffer("gram", gram)
        self.basis = basis

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``C A x``."""
        return self.basis.analysis(self(x))

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return ``A' C' coefficients``."""
        return self.adjoint(self.basis.synthesis(coefficients))

    def norm(self) -> torch.Tensor:
        """Return the largest singular value; if masks vary, the largest over the images."""
        return self.gram.max().sqrt()

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        return self.synthesis(_truncated_inverse(self.gram, rcond) * self.basis.analysis(y))

    def data_term(self, y: torch.Tensor) -> DiagonalGramDataTerm:
        """Return the data fidelity, which stores ``C y``."""
        return DiagonalGramDataTerm(self, y)


class DiagonalGramDataTerm(LinearDataTerm):
    """The data fidelity of a `DiagonalGramMap`, with its proximal step in closed form."""

    A: DiagonalGramMap

    def __init__(self, A: DiagonalGramMap, y: torch.Tensor):
        super().__init__(A, y)
        self._coefficients = A.basis.analysis(y)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``z + A' C' diag(1 / (gram + rho)) C (y - A z)``, see `LinearDataTerm.prox`.

        This form does not lose digits to cancellation if `rho` is small.
        """
        residual = self._coefficients - self.A.analysis(z)
        return z + self.A.synthesis(residual * (1 / (self.A.gram + broadcastable(rho, residual))))


def _plus(x: torch.Tensor, rho: float | torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return ``x + rho z`` in one pass over the images."""
    if isinstance(rho, torch.Tensor):
        return torch.addcmul(x, rho, z)
    return torch.add(x, z, alpha=rho)


def broadcastable(rho: float | torch.Tensor, coefficients: torch.Tensor) -> float | torch.Tensor:
    """Return `rho`, a number or one per image, in a shape that broadcasts with coefficients."""
    if isinstance(rho, torch.Tensor) and rho.ndim:
        return spread(rho, coefficients.ndim)
    return rho


def _truncated_inverse(eigenvalues: torch.Tensor, rcond: float) -> torch.Tensor:
    """Return ``1 / eigenvalue``, or 0 if its root is at most `rcond` times the largest root."""
    roots = eigenvalues.clamp(min=0).sqrt()
    kept = roots > rcond * roots.max()
    return torch.where(kept, 1 / torch.where(kept, eigenvalues, 1), 0)
