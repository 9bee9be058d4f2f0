"""The settings that are timed: our estimators, and the same problems for the plain scripts."""

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from benchmarks.speed.scripts import Network, Task
from skmetainv import MetaInverseSolver
from skmetainv.denoisers import FunctionDenoiser
from skmetainv.meta import MAML, InnerLoss, PerParameter, PerStep
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels, Operator
from skmetainv.representations import ModulatedSiren, Representation, Siren
from skmetainv.solvers import RED, GradientDescent, Solver
from skmetainv.training import Adam

SEED, STEP_SIZE = 0, 0.9
_PER_STEP, _PER_PARAMETER = MAML(step_sizes=PerStep()), MAML(step_sizes=PerParameter())

_INPAINTING, _SIREN = Inpainting(), Siren()
_ONE_STEP = GradientDescent(n_iter=1, step_size=STEP_SIZE)


class DenoiserNetwork(nn.Module):
    """The layers of a DnCNN of 17 layers and width 64, with random weights."""

    def __init__(self, channels, depth=17, width=64):
        super().__init__()
        sizes = [channels, *[width] * (depth - 1), channels]
        layers = [
            layer
            for n, n_out in pairwise(sizes)
            for layer in (nn.Conv2d(n, n_out, 3, padding=1), nn.ReLU())
        ]
        self.layers = nn.Sequential(*layers[:-1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.weight, std=(9 * layer.in_channels) ** -0.5)
                    nn.init.zeros_(layer.bias)
        self.requires_grad_(False)

    def forward(self, x, noise_level=None):
        """Return denoised images."""
        return x - 0.1 * self.layers(x)

    def __repr__(self):
        return f"DenoiserNetwork({self.layers[0].in_channels})"


@dataclass(frozen=True)
class Row:
    """A training step.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width of the images.
    batch : int
        Number of images in a step.
    operator, solver, init, n_inner, inner_lr, outer_lr, algorithm, precision
        Parameters of `MetaInverseSolver`.
    scripts : tuple of str
        The scripts to compare with.
    beside : Representation, default=None
        Our estimator is also timed with this representation in place of `init`.
    """

    shape: tuple[int, int, int]
    batch: int = 5
    operator: Operator = _INPAINTING
    solver: Solver | None = _ONE_STEP
    init: Representation = _SIREN
    n_inner: int = 5
    inner_lr: float = 0.01
    outer_lr: float = 1e-5
    algorithm: MAML = _PER_STEP
    precision: str = "float32"
    scripts: tuple[str, ...] = ("higher", "torch.func")
    beside: Representation | None = None

    @property
    def has_convolutions(self):
        """Whether the prior of the solver is a network."""
        return isinstance(self.solver, RED)

    def images(self):
        """Return smooth random images, channels last if there are several."""
        rng = np.random.default_rng(SEED)
        x = torch.from_numpy(rng.random((self.batch, *self.shape), dtype=np.float32))
        x = nn.functional.avg_pool2d(x, 5, stride=1, padding=2).numpy()
        return np.moveaxis(x, 1, -1) if self.shape[0] > 1 else x[:, 0]

    def estimator(self, device, n_steps):
        """Return the estimator, which trains for some steps of one batch each."""
        return MetaInverseSolver(
            self.operator,
            self.solver,
            init=self.init,
            n_inner=self.n_inner,
            inner_lr=self.inner_lr,
            inner_loss=InnerLoss("l2", of="result"),
            outer_lr=self.outer_lr,
            algorithm=clone(self.algorithm).set_params(step_sizes__lr=self.outer_lr),
            tune_solver=False,
            batch_size=self.batch,
            max_epochs=n_steps,
            optimizer=Adam(schedule="constant", max_grad_norm=None),
            augment=False,
            early_stopping=False,
            precision=self.precision,
            device=device,
            random_state=SEED,
        )

    def task(self, device, images=None):
        """Return the same problem for a script; `images` replace the random ones."""
        images = self.images() if images is None else images
        A = self.operator.build(self.shape).to(device, torch.float32)
        drawn = A.draw([np.random.default_rng((SEED, i)) for i in range(len(images))])
        x = images.reshape(len(images), *self.shape[1:], self.shape[0])
        x = torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, 1).to(device)
        y, mask = torch.nan_to_num(drawn(x)), torch.nan_to_num(drawn(torch.ones_like(x)))
        network = Network(self.shape, self.init.width, self.init.depth, SEED).to(device)
        blurred = isinstance(self.operator, GaussianBlur)
        if blurred:
            transfer, weight = _transfer_function(A, x), self.solver.weight
            D = deepcopy(self.solver.denoiser.function).to(device)

            def forward(x, mask):
                return torch.fft.irfft2(transfer * torch.fft.rfft2(x), s=x.shape[-2:])

            def f(x, y, mask):
                x, adjoint_y = x[None], transfer.conj() * torch.fft.rfft2(y)
                for _ in range(self.solver.n_iter):
                    right = adjoint_y + weight * torch.fft.rfft2(D(x, None))
                    x = torch.fft.irfft2(right / (transfer.abs() ** 2 + weight), s=x.shape[-2:])
                return x[0]

        else:

            def forward(x, mask):
                return mask * x

            def f(x, y, mask):
                return x if self.solver is None else x - STEP_SIZE * mask * (mask * x - y)

        return Task(
            network=network,
            f=f,
            A=forward,
            x=x,
            y=y,
            mask=mask,
            n_inner=self.n_inner,
            inner_lr=self.inner_lr,
            outer_lr=self.outer_lr,
            per_parameter=isinstance(self.algorithm.step_sizes, PerParameter),
        )

    def operations(self):
        """Return the least number of operations in matrix products of a step.

        For a matrix of the network, an inner step has nine products: one for the values, two for
        the gradient, four for the derivatives of the gradient, and two for the backward pass of
        the values. The first layer has four, because its inputs are constants. If shifts are
        adapted, inner gradients of matrices and their derivatives are not needed, and six and two
        remain. The last image adds three, or two. Inner steps without a solver need only the pixels
        that are observed. Convolutions do not count.
        """
        sizes = [2, *[self.init.width] * (self.init.depth - 1), self.shape[0]]
        first, *others = [n * n_out for n, n_out in pairwise(sizes)]
        of_first, of_others = (2, 6) if isinstance(self.init, ModulatedSiren) else (4, 9)
        n_pixels = self.shape[1] * self.shape[2]
        seen = n_pixels
        if self.solver is None:
            seen = float(self.task("cpu").mask[:, 0].sum()) / self.batch
        inner = self.n_inner * seen * (of_first * first + of_others * sum(others))
        return 2 * self.batch * (inner + n_pixels * (2 * first + 3 * sum(others)))


def _transfer_function(A, x):
    delta = torch.zeros_like(x[:1])
    delta[..., 0, 0] = 1.0
    return torch.fft.rfft2(A(delta))[0]


_RED = RED(FunctionDenoiser(DenoiserNetwork(3)), n_iter=3, weight=0.1)
_MISSING = Row(
    (3, 32, 32),
    batch=16,
    solver=None,
    algorithm=_PER_PARAMETER,
    scripts=("higher",),
)
_STEP = {
    "32 x 32": Row((1, 32, 32)),
    "64 x 64": Row((1, 64, 64)),
    "128 x 128 x 3": Row((3, 128, 128)),
}
ROWS = {
    **{f"Table 1, {size}": row for size, row in _STEP.items()},
    **{
        f"Table 1, {size}, bfloat16": replace(row, precision="bfloat16", scripts=("higher",))
        for size, row in _STEP.items()
    },
    **{
        f"Table 2, {name} observed": replace(_MISSING, operator=MissingPixels(observed=n))
        for name, n in {"10": 10, "512": 512, "1000": 1000, "10 to 1000": (10, 1000)}.items()
    },
    "Table 3": Row(
        (3, 64, 64),
        batch=3,
        operator=GaussianBlur(sigma=1.6),
        solver=_RED,
        n_inner=3,
        algorithm=_PER_PARAMETER,
        scripts=("higher",),
    ),
    "ModulatedSiren, 64 x 64": replace(
        _STEP["64 x 64"], init=ModulatedSiren(), scripts=(), beside=_SIREN
    ),
}
