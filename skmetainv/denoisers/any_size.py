"""Reconstructors of images of any size, including lists of images of different sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from skmetainv.arrays import differ_in_size
from skmetainv.inputs import Problem
from skmetainv.inputs.any_size import AnySizeReader, by_size
from skmetainv.inputs.validation import are_images
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Learner, TrainedReconstructor


class DenoiserOfAnySize(TrainedReconstructor):
    """The base class of trained denoisers, whose measurements are images of any size.

    If images differ in size, noise is added to them, and they are denoised, one by one.
    """

    _reader_class = AnySizeReader

    @abstractmethod
    def _ready(self, X: Any, image_shape: tuple[int, ...] | None = None) -> Self:
        """Return this denoiser if it is fitted, else a copy with the weights of its file."""

    def restorations(
        self, X: Any, y: Any = None, *, random_state: Any = 0, **simulation: Any
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over pairs of clean and denoised images, batch by batch.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images; with `y`, noisy images.
        y : array-like, or list of arrays, default=None
            The clean images of the noisy images `X`. A 1-D `y` is ignored.
        random_state : int, RandomState instance, Generator or None, default=0
            Seed of the simulation.
        **simulation : dict
            `operator` and `noise` for the simulation, instead of the estimator's, and the
            `image_shape` of flat images, see `predict`.

        Returns
        -------
        pairs : iterator of (clean, restored)
            Two arrays of shape (batch, height, width, channels), floats in the units of
            ``data_range_``.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted and has no `weights`.
        ValueError
            If the arrays are not images with the channels of training; if noisy and clean images do
            not have the same shape; if the measurements of `operator` do not have the shape of
            images; or if `operator` or `noise` is passed together with `y`, as nothing is then
            simulated.

        Warns
        -----
        ConvergenceWarning
            As in `predict`, after the last batch.
        DataConversionWarning
            If the units of images or of the noise are implausible.
        """
        ready = self._ready(X, simulation.get("image_shape"))
        if ready is not self:
            return ready.restorations(X, y, random_state=random_state, **simulation)
        restorations = super().restorations
        if not differ_in_size(X):
            return restorations(X, y, random_state=random_state, **simulation)
        if y is not None:
            check_consistent_length(X, y)
        seed, clean = integer_seed(random_state), y if are_images(y) else [None] * len(X)
        single = (
            restorations(
                x[None], x_[None] if x_ is not None else None, random_state=seed + i, **simulation
            )
            for i, (x, x_) in enumerate(zip(X, clean, strict=True))
        )
        return chain.from_iterable(single)

    def simulate(
        self, X: Any, random_state: Any = None, *, image_shape: tuple[int, ...] | None = None
    ) -> Any:
        """Return noisy copies of clean images.

        The standard deviation of the noise is `noise_level` or, if that is a range, its middle.

        Parameters
        ----------
        X : array-like, or list of arrays
            Clean images.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of the noise. If None, the estimator's.
        image_shape : tuple of int, default=None
            Shape of flat images. If None, the estimator's.

        Returns
        -------
        images : ndarray of the shape of `X`
            Noisy images; a tensor if `X` is one. If `X` is a list of images of different sizes, a
            list.

        Raises
        ------
        ValueError
            If a parameter is out of its range; if `X` does not hold images; or if it is ambiguous
            whether `X` is one image or several flat ones.

        Warns
        -----
        DataConversionWarning
            If the units of images or of the noise are implausible.
        """
        if not differ_in_size(X):
            return super().simulate(X, random_state, image_shape=image_shape)
        seed = integer_seed(self.random_state if random_state is None else random_state)
        simulate = super().simulate
        return [simulate(x[None], seed + i, image_shape=image_shape)[0] for i, x in enumerate(X)]

    def _held_out_pairs(
        self, learner: Learner, held_out: Problem
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        restored = super()._held_out_pairs
        return chain.from_iterable(restored(learner, one) for one in by_size(held_out, self._map))
