"""Reading of images of any height and width, including lists of images of different sizes."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from skmetainv.arrays import ArraySource, Single, differ_in_size, is_one_image
from skmetainv.inputs.geometry import Geometry
from skmetainv.inputs.problem import Problem
from skmetainv.inputs.reader import Reader
from skmetainv.inputs.validation import are_images, check_images, check_lengths, how_to_rearrange
from skmetainv.noise import Noise


class AnySizeReader(Reader):
    """Reads the inputs of estimators whose measurements are images of any size."""

    def problem(
        self, X: Any, y: Any, names: tuple[str, str] = ("X", "y"), *, as_fitted: bool = False
    ) -> Problem:
        """Return the problem for the arguments of `fit`, see `Reader.problem`."""
        if not differ_in_size(X) and not differ_in_size(y):
            return super().problem(X, y, names, as_fitted=as_fitted)
        clean, noisy = self._lists(X, y, names)
        if as_fitted:
            operator = self.estimator.operator_
            _, geometry, _ = self.expected(clean[0], self.fitted, hints=False)
            A = operator.build(geometry.tensor_shape)
        else:
            geometry, operator, A = self.geometry(clean[0], self.estimator.image_shape)
        for x, z in zip(clean, clean if noisy is None else noisy, strict=True):
            if not geometry.image_layout.is_another_size(x.shape[1:]) or x.shape != z.shape:
                raise ValueError(
                    "Images of different sizes must have the same number of channels, and noisy "
                    "images must have the shapes of their clean images. Got shapes "
                    f"{x.shape[1:]} and {z.shape[1:]}; the first image has {clean[0].shape[1:]}."
                )
        sources = self._sources(clean, geometry)
        measured = None if noisy is None else self._sources(noisy, geometry)
        return Problem(sources, measured, geometry, operator, self.place(A))

    def look_at(self, problem: Problem, noise: float | Noise) -> None:
        """Warn, or raise, if the first images of a problem are implausible."""
        super().look_at(next(by_size(problem, self.map_of)), noise)

    def expected(
        self,
        array: Any,
        geometry: Geometry,
        *,
        measured: bool = False,
        name: str = "X",
        hints: bool = True,
    ) -> tuple[Any, Geometry, bool]:
        """Return images with a first axis, their geometry, and whether that axis was missing.

        See `Reader.expected`. Height and width of the images may differ from those of `fit`, unless
        `geometry` is another object than that of `fit`.
        """
        images, shape = geometry.image_layout, tuple(array.shape)
        if geometry is not self.fitted or len(images.shape) == 1:
            return super().expected(array, geometry, measured=measured, name=name, hints=hints)
        owner = type(self.estimator).__name__
        if len(images.shape) == 2 and is_one_image(shape, None):
            raise ValueError(
                f"{name} has shape {shape}: one image of {shape[2]} channels, but this {owner} was "
                f"fitted to gray images. If these are {shape[0]} narrow gray images, fit to images "
                f"with a channel axis, {name}[..., np.newaxis]."
            )
        line = how_to_rearrange(shape, images, name)
        is_flat = len(shape) == 2 and shape[1] == prod(images.shape)
        is_single = len(shape) == len(images.shape) and not is_flat
        if is_single:
            array, shape = Single(array), (1, *shape)
        if not images.is_another_size(shape[1:]):
            raise ValueError(
                f"{name} has images of shape {shape[1:]}, but this {owner} was fitted to images "
                f"of shape {images.shape}: only their height and width may differ. "
                f"{line}".rstrip()
            )
        return array, resized(geometry, shape[1:]), is_single

    def _lists(self, X: Any, y: Any, names: tuple[str, str]) -> tuple[list[Any], list[Any] | None]:
        """Return lists of clean images, and of noisy ones or None; each entry is a batch of one."""
        check_lengths(**{names[0]: X, names[1]: y})
        first = [check_images(x[None], self.estimator, name=names[0]) for x in X]
        if not are_images(y):
            return first, None
        return [check_images(x[None], self.estimator, name=names[1]) for x in y], first

    def _sources(self, images: list[Any], geometry: Geometry) -> list[ArraySource]:
        return [self.source(x, resized(geometry, x.shape[1:])) for x in images]


def by_size(problem: Problem, map_of: Any) -> Any:
    """Yield the problem or, if sizes differ, one problem per image, with its own map."""
    if not isinstance(problem.clean, list):
        yield problem
        return
    for i, clean in enumerate(problem.clean):
        geometry = resized(problem.geometry, clean.layout.shape)
        measured = None if problem.measured is None else problem.measured[i]
        A = map_of(geometry)
        yield replace(problem, clean=clean, measured=measured, geometry=geometry, A=A)


def resized(geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
    """Return the geometry for images of the height and width of `shape`."""
    images = geometry.image_layout.resized(*geometry.image_layout.size_in(shape))
    return replace(geometry, image_layout=images, measurement_layout=images)
