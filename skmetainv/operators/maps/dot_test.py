"""Checks that a user's map is linear and that its adjoint is right."""

from __future__ import annotations

import numpy as np
import torch

from skmetainv.operators.maps.base import LinearMap, Shape

# Allowed relative errors; the rounding of functions in single precision is about 1e-7.
_LINEAR = 1e-4
_OF_ONE_IMAGE = 1e-5
_OF_TWO = 1e-6


@torch.no_grad()
def check_linear(A: LinearMap, forward: str) -> None:
    """Raise an error if ``A(2 x + z)`` is not ``2 A x + A z``.

    Parameters
    ----------
    A : LinearMap
        The map, in double precision.
    forward : str
        The name of the function in the error.

    Raises
    ------
    ValueError
        If the map is not linear, or if a measurement is not finite.
    """
    x, z = _random(A.image_shape, 0), _random(A.image_shape, 1)
    expected, got = 2 * A(x) + A(z), A(2 * x + z)
    if not got.isfinite().all():
        raise ValueError(f"{forward} gives values that are not finite for random images.")
    if not (got - expected).norm() <= _LINEAR * expected.norm():
        raise ValueError(f"{forward} is not linear.")


@torch.no_grad()
def check_adjoint(A: LinearMap, forward: str, adjoint: str, instead: str) -> None:
    """Raise an error if ``A'`` is not the adjoint of ``A``.

    Parameters
    ----------
    A : LinearMap
        The map, in double precision.
    forward, adjoint : str
        The names of ``A`` and ``A'`` in the error.
    instead : str
        Advice to the user, at the end of the error.

    Raises
    ------
    ValueError
        If one of the three equations of the notes does not hold.

    Notes
    -----
    Three equations are checked, for random images ``x`` and ``z`` and random measurements ``v``:

    - ``<A x, A x> = <x, A' A x>`` detects an adjoint of wrong scale, for any number of pixels;
    - ``<A x, A z> = <z, A' A x>`` detects a skew-symmetric error;
    - ``<A x, v> = <x, A' v>`` detects errors outside of the range of ``A``.
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
                f"{texts[1]} {measured[1]:.9g}, for random images x and z and measurements v of "
                f"shape {(1, *A.measurement_shape)}. {instead}"
            )


def _random(shape: Shape, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((1, *shape)))
