"""DnCNN: a plain stack of convolutions that gives the noise."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral, Real
from os import PathLike
from typing import Any

import torch
from torch import nn
from torch.nn.utils import skip_init

from skmetainv.denoisers.checkpoints import State
from skmetainv.denoisers.learned import LearnedDenoiser, Network
from skmetainv.denoisers.spectral import limit_norm
from skmetainv.losses import LossLike
from skmetainv.parameters import Interval
from skmetainv.reconstruction.tiles import extent
from skmetainv.training import Checkpoint, LearningRate, Optimizer


class DnCNN(LearnedDenoiser):
    """The denoising convolutional network of Zhang et al. (2017): an estimator, and a prior.

    ``D(x) = x - R(x)``, where ``R`` is `depth` convolutions of 3 x 3 pixels with `width` channels
    and ReLU between them, and gives the noise. There are no batch statistics (later versions of the
    authors' merge them into the convolutions), so that an image's result depends on it alone.
    `predict` denoises images of any size, large ones in the memory of a tile.

    Parameters
    ----------
    noise_level : float or (float, float), default=0.1
        Standard deviation of the noise to train with, in the units of the images, or a range, from
        which that of every patch is drawn.
    depth : int, default=None
        Number of convolutions; None is 17, or as many as `weights` has.
    width : int, default=None
        Channels between them; None is 64, or as many as `weights` has.
    residual : bool, default=True
        Whether the network gives the noise, not the image.
    noise_level_input : bool, default=False
        Give the network the noise level as a further channel, as FFDNet does: with a range as
        `noise_level` one network serves all levels of a solver's schedule.
    spectral_norm : float, default=None
        Largest norm that each convolution may have, as a map of images of any size (by a bound, up
        to 6 percent too careful). With 1, ``R`` is nonexpansive, which the convergence of
        plug-and-play methods asks for (Ryu et al. 2019). None sets no limit.
    weights : path-like, default=None
        Weights to begin with, a state dict in a file (by `torch.save` or in safetensors), which is
        read without running code: of KAIR and DPIR ("model.0.weight", ...), of DeepInverse
        ("in_conv.weight", ...), of this library. Without `fit` they are used as they are. The
        published networks are for images in [0, 1]; those of one noise level have 17 layers, the
        blind and the colour ones, and DeepInverse's, 20.
    patch_size : int, default=40
        Rows and columns of the patches to learn from; smaller images are taken whole, or, beside
        larger ones, continued as in a mirror.
    patches_per_image : int, default=None
        Patches drawn of an image in an epoch; None is as many as cover its area.
    augment : bool, default=True
        Turn patches by right angles, and mirror them, at random.
    loss : {"l1", "l2", "ssim", "lpips"}, Loss, dict or callable, default="l2"
        What training minimises between denoised and clean patches, see `skmetainv.losses`.
    lr : float, default=1e-3
        Learning rate.
    optimizer : {"adam", "adamw", "sgd"} or Optimizer, default="adam"
        How gradients change the weights, see `skmetainv.training`.
    lr_schedule : {"constant", "cosine"} or LearningRate, default="constant"
        What the learning rate is multiplied by in the course of `fit`, see `skmetainv.training`.
    max_grad_norm : float, default=None
        Scale gradients down to this norm where it is larger.
    max_epochs : int, default=50
        Number of epochs.
    batch_size : int, default=16
        Patches in a step, and images that `predict` denoises at a time.
    early_stopping : bool, default=False
        Stop when the validation PSNR no longer rises, and keep the weights that had the best.
    validation_fraction : float, default=0.1
        Share of the images, drawn at random, that early stopping holds out where `fit` is given no
        `X_val`.
    n_iter_no_change : int, default=10
        Epochs in a row without a better PSNR, after which early stopping stops.
    tol : float, default=0.0
        By how many decibels it must be better.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of flat images; with None they are
        square if they can be, else one row.
    data_range : float or (float, float), default=None
        The largest value of images, or the least and the largest. With None floats are nominally in
        [0, 1] and integers are divided by their type's maximum.
    clip : (float, float), default=None
        Clip predictions to this range.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations; with "bfloat16" convolutions are computed in it,
        and weights and images are float32.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device when there is one, else the CPU.
    checkpoint : path-like or Checkpoint, default=None
        A file that `fit` writes from time to time and goes on from, see
        `skmetainv.training.Checkpoint`.
    warm_start : bool, default=False
        Let `fit` begin with the weights of the last call, and add epochs to it.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of initial weights, patches and noise.
    verbose : int, default=0
        1 draws a progress bar, with the figures of `history_`.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The network's weights, named as KAIR names them.
    history_ : dict of str to list
        For each epoch: ``loss``, the mean over patches, ``validation_psnr`` where there is one,
        ``learning_rate``, and ``seconds``.
    n_iter_ : int
        Number of epochs trained.
    image_shape_, measurement_shape_ : tuple of int
        Shape of a training image. Predictions may have another height and width.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    operator_ : Identity
        What is measured of an image: itself.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, where `X` was a data frame.

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

    _architecture = ("depth", "width", "residual", "noise_level_input")
    _parameter_constraints = {
        **LearnedDenoiser._parameter_constraints,
        "depth": [Interval(Integral, 2, None, closed="left"), None],
        "width": [Interval(Integral, 1, None, closed="left"), None],
        "residual": ["boolean"],
        "noise_level_input": ["boolean"],
        "spectral_norm": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        noise_level: float | tuple[float, float] = 0.1,
        depth: int | None = None,
        width: int | None = None,
        *,
        residual: bool = True,
        noise_level_input: bool = False,
        spectral_norm: float | None = None,
        weights: str | PathLike[str] | None = None,
        patch_size: int = 40,
        patches_per_image: int | None = None,
        augment: bool = True,
        loss: LossLike = "l2",
        lr: float = 1e-3,
        optimizer: str | Optimizer = "adam",
        lr_schedule: str | LearningRate = "constant",
        max_grad_norm: float | None = None,
        max_epochs: int = 50,
        batch_size: int = 16,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 0.0,
        image_shape: tuple[int, ...] | None = None,
        data_range: Any = None,
        clip: tuple[float, float] | None = None,
        precision: str = "float32",
        device: str | torch.device = "auto",
        checkpoint: str | PathLike[str] | Checkpoint | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.noise_level = noise_level
        self.weights = weights
        self.patch_size = patch_size
        self.patches_per_image = patches_per_image
        self.augment = augment
        self.loss = loss
        self.lr = lr
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.max_grad_norm = max_grad_norm
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.image_shape = image_shape
        self.data_range = data_range
        self.clip = clip
        self.precision = precision
        self.device = device
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.depth = depth
        self.width = width
        self.residual = residual
        self.noise_level_input = noise_level_input
        self.spectral_norm = spectral_norm

    def _network(self, channels: int, **architecture: Any) -> Network:
        return _DnCNN(channels, **architecture)

    def _chosen_architecture(self, published: State) -> dict[str, Any]:
        chosen, depth, width = super()._chosen_architecture(published), 17, 64
        if "model.0.weight" in published:
            depth = sum(name.endswith(".weight") for name in published)
            width = len(published["model.0.weight"])
        depth = depth if self.depth is None else self.depth
        return {**chosen, "depth": depth, "width": width if self.width is None else self.width}

    def _constrain(self, network: nn.Module) -> None:
        if self.spectral_norm is not None:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    limit_norm(layer.weight, self.spectral_norm)

    def _published(self, state: State) -> State:
        if "in_conv.weight" not in state:
            return state
        depth = 2 + sum(key.startswith("conv_list.") for key in state) // 2
        places = {"in_conv": 0, "out_conv": 2 * (depth - 1)}
        places |= {f"conv_list.{i}": 2 * (i + 1) for i in range(depth - 2)}
        renamed = {}
        for key, value in state.items():
            layer, _, part = key.rpartition(".")
            sign = -1 if layer == "out_conv" and self.residual else 1  # theirs adds its output
            renamed[f"model.{places[layer]}.{part}" if layer in places else key] = sign * value
        return renamed


class _DnCNN(Network):
    def __init__(
        self, channels: int, depth: int, width: int, residual: bool, noise_level_input: bool
    ):
        super().__init__()
        self.residual, self.takes_noise_level = residual, noise_level_input
        self.extent = extent([depth])
        widths = [channels + noise_level_input, *[width] * (depth - 1), channels]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            conv = skip_init(nn.Conv2d, n_in, n_out, 3, padding=1, dtype=torch.float64)
            layers += [conv, nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        z = x
        if self.takes_noise_level:
            z = torch.cat([x, noise_level.expand(len(x), 1, *x.shape[2:])], dim=1)
        out = self.model(z)
        return x - out if self.residual else out
