"""Mean and covariance of images: a sample covariance of low rank beside a stationary one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from torch import nn

# Variances are at least this share of their mean: pixels that never vary are not known for certain.
_LEAST_VARIANCE = 1e-3

# So are the powers of frequencies.
_LEAST_POWER = 1e-6

# Without any variance, pixels deviate by this share of the data range.
_LEAST_DEVIATION = 1e-4

# Up to so many pixels the sample covariance of many images is accumulated as a matrix.
_MATRIX_PIXELS = 2048


class Statistics(NamedTuple):
    """What is known of images, in arrays.

    Attributes
    ----------
    mean : ndarray of shape (channels, height, width)
        Their mean.
    factor : ndarray of shape (n_components, channels, height, width)
        ``L'``, of the sample covariance ``L L'``.
    scale : ndarray of shape (channels, height, width)
        ``E``, the standard deviations of pixels, by which the stationary part is multiplied.
    power : ndarray of shape (height, width, channels, channels)
        ``P``, the covariance of the channels at each frequency of the cosine transform.
    """

    mean: np.ndarray
    factor: np.ndarray
    scale: np.ndarray
    power: np.ndarray


class Covariance(nn.Module):
    """``C = (1 - a) L L' + a E T' P T E`` with the cosine transform ``T``.

    Parameters
    ----------
    statistics : Statistics
        ``L``, ``E`` and ``P``.
    shrinkage : float
        ``a``.
    """

    factor: torch.Tensor
    scale: torch.Tensor
    power: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, statistics: Statistics, shrinkage: float):
        super().__init__()
        height, width = statistics.scale.shape[1:]
        self.shrinkage = shrinkage
        self.register_buffer("factor", torch.from_numpy(statistics.factor).flatten(1))
        self.register_buffer("scale", torch.from_numpy(statistics.scale))
        self.register_buffer("power", torch.from_numpy(statistics.power))
        self.register_buffer("rows", torch.from_numpy(cosine_matrix(height)))
        self.register_buffer("columns", torch.from_numpy(cosine_matrix(width)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``C x`` of a batch of images."""
        if self.shrinkage == 1:
            return self.stationary(x)
        return (1 - self.shrinkage) * self.sample(x) + self.shrinkage * self.stationary(x)

    def sample(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``L L' x``."""
        return (x.flatten(1) @ self.factor.mT @ self.factor).reshape(x.shape)

    def stationary(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``E T' P T E x``."""
        spectrum = self.rows @ (self.scale * x) @ self.columns.mT
        spectrum = torch.einsum("hwcd,ndhw->nchw", self.power, spectrum)
        return self.scale * (self.rows.mT @ spectrum @ self.columns)


def cosine_matrix(n: int) -> np.ndarray:
    """Return the matrix of the orthonormal cosine transform (DCT-II) of `n` values."""
    k, i = np.arange(n)[:, None], np.arange(n)
    matrix = math.sqrt(2 / n) * np.cos(np.pi * k * (i + 0.5) / n)
    matrix[0] = math.sqrt(1 / n)
    return matrix


def learn_statistics(
    batches: Callable[[], Iterator[torch.Tensor]], n_images: int, n_components: int, width: float
) -> Statistics:
    """Return the statistics of images.

    Parameters
    ----------
    batches : callable
        Gives the images, in batches of shape ``(batch, channels, height, width)``, NaN where they
        are not known; they are read twice.
    n_images : int
        How many there are.
    n_components : int
        The largest rank of the sample covariance.
    width : float
        Width of the range of the images.

    Returns
    -------
    statistics : Statistics
        In float64, the factor in float32.
    """
    mean, variance = _moments(batches(), width)
    scale = variance.sqrt()
    shape = mean.shape
    T = [torch.from_numpy(cosine_matrix(n)).to(mean) for n in shape[1:]]
    power = mean.new_zeros(*shape[1:], shape[0], shape[0])
    sample = _sample_covariance(n_images, math.prod(shape), n_components)
    for x in batches():
        deviations = (x.to(mean) - mean).nan_to_num()
        spectrum = T[0] @ (deviations / scale) @ T[1].mT
        power += torch.einsum("nchw,ndhw->hwcd", spectrum, spectrum)
        sample.add(deviations.flatten(1).to(torch.float32).cpu().numpy())
    power = _regular(power / n_images)
    own = torch.einsum("ki,lj,klcc->cij", T[0].square(), T[1].square(), power)
    factor = sample.factor().reshape(-1, *shape)
    return Statistics(
        mean.cpu().numpy(), factor, (scale / own.sqrt()).cpu().numpy(), power.cpu().numpy()
    )


def _moments(batches: Iterator[torch.Tensor], width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of every pixel, over the images where it is known."""
    count, total, squares = sum(map(_sums, batches), start=torch.zeros(()))
    seen, n = count > 0, count.clamp(min=1)
    mean = torch.where(seen, total / n, total.sum() / count.sum())
    variance = torch.where(seen, squares / n - mean.square(), 0.0).clamp(min=0)
    typical = variance.sum() / seen.sum()
    least = torch.clamp(_LEAST_VARIANCE * typical, min=(_LEAST_DEVIATION * width) ** 2)
    return mean, torch.where(seen, variance, typical).maximum(least)


def _sums(x: torch.Tensor) -> torch.Tensor:
    """Return, pixel by pixel, how often it is known, and sums of its values and their squares."""
    values = x.double().nan_to_num()
    return torch.stack([(~x.isnan()).double().sum(0), values.sum(0), values.square().sum(0)])


def _regular(power: torch.Tensor) -> torch.Tensor:
    """Return covariances of channels that are positive definite."""
    channels = power.shape[-1]
    mean = power.diagonal(dim1=-2, dim2=-1).mean()
    least = torch.where(mean > 0, _LEAST_POWER * mean, torch.ones_like(mean))
    return power + least * torch.eye(channels).to(power)


class _Few:
    """The deviations of a few images are the factor of their covariance."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []

    def add(self, deviations: np.ndarray) -> None:
        self.kept.append(deviations)

    def factor(self) -> np.ndarray:
        rows = np.concatenate(self.kept)
        return rows / np.float32(math.sqrt(len(rows)))


class _Matrix:
    """The covariance of many images of few pixels, as a matrix."""

    def __init__(self, n_pixels: int, n_components: int):
        self.total, self.n, self.n_components = np.zeros((n_pixels, n_pixels)), 0, n_components

    def add(self, deviations: np.ndarray) -> None:
        self.total += deviations.T @ deviations
        self.n += len(deviations)

    def factor(self) -> np.ndarray:
        values, vectors = np.linalg.eigh(self.total / self.n)
        values, vectors = values[-self.n_components :], vectors[:, -self.n_components :]
        return (np.sqrt(values.clip(min=0)) * vectors).T.astype(np.float32)


class _Incremental:
    """The first components of many images of many pixels, from batches."""

    def __init__(self, n_components: int):
        self.pca = IncrementalPCA(n_components)
        self.waiting: list[np.ndarray] = []

    def add(self, deviations: np.ndarray) -> None:
        self.waiting.append(deviations)
        if sum(map(len, self.waiting)) >= 2 * self.pca.n_components:
            rows = np.concatenate(self.waiting)
            n = len(rows) - self.pca.n_components  # as many stay, for the last batch needs them
            self.pca.partial_fit(rows[:n])
            self.waiting = [rows[n:]]

    def factor(self) -> np.ndarray:
        self.pca.partial_fit(np.concatenate(self.waiting))
        deviation = self.pca.singular_values_[:, None] / math.sqrt(self.pca.n_samples_seen_)
        return (deviation * self.pca.components_).astype(np.float32)


def _sample_covariance(
    n_images: int, n_pixels: int, n_components: int
) -> _Few | _Matrix | _Incremental:
    """Return what collects deviations from the mean, and gives a factor of their covariance."""
    if n_images <= n_components:
        return _Few()
    if n_pixels <= _MATRIX_PIXELS:
        return _Matrix(n_pixels, n_components)
    return _Incremental(n_components)
