"""
Save, load and share
====================

An estimator that fills in missing pixels of faces is saved to a file, described, loaded, and passed
on. The loaded estimator restores the same images bit by bit. A damaged file is noticed. Some parts
cannot be saved, and are given again when the file is loaded.
"""

# %%
# An estimator to save
# --------------------

import hashlib
import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import torch

from skmetainv import LinearReconstructor, MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.display import ReconstructionDisplay
from skmetainv.io import describe, load, save
from skmetainv.operators import FunctionOperator, MissingPixels

faces = load_faces()
estimator = MetaInverseSolver(MissingPixels(observed=0.5), max_epochs=15, random_state=0)
estimator.fit(faces[:80])
measured = estimator.simulate(faces[80:], random_state=0)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "faces.skmi")

# %%
# Save, describe, load
# --------------------
# `save` writes parameters, weights and history to one file. `describe` reads the beginning of the
# file only, and says what is in it.

save(estimator, path)
print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB\n")
print(describe(path))

# %%
# Loading runs no code of the file. It creates objects of this library and plain values, and checks
# them. So you can load the file of a stranger; :doc:`/guide/saving` names the risks that remain.

loaded = load(path)
same = np.array_equal(loaded.predict(measured), estimator.predict(measured))
print(f"the same restorations: {same}")

ReconstructionDisplay.from_estimator({"original": estimator, "loaded": loaded}, faces[80:83])

# %%
# Blue pixels are missing in the measurement. The two columns on the right are the same. (The
# training is short here. With the defaults it makes 600 steps, not 75.)
#
# Damage
# ------
# Parameters and weights have checksums. If a single byte of them changes, on a broken disk for
# instance, the file does not load.

content = bytearray(path.read_bytes())
content[len(content) // 2] ^= 1
damaged = Path(folder.name, "damaged.skmi")
damaged.write_bytes(content)
try:
    load(damaged)
except ValueError as error:
    print(str(error).replace(folder.name, "folder"))

# %%
# These checksums do not show who wrote a file. If you publish a file, publish the checksum of the
# whole file, too, in another place. Readers compare it with that of their copy:

print(hashlib.sha256(path.read_bytes()).hexdigest())

# %%
# Parts that cannot be saved
# --------------------------
# A file without code cannot hold functions, torch modules or your own classes. `save` names such a
# part. Leave it out, and give it again to `load`.


def flip_and_average(x):
    """Return the mean of an image and its mirror image."""
    return (x + x.flip(-1)) / 2


with_function = LinearReconstructor(
    FunctionOperator(flip_and_average, linear=True), noise=0.01, random_state=0
)
with_function.fit(faces[:80])
path = Path(folder.name, "mirror.skmi")
try:
    save(with_function, path)
except ValueError as error:
    print(error)

save(with_function, path, components=["operator__function"])
print("\nneeds:", dict(describe(path).components))
again = load(path, components={"operator__function": flip_and_average})
print(f"PSNR after loading: {again.score(faces[80:]):.2f} dB")

# %%
# joblib and pickle
# -----------------
# Users of scikit-learn know ``joblib.dump``. Its file is a pickle: a program that builds the
# objects when it is loaded. It holds almost anything, a search or a pipeline for instance. But
# loading it runs whatever code its author put there, so load only files that you wrote yourself. It
# also depends on the versions of Python and of all libraries.

pickled = Path(folder.name, "faces.joblib")
joblib.dump(estimator, pickled)
print(f"{pickled.name}: {pickled.stat().st_size / 1e6:.1f} MB")
print(np.array_equal(joblib.load(pickled).predict(measured), estimator.predict(measured)))

# %%
# In both files the weights are arrays of NumPy, wherever they were trained, so that the estimator
# of a GPU also loads where there is none. On tensors, it predicts tensors:

print(type(loaded.predict(torch.from_numpy(measured))))
folder.cleanup()

plt.show()
