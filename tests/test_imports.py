"""`import skmetainv` stays short: other packages are imported where they are used."""

import subprocess
import sys

#: Small packages, or imported by scikit-learn and scikit-image. Not here are higher, lpips, ptwt,
#: pywt, deepinv, matplotlib and others, each of which takes longer to import than this library.
ALLOWED = {"skmetainv", "sklearn", "skimage", "lazy_loader", "rich", "safetensors", "tqdm"}
CODE = """
import sys
import torch, sklearn.base, sklearn.utils
before = {name.partition(".")[0] for name in sys.modules}
import skmetainv
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - set(sys.stdlib_module_names)))
"""


def test_few_packages_are_imported():
    command = [sys.executable, "-c", CODE]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(result.stdout.split())
    assert "skmetainv" in imported
    assert imported <= ALLOWED
