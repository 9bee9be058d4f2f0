"""Distances between the features of networks."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import KW_ONLY
from typing import Any

import torch
from torch.nn.functional import interpolate

from skmetainv.losses.base import Criterion, Loss, check_images, filled, for_tensors
from skmetainv.parameters import StrOptions
from skmetainv.weight_files import StateDict, check_state, read_weights

# The smallest side of images for which every feature map has at least one pixel, verified by trial
# in `tests/test_losses.py`.
_LEAST_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17}


class LPIPS(Loss):
    """Learned perceptual image patch similarity of Zhang et al. (2018): 0 for equal images.

    The loss is the squared distance between the features of two images. The features are normalised
    to unit length at each pixel. The distance is weighted by channel, averaged over pixels and
    summed over the layers of a network::

        sum_l mean_hw w_l' (f_l(x) - f_l(target))^2

    Parameters
    ----------
    net : {"alex", "vgg", "squeeze"}, default="alex"
        The network: AlexNet, VGG-16 or SqueezeNet 1.1, as trained on ImageNet.
    weights : path-like, default=None
        A file with the network's weights: torchvision's state dict, written by `torch.save` or in
        the safetensors format. Prefixes and enclosing dictionaries are removed, as by
        `skmetainv.denoisers.DnCNN`. If None, torchvision's file in torch's folder
        (``torch.hub.get_dir()``, set by ``TORCH_HOME``) is used, and downloaded if it is not there.
        The weights ``w_l`` always come from the package ``lpips``.
    sha256 : str, default=None
        SHA-256 checksum of the file `weights`, or at least its first 8 hexadecimal digits. Another
        file raises an error. If None, the checksum is not compared. The checksum of torchvision's
        file is in its name, and always compared.
    upsample : bool, default=False
        Whether to enlarge images that are too small for the network. They are interpolated
        bilinearly so that their shorter side is just large enough.

    Raises
    ------
    OSError
        By `build`, if there is no file of weights and it cannot be downloaded.
    ValueError
        By `build`, if the file holds no weights of the network. By the criterion, if its arguments
        are not images of 1 or 3 channels. Also by the criterion, if `upsample` is False and a side
        of the images is smaller than 31 pixels ("alex"), 16 ("vgg") or 17 ("squeeze").

    Warns
    -----
    WeightsWarning
        By `build`, if tensors in the file are ignored.

    Notes
    -----
    The package ``lpips`` computes the loss. Gray images count as three equal channels. Where
    `target` is not observed, it is replaced by the values of `x`, as constants. The networks have
    rectifiers and max pooling, so the loss is differentiable almost everywhere, but not at their
    kinks.

    References
    ----------
    Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR, 2018.

    Examples
    --------
    >>> from skmetainv.losses import L2, LPIPS
    >>> L2() + 0.1 * LPIPS(net="vgg", upsample=True)
    L2() + 0.1 * LPIPS(net='vgg', upsample=True)
    """

    net: str = "alex"
    _: KW_ONLY
    weights: str | os.PathLike[str] | None = None
    sha256: str | None = None
    upsample: bool = False

    _parameter_constraints = {
        "net": [StrOptions(set(_LEAST_SIDE))],
        "weights": [str, os.PathLike, None],
        "sha256": [str, None],
        "upsample": ["boolean"],
    }

    def build(self, data_range: tuple[float, float] = (0.0, 1.0)) -> Criterion:
        low, width = data_range[0], data_range[1] - data_range[0]
        net, upsample, least = self.net, self.upsample, _LEAST_SIDE[self.net]
        if self.weights is None:
            path = _torchvision_file(net)
            sha256 = self.sha256 or _sha256_in_name(path)
        else:
            path, sha256 = os.fspath(self.weights), self.sha256
        network = for_tensors(_network(net, path, sha256))

        def prepared(x: torch.Tensor) -> torch.Tensor:
            x = 2 * (x - low) / width - 1
            return (_enlarged(x, least) if upsample else x).expand(-1, 3, -1, -1)

        def criterion(
            x: torch.Tensor, target: torch.Tensor, observed: torch.Tensor | None = None
        ) -> torch.Tensor:
            check_images(self, x)
            if x.shape[1] not in (1, 3):
                raise ValueError(
                    f"LPIPS compares gray or colour images, of 1 or 3 channels. Got {x.shape[1]} "
                    "instead."
                )
            if min(x.shape[2:]) < least and not upsample:
                raise ValueError(
                    f"LPIPS(net={net!r}) compares images of at least {least} x {least} pixels. Got "
                    f"{x.shape[2]} x {x.shape[3]} instead. upsample=True enlarges them."
                )
            target = filled(x, target, observed)
            distances: torch.Tensor = network(x.device, x.dtype)(prepared(x), prepared(target))
            return distances.flatten()

        return criterion


def _enlarged(x: torch.Tensor, least: int) -> torch.Tensor:
    """Return images whose shorter side has at least `least` pixels, with the same aspect ratio."""
    shorter = min(x.shape[2:])
    if shorter >= least:
        return x
    size = [round(n * least / shorter) for n in x.shape[2:]]
    return interpolate(x, size=size, mode="bilinear", align_corners=False)


def _network(net: str, path: str, sha256: str | None) -> Any:
    """Return the network of the package ``lpips``, with the weights in a file."""
    import lpips

    # The random initial weights are all replaced.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    expected = network.net.state_dict()
    # From the package's names of weights to torchvision's names.
    names = {name: "features." + name.partition(".")[2] for name in expected}

    def understand(state: StateDict) -> StateDict:
        features = {k: v for k, v in state.items() if k.startswith("features.")}
        check_state(features, {names[k]: like for k, like in expected.items()})
        return {k: features[name] for k, name in names.items()}

    first = ("features.0.weight",)
    owner = f"LPIPS(net={net!r})"
    network.net.load_state_dict(read_weights(path, owner, first, understand, sha256=sha256))
    return network


def _sha256_in_name(path: str) -> str | None:
    """Return the first digits of the checksum in a name like "vgg16-397923af.pth"."""
    match = re.search(r"-([0-9a-f]{8,64})\.", os.path.basename(path))
    return None if match is None else match[1]


def _torchvision_file(net: str) -> str:
    """Return the path of torchvision's weights, which are downloaded if missing."""
    from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights

    published = {"alex": AlexNet_Weights, "vgg": VGG16_Weights, "squeeze": SqueezeNet1_1_Weights}
    url = published[net].IMAGENET1K_V1.url
    folder, name = os.path.join(torch.hub.get_dir(), "checkpoints"), url.rpartition("/")[2]
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        try:
            torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except OSError as error:
            raise OSError(
                f"LPIPS(net={net!r}) needs the file {name} in the folder {folder}, but {url} could "
                f"not be downloaded ({error}). Put it there, or pass its path as the 'weights' "
                "parameter."
            ) from error
    return path
