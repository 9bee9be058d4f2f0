"""Time of every operator at three sizes, compared with DeepInverse in the same run.

    python -m benchmarks.operators [--sizes 64 128 256] [--only NAME ...] [--device cuda]

The benchmark times forward, adjoint and proximal step (``rho = 0.1 ||A||^2``) of one image in
float32, without gradients. The two libraries run in turn. Times are medians in milliseconds, and
each ratio is the median over pairs of runs (above 1: ours is faster). If DeepInverse iterates, it
uses our tolerance, a relative residual of 1e-6, instead of its default of 1e-4 with at most 50
iterations. If both libraries have the same operator, `difference` is the relative difference of
their results.
"""

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import deepinv
import numpy as np
import torch

from benchmarks.command_line import command_line
from benchmarks.record import save
from skmetainv.operators import (
    Blur,
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    LinearMap,
    MissingPixels,
    Mosaic,
    MotionBlur,
    MultiCoilMRI,
    Operator,
    PhaseRetrieval,
    Radon,
    Saturation,
    Stack,
)

SHARE, SECONDS, PAIRS = 0.1, 1.0, (5, 200)
NAMES = ("forward", "adjoint", "prox")
# Dense matrices of larger images do not fit, or take minutes to decompose.
DENSE = 64


@dataclass
class Row:
    """An operator, the images' channels, and a function that builds DeepInverse's counterpart.

    `largest` is the largest image side. `same` says whether both compute the same.
    """

    operator: Any
    channels: int
    theirs: Any = None
    largest: int = 256
    same: bool = True


def fourier_mask(A):
    return A.observed[0, 0, :, :, 0].float()


def centred(kernel):
    return torch.from_numpy(np.array(kernel)).float()[None, None]


def mask_physics(A):
    return deepinv.physics.Inpainting(A.image_shape, mask=A.observed[0])


def blur_physics(operator, padding):
    return lambda A: deepinv.physics.Blur(filter=centred(operator.kernel), padding=padding)


def circular_physics(operator):
    return lambda A: deepinv.physics.BlurFFT(A.image_shape, filter=centred(operator.kernel))


def downsampling_physics(operator):
    return lambda A: deepinv.physics.Downsampling(
        A.image_shape, filter=centred(operator.kernel), factor=2, padding="circular"
    )


def sensing_physics(A):
    physics = deepinv.physics.CompressedSensing(m=len(A.matrix), img_size=A.image_shape)
    physics._A.data = A.matrix.clone()
    physics._A_dagger.data = torch.linalg.pinv(A.matrix)
    physics._A_adjoint.data = A.matrix.T.clone()
    return physics


WIDE, MOTION = GaussianBlur(sigma=3.0), MotionBlur(length=15.0, angle=30.0)
MIRRORED = GaussianBlur(sigma=3.0, boundary="reflect")
DECIMATED = GaussianBlur(sigma=1.0)
# A camera shake: a smoothed random walk
STEPS = np.cumsum(np.random.default_rng(0).normal(size=(2, 400)), axis=1)
STEPS = 11 * STEPS / np.abs(STEPS).max()
LARGE = np.histogram2d(*STEPS, bins=23, range=[[-11.5, 11.5]] * 2)[0] / STEPS.shape[1]


class BayerMask(Operator):
    """The pixels that Mosaic("BGGR") observes, in three channels."""

    def build(self, image_shape):
        """Return the map of the mask."""
        mask = Mosaic("BGGR").build(image_shape).mask.bool().permute(1, 2, 0).numpy()
        return Inpainting(mask).build(image_shape)


NEAREST = Downsampling(2, prefilter="nearest")
BROKEN = [(NEAREST, "prox")]  # DeepInverse raises a TypeError without a filter
# DeepInverse's names of our boundaries
PADDINGS = {"reflect": "reflect", "replicate": "replicate", "zero": "constant", "valid": "valid"}

ROWS = {
    "Identity": Row(Identity(), 3, lambda A: deepinv.physics.Denoising()),
    "Inpainting": Row(Inpainting(), 3, mask_physics),
    "MissingPixels": Row(MissingPixels(0.5), 3, mask_physics),
    "GaussianBlur(3)": Row(WIDE, 3, circular_physics(WIDE)),
    "MotionBlur(15, 30)": Row(MOTION, 3, circular_physics(MOTION)),
    "GaussianBlur(3, boundary='reflect')": Row(MIRRORED, 3, blur_physics(MIRRORED, "reflect")),
    **{
        f"MotionBlur(15, 30, boundary={boundary!r})": Row(
            MotionBlur(15.0, angle=30.0, boundary=boundary), 3, blur_physics(MOTION, padding)
        )
        for boundary, padding in PADDINGS.items()
    },
    **{
        f"Blur(23 x 23, boundary={boundary!r})": Row(
            Blur(LARGE, boundary=boundary), 3, blur_physics(Blur(LARGE), padding)
        )
        for boundary, padding in {"circular": "circular", **PADDINGS}.items()
    },
    "Downsampling(2, 'nearest')": Row(
        NEAREST, 3, lambda A: deepinv.physics.Downsampling(A.image_shape, filter=None, factor=2)
    ),
    "Downsampling(2, 'area')": Row(Downsampling(2), 3),
    "Downsampling(2, 'gaussian')": Row(Downsampling(2, prefilter="gaussian"), 3),
    "Downsampling(2, 'bicubic')": Row(
        Downsampling(2, prefilter="bicubic"),
        3,
        lambda A: deepinv.physics.Downsampling(A.image_shape, filter="bicubic", factor=2),
        same=False,
    ),
    "Downsampling(2, 'nearest') @ GaussianBlur(1)": Row(
        NEAREST @ DECIMATED, 3, downsampling_physics(DECIMATED)
    ),
    "Downsampling(2, 'nearest') @ MotionBlur(15, 30)": Row(
        NEAREST @ MOTION, 3, downsampling_physics(MOTION)
    ),
    "CompressedSensing('gaussian')": Row(CompressedSensing(0.25), 1, sensing_physics, DENSE),
    "CompressedSensing('rademacher')": Row(
        CompressedSensing(0.25, matrix="rademacher"), 1, sensing_physics, DENSE
    ),
    "CompressedSensing('cosine')": Row(
        CompressedSensing(0.25, matrix="cosine"),
        1,
        lambda A: deepinv.physics.StructuredRandom(
            A.image_shape, (1, A.image_shape[1] // 2, A.image_shape[2] // 2)
        ),
        same=False,
    ),
    "CompressedSensing('hadamard')": Row(
        CompressedSensing(0.25, matrix="hadamard"),
        1,
        lambda A: deepinv.physics.SinglePixelCamera(
            m=A.measurement_shape[0], img_size=A.image_shape, fast=True
        ),
        same=False,
    ),
    "FourierSampling()": Row(FourierSampling(), 1),
    "FourierSampling(complex_image=True)": Row(
        FourierSampling(complex_image=True), 2, lambda A: deepinv.physics.MRI(mask=fourier_mask(A))
    ),
    "MultiCoilMRI(4)": Row(MultiCoilMRI(4), 1),
    "MultiCoilMRI(4, complex_image=True)": Row(
        MultiCoilMRI(4, complex_image=True),
        2,
        lambda A: deepinv.physics.MultiCoilMRI(
            mask=fourier_mask(A), coil_maps=A.sensitivities[None].to(torch.complex64)
        ),
    ),
    "Radon(60)": Row(
        Radon(60),
        1,
        lambda A: deepinv.physics.Tomography(
            angles=60, img_width=A.image_shape[1], circle=False, normalize=False
        ),
        same=False,
    ),
    "Mosaic()": Row(Mosaic(), 3),  # DeepInverse keeps three channels, like the next row
    "Inpainting(Bayer's mask)": Row(
        BayerMask(), 3, lambda A: deepinv.physics.Demosaicing(A.image_shape)
    ),
    "Grayscale()": Row(Grayscale(), 3, lambda A: deepinv.physics.Decolorize(), same=False),
    "MissingPixels(0.5) @ GaussianBlur(3)": Row(MissingPixels(0.5) @ WIDE, 3),
    "MissingPixels(0.5) @ FourierSampling()": Row(MissingPixels(0.5) @ FourierSampling(), 1),
    "Stack([GaussianBlur(3), Identity()])": Row(Stack([WIDE, Identity()]), 3),
    "Saturation()": Row(Saturation(), 3),
    "PhaseRetrieval()": Row(PhaseRetrieval(), 1),
}


def our_calls(A, data, x, y, z, rho):
    if not isinstance(A, LinearMap):
        return {"forward": lambda: A(x), "adjoint": lambda: A.vjp(x, y)}
    return {
        "forward": lambda: A(x),
        "adjoint": lambda: A.adjoint(y),
        "prox": lambda: data.prox(z, rho),
    }


def their_calls(physics, x, y, z, rho):
    physics.max_iter, physics.tol = 1000, 1e-6
    return {
        "forward": lambda: physics.A(x),
        "adjoint": lambda: physics.A_adjoint(y),
        "prox": lambda: physics.prox_l2(z, y, 1 / rho),
    }


def channels_first(y):
    """Convert complex measurements to DeepInverse's layout; return others unchanged."""
    return y.movedim(-1, 1).squeeze(2) if y.ndim == 5 else y


def seconds(call, device):
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def timed(ours, theirs, device, budget=SECONDS):
    """Run pairs for `budget` seconds; return medians in milliseconds and the median ratio."""
    calls = [call for call in (ours, theirs) if call is not None]
    for call in calls:
        call()
    once = sum(seconds(call, device) for call in calls)
    n = min(PAIRS[1], max(PAIRS[0], int(budget / once)))
    pairs = [[seconds(call, device) for call in calls] for _ in range(n)]
    result = {"ours_ms": 1000 * median(pair[0] for pair in pairs), "pairs": n}
    if theirs is not None:
        result["theirs_ms"] = 1000 * median(pair[1] for pair in pairs)
        result["ratio"] = median(pair[1] / pair[0] for pair in pairs)
    return result


def measure(row, size, device):
    A = row.operator.build((row.channels, size, size))
    A = A.draw([np.random.default_rng(0)]).to(device, torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, z = torch.rand(2, 1, row.channels, size, size, generator=generator).to(device)
    y = A(x)
    rho = SHARE * float(A.norm()) ** 2 if isinstance(A, LinearMap) else None
    ours, theirs = our_calls(A, A.bind(y), x, y, z, rho), {}
    if row.theirs is not None:
        physics = row.theirs(A.cpu()).to(device)
        A.to(device)
        theirs = their_calls(physics, x, channels_first(y) if row.same else physics.A(x), z, rho)
    result = {}
    for name, call in ours.items():
        if (row.operator, name) in BROKEN:
            del theirs[name]
        result[name] = timed(call, theirs.get(name), device)
        if row.same and name in theirs:
            mine, other = channels_first(call()), theirs[name]()
            difference = (mine.flatten() - other.flatten()).norm() / mine.norm()
            result[name]["difference"] = float(difference)
    return result


def main():
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--only", nargs="+", default=list(ROWS))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device, results = torch.device(args.device), {}
    print(f"{'':50}{'size':>5}" + "".join(f"{name + ', ms':>12}{'ratio':>12}" for name in NAMES))
    with torch.no_grad():
        for name in args.only:
            for size in (size for size in args.sizes if size <= ROWS[name].largest):
                figures = measure(ROWS[name], size, device)
                results.setdefault(name, {})[size] = figures
                cells = [figures.get(kind, {}) for kind in NAMES]
                line = [f"{name:50}{size:5}"]
                for cell in cells:
                    line += [f"{cell.get(key, math.nan):12.3f}" for key in ("ours_ms", "ratio")]
                line += [f" {cell['difference']:.0e}" for cell in cells if "difference" in cell]
                print("".join(line), flush=True)
    if args.only == list(ROWS):
        settings = {"rho": "0.1 ||A||^2", "dtype": "float32", "tolerance": 1e-6, "images": 1}
        suffix = "" if device.type == "cpu" else f"_{device.type}"
        print(save(f"operators{suffix}", settings, results, device).name)


if __name__ == "__main__":
    main()
