"""Writes the files of this release: estimators, measurements and their restorations.

    python tests/golden/make_files.py

Run it once before a release, in a new folder; files of earlier releases are never written again.
"""

from pathlib import Path

import numpy as np

import skmetainv
from skmetainv import LinearReconstructor, MetaInverseSolver, UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.io import save
from skmetainv.operators import CompressedSensing, GaussianBlur, Inpainting
from skmetainv.representations import Siren
from skmetainv.solvers import HQS


def main() -> None:
    faces = load_faces()[:20, ::3, ::3].astype(float)
    folder = Path(__file__).parent / skmetainv.__version__
    folder.mkdir()
    denoiser = DnCNN(depth=3, width=4, max_epochs=2, random_state=0)
    estimators = {
        "meta_inverse_solver": MetaInverseSolver(
            GaussianBlur(),
            HQS(denoiser, n_iter=2),
            init=Siren(width=8, depth=3, residual=LinearReconstructor()),
            noise=0.01,
            n_inner=2,
            max_epochs=3,
            random_state=0,
        ),
        "linear_reconstructor": LinearReconstructor(CompressedSensing(0.5), noise=0.01),
        "dncnn": DnCNN(depth=3, width=4, max_epochs=3, random_state=0),
        "unet_reconstructor": UNetReconstructor(
            Inpainting(), width=4, depth=1, max_epochs=3, random_state=0
        ),
    }
    for name, est in estimators.items():
        measured = est.fit(faces[5:]).simulate(faces[:5], random_state=0)
        save(est, folder / f"{name}.skmi")
        np.savez(folder / f"{name}.npz", measured=measured, restored=est.predict(measured))


if __name__ == "__main__":
    main()
