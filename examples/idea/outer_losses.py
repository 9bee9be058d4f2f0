"""
The outer loss: L1, L2 and SSIM
===============================

The outer loss compares restored faces with clean ones, and meta-learning minimises it. We train one
estimator with four outer losses to deblur the faces included in scikit-image, and compare pictures
and metrics.
"""

# %%
# One estimator, four losses
# --------------------------
#
# ``outer_loss`` takes a name, an object of ``skmetainv.losses``, a weighted sum of them, or any
# function of two tensors. ``"lpips"`` needs the weights of a published network, and is left out
# here.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.losses import L1, SSIM
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.operators import GaussianBlur

train, test = train_test_split(load_faces(), test_size=20, random_state=0)
blur, noise = GaussianBlur(sigma=1.6, boundary="reflect"), 0.015
estimator = MetaInverseSolver(blur, noise=noise, n_inner=1, max_epochs=40, random_state=0)
losses = {"L1": "l1", "L2": "l2", "SSIM": "ssim", "10 L1 + SSIM": 10 * L1() + SSIM()}
fitted = {
    name: clone(estimator).set_params(outer_loss=loss).fit(train) for name, loss in losses.items()
}

# %%
# All four restore the same measurements. The linear estimate is the image from which all of them
# start. The table has means over 20 test faces; MAE is the mean absolute error.

fitted["linear estimate"] = LinearReconstructor(blur, noise=noise, random_state=0).fit(train)
measured = fitted["L2"].simulate(test)
restored = {name: each.predict(measured) for name, each in fitted.items()}

print(f"{'outer loss':18}{'PSNR (dB)':>10}{'MSE':>10}{'MAE':>10}{'SSIM':>8}")
for name, images in restored.items():
    print(
        f"{name:18}{psnr(test, images):10.2f}{mse(test, images):10.5f}"
        f"{np.abs(test - images).mean():10.5f}{ssim(test, images):8.3f}"
    )

# %%
# The first three test faces, with the SSIM of each:

display = ReconstructionDisplay.from_predictions(
    test[:3],
    {name: images[:3] for name, images in restored.items()},
    measured=measured[:3],
    metric="ssim",
)
plt.show()

# %%
# - L1 and L2 give almost the same images. Those of L2 are the best by PSNR and MSE, and by the mean
#   absolute error, too.
# - With SSIM as loss, the contrast is higher. These images are the best by SSIM. By the other
#   metrics they are behind the linear estimate.
# - The weighted sum has nearly all of the gain in SSIM, and by the others it is between the linear
#   estimate and L2.
#
# So of these losses, only SSIM changes the result clearly, and only by its own measure.
