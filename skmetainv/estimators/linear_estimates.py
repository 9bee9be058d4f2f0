"""The linear estimate of images with known mean and covariance, by the smallest linear system."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from skmetainv.estimators.image_statistics import Covariance, Statistics
from skmetainv.noise import GaussianNoise
from skmetainv.operators import DataTerm, ForwardMap, LinearMap
from skmetainv.operators.maps.base import Shape
from skmetainv.operators.maps.linearized import LinearizedMap
from skmetainv.operators.maps.normal_equations import solve

# The largest number of entries of a matrix that is stored.
_MATRIX_ENTRIES = 2**24

# The largest number of entries of the matrices of all instruments together.
_ENTRIES_OF_INSTRUMENTS = 2**28

# If masks vary, systems are solved directly for measurements of at most this number of entries. The
# second number is for `is_stationary`: for half of 48 x 48 pixels, conjugate gradients then take
# 9 ms, a direct solution 187 ms (one core).
_MASKED_ENTRIES, _MASKED_STATIONARY = 4096, 512

# If at least this share of the entries is observed, the system of the hidden ones is solved. The
# share was chosen by timing at 32 x 32 pixels on one core, and is used for all sizes.
_MOSTLY = 0.65

# The default least variance of noise, relative to the mean variance of exact measurements: for
# matrices in double precision, and for conjugate gradients.
_LEAST_NOISE, _LEAST_NOISE_ITERATIVE = 1e-8, 1e-3

# Traces and responses are estimated as means over this number of arrays of random signs.
_PROBES = 8

# Responses are then smoothed: averaged over squares of this number of frequencies along each side.
_NEIGHBOURS = 7


@dataclass(eq=False)
class LinearEstimate:
    """The linear estimate ``x = mu + C A' (A C A' + R)^-1 (y - A mu)`` of images.

    A subclass implements `correction`.

    Parameters
    ----------
    mean : tensor of shape (channels, height, width)
        ``mu``.
    expected : tensor of shape measurement_shape
        ``A mu``.

    Attributes
    ----------
    one_by_one : bool
        Whether each image needs its own factorisation, so that batches save no time.
    """

    mean: torch.Tensor
    expected: torch.Tensor
    one_by_one: ClassVar[bool] = False

    def __call__(self, data: DataTerm) -> torch.Tensor:
        """Return images of shape (batch, *image_shape) from a batch of measurements."""
        with torch.no_grad():
            observed = data.A.observed
            r = data.y - self.expected
            r = r if observed is None else torch.where(observed, r, 0.0)
            return self.mean + self.correction(r, observed)

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        """Return ``C A' (A C A' + R)^-1 r``; unobserved entries of `r` are 0."""
        raise NotImplementedError(f"{type(self).__name__} does not define correction.")


@dataclass(eq=False)
class DirectEstimate(LinearEstimate):
    """An estimate by a matrix or its factor, which also knows the variances of its errors.

    A subclass implements `error_variance`, too.

    Parameters
    ----------
    variance : tensor of shape (n_pixels,)
        The variances of the images: the diagonal of ``C``, in double precision.
    """

    variance: torch.Tensor

    def deviation(self, observed: torch.Tensor | None, y: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation of each pixel's error.

        Parameters
        ----------
        observed : tensor of bool, broadcastable to (batch, *measurement_shape), or None
            Which entries of the measurements are observed; None means all.
        y : tensor of shape (batch, *measurement_shape)
            The measurements. Only their number and type matter.

        Returns
        -------
        deviation : tensor of shape (batch, channels, height, width)
            In the units of the images.
        """
        with torch.no_grad():
            variance = self.error_variance(observed).clamp(min=0).reshape(-1, *self.mean.shape)
            return variance.sqrt().to(y).expand(len(y), *self.mean.shape)

    def uncertainty(self, observed: torch.Tensor | None, y: torch.Tensor) -> torch.Tensor:
        """Return `deviation` divided by the deviation of the images, between 0 and 1."""
        deviation = self.deviation(observed, y)
        of_images = self.variance.sqrt().to(y).reshape(self.mean.shape)
        return torch.where(of_images > 0, deviation / of_images, 0.0).clamp(max=1)

    def error_variance(self, observed: torch.Tensor | None) -> torch.Tensor:
        """Return the variances of the errors: the diagonal of ``C - C A' (A C A' + R)^-1 A C``.

        The shape is ``(n_pixels,)``, or ``(batch, n_pixels)`` if masks vary.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define error_variance.")


@dataclass(eq=False)
class _ByMatrix(DirectEstimate):
    """The estimate by one matrix for all images, which maps measurements to images.

    Parameters
    ----------
    matrix : tensor of shape (n_measurements, n_pixels)
        ``(A C A' + R)^-1 A C``.
    errors : tensor of shape (n_pixels,)
        The variances of the errors.
    """

    matrix: torch.Tensor
    errors: torch.Tensor

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        return (r.flatten(1) @ self.matrix).reshape(-1, *self.mean.shape)

    def error_variance(self, observed: torch.Tensor | None) -> torch.Tensor:
        return self.errors


@dataclass(eq=False)
class _ByFactor(DirectEstimate):
    """The same estimate as `_ByMatrix`, by a Cholesky factor, which is less work for few images.

    Parameters
    ----------
    factor : tensor of shape (n_observed, n_observed)
        The factor of ``A C A' + R``, in double precision.
    cross : tensor of shape (n_observed, n_pixels)
        ``A C``.
    indices : tensor of shape (n_observed,)
        The observed entries of a measurement.
    """

    factor: torch.Tensor
    cross: torch.Tensor
    indices: torch.Tensor

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        u = torch.cholesky_solve(r.flatten(1)[:, self.indices].mT.to(self.factor), self.factor)
        return (u.mT @ self.cross).to(r).reshape(-1, *self.mean.shape)

    @cached_property
    def errors(self) -> torch.Tensor:
        """The variances of the errors."""
        return self.variance - _explained(self.factor, self.cross)

    def error_variance(self, observed: torch.Tensor | None) -> torch.Tensor:
        return self.errors


@dataclass(eq=False)
class _OfAdjoint(DirectEstimate):
    """The estimate by one matrix for all images, which maps ``A' R^-1 (y - A mu)`` to images.

    All of it is in double precision. Where ``R`` is small, ``A' R^-1`` is large, and its rounding
    errors would reach the null space of ``A``, where the matrix is not small.

    Parameters
    ----------
    precision : tensor of shape measurement_shape
        ``R^-1``.
    matrix : tensor of shape (n_pixels, n_pixels)
        ``(C^-1 + A' R^-1 A)^-1``, the covariance of the error.
    """

    A: LinearMap
    precision: torch.Tensor
    matrix: torch.Tensor

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        b = self.A.adjoint(self.precision * r.to(self.precision))
        return (b.flatten(1) @ self.matrix).reshape(b.shape).to(r)

    def error_variance(self, observed: torch.Tensor | None) -> torch.Tensor:
        return self.matrix.diagonal()


@dataclass(eq=False)
class _ByMask(DirectEstimate):
    """The estimate by one linear system per image, that of its observed or of its hidden entries.

    With ``P = (A C A' + R)^-1`` over all entries and the hidden entries ``h``, the inverse over the
    observed entries is ``P - P_:h P_hh^-1 P_h:``. If few entries are hidden, this is less work.

    Parameters
    ----------
    gram : tensor of shape (n_measurements, n_measurements)
        ``A C A' + R``, in double precision.
    cross : tensor of shape (n_measurements, n_pixels)
        ``A C``.
    for_few : bool
        Whether the estimate is for few images, for which ``P`` would be too much work.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    for_few: bool
    one_by_one = True

    @cached_property
    def inverse(self) -> torch.Tensor:
        """``P``."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.gram))

    @cached_property
    def matrix(self) -> torch.Tensor:
        """``P A C``."""
        return self.inverse @ self.cross

    @cached_property
    def errors(self) -> torch.Tensor:
        """The variances of the errors if all entries are observed."""
        return self.variance - (self.matrix * self.cross).sum(0)

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        images = zip(r.flatten(1).to(self.gram), self._masks(observed, len(r)), strict=True)
        u = torch.stack([self._solved(r_i, mask) for r_i, mask in images])
        return (u @ self.cross).to(r).reshape(-1, *self.mean.shape)

    def error_variance(self, observed: torch.Tensor | None) -> torch.Tensor:
        masks = self._masks(observed, 1 if observed is None else len(observed))
        return torch.stack([self._error_variance(mask) for mask in masks])

    def _masks(self, observed: torch.Tensor | None, n_images: int) -> torch.Tensor:
        """Return which entries of each image are observed, of shape (n_images, n_measurements)."""
        if observed is None:
            observed = torch.ones((), dtype=torch.bool, device=self.gram.device)
        return observed.expand(n_images, *self.expected.shape).flatten(1)

    def _hides_few(self, mask: torch.Tensor) -> bool:
        return not self.for_few and int(mask.sum()) >= _MOSTLY * len(mask)

    def _solved(self, r: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the solution of one system, with 0 for the hidden entries."""
        if self._hides_few(mask):
            hidden = (~mask).nonzero()[:, 0]
            v, rest = self.inverse @ r, r.clone()
            factor = _part_of_factor(self.inverse, hidden)
            rest[hidden] = -torch.cholesky_solve(v[hidden, None], factor)[:, 0]
            return torch.where(mask, self.inverse @ rest, 0.0)
        observed, u = mask.nonzero()[:, 0], torch.zeros_like(r)
        factor = _part_of_factor(self.gram, observed)
        u[observed] = torch.cholesky_solve(r[observed, None], factor)[:, 0]
        return u

    def _error_variance(self, mask: torch.Tensor) -> torch.Tensor:
        if self._hides_few(mask):
            hidden = (~mask).nonzero()[:, 0]
            factor = _part_of_factor(self.inverse, hidden)
            return self.errors + _explained(factor, self.matrix.index_select(0, hidden))
        observed = mask.nonzero()[:, 0]
        factor = _part_of_factor(self.gram, observed)
        return self.variance - _explained(factor, self.cross.index_select(0, observed))


@dataclass(eq=False)
class _Iterative(LinearEstimate):
    """The estimate ``x = mu + W e``, with coefficients ``e`` found by conjugate gradients.

    The coefficients solve ``(W' A' R^-1 A W + I) e = W' A' R^-1 r``, where ``C = W W'``. The system
    is preconditioned: it is solved for ``v = k e``, where ``k`` holds approximate square roots of
    its diagonal.

    Parameters
    ----------
    precision : tensor of shape measurement_shape
        ``R^-1``.
    covariance : Covariance
        ``C`` and ``W``.
    variances : tensor of shape (n_coefficients,)
        The approximate diagonal of ``W' A' R^-1 A W``.
    """

    A: LinearMap
    precision: torch.Tensor
    covariance: Covariance
    variances: torch.Tensor

    def correction(self, r: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
        precision, share = self.precision.expand_as(r), r.new_ones(len(r), 1)
        if observed is not None:
            seen = observed.expand_as(r)
            precision = torch.where(seen, precision, 0.0)
            share = seen.flatten(1).to(r).mean(1, keepdim=True)
        unit = (1 + share * self.variances).rsqrt()

        def normal(v: torch.Tensor) -> torch.Tensor:
            e = unit * v
            measured = precision * self.A(self.covariance.times_root(e))
            return unit * (self.covariance.times_adjoint_root(self.A.adjoint(measured)) + e)

        b = self.covariance.times_adjoint_root(self.A.adjoint(precision * r))
        v = solve(normal, unit * b, r.new_zeros(()))
        return self.covariance.times_root(unit * v)


class MapMatrices:
    """The matrices of one linear map, to be shared by systems with different statistics.

    Each matrix is computed on first use.

    Parameters
    ----------
    A : LinearMap
        The map as its operator builds it, without the masks of single images, in double precision.
    varies : bool
        Whether the observed entries vary from image to image.
    """

    def __init__(self, A: LinearMap, varies: bool):
        self.A, self.varies, self.device = A, varies, A.place.device
        self._weighted: tuple[torch.Tensor, torch.Tensor] | None = None

    @cached_property
    def observed(self) -> torch.Tensor:
        """The indices of the entries that can be observed."""
        observed = _observed(self.A)
        seen = torch.ones_like(observed) if self.varies else observed
        return seen.nonzero()[:, 0].to(self.device)

    @cached_property
    def rows(self) -> torch.Tensor:
        """The rows of ``A`` for these entries, shape (n_entries, n_pixels)."""
        return self.A.explicit()[0][self.observed]

    @cached_property
    def probes(self) -> list[torch.Tensor]:
        """Images ``A' s``, where the entries of ``s`` are random signs."""
        return [self.A.adjoint(s) for s in _signs(self.A.measurement_shape, self.device)]

    def information(self, variance: torch.Tensor) -> torch.Tensor:
        """Return ``A' R^-1 A``, where the diagonal of ``R`` is `variance`.

        The last result is kept, and reused if only the scale of `variance` changes.
        """
        largest = variance.max()
        relative = variance / largest
        if self._weighted is None or not torch.equal(self._weighted[0], relative):
            n = math.prod(self.A.image_shape)
            pixels = torch.eye(n, dtype=torch.float64, device=self.device)
            images = pixels.reshape(n, 1, *self.A.image_shape)
            columns = [self.A.adjoint(self.A(x) / relative).flatten(1) for x in images]
            self._weighted = relative, torch.cat(columns)
        return self._weighted[1] / largest


class LinearSystem:
    """The linear system of one operator and one set of statistics, for any shrinkage.

    Parameters
    ----------
    A : ForwardMap
        The map as its operator builds it, without the masks of single images, in double precision.
        A nonlinear map is replaced by its Jacobian at the mean image.
    statistics : Statistics
        Mean and covariance of the images.
    variance : tensor broadcastable to measurement_shape
        Variance of the noise of each entry, unless a linear `A` has its own Gaussian noise.
    varies : bool
        Whether the observed entries vary from image to image.
    dtype : torch.dtype
        Floating-point type in which images are restored.
    matrices : MapMatrices, default=None
        The matrices of a linear `A`, if other systems share them. With None, they are new.
    n_instruments : int, default=1
        The number of instruments that have such a system.
    noise_floor : float, default=None
        The least variance of the noise, relative to the mean variance of exact measurements; see
        `LinearReconstructor`.
    is_stationary : bool, default=False
        Whether the sample covariance has a single component, see `smallest_space`.

    Attributes
    ----------
    matrices : MapMatrices
        The matrices of `A`, or of its Jacobian.
    """

    def __init__(
        self,
        A: ForwardMap,
        statistics: Statistics,
        variance: torch.Tensor,
        varies: bool,
        dtype: torch.dtype,
        matrices: MapMatrices | None = None,
        n_instruments: int = 1,
        noise_floor: float | None = None,
        is_stationary: bool = False,
    ):
        if isinstance(A, LinearMap) and isinstance(A.own_noise, GaussianNoise):
            variance = torch.full_like(variance, A.own_noise.noise_level**2)
        self.statistics, self.varies, self.dtype = statistics, varies, dtype
        self.noise_floor = noise_floor
        self.device = variance.device
        mean = torch.from_numpy(statistics.mean)[None].to(self.device)
        self.A = A if isinstance(A, LinearMap) else LinearizedMap(A, mean)
        self.matrices = matrices or MapMatrices(self.A, varies)
        with torch.no_grad():
            self.mean, self.expected = mean[0].to(dtype), A(mean)[0].to(dtype)
            self.space = smallest_space(self.A, varies, n_instruments, is_stationary)
            self.variance = self._floored(variance)
            if self.space == "measurements":
                self._measure()
            elif self.space == "images":
                self._draw_back()

    def estimate(self, shrinkage: float, *, for_few: bool = False) -> LinearEstimate:
        """Return the estimate in which the stationary covariance has the share `shrinkage`.

        With `for_few`, the estimate is faster to build, but slower to apply to an image.
        """
        with torch.no_grad():
            if self.space == "measurements":
                return self._direct(shrinkage, for_few)
            return (self._of_images if self.space == "images" else self._iterative)(shrinkage)

    # ------------------------------------------------------------------ conditioning

    def _floored(self, variance: torch.Tensor) -> torch.Tensor:
        """Return noise variances with a floor that keeps the systems well conditioned."""
        share = self.noise_floor
        if share is None:
            share = _LEAST_NOISE_ITERATIVE if self.space == "iterative" else _LEAST_NOISE
        covariance = self._covariance(1.0)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for x in self.matrices.probes:
            total += (x * covariance(x)).sum()  # each term estimates the trace of A C A'
        scale = total / (_PROBES * self.matrices.observed.numel())
        least = share * torch.where(scale > 0, scale, 1.0)
        return variance.double().maximum(least).expand(self.A.measurement_shape)

    def _covariance(self, shrinkage: float) -> Covariance:
        return Covariance(self.statistics, shrinkage).to(self.device).double()

    def _products(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return products of images with the sample and with the stationary covariance, as rows."""
        covariance, images = self._covariance(0.5), rows.reshape(-1, *self.mean.shape)
        return [covariance.sample(images).flatten(1), covariance.stationary(images).flatten(1)]

    # ------------------------------------------------------------------ in measurement space

    def _measure(self) -> None:
        """Store ``A C`` and ``A C A'`` for the sample and for the stationary covariance."""
        A = self.matrices.rows
        self.cross = self._products(A)
        self.gram = [cross @ A.mT for cross in self.cross]

    def _direct(self, shrinkage: float, for_few: bool) -> LinearEstimate:
        observed = self.matrices.observed
        cross, gram = _mixed(self.cross, shrinkage), _mixed(self.gram, shrinkage)
        gram.diagonal().add_(self.variance.flatten()[observed])
        prior = (self.mean, self.expected, self._covariance(shrinkage).diagonal().flatten())
        if self.varies:
            return _ByMask(*prior, gram, cross, for_few)
        factor = torch.linalg.cholesky(gram)
        if for_few:
            return _ByFactor(*prior, factor, cross, observed)
        matrix = cross.new_zeros(self.expected.numel(), self.mean.numel())
        rows = torch.cholesky_solve(cross, factor)
        matrix[observed] = rows
        return _ByMatrix(*prior, matrix.to(self.dtype), prior[-1] - (rows * cross).sum(0))

    # ------------------------------------------------------------------ in image space

    def _draw_back(self) -> None:
        """Store ``A' R^-1 A``, and the sample and the stationary covariance as matrices."""
        pixels = torch.eye(self.mean.numel(), dtype=torch.float64, device=self.device)
        self.information = self.matrices.information(self.variance)
        self.covariances = self._products(pixels)

    def _of_images(self, shrinkage: float) -> LinearEstimate:
        """Return the estimate ``B (B' A' R^-1 A B + I)^-1 B' A' R^-1 r``, where ``C = B B'``."""
        C = _mixed(self.covariances, shrinkage)
        C.diagonal().add_(_LEAST_NOISE * C.diagonal().mean())
        B = torch.linalg.cholesky(C)
        system = B.mT @ self.information @ B
        system.diagonal().add_(1.0)
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(system), B.mT, upper=False)
        A, precision = self._map_and_precision(torch.float64)
        variance = C.diagonal().clone()
        return _OfAdjoint(self.mean, self.expected, variance, A, precision, half.mT @ half)

    # ------------------------------------------------------------------ by iterations

    def _iterative(self, shrinkage: float) -> LinearEstimate:
        covariance = self._covariance(shrinkage)
        response = self.variance.new_zeros(self.mean.shape)
        for signs in _signs(self.A.image_shape, self.device):
            seen = self.A.adjoint(self.A(covariance.image(signs)) / self.variance)
            response += (signs * covariance.spectrum(seen))[0] / _PROBES
        variances = covariance.variances(_smooth(response)).to(self.dtype)
        parts = (*self._map_and_precision(self.dtype), covariance.to(self.dtype), variances)
        return _Iterative(self.mean, self.expected, *parts)

    def _map_and_precision(self, dtype: torch.dtype) -> tuple[LinearMap, torch.Tensor]:
        """Return ``A`` and ``R^-1`` in a floating-point type."""
        return deepcopy(self.A).to(dtype), (1 / self.variance).to(dtype)


def smallest_space(
    A: ForwardMap, varies: bool, n_instruments: int = 1, is_stationary: bool = False
) -> str:
    """Return how systems are solved: "measurements", "images" or "iterative".

    The first two name the space of the matrix that is factorised. "iterative" stands for conjugate
    gradients, without a matrix.

    Parameters
    ----------
    A : ForwardMap
        The map as its operator builds it, without the masks of single images.
    varies : bool
        Whether the observed entries vary from image to image.
    n_instruments : int, default=1
        The number of instruments that have such a system.
    is_stationary : bool, default=False
        Whether the sample covariance has a single component.
    """
    masked = _MASKED_STATIONARY if is_stationary else _MASKED_ENTRIES
    n = math.prod(A.image_shape)
    m = math.prod(A.measurement_shape) if varies else int(_observed(A).sum())
    most = min(_MATRIX_ENTRIES, _ENTRIES_OF_INSTRUMENTS // n_instruments)
    if n < m and n * n <= most and not varies:
        return "images"
    if n * m <= most and (m <= masked or not varies):
        return "measurements"
    return "iterative"


def _observed(A: ForwardMap) -> torch.Tensor:
    """Return which entries of a flat measurement are observed."""
    observed = torch.ones(1, dtype=torch.bool) if A.observed is None else A.observed
    return observed.expand(1, *A.measurement_shape).flatten()


def _explained(factor: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    """Return the diagonal of ``C A' (A C A' + R)^-1 A C``, from the factor and ``A C``."""
    return torch.linalg.solve_triangular(factor, cross, upper=False).square().sum(0)


def _part_of_factor(matrix: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """Return the Cholesky factor of the part of a matrix with some rows and their columns."""
    return torch.linalg.cholesky(matrix.index_select(0, entries).index_select(1, entries))


def _mixed(parts: Sequence[torch.Tensor], shrinkage: float) -> torch.Tensor:
    """Return ``(1 - a) parts[0] + a parts[1]``: the sample and the stationary part."""
    return parts[0].mul(1 - shrinkage).add_(parts[1], alpha=shrinkage)


def _signs(shape: Shape, device: torch.device) -> Iterator[torch.Tensor]:
    """Yield tensors of random signs with a fixed seed, each a batch of one."""
    rng = np.random.default_rng(0)
    for _ in range(_PROBES):
        yield torch.from_numpy(2.0 * rng.integers(2, size=(1, *shape)) - 1).to(device)


def _smooth(response: torch.Tensor) -> torch.Tensor:
    """Return noisy responses averaged over neighbouring frequencies, with negative values at 0."""
    size = [min(_NEIGHBOURS, 2 * ((n - 1) // 2) + 1) for n in response.shape[1:]]
    pad = [size[1] // 2, size[1] // 2, size[0] // 2, size[0] // 2]
    padded = torch.nn.functional.pad(response[None], pad, mode="reflect")
    return torch.nn.functional.avg_pool2d(padded, size, stride=1)[0].clamp(min=0)
