"""Algorithms 1 and 2 with their weights, built for images of one shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from skmetainv.arrays import Tensors
from skmetainv.losses import Criterion
from skmetainv.meta.algorithm_1 import InnerLoop, adapt
from skmetainv.meta.algorithm_2 import meta_learn
from skmetainv.meta.algorithms import Adapt, Algorithm, Task
from skmetainv.meta.first_steps import sees_the_start, stable_steps
from skmetainv.meta.higher_engine import adapt_with_higher
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.reconstruction.chunks import equal_chunks, images_at_once
from skmetainv.reconstruction.restorer import Restore
from skmetainv.solvers.schedules import Numbers, scale_numbers
from skmetainv.training import TrainingLoop

# Implementations of Algorithm 1, by the name of the engine.
_ENGINES: dict[str, Adapt] = {"native": adapt, "higher": adapt_with_higher}


@dataclass(frozen=True)
class MetaLearner:
    """The weights, with the methods that train and adapt them.

    Parameters
    ----------
    A : ForwardMap
        The forward model.
    inner : InnerLoop
        The inputs of Algorithm 1.
    algorithm : Algorithm
        The method for the outer gradient.
    engine : {"native", "higher"}
        Implementation of Algorithm 1.
    theta, alpha : mapping of str to tensor
        The meta-parameter and the inner step sizes.
    tuned : {"all", "numbers"} or None
        Which parts of the solver are trained with ``theta``: all its weights, only its numbers, or
        nothing.
    begin : callable or None
        Restores, from measurements, the starts to which the representation is added.
    """

    A: ForwardMap
    inner: InnerLoop
    algorithm: Algorithm
    engine: str
    theta: Tensors
    alpha: Tensors
    tuned: str | None
    begin: Restore | None = None

    def parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return all weights, by part and by name."""
        f, tuned = self.inner.f, {"all": _parameters, "numbers": _numbers}
        return {
            "init": dict(self.theta),
            "inner_lr": dict(self.alpha),
            "inner_loss": self._of_inner_loss(),
            "solver": {} if self.tuned is None else tuned[self.tuned](f),
        }

    def _of_inner_loss(self) -> dict[str, torch.Tensor]:
        return {
            name.replace("objective.", ""): weight  # terms are nested
            for name, weight in _parameters(self.inner.loss).items()
            if weight.requires_grad
        }

    def load(self, weights: Mapping[str, Tensors]) -> None:
        """Load learned weights of the solver and the inner loss."""
        held = {"inner_loss": self._of_inner_loss(), "solver": _parameters(self.inner.f)}
        with torch.no_grad():
            for part, own in held.items():
                for name, weight in weights[part].items():
                    own[name].copy_(weight)

    def learn(self, loop: TrainingLoop, outer_loss: Criterion, batch_size: int) -> None:
        """Run Algorithm 2, see `skmetainv.meta.meta_learn`."""
        meta_learn(
            self.theta,
            self.alpha,
            self.A,
            self.inner,
            outer_loss,
            loop,
            self.algorithm,
            _ENGINES[self.engine],
            self._at_once(batch_size, learning=True),
        )

    def stages(self, y: torch.Tensor, batch_size: int, *start: torch.Tensor) -> list[torch.Tensor]:
        """Return the images of a batch of measurements before and after each inner step.

        If starts are not given, they are restored.
        """
        chunks = self._adapted(batch_size, y, *start)
        return [torch.cat(stage)[: len(y)] for stage in zip(*chunks, strict=True)]

    def restore(self, y: torch.Tensor, batch_size: int) -> torch.Tensor:
        """Return the images of a batch of measurements after all inner steps."""
        return torch.cat([stages[-1] for stages in self._adapted(batch_size, y)])[: len(y)]

    def _adapted(self, batch_size: int, *y: torch.Tensor) -> Iterator[Sequence[torch.Tensor]]:
        """Yield the stages of the images of a batch, chunk by chunk."""
        n, adapt_ = self._at_once(batch_size, learning=False), _ENGINES[self.engine]
        for y_i in zip(*(equal_chunks(tensor, n) for tensor in y), strict=True):
            given = y_i if len(y_i) > 1 or self.begin is None else (*y_i, self.begin(*y_i))
            data = self.A.bind(*given)
            yield adapt_(self.theta, self.alpha, data, self.inner, learning=False).stages

    def sees_the_start(self, pairs: Sequence[torch.Tensor], width: float) -> bool:
        """Return whether the solver's misfit depends on its start, see `sees_the_start`.

        Parameters
        ----------
        pairs : sequence of tensor
            Clean images, their measurements and, if an estimator restored them, their starts.
        width : float
            The width of the data range.
        """
        data = self.A.bind(*pairs[1:])
        return sees_the_start(self._first_images(data), data, self.inner, width)

    def stable_steps(
        self, batches: Iterable[Sequence[torch.Tensor]], criterion: Criterion
    ) -> list[float]:
        """Return the inner step sizes for the images of some batches, see `stable_steps`."""
        steps = []
        for batch in batches:
            n = self._at_once(len(batch[0]), learning=True)
            for x_i, *y_i in zip(*(tensor.split(n) for tensor in batch), strict=True):
                task = Task(x_i, self.A.bind(*y_i), criterion, epoch=0)
                inner = self.algorithm.trained_loop(self.inner, self.theta, task)
                steps += stable_steps(self.theta, task.data, inner)
        return steps

    def scale_numbers(
        self, batches: Iterable[Sequence[torch.Tensor]], criterion: Criterion
    ) -> None:
        """Scale the numbers of the solver to minimise the loss of its results on some batches."""
        f, known = self.inner.f, []
        for x, *y in batches:
            data = self.A.bind(*y)
            known.append((self._first_images(data), data, x, data.known(x)))

        def losses() -> torch.Tensor:
            return torch.cat([criterion(f(start, data), x, own) for start, data, x, own in known])

        scale_numbers(f, losses)

    def _first_images(self, data: DataTerm) -> torch.Tensor:
        """Return the images of the initial weights."""
        phi = self.inner.phi
        with torch.no_grad():
            return phi(self.theta, phi.condition(self.theta, data)).expand(len(data.y), -1, -1, -1)

    def _at_once(self, batch_size: int, *, learning: bool) -> int:
        """Return how many images to adapt together."""
        names = self.inner.adapted
        one_by_one = learning and self.algorithm.moves_shared and len(self.theta) > len(names)
        if self.engine == "higher" or one_by_one:
            return 1
        return images_at_once(
            batch_size,
            self.A.image_shape,
            self.theta[names[0]].device,
            n_own_weights=sum(self.theta[name].numel() for name in names),
            solved=self.inner.f is not no_solver,
        )


def _parameters(module: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of a module; a function has none."""
    return dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}


def _numbers(module: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of a solver that are numbers of its updates, not network weights."""
    schedules = {name for name, part in module.named_modules() if isinstance(part, Numbers)}
    named = _parameters(module)
    return {name: named[name] for name in named if name.rpartition(".")[0] in schedules}


def no_solver(x: torch.Tensor, data: DataTerm) -> torch.Tensor:
    """Return the start itself: the identity as ``f``."""
    return x
