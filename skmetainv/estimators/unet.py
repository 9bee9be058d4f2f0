"""An estimator that restores images by a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import max_pool2d

from skmetainv.arrays import to_numpy
from skmetainv.denoisers.network import convolutions, extended, initial_weights, layer
from skmetainv.estimators.supervised import SupervisedReconstructor
from skmetainv.inputs import Geometry, Problem
from skmetainv.losses import L2
from skmetainv.operators import DataTerm, ForwardMap, LinearMap, Operator
from skmetainv.operators.maps.data_terms import NETWORK_INPUTS
from skmetainv.parameters import COUNT, StrOptions
from skmetainv.randomness import weights_generator
from skmetainv.reconstruction.tiles import Tiles, as_tiles, extent
from skmetainv.training.processes import from_first_process

_ROUNDING = 1e-3


class UNetReconstructor(SupervisedReconstructor):
    """Restore images by a U-Net, from an image computed from the measurement.

    ``x = start + r G_w((start - c) / r, mask)``, where ``c`` is the middle and ``r`` half the width
    of the data range. The network ``G`` halves the size of the image `depth` - 1 times, and then
    doubles it `depth` - 1 times. It has skip connections, and two 3 x 3 convolutions with ReLU at
    each scale. ``G`` does not contain the forward model: it learns from examples only. `predict`
    restores images of any size, and large images tile by tile.

    Parameters
    ----------
    operator : Operator, default=None
        The forward model ``A``; None is the identity (denoising).
    width : int, default=32
        Number of channels at full size, which doubles with each downsampling. Ronneberger et al.
        use 64.
    depth : int, default=4
        Number of scales. Ronneberger et al. use 5.
    residual : bool, default=True
        Add the network's output to the start. If False, the network predicts the whole image,
        ``x = c + r G_w(...)``, as in Ronneberger et al.
    start : {"auto", "measurement", "adjoint", "pseudo_inverse"}, default="auto"
        The input image of the network: ``y / ||A||`` for "measurement", ``A' y / ||A||^2`` for
        "adjoint", or ``A^+ y`` for "pseudo_inverse". If measurements have the shape of images,
        "auto" is "measurement". Otherwise "auto" is "adjoint", or "pseudo_inverse" if ``A^+`` has a
        closed form and a lower mean squared error on the first training images. If the measurement
        has the shape of an image but is not one (a sinogram, say), choose "adjoint" or
        "pseudo_inverse". Nonlinear operators support only "measurement"; for them, it is ``y``
        itself.
    batch_size : int, default=8
        Images per step, and images that `predict` restores at a time.
    max_epochs : int, default=None
        Number of epochs of `fit`. None is the number that makes 1200 steps, but at least eight. If
        eight are more than 12000 steps, it is the smallest number that makes 12000.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The weights of the network.
    history_ : dict of str to list
        For each finished epoch: ``loss`` (the mean over images), ``validation_psnr`` (if there are
        validation images), ``learning_rate`` and ``seconds``.
    n_epochs_ : int
        Number of epochs trained.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    operator_ : Operator
        A copy of the parameter with which the weights were learned.
    start_ : str
        The start in use: `start`, with "auto" resolved.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    Notes
    -----
    The mask is one more input channel of the network. If the operator's mask has the image's height
    and width, this channel is 1 at observed pixels (those with at least one observed channel) and 0
    elsewhere. Otherwise it is 1 everywhere.

    Convolutions pad with zeros, so that they keep the size. Images are first padded to a multiple
    of ``2^(depth - 1)`` pixels by replicating their last row and column. Weights are initialized
    as in He et al. (2015), with gain 1 in layers that are not followed by a ReLU.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
    segmentation", MICCAI, 2015.

    Jin, McCann, Froustey and Unser, "Deep convolutional neural network for inverse problems in
    imaging", IEEE Transactions on Image Processing, 2017 (with a residual).

    Examples
    --------
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import Inpainting
    >>> faces = load_faces()
    >>> est = UNetReconstructor(Inpainting(), width=4, depth=3, max_epochs=1, random_state=0)
    >>> measured = est.simulate(faces[:3])
    >>> est.fit(faces[3:]).predict(measured).shape
    (3, 25, 25)
    """

    operator: Operator | None = None
    _: KW_ONLY
    width: int = 32
    depth: int = 4
    residual: bool = True
    start: str = "auto"
    batch_size: int = 8

    _default_length = (1200, 8)
    _parameter_constraints = {
        **SupervisedReconstructor._parameter_constraints,
        "width": [COUNT],
        "depth": [COUNT],
        "residual": ["boolean"],
        "start": [StrOptions({"auto", *NETWORK_INPUTS})],
    }

    def predict(
        self,
        X: Any,
        *,
        operator: Operator | Sequence[Operator] | None = None,
        image_shape: tuple[int, ...] | None = None,
        tile: int | tuple[int, int] | None = None,
        overlap: int | None = None,
    ) -> Any:
        """Restore images from measurements.

        Parameters
        ----------
        X : array-like of shape (n, *measurement_shape_)
            Measurements. If the operator has missing values, missing entries are NaN. Complex
            measurements may be a complex array, without the last axis of real and imaginary parts.
            One measurement may come without the first axis, unless it is flat.
        operator : Operator or list of Operator, default=None
            The operator that took these measurements, or a list with one operator for each. Their
            measurements must have the same shape as in training. None is the fitted operator,
            unless that is a `RandomOperator`, which cannot restore.
        image_shape : tuple of int, default=None
            Height and width (and channels, as in training) of the images to restore. None is the
            shape of the training images. For another shape, the operator is built anew, and `X`
            must have the shape of the measurements of such images.
        tile : int or (int, int), default=None
            Height and width of the tiles on which the network runs, one after another. Memory is
            then needed for the activations of one tile instead of the whole image. With None, the
            network runs on the whole image. Sizes are rounded up to multiples of ``2^(depth - 1)``.
            The start is always computed from the whole measurement.
        overlap : int, default=None
            Pixels of context around each tile, rounded up like `tile`. None is the radius of the
            receptive field: the result then equals that of the whole image, up to rounding. A
            smaller overlap is faster, but approximate, and may show seams. The radius is 48 for a
            `depth` of 4.

        Returns
        -------
        images : ndarray of shape (n, ...), or a tensor if `X` is one
            Floats in the layout of the training images and the units of ``data_range_``. If `X` is
            one measurement, one image without the first axis. If `X` is a data frame, an ndarray,
            because scikit-learn's predictions are arrays, too.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `X` does not have the shape of such measurements, or if images of `image_shape`
            cannot be restored: the estimator or its operator may only support the training shape.
            If `tile` or `overlap` is out of its range, or if `overlap` is given without `tile`.

        Warns
        -----
        ConvergenceWarning
            If images have values that are not finite, or if linear systems were not solved.
        DataConversionWarning
            If measurements are in implausible units, or look like clean images.
        """
        self._check_ready()
        geometry = self._resized(image_shape)
        _, G = self._built(geometry)
        tiles = as_tiles(tile, overlap, G.network.extent)
        return self._predicted(X, geometry, self._restorer(geometry, tiles=tiles), operator)

    def _initialize(self, problem: Problem) -> None:
        self.start_ = self.start
        if self.start == "auto":
            self.start_ = from_first_process(lambda: self._nearest_start(problem))
        self._architecture_ = {n: getattr(self, n) for n in ("width", "depth", "residual")}
        G = self._module(problem.geometry, problem.A)
        unrectified = [*G.network.up, G.network.last]
        weights = initial_weights(G, weights_generator(self._seed_), unrectified=unrectified)
        self.weights_ = to_numpy({n: w.to(self._dtype()) for n, w in weights.items()})

    def _nearest_start(self, problem: Problem) -> str:
        """Return the start in place of "auto"."""
        A = problem.A
        if A.measurement_shape == A.image_shape:
            return "measurement"
        if not (isinstance(A, LinearMap) and A.has_closed_form):
            return "adjoint"
        batch = self._batches(problem).read(np.arange(min(len(problem), self.batch_size)), 0)
        x, data, error = batch.x, batch.data, L2().build(problem.geometry.data_range)
        adjoint, inverse = (
            float(error(data.start(start), x, data.known(x)).mean())
            for start in ("adjoint", "pseudo_inverse")
        )
        # If both starts are the same image up to rounding, the choice is the adjoint.
        return "pseudo_inverse" if inverse < (1 - _ROUNDING) * adjoint else "adjoint"

    def _module(self, geometry: Geometry, A: ForwardMap) -> _Refinement:
        return _Refinement(geometry, self.start_, **self._architecture_)


class _Refinement(nn.Module):
    """Map data terms to images: compute the start, and run the network on scaled values."""

    def __init__(self, geometry: Geometry, start: str, width: int, depth: int, residual: bool):
        super().__init__()
        low, high = geometry.data_range
        self.centre, self.radius = (low + high) / 2, (high - low) / 2
        self.start, self.residual = start, residual
        network = _UNet(geometry.tensor_shape[0], width, depth)
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, data: DataTerm, tiles: Tiles | None = None) -> torch.Tensor:
        x = data.start(self.start)
        seen = torch.cat([(x - self.centre) / self.radius, data.observed_pixels().to(x)], dim=1)
        found = self.network(seen) if tiles is None else tiles.run(self.network, seen)
        return (x if self.residual else self.centre) + self.radius * found


class _UNet(nn.Module):
    """The network, which maps images with a mask channel to images."""

    autocasts = True

    def __init__(self, channels: int, width: int, depth: int):
        super().__init__()
        widths = [width * 2**scale for scale in range(depth)]
        before = [channels + 1, *widths[:-1]]
        self.down = nn.ModuleList(map(_two_convolutions, before, widths))
        self.up = nn.ModuleList(
            layer(nn.ConvTranspose2d, 2 * n, n, 2, stride=2) for n in widths[-2::-1]
        )
        self.merge = nn.ModuleList(_two_convolutions(2 * n, n) for n in widths[-2::-1])
        self.extent = extent([2] * depth, [2] * (depth - 1))
        self.last = layer(nn.Conv2d, width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z, seen = self.down[0](extended(x, self.extent.multiple)), []
        for down in self.down[1:]:
            seen.append(z)
            z = down(max_pool2d(z, 2))
        for up, merge in zip(self.up, self.merge, strict=True):
            z = merge(torch.cat([seen.pop(), up(z)], dim=1))
        return self.last(z)[..., : x.shape[-2], : x.shape[-1]]


def _two_convolutions(n_in: int, n_out: int) -> nn.Module:
    return nn.Sequential(*convolutions([n_in, n_out, n_out]))
