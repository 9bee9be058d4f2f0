"""Linear maps that are diagonal in an orthonormal basis: masks, circular convolutions."""

from __future__ import annotations

import torch

from skmetainv.operators.maps import DataTerm, LinearMap, Shape


class DiagonalMap(LinearMap):
    """``A = B' diag(s) B`` with an orthonormal basis ``B``: everything in closed form.

    A subclass sets `spectrum`, and overrides `analysis` and `synthesis` unless ``B`` is the
    pixel basis.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width; the measurement has the same shape.
    observed : tensor of bool, default=None
        See `ForwardMap`.

    Attributes
    ----------
    spectrum : tensor
        ``s``, broadcastable to ``(batch, *)`` of what `analysis` gives; real or complex.
    """

    spectrum: torch.Tensor

    def __init__(self, image_shape: Shape, observed: torch.Tensor | None = None):
        super().__init__(image_shape, image_shape, observed)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B x``."""
        return x

    def synthesis(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return ``B' coefficients``."""
        return coefficients

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(s) B x``."""
        return self.synthesis(self.spectrum * self.analysis(x))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(conj s) B y``."""
        return self.synthesis(self.spectrum.conj() * self.analysis(y))

    def power(self) -> torch.Tensor:
        """Return ``|s|^2``, the spectrum of ``A' A``."""
        return (self.spectrum * self.spectrum.conj()).real

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``B' diag(|s|^2) B x``."""
        return self.synthesis(self.power() * self.analysis(x))

    def norm(self) -> torch.Tensor:
        """Return the largest singular value, ``max |s|``."""
        return self.spectrum.abs().max()

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        """Return the least-squares solution of least norm, ``B' diag(s^+) B y``.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements.
        rcond : float, default=1e-6
            Singular values up to ``rcond * norm()`` count as zero.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            The images.
        """
        kept = self.spectrum.abs() > rcond * self.norm()
        inverse = torch.where(kept, 1 / torch.where(kept, self.spectrum, 1), 0)
        return self.synthesis(inverse * self.analysis(y))

    def data_term(self, y: torch.Tensor) -> DiagonalDataTerm:
        """Return the data fidelity, with ``B A' y`` kept."""
        return DiagonalDataTerm(self, y)


class DiagonalDataTerm(DataTerm):
    """The data fidelity of a `DiagonalMap`, with its proximal step in closed form.

    Parameters
    ----------
    A : DiagonalMap
        ``B' diag(s) B``.
    y : tensor of shape (batch, *measurement_shape)
        Measurements, 0 where they are not observed.
    """

    A: DiagonalMap

    def __init__(self, A: DiagonalMap, y: torch.Tensor):
        super().__init__(A, y)
        self._power = A.power()
        self._coefficients = A.spectrum.conj() * A.analysis(y)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x - A' y``."""
        return self.A.synthesis(self._power * self.A.analysis(x) - self._coefficients)

    def start(self, kind: str) -> torch.Tensor:
        """Return an image to start a solver from, see `DataTerm.start`."""
        if kind == "adjoint":
            return self.A.synthesis(self._coefficients)
        if kind == "pseudo_inverse":
            return self.A.pseudo_inverse(self.y)
        return super().start(kind)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2``.

        Parameters
        ----------
        z : tensor of shape (batch, *image_shape)
            The point to stay near.
        rho : float or tensor of shape (), (batch, 1, 1, 1)
            Penalty, positive; one for all images or one for each.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            ``B' (conj(s) B y + rho B z) / (|s|^2 + rho)``.
        """
        weighted = self._coefficients + rho * self.A.analysis(z)
        return self.A.synthesis(weighted / (self._power + rho))
