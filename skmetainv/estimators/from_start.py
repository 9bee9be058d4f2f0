"""The start of a classical solver, computed without a network."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import ArraySource, as_array
from skmetainv.exceptions import concerning
from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.first_look import look_at_images
from skmetainv.inputs.validation import check_images, check_shape
from skmetainv.noise import Noise
from skmetainv.operators import DataTerm, Operator
from skmetainv.operators.maps.data_terms import STARTS
from skmetainv.parameters import StrOptions
from skmetainv.reconstruction import Reconstructor
from skmetainv.solvers import Solver


class FromStart(Reconstructor):
    """Base class of estimators whose solver starts from an image computed from the measurement.

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
        "start": [StrOptions(STARTS), "array-like"],
    }

    def _bound_to_size(self) -> str | None:
        start = getattr(self, "start_", self.start)  # trained estimators keep a copy
        shape = self._geometry_.image_layout.shape
        if isinstance(start, str) or np.shape(as_array(start)) != shape:
            return None
        return (
            f"The 'start' parameter is an image of shape {shape}, so only images of this shape can "
            "be restored. start='zeros' and the other names work for any size."
        )

    def _look_at(self, problem: Problem) -> None:
        super()._look_at(problem)
        if not isinstance(self.start, str):
            start = self._start_source(self.start, problem.geometry)
            look_at_images(start, problem.geometry.data_range)

    def _start_source(self, start: Any, geometry: Geometry) -> ArraySource:
        """Check a given start image, and return it as a source of one image."""
        with concerning("the 'start'"):
            image = check_images(np.asanyarray(as_array(start, "start"))[None], self, name="start")
            check_shape(image, geometry.image_layout.shape, self, "images", "start")
            return self._reader().source(image, geometry, name="start")

    def _first_images(self, start: Any, data: DataTerm, geometry: Geometry) -> torch.Tensor:
        """Return the start images of a batch of measurements."""
        if isinstance(start, str):
            return data.start(start)
        x = self._start_source(start, geometry).read(np.array([0]))
        return x.expand(len(data.y), -1, -1, -1)
