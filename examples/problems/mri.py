"""
Compressed MRI
==============

A scanner with four coils measures a fifth of k-space, along five lines through its centre. The data
are complex, and unmeasured samples are 0. We restore 20 held-out images by five methods, two of
which learn from 80 clean images. The images are faces, because scikit-image includes no MR images.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr, ssim
from skmetainv.operators import MultiCoilMRI
from skmetainv.solvers import ConjugateGradient, PrimalDual

faces = load_faces()
train, test = faces[:80], faces[80:]

# %%
# The data of a scanner
# ---------------------
#
# This block stands for the scanner. It returns k-space as a complex array of shape ``(n, height,
# width, coils)``, and the coil sensitivities.

row, column = np.mgrid[-1:1:25j, -1:1:25j]
angles = np.pi * np.array([0.25, 0.75, 1.25, 1.75])
distance = np.hypot(row[..., None] - 1.5 * np.sin(angles), column[..., None] - 1.5 * np.cos(angles))
coils = np.exp(1j * angles) / distance
coils /= np.sqrt((np.abs(coils) ** 2).sum(-1, keepdims=True))

noise = 0.005  # standard deviation of the real and of the imaginary part
scanner = MultiCoilMRI(coils, pattern="radial", acceleration=5)
kspace = ClassicalReconstructor(scanner, noise=noise).simulate(test, random_state=0)
kspace = kspace[..., 0] + 1j * kspace[..., 1]
print(kspace.shape, kspace.dtype)

# %%
# From the data to an operator
# ----------------------------
#
# From here on we only know ``kspace``, ``coils`` and the noise level. The pattern of measured
# samples is read from the data. An operator from these two needs no other parameter. Arrays from
# other software must have the zero frequency in the middle, see
# :class:`~skmetainv.operators.FourierSampling`.

measured_samples = (kspace != 0).any(axis=(0, 3))
mri = MultiCoilMRI(coils, pattern=measured_samples)
print(f"{measured_samples.mean():.0%} of k-space is measured")

# %%
# Methods that do not learn
# -------------------------
#
# The zero-filled image is ``A' y``. Conjugate gradients solve the least-squares problem of all
# coils (SENSE). Few updates leave out detail, many amplify the noise. Total variation has a weight.
# Both numbers are chosen on ten training images, with simulated data. If few samples are measured,
# :class:`~skmetainv.solvers.PrimalDual` converges faster with a larger step size than the default.


def best(estimators):
    """Return the estimator with the highest PSNR on ten training images."""
    return max(estimators, key=lambda est: est.fit(train).score(train[:10]))


common = {"noise": noise, "random_state": 0}
sense = best(
    ClassicalReconstructor(mri, ConjugateGradient(n_iter=n), **common) for n in (3, 6, 10, 15, 20)
)
tv = best(
    ClassicalReconstructor(mri, PrimalDual(weight=weight, step_size=10.0), **common)
    for weight in (3e-5, 1e-4, 3e-4, 1e-3)
)
print(sense.solver, tv.solver)

# %%
# Methods that learn
# ------------------
#
# ``fit`` takes clean images and simulates their k-space. ``predict`` takes the complex data as they
# are. The linear estimate uses the mean and the covariance of the clean images. The learned start
# of :class:`~skmetainv.MetaInverseSolver` corrects this estimate. By default, training takes about
# twice as many epochs.

linear = LinearReconstructor(mri, **common).fit(train)
learned = MetaInverseSolver(mri, max_epochs=60, **common).fit(train)

restored = {
    "zero-filled": mri.adjoint(kspace, image_shape=(25, 25)),
    "SENSE": sense.predict(kspace),
    "total variation": tv.predict(kspace),
    "linear": linear.predict(kspace),
    "learned": learned.predict(kspace),
}
print(f"{'':18}PSNR, dB    SSIM")
for name, images in restored.items():
    print(f"{name:18}{psnr(test, images):8.2f}{ssim(test, images):8.3f}")

# %%
# The display draws k-space on a logarithmic scale: the root of the sum of squares over the coils.

shown = slice(0, 3)
ReconstructionDisplay.from_predictions(
    test[shown],
    {name: images[shown] for name, images in restored.items()},
    measured=kspace[shown],
)
plt.show()

# %%
# The zero-filled images are blurred and distorted, because most samples are missing. SENSE recovers
# most of the faces, but keeps noise. Total variation removes the noise, and flattens the faces to
# patches. The linear estimate has about the PSNR of total variation and a higher SSIM. The learned
# start adds a few tenths of a decibel to the linear estimate. All but the zero-filled images are
# within about a decibel. If you have no clean images of the same kind, take total variation.
#
# Images with a phase have two channels, real and imaginary part; set ``complex_image=True``. The
# lines lie on the grid of the fast Fourier transform. Samples between the grid points need an
# operator of your own, for instance a non-uniform Fourier transform in a
# :class:`~skmetainv.operators.FunctionOperator`.
