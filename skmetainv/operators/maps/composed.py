"""Compositions of two maps, with a closed form if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from skmetainv.operators.maps.base import ForwardMap, LinearMap
from skmetainv.operators.maps.bases import Basis, FourierBasis
from skmetainv.operators.maps.blocks import BlockMeanMap, DecimationMap
from skmetainv.operators.maps.closed_forms import DiagonalGramMap, DiagonalMap
from skmetainv.operators.maps.convolutions import convolution_matrix, separate
from skmetainv.operators.maps.fourier import CoilMap, FourierMap
from skmetainv.operators.maps.masks import IdentityMap, MaskMap, RandomMaskMap, SelectionMap
from skmetainv.operators.maps.scaled import ScaledLinearMap, scaled
from skmetainv.operators.maps.separable import SeparableMap

_ALONG_AXES = (SeparableMap, DecimationMap, BlockMeanMap)


def composed(outer: ForwardMap, inner: ForwardMap) -> ForwardMap:
    """Return the map ``outer(inner(x))``, in the class with the most closed forms.

    Parameters
    ----------
    outer, inner : ForwardMap
        The images of `outer` are the measurements of `inner`. Only `outer` may have missing
        samples.

    Returns
    -------
    A : ForwardMap
        The composition, a linear map if both are.
    """
    if not (isinstance(outer, LinearMap) and isinstance(inner, LinearMap)):
        return ComposedMap(outer, inner)
    for rule in _RULES:
        A = rule(outer, inner)
        if A is not None:
            return A
    return ComposedLinearMap(outer, inner)


class ComposedMap(ForwardMap):
    """``outer(inner(x))``.

    Parameters
    ----------
    outer, inner : ForwardMap
        The images of `outer` are the measurements of `inner`. Only `outer` may have missing
        samples.
    """

    def __init__(self, outer: ForwardMap, inner: ForwardMap):
        super().__init__(inner.image_shape, outer.measurement_shape, outer.observed)
        self.outer, self.inner, self.missing_value = outer, inner, outer.missing_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``outer(inner(x))``."""
        return self.outer(self.inner(x))

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``J_inner(x)' J_outer(inner(x))' v``."""
        return self.inner.vjp(x, self.outer.vjp(self.inner(x), v))

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with the masks of both parts drawn, the inner one first."""
        inner = self.inner.draw(generators)
        return self._rebuilt(self.outer.draw(generators), inner)

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the mask of the outer part read from the NaN of `y`."""
        return self._rebuilt(self.outer.with_masks_of(y), self.inner)

    def _rebuilt(self, outer: ForwardMap, inner: ForwardMap) -> ForwardMap:
        unchanged = outer is self.outer and inner is self.inner
        return self if unchanged else composed(outer, inner)


class ComposedLinearMap(LinearMap, ComposedMap):
    """The composition ``outer inner`` of two linear maps, see `ComposedMap`."""

    outer: LinearMap
    inner: LinearMap

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``inner' outer' y``."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``inner' outer' outer inner x``."""
        return self.inner.adjoint(self.outer.normal(self.inner(x)))


class ComposedGramMap(DiagonalGramMap, ComposedLinearMap):
    """The composition ``outer inner`` of two linear maps, with ``A A' = C' diag(gram) C``.

    Parameters
    ----------
    outer, inner : LinearMap
        The images of `outer` are the measurements of `inner`.
    gram : tensor
        See `DiagonalGramMap`.
    basis : Basis
        ``C``.
    """

    def __init__(self, outer: LinearMap, inner: LinearMap, gram: torch.Tensor, basis: Basis):
        ComposedLinearMap.__init__(self, outer, inner)
        self.keep_gram(gram, basis)


# ------------------------------------------------------------------ rules of composition


def _identity(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    if isinstance(outer, IdentityMap):
        return inner
    return outer if isinstance(inner, IdentityMap) else None


def _multiple(outer: LinearMap, inner: LinearMap) -> Any:
    """Take factors out, so that other rules can apply to the maps."""
    if isinstance(outer, RandomMaskMap):
        return None  # its masks must be drawn or read first
    if isinstance(inner, ScaledLinearMap):
        return scaled(composed(outer, inner.A), inner.factor)
    if isinstance(outer, ScaledLinearMap):
        return scaled(composed(outer.A, inner), outer.factor)
    if isinstance(outer, DiagonalMap) and not outer.power.ndim:
        return scaled(inner, float(outer.spectrum))
    return None


def _masked_samples(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Combine a mask with that of a sampled Fourier transform."""
    if not (isinstance(outer, MaskMap) and isinstance(inner, FourierMap | CoilMap)):
        return None
    A = inner.masked(outer.observed)
    A.missing_value = outer.missing_value
    return A


def _product_of_diagonals(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Multiply the spectra of circular convolutions."""
    if not (isinstance(outer, DiagonalMap) and isinstance(inner, DiagonalMap)):
        return None
    if not (isinstance(outer.basis, FourierBasis) and outer.basis.is_same(inner.basis)):
        return None
    return DiagonalMap(inner.image_shape, outer.spectrum * inner.spectrum, inner.basis)


def _product_of_separables(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Multiply the matrices along each axis; a circular convolution may be separable, too."""
    if not isinstance(outer, _ALONG_AXES) and not isinstance(inner, _ALONG_AXES):
        return None
    first = _as_separable(inner)
    second = None if first is None else _as_separable(outer)
    return None if first is None or second is None else second.after(first)


def _selection_of_diagonal_gram(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Select rows of a map whose rows are orthogonal."""
    gram = _gram_of_entries(inner)
    if gram is None or not isinstance(outer, MaskMap | RandomMaskMap | SelectionMap):
        return None
    gram = outer(gram.expand(-1 if gram.ndim else 1, *inner.measurement_shape))
    return ComposedGramMap(outer, inner, gram, Basis())


def _after_orthogonal_rows(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Use ``A A' = c outer outer'`` if ``inner inner' = c I``."""
    gram = _gram_of_entries(inner)
    if gram is None or gram.ndim or not isinstance(outer, DiagonalGramMap | DiagonalMap):
        return None
    return ComposedGramMap(outer, inner, gram * outer.gram, outer.basis)


def _decimated_convolution(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Use that ``A A'`` is a circular convolution of the small image.

    Its kernel is the decimated autocorrelation of the blur's kernel: Zhao et al., "Fast single
    image super-resolution using a new analytical solution for l2-l2 problems", IEEE Transactions on
    Image Processing, 2016.
    """
    if not isinstance(outer, DecimationMap | BlockMeanMap) or not isinstance(inner, DiagonalMap):
        return None
    if not isinstance(inner.basis, FourierBasis):
        return None
    power = inner.power
    if isinstance(outer, BlockMeanMap):  # a mean filter, then the first pixel of every block
        mean = power.new_zeros(inner.basis.size)
        mean[: outer.factor, : outer.factor] = outer.factor**-2
        power = power * torch.fft.rfft2(mean).abs().square()
    autocorrelation = torch.fft.irfft2(power, s=inner.basis.size)
    gram = torch.fft.rfft2(autocorrelation[..., :: outer.factor, :: outer.factor]).real
    basis = FourierBasis(outer.measurement_shape[1:])
    return ComposedGramMap(outer, inner, gram.clamp(min=0), basis)


_RULES: tuple[Callable[[LinearMap, LinearMap], LinearMap | None], ...] = (
    _identity,
    _multiple,
    _masked_samples,
    _product_of_diagonals,
    _product_of_separables,
    _decimated_convolution,
    _selection_of_diagonal_gram,
    _after_orthogonal_rows,
)


def _gram_of_entries(A: Any) -> torch.Tensor | None:
    """Return the diagonal of ``A A'``, or None if it is not diagonal in the standard basis."""
    has_gram = isinstance(A, DiagonalGramMap | DiagonalMap)
    return A.gram if has_gram and A.basis.is_standard else None


def _as_separable(A: LinearMap) -> SeparableMap | None:
    if isinstance(A, SeparableMap):
        return A
    if isinstance(A, DecimationMap | BlockMeanMap):
        rows, columns = (A.axis_matrix(n) for n in A.image_shape[1:])
        return SeparableMap(A.image_shape, rows, columns).to(A.gram)
    if isinstance(A, DiagonalMap) and isinstance(A.basis, FourierBasis) and A.power.ndim == 2:
        period = torch.fft.irfft2(A.spectrum, s=A.basis.size).cpu().double().numpy()
        factors = separate(np.roll(period, [n // 2 for n in period.shape], axis=(0, 1)))
        if factors is not None:
            matrices = [convolution_matrix(len(f), f, "circular") for f in factors]
            rows, columns = map(torch.from_numpy, matrices)
            return SeparableMap(A.image_shape, rows, columns).to(A.power)
    return None
