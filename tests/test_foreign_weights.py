"""Users' files of weights: with prefixes, with other entries, with batch normalisation."""

import functools
import hashlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from settings import FACES
from torch import nn
from torch.optim.swa_utils import AveragedModel

from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.exceptions import WeightsWarning
from skmetainv.losses import LPIPS
from skmetainv.model_selection import psnr_scorer

RNG = np.random.default_rng(0)
X = torch.from_numpy(FACES[:2])[:, None]


class Named(nn.Module):
    """A network that predicts the noise, as a submodule of the given name."""

    def __init__(self, name, network):
        super().__init__()
        self.name = name
        self.add_module(name, network)

    def forward(self, x):
        return x - getattr(self, self.name)(x)


def convolution(n_in, n_out, **options):
    return nn.Conv2d(n_in, n_out, 3, padding=1, dtype=torch.float64, **options)


def kair(n_in=1, n_out=1, width=6):
    layers = [convolution(n_in, width), nn.ReLU(), convolution(width, width), nn.ReLU(),
              convolution(width, n_out)]  # fmt: skip
    return Named("model", nn.Sequential(*layers))


def drunet(width=4, n_blocks=2, channels=1):
    network = DRUNet()._network(channels, width=width, n_blocks=n_blocks)
    return {
        k: torch.from_numpy(RNG.normal(0, 0.1, v.shape)) for k, v in network.state_dict().items()
    }


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return path

    return save


def denoised(path, cls=DnCNN, **parameters):
    return cls(weights=path, precision="float64", **parameters).predict(FACES[:2])


def expected(network):
    with torch.no_grad():
        return network.eval()(X)[:, 0].numpy()


def test_a_denoiser_from_a_file_is_scored_without_fitting(saved):
    denoiser = DnCNN(weights=saved(kair().state_dict()), noise_level=0.1)
    pairs = list(denoiser.restorations(FACES[:3]))
    assert [x.shape for x, _ in pairs] == [(3, 25, 25, 1)]
    assert psnr_scorer(denoiser, FACES[:3]) == pytest.approx(denoiser.score(FACES[:3]))
    sizes = [FACES[0], FACES[1, :20]]
    assert [x.shape[1:3] for x, _ in denoiser.restorations(sizes)] == [(25, 25), (20, 25)]


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


# ------------------------------------------------------------ prefixes and other entries


@pytest.mark.parametrize(
    ("prefix", "containers"),
    [
        ("_orig_mod.", []),
        ("module.", ["params"]),
        ("model.", ["state_dict"]),
        ("net.", []),
        ("network.", ["checkpoint", "model_state_dict"]),
        ("module._orig_mod.model.", []),
        ("_orig_mod.module.denoiser.", ["params_ema"]),
        ("model.module.net._orig_mod.", ["a", "b", "c"]),
    ],
)
def test_wrappers_are_taken_away(prefix, containers, saved, recwarn):
    network, wide = kair(), drunet()
    for state, cls in ((network.state_dict(), DnCNN), (wide, DRUNet)):
        content = under(prefix, state)
        for key in containers:
            content = {key: content, "epoch": 3}
        weights = cls(weights=saved(content), precision="float64").build((1, 8, 8)).network
        for name, tensor in weights.state_dict().items():
            assert torch.equal(tensor, state[name])
    assert not recwarn.list


@pytest.mark.parametrize("key", ["params", "state_dict", "model_state_dict", "model", "net", "ema"])
def test_an_optimiser_beside_them_is_no_matter(key, saved):
    network = kair()
    optimizer = torch.optim.Adam(network.parameters())
    network(X).sum().backward()
    optimizer.step()
    content = {key: network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2,
               "loss": torch.tensor(0.1), "losses": [0.2, 0.1], "name": "DnCNN"}  # fmt: skip
    np.testing.assert_allclose(denoised(saved(content)), expected(network), atol=1e-12)


def test_wrappers_of_torch_itself(saved):
    network = kair()
    own = expected(network)
    network.model = torch.compile(network.model)  # never called
    for wrapped in (nn.DataParallel(network), torch.compile(network), AveragedModel(network)):
        np.testing.assert_allclose(denoised(saved(wrapped.state_dict())), own, atol=1e-12)


def test_files_of_old_versions_of_torch(tmp_path):
    network, path = kair(), tmp_path / "weights.pth"
    content = {"state_dict": under("module.", network.state_dict())}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    np.testing.assert_allclose(denoised(path), expected(network), atol=1e-12)


def test_wrappers_in_safetensors(tmp_path):
    network = kair()
    for name in ("weights.safetensors", "weights.bin"):
        save_file(under("module.model.", network.state_dict()), tmp_path / name)
        np.testing.assert_allclose(denoised(tmp_path / name), expected(network), atol=1e-12)


def test_our_checkpoints_are_read(tmp_path):
    """With early stopping, they are read with the best weights, as `fit` keeps them."""
    for early_stopping in (False, True):
        path = tmp_path / f"{early_stopping}.ckpt"
        denoiser = DnCNN(
            depth=2, width=3, max_epochs=3, lr=0.1, checkpoint=path, random_state=0,
            early_stopping=early_stopping, precision="float64",
        ).fit(FACES[:20])  # fmt: skip
        np.testing.assert_allclose(denoised(path), denoiser.predict(FACES[:2]), atol=1e-12)


@pytest.mark.parametrize("form", ["params_ema", "ema.", "model_ema.", "best_state_dict"])
def test_averaged_or_best_weights_are_preferred(form, saved):
    last, better = kair(), kair()
    if form.endswith("."):
        content = under("model.", last.state_dict()) | under(form, better.state_dict())
    else:
        content = {"params": last.state_dict(), form: better.state_dict()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = denoised(saved(content))
    np.testing.assert_allclose(result, expected(better), atol=1e-12)


def test_best_averaged_weights_are_preferred_to_best_ones(saved):
    last, better, best = kair(), kair(), kair()
    content = {"params": last.state_dict(), "params_ema": better.state_dict()}
    inner = {"params": better.state_dict(), "params_ema": best.state_dict()}
    path = saved({"state": content, "best": inner})
    np.testing.assert_allclose(denoised(path), expected(best), atol=1e-12)
    path = saved({"ema": better.state_dict(), "best": best.state_dict()})
    with pytest.raises(ValueError, match=r"several networks.*\['ema'\], \['best'\]"):
        denoised(path)


def test_of_several_networks_none_is_taken(saved):
    first, second = kair(), kair()
    content = under("student.", first.state_dict()) | under("teacher.", second.state_dict())
    with pytest.raises(ValueError, match=r"several networks.*'student\.'.*'teacher\.'.*torch.save"):
        denoised(saved(content))
    twice = {"params": first.state_dict(), "copy": first.state_dict()}
    np.testing.assert_allclose(denoised(saved(twice)), expected(first), atol=1e-12)


def test_other_modules_are_left_out_with_a_warning(saved):
    network = kair()
    discriminator = nn.Sequential(nn.Conv2d(1, 4, 4, stride=2), nn.ReLU(), nn.Conv2d(4, 1, 4))
    content = (
        under("net.", network.state_dict())
        | under("netD.model.", discriminator.state_dict())
        | {"loss.weight": torch.ones(3), "psnr.total": torch.tensor(1.0)}
    )
    with pytest.warns(WeightsWarning, match=r"begin with 'net\.'.* netD.model.0.weight,.* 1 more"):
        result = denoised(saved(content))
    np.testing.assert_allclose(result, expected(network), atol=1e-12)
    state = drunet() | {"m_attention.weight": torch.ones(4)}
    with pytest.raises(ValueError, match=r"the network has no 'm_attention.weight'"):
        denoised(saved(state), DRUNet)


# ---------------------------------------------------------------------- batch normalisation


def with_batch_normalisation(eps, bias, affine=True, depth=4, width=6, first_bias=True):
    layers = [convolution(1, width, bias=first_bias), nn.ReLU()]
    for _ in range(depth - 2):
        normalisation = nn.BatchNorm2d(width, eps=eps, affine=affine, dtype=torch.float64)
        normalisation.running_mean.normal_()
        normalisation.running_var.uniform_(0.05, 2.0)
        if affine:
            nn.init.normal_(normalisation.weight)
            nn.init.normal_(normalisation.bias)
        layers += [convolution(width, width, bias=bias), normalisation, nn.ReLU()]
    return nn.Sequential(*layers, convolution(width, 1, bias=bias))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("name", "eps", "first_bias"),
    [("model", 1e-4, True), ("dncnn", 1e-4, True), ("dncnn", 1e-5, False)],
)
def test_batch_normalisation_is_merged(name, eps, first_bias, bias, affine, saved):
    network = Named(name, with_batch_normalisation(eps, bias, affine, first_bias=first_bias))
    result = denoised(saved(nn.DataParallel(network).state_dict()))
    np.testing.assert_allclose(result, expected(network), rtol=1e-12, atol=1e-12)


def test_small_variances_are_warned_of(saved):
    network = Named("dncnn", with_batch_normalisation(1e-4, False))
    network.dncnn[3].running_var.fill_(1e-3)
    with pytest.warns(WeightsWarning, match=r"eps=0.0001.*eps=1e-05 would change .* 4.4 percent"):
        denoised(saved(network.state_dict()))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.ReLU(), nn.BatchNorm2d(4)], "'model.2' does not directly follow a convolution"),
        ([nn.BatchNorm2d(4), nn.BatchNorm2d(4)], "'model.2' does not directly follow"),
        ([nn.BatchNorm2d(4, track_running_stats=False)], "'model.1' is neither a convolution"),
        ([nn.PReLU()], "'model.1' is neither a convolution"),
        (
            [nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()],
            "between 'model.4' and .* there must be one layer",
        ),
        ([], "between 'model.1' and .* there must be one layer without weights, the ReLU"),
    ],
)
def test_what_cannot_be_merged_is_named(layers, message, saved):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), *layers, nn.Conv2d(4, 1, 3))
    with pytest.raises(ValueError, match=message):
        denoised(saved(Named("model", network).state_dict()))


def test_batch_normalisation_of_a_drunet_is_named(saved):
    state = drunet() | under("m_body.0.res.1.", nn.BatchNorm2d(32).state_dict())
    with pytest.raises(ValueError, match=r"batch normalisation.*have no biases"):
        denoised(saved(state), DRUNet)


# ---------------------------------------------------------------------- sizes and kinds


def test_sizes_of_a_drunet_are_read(saved):
    models = pytest.importorskip("deepinv").models
    theirs = models.DRUNet(1, 1, nc=(4, 8, 16, 32), nb=3, pretrained=None).double()
    path = saved(theirs.state_dict())
    images = RNG.random((2, 32, 40))
    with torch.no_grad():
        own = theirs(torch.from_numpy(images)[:, None], 0.25)[:, 0].numpy()
    read = DRUNet(weights=path, precision="float64")
    np.testing.assert_allclose(read.predict(images, noise_level=0.25), own, atol=1e-10)
    for parameters, message in (
        ({"width": 8}, r"DRUNet\(width=8\).*has width=4, not width=8. Set width=4"),
        ({"n_blocks": 4}, "has n_blocks=3, not n_blocks=4"),
    ):
        with pytest.raises(ValueError, match=message):
            denoised(path, DRUNet, **parameters)


def test_a_noise_level_input_is_read(saved):
    network = kair(n_in=2)
    path = saved(network.state_dict())
    with torch.no_grad():
        own = X - network.model(torch.cat([X, torch.full_like(X, 0.2)], dim=1))
    read = DnCNN(weights=path, precision="float64").predict(FACES[:2], noise_level=0.2)
    np.testing.assert_allclose(read, own[:, 0], atol=1e-12)
    with pytest.raises(ValueError, match="has noise_level_input=True, not noise_level_input=False"):
        denoised(path, noise_level_input=False)


def test_a_network_that_gives_the_image_is_not_taken_for_one_that_gives_noise(saved):
    first, last = convolution(1, 2), convolution(2, 1)
    for layer in (first, last):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        layer.weight.data[:, :, 1, 1] = 0.7
    path = saved(Named("model", nn.Sequential(first, nn.ReLU(), last)).state_dict())
    with pytest.raises(ValueError, match=r"has residual=False, not residual=True. Set residual=F"):
        denoised(path)
    np.testing.assert_allclose(denoised(path, residual=False), 0.98 * FACES[:2], atol=1e-12)


@pytest.mark.parametrize("cls", [DnCNN, DRUNet])
def test_gray_and_colour_are_told_apart(cls, saved):
    colour = np.stack([FACES[:2]] * 3, axis=-1)
    gray, images = "gray images, of 1 channel", "colour images, of 3 channels"
    for channels, given, message in (
        (1, colour, f"they are for {gray}, but the images are {images}"),
        (3, FACES[:2], f"they are for {images}, but the images are {gray}"),
    ):
        state = kair(channels, channels).state_dict() if cls is DnCNN else drunet(channels=channels)
        with pytest.raises(ValueError, match=message):
            cls(weights=saved(state)).predict(given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_converted(dtype, saved):
    network = kair()
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype).double()
    path = saved({name: tensor.to(dtype) for name, tensor in network.state_dict().items()})
    np.testing.assert_allclose(denoised(path), expected(network), atol=1e-12)


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (lambda t: t.long(), "int64"),
        (lambda t: t > 0, "bool"),
        (lambda t: t.to(torch.complex128), "complex128"),
        (lambda t: t.to_sparse(), "sparse_coo"),
        (lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8), "qint8"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # on quantised tensors
def test_other_numbers_are_refused(convert, kind, saved):
    state = kair().state_dict()
    state["model.2.weight"] = convert(state["model.2.weight"])
    with pytest.raises(ValueError, match=f"'model.2.weight' is of type {kind}, but weights must"):
        denoised(saved(state))


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize("container", [None, "state_dict"])
@pytest.mark.parametrize("prefix", ["", "layers.", "module.layers."])
def test_the_names_of_one_s_own_sequential_and_the_line_that_renames_them(
    prefix, container, saved, tmp_path
):
    network = kair()
    state = under(prefix, network.model.state_dict())
    path = saved(state if container is None else {container: state, "epoch": 1})
    with pytest.raises(ValueError, match=r"there is no 'model.0.weight'") as raised:
        denoised(path)
    message = str(raised.value)
    assert f"'{prefix}0.weight' of shape (6, 1, 3, 3)" in message
    assert "and 2 more" in message
    assert "FunctionDenoiser" in message
    load, save = re.search(
        r"state = (torch\.load.*), then (torch\.save.*new_path\))", message
    ).groups()
    state = eval(load)
    eval(save, {"torch": torch, "state": state, "new_path": tmp_path / "renamed.pth"})
    np.testing.assert_allclose(denoised(tmp_path / "renamed.pth"), expected(network), atol=1e-12)


def test_the_line_that_saves_one_of_several(saved, tmp_path):
    first, second = kair(), kair()
    content = under("module.student.", first.state_dict()) | under("teacher.", second.state_dict())
    with pytest.raises(ValueError, match="several") as raised:
        denoised(saved({"state_dict": content}))
    load, save = re.search(
        r"state = (torch\.load.*), then (torch\.save.*new_path\))", str(raised.value)
    ).groups()
    state = eval(load)
    eval(save, {"torch": torch, "state": state, "new_path": tmp_path / "one.pth"})
    np.testing.assert_allclose(denoised(tmp_path / "one.pth"), expected(first), atol=1e-12)


def test_normalised_weights_are_named(saved):
    network = kair()
    nn.utils.parametrizations.spectral_norm(network.model[0])
    with pytest.raises(ValueError, match="remove_parametrizations"):
        denoised(saved(network.state_dict()))


def test_what_is_pickled_beside_tensors_is_named(saved):
    state = kair().state_dict()
    for content, kind in (
        (kair().model, "torch.nn.modules.container.Sequential"),
        ({"state_dict": state, "psnr": np.float64(30)}, r"numpy\.\S+scalar"),
    ):
        with pytest.raises(ValueError, match=rf"it holds a {kind}, and no pickled.*torch.save\("):
            denoised(saved(content))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files_are_named(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(kair().state_dict(), path)
    content = path.read_bytes()
    for damaged, message in (
        (b"", "is empty"),
        (content[: len(content) // 2], "is not a file of tensors, or is damaged"),
        (b"%PDF-1.4 and so on", "is not a file of tensors"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message) as raised:
            denoised(path)
        assert str(path) in str(raised.value)
    with pytest.raises(IsADirectoryError):
        denoised(tmp_path)


def test_every_damaged_byte_of_a_zip_is_found_or_harmless(saved):
    """The archive has a checksum for each part; what is outside of the parts changes no weight."""
    network = kair()
    path = Path(saved(network.state_dict()))
    content, exact, messages = path.read_bytes(), expected(network), []
    for place in np.random.default_rng(0).integers(0, len(content), 120):
        damaged = bytearray(content)
        damaged[place] ^= 0x41
        path.write_bytes(damaged)
        try:
            np.testing.assert_allclose(denoised(path), exact, atol=1e-12)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 60
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("length", [30, 0.5, 0.99])
def test_a_truncated_zip_is_named(length, saved):
    path = Path(saved(kair().state_dict()))
    content = path.read_bytes()
    path.write_bytes(content[: length if length > 1 else int(length * len(content))])
    with pytest.raises(ValueError, match="is not a file of tensors, or is damaged") as raised:
        denoised(path)
    assert str(path) in str(raised.value)


def test_tensors_without_values_are_refused(saved):
    state = {name: tensor.to("meta") for name, tensor in kair().state_dict().items()}
    with pytest.raises(ValueError, match=r"'model\.0\.weight' has a shape, but no values"):
        denoised(saved(state))


@pytest.mark.filterwarnings("ignore:'torch.load' received")
def test_a_program_of_torchscript_is_named(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Conv2d(1, 1, 3)), tmp_path / "program.pt")
    with pytest.raises(ValueError, match=r"TorchScript.*torch.jit.load\(.*state_dict\(\)"):
        denoised(tmp_path / "program.pt")


# ---------------------------------------------------------------------- other networks


def test_wrapped_weights_of_lpips(tmp_path):
    models = pytest.importorskip("torchvision").models
    pytest.importorskip("lpips")
    state = models.squeezenet1_1(weights=None).state_dict()
    wrapped = {"model_state_dict": under("_orig_mod.backbone.", state), "epoch": 1}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    torch.save(state, tmp_path / "plain.pth")
    x, y = torch.from_numpy(RNG.random((2, 1, 3, 20, 20)))
    values = [
        LPIPS("squeeze", weights=tmp_path / f"{name}.pth").build()(x, y)
        for name in ("wrapped", "plain")
    ]
    torch.testing.assert_close(*values, rtol=0, atol=0)


@pytest.mark.parametrize("make", [DnCNN, DRUNet, functools.partial(LPIPS, "squeeze")])
def test_the_checksum_of_a_file_is_compared(make, saved, backbone):
    path = backbone("squeeze")[1]
    if make in (DnCNN, DRUNet):
        path = saved(kair().state_dict() if make is DnCNN else drunet())
    build = {DnCNN: lambda d: d.build((1, 8, 8)), DRUNet: lambda d: d.build((1, 8, 8))}.get(
        make, LPIPS.build
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for right in (digest, digest[:8], digest.upper(), None):
        build(make(weights=path, sha256=right))
    wrong = f"{int(digest[0], 16) ^ 1:x}{digest[1:]}"
    for checksum in (wrong, wrong[:8]):
        with pytest.raises(ValueError, match=f"{path} has the SHA-256 checksum {digest}, not"):
            build(make(weights=path, sha256=checksum))
    for text in ("", digest[:7], digest + "0", "x" * 64):
        with pytest.raises(ValueError, match="'sha256' parameter must have 8 to 64 hexadecimal"):
            build(make(weights=path, sha256=text))
    with pytest.raises(ValueError, match="'sha256' parameter of"):
        build(make(weights=path, sha256=12345678))
