"""`import skmetainv` stays short: other packages are imported where they are used."""

import subprocess
import sys

#: Small packages, or imported by scikit-learn and scikit-image. Not here are higher, lpips, ptwt,
#: pywt, deepinv, matplotlib and others, each of which takes longer to import than this library.
ALLOWED = {"skmetainv", "sklearn", "skimage", "lazy_loader", "rich", "safetensors", "tqdm"}
#: What `import torch` and the base of scikit-learn leave out, such as the compiler of torch, takes
#: long, too. Parts of scikit-learn are needed: estimators and searches are built on them.
CODE = """
import sys
import torch, sklearn.base, sklearn.utils
parts = lambda: {".".join(name.split(".")[:2]) for name in sys.modules}
before = parts()
packages = {name.partition(".")[0] for name in before}
import skmetainv
for name in sorted(parts() - before):
    package = name.partition(".")[0]
    if package not in packages:
        print(package)
    elif package in ("torch", "scipy", "numpy"):
        print(name)
"""


def test_few_packages_are_imported():
    command = [sys.executable, "-c", CODE]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(result.stdout.split()) - sys.stdlib_module_names
    assert "skmetainv" in imported
    assert imported <= ALLOWED
