"""Settings of the experiments, and the paper's results."""

from dataclasses import dataclass, field, replace
from typing import Any

from skmetainv.meta import MAML, PerParameter, PerStep
from skmetainv.training import Adam

NOISE = 0.015  # "noise level 1.5%", standard deviation in images of [0, 1]
DENOISER_NOISE = 0.05  # "noise level 5%"
N_UPDATES = 12  # all updates of the solver: 3 x (3 + 1)
INPAINTING, MISSING, DEBLURRING, TUNED = 1, 2, 3, 4  # the tables


@dataclass(frozen=True)
class Preset:
    """Sizes of the experiments.

    `sizes` and `epochs` are by table. `columns` has settings in addition to those of `columns.py`,
    by table and by prefix of the columns' names.
    """

    name: str
    sizes: dict[int, int]
    epochs: dict[int, int]
    color: bool
    n_training: int | None
    n_validation: int
    n_test: int
    siren_width: int
    unet: dict[str, Any]
    denoiser: dict[str, Any]
    blur: float
    columns: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    crops: int = 0
    in_memory: bool = True

    def batch_size(self, table: int) -> int:
        """Return the number of images per outer step in the paper."""
        return 5 if table in (INPAINTING, MISSING) else 3

    def of_columns(self, table: int) -> dict[str, dict[str, Any]]:
        """Return the settings of a table's columns by prefix of their name; the last match wins."""
        return {name: own for (of, name), own in self.columns.items() if of == table}


# The paper's settings, if it states them. The paper does not state
# - the length of training: here 150 000 outer steps;
# - the width of its blur: here that of Zhang et al. (2017);
# - sizes and training of its denoiser and U-Net: here as in the papers that it cites; the U-Net
#   receives the mask, adds its output to the measurement and has ten times the learning rate;
# - penalties and starts of RED and HQS: here our default penalties, and the measurement as start;
#   converged HQS runs to the end of a schedule of 30 updates;
# - the learning rate of step sizes: here the outer learning rate.
# One network serves all rows of Table 2. It is trained on random pixels only, not on "half".
# Table 4 learns penalties, too. A folder with ``train`` and ``val`` is split accordingly (CelebA's
# parts). Otherwise files are split by name alone, which does not identify persons in CelebA.
FULL = Preset(
    name="full",
    sizes={INPAINTING: 128, MISSING: 32, DEBLURRING: 64, TUNED: 64},
    epochs={INPAINTING: 5, MISSING: 5, DEBLURRING: 3, TUNED: 3},
    color=True,
    n_training=150_000,
    n_validation=500,
    n_test=500,
    siren_width=256,
    unet={"width": 64, "depth": 5},
    denoiser={
        "depth": 17,
        "width": 64,
        "max_epochs": 2,
        "optimizer": Adam(schedule="constant", max_grad_norm=None),
    },
    blur=1.6,
    columns={
        (table, "Meta"): {
            "outer_lr": 1e-5,
            "inner_lr": 0.01,
            "algorithm": MAML(
                step_sizes=PerStep(lr=1e-5) if table == INPAINTING else PerParameter(lr=1e-5)
            ),
            "inner_loss__fidelity__reduction": "sum",
        }
        for table in (INPAINTING, MISSING, DEBLURRING, TUNED)
    }
    | {(table, "UNet"): {"lr": 1e-4} for table in (INPAINTING, MISSING)}
    | {(TUNED, name): {"lr": 1e-5} for name in ("RED", "HQS")},
    in_memory=False,
)

_FALLING, _CLIPPED = Adam(max_grad_norm=None), Adam(max_grad_norm=0.1)
# Learning rates are annealed, so that columns are compared after convergence. All other settings,
# except the denoiser's, were chosen by --tune on validation images.
_QUICK: dict[tuple[int, str], dict[str, Any]] = {
    (INPAINTING, "Meta"): {
        "outer_lr": 3e-4,
        "inner_lr": 3.0,
        "optimizer": _CLIPPED,
    },
    (INPAINTING, "Meta-2"): {"inner_lr": 10.0},
    (INPAINTING, "UNet"): {"lr": 3e-3, "optimizer": _CLIPPED},
    (MISSING, "Meta"): {
        "outer_lr": 3e-4,
        "inner_lr": 0.03,
        "optimizer": _CLIPPED,  # without clipping, training diverges
    },
    (MISSING, "UNet"): {"lr": 1e-2, "optimizer": _CLIPPED},
    (DEBLURRING, "Meta"): {
        "outer_lr": 3e-4,
        "inner_lr": 30.0,
        "optimizer": _FALLING,
        "solver__weight": 0.2,
    },
    (DEBLURRING, "RED"): {"solver__weight": 0.05},
    (DEBLURRING, "HQS"): {"solver__weight": 0.1, "solver__measurement_noise": 0.05},
    (TUNED, "Meta"): {
        "outer_lr": 3e-4,
        "inner_lr": 30.0,
        "optimizer": _FALLING,
        "solver__weight": 0.2,
    },
    (TUNED, "RED"): {"lr": 3e-4, "solver__weight": 0.05, "optimizer": _FALLING},
    (TUNED, "HQS"): {
        "lr": 3e-4,
        "solver__weight": 0.1,
        "solver__measurement_noise": 0.05,
        "optimizer": _FALLING,
    },
}
# Seconds per step on one thread of an AMD EPYC. Every column of a table is trained for about the
# same time as the slowest. Tables 2 and 3 were measured, and run, before `sine_layers` made a
# SIREN's steps shorter.
STEP_SECONDS = {
    INPAINTING: {"Meta-2": 0.057, "Meta-3": 0.079, "Meta-5": 0.126, "Meta-7": 0.172, "UNet": 0.014},
    MISSING: {"Meta": 0.226, "UNet": 0.025},
    DEBLURRING: {"Meta-RED": 0.25},
    TUNED: {"Meta-RED": 0.156, "RED": 0.047, "HQS": 0.047},
}
_QUICK_EPOCHS = {INPAINTING: 2, MISSING: 2, DEBLURRING: 1, TUNED: 1}  # epochs of the slowest column
_EQUAL_TIME = {
    (table, name): round(_QUICK_EPOCHS[table] * max(seconds.values()) / own)
    for table, seconds in STEP_SECONDS.items()
    for name, own in seconds.items()
}
QUICK = Preset(
    name="quick",
    sizes=dict.fromkeys((INPAINTING, MISSING, DEBLURRING, TUNED), 32),
    epochs=_QUICK_EPOCHS,
    color=False,
    n_training=None,
    n_validation=300,
    n_test=500,
    siren_width=64,
    unet={"width": 16, "depth": 4},
    denoiser={"depth": 6, "width": 24, "lr": 2e-3, "optimizer": _FALLING, "max_epochs": 6},
    blur=1.6,
    columns=_QUICK
    | {place: _QUICK.get(place, {}) | {"max_epochs": n} for place, n in _EQUAL_TIME.items()},
)

# Square crops of colour photographs.
COLOR = replace(
    QUICK,
    name="color",
    epochs=dict.fromkeys((INPAINTING, MISSING, DEBLURRING, TUNED), 1),
    color=True,
    columns=_QUICK,
    n_validation=200,
    crops=20,
)

# For tests only: too small to learn anything.
TINY = replace(
    QUICK,
    name="tiny",
    sizes=dict.fromkeys((INPAINTING, MISSING, DEBLURRING, TUNED), 18),
    epochs=dict.fromkeys((INPAINTING, MISSING, DEBLURRING, TUNED), 1),
    n_training=10,
    n_validation=5,
    n_test=6,
    siren_width=8,
    unet={"width": 4, "depth": 2},
    denoiser={"depth": 3, "width": 4, "max_epochs": 1},
    columns={
        (MISSING, "Meta"): {"inner_lr": 0.1, "optimizer": _CLIPPED},
        (MISSING, "UNet"): {"optimizer": _CLIPPED},
    },
)

PRESETS = {preset.name: preset for preset in (FULL, QUICK, COLOR, TINY)}

# The paper's Tables 1 to 4: MSE, PSNR, SSIM and LPIPS by column, and by row in Table 2.
PUBLISHED = {
    INPAINTING: {
        ("", "Meta-2"): {"mse": 8.0e-4, "psnr": 32.2, "ssim": 0.961, "lpips": 0.0263},
        ("", "Meta-3"): {"mse": 7.8e-4, "psnr": 32.3, "ssim": 0.962, "lpips": 0.0251},
        ("", "Meta-5"): {"mse": 7.5e-4, "psnr": 32.6, "ssim": 0.965, "lpips": 0.0244},
        ("", "Meta-7"): {"mse": 7.3e-4, "psnr": 32.7, "ssim": 0.965, "lpips": 0.0247},
        ("", "UNet"): {"mse": 6.8e-4, "psnr": 32.9, "ssim": 0.967, "lpips": 0.0226},
    },
    MISSING: {
        ("10", "Meta"): {"psnr": 12.5, "lpips": 2.0e-1},
        ("500", "Meta"): {"psnr": 27.6, "lpips": 5.6e-3},
        ("1000", "Meta"): {"psnr": 38.4, "lpips": 3.0e-4},
        ("Half", "Meta"): {"psnr": 17.4, "lpips": 3.8e-2},
        ("10", "UNet"): {"psnr": 15.1, "lpips": 1.2e-1},
        ("500", "UNet"): {"psnr": 28.8, "lpips": 4.2e-3},
        ("1000", "UNet"): {"psnr": 39.9, "lpips": 2.8e-4},
        ("Half", "UNet"): {"psnr": 17.6, "lpips": 4.5e-2},
    },
    DEBLURRING: {
        ("", "Meta-RED L1"): {"psnr": 29.3, "ssim": 0.917, "lpips": 0.101, "mse": 1.26e-3},
        ("", "Meta-RED L2"): {"psnr": 29.4, "ssim": 0.918, "lpips": 0.100, "mse": 1.23e-3},
        ("", "Meta-RED LPIPS"): {"psnr": 28.3, "ssim": 0.897, "lpips": 0.094, "mse": 1.60e-3},
        ("", "RED 12"): {"psnr": 27.7, "ssim": 0.898, "lpips": 0.137, "mse": 1.83e-3},
        ("", "RED converged"): {"psnr": 29.3, "ssim": 0.913, "lpips": 0.125, "mse": 1.25e-3},
        ("", "HQS 12"): {"psnr": 28.4, "ssim": 0.909, "lpips": 0.136, "mse": 1.55e-3},
        ("", "HQS converged"): {"psnr": 30.1, "ssim": 0.921, "lpips": 0.130, "mse": 1.06e-3},
    },
    TUNED: {
        ("", "Meta-RED L1"): {"psnr": 30.3, "ssim": 0.929, "lpips": 0.097, "mse": 1.0e-3},
        ("", "Meta-RED L2"): {"psnr": 30.3, "ssim": 0.928, "lpips": 0.095, "mse": 1.0e-3},
        ("", "Meta-RED LPIPS"): {"psnr": 29.1, "ssim": 0.91, "lpips": 0.073, "mse": 1.3e-3},
        ("", "RED(12)"): {"psnr": 30.1, "ssim": 0.928, "lpips": 0.100, "mse": 1.1e-3},
        ("", "HQS(12)"): {"psnr": 31.0, "ssim": 0.938, "lpips": 0.090, "mse": 8.5e-4},
    },
}
# The metrics of each table in order, and the network of its LPIPS.
METRICS = {
    INPAINTING: ("mse", "psnr", "ssim", "lpips"),
    MISSING: ("psnr", "lpips"),
    DEBLURRING: ("psnr", "ssim", "lpips", "mse"),
    TUNED: ("psnr", "ssim", "lpips", "mse"),
}
LPIPS_NET = {INPAINTING: "alex", MISSING: "alex", DEBLURRING: "vgg", TUNED: "vgg"}
