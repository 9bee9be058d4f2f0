"""
Compressed sensing
==================

A measurement of a face of 625 pixels has 156 samples, 25 %. Each sample is a random weighted sum of
all pixels. We restore 20 held-out faces by conjugate gradients alone, by total variation, by the
linear estimate, and by conjugate gradients from a learned start.
"""

import matplotlib.pyplot as plt

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay, TrajectoryDisplay
from skmetainv.metrics import psnr, ssim
from skmetainv.operators import CompressedSensing
from skmetainv.solvers import ConjugateGradient, PrimalDual

faces = load_faces()
train, test = faces[:80], faces[80:]
sensing = CompressedSensing(n_measurements=0.25)

# %%
# Four methods
# ------------
#
# Conjugate gradients alone start from ``A' y / ||A||^2``. They find the solution of least energy.
# The weight of total variation is chosen on the training faces. With so few measurements,
# :class:`~skmetainv.solvers.PrimalDual` needs a larger step size than the default to converge in a
# few hundred updates.
#
# :class:`~skmetainv.MetaInverseSolver` learns a start for the conjugate gradients. They then change
# the start only as far as the measurements demand.


def total_variation(weight):
    return ClassicalReconstructor(
        sensing, PrimalDual(n_iter=300, weight=weight, step_size=10.0), random_state=0
    )


weights = (1e-3, 1e-2, 1e-1)
scores = {weight: total_variation(weight).fit(train).score(train) for weight in weights}
methods = {
    "conjugate gradients": ClassicalReconstructor(sensing, ConjugateGradient()),
    "total variation": total_variation(max(scores, key=scores.get)),
    "linear": LinearReconstructor(sensing, random_state=0),
    "learned": MetaInverseSolver(sensing, ConjugateGradient(), max_epochs=100, random_state=0),
}
measured = sensing(test)
print("measurements:", measured.shape)

print(f"{'':22}PSNR, dB    SSIM   misfit")
restored = {}
for name, est in methods.items():
    images = restored[name] = est.fit(train).predict(measured)
    misfit = sensing.data_fidelity(images, measured).mean() ** 0.5
    print(f"{name:22}{psnr(test, images):8.2f}{ssim(test, images):8.3f}{misfit:9.4f}")

# %%
# A measurement has no rows and columns. The display draws it as a line.

display = ReconstructionDisplay.from_predictions(
    test[:3], {name: images[:3] for name, images in restored.items()}, measured=measured[:3]
)

# %%
# All four images fit the measurements. Samples are about 1, and the misfit is far smaller. And yet
# the images differ. The one of the least energy, from conjugate gradients alone, is no face. Total
# variation finds the face, but also flat patches that are not there. The linear estimate and the
# learned start know 80 other faces. The learned one is better, by about 0.4 dB.
#
# The inner steps
# ---------------
#
# Before the first inner step, the conjugate gradients start from an image that a network computed
# from the linear estimate. Each inner step adapts a small SIREN, which is added to this image, to
# the measurement. The dotted line is the mean of the linear estimate.

display = TrajectoryDisplay.from_estimator(methods["learned"], measured, test)
display.ax_[-1].axhline(psnr(test, restored["linear"]), color="black", linestyle=":")
plt.show()

# %%
# The first step raises the mean from below the linear estimate to above it. The later steps add
# little.
