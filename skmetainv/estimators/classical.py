"""A classical solver alone, as an estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skmetainv.estimators.solvers import ready_solver
from skmetainv.estimators.starts import FromStart
from skmetainv.noise import Noise, as_noise
from skmetainv.operators import DataTerm, Operator
from skmetainv.operators.maps.verdicts import Watch, watched
from skmetainv.operators.operator import has_missing
from skmetainv.parameters import Interval
from skmetainv.randomness import integer_seed, training_generators
from skmetainv.reconstruction.base import Reconstruct
from skmetainv.reconstruction.geometry import Geometry, Problem, equal_chunks, images_to_stack
from skmetainv.solvers import ConjugateGradient, IterativeSolver, Run, Solver


class _Record(NamedTuple):
    """How the solver went on one image."""

    residuals: np.ndarray
    converged: bool

    @property
    def n_iter(self) -> int:
        return len(self.residuals)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.residuals).all())


class ClassicalReconstructor(FromStart):
    """Restore images by a classical solver, from a start that the measurement gives.

    ``x = f(start, y)``: a number of updates of the solver, or as many as it takes until an image no
    longer changes. `fit` learns nothing but shapes, unless the solver has a learned denoiser that
    is not fitted yet: this is fitted on the clean images.

    `max_iter`, `tol` and `start` may be changed after `fit`; the operator and the solver are those
    that were fitted.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising).
    solver : Solver, default=None
        The solver ``f``; None is ``ConjugateGradient()``, least squares.
    max_iter : int, default=None
        Most updates; None is the solver's own `n_iter`. Where it is more, schedules of the solver
        go on with their last number.
    tol : float, default=None
        An image has converged when an update changes it by no more than this share, ``||x_k+1 -
        x_k|| <= tol max(||x_k||, ||x_k+1||)``, multipliers and dual variables of the solver counted
        as well, in the images' units (see `skmetainv.solvers.IterativeSolver.run`). Each image
        stops on its own. None always makes `max_iter` updates.
    start : {"adjoint", "pseudo_inverse", "measurement", "zeros"} or array-like, default="adjoint"
        Where the solver starts: ``A' y / ||A||^2`` (see `skmetainv.operators.ForwardMap.norm`),
        ``A^+ y``, ``y`` itself where it has the shape of an image, zeros, or one image for all, in
        the layout and the units of the images. Nonlinear operators have the last three only.
    noise : float or Noise, default=0.0
        Noise of simulated measurements (`score`, `simulate`); a number is the standard deviation
        of Gaussian noise, in the units of the measurement.
    batch_size : int, default=5
        Images that are read, and on a GPU restored, at a time.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of flat images; with None they are
        square if they can be, else one row.
    data_range : float or (float, float), default=None
        The largest value of images, or the least and the largest. With None floats are
        nominally in [0, 1] and integers are divided by their type's maximum; otherwise all
        values are taken as they are.
    clip : (float, float), default=None
        Clip predictions to this range.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations; with "bfloat16" the solver's networks take their
        matrix products in it, and all the rest is float32.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device when there is one, else the CPU.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of masks and noise, and of the denoiser that `fit` fits.

    Attributes
    ----------
    n_iter_ : ndarray of int, shape (n,)
        Updates made, image by image, by the last call of `predict` or `score`; after `fit`, which
        tries one update on the first image, and after loading from disk, that one.
    residuals_ : list of ndarray
        The relative changes ``||x_k+1 - x_k|| / max(||x_k||, ||x_k+1||)`` by those updates, image
        by image.
    operator_, solver_ : object
        Copies of the parameters, the solver's denoiser fitted.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, where `X` was a data frame.

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
    >>> est.fit(faces).predict(measured).shape
    (3, 25, 25)
    >>> bool((est.n_iter_ < 500).all())
    True
    """

    _parameter_constraints = {
        **FromStart._parameter_constraints,
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="left"), None],
    }

    _cache: dict[Any, Any]
    _first_records: list[_Record]

    def __init__(
        self,
        operator: Operator | None = None,
        solver: Solver | None = None,
        *,
        max_iter: int | None = None,
        tol: float | None = None,
        start: Any = "adjoint",
        noise: float | Noise = 0.0,
        batch_size: int = 5,
        image_shape: tuple[int, ...] | None = None,
        data_range: float | tuple[float, float] | None = None,
        clip: tuple[float, float] | None = None,
        precision: str = "float32",
        device: str | torch.device = "auto",
        random_state: Any = None,
    ):
        self.operator = operator
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.start = start
        self.noise = noise
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.data_range = data_range
        self.clip = clip
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the shapes of images, and try one update of the solver on the first of them.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images, on which a learned denoiser of the solver is fitted. With `y`:
            measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` is taken for labels and ignored.

        Returns
        -------
        self : estimator
            Fitted. After an error it is as it was.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if the arrays are not images, or if the solver does
            not take the operator, or its denoiser not the images.

        Warns
        -----
        ConvergenceWarning
            If a step size of the solver is too large for the operator.
        """
        return self._fit(X, y, self._try)

    @property
    def n_iter_(self) -> np.ndarray:
        """Updates made, image by image."""
        return np.array([record.n_iter for record in self._last_records()])

    @property
    def residuals_(self) -> list[np.ndarray]:
        """Relative changes by those updates, image by image."""
        return [record.residuals for record in self._last_records()]

    def _last_records(self) -> list[_Record]:
        check_is_fitted(self)
        return self._cache.get("records", self._first_records)

    # ------------------------------------------------------------------ fitting

    def _try(self, problem: Problem) -> dict[str, Any]:
        """Return the fitted attributes, after one update of the solver on the first image."""
        seed = integer_seed(self.random_state)
        chosen = ConjugateGradient() if self.solver is None else self.solver
        solver = ready_solver(chosen, problem, self, seed)
        f = self._placed(solver.build(problem.geometry.images.tensor_shape))
        data = problem.A.bind(self._first_measurement(problem, seed))
        with torch.no_grad(), watched(Watch(problem.operator)) as watch:
            start = self._first_images(self.start, data, problem.geometry)
            run = f.run(start, data, max_iter=1)
        self._warn_of_unsolved(watch)
        return {"solver_": solver, "_first_records": _records(run)}

    def _first_measurement(self, problem: Problem, seed: int) -> torch.Tensor:
        first, allow_nan = np.array([0]), has_missing(problem.operator)
        if problem.measured is not None:
            return self._source(
                problem.measured, problem.geometry, measured=True, allow_nan=allow_nan
            ).read(first)
        x = self._source(problem.clean, problem.geometry, allow_nan=allow_nan).read(first)
        noise = as_noise(self.noise).build()
        return problem.A.simulate(x, noise, training_generators(seed, 0, first))

    # ------------------------------------------------------------------ prediction

    def _begin(self) -> tuple[Reconstruct, Callable[[int, int], None]]:
        records: list[_Record] = []
        return partial(self._reconstruct, records=records), partial(self._keep, records)

    def _reconstruct(self, y: torch.Tensor, records: list[_Record] | None = None) -> torch.Tensor:
        n = images_to_stack(self.batch_size, self._geometry_.images.tensor_shape, y.device)
        A, f = self._parts()["A"], self._parts()["f"]
        runs = [self._run(f, A.bind(y_i)) for y_i in equal_chunks(y, n)]
        if records is not None:
            records += [record for run in runs for record in _records(run)][: len(y)]
        return torch.cat([run.x for run in runs])[: len(y)]

    def _run(self, f: IterativeSolver, data: DataTerm) -> Run:
        max_iter = f.n_iter if self.max_iter is None else self.max_iter
        with torch.no_grad():
            start = self._first_images(self.start, data, self._geometry_)
            return f.run(start, data, max_iter, self.tol)

    def _build_parts(self, geometry: Geometry) -> dict[str, Any]:
        f = self.solver_.build(geometry.images.tensor_shape)
        return {**super()._build_parts(geometry), "f": self._placed(f)}

    def _keep(self, records: list[_Record], n_bad: int, n_images: int) -> None:
        """Keep how the images went, and warn of those that did not converge."""
        self._cache["records"] = records
        bad = [record.n_iter for record in records if not record.finite]
        if bad:
            warnings.warn(
                f"{len(bad)} of {len(records)} images have values that are not finite, the first "
                f"from update {min(bad)} on: they were stopped there. Smaller step sizes, or "
                "another start, may help.",
                ConvergenceWarning,
                stacklevel=3,
            )
        short = sum(record.finite and not record.converged for record in records)
        if self.tol is not None and short:
            warnings.warn(
                f"{short} of {len(records)} images did not converge to tol={self.tol:g} in "
                f"{max(record.n_iter for record in records)} updates: a larger max_iter may help.",
                ConvergenceWarning,
                stacklevel=3,
            )


def _records(run: Run) -> list[_Record]:
    return [_Record(np.array(r), c) for r, c in zip(run.residuals, run.converged, strict=True)]
