"""An estimator that unrolls a classical solver and trains it end to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from skmetainv.arrays import as_array, to_numpy
from skmetainv.denoisers import DnCNN
from skmetainv.denoisers.nested import has_trained_denoiser
from skmetainv.estimators.from_start import FromStart
from skmetainv.estimators.solvers import counted_beside, ready_solver
from skmetainv.estimators.supervised import SupervisedReconstructor
from skmetainv.inputs import Geometry, Problem
from skmetainv.operators import DataTerm, ForwardMap, LinearMap
from skmetainv.parameters import NOT_NEGATIVE
from skmetainv.solvers import HQS, IterativeSolver, ProximalGradient, Solver

# The default solver: number of updates, and first and last noise level of its denoiser, relative to
# the width of the data range.
_N_UPDATES, _LEVELS = 5, (0.2, 0.01)
# The default learning rate, and that for a solver whose denoiser was trained before `fit`.
_LR, _FINE_TUNING_LR = 3e-3, 3e-4


class UnrolledReconstructor(FromStart, SupervisedReconstructor):
    """Restore images by a classical solver whose updates are trained end to end.

    ``x = f_w(start, y)``: the solver's `n_iter` updates are the layers of a network. Its weights
    ``w`` are the weights of the denoiser, and the solver's penalties, step sizes and noise levels.
    `fit` learns them::

        min_w mean_i loss(f_w(start_i, y_i), x_i)

    Before training, the estimator equals `ClassicalReconstructor` with the same solver. Images of
    any size can be restored, see `predict`. A large image cannot be restored tile by tile, because
    the operator couples all pixels in every update.

    Parameters
    ----------
    solver : Solver, default=None
        The solver ``f``. None is five updates of `HQS` (`ProximalGradient` if the operator is
        nonlinear) with a `DnCNN` of 5 convolutions and 24 channels; the noise levels and the
        penalties (or step size) are learned, too.

        Training changes the weights of the solver's denoiser, if it has any. It also changes the
        numbers named by the solver's `learnable` parameter. If `learnable` is empty, it changes all
        numbers that are set. (A number that is None is not set: `rho` of `HQS`, by default.) If a
        parameter has one number per update, each of these numbers is learned.

        A learned denoiser is first fitted on the clean images. If it is in a `FrozenEstimator` or
        has `weights`, training starts from its weights instead. Training works on copies of the
        solver and its denoiser, and does not enforce the denoiser's `spectral_norm`.
    start : {"adjoint", "pseudo_inverse", "measurement", "zeros"} or array-like, default="adjoint"
        The image from which the solver starts, see `ClassicalReconstructor`.
    lr : float, default=None
        Learning rate. None is 3e-3. If the solver's denoiser is already trained (frozen, or with
        `weights`), None is 3e-4, so that the denoiser changes little.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The learned values, with the prefix ``solver.``: the denoiser's weights, and logarithms of
        the solver's numbers. `MetaInverseSolver` uses the same names for a tuned solver.
    history_ : dict of str to list
        For each finished epoch: ``loss`` (the mean over images), ``validation_psnr`` (if there are
        validation images), ``learning_rate`` and ``seconds``.
    n_epochs_ : int
        Number of epochs trained.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    operator_, solver_, start_ : object
        Copies of the parameters with which the weights were learned. The denoiser of `solver_` has
        the weights from before training; the trained weights are in ``weights_``.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    References
    ----------
    Gregor and LeCun, "Learning fast approximations of sparse coding", ICML, 2010.

    Monga, Li and Eldar, "Algorithm unrolling: interpretable, efficient deep learning for signal and
    image processing", IEEE Signal Processing Magazine, 2021.

    Examples
    --------
    >>> from skmetainv import UnrolledReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.denoisers import DnCNN
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import HQS
    >>> faces = load_faces()
    >>> denoiser = DnCNN(noise_level=0.05, depth=3, width=8, max_epochs=1)
    >>> est = UnrolledReconstructor(
    ...     GaussianBlur(sigma=1.0), HQS(denoiser, n_iter=3), noise=0.01, max_epochs=1
    ... )
    >>> measured = est.simulate(faces[:3], random_state=0)
    >>> est.fit(faces[3:]).predict(measured).shape
    (3, 25, 25)
    """

    _: KW_ONLY
    lr: float | None = None  # type: ignore[assignment]

    _parameter_constraints = {
        **FromStart._parameter_constraints,
        **SupervisedReconstructor._parameter_constraints,
        "lr": [NOT_NEGATIVE, None],
    }

    def _weight_holders(self) -> list[Any]:
        return [self.weights_, *counted_beside(self.weights_, self.solver_)]

    def _initialize(self, problem: Problem) -> None:
        chosen = self.solver
        if chosen is None:
            chosen = default_solver(problem.A, problem.geometry.data_range)
        self.solver_ = ready_solver(chosen, problem, self, self._seed_)
        self.start_ = self.start if isinstance(self.start, str) else np.array(as_array(self.start))
        G = self._module(problem.geometry, problem.A).to(self._dtype())
        self.weights_ = to_numpy(dict(G.named_parameters()))
        if not self.weights_ or not G.solver.n_iter:
            raise ValueError(
                "The 'solver' parameter must have something to learn: at least one update, and a "
                "denoiser with weights or numbers named by 'learnable'. Got "
                f"{self.solver!r} instead."
            )

    def _learning_rate(self) -> float:
        if self.lr is not None:
            return self.lr
        trained = self.solver is not None and has_trained_denoiser(self.solver)
        return _FINE_TUNING_LR if trained else _LR

    def _module(self, geometry: Geometry, A: ForwardMap) -> _Unrolled:
        f = self.solver_.trainable().build(geometry.tensor_shape)
        return _Unrolled(f, partial(self._first_images, self.start_, geometry=geometry))


def default_solver(A: ForwardMap, data_range: tuple[float, float]) -> Solver:
    """Return the solver that is unrolled for ``solver=None``.

    Parameters
    ----------
    A : ForwardMap
        The operator's map.
    data_range : (float, float)
        The least and the largest value of images; noise levels are relative to its width.
    """
    width = data_range[1] - data_range[0]
    levels = (width * np.geomspace(*_LEVELS, _N_UPDATES)).tolist()
    denoiser = DnCNN(
        noise_level=(levels[-1], levels[0]),
        depth=5,
        width=24,
        noise_level_input=True,
        lr=2e-3,
    )
    if isinstance(A, LinearMap):
        return HQS(
            denoiser,
            n_iter=_N_UPDATES,
            noise_level=levels,
            measurement_noise=levels[-1],
            learnable=("rho", "noise_level"),
        )
    learnable = ("step_size", "noise_level")
    return ProximalGradient(denoiser, n_iter=_N_UPDATES, noise_level=levels, learnable=learnable)


class _Unrolled(nn.Module):
    def __init__(self, f: IterativeSolver, start: Callable[[DataTerm], torch.Tensor]):
        super().__init__()
        self.solver, self.start = f, start

    def forward(self, data: DataTerm) -> torch.Tensor:
        return self.solver(self.start(data), data)
