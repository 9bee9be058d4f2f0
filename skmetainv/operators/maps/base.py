"""Base classes of maps and of the data fidelity of a batch of measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from skmetainv.noise import NoiseFunction
from skmetainv.operators.maps.lanczos import largest_eigenvalue
from skmetainv.operators.maps.normal_equations import solve
from skmetainv.parameters import described

Shape = tuple[int, ...]
Conversion = Callable[[torch.Tensor], torch.Tensor]

# Largest number of entries of an explicit matrix.
_DENSE_ENTRIES = 2**22
_LANCZOS_STEPS = 60
_NO_NORM = "The norm of this nonlinear operator cannot be computed at a random image in [0, 1]:"


class ForwardMap(nn.Module):
    """The map ``A`` for images of one shape; a subclass writes `forward`.

    The tensors of `forward` are registered as buffers in float64 (`register_buffer`), so that they
    move with the map. The measurement of an image must not depend on the others in the batch.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image.
    measurement_shape : tuple of int
        Shape of one measurement; three entries are channels, height and width.
    observed : tensor of bool, default=None
        Mask of the observed entries of a measurement, broadcastable to
        ``(batch, *measurement_shape)``. `forward` returns 0 where it is False. If None, all entries
        are observed.

    Attributes
    ----------
    missing_value : float
        Value of a measurement's missing entries: 0, or NaN if the mask varies from image to image.
    if_linear : str
        A hint for errors: how to declare the map linear, if it is.
    """

    observed: torch.Tensor | None
    missing_value: float = 0.0
    if_linear: str = ""

    def __init__(
        self,
        image_shape: Shape,
        measurement_shape: Shape,
        observed: torch.Tensor | None = None,
    ):
        super().__init__()
        self.register_buffer("observed", observed)
        self.image_shape = tuple(image_shape)
        self.measurement_shape = tuple(measurement_shape)

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        """Move and convert the map's tensors; complex tensors stay complex.

        Without this, `torch.nn.Module.to` would drop imaginary parts when it converts to a real
        type. It does not move tensors that are plain attributes; here, these raise an error.
        """
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                raise TypeError(
                    f"The tensor {name!r} of {type(self).__name__} does not move with the map. "
                    f"Write self.register_buffer({name!r}, tensor) in its constructor in place of "
                    f"self.{name} = tensor."
                )
        super()._apply(keeping_complex(fn), recurse)  # type: ignore[no-untyped-call]
        return self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the result of `forward`, after checking that it is a batch of measurements.

        Raises
        ------
        ValueError
            If the result does not have the shape of measurements, or is not a real tensor.
        """
        try:
            y: torch.Tensor = super().__call__(x)
        except RuntimeError as error:
            if "type" in str(error) or "device" in str(error):
                error.add_note(_not_moved(self, x))
            raise
        if (
            not isinstance(y, torch.Tensor)
            or y.shape[1:] != self.measurement_shape
            or y.is_complex()
        ):
            raise ValueError(_no_measurements(self, y, x))
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A(x)``, shape ``(batch, *measurement_shape)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``J_A(x)' v``, the vector-Jacobian product at `x`."""
        return pulled_back(self, x, v)

    def norm(self) -> torch.Tensor:
        """Return the largest singular value of the Jacobian at a fixed image.

        The pixels of that image are random, uniform in [0, 1]. Lanczos' method computes the value
        to a tenth of a percent, from products with ``J_A' J_A`` that use `vjp`.

        Returns
        -------
        norm : tensor of shape ()
            ``||A||``. If there is a mask for each image, the largest norm over the images.

        Raises
        ------
        ValueError
            If the vector-Jacobian product is not differentiable, or if the norm is not finite.
        """
        with torch.inference_mode(False), torch.no_grad():
            x = self._fixed_images(np.random.default_rng(0).random)
            start = self._fixed_images(np.random.default_rng(1).standard_normal)
            try:
                norm = self._largest_singular_value(
                    lambda p: self.vjp(x, pushed_forward(self, x, p)), start
                )
            except (RuntimeError, NotImplementedError, TypeError) as error:
                raise ValueError(f"{_NO_NORM} {error}{_if_linear(self)}") from error
        if not norm.isfinite():
            raise ValueError(f"{_NO_NORM} it is {norm.item()} there.{_if_linear(self)}")
        return norm

    @cached_property
    def squared_norm(self) -> float:
        """The scale of solvers' defaults: ``||A||^2``, or 1 if that is 0; computed once."""
        with torch.no_grad():
            return float(self.norm()) ** 2 or 1.0

    def _largest_singular_value(
        self, normal: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor
    ) -> torch.Tensor:
        n_steps = min(_LANCZOS_STEPS, math.prod(self.image_shape))
        return largest_eigenvalue(normal, start, n_steps).clamp(min=0).sqrt()

    def _fixed_images(self, numbers: Callable[[Shape], np.ndarray]) -> torch.Tensor:
        """Return fixed images, one per mask, on the device and in the type of the map."""
        held = [t for t in (*self.buffers(), *self.parameters()) if _has_a_type(t)]
        like = held[0].real if held else torch.empty(0, dtype=torch.float64)
        n = 1 if self.observed is None else len(self.observed)
        images = numbers((n, *self.image_shape))
        return torch.from_numpy(images).to(like.device, like.dtype)

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with a random mask for each image, drawn from its generator."""
        return self

    def simulate(
        self,
        x: torch.Tensor,
        noise: NoiseFunction,
        generators: Sequence[np.random.Generator],
    ) -> torch.Tensor:
        """Return measurements ``y = A(x) + e`` of clean images.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Clean images.
        noise : callable
            The function that `skmetainv.noise.Noise.build` returns.
        generators : sequence of numpy.random.Generator
            One per image. The operator draws from it first, then the noise.

        Returns
        -------
        y : tensor of shape (batch, *measurement_shape)
            Measurements; missing entries hold `missing_value`.
        """
        drawn = self.draw(generators)
        exact = drawn(x)
        if drawn.observed is None:
            return noise(exact, generators)
        known = drawn.observed & ~exact.isnan()  # unknown pixels give no measurement
        return torch.where(known, noise(exact.nan_to_num(), generators), drawn.missing_value)

    def bind(self, y: torch.Tensor, given: torch.Tensor | None = None) -> DataTerm:
        """Return the data fidelity of a batch of measurements.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements. If masks vary from image to image, missing entries are NaN.
        given : tensor of shape (batch, *image_shape), default=None
            An image that another method restored from each measurement, for the start "given".

        Returns
        -------
        data : DataTerm
            The data fidelity. Everything that depends on `y` alone is computed once, here.
        """
        A = self.with_masks_of(y)
        data = A.data_term(y if A.observed is None else torch.where(A.observed, y, 0.0))
        data.whole, data.given = self, given
        return data

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the mask of each image read from the NaN of `y`."""
        return self

    def data_term(self, y: torch.Tensor) -> DataTerm:
        """Return the data fidelity of measurements whose missing entries are 0."""
        return DataTerm(self, y)


class LinearMap(ForwardMap):
    """A linear map ``A``; a subclass writes `forward`, and may write a fast `adjoint`."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y``, shape ``(batch, *image_shape)``."""
        origin = y.new_zeros(y.shape[0], *self.image_shape)
        return pulled_back(self, origin, y)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``A' v``, for any `x`."""
        return self.adjoint(v)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x``."""
        return self.adjoint(self(x))

    def norm(self) -> torch.Tensor:
        """Return the largest singular value; if masks vary, the largest over the images.

        Lanczos' method on ``A' A`` from a fixed start computes it to a tenth of a percent.
        """
        return self._largest_singular_value(self.normal, self._probe())

    def pseudo_inverse(self, y: torch.Tensor, rcond: float = 1e-6) -> torch.Tensor:
        """Return the least-squares solution of least norm, ``A^+ y``.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements.
        rcond : float, default=1e-6
            Singular values up to ``rcond`` times the largest count as zero, and so do singular
            values below the rounding error. If the explicit matrix would have more than 4 million
            entries, the damped solution ``(A' A + (rcond norm)^2 I)^-1 A' y`` is returned. It
            agrees for singular values far above ``rcond norm``. ``rcond^2`` is then at least the
            machine epsilon of the type, 1.2e-7 in single precision.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            The images.
        """
        if math.prod(self.image_shape) * math.prod(self.measurement_shape) > _DENSE_ENTRIES:
            rho = max(rcond**2, torch.finfo(y.dtype).eps) * self.squared_norm
            return solve(self.normal, self.adjoint(y), y.new_tensor(rho))
        matrix = self.explicit()
        rounding = max(matrix.shape[1:]) * torch.finfo(matrix.dtype).eps
        inverse: torch.Tensor = torch.linalg.pinv(matrix, rtol=max(rcond, rounding))
        return (inverse.to(y) @ y.flatten(1)[..., None]).reshape(-1, *self.image_shape)

    def explicit(self) -> torch.Tensor:
        """Return the matrix of ``A``; if masks vary, one for each image.

        Returns
        -------
        matrix : tensor of shape (1 or batch, n_measurements, n_pixels)
            Column j is ``A e_j``, where the image ``e_j`` has pixel j equal to 1 and all others 0.
        """
        n, probe = math.prod(self.image_shape), self._probe()
        basis = torch.eye(n, dtype=probe.dtype, device=probe.device)
        columns = [self(e.reshape(1, *self.image_shape).expand_as(probe)) for e in basis]
        return torch.stack([column.flatten(1) for column in columns], dim=2)

    def _probe(self) -> torch.Tensor:
        """Return fixed images of normal random numbers."""
        return self._fixed_images(np.random.default_rng(0).standard_normal)

    def data_term(self, y: torch.Tensor) -> DataTerm:
        """Return the data fidelity, with ``A' y`` kept."""
        return LinearDataTerm(self, y)


def pushed_forward(A: ForwardMap, x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Return ``J_A(x) p``, the derivative of the vector-Jacobian product.

    ``J_A(x)' v`` is linear in ``v``, so its vector-Jacobian product is ``J_A(x) p``.
    """
    with torch.enable_grad():
        v = p.new_zeros(len(p), *A.measurement_shape).requires_grad_()
        return torch.autograd.grad(A.vjp(x, v), v, p)[0]


def _not_moved(A: ForwardMap, x: torch.Tensor) -> str:
    """Return the hint for an operation that fails on mixed types or devices."""
    name = type(A).__name__
    return (
        f"{name} got images of {x.dtype} on {x.device}. Maps are built in float64 on the CPU and "
        f"then moved: create the tensors of {name} in float64, and register them with "
        'self.register_buffer("name", tensor), so that they move with the map.'
    )


def _no_measurements(A: ForwardMap, y: Any, x: torch.Tensor) -> str:
    """Return the error message about a result of `forward` that is not a batch of measurements."""
    name, expected = type(A).__name__, ("batch", *A.measurement_shape)
    must = f"{name}.forward must return a tensor of shape {_in_words(expected)}"
    if not isinstance(y, torch.Tensor):
        return f"{must}. Got {described(y)} instead."
    if y.is_complex():
        return (
            f"{must} of real numbers. Got {described(y)} instead: torch.view_as_real(y) gives the "
            "real and imaginary parts as a last axis."
        )
    own = tuple(y.shape[1:])
    hint = f"If this shape is right, pass measurement_shape={own} to super().__init__."
    if y.ndim != 1 + len(A.measurement_shape) and y.shape == A.measurement_shape:
        hint = "The first axis must be the batch."
    return f"{must}. Got {tuple(y.shape)} for images of shape {tuple(x.shape)} instead. {hint}"


def _in_words(shape: tuple[Any, ...]) -> str:
    """Return a shape as the text of a tuple; some entries may be names."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def check_double(owner: object, module: nn.Module) -> None:
    """Raise an error if a newly built module holds buffers in less than double precision.

    Parameters
    ----------
    owner : object
        The object whose `build` returned it.
    module : nn.Module
        The module; its submodules are not checked.

    Raises
    ------
    TypeError
        If a buffer has a smaller type: digits that double precision needs are lost.
    """
    for name, buffer in module.named_buffers(recurse=False):
        if _has_a_type(buffer) and torch.finfo(buffer.dtype).bits < 64:
            raise TypeError(
                f"The buffer {name!r} of {type(module).__name__}, which {type(owner).__name__}"
                f".build returns, is in {buffer.dtype}. Modules are built in double precision and "
                "then moved: create the buffer with dtype=torch.float64 or append .double()."
            )


def needs_linear(what: str, A: ForwardMap) -> str:
    """Return the error message about a nonlinear map where a linear one is needed."""
    return f"{what} needs a linear operator, but this one is nonlinear.{_if_linear(A)}"


def _if_linear(A: ForwardMap) -> str:
    """Return the hint of how to declare a map, or its nonlinear part, linear."""
    hints = [part.if_linear for part in A.modules() if isinstance(part, ForwardMap)]
    return next((f" {hint}" for hint in hints if hint), "")


def _has_a_type(t: torch.Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def pulled_back(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """Return ``J(x)' v`` by autograd; if gradients are enabled, the result is differentiable.

    Unlike `torch.func.vjp`, it supports every style of `torch.autograd.Function`.
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        y = function(x)
    return torch.autograd.grad(y, x, v, create_graph=torch.is_grad_enabled())[0]


def keeping_complex(fn: Conversion) -> Conversion:
    """Return a conversion that applies `fn` to the real and imaginary parts of complex tensors."""

    def convert(t: torch.Tensor) -> torch.Tensor:
        if not t.is_complex():
            return fn(t)
        return torch.view_as_complex(fn(torch.view_as_real(t.resolve_conj())).contiguous())

    return convert


class DataTerm:
    """The data fidelity of one batch of measurements, computed for each image on its own.

    Parameters
    ----------
    A : ForwardMap
        The map. If masks vary, it has the mask of every image of the batch.
    y : tensor of shape (batch, ...)
        Measurements; missing entries are 0.

    Attributes
    ----------
    whole : ForwardMap
        The map before its masks were read; `A` if masks do not vary.
    given : tensor of shape (batch, channels, height, width) or None
        An image that another method restored from each measurement.
    """

    given: torch.Tensor | None = None

    def __init__(self, A: ForwardMap, y: torch.Tensor):
        self.A, self.y, self.whole = A, y, A

    @property
    def squared_norm(self) -> float:
        """``||A||^2`` of the map before masks are read, see `ForwardMap.norm`."""
        return self.whole.squared_norm

    def loss(self, x: torch.Tensor, criterion: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Return `criterion` between ``A(x)`` and ``y`` over the observed entries, per image.

        If the map is linear, both are divided by ``||A||``, see `in_image_units`.
        """
        return criterion(
            self.in_image_units(self.A(x)), self.in_image_units(self.y), self.A.observed
        )

    def in_image_units(self, y: torch.Tensor) -> torch.Tensor:
        """Return measurements in the units of the images; for nonlinear maps, `y` itself."""
        return y

    def mean_squared_residuals(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``||A(x) - y||^2 / m`` of each image, over its `m` observed samples."""
        residuals = self.A(x) - self.y  # both are 0 where nothing is observed
        known = torch.ones_like(self.y, dtype=torch.bool)
        known = known if self.A.observed is None else known & self.A.observed
        return residuals.square().flatten(1).sum(1) / known.flatten(1).sum(1)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``J_A(x)' (A(x) - y)``."""
        return self.A.vjp(x, self.A(x) - self.y)

    def start(self, kind: str) -> torch.Tensor:
        """Return an image to start a solver from.

        Parameters
        ----------
        kind : str
            "zeros". "measurement", if measurements have the shape of images: ``y / ||A||``, or
            ``y`` if the map is nonlinear. "adjoint", ``A' y / ||A||^2``, and "pseudo_inverse",
            ``A^+ y``, if the map is linear. "given": the image that `ForwardMap.bind` received. All
            have the scale of images, for any scale of the measurements.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            The images.

        Raises
        ------
        ValueError
            If `kind` is unknown; if it is "adjoint" or "pseudo_inverse" and the map is nonlinear;
            or if it is "measurement" and measurements do not have the shape of images.
        """
        if kind == "zeros":
            return self.y.new_zeros(self.y.shape[0], *self.A.image_shape)
        if kind == "measurement":
            return self._measured_image()
        if kind == "given" and self.given is not None:
            return self.given
        if kind in ("adjoint", "pseudo_inverse"):
            raise ValueError(
                f"{needs_linear(f'The start {kind!r}', self.A)} Start from 'zeros', or from "
                "'measurement' if measurements are images."
            )
        raise ValueError(
            f"The start must be 'zeros', 'measurement', 'adjoint' or 'pseudo_inverse'. "
            f"Got {kind!r} instead."
        )

    def _measured_image(self) -> torch.Tensor:
        """Return the measurements as images, if they have the shape of images."""
        if self.A.measurement_shape != self.A.image_shape:
            raise ValueError(
                "The start 'measurement' needs measurements of the shape of images, "
                f"{self.A.image_shape}. Got measurements of shape {self.A.measurement_shape}: "
                "start from 'adjoint' or 'pseudo_inverse'."
            )
        return self.in_image_units(self.y)

    def known(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return where clean images are not NaN, or None if the operator has no mask."""
        return None if self.A.observed is None else ~x.isnan()

    def observed_pixels(self) -> torch.Tensor:
        """Return which pixels are observed, boolean, of shape (batch, 1, height, width).

        A pixel counts as observed if one of its channels is. If the operator has no mask of the
        image's height and width, all pixels count as observed.
        """
        observed, size = self.A.observed, self.A.image_shape[1:]
        if observed is None or self.A.measurement_shape[1:] != size:
            return torch.ones(len(self.y), 1, *size, dtype=torch.bool, device=self.y.device)
        return observed.expand(len(self.y), *self.A.measurement_shape).any(dim=1, keepdim=True)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Raise an error: only a linear operator has a proximal step, see `LinearDataTerm`."""
        refusal = needs_linear("The proximal step", self.A)
        raise ValueError(f"{refusal} GradientDescent takes nonlinear operators.")


class LinearDataTerm(DataTerm):
    """The data fidelity of a linear map; ``A' y`` is computed once.

    Parameters
    ----------
    A : LinearMap
        The map.
    y : tensor of shape (batch, ...)
        Measurements; missing entries are 0.
    """

    A: LinearMap

    def __init__(self, A: LinearMap, y: torch.Tensor):
        super().__init__(A, y)
        self.adjoint_y = A.adjoint(y)
        if self.adjoint_y.shape[1:] != A.image_shape:
            raise ValueError(
                f"{type(A).__name__}.adjoint must return images of shape "
                f"{_in_words(('batch', *A.image_shape))}. Got {tuple(self.adjoint_y.shape)} for "
                f"measurements of shape {tuple(y.shape)} instead."
            )

    def in_image_units(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y / ||A||``; if ``||A||`` is 1, `y` itself."""
        squared_norm = self.squared_norm
        return y if squared_norm == 1 else y / math.sqrt(squared_norm)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x - A' y``."""
        return self.A.normal(x) - self.adjoint_y

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2``.

        Parameters
        ----------
        z : tensor of shape (batch, *image_shape)
            The point of the proximal term.
        rho : float or tensor of shape (), (batch, 1, 1, 1)
            Penalty, positive; one for all images or one for each.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            ``(A' A + rho I)^-1 (A' y + rho z)``, computed by conjugate gradients from the start
            `z`, see `skmetainv.operators.maps.normal_equations.solve`.
        """
        rho = torch.as_tensor(rho, dtype=z.dtype, device=z.device)
        return solve(self.A.normal, self.adjoint_y + rho * z, rho, start=z)

    def start(self, kind: str) -> torch.Tensor:
        """Return an image to start a solver from, see `DataTerm.start`."""
        if kind == "adjoint":
            return self.adjoint_y / self.squared_norm
        if kind == "pseudo_inverse":
            return self.A.pseudo_inverse(self.y)
        return super().start(kind)
