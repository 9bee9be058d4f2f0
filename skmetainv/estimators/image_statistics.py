"""Mean and covariance of images: a low-rank sample covariance and a stationary covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from skmetainv.operators.maps.bases import cosine_matrix

# A few images are not enough to estimate the variance of each pixel and the power of each
# frequency. So these are averaged with a prior: the mean variance, or the mean power of similar
# frequencies. The prior has the weight of this number of images.
_VARIANCE_PRIOR, _POWER_PRIOR = 10, 5

# The least variance of a pixel, relative to the mean variance. So no pixel counts as known exactly.
_LEAST_VARIANCE = 1e-3

# The least power of a frequency, relative to the mean power; also the least shrinkage for which a
# likelihood is computed.
_LEAST_POWER = 1e-6

# The least standard deviation of a pixel, relative to the width of the data range.
_LEAST_DEVIATION = 1e-4

# Likelihoods are computed from this number of the lowest frequencies along each axis.
_LOWEST = 32

# The sample covariance of many images with at most this number of pixels is stored as a matrix.
_MATRIX_PIXELS = 2048


class Statistics(NamedTuple):
    """Mean and covariance of images, as arrays.

    Attributes
    ----------
    mean : ndarray of shape (channels, height, width)
        The mean image.
    factor : ndarray of shape (n_components, channels, height, width)
        ``L'``, where ``L L'`` is the sample covariance.
    scale : ndarray of shape (channels, height, width)
        ``E``, by which the stationary part is scaled so that each pixel has its own variance.
    power : ndarray of shape (height, width, channels, channels)
        ``P``, the covariance of the channels at each frequency of the cosine transform.
    """

    mean: np.ndarray
    factor: np.ndarray
    scale: np.ndarray
    power: np.ndarray


class Covariance(nn.Module):
    """The covariance ``C = (1 - a) L L' + a E T' P T E`` of images, and a square root of it.

    ``T`` is the cosine transform. The columns of ``V`` are the eigenvectors of ``T' P T``.

    Parameters
    ----------
    statistics : Statistics
        ``L``, ``E`` and ``P``.
    shrinkage : float
        ``a``.

    Attributes
    ----------
    factor : tensor of shape (n_components, n_pixels)
        ``L'``.
    scale : tensor of shape (channels, height, width)
        ``E``.
    rotation : tensor of shape (channels, channels, height, width)
        Eigenvectors of ``P`` at each frequency: entries along the first axis, one eigenvector for
        each index of the second.
    deviation : tensor of shape (channels, height, width)
        Square roots of the eigenvalues of ``P``.
    """

    factor: torch.Tensor
    scale: torch.Tensor
    rotation: torch.Tensor
    deviation: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, statistics: Statistics, shrinkage: float):
        super().__init__()
        self.shrinkage = shrinkage  # at 1, the sample covariance is dropped
        factor = statistics.factor[: len(statistics.factor) if shrinkage < 1 else 0]
        powers, rotation = np.linalg.eigh(statistics.power)
        arrays = {
            "factor": factor.reshape(len(factor), statistics.scale.size),
            "scale": statistics.scale,
            "rotation": np.ascontiguousarray(rotation.transpose(2, 3, 0, 1)),
            "deviation": np.ascontiguousarray(np.sqrt(powers).transpose(2, 0, 1)),
            "rows": cosine_matrix(statistics.scale.shape[1]),
            "columns": cosine_matrix(statistics.scale.shape[2]),
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``C x`` for a batch of images."""
        return (1 - self.shrinkage) * self.sample(x) + self.shrinkage * self.stationary(x)

    def sample(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``L L' x``."""
        return (x.flatten(1) @ self.factor.mT @ self.factor).reshape(x.shape)

    def stationary(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``E T' P T E x``."""
        return self.image(self.deviation.square() * self.spectrum(self.scale * x)) * self.scale

    def spectrum(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``V' x``, the coefficients of images in the basis of the eigenvectors."""
        transformed = self.rows @ x @ self.columns.mT
        return (self.rotation * transformed[:, :, None]).sum(1)

    def image(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Return the images ``V c`` for coefficients ``c``: inverse and adjoint of `spectrum`."""
        rotated = (self.rotation * spectrum[:, None]).sum(2)
        return self.rows.mT @ rotated @ self.columns

    def diagonal(self) -> torch.Tensor:
        """Return the variance of each pixel, of shape (channels, height, width)."""
        of_sample = self.factor.square().sum(0).reshape(self.scale.shape)
        power = (self.rotation * self.deviation).square().sum(1)
        of_stationary = self.scale.square() * (
            self.rows.mT.square() @ power @ self.columns.square()
        )
        return (1 - self.shrinkage) * of_sample + self.shrinkage * of_stationary

    def times_root(self, e: torch.Tensor) -> torch.Tensor:
        """Return ``W e``, where ``W W' = C``: the images of white coefficients ``e``.

        Coefficients have the shape ``(batch, n_components + n_pixels)``; those of ``L`` come first.
        """
        first, others = e[:, : len(self.factor)], e[:, len(self.factor) :]
        shape = (-1, *self.scale.shape)
        of_sample = (first @ self.factor).reshape(shape)
        of_stationary = self.scale * self.image(self.deviation * others.reshape(shape))
        return (1 - self.shrinkage) ** 0.5 * of_sample + self.shrinkage**0.5 * of_stationary

    def times_adjoint_root(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``W' x``."""
        first = (1 - self.shrinkage) ** 0.5 * (x.flatten(1) @ self.factor.mT)
        others = self.shrinkage**0.5 * self.deviation * self.spectrum(self.scale * x)
        return torch.cat([first, others.flatten(1)], dim=1)

    def variances(self, response: torch.Tensor) -> torch.Tensor:
        """Approximate the diagonal of ``W' V diag(response) V' W``, of shape (n_coefficients,).

        Parameters
        ----------
        response : tensor of shape (channels, height, width)
            The approximate diagonal of ``V' A' R^-1 A V``, for an operator ``A`` and the noise
            variances ``R``.
        """
        sample = self.spectrum(self.factor.reshape(-1, *self.scale.shape)).square()
        first = (1 - self.shrinkage) * (sample * response).flatten(1).sum(1)
        typical = self.scale.square().mean()
        others = self.shrinkage * self.deviation.square() * typical * response
        return torch.cat([first, others.flatten()])


def learn_statistics(
    batches: Callable[[], Iterator[torch.Tensor]],
    n_images: int,
    n_components: int,
    width: float,
    fill: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Statistics:
    """Return the statistics of images.

    The mean and variance of a pixel are taken over the images in which it is known. For the
    covariances, unknown pixels are set to the mean, or to the values that `fill` returns.

    Parameters
    ----------
    batches : callable
        Returns an iterator over batches of shape ``(batch, channels, height, width)``, with NaN for
        unknown pixels. It is called twice.
    n_images : int
        The number of images.
    n_components : int
        The largest rank of the sample covariance.
    width : float
        Width of the range of the images.
    fill : callable, default=None
        Replaces NaN in images.

    Returns
    -------
    statistics : Statistics
        In float64, except the factor, which is float32.
    """
    mean, variance = _moments(batches(), width)
    scale = variance.sqrt()
    shape = mean.shape
    T = [torch.from_numpy(cosine_matrix(n)).to(mean) for n in shape[1:]]
    power = mean.new_zeros(*shape[1:], shape[0], shape[0])

    def deviations() -> Iterator[np.ndarray]:
        """Yield the deviations from the mean, batch by batch, and add their power."""
        for x in batches():
            z = ((x if fill is None else fill(x)).to(mean) - mean).nan_to_num()
            spectrum = T[0] @ (z / scale) @ T[1].mT
            power.add_(torch.einsum("nchw,ndhw->hwcd", spectrum, spectrum))
            yield z.flatten(1).to(torch.float32).cpu().numpy()

    # This reads all batches, and so completes `power`.
    factor = _factor(deviations(), n_images, mean.numel(), n_components).reshape(-1, *shape)
    power = _regular(_towards_similar(power / n_images, n_images))
    powers = power.diagonal(dim1=2, dim2=3).permute(2, 0, 1)
    stationary_variance = T[0].square().mT @ powers @ T[1].square()
    return Statistics(
        mean.cpu().numpy(),
        factor,
        (scale / stationary_variance.sqrt()).cpu().numpy(),
        power.cpu().numpy(),
    )


def log_likelihoods(
    statistics: Statistics, images: torch.Tensor, shrinkages: Sequence[float]
) -> np.ndarray:
    """Return the Gaussian log-likelihood of images, one per shrinkage.

    Only the lowest frequencies count: in large images, the many others would outweigh the few
    components of the sample covariance. ``P^-1/2 T E^-1`` transforms the stationary part to the
    identity, and the sample covariance to a few directions ``U`` with variances ``w``. The
    covariance is then ``(1 - a) U diag(w) U' + a I``.

    Parameters
    ----------
    statistics : Statistics
        Mean and covariance of other images.
    images : tensor of shape (batch, channels, height, width)
        Held-out images; NaN counts as the mean.
    shrinkages : sequence of float
        Shares ``a`` of the stationary part, positive.

    Returns
    -------
    values : ndarray of shape (len(shrinkages),)
        Log-likelihoods, summed over the images, up to a constant.
    """
    mean, factor, scale, power = (torch.from_numpy(part).to(images.device) for part in statistics)
    T = [torch.from_numpy(cosine_matrix(n)).to(scale)[:_LOWEST] for n in scale.shape[1:]]
    roots = torch.linalg.cholesky(power[:_LOWEST, :_LOWEST])

    def white(x: torch.Tensor) -> torch.Tensor:
        spectrum = (T[0] @ (x.double() / scale) @ T[1].mT).permute(2, 3, 1, 0)
        return torch.linalg.solve_triangular(roots, spectrum, upper=False).flatten(0, 2).mT

    L, z = white(factor), white((images - mean).nan_to_num())
    w, U = _directions(L)
    along = (z @ U).square().sum(0)
    beside = z.square().sum() - along.sum()
    n_beside = z.shape[1] - len(w)
    a = w.new_tensor(shrinkages)
    least, variances = a.clamp(min=_LEAST_POWER), a[:, None] + (1 - a[:, None]) * w
    misfit = beside / least + (along / variances).sum(1)
    volume = n_beside * least.log() + variances.log().sum(1)
    return (-0.5 * (misfit + len(z) * volume)).cpu().numpy()


def _directions(L: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nonzero eigenvalues of ``L' L``, and their eigenvectors as columns."""
    few = len(L) < L.shape[1]
    w, V = torch.linalg.eigh(L @ L.mT if few else L.mT @ L)
    kept = w > 1e-9 * w.max()
    w, V = w[kept], V[:, kept]
    return w, L.mT @ V / w.sqrt() if few else V


def _moments(batches: Iterator[torch.Tensor], width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and variance of every pixel, over the images in which it is known."""
    count, total, squares = sum(map(_sums, batches), start=torch.zeros(()))
    seen, n = count > 0, count.clamp(min=1)
    mean = torch.where(seen, total / n, total.sum() / count.sum())
    variance = (squares / n - mean.square()).clamp(min=0)
    typical = torch.where(seen, variance, 0.0).sum() / seen.sum()
    variance = (count * variance + _VARIANCE_PRIOR * typical) / (count + _VARIANCE_PRIOR)
    least = torch.clamp(_LEAST_VARIANCE * typical, min=(_LEAST_DEVIATION * width) ** 2)
    return mean, variance.maximum(least)


def _sums(x: torch.Tensor) -> torch.Tensor:
    """Return for each pixel the number of known values, their sum, and their sum of squares."""
    values = x.double().nan_to_num()
    return torch.stack([(~x.isnan()).double().sum(0), values.sum(0), values.square().sum(0)])


def _towards_similar(power: torch.Tensor, n_images: int) -> torch.Tensor:
    """Return powers averaged with their means over frequencies of about the same radius."""
    height, width = power.shape[:2]
    i, j = torch.arange(height).to(power)[:, None], torch.arange(width).to(power)
    radius = max(height, width) * torch.hypot(i / height, j / width)
    ring = (2 * torch.log2(1 + radius)).round().clamp(min=2).long().flatten() - 2
    sums = power.new_zeros(int(ring.max()) + 1, *power.shape[2:])
    sums.index_add_(0, ring, power.flatten(0, 1))
    means = sums / torch.bincount(ring).clamp(min=1)[:, None, None]
    similar = means[ring].reshape(power.shape)
    return (n_images * power + _POWER_PRIOR * similar) / (n_images + _POWER_PRIOR)


def _regular(power: torch.Tensor) -> torch.Tensor:
    """Return channel covariances plus a small multiple of the identity: all positive definite."""
    channels = power.shape[-1]
    mean = power.diagonal(dim1=-2, dim2=-1).mean()
    least = torch.where(mean > 0, _LEAST_POWER * mean, torch.ones_like(mean))
    return power + least * torch.eye(channels).to(power)


def _factor(
    deviations: Iterator[np.ndarray], n_images: int, n_pixels: int, n_components: int
) -> np.ndarray:
    """Return ``L'``, where ``L L'`` is the covariance of deviations from the mean."""
    if n_images <= n_components:
        rows = np.concatenate(list(deviations))
        return rows / np.float32(math.sqrt(n_images))
    if n_pixels <= _MATRIX_PIXELS:
        total = np.zeros((n_pixels, n_pixels))
        for batch in deviations:
            total += batch.T @ batch
        values, vectors = np.linalg.eigh(total / n_images)
        values, vectors = values[-n_components:], vectors[:, -n_components:]
        return (np.sqrt(values.clip(min=0)) * vectors).T.astype(np.float32)
    waiting: list[np.ndarray] = []
    for batch in deviations:
        waiting.append(batch)
        if sum(map(len, waiting)) >= 2 * n_components:
            waiting = [_strongest(np.concatenate(waiting), n_components)]
    rows = _strongest(np.concatenate(waiting), n_components)
    return rows / np.float32(math.sqrt(n_images))


def _strongest(rows: np.ndarray, n: int) -> np.ndarray:
    """Return at most `n` orthogonal rows ``Q`` with ``Q' Q`` closest to ``R' R`` of the given rows.

    These are the first right singular vectors of ``R``, times their singular values. If the rows
    are few and long, ``R R'`` is much smaller than ``R``, and faster to decompose.
    """
    _, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    strongest: np.ndarray = vectors[:, -n:].T.astype(rows.dtype) @ rows
    return strongest
