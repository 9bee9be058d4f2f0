"""DRUNet: a residual U-Net that takes the noise level."""

from __future__ import annotations

from dataclasses import KW_ONLY
from re import fullmatch
from typing import Any

import torch
from torch import nn

from skmetainv.denoisers.learned import LearnedDenoiser
from skmetainv.denoisers.network import Network, convolutions, extended, layer, with_noise_level
from skmetainv.denoisers.published import Published
from skmetainv.losses import LossLike
from skmetainv.parameters import COUNT
from skmetainv.reconstruction.tiles import extent
from skmetainv.weight_files import StateDict

# The size is halved between scales, so images are padded to multiples of 2 ** 3 = 8.
_N_SCALES = 4


class DRUNet(LearnedDenoiser):
    """The denoising residual U-Net of Zhang et al. (2021), which takes the noise level.

    The network has four scales with 1, 2, 4 and 8 times `width` channels. Convolutions of stride 2
    lead down to the next coarser scale, and transposed convolutions lead up again. Each scale has
    `n_blocks` residual blocks on the way down and on the way up; the coarsest has them once. There
    are no biases. The noise level is an additional channel of the input. If the sides of an image
    are not multiples of 8, it is padded by repeating its last row and column, and the result is
    cropped. `predict` denoises images of any size. With its argument `tile`, it denoises them tile
    by tile.

    Parameters
    ----------
    noise_level : float or (float, float), default=(0.0, 0.2)
        Standard deviation of the training noise, in the units of the images. If a range, a
        level is drawn from it for every patch.
    width : int, default=None
        Number of channels of the finest scale. If None, that of `weights`, or 64 without `weights`.
    n_blocks : int, default=None
        Number of residual blocks at each scale, on the way down and on the way up. If None, that of
        `weights`, or 4 without `weights`.
    weights : path-like, default=None
        File of initial weights, written by `torch.save` or in safetensors. It is read without
        running code. Without `fit`, these weights are used unchanged. Supported are files of KAIR,
        DPIR and DeepInverse (all with the names "m_head.weight", ...), and of this library. The
        published networks are for images in [0, 1]. Files are read as described in the notes of
        `DnCNN`, except that batch normalisation raises an error, as DRUNet has no biases to merge
        it into.
    patch_size : int, default=128
        Height and width of the training patches, limited to those of the largest image.
        Smaller images are extended by reflection.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l1"
        Training loss between denoised and clean patches, see `skmetainv.losses`.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The network's weights, with KAIR's names.
    history_ : dict of str to list
        For each finished epoch: ``loss``, the mean over patches; ``validation_psnr``, if there are
        validation images; ``learning_rate``; and ``seconds``.
    n_epochs_ : int
        Number of epochs trained.
    image_shape_, measurement_shape_, data_range_, operator_, n_features_in_, feature_names_in_
        As in `DnCNN`.

    Raises
    ------
    ValueError
        When `weights` are read, if they do not fit the network or the images. The message names
        the tensor that does not fit and the tensors of the file, and says how to rename or save
        them.
    FileNotFoundError
        When `weights` are read, if there is no such file.

    Warns
    -----
    WeightsWarning
        If tensors in the file of `weights` are ignored.

    References
    ----------
    Zhang, Li, Zuo, Zhang, Van Gool and Timofte, "Plug-and-play image restoration with deep denoiser
    prior", IEEE Transactions on Pattern Analysis and Machine Intelligence, 2021.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.denoisers import DRUNet
    >>> faces = load_faces()
    >>> denoiser = DRUNet(width=4, n_blocks=1, max_epochs=1, random_state=0).fit(faces[:20])
    >>> denoiser.predict(denoiser.simulate(faces[80:]), noise_level=0.05).shape
    (20, 25, 25)
    """

    noise_level: float | tuple[float, float] = (0.0, 0.2)
    _: KW_ONLY
    width: int | None = None
    n_blocks: int | None = None
    patch_size: int = 128
    loss: LossLike = "l1"

    _architecture = {"width": 64, "n_blocks": 4}
    _first_weights = ("m_head.weight",)
    _parameter_constraints = {
        **LearnedDenoiser._parameter_constraints,
        "width": [COUNT, None],
        "n_blocks": [COUNT, None],
    }

    def _network(self, channels: int, **architecture: Any) -> Network:
        return _DRUNet(channels, **architecture)

    def _published(self, state: StateDict) -> Published:
        if any(name.endswith("running_var") for name in state):
            raise ValueError(
                "they have batch normalisation, which cannot be merged into DRUNet's convolutions, "
                "as these have no biases."
            )
        for name in ("m_head.weight", "m_tail.weight"):
            if name not in state or state[name].ndim != 4:
                raise ValueError(f"{name!r} must be the weight of a convolution of images.")
        head, channels = state["m_head.weight"], len(state["m_tail.weight"])
        if head.shape[1] != channels + 1:
            raise ValueError(
                f"'m_head' takes {head.shape[1]} channels and 'm_tail' returns {channels}. In "
                "DRUNet, 'm_head' takes one more, the noise level."
            )
        blocks = [name for name in state if fullmatch(r"m_body\.\d+\.res\.0\.weight", name)]
        return Published(state, channels, {"width": len(head), "n_blocks": len(blocks)})


class _DRUNet(Network):
    takes_noise_level = True
    gain = 0.2  # as in KAIR: small initial residual branches

    def __init__(self, channels: int, width: int, n_blocks: int):
        super().__init__()
        n = [width * 2**scale for scale in range(_N_SCALES)]
        blocks = [2 * n_blocks] * (_N_SCALES - 2)  # convolutions of the middle scales
        ends = 1 + 2 * n_blocks  # the finest scale also has the head, or the tail
        self.extent = extent([ends, *blocks, 2 * n_blocks], [*blocks, ends])
        self.m_head = layer(nn.Conv2d, channels + 1, n[0], 3, padding=1, bias=False)
        self.m_down1 = nn.Sequential(*_blocks(n[0], n_blocks), _down(n[0], n[1]))
        self.m_down2 = nn.Sequential(*_blocks(n[1], n_blocks), _down(n[1], n[2]))
        self.m_down3 = nn.Sequential(*_blocks(n[2], n_blocks), _down(n[2], n[3]))
        self.m_body = nn.Sequential(*_blocks(n[3], n_blocks))
        self.m_up3 = nn.Sequential(_up(n[3], n[2]), *_blocks(n[2], n_blocks))
        self.m_up2 = nn.Sequential(_up(n[2], n[1]), *_blocks(n[1], n_blocks))
        self.m_up1 = nn.Sequential(_up(n[1], n[0]), *_blocks(n[0], n_blocks))
        self.m_tail = layer(nn.Conv2d, n[0], channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        z = with_noise_level(x, noise_level)
        x1 = self.m_head(extended(z, self.extent.multiple))
        x2 = self.m_down1(x1)
        x3 = self.m_down2(x2)
        x4 = self.m_down3(x3)
        z = self.m_up3(self.m_body(x4) + x4)
        z = self.m_up2(z + x3)
        z = self.m_up1(z + x2)
        denoised: torch.Tensor = self.m_tail(z + x1)
        return denoised[..., : x.shape[-2], : x.shape[-1]]


class _ResidualBlock(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.res = nn.Sequential(*convolutions([n, n, n], bias=False)[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.res(x)
        return x + residual


def _blocks(n: int, n_blocks: int) -> list[nn.Module]:
    return [_ResidualBlock(n) for _ in range(n_blocks)]


def _down(n_in: int, n_out: int) -> nn.Module:
    return layer(nn.Conv2d, n_in, n_out, 2, stride=2, bias=False)


def _up(n_in: int, n_out: int) -> nn.Module:
    return layer(nn.ConvTranspose2d, n_in, n_out, 2, stride=2, bias=False)
