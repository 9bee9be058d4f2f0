import copy
import random
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from conftest import features_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import interpolate

from skmetainv.losses import (
    L1,
    L2,
    LOSS_CONSTRAINTS,
    LPIPS,
    SSIM,
    FunctionLoss,
    Loss,
    ScaledLoss,
    SumLoss,
    as_loss,
)
from skmetainv.metrics import ssim
from skmetainv.noise import GaussianNoise, PoissonNoise
from skmetainv.testing import check_loss

X = torch.tensor([[0.0, 1.0, 4.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0]], dtype=torch.float64)
OBSERVED = torch.tensor([[True, False, True], [True, True, False]])

LEAST_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17}
PUBLISHED = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def largest_error(x, target):
    return (x - target).abs().flatten(1).amax(1)


@pytest.mark.parametrize(
    ("loss", "everywhere", "observed"),
    [
        (L1(), [4 / 3, 2 / 3], [2, 0]),
        (L2(), [10 / 3, 4 / 3], [5, 0]),
        (L1(reduction="sum"), [4, 2], [4, 0]),
        (L2(reduction="sum"), [10, 4], [10, 0]),
        (FunctionLoss(largest_error), [3, 2], [3, 0]),
        (L2() + 0.5 * L1(), [4, 5 / 3], [6, 0]),
        (0 * L2() + (L1() + L1()) * 2, [16 / 3, 8 / 3], [8, 0]),
    ],
)
def test_losses_are_one_value_per_image(loss, everywhere, observed):
    criterion = loss.build()
    target = torch.where(OBSERVED, TARGET, torch.nan)
    assert criterion(X, TARGET).tolist() == pytest.approx(everywhere)
    assert criterion(X, target, OBSERVED).tolist() == pytest.approx(observed)


def test_what_is_not_observed_has_no_gradient_even_where_it_is_nan():
    x = X.clone().requires_grad_()
    target = torch.where(OBSERVED, TARGET, torch.nan)
    L2().build()(x, target, OBSERVED).sum().backward()
    assert (x.grad[~OBSERVED] == 0).all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    "loss",
    [L1(), L2(), SSIM(), 3 * (L1() + L1()), L2() + 0.5 * SSIM(), 0 * L2() + L1()],
    ids=repr,
)
@pytest.mark.parametrize("shape", [(1, 4, 5), (2, 1, 2), (1, 12, 13)])
def test_every_loss_has_the_properties_of_losses(loss, shape):
    check_loss(loss, shape, device="cpu")


@pytest.mark.parametrize("loss", [L1("sum"), L2("sum"), L2() + L1("sum")], ids=repr)
def test_losses_of_measurements_have_them_of_flat_ones(loss):
    check_loss(loss, (7,), device="cpu")


@pytest.mark.parametrize("loss", [L1(), L2(), SSIM()], ids=repr)
@pytest.mark.cuda
def test_every_loss_agrees_on_a_gpu(loss):
    check_loss(loss, device="cuda")


def test_functions_have_them_too():
    check_loss(FunctionLoss(largest_error), in_any_units=False, device="cpu")


def test_lpips_has_the_properties_of_losses(backbone):
    path = str(backbone("squeeze")[1])
    check_loss(LPIPS("squeeze", weights=path, upsample=True), device="cpu")


def test_bad_parameters():
    with pytest.raises(NotImplementedError, match="Loss does not define build"):
        Loss().build()
    for loss, message in (
        (L2(reduction="median"), "'reduction' parameter of L2"),
        (-1 * L2(), "'factor' parameter of ScaledLoss"),
        (float("nan") * L2(), "'factor' parameter of ScaledLoss"),
        (float("inf") * L2(), "'factor' parameter of ScaledLoss"),
        (ScaledLoss("l2"), "'loss' parameter of ScaledLoss"),
        (SumLoss(L1(), "l2"), "'second' parameter of SumLoss"),
        (FunctionLoss(3), "'function' parameter of FunctionLoss"),
        (LPIPS(net="resnet"), "'net' parameter of LPIPS"),
        (LPIPS(weights=3), "'weights' parameter of LPIPS"),
        (LPIPS(upsample="yes"), "'upsample' parameter of LPIPS"),
    ):
        with pytest.raises(ValueError, match=message):
            loss.build()


# Algebra


def test_losses_are_parameter_objects():
    loss = L2() + 0.1 * LPIPS()
    assert repr(loss) == "L2() + 0.1 * LPIPS()"
    assert repr(np.float64(0.5) * (L1() + L2()) * 2) == "2.0 * 0.5 * (L1() + L2())"
    assert repr(L1() + (L2() + SSIM())) == "L1() + (L2() + SSIM())"
    copied = clone(loss).set_params(second__factor=0.2, second__loss__net="vgg")
    assert repr(copied) == "L2() + 0.2 * LPIPS(net='vgg')"
    assert loss.get_params()["second__loss__net"] == "alex"
    assert copied.get_params()["first__reduction"] == "mean"


@pytest.mark.parametrize("other", ["2", None, L1(), torch.tensor(2.0), 2j], ids=repr)
def test_a_factor_is_a_number(other):
    with pytest.raises(TypeError):
        L2() * other
    with pytest.raises(TypeError):
        other * L2()


@pytest.mark.parametrize("other", ["l1", None, 1.0, L1], ids=repr)
def test_a_term_is_a_loss(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        L2() + other


def test_a_sum_builds_each_part_once():
    built = []

    class Counted(Loss):
        def build(self, data_range=(0.0, 1.0)):
            built.append(data_range)
            return L2().build(data_range)

    criterion = (Counted() + 2 * Counted()).build((0.0, 5.0))
    for _ in range(3):
        criterion(X, TARGET)
    assert built == [(0.0, 5.0)] * 2


# Shorthands


def test_shorthands():
    for name, kind in (("l1", L1), ("l2", L2), ("ssim", SSIM), ("lpips", LPIPS)):
        assert type(as_loss(name)) is kind
    own = L2(reduction="sum")
    assert as_loss(own) is own
    assert as_loss(largest_error).function is largest_error
    assert as_loss({"l2": 2}).build()(X, TARGET).tolist() == pytest.approx([20 / 3, 8 / 3])
    weighted = as_loss({"l2": 1.0, "l1": 0.5, "lpips": 0})
    assert repr(weighted) == "1.0 * L2() + 0.5 * L1() + 0.0 * LPIPS()"
    values = as_loss({"l2": 1.0, "l1": 0.5}).build()(X, TARGET)
    assert values.tolist() == pytest.approx([4, 5 / 3])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("l3", "'lpips'.* Got 'l3' instead"),
        ({}, "at least one of the keys .*'ssim'"),
        ({"l2": 1.0, "l3": 1.0}, "Got 'l3' instead"),
        ({L2: 1.0}, "Got <class .*L2'> instead"),
        ({"l1": 1.0, "l2": -0.5}, "weight of 'l2' .* Got -0.5 instead"),
        ({"l2": "1"}, "weight of 'l2' .* Got '1' instead"),
        ({"l2": np.nan}, "weight of 'l2' .* Got nan instead"),
        (L1, r"an instance, L1\(\)"),
        (SumLoss, "Got the class SumLoss"),
        (torch.nn.MSELoss, r"Got the class MSELoss instead\. Use 'l2', or"),
        (torch.nn.L1Loss, r"Got the class L1Loss instead\. Use 'l1', or"),
    ],
)
def test_bad_shorthands(loss, message):
    with pytest.raises(ValueError, match=message):
        as_loss(loss)


def test_what_a_parameter_accepts():
    class Estimator(BaseEstimator):
        _parameter_constraints = {"loss": LOSS_CONSTRAINTS}

        def __init__(self, loss):
            self.loss = loss

    for loss in ("l1", "l2", "ssim", "lpips", L2(), L1() + L2(), {"l2": 1.0}, largest_error):
        Estimator(loss)._validate_params()
    for loss in ("l3", 1.0, None, ["l2"]):
        with pytest.raises(ValueError, match="'loss' parameter of Estimator"):
            Estimator(loss)._validate_params()


# Functions


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x, target: (x - target).square().mean(), r"\(\)"),
        (lambda x, target: (x - target).square(), r"\(2, 3\)"),
        (lambda x, target: (x - target).sum(1, keepdim=True), r"\(2, 1\)"),
        (lambda x, target: 0.5, "0.5"),
        (lambda x, target: None, "None"),
    ],
)
def test_a_function_gives_one_value_per_image(function, got):
    with pytest.raises(ValueError, match=rf"shape \(2,\)\. Got {got} instead"):
        FunctionLoss(function).build()(X, TARGET)


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (torch.nn.MSELoss(), "Use 'l2'"),
        (torch.nn.L1Loss(), "Use 'l1'"),
        (torch.nn.functional.mse_loss, "Use 'l2'"),
        (torch.nn.SmoothL1Loss(), r"torch\.nn\.SmoothL1Loss\(reduction='none'\)\(x, target\)"),
        (lambda x, target: (x - target).square().mean(), "the mean over each image"),
        (lambda x, target: (x - target).numpy().repeat(9), r"Got shape \(54,\), float64 instead"),
    ],
)
def test_a_value_for_the_whole_batch_is_told_what_to_write(loss, named):
    with pytest.raises(ValueError, match=named) as refused:
        as_loss(loss).build()(X, TARGET)
    assert ".flatten(1).mean(1)" in str(refused.value)


def test_the_line_that_is_named_for_a_loss_of_torch_works():
    with pytest.raises(ValueError, match="SmoothL1Loss") as refused:
        as_loss(torch.nn.SmoothL1Loss)
    line = str(refused.value).partition("over each image: ")[2].rstrip(".")
    value = as_loss(eval(line, {"torch": torch})).build()(X, TARGET)
    expected = torch.nn.functional.smooth_l1_loss(X, TARGET, reduction="none").mean(1)
    torch.testing.assert_close(value, expected)


# Entries that are not observed


def filling_losses():
    return [SSIM(), FunctionLoss(lambda x, t: (x - t).pow(4).flatten(1).sum(1)), LPIPS("squeeze")]


@pytest.mark.parametrize("loss", filling_losses(), ids=lambda loss: type(loss).__name__)
def test_what_is_not_observed_is_filled_with_constants(loss, backbone):
    if isinstance(loss, LPIPS):
        loss = clone(loss).set_params(weights=backbone("squeeze")[1])
    criterion = loss.build()
    x, target = rand(2, 1, 17, 20), rand(2, 1, 17, 20, seed=1)
    observed = rand(1, 1, 17, 20, seed=2) > 0.4
    own, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    value = criterion(own, torch.where(observed, target, torch.nan), observed)
    expected = criterion(other, torch.where(observed, target, x))
    assert torch.equal(value, expected)
    value.sum().backward()
    expected.sum().backward()
    assert torch.equal(own.grad, other.grad)
    assert own.grad.isfinite().all()
    assert not torch.equal(value, criterion(x, target))
    assert torch.equal(criterion(x, target, torch.tensor(True)), criterion(x, target))
    nothing = criterion(x, torch.full_like(x, torch.nan), torch.tensor(False))
    assert nothing.tolist() == pytest.approx([0, 0], abs=1e-12)


# Structural similarity


def as_arrays(*batches):
    return [np.moveaxis(batch.numpy(), 1, -1) for batch in batches]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 24),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.sampled_from([(0.0, 1.0), (-50.0, 205.0)]),
    st.integers(0, 1000),
)
def test_ssim_is_that_of_the_metrics(height, width, channels, data_range, seed):
    low, high = data_range
    x, target = low + (high - low) * rand(2, 3, channels, height, width, seed=seed)
    expected = 1 - ssim(*as_arrays(target, x), data_range=(low, high), per_image=True)
    torch.testing.assert_close(
        SSIM().build(data_range)(x, target), torch.from_numpy(expected), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 40), (11, 11), (12, 10), (64, 48)])
def test_ssim_of_any_size_in_both_precisions(shape):
    x, target = rand(2, 2, 1, *shape)
    expected = torch.from_numpy(1 - ssim(*as_arrays(target, x), per_image=True))
    torch.testing.assert_close(SSIM().build()(x, target), expected, rtol=0, atol=1e-10)
    single = SSIM().build()(x.float(), target.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("case", ["equal", "constant"])
def test_ssim_has_all_derivatives_where_images_agree(case):
    target = rand(2, 1, 3, 4) if case == "equal" else torch.full((2, 1, 3, 4), 0.3).double()
    x, criterion = target.clone().requires_grad_(), SSIM().build()
    assert gradcheck(lambda x: criterion(x, target), x)
    assert gradgradcheck(lambda x: criterion(x, target), x)


@pytest.mark.parametrize("loss", [SSIM(), LPIPS("squeeze")], ids=repr)
@pytest.mark.parametrize("shape", [(2, 12), (2, 3, 12), (2, 1, 6, 4, 2)])
def test_losses_of_images_compare_images(loss, shape, backbone):
    if isinstance(loss, LPIPS):
        loss = clone(loss).set_params(weights=backbone("squeeze")[1])
    y = torch.zeros(shape)
    with pytest.raises(ValueError, match=rf"{type(loss).__name__} compares images.*flat or"):
        loss.build()(y, y)


# LPIPS


def of_the_package(network, x, target):
    """Return the distances that the package lpips computes for images in [0, 1]."""
    x, target = (image.expand(-1, 3, -1, -1) for image in (x, target))
    with torch.no_grad():
        return network(x, target, normalize=True).flatten()


@pytest.mark.parametrize(("net", "least"), LEAST_SIDE.items())
def test_lpips_is_that_of_the_package(net, least, backbone):
    network, path = backbone(net)
    unit = LPIPS(net, weights=path).build()
    other = LPIPS(net, weights=str(path)).build(data_range=(-50.0, 205.0))
    for channels in (1, 3):
        x, target = rand(2, 3, channels, least + 6, least, dtype=torch.float32)
        expected = of_the_package(network, x, target)
        assert expected.min() > 0.01
        torch.testing.assert_close(unit(x, target), expected, rtol=1e-4, atol=1e-6)
        values = other(255 * x - 50, 255 * target - 50)
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-5)


def test_lpips_follows_its_images(backbone):
    network, path = backbone("squeeze")
    x, target = rand(2, 3, 1, 20, 18)
    expected = of_the_package(copy.deepcopy(network).double(), x, target)
    criterion = LPIPS("squeeze", weights=path).build()
    for _ in range(2):  # alternate between the precisions
        assert criterion(x.float(), target.float()).dtype == torch.float32
        torch.testing.assert_close(criterion(x, target), expected, rtol=1e-10, atol=1e-12)
    for i in range(3):
        alone = criterion(x[i : i + 1], target[i : i + 1])
        torch.testing.assert_close(alone, expected[i : i + 1], rtol=1e-10, atol=1e-12)


@pytest.mark.cuda
@pytest.mark.parametrize("loss", [SSIM(), LPIPS("squeeze")], ids=repr)
def test_losses_of_images_on_a_gpu(loss, backbone):
    if isinstance(loss, LPIPS):
        loss = clone(loss).set_params(weights=backbone("squeeze")[1])
    criterion = loss.build()
    x, target = rand(2, 3, 1, 40, 30)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-3)):
        own = criterion(x.to("cuda", dtype), target.to("cuda", dtype))
        assert (own.device.type, own.dtype) == ("cuda", dtype)
        torch.testing.assert_close(own.cpu().double(), criterion(x, target), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("net", "least"), LEAST_SIDE.items())
def test_the_least_images_of_lpips(net, least, backbone):
    network, path = backbone(net)
    maps = network.net(torch.zeros(1, 3, least, least))
    assert min(min(features.shape[2:]) for features in maps) == 1
    with pytest.raises(RuntimeError, match=r"[Oo]utput size"):
        network.net(torch.zeros(1, 3, least, least - 1))
    x, target = rand(2, 1, 1, least, least - 1, dtype=torch.float32)
    with pytest.raises(ValueError, match=rf"at least {least} x {least} pixels.*upsample=True"):
        LPIPS(net, weights=path).build()(x, target)


@pytest.mark.parametrize("shape", [(8, 12), (1, 1), (17, 30), (20, 17)])
def test_lpips_enlarges_images_that_are_too_small(shape, backbone):
    network, path = backbone("squeeze")
    x, target = rand(2, 2, 3, *shape, dtype=torch.float32)
    size = [max(n, round(n * 17 / min(shape))) for n in shape]
    enlarged = [interpolate(image, size=size, mode="bilinear") for image in (x, target)]
    expected = of_the_package(network, *enlarged)
    values = LPIPS("squeeze", weights=path, upsample=True).build()(x, target)
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6)


def test_lpips_has_finite_derivatives_where_features_vanish(backbone, tmp_path):
    network = copy.deepcopy(backbone("squeeze")[0])
    network.net.slice1[0].bias.fill_(-1e3)  # all features of the first layer are 0
    torch.save(features_of(network), tmp_path / "dead.pth")
    x, target = rand(2, 1, 3, 17, 17, dtype=torch.float32)
    x.requires_grad_()
    criterion = LPIPS("squeeze", weights=tmp_path / "dead.pth").build()
    assert criterion(x, target).item() == 0
    (gradient,) = torch.autograd.grad(criterion(x, target).sum(), x, create_graph=True)
    assert torch.equal(gradient, torch.zeros_like(x))
    assert torch.equal(torch.autograd.grad(gradient.square().sum(), x)[0], gradient)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_lpips_of_equal_images_is_a_minimum(value, backbone):
    x = torch.full((1, 1, 17, 17), value, dtype=torch.float64, requires_grad=True)
    loss = LPIPS("squeeze", weights=backbone("squeeze")[1]).build()(x, x.detach().clone())
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(x))


@pytest.mark.parametrize("channels", [2, 4])
def test_lpips_takes_gray_and_colour(channels, backbone):
    x = torch.zeros(1, channels, 20, 20)
    with pytest.raises(ValueError, match=f"1 or 3 channels. Got {channels} instead"):
        LPIPS("squeeze", weights=backbone("squeeze")[1]).build()(x, x)


def test_lpips_leaves_the_global_generators_and_is_quiet(backbone, capfd, recwarn):
    path = backbone("squeeze")[1]
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    capfd.readouterr()
    recwarn.clear()
    LPIPS("squeeze", weights=path).build()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_the_library_is_imported_without_the_networks():
    code = "import sys, skmetainv.losses; print({'lpips', 'torchvision'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout == "set()\n"


def refuse(*args, **kwargs):
    raise URLError("no network")


@pytest.mark.parametrize(("net", "name"), PUBLISHED.items())
def test_lpips_says_which_file_it_needs(net, name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(OSError, match="no network") as raised:
        LPIPS(net).build()
    assert f"the file {name} in the folder {tmp_path / 'hub' / 'checkpoints'}" in str(raised.value)
    assert "'weights' parameter" in str(raised.value)


def test_lpips_takes_the_file_that_lies_in_the_folder(backbone, tmp_path, monkeypatch):
    network, path = backbone("squeeze")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("skmetainv.losses.perceptual._sha256_in_name", lambda path: None)
    file = tmp_path / "hub" / "checkpoints" / PUBLISHED["squeeze"]
    x, target = rand(2, 1, 1, 17, 17, dtype=torch.float32)
    expected = of_the_package(network, x, target)
    asked = []

    def download(url, **options):
        asked.append(url)
        assert options["weights_only"]
        file.parent.mkdir(parents=True)
        file.write_bytes(path.read_bytes())

    for replacement in (download, refuse):  # the second time, the file exists
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", replacement)
        values = LPIPS("squeeze").build()(x, target)
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6)
    assert asked == [f"https://download.pytorch.org/models/{PUBLISHED['squeeze']}"]


@pytest.mark.parametrize("net", PUBLISHED)
def test_lpips_takes_no_other_file_under_the_published_name(backbone, net, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / PUBLISHED[net]).symlink_to(backbone(net)[1])
    with pytest.raises(
        ValueError, match=r"has the SHA-256 checksum \w{64}, not \w{8}: it is damaged"
    ):
        LPIPS(net).build()


class Code:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "is not a file of tensors"),
        (Code(), "is not a file of tensors"),
        ([torch.zeros(2)], "is not a state dict"),
        ({"features.0.weight": None}, "no weights of .*'squeeze'.*there is no 'features.0.weight'"),
        ({"features.0.weight": torch.zeros(2, 3)}, r"'features.0.weight' has shape \(2, 3\), not"),
        (
            {"features.3.squeeze.bias": torch.full((16,), np.nan)},
            "'features.3.squeeze.bias' is not",
        ),
        ({"features.12.expand3x3.bias": None}, "do not fit .* no 'features.12.expand3x3.bias'"),
        ("missing", "do not fit .* no 'features.12.expand3x3.bias'"),
    ],
)
def test_files_that_hold_no_weights(content, message, backbone, tmp_path, capfd):
    path = tmp_path / "file.pth"
    state = features_of(backbone("squeeze")[0])
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "missing":
        del state["features.12.expand3x3.bias"]
        torch.save(state, path)
    else:
        torch.save({**state, **content} if isinstance(content, dict) else content, path)
    with pytest.raises(ValueError, match=message) as raised:
        LPIPS("squeeze", weights=path).build()
    assert str(path) in str(raised.value)
    assert "ran" not in capfd.readouterr().out


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LPIPS("squeeze", weights=tmp_path / "nowhere.pth").build()


def test_sum_adds_losses_and_noises():
    assert repr(sum([L1(), L2(), SSIM()])) == repr(L1() + L2() + SSIM())
    assert repr(sum([GaussianNoise(0.1), PoissonNoise(9.0)])) == repr(
        GaussianNoise(0.1) + PoissonNoise(9.0)
    )
    for part in (L1(), GaussianNoise(0.1)):
        with pytest.raises(TypeError, match="unsupported operand"):
            1 + part


def test_advice_names_only_losses_that_torch_has():
    def own_loss(x, target):
        return (x - target).square().mean()

    own_loss.__name__ = "BestLoss"
    with pytest.raises(ValueError, match="one value per image") as raised:
        FunctionLoss(own_loss).build()(torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3))
    assert "torch.nn" not in str(raised.value)
    with pytest.raises(ValueError, match=r"torch\.nn\.MSELoss\(reduction='none'\)"):
        FunctionLoss(torch.nn.MSELoss()).build()(torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3))
