"""An estimator that restores images by a classical solver alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skmetainv.denoisers.nested import learns_from_images
from skmetainv.estimators.from_start import FromStart
from skmetainv.estimators.solvers import ready_solver
from skmetainv.exceptions import warn
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.validation import check_device
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.maps.unsolved_systems import Watch, watched
from skmetainv.parameters import COUNT, NOT_NEGATIVE
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction.chunks import equal_chunks, images_at_once
from skmetainv.reconstruction.restorer import Restorer
from skmetainv.solvers import ConjugateGradient, IterativeSolver, Run


class SolverRecord(NamedTuple):
    """The convergence record of a solver, from ``predict(..., return_record=True)``.

    Attributes
    ----------
    n_iter : ndarray of int, shape (n,)
        Number of updates.
    changes : list of n ndarray
        The relative change ``||x_k+1 - x_k|| / max(||x_k||, ||x_k+1||)`` of each update.
    converged : ndarray of bool, shape (n,)
        Whether the image converged to the estimator's `tol`; False if `tol` is None.

    Examples
    --------
    >>> from skmetainv import ClassicalReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import GradientDescent
    >>> faces = load_faces()[:2]
    >>> est = ClassicalReconstructor(GaussianBlur(sigma=1.0), GradientDescent(), max_iter=3)
    >>> measured = est.simulate(faces, random_state=0)
    >>> _, record = est.fit(faces).predict(measured, return_record=True)
    >>> record.n_iter
    array([3, 3])
    >>> [len(changes) for changes in record.changes]
    [3, 3]
    """

    n_iter: np.ndarray
    changes: list[np.ndarray]
    converged: np.ndarray


class ClassicalReconstructor(FromStart):
    """Restore images by a classical solver, from a start computed from the measurement.

    ``x = f(start, y)``: the solver makes a fixed number of updates. With `tol`, it stops for each
    image once the image no longer changes. `fit` only records shapes, with one exception: if the
    solver has a learned denoiser that is not fitted yet, `fit` trains it on the clean images.

    `max_iter`, `tol` and `start` may be changed after `fit`. The operator and the solver stay
    those of `fit`; `predict` builds both for images of any size. A large image cannot be restored
    tile by tile, because the operator couples all pixels in every update. Memory is needed for a
    few images, for the operator and, if the denoiser is a network, for its activations.

    Parameters
    ----------
    solver : Solver, default=None
        The solver ``f``; None is ``ConjugateGradient()``, least squares.
    max_iter : int, default=None
        Maximum number of updates; None is the solver's own `n_iter`. In updates after `n_iter`,
        the solver's schedules repeat their last value.
    tol : float, default=None
        Relative tolerance: an image has converged once an update changes it by
        ``||x_k+1 - x_k|| <= tol max(||x_k||, ||x_k+1||)``. The left side includes the changes of
        the solver's multipliers and dual variables, in the images' units (see
        `skmetainv.solvers.IterativeSolver.run`). Each image stops on its own. If None, the solver
        always makes `max_iter` updates.
    start : {"adjoint", "pseudo_inverse", "measurement", "zeros"} or array-like, default="adjoint"
        The image from which the solver starts. "adjoint" is ``A' y / ||A||^2`` (see
        `skmetainv.operators.ForwardMap.norm`). "pseudo_inverse" is ``A^+ y``. "measurement" is
        ``y / ||A||``; the measurement must have the shape of an image. An array is one image, the
        start for all measurements, in the layout and the units of the images. Nonlinear operators
        do not support "adjoint" and "pseudo_inverse"; for them, "measurement" is ``y`` itself.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations. With "bfloat16", the matrix products in the
        solver's networks are bfloat16, and everything else is float32.

    Attributes
    ----------
    n_iter_ : int
        Always 1: `fit` tries one update on the first image.
    operator_, solver_ : object
        Copies of the parameters; the denoiser of `solver_` is fitted.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    Examples
    --------
    >>> from skmetainv import ClassicalReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import PrimalDual
    >>> faces = load_faces()
    >>> est = ClassicalReconstructor(
    ...     GaussianBlur(sigma=1.0), PrimalDual(weight=1e-3), max_iter=500, tol=1e-4, noise=0.01
    ... )
    >>> measured = est.simulate(faces[:3], random_state=0)
    >>> restored, record = est.fit(faces).predict(measured, return_record=True)
    >>> restored.shape
    (3, 25, 25)
    >>> bool(record.converged.all())
    True
    >>> bool((record.n_iter < 500).all())
    True
    """

    _: KW_ONLY
    max_iter: int | None = None
    tol: float | None = None

    _parameter_constraints = {
        **FromStart._parameter_constraints,
        "max_iter": [COUNT, None],
        "tol": [NOT_NEGATIVE, None],
    }

    def fit(self, X: Any, y: Any = None) -> Self:
        """Record the shapes of images, and try one update of the solver on the first image.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, on which a learned denoiser of the solver is fitted. All accepted arrays
            are in :doc:`/guide/data`. If `y` is given: measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` counts as labels and is ignored.

        Returns
        -------
        self : estimator
            The fitted estimator. After an error, it is unchanged.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if the arrays are not images, if the solver does
            not support the operator, or if its denoiser does not accept the images.

        Warns
        -----
        ConvergenceWarning
            If a step size of the solver is too large for the operator.
        """
        with self._fitting(X, y) as (fitted, problem):
            fitted._try(problem)
        return self

    def predict(
        self,
        X: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
        return_record: bool = False,
    ) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements. If the operator has missing values, missing entries are NaN. Complex
            measurements may be a complex array, without the last axis of real and imaginary parts.
            One measurement may come without the first axis, unless it is flat.
        operator : Operator or list of Operator, default=None
            The operator that took these measurements, or a list with one operator for each. Their
            measurements must have the same shape as in training. None is the fitted operator,
            unless that is a `RandomOperator`, which cannot restore.
        image_shape : tuple of int, default=None
            Height and width (and channels, as in training) of the images to restore. None is the
            shape of the training images. For another shape, the operator is built anew, and `X`
            must have the shape of the measurements of such images.
        return_record : bool, default=False
            Return the convergence record along with the images.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            Floats in the layout of the training images and the units of ``data_range_``. If `X` is
            one measurement, one image without the first axis. If `X` is a data frame, an ndarray,
            because scikit-learn's predictions are arrays, too.
        record : SolverRecord
            Only with ``return_record=True``. For each image: the number of updates, their relative
            changes, and whether the image converged.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of such measurements, or if images of `image_shape`
            cannot be restored: the estimator or its operator may only support the training shape.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
            If `tol` is not None, also if images did not converge to it.
        DataConversionWarning
            If measurements are in implausible units, or look like clean images.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        restorer = self._restorer(geometry)
        images = self._predicted(X, geometry, restorer, operator)
        return (images, restorer.record) if return_record else images

    # ------------------------------------------------------------------ fitting

    def _depends_on_images(self) -> bool:
        return self.solver is not None and learns_from_images(self.solver)

    def _weight_holders(self) -> list[Any]:
        return [self.solver_]

    def _try(self, problem: Problem) -> None:
        """Set the fitted attributes, and make one update of the solver on the first image."""
        seed = integer_seed(self.random_state)
        chosen = ConjugateGradient() if self.solver is None else self.solver
        self.solver_, self.n_iter_ = ready_solver(chosen, problem, self, seed), 1
        f = self._placed(self.solver_.build(problem.tensor_shape))
        data = self._first_batch(problem, seed).data
        with torch.no_grad(), watched(Watch(problem.operator)) as watch:
            start = self._first_images(self.start, data, problem.geometry)
            f.run(start, data, max_iter=1)
        if watch.n_unsolved:
            warn(watch.describe(), ConvergenceWarning)

    # ------------------------------------------------------------------ prediction

    def _restorer(self, geometry: Geometry) -> SolverRestorer:
        _, f = self._built(geometry)
        device = check_device(self.device)
        n = images_at_once(self.batch_size, geometry.tensor_shape, device)
        max_iter = f.n_iter if self.max_iter is None else self.max_iter

        @torch.no_grad()
        def run(y: torch.Tensor, A: ForwardMap) -> Run:
            data = A.bind(y)
            start = self._first_images(self.start, data, geometry)
            return f.run(start, data, max_iter, self.tol)

        return SolverRestorer(run, n, self.tol, self.operator_)

    def _build(self, geometry: Geometry, A: ForwardMap) -> IterativeSolver:
        return self._placed(self.solver_.build(geometry.tensor_shape))


class SolverRestorer(Restorer):
    """Restores images by a solver, and keeps the convergence record of each.

    Parameters
    ----------
    run : callable
        ``run(y, A)`` runs the solver on a batch of measurements by the map ``A``.
    n_at_once : int
        The number of images in such a batch.
    tol : float or None
        The relative change at which an image counts as converged.
    operator : Operator
        The operator of the measurements.
    """

    def __init__(
        self,
        run: Callable[[torch.Tensor, ForwardMap], Run],
        n_at_once: int,
        tol: float | None,
        operator: Operator,
    ):
        super().__init__(self._solved, operator)
        self.run, self.n_at_once, self.tol = run, n_at_once, tol
        self.changes: list[np.ndarray] = []
        self.converged: list[bool] = []

    def _solved(self, y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
        runs = [self.run(y_i, A) for y_i in equal_chunks(y, self.n_at_once)]
        self.changes += [np.array(changes) for run in runs for changes in run.changes][: len(y)]
        self.converged += [converged for run in runs for converged in run.converged][: len(y)]
        return torch.cat([run.x for run in runs])[: len(y)]

    @property
    def record(self) -> SolverRecord:
        """The convergence record of all images restored so far."""
        n_iter = np.array([len(changes) for changes in self.changes])
        return SolverRecord(n_iter, self.changes, np.array(self.converged))

    def warn_of_images(self) -> None:
        """Warn of images that are not finite, and of images that did not converge."""
        record = self.record
        finite = np.array([np.isfinite(of_image).all() for of_image in record.changes])
        n_images = len(finite)
        if not finite.all():
            warn(
                f"{(~finite).sum()} of {n_images} images have values that are not finite: they "
                f"were stopped, the first at update {record.n_iter[~finite].min()}. "
                "Smaller step sizes, or another start, may help.",
                ConvergenceWarning,
            )
        short = finite & ~record.converged
        if self.tol is not None and short.any():
            warn(
                f"{short.sum()} of {n_images} images did not converge to tol={self.tol:g} in "
                f"{record.n_iter.max()} updates: a larger max_iter may help.",
                ConvergenceWarning,
            )
