"""
The learned start, before any inner step
========================================

A meta-learned SIREN is compared with a random SIREN, with a SIREN trained without inner steps, and
with the default start. We draw each start, and the image after 3 and after 30 inner steps, for a
face whose centre is missing. The faces are included in scikit-image.
"""

# %%
# The paper's start
# -----------------
#
# In the paper, a SIREN alone represents the start. We take its 5 layers, but a width of 64 instead
# of 256, which trains faster. There is no solver, so the image before the first inner step is that
# of the SIREN.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmetainv import MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.exceptions import InnerStepsWarning
from skmetainv.meta import MAML
from skmetainv.metrics import psnr
from skmetainv.operators import Inpainting
from skmetainv.representations import Siren

train, test = train_test_split(load_faces(), test_size=20, random_state=0)
settings = {
    "init": Siren(width=64),
    "outer_lr": 1e-3,
    "batch_size": 5,
    "augment": False,
    "max_epochs": 15,
    "random_state": 0,
}
learned = MetaInverseSolver(Inpainting(), n_inner=3, **settings).fit(train)

# %%
# Other starts
# ------------
#
# The random SIREN is not trained: its ``outer_lr`` is 0. With ``n_inner=0``, a SIREN is trained to
# be close to all training faces at once. These two have a fixed inner step size, the best of 0.1,
# 0.2, 0.4, 0.8 and 1.6 after three steps. The default start is a small SIREN added to the linear
# estimate of each face.

fixed = {**settings, "algorithm": MAML(step_sizes="fixed")}
random = MetaInverseSolver(
    Inpainting(), **{**fixed, "outer_lr": 0.0, "inner_lr": 0.1, "max_epochs": 1}
)
not_adapted = MetaInverseSolver(Inpainting(), n_inner=0, inner_lr=0.2, **fixed)
default = MetaInverseSolver(Inpainting(), max_epochs=15, random_state=0)
starts = {
    "random SIREN": random.fit(train),
    "trained with n_inner=0": not_adapted.fit(train),
    "meta-learned SIREN": learned,
    "default start": default.fit(train),
}

# %%
# Before and after the inner steps
# --------------------------------
#
# ``n_inner`` can be changed after ``fit``. Further steps repeat the last step size. A warning says
# so, which is switched off here. For comparison, we put the observed pixels into the mean face. The
# table has the mean PSNR of 20 test faces, over whole images.

warnings.simplefilter("ignore", InnerStepsWarning)
measured = learned.simulate(test)
stages = (0, 3, 30)
restored = {
    name: [start.set_params(n_inner=n).predict(measured) for n in stages]
    for name, start in starts.items()
}
mean_face = np.broadcast_to(train.mean(axis=0), test.shape)
is_missing = learned.simulate(np.ones_like(test)) == 0
filled = np.where(is_missing, mean_face, measured)
restored["mean face, observed pixels"] = [mean_face, filled, filled]

print(f"{'PSNR (dB)':28}{'start':>8}{'3 steps':>9}{'30 steps':>10}")
for name, of_stage in restored.items():
    ratios = [psnr(test, images) for images in of_stage]
    print(f"{name:28}{ratios[0]:8.2f}{ratios[1]:9.2f}{ratios[2]:10.2f}")

# %%
# The first test face: each row is a stage.

display = ReconstructionDisplay.from_predictions(
    np.repeat(test[:1], 3, axis=0),
    {name: np.stack([images[0] for images in of_stage]) for name, of_stage in restored.items()},
    measured=np.repeat(measured[:1], 3, axis=0),
)
for row, n in zip(display.ax_, stages, strict=True):
    row[0].set_ylabel(f"{n} inner steps" if n else "start")
plt.show()

# %%
# - If training has no inner steps, the start becomes the mean face. Inner steps improve it slowly,
#   and leave noise in the centre.
# - The meta-learned start is not a likely face, and its PSNR is below that of the mean face. It was
#   learned for what follows: three steps on the observed pixels fit them, and fill in the centre as
#   well.
# - The random SIREN knows nothing about faces. It needs many steps to fit the observed pixels, and
#   its centre is no part of a face.
# - The default start differs between measurements, and is nearly the result before the first step.
#   With these few training faces it is ahead of the SIREN alone.
