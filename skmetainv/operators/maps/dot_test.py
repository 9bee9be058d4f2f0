"""Whether what others say is linear is so, and whether the adjoint that they give is it."""

from __future__ import annotations

import numpy as np
import torch

from skmetainv.operators.maps.base import LinearMap, Shape

# What functions that compute in single precision keep by far; measured: 1e-7.
_LINEAR = 1e-4
_OF_ONE_IMAGE = 1e-5
_OF_TWO = 1e-6


@torch.no_grad()
def check_linear(A: LinearMap, forward: str) -> None:
    """Raise if ``A(2 x + z)`` is not ``2 A x + A z``.

    Parameters
    ----------
    A : LinearMap
        The map, in double precision.
    forward : str
        How the error names what measures.

    Raises
    ------
    ValueError
        If it is not, or if a measurement is not finite.
    """
    x, z = _random(A.image_shape, 0), _random(A.image_shape, 1)
    expected, got = 2 * A(x) + A(z), A(2 * x + z)
    if not got.isfinite().all():
        raise ValueError(f"{forward} gives values that are not finite, of random images.")
    if not (got - expected).norm() <= _LINEAR * expected.norm():
        raise ValueError(f"{forward} is not linear.")


@torch.no_grad()
def check_adjoint(A: LinearMap, forward: str, adjoint: str, instead: str) -> None:
    """Raise if ``A'`` is not the adjoint of ``A``.

    Parameters
    ----------
    A : LinearMap
        The map, in double precision.
    forward, adjoint : str
        How the error names ``A`` and ``A'``.
    instead : str
        What the user can do, the end of the error.

    Raises
    ------
    ValueError
        If one of the three equations of the notes does not hold.

    Notes
    -----
    Three equations are tried, for random images ``x`` and ``z`` and random measurements ``v``:

    - ``<A x, A x> = <x, A' A x>`` finds an adjoint of wrong scale, however many pixels there are;
    - ``<A x, A z> = <z, A' A x>`` finds an error that is skew;
    - ``<A x, v> = <x, A' v>`` finds errors for measurements that no image has.
    """
    x, z, v = _random(A.image_shape, 0), _random(A.image_shape, 1), _random(A.measurement_shape, 2)
    Ax, Az = A(x), A(z)
    back, back_v = A.adjoint(Ax), A.adjoint(v)
    for texts, left, right, allowed in (
        (("<A x, A x>", "<x, A' A x>"), (Ax, Ax), (x, back), _OF_ONE_IMAGE * Ax.norm() ** 2),
        (("<A x, A z>", "<z, A' A x>"), (Ax, Az), (z, back), _OF_TWO * Ax.norm() * Az.norm()),
        (("<A x, v>", "<x, A' v>"), (Ax, v), (x, back_v), _OF_TWO * Ax.norm() * v.norm()),
    ):
        measured = [float((a * b).sum()) for a, b in (left, right)]
        if not abs(measured[0] - measured[1]) <= allowed:
            raise ValueError(
                f"{adjoint} is not the adjoint of {forward}: {texts[0]} is {measured[0]:.9g} and "
                f"{texts[1]} {measured[1]:.9g}, for random images x and z and measurements v, the "
                f"latter of shape {(1, *A.measurement_shape)}. {instead}"
            )


def _random(shape: Shape, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((1, *shape)))
