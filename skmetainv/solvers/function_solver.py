"""A user's own update as a solver."""

import copy
from collections.abc import Callable
from dataclasses import KW_ONLY

import torch
from torch import nn

from skmetainv.exceptions import concerning
from skmetainv.operators import DataTerm
from skmetainv.parameters import Function
from skmetainv.solvers.base import Solver
from skmetainv.solvers.iterative import IterativeSolver, State


class FunctionSolver(Solver):
    """A solver whose update is a function or a `torch.nn.Module`.

    Parameters
    ----------
    function : callable
        ``function(x, data)`` returns the images after one update. It must be written in torch and
        treat each image on its own. `data` is a `skmetainv.operators.DataTerm`. If `function` is a
        module, a copy in evaluation mode is used, and training may change the copy's weights.
    n_iter : int, default=1
        Number of updates.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.solvers import FunctionSolver
    >>> f = FunctionSolver(lambda x, data: data.prox(0.5 * x, 1.0), n_iter=1).build((1, 1, 1))
    >>> f(torch.ones(1, 1, 1, 1), Identity().build((1, 1, 1)).bind(torch.ones(1, 1, 1, 1)))
    tensor([[[[0.7500]]]])
    """

    function: Callable[[torch.Tensor, DataTerm], torch.Tensor]
    _: KW_ONLY
    n_iter: int = 1

    _parameter_constraints = {**Solver._parameter_constraints, "function": [Function()]}

    def build(self, image_shape: tuple[int, ...]) -> IterativeSolver:
        update = self.function
        if isinstance(update, nn.Module):
            update = copy.deepcopy(update).eval()
        return _FunctionSolver(self.n_iter, update)


class _FunctionSolver(IterativeSolver):
    def __init__(self, n_iter: int, update: Callable[[torch.Tensor, DataTerm], torch.Tensor]):
        super().__init__(n_iter)
        self.update = update

    def step(self, state: State, data: DataTerm, k: int) -> State:
        (x,) = state
        with concerning("the 'function' parameter of FunctionSolver"):
            return (self.update(x, data),)
