"""The learned perceptual image patch similarity."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike

from skmetainv.arrays.units import check_range
from skmetainv.losses import LPIPS, Criterion
from skmetainv.metrics.pairs import Range, paired, reduced

# Number of images whose features are computed at once.
_LPIPS_BATCH = 16


def lpips(
    clean: ArrayLike,
    restored: ArrayLike,
    *,
    net: str = "alex",
    weights: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    upsample: bool = False,
    data_range: Range | None = None,
    per_image: bool = False,
) -> float | np.ndarray:
    """Return the learned perceptual image patch similarity (LPIPS) of Zhang et al. (2018).

    This is a distance, at least 0: ``sum_l mean_hw w_l' (f_l(restored) - f_l(clean))^2`` over the
    layers `l` of a network. Its features `f_l` are normalised to unit length at each pixel; the
    weights `w_l` are learned, too. See `skmetainv.losses.LPIPS`.

    Parameters
    ----------
    clean, restored : array-like of shape (n, height, width) or (n, height, width, channels)
        The ground truth and its reconstruction, with 1 or 3 channels, see `skmetainv.metrics`.
        Gray images count as three equal channels.
    net : {"alex", "vgg", "squeeze"}, default="alex"
        The network: AlexNet, VGG-16 or SqueezeNet 1.1, trained on ImageNet. Values of different
        networks cannot be compared.
    weights : path-like, default=None
        A file with the network's weights. If None, torchvision's file in the folder
        ``torch.hub.get_dir()``, which is downloaded if it is not there.
    sha256 : str, default=None
        SHA-256 checksum of the file `weights`, or at least its first 8 hexadecimal digits. Another
        file raises an error.
    upsample : bool, default=False
        Whether to enlarge images that are too small for the network. They are interpolated
        bilinearly so that their shorter side is just large enough. Their values cannot be compared
        with those of larger images.
    data_range : float or (float, float), default=None
        Width of the images' range, or (low, high), where `low` is 0 for a width. Images are scaled
        from this range to [0, 1]. If None, the range is [0, 1], and arrays of uint8 and
        uint16 are divided by their type's maximum.
    per_image : bool, default=False
        Whether to return one value per image, not their mean.

    Returns
    -------
    distance : float, or ndarray of shape (n,)
        Lower is better; 0 for equal images.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images with 1 or 3 channels; if `upsample` is False
        and a side of the images is smaller than 31 pixels ("alex"), 16 ("vgg") or 17 ("squeeze");
        if the arrays are not in the same unit; if `data_range` is not positive and finite; or if
        the file holds no weights of the network.
    OSError
        If there is no file of weights and it cannot be downloaded.

    Notes
    -----
    The distance is computed in float32 on the CPU. The four networks used last are cached, so that
    their files are not read in every call.

    References
    ----------
    Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR, 2018.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.metrics import lpips
    >>> faces = load_faces()
    >>> lpips(faces, faces, upsample=True)  # doctest: +SKIP
    0.0
    """
    pairs = paired(clean, restored, data_range)
    ends = check_range(data_range)
    LPIPS(net, weights=weights, sha256=sha256, upsample=upsample)._validate_params()
    criterion = _lpips_of_unit_images(
        net, None if weights is None else os.path.abspath(weights), sha256, upsample
    )
    values: list[float] = []
    n = _LPIPS_BATCH if len({x.shape for x, _ in pairs}) == 1 else 1
    for start in range(0, len(pairs), n):
        xs, zs = zip(*pairs[start : start + n], strict=True)
        with torch.no_grad():
            distances = criterion(_unit_tensor(zs, *ends), _unit_tensor(xs, *ends))
        values += distances.tolist()
    return reduced(values, per_image)


@lru_cache(maxsize=4)
def _lpips_of_unit_images(
    net: str, path: str | None, sha256: str | None, upsample: bool
) -> Criterion:
    """Return the LPIPS criterion for images in [0, 1]; results are cached."""
    return LPIPS(net, weights=path, sha256=sha256, upsample=upsample).build()


def _unit_tensor(images: Sequence[np.ndarray], low: float, high: float) -> torch.Tensor:
    """Return images scaled to [0, 1] as float32, shape (batch, channels, height, width)."""
    unit = ((np.stack(images) - low) / (high - low)).astype(np.float32)
    return torch.from_numpy(unit if unit.ndim == 4 else unit[..., None]).movedim(-1, 1)
