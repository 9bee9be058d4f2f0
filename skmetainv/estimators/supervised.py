"""What estimators share that are one module, from measurements to images, trained end to end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import nn

from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.noise import Noise
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.parameters import Interval
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.geometry import Geometry, Problem, images_to_stack, in_equal_chunks
from skmetainv.training import TrainingLoop


class SupervisedReconstructor(TrainedReconstructor):
    """What the estimators have in common that learn to restore in one go.

    ``min_w mean_i loss(G_w(y_i), x_i)`` over the weights ``w`` of a module ``G``. A subclass writes
    `_initial_state` and `_module`.

    Parameters
    ----------
    noise : float or Noise, default=0.0
        Noise of simulated measurements; a number is the standard deviation of Gaussian noise, in
        the units of the measurement.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        What `fit` minimises between restored and clean images, see `skmetainv.losses`.
    lr : float, default=1e-3
        Learning rate.
    """

    _: KW_ONLY
    noise: float | Noise = 0.0
    loss: LossLike = "l2"
    lr: float = 1e-3

    _parameter_constraints = {
        **TrainedReconstructor._parameter_constraints,
        "loss": LOSS_CONSTRAINTS,
        "lr": [Interval(Real, 0, None, closed="left")],
    }

    @abstractmethod
    def _module(self, state: Mapping[str, Any], geometry: Geometry, A: ForwardMap) -> nn.Module:
        """Return the module ``G``, from data terms to images, its weights not set.

        Its parameters are what is learned, by the names of `weights_`.
        """

    # ------------------------------------------------------------------ training

    def _learning_rate(self) -> float:
        return self.lr

    def _training_loss(self) -> LossLike:
        return self.loss

    def _learner(self, problem: Problem, state: Mapping[str, Any], criterion: Criterion) -> Learner:
        A = problem.A
        G = self._with_weights(state, problem.geometry, A)
        weights = dict(G.named_parameters())

        def learn(loop: TrainingLoop) -> None:
            for x, y in loop:
                data = A.bind(y)
                loss = criterion(G(data), x, data.known(x))
                loss.sum().backward()
                loop.descend(loss=loss)

        return Learner(
            weights=weights,
            groups=[{"params": list(weights.values()), "lr": self._learning_rate()}],
            learn=learn,
            restore=partial(self._restored_by, G, A),
        )

    def _with_weights(
        self, state: Mapping[str, Any], geometry: Geometry, A: ForwardMap
    ) -> nn.Module:
        """Return the module with the weights of `state`, where everything is computed."""
        G = self._placed(self._module(state, geometry, A))
        with torch.no_grad():
            for name, weight in G.named_parameters():
                weight.copy_(torch.from_numpy(state["weights_"][name]))
        return G

    # ------------------------------------------------------------------ prediction

    def _build_parts(self, geometry: Geometry) -> dict[str, Any]:
        parts = super()._build_parts(geometry)
        return {**parts, "G": self._with_weights(vars(self), geometry, parts["A"])}

    def _reconstruct(self, y: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        parts = self._parts(geometry)
        return self._restored_by(parts["G"], parts["A"], y)

    def _restored_by(
        self, G: Callable[[DataTerm], torch.Tensor], A: ForwardMap, y: torch.Tensor
    ) -> torch.Tensor:
        """Return what a module makes of a batch of measurements."""
        n = images_to_stack(self.batch_size, A.image_shape, y.device)
        return in_equal_chunks(lambda y_i: G(A.bind(y_i)), y, n)
