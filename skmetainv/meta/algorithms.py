"""Methods for the outer gradient, lines 6 to 12 of Algorithm 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias, cast

import torch

from skmetainv.arrays import Tensors
from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import Adaptation, InnerLoop
from skmetainv.meta.inner_loss import InnerObjective
from skmetainv.meta.step_sizes import FixedStepSize, StepSizeRule
from skmetainv.operators import DataTerm
from skmetainv.parameters import ParameterObject, StrOptions

_WITHOUT_GRADIENT = {
    "inner_lr": "The step sizes were learned with {1!r}, and the algorithm {0} has no gradient "
    "for them: it cannot train these weights further.",
    "inner_loss": "The 'learnable' parameter of InnerLoss must be empty with the algorithm {0}, "
    "which has no gradient for the inner loss.",
    "solver": "The 'tune_solver' parameter must be False with the algorithm {0}, which has no "
    "gradient for the solver.",
    "encoder": "The 'encoder' parameter of the representation must be None with the algorithm {0}, "
    "which has no gradient for it.",
    "refiner": "The 'refiner' parameter of the representation must be None with the algorithm {0}, "
    "which has no gradient for it.",
}


@dataclass(frozen=True)
class Task:
    """A batch of images, their measurements, and the outer loss to differentiate.

    Parameters
    ----------
    x : tensor of shape (batch, channels, height, width)
        Clean images ``x_i``, with NaN for unknown pixels.
    data : DataTerm
        Their measurements ``y_i`` under the forward model ``A``.
    outer_loss : callable
        ``L_outer`` between reconstructions and clean images, one value per image.
    epoch : int
        Number of finished epochs.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import L2
    >>> from skmetainv.meta import Task
    >>> from skmetainv.operators import Identity
    >>> x = torch.ones(2, 1, 3, 3)
    >>> A = Identity().build(image_shape=(1, 3, 3))
    >>> task = Task(x, A.bind(x), L2().build(data_range=(0.0, 1.0)), epoch=0)
    >>> task.loss(0.5 * x)
    tensor([0.2500, 0.2500])
    """

    x: torch.Tensor
    data: DataTerm
    outer_loss: Criterion
    epoch: int

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``L_outer`` of reconstructions, over the known pixels.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            Reconstructions.

        Returns
        -------
        loss : tensor of shape (batch,)
            One value per image.
        """
        return self.outer_loss(x, self.x, self.data.known(self.x))


class OuterLosses(NamedTuple):
    """The losses of one outer gradient.

    Examples
    --------
    The losses of two images that were adapted by three inner steps:

    >>> import torch
    >>> from skmetainv.meta import OuterLosses
    >>> losses = OuterLosses(outer=torch.tensor([0.1, 0.2]), inner=torch.ones(2, 3))
    >>> losses.outer.mean()
    tensor(0.1500)
    """

    outer: torch.Tensor
    """The outer loss, shape ``(batch,)``."""
    inner: torch.Tensor
    """The inner loss before each inner step, shape ``(batch, m)``."""


class Algorithm(ParameterObject):
    """The hyper-parameters of a meta-learning algorithm. A subclass implements `add_gradients`.

    Parameters
    ----------
    engine : {"native", "higher"}, default="native"
        Implementation of the inner steps, in training and in prediction. "native" is the library's
        own; "higher" uses the package `higher`, which adapts one image at a time. Both give the
        same result, up to rounding.

    Attributes
    ----------
    learns : tuple of str
        The parts besides ``theta`` for which `add_gradients` computes gradients: "inner_lr" (step
        sizes), "inner_loss" (weights of the inner loss), "solver", "encoder" and "refiner" (of a
        conditioned start).
    second_order : bool
        Whether inner gradients are differentiated.
    moves_shared : bool
        Whether training adapts all weights to each image, even those that stay fixed and shared in
        prediction.
    proximity : float or None
        Weight of the proximal term in `objective`; None without one.
    recompute : bool or float
        The share of the inner steps that is recomputed in the backward pass.

    Examples
    --------
    MAML with the squared outer losses, so that images with a large loss have more weight:

    >>> import torch
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.meta import Algorithm, OuterLosses
    >>> from skmetainv.operators import Inpainting
    >>> from skmetainv.representations import Siren
    >>> class SquaredLosses(Algorithm):
    ...     def add_gradients(self, theta, alpha, task, inner, adapt):
    ...         stages, losses, _ = adapt(theta, alpha, task.data, inner, learning=True)
    ...         outer = task.loss(stages[-1])
    ...         outer.square().sum().backward()
    ...         return OuterLosses(outer.detach(), torch.stack(losses, dim=1).detach())
    >>> small = {"init": Siren(width=8, depth=2), "max_epochs": 1}
    >>> est = MetaInverseSolver(Inpainting(), algorithm=SquaredLosses(), **small)
    >>> est.fit(load_faces()[:8]).n_epochs_
    1
    """

    _: KW_ONLY
    engine: str = "native"

    learns: ClassVar[tuple[str, ...]] = ("inner_lr", "inner_loss", "solver", "encoder", "refiner")
    second_order = True
    moves_shared = False
    proximity = cast("float | None", None)
    recompute = cast("bool | float", False)
    _parameter_constraints = {"engine": [StrOptions({"native", "higher"})]}

    @property
    def rule(self) -> StepSizeRule:
        """The rule for the inner step sizes; by default they are not learned."""
        return FixedStepSize()

    def objective(self, loss: InnerObjective) -> InnerObjective:
        """Return the objective of the inner steps, in training and in prediction.

        Parameters
        ----------
        loss : InnerObjective
            The inner loss.

        Returns
        -------
        objective : InnerObjective
            The inner loss, with what the algorithm adds to it.
        """
        return loss

    def check(self, m: int, learned: Mapping[str, Any]) -> None:
        """Check the hyper-parameters for `m` inner steps, and that all gradients can be computed.

        Parameters
        ----------
        m : int
            Number of inner steps.
        learned : mapping of str to object
            For each part to learn, named as in `learns`, the parameter that requests it.
        """
        self._validate_params()
        for part, asked in learned.items():
            if part not in self.learns:
                raise ValueError(_WITHOUT_GRADIENT[part].format(self, asked))

    def trained_loop(self, inner: InnerLoop, theta: Tensors, task: Task) -> InnerLoop:
        """Return the inner loop for training; by default `inner`, the one for prediction.

        Parameters
        ----------
        inner : InnerLoop
            The inner loop for prediction.
        theta : mapping of str to tensor
            All weights of the representation.
        task : Task
            The batch.

        Returns
        -------
        inner : InnerLoop
            The inner loop for training.
        """
        return inner

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
        """Add the outer gradients of a batch of images to the `grad` of the weights.

        Parameters
        ----------
        theta, alpha : mapping of str to tensor
            The meta-parameter and the inner step sizes. The gradients, summed over the images, are
            added to the `grad` of learned tensors.
        task : Task
            The images, their measurements and the outer loss.
        inner : InnerLoop
            The inputs of Algorithm 1.
        adapt : callable
            Algorithm 1, see `skmetainv.meta.adapt`.

        Returns
        -------
        losses : OuterLosses
            The losses, which are recorded in the history.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define add_gradients.")


#: An implementation of Algorithm 1, see `skmetainv.meta.adapt`.
Adapt: TypeAlias = Callable[..., Adaptation]


def by_step(losses: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Return inner losses, one row per image; without inner steps, rows are empty."""
    stacked: Any = torch.stack(losses, dim=1) if losses else like.new_empty(len(like), 0)
    return stacked.detach()
