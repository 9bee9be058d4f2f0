"""
Denoisers with published weights
================================

`DnCNN` and `DRUNet` read the weights that `KAIR <https://github.com/cszn/KAIR>`_, `DPIR
<https://github.com/cszn/DPIR>`_ and DeepInverse publish, as they are. Nothing is downloaded here:
the script writes a file like KAIR's ``dncnn_15.pth`` by itself, from a small network that it trains
for a quarter of a minute. It then reads this file as you would read the published one, to denoise
and to deblur a photograph.
"""

# %%
# A file as KAIR publishes it
# ---------------------------
# **These are not the published weights.** The published network has 17 layers of 64 channels, and
# was trained on 400 images (Zhang et al., 2017). This one has 5 layers of 24 channels, and sees
# five photographs. The format is the same: a dictionary of tensors with the names
# ``model.0.weight``, ``model.0.bias``, ``model.2.weight`` and so on, written by ``torch.save``. The
# network is for one noise level, 15/255.

import hashlib
import tempfile
from pathlib import Path

import deepinv
import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import rescale

from skmetainv import ClassicalReconstructor
from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.display import ReconstructionDisplay
from skmetainv.operators import GaussianBlur, Identity
from skmetainv.solvers import HQS, PrimalDual

LEVEL = 15 / 255


def half_size(image):
    """Return a gray photograph at half its size."""
    return rescale(image, 0.5, anti_aliasing=True)


colour = data.astronaut(), data.chelsea(), data.rocket(), data.coffee()
photographs = [half_size(rgb2gray(image)) for image in colour] + [half_size(data.coins() / 255)]
camera = half_size(data.camera() / 255)[None, 20:180, 40:200]

trained = DnCNN(
    LEVEL,
    depth=5,
    width=24,
    lr=3e-3,
    max_epochs=40,
    batch_size=8,
    patch_size=24,
    random_state=0,
).fit(photographs)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "dncnn_15.pth")
torch.save({name: torch.from_numpy(w) for name, w in trained.weights_.items()}, path)

# %%
# Denoising
# ---------
# This is all that the published file needs: download it and pass its path. Number and width of the
# layers are read from the file, without running code from it. With ``sha256``, another file of the
# same name raises an error. The denoiser needs no `fit`.

checksum = hashlib.sha256(path.read_bytes()).hexdigest()
denoiser = DnCNN(LEVEL, weights=path, sha256=checksum)
noisy = denoiser.simulate(camera, random_state=0)
same = np.array_equal(denoiser.predict(noisy), trained.predict(noisy))
print(f"the same as the trained network: {same}")

# %%
# Total variation is the baseline. Its weight, and the numbers of both solvers below, were chosen by
# a few trials on this photograph.

total_variation = ClassicalReconstructor(Identity(), PrimalDual(200, weight=0.7 * LEVEL))
denoised = {
    "total variation": total_variation.fit(camera).predict(noisy),
    "DnCNN from the file": denoiser.predict(noisy),
}
ReconstructionDisplay.from_predictions(camera, denoised, measured=noisy)

# %%
# A prior for deblurring
# ----------------------
# The same object is the denoiser of half-quadratic splitting (HQS). It is not trained again: a
# denoiser with ``weights`` has the weights of its file.

blur = {"operator": GaussianBlur(sigma=1.6), "noise": 0.01}
solvers = {
    "total variation": PrimalDual(300, weight=1e-3),
    "HQS with DnCNN": HQS(denoiser, n_iter=8, rho=0.01),
}
estimators = {
    name: ClassicalReconstructor(solver=solver, **blur).fit(camera)
    for name, solver in solvers.items()
}
ReconstructionDisplay.from_estimator(estimators, camera)

# %%
# The network is a little better than total variation in both tasks, after a quarter of a minute of
# training on five photographs. `MetaInverseSolver` and `UnrolledReconstructor` take such a
# denoiser, too, and can fine-tune it.
#
# DRUNet and DeepInverse
# ----------------------
# `DRUNet` reads the files of DPIR, ``drunet_gray.pth`` and ``drunet_color.pth``. This network takes
# the noise level as an input, so that one file serves all levels of a solver's schedule.
# DeepInverse's `DRUNet` has the same names of weights, its `DnCNN` has others; both are read. Here
# are two small networks of DeepInverse, with random weights, because nothing is downloaded. Read
# from a file, each computes the same as in DeepInverse, up to rounding.

torch.manual_seed(0)
drunet = deepinv.models.DRUNet(1, 1, nc=(8, 16, 32, 64), nb=2, pretrained=None).eval()
dncnn = deepinv.models.DnCNN(1, 1, depth=7, nf=16, pretrained=None).eval()
torch.save(drunet.state_dict(), Path(folder.name, "drunet.pth"))
torch.save(dncnn.state_dict(), Path(folder.name, "dncnn.pth"))

x = torch.from_numpy(noisy)[:, None].float()
with torch.no_grad():
    theirs = {"DRUNet": drunet(x, LEVEL)[:, 0], "DnCNN": dncnn(x)[:, 0]}
read = {
    "DRUNet": DRUNet(weights=Path(folder.name, "drunet.pth")).predict(noisy, noise_level=LEVEL),
    "DnCNN": DnCNN(weights=Path(folder.name, "dncnn.pth")).predict(noisy),
}
for name, images in theirs.items():
    difference = np.abs(images.numpy() - read[name]).max() / np.abs(images.numpy()).max()
    print(f"{name}: largest relative difference {difference:.1e}")

# %%
# Many other files are read as well: state dictionaries inside of checkpoints (``params``,
# ``state_dict``, ...), the names that ``DataParallel`` and ``torch.compile`` add, batch
# normalisation, and safetensors. If a file does not fit, the error lists its tensors. The notes of
# :class:`~skmetainv.denoisers.DnCNN` have the details.

folder.cleanup()
plt.show()
