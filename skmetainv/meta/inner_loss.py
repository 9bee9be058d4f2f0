"""The inner loss: the data fidelity of equation 4 and optional further terms."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from skmetainv.arrays import Tensors
from skmetainv.denoisers import Denoiser
from skmetainv.denoisers.differences import gradient
from skmetainv.exceptions import concerning
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike, as_loss
from skmetainv.operators import DataTerm
from skmetainv.parameters import NOT_NEGATIVE, POSITIVE, ParameterObject, StrOptions, unfrozen
from skmetainv.solvers.schedules import Schedule

# Total variation is smoothed for differences below this share of the data range.
_TV_SMOOTHING = 1e-3
# The learning rate of logarithms: about one percent per step of Adam.
_LOGARITHM_LR = 0.01


class InnerLoss(ParameterObject):
    """Data fidelity, with an optional regulariser and an optional proximal term.

    ``L(theta_i) = fidelity(A(x), y) + weight R(x) + proximity / 2 ||theta_i - theta||^2``
    with ``x = f(phi_theta_i)``, or ``x = phi_theta_i`` (see `of`). For a linear operator, ``A(x)``
    and ``y`` are divided by ``||A||``, which is 1 for masks. The data fidelity is then in the units
    of the images. For a nonlinear operator, it is in the units of the measurement.

    Parameters
    ----------
    fidelity : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        The loss between ``A(x) / ||A||`` and ``y / ||A||``; "l2" is equation 4 of the paper,
        divided by ``||A||^2``.
    regularizer : "tv" or Denoiser, default=None
        ``R``. "tv" is the total variation of the reconstruction, a mean over pixels, smoothed to be
        infinitely differentiable. A denoiser ``D`` gives regularisation by denoising, ``x'(x -
        D(x)) / (2 n)`` over the ``n`` pixels; autograd computes its exact gradient. A learned
        denoiser that is not fitted is fitted by the estimator's `fit`. Both regularisers are in
        units of the data range.
    weight : float, default=0.01
        Weight of the regulariser, positive.
    proximity : float, default=None
        Weight of the squared distance between adapted and initial weights, positive; None omits
        the term.
    of : {"auto", "result", "start"}, default="auto"
        The image whose loss is taken: the solver's result ``x = f(phi_theta_i)``, as in the paper,
        or its start ``x = phi_theta_i``. If a solver fits the data closely by itself, its result
        has almost no misfit left to reduce. "start" then reduces the misfit of the start instead,
        and the inner steps do not run the solver. "auto" decides by a test on the first training
        images: it changes their starts, and computes ``||A dx||^2`` for the changes ``dx`` of the
        starts and of the results. It chooses "start" if the value for the results is at most 0.5 %
        of that for the starts.
    learnable : sequence of {"weight", "proximity"}, default=()
        Which of the two weights are trained with ``theta``. Their logarithms are trained, so that
        they stay positive.
    lr : float, default=None
        Learning rate of these logarithms; None is 0.01.

    References
    ----------
    Romano, Elad and Milanfar, "The little engine that could: regularization by denoising (RED)",
    SIAM Journal on Imaging Sciences, 2017.

    Rajeswaran, Finn, Kakade and Levine, "Meta-learning with implicit gradients", NeurIPS, 2019.

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import InnerLoss
    >>> est = MetaInverseSolver(inner_loss=InnerLoss(regularizer="tv", learnable=("weight",)))
    """

    fidelity: LossLike = "l2"
    _: KW_ONLY
    regularizer: str | Denoiser | FrozenEstimator | None = None
    weight: float = 0.01
    proximity: float | None = None
    of: str = "auto"
    learnable: tuple[str, ...] = ()
    lr: float | None = None

    _parameter_constraints = {
        "fidelity": LOSS_CONSTRAINTS,
        "regularizer": [StrOptions({"tv"}), Denoiser, FrozenEstimator, None],
        "weight": [POSITIVE],
        "proximity": [POSITIVE, None],
        "of": [StrOptions({"auto", "result", "start"})],
        "learnable": [tuple, list],
        "lr": [NOT_NEGATIVE, None],
    }

    def build(
        self, image_shape: tuple[int, ...], data_range: tuple[float, float] = (0.0, 1.0)
    ) -> InnerObjective:
        """Build the loss for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.
        data_range : (float, float), default=(0.0, 1.0)
            The least and the largest value that images nominally have.

        Returns
        -------
        L : InnerObjective
            A module whose parameters are the learnable weights.
        """
        set_here = {"weight": self.regularizer is not None, "proximity": self.proximity is not None}
        for name in self.learnable:
            if not set_here.get(name):
                raise ValueError(
                    "The 'learnable' parameter of InnerLoss may name 'weight' if there is a "
                    f"regularizer, and 'proximity' if it is set. Got {name!r} instead."
                )
        if self.lr is not None and not self.learnable:
            raise ValueError(
                "The 'lr' parameter of InnerLoss must be None if 'learnable' is empty. Got "
                f"{self.lr!r} instead."
            )
        with concerning("the 'inner_loss' parameter or its 'fidelity'"):
            objective: InnerObjective = Fidelity(as_loss(self.fidelity).build(data_range))
        if self.regularizer is not None:
            R = self._regularizer(image_shape, data_range)
            weight = Schedule(self.weight, "weight" in self.learnable)
            objective = Regularized(objective, R, weight)
        if self.proximity is not None:
            weight = Schedule(self.proximity, "proximity" in self.learnable)
            objective = Proximal(objective, weight)
        return objective

    def learning_rate(self) -> float:
        """Return the learning rate of the logarithms of the weights.

        Returns
        -------
        learning_rate : float
            The rate.
        """
        return _LOGARITHM_LR if self.lr is None else self.lr

    def _regularizer(self, image_shape: tuple[int, ...], data_range: tuple[float, float]) -> Any:
        chosen = unfrozen(self.regularizer)
        if isinstance(chosen, str):
            return _SmoothedTotalVariation(data_range[1] - data_range[0])
        if not isinstance(chosen, Denoiser):
            raise ValueError(
                "The 'regularizer' parameter of InnerLoss must be None, 'tv', a Denoiser, or a "
                f"Denoiser in a FrozenEstimator. Got {self.regularizer!r} instead."
            )
        return _ByDenoising(chosen.build(image_shape).requires_grad_(False), data_range)


#: The constraints of a parameter for an inner loss.
INNER_LOSS_CONSTRAINTS = [*LOSS_CONSTRAINTS, InnerLoss]


def as_inner_loss(loss: Any) -> InnerLoss:
    """Return an `InnerLoss` as it is, but checked; wrap any other data fidelity in one."""
    if not isinstance(loss, InnerLoss):
        return InnerLoss(loss)
    loss._validate_params()
    return loss


class InnerObjective(nn.Module):
    """The objective of Algorithm 1; a subclass implements `forward`.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.meta import InnerLoss
    >>> from skmetainv.operators import Identity
    >>> data = Identity().build(image_shape=(1, 3, 3)).bind(torch.ones(2, 1, 3, 3))
    >>> L = InnerLoss("l2").build(image_shape=(1, 3, 3))
    >>> L(torch.full((2, 1, 3, 3), 0.5), data, theta_i={}, theta={})
    tensor([0.2500, 0.2500])
    """

    #: Whether the value depends on the image ``x`` only through ``A(x)``. Subclasses inherit it.
    sees_measurement_only: bool = False

    def forward(
        self, x: torch.Tensor, data: DataTerm, theta_i: Tensors, theta: Tensors
    ) -> torch.Tensor:
        """Return one value per image.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            The reconstructions ``f(phi_theta_i)``, or the starts ``phi_theta_i``.
        data : DataTerm
            The measurements under the forward model.
        theta_i : mapping of str to tensor
            The adapted weights, stacked along a first axis of images; for a single image, without
            this axis.
        theta : mapping of str to tensor
            The initial weights of the adaptation.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class Fidelity(InnerObjective):
    """The data fidelity ``L(A(x), y)``; "l2" is equation 4 of the paper, up to a factor."""

    sees_measurement_only = True

    def __init__(self, criterion: Criterion):
        super().__init__()
        self.criterion = criterion

    def forward(
        self, x: torch.Tensor, data: DataTerm, theta_i: Tensors, theta: Tensors
    ) -> torch.Tensor:
        return data.loss(x, self.criterion)


class Regularized(InnerObjective):
    """An objective plus ``weight R(x)``."""

    def __init__(self, objective: InnerObjective, R: nn.Module, weight: Schedule):
        super().__init__()
        self.objective, self.R, self.weight = objective, R, weight

    def forward(
        self, x: torch.Tensor, data: DataTerm, theta_i: Tensors, theta: Tensors
    ) -> torch.Tensor:
        return self.objective(x, data, theta_i, theta) + self.weight(0) * self.R(x)


class Proximal(InnerObjective):
    """An objective plus ``proximity / 2 ||theta_i - theta||^2``, over the adapted weights."""

    def __init__(self, objective: InnerObjective, proximity: Schedule):
        super().__init__()
        self.objective, self.proximity = objective, proximity
        self.sees_measurement_only = objective.sees_measurement_only

    def forward(
        self, x: torch.Tensor, data: DataTerm, theta_i: Tensors, theta: Tensors
    ) -> torch.Tensor:
        distance = sum(
            (theta_i[name] - theta[name]).reshape(-1, theta[name].numel()).square().sum(dim=1)
            for name in theta_i
        )
        return self.objective(x, data, theta_i, theta) + self.proximity(0) / 2 * distance


class _SmoothedTotalVariation(nn.Module):
    """``mean sqrt(|gradient|^2 + eps^2) - eps``, in units of the data range."""

    def __init__(self, width: float):
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squares = (gradient(x) / self.width).square().sum(0)
        smoothed = (squares + _TV_SMOOTHING**2).sqrt() - _TV_SMOOTHING
        return smoothed.flatten(1).mean(1)


class _ByDenoising(nn.Module):
    """``mean x (x - D(x)) / 2``, with images shifted and scaled to the data range [0, 1]."""

    def __init__(self, denoiser: nn.Module, data_range: tuple[float, float]):
        super().__init__()
        self.denoiser, self.low = denoiser, data_range[0]
        self.width = data_range[1] - data_range[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = (x - self.low) * (x - self.denoiser(x)) / self.width**2
        return product.flatten(1).mean(1) / 2
