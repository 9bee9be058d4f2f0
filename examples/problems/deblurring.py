"""
Deblurring
==========

Two photographs are deblurred by RED, HQS and ADMM with one small denoiser, and by total variation.
The same denoiser then deblurs faces: in RED alone, and in Meta-RED, where RED has a meta-learned
start. Photographs and faces are included in scikit-image.
"""

# %%
# A denoiser
# ----------
#
# A :class:`~skmetainv.denoisers.DnCNN` is trained on nine photographs, for all noise levels up to
# 0.2. :class:`~sklearn.frozen.FrozenEstimator` keeps it as it is in all that follows; without it,
# each ``fit`` would train a new one.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize
from skimage.util import img_as_float
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr, ssim
from skmetainv.operators import GaussianBlur
from skmetainv.solvers import ADMM, HQS, RED, PrimalDual


def load_photographs(names, size=192):
    """Return central squares of photographs of scikit-image, gray, of shape (n, size, size)."""
    photographs = []
    for name in names:
        image = img_as_float(getattr(data, name)())
        image = rgb2gray(image) if image.ndim == 3 else image
        side = min(image.shape)
        top, left = [(n - side) // 2 for n in image.shape]
        square = image[top : top + side, left : left + side]
        photographs.append(resize(square, (size, size), anti_aliasing=True))
    return np.stack(photographs)


photographs = load_photographs(["camera", "astronaut"])
others = load_photographs(
    ["brick", "chelsea", "clock", "coffee", "coins", "grass", "moon", "page", "rocket"]
)
denoiser = DnCNN(
    noise_level=(0.0, 0.2),
    noise_level_input=True,
    depth=5,
    width=32,
    patch_size=24,
    batch_size=4,
    lr=3e-3,
    max_epochs=14,
    random_state=0,
)
prior = FrozenEstimator(denoiser.fit(others))

# %%
# Photographs
# -----------
#
# All solvers start from the same measurements and run 30 updates; total variation needs more, but
# its updates are cheap. The noise levels of the denoiser fall from update to update. The settings
# of all four were chosen on these two photographs.

noise, blur = 0.01, GaussianBlur(sigma=1.6, boundary="reflect")
solvers = {
    "total variation": PrimalDual(n_iter=300, weight=0.0005, step_size=10.0),
    "RED": RED(prior, n_iter=30, weight=0.03, noise_level=np.geomspace(0.2, 0.04, 30)),
    "HQS": HQS(prior, n_iter=30, noise_level=np.geomspace(0.2, 0.05, 30), measurement_noise=noise),
    "ADMM": ADMM(prior, n_iter=30, rho=0.01, noise_level=np.geomspace(0.2, 0.06, 30)),
}
estimator = ClassicalReconstructor(blur, noise=noise, random_state=0)
measured = estimator.simulate(photographs)
restored = {}
for name, solver in solvers.items():
    images = estimator.set_params(solver=solver).fit(others).predict(measured)
    restored[name] = images.clip(0, 1)

print(f"{'PSNR (dB)':16}{'camera':>12}{'astronaut':>12}")
for name, images in ({"measured": measured} | restored).items():
    camera, astronaut = psnr(photographs, images, per_image=True)
    print(f"{name:16}{camera:12.2f}{astronaut:12.2f}")

# %%

display = ReconstructionDisplay.from_predictions(photographs, restored, measured=measured)

# %%
# The denoiser was trained for seconds, and hardly pays. Total variation needs no training, but is
# close to ADMM, and a little ahead of RED and HQS. A network that was trained longer is used in the
# same way, see :doc:`/gallery/own_parts/published_weights`.
#
# Faces: RED and Meta-RED
# -----------------------
#
# Meta-RED is a :class:`~skmetainv.MetaInverseSolver` whose solver is RED, here with three updates.
# It learns the start and RED's weight. RED alone starts from the adjoint and runs 30 updates. Its
# weight and noise levels, and the weight of total variation, are the best of several on the
# training faces. The linear estimate is computed from the mean and the covariance of these faces.

train, test = train_test_split(load_faces(), test_size=20, random_state=0)
task = {"operator": blur, "noise": 0.015, "random_state": 0}
long_red = RED(prior, n_iter=30, weight=0.01, noise_level=np.geomspace(0.2, 0.12, 30))
short_red = RED(prior, n_iter=3, noise_level=0.05)
estimators = {
    "total variation": ClassicalReconstructor(**task, solver=PrimalDual(300, weight=0.001)),
    "RED": ClassicalReconstructor(**task, solver=long_red),
    "linear estimate": LinearReconstructor(**task),
    "Meta-RED": MetaInverseSolver(**task, solver=short_red, n_inner=1, max_epochs=40),
}
measured = estimators["RED"].simulate(test)
restored = {name: each.fit(train).predict(measured) for name, each in estimators.items()}

print(f"{'20 test faces':16}{'PSNR (dB)':>12}{'SSIM':>8}")
for name, images in restored.items():
    print(f"{name:16}{psnr(test, images):12.2f}{ssim(test, images):8.3f}")

# %%

display = ReconstructionDisplay.from_predictions(
    test[:3], {name: images[:3] for name, images in restored.items()}, measured=measured[:3]
)
plt.show()

# %%
# Total variation and the denoiser know nothing about faces. The linear estimate does, and is ahead
# of both. Meta-RED starts near the linear estimate: its three updates smooth what the linear
# estimate leaves uneven. It is the best by PSNR, and by SSIM a little ahead.
