"""What Algorithm 2 may put in the place of lines 6 to 12: how the outer gradient is found."""

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
    "inner_lr": "The step sizes were learned as {1!r} says, and the algorithm {0} has no gradient "
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
    """The images of a batch whose outer gradient is asked for, and what is known of them.

    Parameters
    ----------
    x : tensor of shape (batch, channels, height, width)
        Clean images ``x_i``; NaN where a pixel is not known.
    data : DataTerm
        Their measurements ``y_i`` under the forward model ``A``.
    outer_loss : callable
        ``L_outer`` between reconstructions and clean images, one value per image.
    epoch : int
        Number of epochs seen before.
    """

    x: torch.Tensor
    data: DataTerm
    outer_loss: Criterion
    epoch: int

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``L_outer`` of reconstructions, over the pixels that are known."""
        return self.outer_loss(x, self.x, self.data.known(self.x))


class OuterLosses(NamedTuple):
    """What an outer gradient was found with."""

    outer: torch.Tensor
    """What is minimised, shape ``(batch,)``."""
    inner: torch.Tensor
    """What the inner steps descended, before each of them, shape ``(batch, m)``."""


class Algorithm(ParameterObject):
    """A meta-learning algorithm: hyper-parameters; a subclass writes `add_gradients`.

    Parameters
    ----------
    engine : {"native", "higher"}, default="native"
        What runs the inner steps, in training and in prediction: our own code, or the library
        `higher`, one image at a time, which gives the same numbers.

    Attributes
    ----------
    learns : tuple of str
        What it finds gradients of, beside ``theta``: "inner_lr" (step sizes), "inner_loss" (weights
        of the inner loss), "solver", "encoder" and "refiner" (of a conditioned start).
    second_order : bool
        Whether inner gradients are differentiated.
    moves_shared : bool
        Whether, in training, every image moves the weights that prediction shares, too.
    keeps_steps : bool
        Whether the graph of the inner steps is kept, to be differentiated.
    prox : float or None
        Weight of the proximal term of `objective`, None without one.
    recompute : bool
        Whether inner steps are computed again in the backward pass.
    """

    _: KW_ONLY
    engine: str = "native"

    learns: ClassVar[tuple[str, ...]] = ("inner_lr", "inner_loss", "solver", "encoder", "refiner")
    second_order = True
    moves_shared = False
    keeps_steps = True
    prox = cast("float | None", None)
    recompute = False
    _parameter_constraints = {"engine": [StrOptions({"native", "higher"})]}

    @property
    def rule(self) -> StepSizeRule:
        """How the inner step sizes are learned; here they are not."""
        return FixedStepSize()

    def objective(self, loss: InnerObjective) -> InnerObjective:
        """Return what the inner steps descend, in training and in prediction."""
        return loss

    def check(self, m: int, learned: Mapping[str, Any]) -> None:
        """Check the hyper-parameters, for `m` inner steps, and that all gradients can be found.

        Parameters
        ----------
        m : int
            Number of inner steps.
        learned : mapping of str to object
            What is to be learned, by the names of `learns`, and the parameter that says so.
        """
        self._validate_params()
        for part, asked in learned.items():
            if part not in self.learns:
                raise ValueError(_WITHOUT_GRADIENT[part].format(self, asked))

    def trained_loop(self, inner: InnerLoop, theta: Tensors, task: Task) -> InnerLoop:
        """Return the inner loop that training runs, where it is not that of prediction."""
        return inner

    def add_gradients(
        self, theta: Tensors, alpha: Tensors, task: Task, inner: InnerLoop, adapt: Adapt
    ) -> OuterLosses:
        """Add the outer gradients of some images to those of the weights.

        Parameters
        ----------
        theta, alpha : mapping of str to tensor
            The meta-parameter and the inner step sizes; the gradients, sums over the images, are
            added to `grad` of those that are learned.
        task : Task
            The images.
        inner : InnerLoop
            What Algorithm 1 requires.
        adapt : callable
            Algorithm 1, see `skmetainv.meta.adapt`.

        Returns
        -------
        losses : OuterLosses
            For the history.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define add_gradients.")


#: Algorithm 1, by an engine.
Adapt: TypeAlias = Callable[..., Adaptation]


def by_step(losses: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Return inner losses, one row per image; without inner steps the rows are empty."""
    stacked: Any = torch.stack(losses, dim=1) if losses else like.new_empty(len(like), 0)
    return stacked.detach()
