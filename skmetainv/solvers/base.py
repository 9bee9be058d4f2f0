"""The protocol of solvers: a solver writes one update, the driver owns the loop."""

import torch
from sklearn.base import BaseEstimator
from torch import nn

from skmetainv.operators import DataTerm


class Solver(BaseEstimator):
    """A classical, differentiable solver ``f``: hyper-parameters, no tensors.

    A subclass stores its hyper-parameters, `n_iter` among them, and writes `build`.
    """

    def build(self, image_shape: tuple[int, ...]) -> "IterativeSolver":
        """Return the solver for images of one shape.

        Parameters
        ----------
        image_shape : (int, int, int)
            Channels, height and width.

        Returns
        -------
        f : IterativeSolver
            A module; ``f(x, data)`` runs the solver from the images `x`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define build.")


class IterativeSolver(nn.Module):
    """A solver's one update, and the driver that repeats it; a subclass writes `step`.

    Parameters
    ----------
    n_iter : int
        How many updates ``f(x, data)`` makes.
    """

    def __init__(self, n_iter: int):
        super().__init__()
        self.n_iter = n_iter

    def step(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return the images after one update.

        Parameters
        ----------
        x : tensor of shape (batch, channels, height, width)
            The images before it.
        data : DataTerm
            The data fidelity, each image on its own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step.")

    def forward(self, x: torch.Tensor, data: DataTerm) -> torch.Tensor:
        """Return the images after `n_iter` updates."""
        for _ in range(self.n_iter):
            x = self.step(x, data)
        return x
