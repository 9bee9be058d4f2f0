import os

import pytest
import torch

# Before SciPy is imported: scikit-learn skips its check of array API input without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


def pytest_configure(config):
    torch.set_num_threads(1)  # one per worker of pytest-xdist


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
