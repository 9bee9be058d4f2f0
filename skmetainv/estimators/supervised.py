"""Base class of estimators that train, end to end, one module from measurements to images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY
from functools import partial
from typing import Any

import torch
from torch import nn

from skmetainv.inputs import Geometry, Problem
from skmetainv.losses import LOSS_CONSTRAINTS, Criterion, LossLike
from skmetainv.noise import Noise
from skmetainv.operators import DataTerm, ForwardMap
from skmetainv.parameters import NOT_NEGATIVE
from skmetainv.reconstruction import Learner, TrainedReconstructor
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restorer
from skmetainv.training import TrainingLoop, backward


class SupervisedReconstructor(TrainedReconstructor):
    """Base class of estimators that train one module end to end.

    ``min_w mean_i loss(G_w(y_i), x_i)`` over the weights ``w`` of a module ``G``. A subclass
    implements `_initialize` and `_module`.

    Parameters
    ----------
    noise : float or Noise, default=0.0
        Noise of simulated measurements; a number is the standard deviation of Gaussian noise, in
        the units of the measurement.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        The loss between restored and clean images that `fit` minimises, see `skmetainv.losses`.
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
        "lr": [NOT_NEGATIVE],
    }

    @abstractmethod
    def _module(self, geometry: Geometry, A: ForwardMap) -> nn.Module:
        """Return the module ``G``, which maps data terms to images, with arbitrary weights.

        The names of the module's parameters are the keys of `weights_`.
        """

    # ------------------------------------------------------------------ training

    def _learning_rate(self) -> float:
        return self.lr

    def _training_loss(self) -> LossLike:
        return self.loss

    def _learner(self, problem: Problem, criterion: Criterion) -> Learner:
        G = self._build(problem.geometry, problem.A)
        weights = dict(G.named_parameters())

        def learn(loop: TrainingLoop) -> None:
            for batch in loop:
                data = batch.data
                loss = criterion(G(data), batch.x, data.known(batch.x))
                backward(loss.sum())
                loop.descend(loss=loss)

        return Learner(
            weights=weights,
            parameter_groups=[{"params": list(weights.values()), "lr": self._learning_rate()}],
            learn=learn,
            restore=partial(self._restored_by, G),
        )

    # ------------------------------------------------------------------ prediction

    def _build(self, geometry: Geometry, A: ForwardMap) -> nn.Module:
        """Return the module with `weights_`, on the estimator's device and in its precision."""
        G = self._placed(self._module(geometry, A))
        with torch.no_grad():
            for name, weight in G.named_parameters():
                weight.copy_(torch.from_numpy(self.weights_[name]))
        return G

    def _restorer(self, geometry: Geometry, **options: Any) -> Restorer:
        _, G = self._built(geometry)
        return Restorer(partial(self._restored_by, partial(G, **options)), self.operator_)

    def _restored_by(
        self, G: Callable[[DataTerm], torch.Tensor], y: torch.Tensor, A: ForwardMap
    ) -> torch.Tensor:
        """Return the images that a module restores from measurements by the map `A`."""
        n = images_at_once(self.batch_size, A.image_shape, y.device)
        return in_equal_chunks(lambda y_i: G(A.bind(y_i)), y, n)
