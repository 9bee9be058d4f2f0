"""Train a small DnCNN and compare it with classical denoisers on standard test images.

    python -m benchmarks.denoising --train FOLDER --validation FOLDER --test FOLDER
        [--noise-level 25] [--epochs 12] [--state FILE]

The images are gray photographs with white Gaussian noise of standard deviation 25/255, not clipped.
The network is trained on the first folder, epoch by epoch. Its state is written to a file after
each epoch, so that an interrupted run resumes. The strengths of the classical denoisers are chosen
on the validation folder. The test images are then scored once, with one noise realisation each,
from a fixed seed.
"""

import time
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from benchmarks.command_line import command_line
from benchmarks.record import save
from skmetainv.denoisers import DnCNN, TotalVariation, Wavelet
from skmetainv.metrics import psnr
from skmetainv.noise import GaussianNoise
from skmetainv.training import Adam

SUFFIXES = {".jpg", ".png"}
# Mean over Set12 at noise level 25: Zhang et al. (2017), table III, DnCNN-S with 17 layers.
PUBLISHED = 30.43
STRENGTHS = {
    "skimage.restoration.denoise_nl_means": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "skimage.restoration.denoise_tv_chambolle": (0.6, 0.8, 1.0, 1.2, 1.4, 1.6),
    "skmetainv.denoisers.TotalVariation": (0.6, 0.8, 1.0, 1.2, 1.4),
    "skmetainv.denoisers.Wavelet": (0.6, 0.8, 1.0, 1.2, 1.5, 2.0),
}


def photographs(folder):
    """Return gray images in [0, 1], and their names."""
    files = sorted(f for f in Path(folder).iterdir() if f.suffix.lower() in SUFFIXES)
    images = [np.asarray(Image.open(f).convert("L"), dtype=np.float32) / 255 for f in files]
    return images, [f.stem for f in files]


def noisy_copies(images, noise_level):
    """Return the images with noise; image i uses seed i."""
    add = GaussianNoise(noise_level).build()
    return [
        add(torch.from_numpy(x)[None, None], [np.random.default_rng(i)])[0, 0].numpy()
        for i, x in enumerate(images)
    ]


def classical(name, noise_level, strength):
    """Return a function that denoises one image."""
    if name.endswith("denoise_nl_means"):
        # Patches and distances of scikit-image's example; the standard deviation is known.
        return lambda y: denoise_nl_means(
            y, patch_size=5, patch_distance=6, h=strength * noise_level, sigma=noise_level
        )
    if name.endswith("denoise_tv_chambolle"):
        return lambda y: denoise_tv_chambolle(y, weight=strength * noise_level, max_num_iter=500)
    kind = TotalVariation if name.endswith("TotalVariation") else Wavelet
    denoiser = kind(noise_level=noise_level, scale=strength)

    def denoise(y):
        with torch.no_grad():
            return denoiser.build((1, *y.shape))(torch.from_numpy(y)[None, None])[0, 0].numpy()

    return denoise


def ratios(images, denoised):
    return [psnr(x[None], z[None]) for x, z in zip(images, denoised, strict=True)]


def tuned(folder, noise_level, n_images):
    """Return the best strength of every classical denoiser on the validation images."""
    images = photographs(folder)[0][:n_images]
    noisy = noisy_copies(images, noise_level)
    chosen, table = {}, {}
    for name, strengths in STRENGTHS.items():
        table[name] = {
            s: float(np.mean(ratios(images, map(classical(name, noise_level, s), noisy))))
            for s in strengths
        }
        chosen[name] = max(table[name], key=table[name].get)
        print(f"{name}: {table[name]}", flush=True)
    return chosen, table


def trained(folder, validation, denoiser, epochs, state):
    """Return the denoiser after `epochs`, resumed from the state's file if it exists."""
    images, held_out = photographs(folder)[0], photographs(validation)[0]
    if state.exists():
        loaded = joblib.load(state)
        if loaded.get_params() != denoiser.get_params():
            raise ValueError(f"{state} has {loaded!r}, not {denoiser!r}: pass another --state.")
        denoiser = loaded
    while getattr(denoiser, "n_epochs_", 0) < epochs:
        began = time.perf_counter()
        denoiser.partial_fit(images)
        joblib.dump(denoiser, state)
        print(
            f"epoch {denoiser.n_epochs_}: {time.perf_counter() - began:.0f} s, "
            f"loss {denoiser.history_['loss'][-1]:.3g}, "
            f"validation {denoiser.score(held_out[:20]):.3f} dB",
            flush=True,
        )
    return denoiser


def main():
    parser = command_line(__doc__)
    for name in ("train", "validation", "test"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--noise-level", type=float, default=25)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--state", type=Path, default=Path("denoising.joblib"))
    options = parser.parse_args()
    noise_level = options.noise_level / 255
    denoiser = DnCNN(
        noise_level=noise_level,
        depth=options.depth,
        width=options.width,
        optimizer=Adam(schedule="constant", max_grad_norm=None),
        max_epochs=options.epochs,
        random_state=0,
    )
    denoiser = trained(options.train, options.validation, denoiser, options.epochs, options.state)
    strengths, table = tuned(options.validation, noise_level, 20)
    images, names = photographs(options.test)
    noisy = noisy_copies(images, noise_level)
    results = {"noisy": ratios(images, noisy)}
    for name, strength in strengths.items():
        results[name] = ratios(images, map(classical(name, noise_level, strength), noisy))
    results["skmetainv.denoisers.DnCNN"] = ratios(images, denoiser.predict(noisy))
    print(f"{'':45}" + " ".join(f"{n:>6}" for n in names) + "   mean")
    for name, values in results.items():
        print(f"{name:45}" + " ".join(f"{v:6.2f}" for v in [*values, np.mean(values)]))
    patches = sum(-(-x.size // denoiser.patch_size**2) for x in photographs(options.train)[0])
    steps = -(-patches // denoiser.batch_size) * denoiser.n_epochs_
    print(f"{steps} steps of {denoiser.batch_size} patches; the full model, published: {PUBLISHED}")
    settings = {
        "estimator": repr(denoiser),
        "steps": steps,
        "seconds": sum(denoiser.history_["seconds"]),
        "loss": denoiser.history_["loss"],
        "strengths": strengths,
        "validation": table,
        "images": names,
        "published_full_model_mean": PUBLISHED,
    }
    print(save("denoising", settings, {name: list(map(float, v)) for name, v in results.items()}))


if __name__ == "__main__":
    main()
