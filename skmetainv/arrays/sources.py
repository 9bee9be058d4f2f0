"""Reading of batches from any array-like, as tensors of one layout and type."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
import torch

from skmetainv.arrays.layouts import Layout
from skmetainv.arrays.views import MaskedView, Subset, has_mask, taken


@dataclass(frozen=True, eq=False, repr=False)
class ArraySource:
    """Read batches of images, or of measurements, from any array-like as tensors.

    Only the requested batch is read, copied and converted.

    Parameters
    ----------
    array : array-like of shape (n, *layout.shape)
        Any object with `shape`, `dtype` and indexing by an array of integers.
    layout : Layout
        Layout of one image.
    dtype : torch.dtype
        Type of the tensors.
    device : torch.device
        Device of the tensors.
    unit : float, default=1.0
        Divisor of the values, see `integer_unit`.
    allow_nan : bool, default=False
        Whether NaN is allowed, as a missing value.
    name : str, default="X"
        Name of the array in error messages.
    """

    array: Any
    layout: Layout
    _: KW_ONLY
    dtype: torch.dtype
    device: torch.device
    unit: float = 1.0
    allow_nan: bool = False
    name: str = "X"

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def read(self, indices: np.ndarray) -> torch.Tensor:
        """Read some of the images.

        Parameters
        ----------
        indices : ndarray of int
            Indices of the images, in increasing order.

        Returns
        -------
        images : tensor of shape (len(indices), *layout.tensor_shape)
            Always a copy.

        Raises
        ------
        ValueError
            If an image has an infinite value, if all its values are NaN, or if any value is NaN
            without `allow_nan`.
        """
        return self._tensor(taken(self.array, indices), indices, self.layout)

    def part(self, indices: np.ndarray) -> ArraySource:
        """Return a source of some of the images, in increasing order, without reading any."""
        return replace(self, array=Subset(self.array, indices))

    def patch(self, index: int, rows: slice, columns: slice) -> torch.Tensor:
        """Read a part of one image.

        Parameters
        ----------
        index : int
            Index of the image.
        rows, columns : slice
            Rows and columns of the part.

        Returns
        -------
        patch : tensor of shape (channels, height, width)
            A copy of the part. The whole image is read, but only the part is converted. A flat
            image is converted as a whole.
        """
        indices = np.array([index])
        if len(self.layout.shape) == 1:
            return self.read(indices)[0][:, rows, columns]
        image = np.asarray(taken(self.array, indices))
        first = self.layout.channels_first
        part = image[..., rows, columns] if first else image[:, rows, columns]
        size = self.layout.size_in(part.shape[1:])
        return self._tensor(part, indices, self.layout.resized(*size))[0]

    def _tensor(self, values: Any, indices: np.ndarray, layout: Layout) -> torch.Tensor:
        dtype_name = "float64" if self.dtype == torch.float64 else "float32"
        if hasattr(values, "compute"):  # dask's conversion to an array would lose a mask
            values = values.compute()
        values = np.asanyarray(values)
        if has_mask(values):  # a lazy array may show its mask only when it is read
            values = MaskedView(values)[:]
        if len(values) != len(indices):
            raise ValueError(
                f"{self.name} returned {len(values)} image(s) for {len(indices)} indices: its "
                "__getitem__ must accept an array of indices."
            )
        try:
            with np.errstate(over="ignore"):
                values = np.array(values, dtype=dtype_name)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.name} has entries that are not numbers: {error}") from error
        values /= self.unit
        self._check_values(values, indices)
        # The array is pageable: CUDA copies it before the call returns, so that it may be freed.
        tensor = torch.from_numpy(values).to(self.device, self.dtype, non_blocking=True)
        return layout.to_tensor(tensor)

    def _check_values(self, values: np.ndarray, indices: np.ndarray) -> None:
        missing = np.isnan(values).reshape(len(values), -1)
        if missing.any() and not self.allow_nan:
            raise ValueError(f"Input {self.name} contains NaN.")
        if missing.all(axis=1).any():
            raise ValueError(
                f"Entry {indices[missing.all(axis=1)][0]} of {self.name} is all NaN: at least one "
                "value must be observed."
            )
        if np.isinf(values).any():
            raise ValueError(
                f"Input {self.name} contains infinity or a value too large for {values.dtype!r}."
            )
