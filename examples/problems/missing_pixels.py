"""
Missing pixels
==============

Pixels are missing at random, elsewhere in each image. Faces are restored with what 80 other faces
teach, and two photographs with a denoiser that nine other photographs have trained. Biharmonic
filling and total variation learn nothing. Faces and photographs are included in scikit-image.
"""

# %%
# Faces
# -----
#
# In the measurements of :class:`~skmetainv.operators.MissingPixels`, missing pixels are NaN. So
# each measurement brings its own mask, and estimators need no other argument.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.color import rgb2gray
from skimage.restoration import inpaint_biharmonic
from skimage.transform import resize
from skimage.util import img_as_float
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr
from skmetainv.model_selection import ImageScorer
from skmetainv.operators import MissingPixels
from skmetainv.solvers import ADMM, HQS, RED, PrimalDual


def fill(measured):
    """Return images whose missing pixels are filled by scikit-image's biharmonic equation."""
    return np.stack([inpaint_biharmonic(np.nan_to_num(y), np.isnan(y)) for y in measured])


train, test = train_test_split(load_faces(), test_size=20, random_state=0)
half = MissingPixels(observed=0.5)
tv = PrimalDual(n_iter=300, weight=1e-3, step_size=10.0)
estimators = {
    "total variation": ClassicalReconstructor(half, tv, random_state=0),
    "linear estimate": LinearReconstructor(half, random_state=0),
    "MetaInverseSolver": MetaInverseSolver(half, n_inner=1, max_epochs=30, random_state=0),
}
measured = estimators["linear estimate"].simulate(test)
restored = {"biharmonic": fill(measured)} | {
    name: estimator.fit(train).predict(measured) for name, estimator in estimators.items()
}

# %%
# The PSNR of whole images also counts the observed pixels, which are known here. With ``mask``,
# metrics count the missing pixels alone.

is_missing = np.isnan(measured)
print(f"{'PSNR (dB) of 20 faces':24}{'whole image':>12}{'missing pixels':>16}")
for name, images in restored.items():
    missing_alone = psnr(test, images, mask=is_missing)
    print(f"{name:24}{psnr(test, images):12.2f}{missing_alone:16.2f}")

# %%
# In searches, cross-validation and ``compare``, the mask is ``"missing"``:

linear = estimators["linear estimate"]
print(f"linear estimate: {ImageScorer(mask='missing')(linear, measured, test):.2f} dB")

# %%

display = ReconstructionDisplay.from_predictions(
    test[:3], {name: images[:3] for name, images in restored.items()}, measured=measured[:3]
)

# %%
# In the mean over 20 faces, the methods that know faces are ahead; on the three faces that are
# shown, the biharmonic filling is better. :class:`~skmetainv.MetaInverseSolver` starts from the
# linear estimate, and this short training adds nothing to it. With the default number of epochs it
# gains about 0.1 dB on such faces (row ``missing`` of :doc:`the benchmarks </benchmarks>`). So if
# pixels are missing at random and the training images are few, the linear estimate is enough.
#
# Photographs
# -----------
#
# No set of photographs resembles ``camera`` and ``astronaut`` as one face resembles another. But
# small patches are alike in all photographs, and a denoiser learns from patches. It is trained
# once, for all noise levels up to 0.2, and is the prior of three solvers.


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
# Only 30 % of the pixels are observed, with little noise (0.01) or more noise (0.05). The noise
# levels of the denoiser fall from update to update, because the first updates have holes to fill.
# The settings of all methods were chosen on these two photographs.

sparse = MissingPixels(observed=0.3)
table = {}
for noise in (0.01, 0.05):
    solvers = {
        "total variation": PrimalDual(n_iter=300, weight=0.01, step_size=10.0),
        "RED": RED(prior, n_iter=30, weight=0.1, noise_level=np.geomspace(0.2, 0.06, 30)),
        "HQS": HQS(
            prior,
            n_iter=30,
            noise_level=np.geomspace(0.2, 0.04, 30),
            measurement_noise=noise,
        ),
        "ADMM": ADMM(prior, n_iter=30, rho=0.1, noise_level=np.geomspace(0.2, 0.1, 30)),
    }
    estimator = ClassicalReconstructor(sparse, noise=noise, random_state=0)
    measured = estimator.simulate(photographs)
    restored = {"biharmonic": fill(measured).clip(0, 1)}
    for name, solver in solvers.items():
        images = estimator.set_params(solver=solver).fit(others).predict(measured)
        restored[name] = images.clip(0, 1)
    for name, images in restored.items():
        table.setdefault(name, []).extend(psnr(photographs, images, per_image=True))

print(f"{'PSNR (dB)':16}{'noise 0.01':>24}{'noise 0.05':>24}")
print(" " * 16 + f"{'camera':>12}{'astronaut':>12}" * 2)
for name, ratios in table.items():
    print(f"{name:16}" + "".join(f"{ratio:12.2f}" for ratio in ratios))

# %%
# The photographs with more noise:

display = ReconstructionDisplay.from_predictions(photographs, restored, measured=measured)
plt.show()

# %%
# - With little noise, the biharmonic filling is best, on ``camera`` by little. It keeps the
#   observed pixels as they are, and they are nearly right.
# - With more noise, it keeps the noise, too. ADMM is then about as good as the best method on both
#   photographs. HQS and total variation are as good on ``camera``, whose surfaces are smooth, but
#   not on ``astronaut``, where the biharmonic filling is level with ADMM.
# - RED and ADMM leave speckles with these settings.
#
# The denoiser was trained for seconds. A network that was trained longer is used in the same way,
# see :doc:`/gallery/own_parts/published_weights`.
