"""
Physics and denoisers of DeepInverse
====================================

`DeepInverse <https://deepinv.github.io>`_ has forward models and denoisers that this library does
not have. Here its anisotropic blur measures a photograph, and three of its denoisers restore it.
One of them is then part of a solver with a meta-learned start.
"""

# %%
# A physics as an operator
# ------------------------
# :class:`~skmetainv.operators.DeepInverseOperator` takes any physics. It checks the adjoint of
# linear physics. The blur is decomposable in the Fourier basis, so that the data steps of solvers
# have a closed form. None of the models below needs a download. The noise model of a physics is not
# used: an estimator has its own ``noise``.

import deepinv
import matplotlib.pyplot as plt
import numpy as np
import torch
from deepinv.physics.functional.blur import gaussian_blur
from skimage.data import coffee
from skimage.transform import rescale
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DeepInverseDenoiser, TotalVariation
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import DeepInverseOperator
from skmetainv.solvers import HQS, RED
from skmetainv.testing import check_operator

photograph = rescale(coffee()[60:360, 150:450], 0.5, channel_axis=-1, anti_aliasing=True)[None]
kernel = gaussian_blur(sigma=(3.0, 0.7), angle=30.0)
physics = deepinv.physics.BlurFFT(img_size=(3, 150, 150), filter=kernel)
blur = DeepInverseOperator(physics)

tensor = torch.tensor(photograph, dtype=torch.float32).movedim(-1, 1)
difference = blur(photograph)[0] - physics.A(tensor)[0].movedim(0, -1).numpy()
print(f"largest difference from DeepInverse: {np.abs(difference).max():.1e}")

small = deepinv.physics.BlurFFT(img_size=(1, 6, 7), filter=gaussian_blur(sigma=0.5))
check_operator(DeepInverseOperator(small), image_shape=(1, 6, 7))

# %%
# Denoisers in a solver
# ---------------------
# :class:`~skmetainv.denoisers.DeepInverseDenoiser` makes a prior of a denoiser ``model(x, sigma)``.
# Half-quadratic splitting (HQS) sets its noise level in every update. The last column has this
# library's own total variation.

denoisers = {
    "wavelets": DeepInverseDenoiser(deepinv.models.WaveletDenoiser(level=3)),
    "generalized TV": DeepInverseDenoiser(deepinv.models.TGVDenoiser(n_it_max=100)),
    "total variation": DeepInverseDenoiser(deepinv.models.TVDenoiser(n_it_max=100)),
    "own total variation": TotalVariation(),
}
estimators = {
    name: ClassicalReconstructor(blur, HQS(D, measurement_noise=0.02), noise=0.02).fit(photograph)
    for name, D in denoisers.items()
}
ReconstructionDisplay.from_estimator(estimators, photograph)

# %%
# Nothing was tuned. Total variation suits the smooth surfaces of this photograph; its two
# implementations give nearly the same image. Wavelets leave ripples. Each denoiser reads the noise
# level in its own way: generalized total variation removes less noise at the same level. Some
# denoisers, such as DeepInverse's median filter, ignore it.
#
# A denoiser in a meta-learned solver
# -----------------------------------
# Training differentiates through the solver, and so through the denoiser. DeepInverse's denoisers
# are written in torch, so that this works. On small faces, two updates of RED start from a learned
# image. Training also tunes RED's weight and noise level. For comparison, a search chooses these
# numbers, and the number of updates, for RED alone.

faces = load_faces()
train, test = faces[:80], faces[80:]
kernel = gaussian_blur(sigma=(2.0, 0.5), angle=30.0)
of_faces = deepinv.physics.BlurFFT(img_size=(1, 25, 25), filter=kernel)
task = {"operator": DeepInverseOperator(of_faces), "noise": 0.02, "random_state": 0}
solver = RED(DeepInverseDenoiser(deepinv.models.TVDenoiser(n_it_max=30)), n_iter=2)

searched = GridSearchCV(
    ClassicalReconstructor(solver=solver, **task),
    {"solver__n_iter": [2, 8], "solver__weight": [0.03, 0.1], "solver__noise_level": [0.02, 0.05]},
    scoring=psnr_scorer,
    cv=2,
)
restorers = {
    "RED alone, searched": searched,
    "linear estimate": LinearReconstructor(**task),
    "RED, learned start": MetaInverseSolver(solver=solver, max_epochs=20, **task),
}
for restorer in restorers.values():
    restorer.fit(train)

measured = restorers["linear estimate"].simulate(test, random_state=0)
for name, restorer in restorers.items():
    print(f"{name:20}{psnr(test, restorer.predict(measured)):6.2f} dB")
ReconstructionDisplay.from_estimator(restorers, measured[:3], test[:3])

# %%
# From the learned start, two updates are better than RED alone with the best settings of the
# search, and a little better than the linear estimate.
#
# In the other direction, :class:`~skmetainv.DeepInverseReconstructor` makes an estimator of a
# reconstruction model of DeepInverse, for `compare` and searches. DeepInverse's `DnCNN` and
# `DRUNet` download their weights; :doc:`/gallery/own_parts/published_weights` reads such weights
# from files.

plt.show()
