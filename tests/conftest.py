import functools
import os
import warnings

import pytest
import torch

# Without this variable, scikit-learn skips its check of array API input. Set it before SciPy is
# imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


def pytest_configure(config):
    torch.set_num_threads(1)  # one per worker of pytest-xdist
    torch.backends.cudnn.allow_tf32 = False  # by default, convolutions on a GPU keep 10 bits


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """lpips' network with random weights, and a file of these weights under torchvision's names."""

    @functools.cache
    def backbone_of(net):
        import lpips

        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        path = tmp_path_factory.mktemp(net) / "backbone.pth"
        torch.save({**features_of(network), "classifier.weight": torch.zeros(2)}, path)
        return network, path

    return backbone_of


def features_of(network):
    """Return the state dict of lpips' network under torchvision's names."""
    state = network.net.state_dict()
    return {"features." + name.split(".", 1)[1]: value.clone() for name, value in state.items()}


@pytest.fixture
def one_epoch(monkeypatch):
    """Shorten every training to one epoch, without warnings of what this does to the results."""
    from skmetainv.reconstruction import TrainedReconstructor

    monkeypatch.setattr(TrainedReconstructor, "_n_epochs", lambda self, n_images: 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
