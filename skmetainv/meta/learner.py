"""Algorithms 1 and 2 with their weights, built for images of one shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from skmetainv.arrays import Tensors
from skmetainv.arrays.weights import INIT, INNER_LOSS, INNER_LR, SOLVER
from skmetainv.meta.algorithm_1 import InnerLoop, adapt
from skmetainv.meta.algorithms import Adapt, Algorithm
from skmetainv.meta.higher_engine import adapt_with_higher
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.operators.maps.base import Shape
from skmetainv.reconstruction.chunks import equal_chunks, images_at_once
from skmetainv.reconstruction.restorer import Restore
from skmetainv.solvers.schedules import Schedule
from skmetainv.training import Batch

# Implementations of Algorithm 1, by the name of the engine.
_ENGINES: dict[str, Adapt] = {"native": adapt, "higher": adapt_with_higher}


@dataclass(frozen=True)
class MetaLearner:
    """The weights, and all parts that train and adapt them.

    Parameters
    ----------
    theta, alpha : mapping of str to tensor
        The meta-parameter and the inner step sizes.
    image_shape : (int, int, int)
        Channels, height and width of an image.
    inner : InnerLoop
        The inputs of Algorithm 1.
    algorithm : Algorithm
        The method for the outer gradient, with the engine of Algorithm 1.
    tuned : {"all", "numbers"} or None
        Which of the solver's weights are trained with ``theta``: all, only its numbers, or none.
    restore_start : callable or None
        ``restore_start(y, A)`` restores starts from measurements. The network's image is added.
    batch_size : int
        The largest number of images that are adapted together. It changes speed and memory only.
    """

    theta: Tensors
    alpha: Tensors
    image_shape: Shape
    inner: InnerLoop
    algorithm: Algorithm
    tuned: str | None
    restore_start: Restore | None
    batch_size: int

    def weights_by_part(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return the weights by part (see `skmetainv.arrays.weights`) and by name.

        Those of the solver are the ones that are trained.
        """
        return {
            INIT: dict(self.theta),
            INNER_LR: dict(self.alpha),
            INNER_LOSS: self._of_inner_loss(),
            SOLVER: self._of_solver(),
        }

    def _of_solver(self) -> dict[str, torch.Tensor]:
        if self.tuned is None:
            return {}
        return _parameters(self.inner.f) if self.tuned == "all" else _numbers(self.inner.f)

    def _of_inner_loss(self) -> dict[str, torch.Tensor]:
        return {
            # The terms of the loss are nested modules; the names of weights must not show this.
            name.replace("objective.", ""): weight
            for name, weight in _parameters(self.inner.loss).items()
            # the weights of a regulariser's denoiser are frozen, so they are left out
            if weight.requires_grad
        }

    def parameter_groups(
        self, parts: Mapping[str, Tensors], rates: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups: one for each part and learning rate.

        Parameters
        ----------
        parts : mapping of str to mapping of str to tensor
            The weights to learn, by part and by name.
        rates : mapping of str to float
            The learning rate of each part. Some weights of ``theta`` have their own.
        """
        own_rates = self.inner.phi.own_rates
        tensors_of: dict[tuple[str, float], list[torch.Tensor]] = {}
        for part, tensors in parts.items():
            for name, tensor in tensors.items():
                rate = own_rates.get(name, rates[part]) if part == INIT else rates[part]
                tensors_of.setdefault((part, rate), []).append(tensor)
        return [{"params": params, "lr": rate} for (_, rate), params in tensors_of.items()]

    def load_modules(self, weights: Mapping[str, Tensors]) -> None:
        """Copy learned weights into the solver and the inner loss, which are modules."""
        held = {INNER_LOSS: self._of_inner_loss(), SOLVER: _parameters(self.inner.f)}
        with torch.no_grad():
            for part, tensors in held.items():
                for name, weight in weights[part].items():
                    tensors[name].copy_(weight)

    @property
    def adapt(self) -> Adapt:
        """The chosen implementation of Algorithm 1."""
        return _ENGINES[self.algorithm.engine]

    def restore(self, y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        """Return the images of measurements by the map `A` after all inner steps."""
        # The last stage runs the solver. The last chunk is padded.
        return torch.cat([stages[-1] for stages in self._stages_of_chunks(y, A)])[: len(y)]

    def stages(
        self, y: torch.Tensor, A: ForwardMap, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the images of measurements by the map `A` before and after each inner step.

        The shape is ``(batch, n_inner + 1, ...)``. Starts that are not given are restored.
        """
        by_stage = zip(*self._stages_of_chunks(y, A, start), strict=True)
        return torch.stack([torch.cat(stage)[: len(y)] for stage in by_stage], dim=1)

    def _stages_of_chunks(
        self, y: torch.Tensor, A: ForwardMap, start: torch.Tensor | None = None
    ) -> Iterator[Sequence[torch.Tensor]]:
        """Yield the stages of each chunk of measurements; restore starts that are not given."""
        n = self._at_once(learning=False)
        measured = (y,) if start is None else (y, start)
        for y_i, *start_i in zip(*(equal_chunks(t, n) for t in measured), strict=True):
            if not start_i and self.restore_start is not None:
                start_i = [self.restore_start(y_i, A)]
            data = A.bind(y_i, *start_i)
            yield self.adapt(self.theta, self.alpha, data, self.inner, learning=False).stages

    def in_chunks(self, batch: Batch) -> Iterator[Batch]:
        """Split a training batch into chunks that are adapted together."""
        return batch.chunks(self._at_once(learning=True))

    def first_images(self, data: DataTerm) -> torch.Tensor:
        """Return the images of the weights before any inner step."""
        phi = self.inner.phi
        with torch.no_grad():
            return phi(self.theta, phi.condition(self.theta, data)).expand(len(data.y), -1, -1, -1)

    def _at_once(self, *, learning: bool) -> int:
        """Return the number of images to adapt together."""
        names = self.inner.adapted
        one_by_one = learning and self.algorithm.moves_shared and len(self.theta) > len(names)
        if self.algorithm.engine == "higher" or one_by_one:
            return 1
        return images_at_once(
            self.batch_size,
            self.image_shape,
            self.theta[names[0]].device,
            n_weights_per_image=sum(self.theta[name].numel() for name in names),
        )


def _parameters(module: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of a module; a function has none."""
    return dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}


def _numbers(module: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of a solver that are numbers of its updates, not network weights."""
    schedules = {name for name, part in module.named_modules() if isinstance(part, Schedule)}
    named = _parameters(module)
    return {name: named[name] for name in named if name.rpartition(".")[0] in schedules}
