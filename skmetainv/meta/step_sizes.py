"""Rules for the inner step size ``alpha``: what is learned, and what a step multiplies by."""

from collections.abc import Mapping

import torch

Tensors = Mapping[str, torch.Tensor]


class StepSizeRule:
    """A rule for ``alpha``; a subclass writes `initial` and `at`.

    Parameters
    ----------
    inner_lr : float
        The step size, or where every learned one begins.

    Attributes
    ----------
    learned : bool
        Whether Algorithm 2 learns the step sizes with ``theta``.
    """

    learned = True

    def __init__(self, inner_lr: float):
        self.inner_lr = inner_lr

    def initial(self, theta: Tensors, m: int) -> dict[str, torch.Tensor]:
        """Return the step sizes to begin training with, in float64, by name.

        Parameters
        ----------
        theta : mapping of str to tensor
            The weights that are adapted.
        m : int
            Number of inner steps to hold step sizes for, at least 1.
        """
        raise NotImplementedError

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        """Return the step size of weight `name` in step `k`; past the last one, the last."""
        raise NotImplementedError


class FixedStepSize(StepSizeRule):
    """One step size, not learned."""

    learned = False

    def initial(self, theta: Tensors, m: int) -> dict[str, torch.Tensor]:
        """Return the one number, see `StepSizeRule.initial`."""
        return {"alpha": torch.tensor(self.inner_lr, dtype=torch.float64)}

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        """Return the one number."""
        return alpha["alpha"]


class PerStep(StepSizeRule):
    """One step size per inner step, as in section 4.1.1 of the paper."""

    def initial(self, theta: Tensors, m: int) -> dict[str, torch.Tensor]:
        """Return one number per step, see `StepSizeRule.initial`."""
        return {"alpha": torch.full((m,), self.inner_lr, dtype=torch.float64)}

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        """Return the number of step `k`."""
        return _of_step(alpha["alpha"], k)


class PerParameter(StepSizeRule):
    """One step size per parameter and inner step, as in section 4.1.2 of the paper.

    Li et al. (2017), "Meta-SGD", learn one per parameter for all steps.
    """

    def initial(self, theta: Tensors, m: int) -> dict[str, torch.Tensor]:
        """Return one tensor per weight, a step first; see `StepSizeRule.initial`."""
        return {
            name: torch.full((m, *weight.shape), self.inner_lr, dtype=torch.float64)
            for name, weight in theta.items()
        }

    def at(self, alpha: Tensors, k: int, name: str) -> torch.Tensor:
        """Return the step sizes of weight `name` in step `k`."""
        return _of_step(alpha[name], k)


def _of_step(alpha: torch.Tensor, k: int) -> torch.Tensor:
    return alpha[min(k, len(alpha) - 1)]


#: The rules by the name that a user gives.
STEP_SIZE_RULES: dict[str, type[StepSizeRule]] = {
    "fixed": FixedStepSize,
    "per_step": PerStep,
    "per_parameter": PerParameter,
}
