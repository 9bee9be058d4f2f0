"""The data fidelity of a batch of measurements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from skmetainv.operators.maps.normal_equations import solve
from skmetainv.operators.maps.per_image import spread

if TYPE_CHECKING:
    from skmetainv.operators.maps.base import ForwardMap, LinearMap

#: The starts that `DataTerm.start` computes, by name. A solver can start from each of them.
STARTS = frozenset({"zeros", "measurement", "adjoint", "pseudo_inverse"})

#: The starts that a network can take as its input. "zeros" is left out, because it does not depend
#: on the measurement.
NETWORK_INPUTS = STARTS - {"zeros"}

#: The starts to which a network's image can be added: those that a linear operator computes by
#: mapping the measurement back to an image.
RESIDUALS = frozenset({"adjoint", "pseudo_inverse"})


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
    unmasked : ForwardMap
        The map before its masks were read; `A` if masks do not vary.
    start_image : tensor of shape (batch, channels, height, width) or None
        An image that another method restored from each measurement.
    start_uncertainty : tensor of shape (batch, channels, height, width) or None
        See `uncertainty`.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> data = Identity().build((1, 1, 2)).bind(torch.tensor([[[[1.0, 3.0]]]]))
    >>> data.gradient(torch.zeros(1, 1, 1, 2))
    tensor([[[[-1., -3.]]]])
    >>> data.prox(torch.zeros(1, 1, 1, 2), rho=1.0)
    tensor([[[[0.5000, 1.5000]]]])
    """

    start_image: torch.Tensor | None = None
    start_uncertainty: torch.Tensor | None = None

    def __init__(self, A: ForwardMap, y: torch.Tensor):
        self.A, self.y, self.unmasked = A, y, A

    @property
    def squared_norm(self) -> float | torch.Tensor:
        """``||A||^2`` of the map before masks are read, see `ForwardMap.norm`.

        If each image has its own instrument, it is a tensor of shape ``(batch, 1, 1, 1)``.
        """
        return self.unmasked.squared_norm

    def loss(self, x: torch.Tensor, criterion: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Return `criterion` between ``A(x)`` and ``y`` of each image, over the observed entries.

        If the map is linear, ``A(x)`` and ``y`` are divided by ``||A||``, see `in_image_units`.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Images.
        criterion : callable
            The function that `skmetainv.losses.Loss.build` returns.

        Returns
        -------
        loss : tensor of shape (batch,)
            One value per image.
        """
        return criterion(
            self.in_image_units(self.A(x)), self.in_image_units(self.y), self.A.observed
        )

    def in_image_units(self, y: torch.Tensor) -> torch.Tensor:
        """Return measurements in the units of the images; for nonlinear maps, `y` itself.

        Parameters
        ----------
        y : tensor of shape (batch, *measurement_shape)
            Measurements; missing entries are 0.

        Returns
        -------
        y : tensor of shape (batch, *measurement_shape)
            The measurements in these units.
        """
        return y

    def mean_squared_residuals(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``||A(x) - y||^2 / m`` of each image, over its `m` observed samples.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Images.

        Returns
        -------
        residuals : tensor of shape (batch,)
            One value per image.
        """
        squares = (self.A(x) - self.y).square().flatten(1)  # both are 0 where nothing is observed
        if self.A.observed is None:
            return squares.mean(1)
        return squares.sum(1) / self.A.observed.expand_as(self.y).flatten(1).sum(1)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``J_A(x)' (A(x) - y)``.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Images.

        Returns
        -------
        g : tensor of shape (batch, *image_shape)
            The gradient of ``1/2 ||A(x) - y||^2`` for each image.
        """
        return self.A.vjp(x, self.A(x) - self.y)

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        """Return ``argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2``, if the operator is linear.

        Parameters
        ----------
        z : tensor of shape (batch, *image_shape)
            The point to which the proximal term keeps the solution close.
        rho : float or tensor of shape () or (batch, 1, 1, 1)
            Penalty, positive; one for all images or one for each.

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            ``(A' A + rho I)^-1 (A' y + rho z)``, in closed form if there is one, else by conjugate
            gradients from the start `z`.

        Raises
        ------
        ValueError
            If the operator is nonlinear.
        """
        refusal = needs_linear("The proximal step", self.A)
        raise ValueError(f"{refusal} GradientDescent takes nonlinear operators.")

    def start(self, kind: str) -> torch.Tensor:
        """Return an image to start a solver from.

        Parameters
        ----------
        kind : str
            Name of the start. If the map is linear, all starts have the scale of images, for any
            scale of the measurements:

            - "zeros"
            - "measurement", if measurements have the shape of images: ``y / ||A||``, or ``y`` if
              the map is nonlinear
            - "adjoint": ``A' y / ||A||^2``, if the map is linear
            - "pseudo_inverse": ``A^+ y``, if the map is linear
            - "given": the `start_image` that `ForwardMap.bind` received

        Returns
        -------
        x : tensor of shape (batch, *image_shape)
            The images.

        Raises
        ------
        ValueError
            If `kind` is unknown; if it is "adjoint" or "pseudo_inverse" and the map is nonlinear;
            if it is "measurement" and measurements do not have the shape of images; or if it is
            "given" and there is no start image.
        """
        if kind == "zeros":
            return self.y.new_zeros(self.y.shape[0], *self.A.image_shape)
        if kind == "measurement":
            if self.A.measurement_shape != self.A.image_shape:
                raise ValueError(
                    "The start 'measurement' needs measurements of the shape of images, "
                    f"{self.A.image_shape}. Got measurements of shape {self.A.measurement_shape}: "
                    "start from 'adjoint' or 'pseudo_inverse'."
                )
            return self.in_image_units(self.y)
        if kind == "given":
            if self.start_image is None:
                raise ValueError("The start 'given' needs A.bind(y, start).")
            return self.start_image
        if kind in ("adjoint", "pseudo_inverse"):
            raise ValueError(
                f"{needs_linear(f'The start {kind!r}', self.A)} Start from 'zeros', or from "
                "'measurement' if measurements are images."
            )
        raise ValueError(
            f"The start must be 'zeros', 'measurement', 'adjoint' or 'pseudo_inverse'. "
            f"Got {kind!r} instead."
        )

    def uncertainty(self) -> torch.Tensor:
        """Return the uncertainty of the start "given".

        Returns
        -------
        u : tensor of shape (batch, *image_shape)
            The standard deviation of the start's error, divided by that of the images: 0 where a
            pixel is known, 1 where the measurement tells nothing of it.

        Raises
        ------
        ValueError
            If `ForwardMap.bind` received none.
        """
        if self.start_uncertainty is None:
            raise ValueError(
                "The uncertainty needs A.bind(y, start), where start has it beside the image."
            )
        return self.start_uncertainty

    def known(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return where the clean images `x` are not NaN, or None if the operator has no mask.

        Parameters
        ----------
        x : tensor of shape (batch, *image_shape)
            Clean images.

        Returns
        -------
        known : tensor of bool of shape (batch, *image_shape), or None
            The mask.
        """
        return None if self.A.observed is None else ~x.isnan()

    def observed_pixels(self) -> torch.Tensor:
        """Return which pixels are observed.

        A pixel counts as observed if one of its channels is. If the operator has no mask of the
        image's height and width, all pixels count as observed.

        Returns
        -------
        observed : tensor of bool of shape (batch, 1, height, width)
            The mask.
        """
        observed, size = self.A.observed, self.A.image_shape[1:]
        if observed is None or self.A.measurement_shape[1:] != size:
            return torch.ones(len(self.y), 1, *size, dtype=torch.bool, device=self.y.device)
        return observed.expand(len(self.y), *self.A.measurement_shape).any(dim=1, keepdim=True)


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
                f"{in_words(('batch', *A.image_shape))}. Got {tuple(self.adjoint_y.shape)} for "
                f"measurements of shape {tuple(y.shape)} instead."
            )

    def in_image_units(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y / ||A||``; if ``||A||`` is 1, `y` itself."""
        squared_norm = self.squared_norm
        if isinstance(squared_norm, torch.Tensor):
            return y / spread(squared_norm.flatten().sqrt(), y.ndim)
        return y if squared_norm == 1 else y / math.sqrt(squared_norm)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A' A x - A' y``."""
        return self.A.normal(x) - self.adjoint_y

    def prox(self, z: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
        rho = torch.as_tensor(rho, dtype=z.dtype, device=z.device)
        return solve(self.A.normal, self.adjoint_y + rho * z, rho, start=z)

    def start(self, kind: str) -> torch.Tensor:
        """Return an image to start a solver from, see `DataTerm.start`."""
        if kind == "adjoint":
            return self.adjoint_y / self.squared_norm
        if kind == "pseudo_inverse":
            return self.A.pseudo_inverse(self.y)
        return super().start(kind)


def needs_linear(what: str, A: ForwardMap) -> str:
    """Return the error message about a nonlinear map where a linear one is needed."""
    return f"{what} needs a linear operator, but this one is nonlinear.{if_linear(A)}"


def if_linear(A: ForwardMap) -> str:
    """Return the hint on how to declare a map, or its nonlinear part, linear."""
    hints = (getattr(part, "if_linear", "") for part in A.modules())
    return next((f" {hint}" for hint in hints if hint), "")


def in_words(shape: tuple[Any, ...]) -> str:
    """Return a shape as the text of a tuple; some entries may be names."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
