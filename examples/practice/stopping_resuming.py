"""
Stop, resume and continue training
==================================

A U-Net learns to deblur from pairs of blurred and sharp faces. Early stopping ends its training
before it overfits. A checkpoint resumes a training that was interrupted, with the same result.
`partial_fit` and `warm_start` continue a training that has ended.
"""

# %%
# Early stopping
# --------------
# The pairs are measured once, here by a simulation. `fit` trains on pairs as they are: it does not
# augment them, and draws no new noise. So a network that is trained for long learns these pairs by
# heart. With ``early_stopping``, `fit` restores validation images after every epoch. If their
# PSNR has not risen for ``patience`` epochs, training ends, and the weights of the best epoch are
# kept.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmetainv import LinearReconstructor, UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay, TrainingCurveDisplay
from skmetainv.operators import GaussianBlur
from skmetainv.training import Adam, EarlyStopping

faces = load_faces()
settings = {"operator": GaussianBlur(sigma=1.6), "width": 8, "random_state": 0}
blurred = UNetReconstructor(noise=0.015, **settings).simulate(faces, random_state=0)
train = blurred[:60], faces[:60]
validation = blurred[60:80], faces[60:80]
test = blurred[80:], faces[80:]

to_the_end = UNetReconstructor(max_epochs=60, **settings).fit(*train, *validation)
stopped = UNetReconstructor(
    max_epochs=60, early_stopping=EarlyStopping(patience=8), **settings
).fit(*train, *validation)

best_epoch = 1 + int(np.argmax(stopped.history_["validation_psnr"]))
print(f"stopped after {stopped.n_epochs_} epochs, best weights: epoch {best_epoch}")
linear = LinearReconstructor(settings["operator"], random_state=0).fit(*train)
print("PSNR of the test images (dB):")
for name, est in (("60 epochs", to_the_end), ("stopped", stopped), ("linear estimate", linear)):
    print(f"{name:16}{est.score(*test):6.2f}")

# %%
# :class:`~skmetainv.display.TrainingCurveDisplay` draws the figures of ``history_``.

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
trained = {"60 epochs": to_the_end, "stopped early": stopped}
for ax, y in zip(axes, ["loss", "validation_psnr"], strict=True):
    TrainingCurveDisplay.from_estimator(trained, y=y, ax=ax)
    ax.axvline(best_epoch, color="black", linestyle=":", label="best epoch")
    ax.legend()

# %%
# The training loss falls to the end, but the validation PSNR has its maximum long before. After
# that, the network learns details and noise of the training pairs that other faces do not share. In
# the images of test faces, the last weights draw more details, and more wrong ones:

ReconstructionDisplay.from_estimator(trained, test[0][:3], test[1][:3])

# %%
# Without ``X_val``, early stopping holds out a tenth of the images. If there are at least 1000
# images, early stopping is on by default. If you train on clean images alone, `fit` simulates new
# measurements in every epoch and augments the images, which delays overfitting. (Early stopping
# does not make this small U-Net the best choice: on 60 faces, the linear estimate is better and
# needs no training by steps.)
#
# A checkpoint
# ------------
# With ``checkpoint``, `fit` writes its state to a file: every ten minutes by default, at the end,
# and after an interrupt. If the same `fit` is called again, it resumes from the file. To show this,
# a callback of scikit-learn (version 1.9 or newer) stands for someone who presses Ctrl-C after the
# fifth epoch. After an interrupt, a warning says that the estimator can be used.


class CtrlC:
    """Interrupt training after some epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def setup(self, estimator, context):
        """Do nothing before training."""

    def teardown(self, estimator, context):
        """Do nothing after training."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator, context):
        """Interrupt after the epoch with this number."""
        if context.task_name == "epoch" and context.task_id + 1 == self.n_epochs:
            raise KeyboardInterrupt


uninterrupted = UNetReconstructor(max_epochs=12, **settings).fit(*train)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "run.ckpt")
    interrupted = UNetReconstructor(max_epochs=12, checkpoint=path, **settings)
    try:
        interrupted.set_callbacks(CtrlC(n_epochs=5)).fit(*train)
    except KeyboardInterrupt:
        print(f"interrupted after {interrupted.n_epochs_} epochs")
        print(f"usable all the same: {interrupted.score(*test):.2f} dB")

    # in a new process, after a crash or on another machine:
    resumed = UNetReconstructor(max_epochs=12, checkpoint=path, **settings).fit(*train)

print(f"resumed and trained to epoch {resumed.n_epochs_}: {resumed.score(*test):.2f} dB")
weights = resumed.weights_, uninterrupted.weights_
same = all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
print(f"the same weights as without the interrupt: {same}")

# %%
# The weights are the same bit by bit (with the same number of threads on the same machine). The
# same file also survives a killed process, and batch schedulers' SIGTERM; see
# :class:`~skmetainv.training.Checkpoint`. If parameters or images differ from those of the file,
# `fit` raises an error and names what differs.
#
# More epochs after the end
# -------------------------
# `partial_fit` trains for one more epoch. With a constant learning rate, ``k`` calls equal one
# `fit` of ``k`` epochs. This is for images that come in parts, or for a loop of your own.

constant = {"optimizer": Adam(schedule="constant"), **settings}
at_once = UNetReconstructor(max_epochs=6, **constant).fit(*train)
step_by_step = UNetReconstructor(**constant)
for epoch in range(6):
    step_by_step.partial_fit(*train)
    print(f"epoch {epoch + 1}: {step_by_step.score(*validation):.2f} dB")
same = np.array_equal(step_by_step.predict(test[0]), at_once.predict(test[0]))
print(f"the same as fit with max_epochs=6: {same}")

# %%
# With ``warm_start=True``, every `fit` trains for another ``max_epochs`` epochs, with a learning
# rate schedule of its own.

more = at_once.set_params(warm_start=True, max_epochs=10, optimizer="adam").fit(*train)
print(f"{more.n_epochs_} epochs: {more.score(*validation):.2f} dB")

plt.show()
