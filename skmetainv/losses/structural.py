"""Structural similarity."""

import math

import torch

from skmetainv.losses.base import Criterion, Loss, check_images, filled

#: The Gaussian window of Wang et al. (2004): its standard deviation and its radius in pixels.
SIGMA, RADIUS = 1.5, 5

_K1, _K2 = 0.01, 0.03
_WEIGHTS = [math.exp(-0.5 * (k / SIGMA) ** 2) for k in range(-RADIUS, RADIUS + 1)]
_WINDOW = [weight / sum(_WEIGHTS) for weight in _WEIGHTS]


class SSIM(Loss):
    """``1 - ssim(x, target)``, in [0, 2], with the structural similarity of Wang et al. (2004).

    ``ssim`` is a mean over channels and over pixels, without a border of half a window (5 pixels,
    or less in images with fewer than 11 rows or columns). The value at each pixel is::

        (2 m_x m_t + C1) (2 c_xt + C2) / ((m_x^2 + m_t^2 + C1) (v_x + v_t + C2))

    with the local means ``m``, variances ``v`` and covariance ``c`` under a Gaussian window of 11
    pixels with standard deviation 1.5. The constants are ``C1 = (0.01 R)^2`` and
    ``C2 = (0.03 R)^2``, where ``R`` is the width of the images' range. The lower end of the range
    is subtracted from the images first.

    Notes
    -----
    For images of any size, the loss is 1 minus `skmetainv.metrics.ssim` of each image. It has
    derivatives of every order. It only compares images, tensors of shape
    ``(batch, channels, height, width)``; other tensors raise a `ValueError`. Where `target` is not
    observed, it is replaced by the values of `x`, as constants.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing, 2004.

    Examples
    --------
    >>> import torch
    >>> from skmetainv.losses import SSIM
    >>> image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> SSIM().build()(image, image).abs().max() < 1e-6
    tensor(True)
    """

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        low, width = data_range[0], data_range[1] - data_range[0]

        def criterion(
            x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None = None
        ) -> torch.Tensor:
            check_images(self, x)
            target = filled(x, target, observed)
            similarity = _similarity((x - low) / width, (target - low) / width)
            return 1 - similarity.flatten(1).mean(1)

        return criterion


def _similarity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return the similarity at each pixel except the border, for images of range width 1."""
    m_x, m_t, xx, tt, xt = _windowed(torch.stack([x, t, x * x, t * t, x * t]))
    c_xt, variances = xt - m_x * m_t, xx - m_x**2 + tt - m_t**2
    luminance = (2 * m_x * m_t + _K1**2) / (m_x**2 + m_t**2 + _K1**2)
    similarity: torch.Tensor = luminance * (2 * c_xt + _K2**2) / (variances + _K2**2)
    height, width = x.shape[2:]
    border = min(RADIUS, (min(height, width) - 1) // 2)
    return similarity[..., border : height - border, border : width - border]


def _windowed(images: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian mean around each pixel; images are mirrored at their border.

    The means are sums of shifted images, because a convolution may have reduced precision on a GPU
    (TF32). The variance is a difference of two means, and needs full precision.
    """
    for axis in (-2, -1):
        n = images.shape[axis]
        padded = images.index_select(axis, _mirrored(n, images.device))
        shifted = (w * padded.narrow(axis, k, n) for k, w in enumerate(_WINDOW))
        images = sum(shifted, start=padded.new_zeros(()))
    return images


def _mirrored(n: int, device: torch.device) -> torch.Tensor:
    """Return the indices of ``d c b a | a b c d | d c b a``, as far as the window reaches."""
    place = torch.arange(-RADIUS, n + RADIUS, device=device) % (2 * n)
    return torch.minimum(place, 2 * n - 1 - place)
