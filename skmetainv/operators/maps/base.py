"""Base classes of maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from skmetainv.noise import Noise, NoiseFunction
from skmetainv.operators.maps.data_terms import DataTerm, LinearDataTerm, if_linear, in_words
from skmetainv.operators.maps.lanczos import largest_eigenvalue
from skmetainv.operators.maps.normal_equations import solve
from skmetainv.operators.maps.pairs import TensorFunction
from skmetainv.operators.maps.precision import Conversion, keeping_complex
from skmetainv.parameters import described

Shape = tuple[int, ...]

# Largest number of entries of an explicit matrix.
_DENSE_ENTRIES = 2**22
_LANCZOS_STEPS = 60
_NO_NORM = "The norm of this nonlinear operator cannot be computed at a random image in [0, 1]:"


def pulled_back(function: TensorFunction, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return ``J(x)' v`` by autograd; if gradients are enabled, the result is differentiable.

    Unlike `torch.func.vjp`, it supports every style of `torch.autograd.Function`.
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        y = function(x)
    return torch.autograd.grad(y, x, v, create_graph=torch.is_grad_enabled())[0]


def pushed_forward(A: ForwardMap, x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Return ``J_A(x) p``, computed as the derivative of the vector-Jacobian product.

    The function ``v -> J_A(x)' v`` is linear, so its own vector-Jacobian product is ``J_A(x) p``.
    """
    with torch.enable_grad():
        v = p.new_zeros(len(p), *A.measurement_shape).requires_grad_()
        return torch.autograd.grad(A.vjp(x, v), v, p)[0]


class ForwardMap(nn.Module):
    """The map ``A`` for images of one shape; a subclass writes `forward`.

    The tensors that `forward` uses are registered as float64 buffers (`register_buffer`), so that
    they move with the map. The measurement of an image must not depend on the others in the batch.

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
        A hint for errors about nonlinear maps: how to declare a map linear.
    built_by : Operator or None
        The operator that built the map.
    own_noise : Noise or None
        The noise of the measurements, if the operator has its own.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import ForwardMap
    >>> class Square(ForwardMap):
    ...     def forward(self, x):
    ...         return x.square()
    >>> A = Square(image_shape=(1, 1, 2), measurement_shape=(1, 1, 2))
    >>> x = torch.tensor([[[[1.0, 3.0]]]])
    >>> A(x)
    tensor([[[[1., 9.]]]])
    >>> A.vjp(x, torch.ones(1, 1, 1, 2)).detach()
    tensor([[[[2., 6.]]]])
    """

    observed: torch.Tensor | None
    missing_value: float = 0.0
    if_linear: str = ""
    built_by: Any = None
    own_noise: Noise | None = None

    def __init__(
        self,
        image_shape: Shape,
        measurement_shape: Shape,
        observed: torch.Tensor | None = None,
    ):
        super().__init__()
        self.register_buffer("observed", observed)
        # The device and the type of a map that holds no other tensor.
        self.register_buffer("_place", torch.empty(0, dtype=torch.float64), persistent=False)
        self.image_shape = tuple(image_shape)
        self.measurement_shape = tuple(measurement_shape)

    @property
    def place(self) -> torch.Tensor:
        """An empty tensor with the device and the type of the map."""
        # Parts register after the map's own tensors, and may have moved before the map was made.
        return [t for t in self.buffers() if t.is_floating_point()][-1].new_empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A(x)``, shape ``(batch, *measurement_shape)``.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Images.

        Returns
        -------
        y : tensor of shape (batch, *measurement_shape)
            Noise-free measurements; unobserved entries are 0.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return ``J_A(x)' v``, the vector-Jacobian product at `x`.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            The images at which the Jacobian is taken.
        v : tensor of shape (batch, *measurement_shape)
            Cotangents of the measurements.

        Returns
        -------
        g : tensor of shape (batch, *image_shape)
            Cotangents of the images.
        """
        return pulled_back(self, x, v)

    def norm(self) -> torch.Tensor:
        """Return the largest singular value of the Jacobian.

        The Jacobian is taken at one fixed image of uniform random pixels in [0, 1]. Lanczos' method
        computes the value to a tenth of a percent, from products with ``J_A' J_A`` that use `vjp`.

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
                raise ValueError(f"{_NO_NORM} {error}{if_linear(self)}") from error
        if not norm.isfinite():
            raise ValueError(f"{_NO_NORM} it is {norm.item()} there.{if_linear(self)}")
        return norm

    @cached_property
    def squared_norm(self) -> float:
        """The scale of solvers' defaults: ``||A||^2``, or 1 if that is 0; computed once."""
        with torch.no_grad():
            return float(self.norm()) ** 2 or 1.0

    @property
    def each(self) -> list[ForwardMap]:
        """The maps of all instruments: the map itself, unless it is that of a `RandomOperator`."""
        return [self]

    def instruments(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with an instrument for each image, drawn by that image's generator.

        Parameters
        ----------
        generators : sequence of numpy.random.Generator
            One per image.

        Returns
        -------
        A : ForwardMap
            The map itself, unless it is that of a `RandomOperator`.
        """
        return self

    def of_images(self, y: torch.Tensor) -> list[ForwardMap]:
        """Return the map of each image.

        Parameters
        ----------
        y : tensor of shape (batch, ...)
            Measurements, or images.

        Returns
        -------
        maps : list of ForwardMap
            One for each image of the batch.
        """
        return [self] * len(y)

    def check_batch(self, n_images: int) -> None:
        """Raise an error if the map belongs to another number of images.

        Parameters
        ----------
        n_images : int
            The number of measurements.
        """

    def part(self, first: int, last: int) -> ForwardMap:
        """Return the map of some images of a batch.

        Parameters
        ----------
        first, last : int
            The first image, and the one after the last.

        Returns
        -------
        A : ForwardMap
            The map itself, unless each image has its own instrument.
        """
        return self

    def by_instrument(
        self, compute: Callable[..., torch.Tensor], *tensors: torch.Tensor
    ) -> torch.Tensor:
        """Return ``compute(*tensors, A)``, for the images of each instrument on their own.

        Parameters
        ----------
        compute : callable
            Takes the rows of each tensor that belong to images of one instrument, and the map of
            the instrument. Returns a tensor with one row for each of these images.
        *tensors : tensor of shape (batch, ...)
            Values of the images.

        Returns
        -------
        results : tensor of shape (batch, ...)
            The results, in the order of the images.
        """
        return compute(*tensors, self)

    def draw(self, generators: Sequence[np.random.Generator]) -> ForwardMap:
        """Return the map with a random mask for each image, drawn by that image's generator.

        Parameters
        ----------
        generators : sequence of numpy.random.Generator
            One per image.

        Returns
        -------
        A : ForwardMap
            The map itself if its masks do not vary.
        """
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
            The function that `skmetainv.noise.Noise.build` returns. It is not used if the map has
            its own noise.
        generators : sequence of numpy.random.Generator
            One per image. The operator draws from it first, then the noise.

        Returns
        -------
        y : tensor of shape (batch, *measurement_shape)
            Measurements; missing entries hold `missing_value`.
        """
        if self.own_noise is not None:
            noise = self.own_noise.build()
        drawn = self.draw(generators)
        exact = drawn(x)
        if drawn.observed is None:
            return noise(exact, generators)
        measured = drawn.observed & ~exact.isnan()  # a NaN pixel gives no measurement
        return torch.where(measured, noise(exact.nan_to_num(), generators), drawn.missing_value)

    def noises(self) -> list[Noise]:
        """Return the own noise of each instrument that has one.

        Returns
        -------
        noises : list of Noise
            Empty if no instrument has its own noise.
        """
        return [A.own_noise for A in self.each if A.own_noise is not None]

    def bind(self, y: torch.Tensor, start: torch.Tensor | None = None) -> DataTerm:
        """Return the data fidelity of a batch of measurements.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements. If masks vary from image to image, missing entries are NaN.
        start : tensor of shape (batch, 1 or 2, *image_shape), default=None
            An image that another method restored from each measurement, for the start "given". If
            its uncertainty is known, it follows, see `DataTerm.uncertainty`.

        Returns
        -------
        data : DataTerm
            The data fidelity. Everything that depends on `y` alone is computed once, here.
        """
        A = self.with_masks_of(y)
        data = A.data_term(y if A.observed is None else torch.where(A.observed, y, 0.0))
        # Set here, because subclasses override data_term
        data.unmasked = self
        if start is not None:
            if start.ndim != 5 or start.shape[2:] != self.image_shape or start.shape[1] > 2:
                raise ValueError(
                    f"The start must have the shape (batch, 1 or 2, *{self.image_shape}). "
                    f"Got {tuple(start.shape)} instead."
                )
            data.start_image, *uncertainty = start.unbind(1)
            data.start_uncertainty = uncertainty[0] if uncertainty else None
        return data

    def with_masks_of(self, y: torch.Tensor) -> ForwardMap:
        """Return the map with the mask of each image read from the NaN of `y`.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements; missing entries are NaN if masks vary, else 0.

        Returns
        -------
        A : ForwardMap
            The map itself if its masks do not vary.
        """
        return self

    def seen_pixels(self) -> torch.Tensor | None:
        """Return the pixels that the measurement depends on, or None if these may be all.

        Returns
        -------
        seen : tensor of bool, of shape (1 or batch, 1, height, width), or None
            A pixel counts as seen if one of its channels is.
        """
        return None

    def data_term(self, y: torch.Tensor) -> DataTerm:
        """Return the data fidelity of measurements whose missing entries are 0.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements; missing entries are 0.

        Returns
        -------
        data : DataTerm
            The data fidelity.
        """
        return DataTerm(self, y)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the result of `forward`, after checking that it is a batch of measurements.

        Raises
        ------
        ValueError
            If the result does not have the shape of measurements, or is not a real tensor.
        """
        try:
            y = super().__call__(x)
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

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        """Move and convert the map's tensors; complex tensors stay complex.

        Without this method, `torch.nn.Module.to` would drop imaginary parts when it converts to a
        real type. `torch.nn.Module.to` does not move tensors that are plain attributes, so these
        raise an error here.
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

    def _largest_singular_value(self, normal: TensorFunction, start: torch.Tensor) -> torch.Tensor:
        n_steps = min(_LANCZOS_STEPS, math.prod(self.image_shape))
        return largest_eigenvalue(normal, start, n_steps).clamp(min=0).sqrt()

    def _fixed_images(self, numbers: Callable[[Shape], np.ndarray]) -> torch.Tensor:
        """Return fixed images, one per mask, on the device and in the type of the map."""
        n = 1 if self.observed is None else len(self.observed)
        images = numbers((n, *self.image_shape))
        return torch.from_numpy(images).to(self.place)


class LinearMap(ForwardMap):
    """A linear map ``A``; a subclass writes `forward`, and may write a fast `adjoint`.

    Parameters
    ----------
    image_shape, measurement_shape, observed : object
        See `ForwardMap`.

    Attributes
    ----------
    has_closed_form : bool
        Whether the pseudo-inverse and the proximal step have a closed form.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import LinearMap
    >>> class Differences(LinearMap):
    ...     def forward(self, x):
    ...         return x.diff(dim=-1)
    >>> A = Differences(image_shape=(1, 1, 3), measurement_shape=(1, 1, 2))
    >>> A.adjoint(torch.tensor([[[[1.0, 10.0]]]]))
    tensor([[[[-1., -9., 10.]]]])
    """

    has_closed_form: bool = False

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``A' y``, shape ``(batch, *image_shape)``.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            Images.
        """
        origin = y.new_zeros(y.shape[0], *self.image_shape)
        return pulled_back(self, origin, y)

    def vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.adjoint(v)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x``.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Images.

        Returns
        -------
        z : tensor of shape (batch, *image_shape)
            Images.
        """
        return self.adjoint(self(x))

    def norm(self) -> torch.Tensor:
        """Return the largest singular value; if masks vary, the largest over the images.

        Lanczos' method on ``A' A`` from a fixed start computes it to a tenth of a percent.

        Returns
        -------
        norm : tensor of shape ()
            ``||A||``.
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
            values below the rounding error. If the matrix has more than 4 million entries, the
            result is ``(A' A + d I)^-1 A' y`` with ``d = max(rcond^2, eps) ||A||^2`` instead. The
            difference is negligible for singular values far above ``sqrt(d)``.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            The images.
        """
        if math.prod(self.image_shape) * math.prod(self.measurement_shape) > _DENSE_ENTRIES:
            d = max(rcond**2, torch.finfo(y.dtype).eps) * self.squared_norm
            return solve(self.normal, self.adjoint(y), y.new_tensor(d))
        matrix = self.explicit()
        rounding = max(matrix.shape[1:]) * torch.finfo(matrix.dtype).eps
        inverse = torch.linalg.pinv(matrix, rtol=max(rcond, rounding))
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
        return LinearDataTerm(self, y)


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
    name, expected = type(A).__name__, in_words(("batch", *A.measurement_shape))
    must = f"{name}.forward must return a tensor of shape {expected}"
    if not isinstance(y, torch.Tensor):
        return f"{must}. Got {described(y)} instead."
    if y.is_complex():
        return (
            f"{must} of real numbers. Got {described(y)} instead: torch.view_as_real(y) gives the "
            "real and imaginary parts as a last axis."
        )
    shape = tuple(y.shape[1:])
    hint = f"If this shape is right, pass measurement_shape={shape} to super().__init__."
    if y.shape == A.measurement_shape:
        hint = "The first axis must be the batch."
    return f"{must}. Got {tuple(y.shape)} for images of shape {tuple(x.shape)} instead. {hint}"
