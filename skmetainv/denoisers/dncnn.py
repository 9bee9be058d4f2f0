"""DnCNN: a plain stack of convolutions that predicts the noise."""

from __future__ import annotations

from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any

import torch
from torch import nn

from skmetainv.denoisers.learned import LearnedDenoiser
from skmetainv.denoisers.network import Network, convolutions, with_noise_level
from skmetainv.denoisers.published import Published
from skmetainv.denoisers.spectral import limit_norm
from skmetainv.denoisers.stacks import Convolution, read_stack
from skmetainv.parameters import COUNT, POSITIVE, Interval
from skmetainv.reconstruction.tiles import extent
from skmetainv.weight_files import StateDict

# The eps of batch normalisation: in the code of KAIR and of DnCNN's authors, and in DnCNN-PyTorch.
# In DnCNN-PyTorch, the first convolution has no bias.
_KAIR_EPS, _DNCNN_PYTORCH_EPS = 1e-4, 1e-5
# A network that returns constant images unchanged, at this noise level and up to this tolerance,
# predicts the image.
_FLAT_NOISE_LEVEL, _FLAT_TOLERANCE = 0.05, 0.1


class DnCNN(LearnedDenoiser):
    """The denoising convolutional network of Zhang et al. (2017), an estimator and a prior.

    ``D(x) = x - R(x)``, where ``R`` predicts the noise. ``R`` has `depth` convolutions of 3 x 3
    pixels, with `width` channels and ReLU between them. It has no batch normalisation, so the
    result for an image does not depend on the other images of a batch. (The authors' later networks
    have none, either: batch normalisation is merged into their convolutions.) `predict` denoises
    images of any size. With its argument `tile`, it denoises them tile by tile.

    Parameters
    ----------
    depth : int, default=None
        Number of convolutions. If None, that of `weights`, or 17 without `weights`.
    width : int, default=None
        Number of channels between the convolutions. If None, that of `weights`, or 64 without
        `weights`.
    residual : bool, default=True
        Whether the network predicts the noise, not the image. Files of weights do not say which. If
        the network of `weights` maps a constant image to itself, it predicts the image: set False.
        If `weights` are DeepInverse's, keep True, as DeepInverse's networks add their output to the
        image. In both cases, the other value raises an error.
    noise_level_input : bool, default=None
        Whether the network takes the noise level as an additional channel, as FFDNet does. If such
        a network is trained with a range as `noise_level`, it works for all levels of a solver's
        schedule. If None, `weights` decide: the value is True if their first convolution has one
        more input channel than the last has output channels. Without `weights`, None means False.
    spectral_norm : float, default=None
        Upper limit of the norm of each convolution, as a linear map of images of any size. The
        limit applies to an upper bound, which exceeds the norm by up to 6 percent. With 1, ``R`` is
        nonexpansive, a condition for the convergence of plug-and-play methods (Ryu et al. 2019). If
        None, there is no limit.
    weights : path-like, default=None
        File of initial weights, written by `torch.save` or in safetensors. It is read without
        running code. Without `fit`, these weights are used unchanged. Supported are files of KAIR
        and DPIR ("model.0.weight", ...), of the authors' and others' PyTorch code
        ("dncnn.0.weight", ...), of DeepInverse ("in_conv.weight", ...), and of this library (a
        `checkpoint`, or ``safetensors.numpy.save_file(fitted.weights_, path)``). The published
        networks are for images in [0, 1]. Those for one noise level have 17 layers; blind and
        colour networks, and DeepInverse's, have 20. See the notes.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The network's weights, with KAIR's names.
    history_ : dict of str to list
        For each finished epoch: ``loss``, the mean over patches; ``validation_psnr``, if there are
        validation images; ``learning_rate``; and ``seconds``.
    n_epochs_ : int
        Number of epochs trained.
    image_shape_, measurement_shape_ : tuple of int
        Shape of a training image. Predictions may have another height and width.
    data_range_ : (float, float)
        The smallest and the largest nominal value of images.
    operator_ : Identity
        The forward operator, the identity.
    n_features_in_ : int
        Length of the second axis of `X` in `fit`.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

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
        If tensors in the file of `weights` are ignored, or if the file has batch normalisation with
        variances so small that the unknown ``eps`` of the network matters.

    Notes
    -----
    *Finding weights in a file.* A state dict may lie in nested dictionaries ("state_dict",
    "params", ..., at any depth), beside an optimiser, an epoch or other entries. The parts of names
    that torch.compile and DataParallel add ("_orig_mod", "module") are removed, and so is a prefix
    that all names of the network share ("model.", "net.", "denoiser.", ...). Tensors with another
    prefix belong to other modules, such as a loss, and are ignored with a warning. If several
    networks of a file fit, the one called "ema" ("params_ema", "ema_model.", ...) or "best" is
    used, as publishers do. If none or several have such a name, and their weights differ, an error
    is raised.

    *Batch normalisation.* In evaluation mode, a convolution and the batch normalisation directly
    after it equal one convolution with other weights. They are merged into this convolution. The
    file does not contain the ``eps`` of batch normalisation. If there is a "dncnn.0.weight" but no
    "dncnn.0.bias", ``eps`` is 1e-5, as in DnCNN-PyTorch; otherwise 1e-4, as in KAIR and in the
    authors' code. Convolutions without biases get biases of 0.

    *Restrictions.* Weights must be dense floating-point numbers of 16, 32 or 64 bits; quantised,
    sparse, complex and integer weights raise an error. A file does not contain the activation and
    the padding, which are assumed to be ReLU and zeros. Any `torch.nn.Sequential` has the names
    "0.weight", ..., and may use another activation and padding. Its layers are therefore accepted
    only under the names "model.0.weight", ...

    References
    ----------
    Zhang, Zuo, Chen, Meng and Zhang, "Beyond a Gaussian denoiser: residual learning of deep CNN for
    image denoising", IEEE Transactions on Image Processing, 2017.

    Zhang, Zuo and Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image
    denoising", IEEE Transactions on Image Processing, 2018.

    Ryu, Liu, Wang, Chen, Wang and Yin, "Plug-and-play methods provably converge with properly
    trained denoisers", ICML 2019.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.denoisers import DnCNN
    >>> faces = load_faces()
    >>> denoiser = DnCNN(noise_level=0.1, depth=3, width=8, max_epochs=5, random_state=0)
    >>> noisy = denoiser.simulate(faces[80:])
    >>> denoiser.fit(faces[:80]).predict(noisy).shape
    (20, 25, 25)
    """

    _: KW_ONLY
    depth: int | None = None
    width: int | None = None
    residual: bool = True
    noise_level_input: bool | None = None
    spectral_norm: float | None = None

    _architecture = {"depth": 17, "width": 64, "residual": True, "noise_level_input": False}
    _first_weights = ("model.0.weight", "dncnn.0.weight", "in_conv.weight")
    _parameter_constraints = {
        **LearnedDenoiser._parameter_constraints,
        "depth": [Interval(Integral, 2, None, closed="left"), None],
        "width": [COUNT, None],
        "residual": ["boolean"],
        "noise_level_input": ["boolean", None],
        "spectral_norm": [POSITIVE, None],
    }

    def _network(self, channels: int, **architecture: Any) -> Network:
        return _DnCNN(channels, **architecture)

    def _constrain(self, network: nn.Module) -> None:
        if self.spectral_norm is not None:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    limit_norm(layer.weight, self.spectral_norm)

    def _published(self, state: StateDict) -> Published:
        theirs = "in_conv.weight" in state  # DeepInverse's
        stack = read_stack(_as_sequential(state) if theirs else state, _eps(state))
        n_in, channels = stack[0].weight.shape[1], len(stack[-1].bias)
        if n_in not in (channels, channels + 1):
            raise ValueError(
                f"the first convolution takes {n_in} channels and the last returns {channels}. The "
                "first must take the same number or, with a noise level, one more."
            )
        decided: dict[str, Any] = {"depth": len(stack), "width": len(stack[0].bias)}
        decided["noise_level_input"] = n_in == channels + 1
        if theirs:  # their network adds its output
            stack[-1] = Convolution(*(-part for part in stack[-1]))
            decided["residual"] = True
        elif _gives_the_image(stack):
            decided["residual"] = False
        return Published(_under_kair_names(stack), channels, decided)


def _as_sequential(state: StateDict) -> StateDict:
    """Return the weights of DeepInverse's network under KAIR's names."""
    n_between = len({name.split(".")[1] for name in state if name.startswith("conv_list.")})
    places = {f"conv_list.{i}": 2 * (i + 1) for i in range(n_between)}
    places |= {"in_conv": 0, "out_conv": 2 * (n_between + 1)}
    layers = {name: name.rpartition(".") for name in state}
    return {
        f"model.{places[layer]}.{part}" if layer in places else name: state[name]
        for name, (layer, _, part) in layers.items()
    }


def _eps(state: StateDict) -> float:
    """Return the eps of batch normalisation, which the names of the weights reveal."""
    unbiased = "dncnn.0.weight" in state and "dncnn.0.bias" not in state
    return _DNCNN_PYTORCH_EPS if unbiased else _KAIR_EPS


def _gives_the_image(stack: list[Convolution]) -> bool:
    """Return whether the network predicts the image: it then maps constant images to themselves.

    Away from the border, a convolution multiplies a constant image by the sum of its kernel.
    """
    n_in, channels = stack[0].weight.shape[1], len(stack[-1].bias)
    for gray in (0.25, 0.5, 0.75):
        z = torch.full((n_in,), gray, dtype=torch.float64)
        z[channels:] = _FLAT_NOISE_LEVEL
        for weight, bias in stack[:-1]:
            z = (weight.sum((2, 3)) @ z + bias).relu()
        out = stack[-1].weight.sum((2, 3)) @ z + stack[-1].bias
        if not (out - gray).abs().max() < _FLAT_TOLERANCE:
            return False
    return True


def _under_kair_names(stack: list[Convolution]) -> StateDict:
    """Return the weights of a stack under KAIR's names."""
    state: StateDict = {}
    for i, (weight, bias) in enumerate(stack):
        state |= {f"model.{2 * i}.weight": weight, f"model.{2 * i}.bias": bias}
    return state


class _DnCNN(Network):
    def __init__(
        self, channels: int, depth: int, width: int, residual: bool, noise_level_input: bool
    ):
        super().__init__()
        self.residual, self.takes_noise_level = residual, noise_level_input
        self.extent = extent([depth])
        widths = [channels + noise_level_input, *[width] * (depth - 1), channels]
        self.model = nn.Sequential(*convolutions(widths)[:-1])

    def forward(self, x: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        z = with_noise_level(x, noise_level) if self.takes_noise_level else x
        out: torch.Tensor = self.model(z)
        return x - out if self.residual else out
