"""
Your own operator
=================

A window with two panes shows everything twice. A function of NumPy and its adjoint describe this
camera, and the library removes the double image from a photograph. The same operator as a class has
parameters, and serves in every estimator.
"""

# %%
# A function and its adjoint
# --------------------------
# The measurement is a mixture of the image and a copy, shifted by 6 rows and 10 columns. Arrays
# have the shape (batch, channels, rows, columns). The adjoint shifts back.
# :class:`~skmetainv.operators.FunctionOperator` makes an operator of the two functions.

import matplotlib.pyplot as plt
from skimage.data import chelsea
from skimage.transform import rescale
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor, LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.metrics import psnr
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import FunctionOperator, LinearMap, MissingPixels, Operator
from skmetainv.solvers import ConjugateGradient, PrimalDual
from skmetainv.testing import PropertyError, check_operator


def see_twice(x):
    """Return the image through the window."""
    y = 0.6 * x
    y[..., 6:, 10:] += 0.4 * x[..., :-6, :-10]
    return y


def see_twice_adjoint(y):
    """Return the adjoint of `see_twice`."""
    x = 0.6 * y
    x[..., :-6, :-10] += 0.4 * y[..., 6:, 10:]
    return x


window = FunctionOperator(see_twice, adjoint_function=see_twice_adjoint)

# %%
# `check_operator` runs the library's own tests on it: shapes, the adjoint, the norm, the
# pseudo-inverse and derivatives, against the explicit matrix of a small image. If nothing is wrong,
# it returns without a word.

check_operator(window, image_shape=(1, 8, 13))

# %%
# Operators can be called. Least squares, by conjugate gradients, inverts the operator. Total
# variation also removes the noise. (Its weight was chosen by a few trials on this photograph.)

photograph = rescale(chelsea()[20:276, 120:376], 0.5, channel_axis=-1, anti_aliasing=True)[None]
print("the measurement has the shape", window(photograph).shape)

task = {"operator": window, "noise": 0.02}
least_squares = ClassicalReconstructor(solver=ConjugateGradient(20), **task).fit(photograph)
total_variation = ClassicalReconstructor(solver=PrimalDual(100, weight=0.005), **task)
total_variation.fit(photograph)

ReconstructionDisplay.from_estimator(
    {"least squares": least_squares, "total variation": total_variation}, photograph
)

# %%
# Autograd needs no adjoint
# -------------------------
# `see_twice` works on tensors of torch, too, because it uses only what NumPy and torch share. Then
# autograd computes the adjoint, and the first function is enough:

same_window = FunctionOperator(see_twice, linear=True)
check_operator(same_window, image_shape=(1, 8, 13))

# %%
# A class with parameters
# -----------------------
# An operator is a class whose annotated names are its parameters. Its ``build`` returns the map for
# images of one shape. Searches can then name ``operator__strength``.


class DoubleGlazing(Operator):
    """Every image is seen twice, shifted by at least one row and one column."""

    shift: tuple = (6, 10)
    strength: float = 0.4

    def build(self, image_shape):
        """Return the map for images of one shape."""
        return DoubleGlazingMap(image_shape, self.shift, self.strength)


class DoubleGlazingMap(LinearMap):
    """A mixture of the image and a shifted copy."""

    def __init__(self, image_shape, shift, strength):
        super().__init__(image_shape, measurement_shape=image_shape)
        self.shift, self.strength = shift, strength

    def forward(self, x):
        """Return the measurements of a batch of images."""
        rows, columns = self.shift
        y = (1 - self.strength) * x
        y[..., rows:, columns:] += self.strength * x[..., :-rows, :-columns]
        return y


check_operator(DoubleGlazing(shift=(2, 3)), image_shape=(3, 4, 5))
check_operator(MissingPixels(0.5) @ DoubleGlazing(shift=(1, 2)))  # through a dirty window

# %%
# If something is wrong, the check says what, and why that may be. Here a map overwrites its input:


class Overwriting(DoubleGlazing):
    """A mistake: its map works in place."""

    def build(self, image_shape):
        """Return the wrong map."""
        return OverwritingMap(image_shape, self.shift, self.strength)


class OverwritingMap(DoubleGlazingMap):
    """Changes the images."""

    def forward(self, x):
        """Overwrite the images, and return them."""
        x.copy_(super().forward(x))
        return x


try:
    check_operator(Overwriting(shift=(1, 2)))
except PropertyError as error:
    print(error)

# %%
# In learned estimators
# ---------------------
# The class works in all estimators. They learn from 80 faces and restore 20 others. Total variation
# gets the best of four weights.

faces = load_faces()
train, test = faces[:80], faces[80:]
task = {"operator": DoubleGlazing(shift=(3, 5)), "noise": 0.05, "random_state": 0}
estimators = {
    "total variation": GridSearchCV(
        ClassicalReconstructor(solver=PrimalDual(), **task),
        {"solver__weight": [0.001, 0.003, 0.01, 0.03]},
        scoring=psnr_scorer,
        cv=2,
    ),
    "linear estimate": LinearReconstructor(**task),
    "MetaInverseSolver": MetaInverseSolver(max_epochs=60, **task),
}
for estimator in estimators.values():
    estimator.fit(train)

measured = estimators["linear estimate"].simulate(test, random_state=0)
for name, estimator in estimators.items():
    print(f"{name:20}{psnr(test, estimator.predict(measured)):6.2f} dB")
ReconstructionDisplay.from_estimator(estimators, measured[:3], test[:3])

# %%
# `MetaInverseSolver` is ahead of the linear estimate by a little, and total variation comes last.
# This depends on the noise. If its standard deviation is 0.02 instead of 0.05, total variation is
# best: this operator is easy to invert, and then little has to be learned.

plt.show()
