"""The rows of the benchmark, and their images."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from benchmarks.pictures import persons, split_pictures
from skmetainv import ClassicalReconstructor
from skmetainv.datasets import load_faces
from skmetainv.denoisers import TotalVariation
from skmetainv.operators import (
    CompressedSensing,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Identity,
    Inpainting,
    MissingPixels,
    Operator,
    Radon,
)
from skmetainv.solvers import HQS, RED, ConjugateGradient, GradientDescent, Solver

N_TEST_FACES = 20
LFW_SIZE, N_TRAINING, N_TEST = 32, 300, 100


class Row(NamedTuple):
    """An inverse problem, and the solver of the literal line."""

    operator: Operator
    solver: Solver | None
    noise: float = 0.0
    relative_noise: float = 0.0
    """Noise as a share of the largest clean measurement of the training images."""
    masks: bool = False
    """Whether pixels are missing."""
    multiple: int = 1
    """Height and width are cropped to a multiple of this number of pixels."""


_BLUR = {"operator": GaussianBlur(sigma=1.6), "noise": 0.015}
ROWS = {
    "centre": Row(Inpainting(), GradientDescent(), masks=True),
    "missing": Row(MissingPixels(), None, masks=True),
    "blur-red": Row(solver=RED(), **_BLUR),
    "blur-hqs": Row(solver=HQS(TotalVariation()), **_BLUR),
    "blur-gd": Row(solver=GradientDescent(), **_BLUR),
    "sensing": Row(CompressedSensing(n_measurements=0.25), ConjugateGradient()),
    "fourier": Row(FourierSampling(acceleration=4.0), HQS(TotalVariation())),
    "downsampling": Row(Downsampling(2), GradientDescent(), multiple=2),
    "tomography": Row(Radon(angles=30), GradientDescent(), relative_noise=0.01),
    "denoising": Row(Identity(), None, noise=0.1),
}


class Images(NamedTuple):
    """Clean images of one split, in [0, 1]."""

    training: np.ndarray
    groups: np.ndarray | None
    """The person in each training image; None if unknown."""
    test: np.ndarray
    test_groups: np.ndarray
    """The person in each test image or, if unknown, the image's index in the data set."""


class Problem(NamedTuple):
    """One row on one split."""

    data: str
    name: str
    seed: int
    row: Row
    noise: float
    images: Images
    measured: Any
    """Measurements of the test images, the same for all methods."""

    @property
    def physics(self):
        """The parameters shared by all estimators of this problem."""
        return {
            "operator": clone(self.row.operator),
            "noise": self.noise,
            "random_state": self.seed,
        }


def faces(seed, folder=None):
    """Return 80 training and 20 test images: scikit-image's faces."""
    images = load_faces()
    training, test = train_test_split(
        np.arange(len(images)), test_size=N_TEST_FACES, random_state=seed
    )
    return Images(images[training], None, images[test], test)


def lfw(seed, folder):
    """Return 300 training images of faces in the wild, and 100 test images of other people."""
    parts = split_pictures(
        folder,
        LFW_SIZE,
        n_validation=0,
        n_test=N_TEST,
        n_training=N_TRAINING,
        in_memory=False,
        random_state=seed,
    )
    training = np.asarray(parts.training) / 255
    return Images(training, persons(parts.training), parts.test / 255, parts.groups)


DATA = {"faces": faces, "lfw": lfw}


def problem(data, name, seed, images):
    """Return a row on one split, with cropped images, the noise level and test measurements."""
    row = ROWS[name]
    height, width = (n - n % row.multiple for n in images.test.shape[1:])
    training, test = (x[:, :height, :width] for x in (images.training, images.test))
    noise = row.noise
    if row.relative_noise:
        clean = ClassicalReconstructor(row.operator).simulate(training, random_state=seed)
        noise = row.relative_noise * float(np.max(clean))
    instrument = ClassicalReconstructor(row.operator, noise=noise)
    measured = instrument.simulate(test, random_state=seed)
    images = images._replace(training=training, test=test)
    return Problem(data, name, seed, row, noise, images, measured)
