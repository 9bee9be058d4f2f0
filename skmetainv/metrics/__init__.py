"""Image quality: scikit-image's metrics and LPIPS for batches of images, with fixed settings.

All metrics take the ground truth first. They return the mean over the images, or one value per
image. Both arrays have shape ``(n, height, width)``, ``(n, height, width, channels)`` or
``(n, channels, height, width)``. One image of shape ``(height, width, channels)``, with 1 to 4
channels and at least 8 rows and columns, may lack the first axis. Tensors, and lists of images of
different sizes, are accepted, too.

If `data_range` is None, integers may be compared with floats. Arrays of uint8 and uint16 are
divided by their type's maximum, so that 8-bit images can be compared with the results of `predict`.
Arrays of other integer types are divided by 255 if their values lie in 0..255 and exceed 1. If both
arrays are integers, one of another type takes the divisor of the uint8 or uint16 array, and two of
other types share one divisor. A `DataConversionWarning` is issued if the unit of integers is
uncertain, if values of `clean` are far outside [0, 1] or all close to 0, or if the unit of
`restored` may differ from that of `clean`.

`mse`, `psnr` and `ssim` take a `mask`, and then measure only a region: the missing pixels
(``mask=np.isnan(measured)``), a face or a field of view, for instance. A mask is boolean, True
where a pixel counts. It has the shape of all images or of one image, with or without channels:
``(height, width)``, ``(height, width, channels)``, ``(n, height, width)`` or
``(n, height, width, channels)``, or ``(n, channels, height, width)`` if the images have this
layout. For images of different sizes, pass a list of masks, one per image. In `mse` and `psnr`,
pixels that do not count may be NaN. LPIPS takes no mask, as the features of its network depend on a
large neighbourhood of a pixel.
"""

from skmetainv.metrics.batches import known_pixels, mean_over_batches, over_batches
from skmetainv.metrics.classical import mse, psnr, ssim
from skmetainv.metrics.perceptual import lpips

__all__ = ["known_pixels", "lpips", "mean_over_batches", "mse", "over_batches", "psnr", "ssim"]
