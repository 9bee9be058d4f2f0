"""The iteration of a solver: it writes one update, and the library runs the loop."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple, TypeAlias

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skmetainv.exceptions import warn
from skmetainv.operators import DataTerm, ForwardMap, LinearMap
from skmetainv.operators.maps.per_image import spread
from skmetainv.parameters import described
from skmetainv.solvers.schedules import Schedule

#: The tensors that one update passes to the next, the images first. All have one row per image.
State: TypeAlias = tuple[torch.Tensor, ...]

# Step sizes of up to 2 percent above the bound get no warning: Lanczos' method computes norms to a
# tenth of a percent.
_NORM_TOLERANCE = 1.02


class Run(NamedTuple):
    """The result of `IterativeSolver.run`.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import GradientDescent
    >>> data = Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1))
    >>> f = GradientDescent(step_size=0.5).build((1, 1, 1)).float()
    >>> run = f.run(torch.zeros(1, 1, 1, 1), data, max_iter=20, tol=0.2)
    >>> run.x
    tensor([[[[0.8750]]]])
    >>> run.converged
    [True]
    """

    x: torch.Tensor
    """The images, shape ``(batch, channels, height, width)``."""
    changes: list[list[float]]
    """For each image, the relative change by each update, see `IterativeSolver.run`."""
    converged: list[bool]
    """For each image, whether the last change was within the tolerance."""


class IterativeSolver(nn.Module):
    """A solver's one update, and the loop that repeats it; a subclass writes `step`.

    Parameters
    ----------
    n_iter : int
        Number of updates that ``f(x, data)`` makes.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import IterativeSolver
    >>> class HalfSteps(IterativeSolver):
    ...     def step(self, state, data, k):
    ...         (x,) = state
    ...         return (x - 0.5 * data.gradient(x),)
    >>> data = Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1))
    >>> HalfSteps(n_iter=2)(torch.zeros(1, 1, 1, 1), data)
    tensor([[[[0.7500]]]])
    """

    def __init__(self, n_iter: int):
        super().__init__()
        self.n_iter = n_iter

    def init(self, x: torch.Tensor, data: DataTerm) -> State:
        """Return the first state: the images, then any other tensors that updates need.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            The start.
        data : DataTerm
            The data fidelity.

        Returns
        -------
        state : tuple of tensor
            The first state.
        """
        return (x,)

    def step(self, state: State, data: DataTerm, k: int) -> State:
        """Return the state after one update.

        Parameters
        ----------
        state : tuple of tensor
            The images, shape (batch, channels, height, width), and other tensors that updates need.
        data : DataTerm
            The data fidelity.
        k : int
            Index of the update, from 0.

        Returns
        -------
        state : tuple of tensor
            The next state, with the same number of tensors.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step.")

    def scales(self, k: int, data: DataTerm) -> tuple[float, ...]:
        """Return factors that convert changes of the state's entries to the images' units.

        The change of each entry by update `k` is multiplied by its factor. An entry with factor 0
        need not converge. Missing factors are 1.

        Parameters
        ----------
        k : int
            Index of the update, from 0.
        data : DataTerm
            The data fidelity.

        Returns
        -------
        scales : tuple of float
            The factors.
        """
        return (1.0,)

    def check(self, A: ForwardMap) -> None:
        """Warn if the solver may fail with the operator `A`; the base class never warns.

        Parameters
        ----------
        A : ForwardMap
            The map.
        """

    def forward(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return the images after `n_iter` updates.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            The start.
        data : DataTerm
            The data fidelity.

        Returns
        -------
        x : tensor of shape (batch, channels, height, width)
            The result.
        """
        state = self._checked_init(x, data)
        for k in range(self.n_iter):
            state = self._checked_step(state, data, k)
        return state[0].to(x.dtype)  # an update may compute in double precision

    def run(self, x: torch.Tensor, data: DataTerm, max_iter: int, tol: float | None = None) -> Run:
        """Run the solver until the images have converged, or for `max_iter` updates.

        Each image stops on its own, when its relative change
        ``||x_k+1 - x_k|| / max(||x_k||, ||x_k+1||)`` is at most `tol`, or is not finite.
        Multipliers and dual variables may still change when the image no longer does. The change
        that is compared with `tol` therefore includes theirs, as the root of the sum of squares.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            The start.
        data : DataTerm
            The data fidelity.
        max_iter : int
            Largest number of updates. Shorter schedules continue with their last number.
        tol : float, default=None
            Relative change at which an image has converged. If None, `max_iter` updates are made.

        Returns
        -------
        run : Run
            The images, their changes, and which have converged.
        """
        state = self._checked_init(x, data)
        tolerance = (
            -1.0 if tol is None else tol
        )  # -1 disables the test, because changes are at least 0
        norms = _norms(state[0])
        changes: list[list[float]] = [[] for _ in x]
        converged = torch.zeros(len(x), dtype=torch.bool)
        going = ~converged
        for k in range(max_iter):
            new_state = self._checked_step(state, data, k)
            new_norms = _norms(new_state[0])
            sizes = norms.maximum(new_norms)
            sizes[sizes == 0] = 1.0
            image_changes = state_changes = _norms(new_state[0] - state[0]) / sizes
            # The change of the whole state is at least that of the image: it is computed only if
            # it decides.
            if (image_changes <= tolerance)[going].any():
                state_changes = _distances(state, new_state, self.scales(k, data)) / sizes
            state = new_state if going.all() else _where(going, new_state, state)
            norms = new_norms  # those of images that have stopped are not used again
            for i in going.nonzero().flatten().tolist():
                changes[i].append(float(image_changes[i]))
            converged |= going & (state_changes <= tolerance)
            going &= (image_changes < inf) & ~converged
            if not going.any():
                break
        return Run(state[0].to(x.dtype), changes, converged.tolist())

    def _checked_init(self, x: torch.Tensor, data: DataTerm) -> State:
        """Return the result of `init`, after checking that it is a state."""
        state = self.init(x, data)
        _check_state(state, x, f"{type(self).__name__}.init")
        return state

    def _checked_step(self, state: State, data: DataTerm, k: int) -> State:
        """Return the result of `step`, after checking that it is a state like the one before."""
        new_state = self.step(state, data, k)
        _check_state(new_state, state[0], f"{type(self).__name__}.step")
        if len(new_state) != len(state):
            raise ValueError(
                f"{type(self).__name__}.step must return a state of {len(state)} entries, like the "
                f"state that `init` returns. Got {len(new_state)} entries instead."
            )
        return new_state


def _check_state(state: Any, x: torch.Tensor, method: str) -> None:
    """Raise an error unless a method's result is a tuple that begins with the images."""
    if not isinstance(state, tuple) or not state:
        raise TypeError(
            f"{method} must return a state, a tuple of tensors with the images first, as in "
            f"`return (x,)`. Got {described(state)} instead."
        )
    if not isinstance(state[0], torch.Tensor) or state[0].shape != x.shape:
        raise ValueError(
            f"The state that {method} returns must begin with the images, a tensor of shape "
            f"{tuple(x.shape)}. Got {described(state[0])} instead."
        )


@torch.no_grad()
def warn_of_step_size(
    step_size: Schedule,
    A: ForwardMap,
    owner: str,
    *,
    factor: float = 2.0,
    curvature: Schedule | None = None,
) -> None:
    """Warn about the first step size above ``factor / (||A||^2 + curvature)``.

    There is no warning for a nonlinear map.
    """
    if not isinstance(A, LinearMap):
        return
    squared_norm = A.squared_norm
    for k in range(max(len(step_size), 0 if curvature is None else len(curvature))):
        step, added = float(step_size(k, A)), 0.0 if curvature is None else float(curvature(k, A))
        if step * (squared_norm + added) > _NORM_TOLERANCE * factor:
            plus = f" + {added:g}" if added else ""
            warn(
                f"The 'step_size' parameter of {owner} is {step:g}, above {factor:g} / "
                f"(||A||^2{plus}) = {factor / (squared_norm + added):.4g} for this operator. "
                "Above this bound, convergence is not assured and the updates may diverge. The "
                "default scales with the operator's norm.",
                ConvergenceWarning,
            )
            return


def _distances(state: State, new_state: State, scales: tuple[float, ...]) -> torch.Tensor:
    """Return the length of each image's change of state, in the images' units."""
    factors = scales + (1.0,) * (len(state) - len(scales))
    moved = [
        factor * _norms(new - old)
        for new, old, factor in zip(new_state, state, factors, strict=True)
        if factor
    ]
    return _norms(torch.stack(moved, dim=1))


def _norms(x: torch.Tensor) -> torch.Tensor:
    """Return the norm of each entry of the first axis, in double precision on the CPU."""
    norms: torch.Tensor = torch.linalg.vector_norm(x.detach(), dim=tuple(range(1, x.ndim)))
    return norms.cpu().double()


def _where(going: torch.Tensor, new_state: State, state: State) -> State:
    """Return the new state of images that have not stopped, and the old state of the others."""
    mask = going.to(state[0].device)
    return tuple(
        torch.where(spread(mask, new.ndim), new, old)
        for new, old in zip(new_state, state, strict=True)
    )
