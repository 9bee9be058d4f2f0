"""The region of scores and comparisons: a user's mask, or the pixels that the operator left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from sklearn.utils import _safe_indexing, check_consistent_length

from skmetainv.arrays import as_array, channels_last
from skmetainv.exceptions import concerning
from skmetainv.model_selection.named_metrics import Metric
from skmetainv.operators import ForwardMap, Identity, Operator
from skmetainv.parameters import StrOptions, check_parameter
from skmetainv.reconstruction import Reconstructor

_CONSTRAINTS = [StrOptions({"missing"}), "array-like", None]

#: Batches of clean and restored images.
PairBatches: TypeAlias = Iterable[tuple[np.ndarray, np.ndarray]]

#: Indices of the images of a batch; clean images, restored images and, with a mask, their masks.
ScoredBatch: TypeAlias = tuple[np.ndarray, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Region:
    """The pixels that metrics count.

    Parameters
    ----------
    mask : "missing" or array-like of bool, default=None
        One mask for all images, or one for each. "missing" stands for the pixels that the operator
        of the measurements leaves out. If None, the whole image.
    operator : Operator, default=None
        The operator of the measurements. If None, that of the estimator.
    seed : int, default=0
        Seed of simulated measurements.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetainv.model_selection.regions import Region
    >>> images = np.zeros((2, 4, 5, 1))
    >>> region = Region(mask=np.eye(4, 5, dtype=bool))
    >>> for indices, (clean, restored, mask) in region.batches([(images, images)]):
    ...     print(indices, mask.shape)
    [0 1] (4, 5)
    """

    mask: Any = None
    operator: Operator | None = None
    seed: int = 0

    @property
    def is_missing(self) -> bool:
        """Whether the region is the pixels that the operator leaves out."""
        return isinstance(self.mask, str)

    def check_metrics(self, metrics: Mapping[str, Metric], owner: str) -> None:
        """Raise if the metrics do not support the mask."""
        check_parameter("mask", self.mask, _CONSTRAINTS, owner)
        if self.mask is not None and metrics.keys() & {"lpips", "neg_lpips"}:
            raise ValueError(
                f"The 'mask' parameter of {owner} must be None if LPIPS is among the metrics: it "
                "compares features of a network with a large receptive field."
            )

    def check_images(self, clean: Any, tensor_shape: tuple[int, ...]) -> None:
        """Raise if the operator leaves out no pixels, or if masks and images differ in number."""
        if self.is_missing:
            operator = Identity() if self.operator is None else self.operator
            _check_leaves_out(operator.build(tensor_shape), operator)
        elif _is_of_each(self.mask, tensor_shape[1:], tensor_shape[0]):
            check_consistent_length(self.mask, clean)

    def part(self, indices: Any, tensor_shape: tuple[int, ...]) -> Region:
        """Return the region of the images `indices`; `tensor_shape` is the shape of an image."""
        if self.is_missing or not _is_of_each(self.mask, tensor_shape[1:], tensor_shape[0]):
            return self
        return replace(self, mask=_safe_indexing(self.mask, indices))

    def batches(
        self, pairs: PairBatches, fitted: Reconstructor | None = None, X: Any = None, y: Any = None
    ) -> Iterator[ScoredBatch]:
        """Yield batches of images that count, with their indices and masks.

        Parameters
        ----------
        pairs : iterable of (clean, restored)
            Arrays of shape (batch, height, width, channels). If the mask is "missing", the result
            of `fitted.restorations` for the same `X`, `y`, operator and seed.
        fitted, X, y : Reconstructor and array-like, default=None
            Needed if the mask is "missing": the fitted estimator and the arguments of its
            `restorations`. These are clean images `X`, whose measurements are simulated, or
            measurements `X` and their clean images `y`.

        Raises
        ------
        ValueError
            If the number of masks is not the number of images (the metrics check the other axes),
            or if the operator leaves out no pixels of any image.
        """
        if self.is_missing:
            assert fitted is not None
            yield from self._missing(pairs, fitted, X, y)
            return
        with concerning("mask"):
            masks = None if self.mask is None else np.asarray(as_array(self.mask, "mask"))
        if masks is not None and masks.ndim < 2:
            raise ValueError(
                f"mask must have the height and width of the images. Got shape {masks.shape}."
            )
        of_each, n = False, 0
        for indices, x, z in _indexed(pairs):
            of_each, n = _is_of_each(masks, x.shape[1:3], x.shape[3]), n + len(x)
            if masks is None:
                yield indices, (x, z)
            else:
                yield indices, (x, z, masks[indices[0] : n] if of_each else masks)
        if masks is not None and of_each and len(masks) != n:
            raise ValueError(
                f"mask must be one for all images or one for each of {n}. Got shape {masks.shape}."
            )

    def _missing(
        self, pairs: PairBatches, fitted: Reconstructor, X: Any, y: Any
    ) -> Iterator[ScoredBatch]:
        """Yield batches without the images that have no missing pixels."""
        map_of = fitted._drawn_maps(X, y, self.operator, self.seed)
        any_missing = False
        for indices, x, z in _indexed(pairs):
            A = map_of(indices)
            _check_leaves_out(A, self.operator or fitted.operator_)
            observed = cast("torch.Tensor", A.observed).expand(len(x), *A.image_shape)
            mask = channels_last(~observed)
            some = mask.any(axis=(1, 2, 3))
            if some.any():
                any_missing = True
                yield indices[some], (x[some], z[some], mask[some])
        if not any_missing:
            raise ValueError(
                "mask='missing' needs images with missing pixels, but no image has any."
            )


def _indexed(pairs: PairBatches) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each batch with the indices of its images."""
    n = 0
    for x, z in pairs:
        yield np.arange(n, n + len(x)), x, z
        n += len(x)


def _is_of_each(mask: Any, size: tuple[int, ...], channels: int) -> bool:
    """Return whether `mask` has one mask for each image; False for None and for a single mask."""
    return mask is not None and np.shape(mask) not in (size, (*size, channels))


def _check_leaves_out(A: ForwardMap, operator: Operator) -> None:
    """Raise if the map of an operator does not leave out pixels of an image."""
    leaves_out = A.observed is not None or operator.has_missing
    if not leaves_out or A.measurement_shape != A.image_shape:
        raise ValueError(
            "mask='missing' needs an operator that leaves out pixels of an image, such as "
            f"Inpainting() or MissingPixels(). Got {operator!r} instead."
        )
