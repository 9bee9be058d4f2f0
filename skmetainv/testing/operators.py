"""The check of operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

import torch

from skmetainv.operators import DataTerm, ForwardMap, LinearMap, Operator
from skmetainv.testing.derivatives import require_derivatives, require_finite_derivatives
from skmetainv.testing.failures import (
    checking,
    require,
    require_close,
    require_finite,
    require_unchanged,
)
from skmetainv.testing.linear_maps import check_linear_map
from skmetainv.testing.other_types import require_other_types
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import BATCH, generators, normal

# Relative error in single precision for condition numbers of about ten.
_SINGLE = 3e-5


def check_operator(
    operator: Operator, image_shape: tuple[int, ...] = (1, 3, 4), *, device: str = "auto"
) -> None:
    """Raise an error unless an operator has the properties of this library's operators.

    Measurements must have the declared shape, and each image must be measured on its own. Results
    must agree in single and double precision, and first and second derivatives must be exact.
    Random masks must depend only on the generators, and it must be possible to read them from the
    NaN of measurements. If the operator is linear, it must agree with its explicit matrix: in its
    adjoint, ``<A x, v> = <x, A' v>``, its norm, its pseudo-inverse and its proximal step. The
    object must work with scikit-learn's `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    operator : Operator
        The operator to check.
    image_shape : (int, int, int), default=(1, 3, 4)
        Channels, height and width of the test images. They should be small, as the explicit matrix
        is computed.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `operator` itself, if it does not accept its parameters or such images.

    Examples
    --------
    >>> from skmetainv.operators import GaussianBlur, MissingPixels
    >>> from skmetainv.testing import check_operator
    >>> check_operator(MissingPixels(observed=0.5) @ GaussianBlur(sigma=0.7))
    """
    with checking(operator):
        check_parameter_object(
            operator, Operator, lambda part: drawn(part, image_shape)(normal(BATCH, *image_shape))
        )
        case = _OperatorCase(operator, tuple(image_shape))
        _check_measurements(case)
        _check_missing(case)
        _check_seen_pixels(case)
        if isinstance(case.A, LinearMap):
            check_linear_map(case.whole, case.A)
        _check_data_steps(case)
        _check_derivatives(case)
        _check_other_types(case, device)


def drawn(operator: Operator, shape: tuple[int, ...], first: int = 0, n: int = BATCH) -> ForwardMap:
    """Return the map with masks drawn for `n` images, with the seeds `first`, `first + 1`, ..."""
    return operator.build(shape).draw(generators(*range(first, first + n)))


class _OperatorCase:
    """An operator, its map, and the map with masks drawn."""

    def __init__(self, operator: Operator, shape: tuple[int, ...]):
        self.operator, self.shape = operator, shape
        self.whole, self.A = operator.build(shape), drawn(operator, shape)

    def images(self, seed: int) -> torch.Tensor:
        """Return random images."""
        return normal(BATCH, *self.shape, seed=seed)

    def measurements(self) -> torch.Tensor:
        """Return noisy measurements of random images, with numbers where the operator has NaN."""
        noise = normal(BATCH, *self.A.measurement_shape, seed=2)
        y = self.A(self.images(1))
        return y + 0.1 * float(y.abs().max()) * noise


def _check_measurements(case: _OperatorCase) -> None:
    x = case.images(0)
    original = x.clone()
    y = case.A(x)
    expected = f"torch.float64 and ({len(x)}, {', '.join(map(str, case.A.measurement_shape))})"
    require(
        y.dtype == x.dtype and len(y) == len(x),
        f"must measure a batch of {len(x)} images in their type, {expected}",
        f"{y.dtype} and {tuple(y.shape)}",
        "a kernel in another type, or a sum over the batch",
    )
    finite = "must give finite measurements of random images"
    require_finite(y, finite, "a root, a logarithm or a division")
    what = "the images as they are"
    require_unchanged(x, original, what, "x += 1 or x[...] = 0")
    _check_alone(case, "measure", lambda A, row: A(x[row]))


def _check_derivatives(case: _OperatorCase) -> None:
    if isinstance(case.A, LinearMap):
        _check_derivatives_of_linear(case)
        return
    x, h = case.images(1), 1e-6 * case.images(2)
    v = normal(BATCH, *case.A.measurement_shape, seed=3)
    expected = ((case.A(x + h) - case.A(x - h)) * v).sum() / 2
    require_close(
        (case.A.vjp(x, v) * h).sum(),
        expected,
        1e-6,
        "must have the vector-Jacobian product <vjp(x, v), h> = <v, (A(x + h) - A(x - h)) / 2>",
        "`forward` leaves autograd, or its own `vjp` does not match `forward`",
        size=(x.norm() * h.norm()) * 1e-5,
    )
    gradient = case.A.bind(normal(BATCH, *case.A.measurement_shape, seed=4)).gradient
    require_derivatives(gradient, (x,), "the gradient of the data fidelity")
    for image in (torch.zeros_like(x), torch.full_like(x, 0.5)):
        at_the_solution = case.A.bind(case.A(image)).gradient
        where = "of the gradient of the data fidelity on constant images"
        require_finite_derivatives(at_the_solution, image, where)


def _check_derivatives_of_linear(case: _OperatorCase) -> None:
    scale = case.whole.squared_norm
    z, y = case.images(3), case.measurements()

    def steps(
        z: torch.Tensor, y: torch.Tensor, rho: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        data = case.A.bind(y * math.sqrt(scale))
        return data.prox(z, scale * rho), (data.gradient(z) / scale).square()

    one, each = torch.tensor(0.7), torch.linspace(0.7, 0.2, BATCH).reshape(-1, 1, 1, 1)
    for rho in (one.double(), each.double()):
        require_derivatives(
            steps,
            (z, y / math.sqrt(scale), rho),
            "the proximal step and the gradient in image, measurement and penalty",
        )
    for image in (torch.zeros_like(z), torch.full_like(z, 0.5), z):
        data = case.A.bind(case.A(image))
        require_finite_derivatives(
            lambda z, data=data: data.prox(z, 0.7 * scale),  # type: ignore[misc]
            image,
            "of the proximal step at the solution",
        )


def _check_data_steps(case: _OperatorCase) -> None:
    x, z, v = case.images(1), case.images(2), normal(BATCH, *case.A.measurement_shape, seed=3)
    _check_alone(case, "differentiate", lambda A, row: A.vjp(x[row], v[row]))
    _check_alone(case, "restore", lambda A, row: _restored(case.whole, A, z[row], A(x[row])))


def _check_alone(
    case: _OperatorCase, verb: str, compute: Callable[[ForwardMap, slice], torch.Tensor]
) -> None:
    """Raise an error unless ``compute(A, row)`` is the same for a batch and for its images."""
    together = compute(case.A, slice(None))
    for i in range(BATCH):
        row, A = slice(i, i + 1), drawn(case.operator, case.shape, first=i, n=1)
        require_close(
            together[row],
            compute(A, row),
            1e-8,
            f"must {verb} each image of a batch as it would alone, with its own generator",
            "`forward` or `adjoint` mixes the images of a batch, as x.mean() or x.flatten() do, or "
            "`draw` takes all from one generator; compute along the axes after the first",
            size=case.images(0),
        )


def _check_missing(case: _OperatorCase) -> None:
    """Raise an error unless missing samples are marked, drawn and read back consistently."""
    x, whole = case.images(1), deepcopy(case.whole)
    for part in whole.modules():
        if isinstance(part, ForwardMap):
            part.own_noise = None  # noise is checked by check_noise
    y = whole.simulate(x, lambda y, _: y, generators(*range(BATCH)))
    mask = case.A.observed
    observed = torch.ones_like(y, dtype=torch.bool) if mask is None else mask.expand_as(y)
    holds_nan, declared = bool(y.isnan().any()), case.operator.has_missing
    require(
        declared or not holds_nan,
        "must have has_missing=True, as its measurements hold NaN",
        f"has_missing={declared} and {int(y.isnan().sum())} NaN",
        "the class does not set has_missing = True",
    )
    filled = torch.where(observed, case.A(x), case.A.missing_value)
    n_others = int((y.nan_to_num(7.0) != filled.nan_to_num(7.0)).sum())
    require(
        n_others == 0,
        "must simulate A(x) where it is observed, and `missing_value` elsewhere, with the masks "
        "that the same generators draw",
        f"{n_others} of {y.numel()} other numbers",
        "`draw` does not take its random numbers from the generators alone",
    )
    read = whole.with_masks_of(y)(x)
    require_close(
        read,
        case.A(x),
        1e-10,
        "must be read back from the NaN of a measurement: with_masks_of(y)(x) = A(x)",
        "`with_masks_of` does not invert `draw`, or `missing_value` is not NaN where masks vary",
        size=x,
    )
    unobserved = torch.where(observed, 0.0, read)
    require(
        not unobserved.any(),
        "must give 0 where it does not observe",
        f"numbers up to {float(unobserved.abs().max()):.3g}",
        "`forward` ignores `observed`; write torch.where(self.observed, y, 0.0)",
    )


def _check_seen_pixels(case: _OperatorCase) -> None:
    """Raise an error if measurements depend on a pixel that `seen_pixels` leaves out."""
    seen, x = case.A.seen_pixels(), case.images(1)
    if seen is None:
        return
    fits = seen.ndim == 4 and seen.shape[1:] == (1, *case.shape[1:]) and len(seen) in (1, BATCH)
    require(
        fits and seen.dtype == torch.bool,
        f"must return booleans of shape (1 or {BATCH}, 1, height, width) from seen_pixels()",
        f"{seen.dtype} and {tuple(seen.shape)}",
        "a mask without the axes of images and channels",
    )
    others = torch.where(seen, x, case.images(2))
    change = (case.A(others) - case.A(x)).abs().max()
    require(
        bool(change == 0),
        "must not depend on pixels outside of seen_pixels()",
        f"a change of {float(change):.3g}",
        "`seen_pixels` leaves out a pixel with a weight; return None if that may happen",
    )


def _check_other_types(case: _OperatorCase, device: str) -> None:
    x, y = case.images(3), case.measurements()

    def compute(place: torch.device, dtype: torch.dtype) -> torch.Tensor:
        A = drawn(case.operator, case.shape).to(place, dtype)
        return _restored(case.whole, A, x.to(place, dtype), y.to(place, dtype))

    require_other_types(
        compute,
        (_SINGLE, 1e-7),
        "measure",
        "a tensor that is no buffer; make it in float64 and keep it by self.register_buffer(name, "
        "tensor)",
        device,
    )


def _restored(whole: ForwardMap, A: ForwardMap, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the proximal step of images or, for nonlinear maps, the gradient."""
    data: DataTerm = A.bind(y)
    if isinstance(A, LinearMap):
        return data.prox(x, 0.5 * whole.squared_norm)
    return data.gradient(x)
