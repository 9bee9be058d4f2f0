"""The check of linear maps: they agree with their explicit matrix."""

from __future__ import annotations

import math

import numpy as np
import torch

from skmetainv.operators import ForwardMap, LinearMap
from skmetainv.testing.failures import require, require_close
from skmetainv.testing.samples import BATCH, normal

_EXACT = 1e-9
_ADJOINT = (
    "`adjoint` does not match `forward`: a kernel that is not flipped, a wrong factor, a shift in "
    "the wrong direction; without its own `adjoint`, a LinearMap uses autograd's"
)


def check_linear_map(whole: ForwardMap, A: LinearMap) -> None:
    """Raise an error unless a linear map agrees with its explicit matrix.

    Parameters
    ----------
    whole : ForwardMap
        The map before random masks are drawn.
    A : LinearMap
        The map with masks drawn for a batch.

    Raises
    ------
    PropertyError
        If they do not agree.
    """
    x, z = normal(BATCH, *A.image_shape, seed=1), normal(BATCH, *A.image_shape, seed=2)
    require_close(
        A(2.5 * x - z),
        2.5 * A(x) - A(z),
        _EXACT,
        "must be linear, A(2.5 x - z) = 2.5 A(x) - A(z)",
        "`forward` adds a constant or is nonlinear; then its map is a ForwardMap, not a LinearMap",
    )
    v = normal(BATCH, *A.measurement_shape, seed=2)
    _check_adjoint(A, x, v)
    matrix = _explicit(A)
    singular = torch.linalg.svdvals(matrix)
    _check_norm(A, float(singular.max()))
    _check_pseudo_inverse(A, matrix, singular)
    y = A(x) + 0.1 * v
    _check_data_term(whole, A, matrix, y)
    _check_prox(whole, A, y)


def _check_adjoint(A: LinearMap, x: torch.Tensor, v: torch.Tensor) -> None:
    back = A.adjoint(v)
    require(
        back.shape == x.shape,
        f"must have an adjoint that gives images, of shape {tuple(x.shape)}",
        f"shape {tuple(back.shape)}",
        _ADJOINT,
    )
    left, right = float((A(x) * v).sum()), float((x * back).sum())
    require(
        abs(left - right) <= 1e-10 * float(A(x).norm() * v.norm()),
        "must have the adjoint of its forward, <A x, v> = <x, A' v>",
        f"{left:.9g} and {right:.9g}, for random images x and measurements v",
        _ADJOINT,
    )
    twice = A.adjoint(A(x))
    for what, got in (("normal(x)", A.normal(x)), ("vjp(x, A x)", A.vjp(x, A(x)))):
        require_close(
            got,
            twice,
            _EXACT,
            f"must have {what} = A' A x",
            "its own method does not match `forward`; the inherited one is right",
        )


def _check_norm(A: LinearMap, largest: float) -> None:
    norm = float(A.norm())
    require(
        abs(norm - largest) <= 1e-4 * largest,
        f"must have the norm ||A|| = {largest:.6g}, the largest singular value of its matrix",
        f"{norm:.6g}",
        "its own `norm` is wrong; the inherited one, by Lanczos' method, is right",
    )


def _check_pseudo_inverse(A: LinearMap, matrix: torch.Tensor, singular: torch.Tensor) -> None:
    y, largest = normal(BATCH, *A.measurement_shape), float(singular.max())
    rcond = _between(singular.flatten().numpy() / (largest or 1.0))
    inverse = torch.linalg.pinv(matrix, atol=rcond * largest, rtol=0.0)
    expected = (inverse @ y.flatten(1)[..., None]).reshape(BATCH, *A.image_shape)
    require_close(
        A.pseudo_inverse(y, rcond=rcond),
        expected,
        1e-8,
        "must have the pseudo-inverse of its matrix",
        "its own `pseudo_inverse` is wrong; the inherited one is right",
    )


def _check_data_term(
    whole: ForwardMap, A: LinearMap, matrix: torch.Tensor, y: torch.Tensor
) -> None:
    data = whole.bind(y if A.observed is None else y.where(A.observed, A.missing_value))
    x = normal(BATCH, *A.image_shape, seed=3)
    residual = (A(x) - data.y).flatten(1)[..., None]
    cause = "its own `data_term`, or an `adjoint` that is wrong"
    require_close(
        data.gradient(x),
        (matrix.mT @ residual).reshape(x.shape),
        _EXACT,
        "must have the gradient of the data fidelity A'(A x - y)",
        cause,
    )
    scale = float(whole.norm()) ** 2 or 1.0  # independent of the drawn masks
    require(
        float(data.squared_norm) == whole.squared_norm == scale,
        f"must have the scale ||A||^2 = {scale:.6g} of the map before masks are drawn",
        f"{data.squared_norm:.6g}",
        cause,
    )
    for start, expected in (
        ("adjoint", A.adjoint(data.y) / data.squared_norm),
        ("pseudo_inverse", A.pseudo_inverse(data.y)),
        ("zeros", torch.zeros_like(x)),
    ):
        require_close(data.start(start), expected, _EXACT, f"must have the start {start!r}", cause)


def _check_prox(whole: ForwardMap, A: LinearMap, y: torch.Tensor) -> None:
    data, z = A.bind(y), normal(BATCH, *A.image_shape, seed=3)
    for rho in (0.01 * whole.squared_norm, 3.0 * whole.squared_norm):
        x = data.prox(z, rho)
        residual = float((data.gradient(x) + rho * (x - z)).norm())
        size = float(A.adjoint(data.y).norm() + rho * z.norm())
        require(
            residual <= 1e-8 * size,
            f"must have the proximal step that solves A'(A x - y) + rho (x - z) = 0, rho={rho:.3g}",
            f"a residual of {residual / (size or 1.0):.3g} of the right-hand side",
            "its own closed-form `prox` is wrong",
        )


def _explicit(A: LinearMap) -> torch.Tensor:
    """Return the matrix of ``A`` for each image of a batch, (batch, measurements, pixels)."""
    pixels = torch.eye(math.prod(A.image_shape), dtype=torch.float64).unflatten(1, A.image_shape)
    columns = [A(e.expand(BATCH, *A.image_shape)).flatten(1) for e in pixels]
    return torch.stack(columns, dim=2)


def _between(values: np.ndarray) -> float:
    """Return a threshold near 0.05 that is far from all singular values."""
    candidates = np.geomspace(0.02, 0.2, 21)
    logarithms = np.log(np.maximum(values, 1e-12))
    distance = np.abs(np.log(candidates)[:, np.newaxis] - logarithms).min(axis=1)
    return float(candidates[distance.argmax()])
