"""Where a classical solver starts that no network gives a start."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import ArraySource, as_array
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.first_look import look_at_images
from skmetainv.inputs.validation import check_images, check_shape
from skmetainv.noise import Noise
from skmetainv.operators import DataTerm, Operator
from skmetainv.parameters import StrOptions
from skmetainv.reconstruction import Reconstructor
from skmetainv.solvers import Solver


class FromStart(Reconstructor):
    """What the estimators have in common whose solver starts from what the measurement gives.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising).
    noise : float or Noise, default=0.0
        Noise of simulated measurements; a number is the standard deviation of Gaussian noise, in
        the units of the measurement.
    """

    operator: Operator | None = None
    solver: Solver | None = None
    _: KW_ONLY
    start: Any = "adjoint"
    noise: float | Noise = 0.0

    _parameter_constraints = {
        **Reconstructor._parameter_constraints,
        "solver": [Solver, None],
        "start": [StrOptions({"adjoint", "pseudo_inverse", "measurement", "zeros"}), "array-like"],
    }

    def _bound_to_size(self) -> str | None:
        start = getattr(self, "start_", self.start)  # what is trained keeps that of training
        if isinstance(start, str) or np.shape(as_array(start)) != self._geometry_.images.shape:
            return None
        return (
            f"The 'start' parameter is an image of shape {self._geometry_.images.shape}, where "
            "images of this shape only can start: start='zeros' and other names serve all sizes."
        )

    def _look_at(self, problem: Problem) -> None:
        super()._look_at(problem)
        if not isinstance(self.start, str):
            start = self._start_source(self.start, problem.geometry)
            look_at_images(start, problem.geometry.data_range)

    def _start_source(self, start: Any, geometry: Geometry) -> ArraySource:
        """Return the one image that is the start, checked."""
        image = check_images(np.asanyarray(as_array(start))[None], self, name="start")
        check_shape(image, geometry.images.shape, self, "images", "start")
        return self._reader().source(image, geometry, name="start")

    def _first_images(self, start: Any, data: DataTerm, geometry: Geometry) -> torch.Tensor:
        """Return the images that `start` stands for."""
        if isinstance(start, str):
            return data.start(start)
        x = self._start_source(start, geometry).read(np.array([0]))
        return x.expand(len(data.y), -1, -1, -1)
