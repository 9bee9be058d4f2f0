"""Every representation with every option; add new ones to `REPRESENTATIONS`."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skmetainv.meta import PerLayer
from skmetainv.operators import (
    FourierSampling,
    GaussianBlur,
    Inpainting,
    MatrixOperator,
    MissingPixels,
    Saturation,
)
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.representations import (
    Encoder,
    FourierMLP,
    ImageModule,
    ModulatedSiren,
    ModuleRepresentation,
    PixelGrid,
    Refiner,
    Siren,
)
from skmetainv.testing import check_representation

SHAPE = (2, 3, 4)
RANGE = (-1.0, 3.0)


class Smooth(nn.Module):
    """A user's module: a submodule, a bare parameter, and a random buffer."""

    def __init__(self, image_shape):
        super().__init__()
        self.shape = image_shape
        self.head = nn.Linear(3, math.prod(image_shape))
        self.gain = nn.Parameter(torch.rand(()))
        self.register_buffer("noise", torch.randn(3))

    def forward(self):
        return (self.gain * torch.tanh(self.head(self.noise))).reshape(1, *self.shape)


REPRESENTATIONS = {
    "siren": Siren(width=3, depth=3, omega_0=2.0),
    "shift": ModulatedSiren(width=3, depth=3, omega_0=2.0),
    "scale_shift": ModulatedSiren(width=3, depth=3, omega_0=2.0, modulation="scale_shift"),
    "latent": ModulatedSiren(3, depth=3, omega_0=2.0, modulation="latent", latent_size=2),
    "fourier": FourierMLP(width=5, depth=3, n_frequencies=2, sigma=0.5),
    "pixels": PixelGrid(),
    "module": ModuleRepresentation(Smooth),
}
OPTIONS = {
    "plain": {},
    "residual": {"residual": "adjoint"},
    "encoder": {"encoder": Encoder(width=2, depth=1)},
    "both": {"residual": "pseudo_inverse", "encoder": Encoder(width=2, depth=2)},
}
CONTINUOUS = ("siren", "shift", "scale_shift", "latent", "fourier")

every = pytest.mark.parametrize("name", REPRESENTATIONS)
every_option = pytest.mark.parametrize("option", OPTIONS)
every_continuous = pytest.mark.parametrize("name", CONTINUOUS)


def build(name, option="plain", shape=SHAPE, data_range=RANGE):
    return clone(REPRESENTATIONS[name]).set_params(**OPTIONS[option]).build(shape, data_range)


def weights_of(phi, seed=0):
    """Initial weights, with random values for weights that are initially 0."""
    rng = np.random.default_rng(seed)
    return {
        k: v if v.any() else torch.from_numpy(rng.normal(0, 0.4, v.shape))
        for k, v in phi.initial_weights(rng).items()
    }


def measured(n_images=3, shape=SHAPE, seed=0):
    y = np.random.default_rng(seed).uniform(*RANGE, (n_images, *shape))
    return torch.from_numpy(y)


def blurred(y):
    return GaussianBlur(sigma=0.8).build(tuple(y.shape[1:])).bind(y)


def stacked(phi, sets):
    """Stack adapted weights, one set per image; take shared weights from the first set."""
    return sets[0] | {k: torch.stack([w[k] for w in sets]) for k in phi.adapted}


def by_formula(name, w, shape, features=None):
    """The image in [-1, 1] units by loops over pixels, in NumPy."""
    w = {k: v.detach().numpy() for k, v in w.items()}
    part = REPRESENTATIONS[name]
    if name == "pixels":
        return w["image"] + (0 if features is None else features.reshape(shape))
    if name == "module":
        noise = build("module", shape=shape).buffer_0.numpy()
        image = w["gain"] * np.tanh(w["head.weight"] @ noise + w["head.bias"])
        return (image + (0 if features is None else features)).reshape(shape)
    n_units = (part.depth - 1) * part.width
    shift = np.zeros(n_units) if features is None else features
    scale = np.ones(n_units)
    if name in ("shift", "scale_shift"):
        shift = shift + np.concatenate([w["0.shift"], w["1.shift"]])
    if name == "scale_shift":
        scale = scale + np.concatenate([w["0.scale"], w["1.scale"]])
    if name == "latent":
        shift = shift + np.einsum("ij,j->i", w["mapping.weight"], w["latent"])
    image = np.empty(shape)
    for i, row in enumerate(np.linspace(-1, 1, shape[1]) if shape[1] > 1 else [0]):
        for j, column in enumerate(np.linspace(-1, 1, shape[2]) if shape[2] > 1 else [0]):
            h = np.array([row, column])
            if name == "fourier":
                B = np.random.default_rng(0).normal(0, part.sigma, (part.n_frequencies, 2))
                h = np.concatenate([np.cos(2 * np.pi * B @ h), np.sin(2 * np.pi * B @ h)])
            for layer in range(part.depth - 1):
                units = slice(layer * part.width, (layer + 1) * part.width)
                z = w[f"{layer}.weight"] @ h + w[f"{layer}.bias"]
                z = scale[units] * z + shift[units]
                h = np.maximum(z, 0) if name == "fourier" else np.sin(part.omega_0 * z)
            last = part.depth - 1
            image[:, i, j] = w[f"{last}.weight"] @ h + w[f"{last}.bias"]
    return image


# --- images ----------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1), (3, 1, 4)])
def test_the_image_is_its_formula_at_every_pixel(name, shape):
    phi = build(name, shape=shape)
    w = weights_of(phi)
    image = phi(w)
    assert image.shape == (1, *shape)
    np.testing.assert_allclose(image[0], 1 + 2 * by_formula(name, w, shape), rtol=1e-9, atol=1e-12)


@every
@every_option
@pytest.mark.parametrize("shape", [SHAPE, (1, 2, 3)])
def test_every_representation_has_the_properties_of_representations(name, option, shape):
    part = clone(REPRESENTATIONS[name]).set_params(**OPTIONS[option])
    check_representation(part, shape, device="cpu")


@pytest.mark.cuda
@every
@every_option
def test_every_representation_agrees_on_a_gpu(name, option):
    part = clone(REPRESENTATIONS[name]).set_params(**OPTIONS[option])
    check_representation(part, SHAPE, device="cuda")


def test_the_parts_of_a_representation_are_set_by_name():
    part = Siren(encoder=Encoder(width=2))
    assert part.set_params(encoder__width=7).encoder.width == 7


@every
def test_adapted_weights_are_there_and_the_encoder_s_are_not_among_them(name):
    phi = build(name, "encoder")
    weights = phi.initial_weights(np.random.default_rng(0))
    assert set(phi.adapted) <= set(weights)
    encoder = {k for k in weights if k.startswith("encoder.")}
    assert encoder == {f"encoder.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}
    assert not encoder & set(phi.adapted)
    plain = build(name)
    others = plain.initial_weights(np.random.default_rng(0))
    assert set(weights) == set(others) | encoder
    assert plain.adapted == phi.adapted
    for k, v in others.items():  # equal, because the encoder draws last
        assert torch.equal(weights[k], v)


@every_option
@pytest.mark.parametrize(
    ("name", "adapted"),
    [
        ("shift", ("0.shift", "1.shift")),
        ("scale_shift", ("0.scale", "0.shift", "1.scale", "1.shift")),
        ("latent", ("latent",)),
    ],
)
def test_of_a_modulated_siren_only_the_modulations_are_adapted(name, adapted, option):
    phi = build(name, option)
    assert phi.adapted == adapted
    weights = phi.initial_weights(np.random.default_rng(0))
    for k in adapted:
        assert weights[k].shape == ((2,) if name == "latent" else (3,))
        assert not weights[k].any()


def test_the_modulations_of_a_layer_have_step_sizes_of_their_own():
    phi = build("scale_shift")
    theta = phi.initial_weights(np.random.default_rng(0))
    adapted = {name: theta[name] for name in phi.adapted}
    alpha = PerLayer().initial(adapted, 3, 0.1)
    assert {name: tuple(a.shape) for name, a in alpha.items()} == {"0": (3,), "1": (3,)}


@pytest.mark.parametrize("modulation", ["shift", "scale_shift", "latent"])
def test_a_modulated_siren_begins_as_a_siren(modulation):
    options = {"width": 7, "depth": 4, "omega_0": 10.0}
    siren = Siren(**options).build(SHAPE)
    modulated = ModulatedSiren(**options, modulation=modulation, latent_size=5).build(SHAPE)
    w = modulated.initial_weights(np.random.default_rng(0))
    expected = siren(siren.initial_weights(np.random.default_rng(0)))
    torch.testing.assert_close(modulated(w), expected)


def test_an_inner_step_moves_latent_shifts_about_as_far_as_free_ones():
    phi = ModulatedSiren(width=64, depth=5, modulation="latent", latent_size=64).build(SHAPE)
    V = phi.initial_weights(np.random.default_rng(0))["mapping.weight"]
    assert V.shape == (4 * 64, 64)
    assert (V @ V.T).diagonal().mean().item() == pytest.approx(1, abs=0.05)


def test_a_modulated_siren_multiplies_by_no_matrix_per_image(monkeypatch):
    phi = build("scale_shift")
    w = stacked(phi, [weights_of(phi, seed) for seed in range(3)])

    def refuse(*args):
        raise AssertionError("a product per image")

    monkeypatch.setattr(torch, "baddbmm", refuse)
    monkeypatch.setattr(torch, "bmm", refuse)
    assert phi(w).shape == (3, *SHAPE)


def test_a_pixel_grid_begins_in_the_middle_of_the_range():
    phi = PixelGrid().build((1, 2, 2), data_range=(-1.0, 3.0))
    w = phi.initial_weights(np.random.default_rng(0))
    assert torch.equal(phi(w), torch.ones(1, 1, 2, 2, dtype=torch.float64))
    assert torch.equal(phi({"image": w["image"] - 1}), -torch.ones(1, 1, 2, 2).double())


def test_siren_s_values_are_those_of_the_first_release():
    phi = Siren(width=4, depth=3).build((1, 2, 2))
    w = phi.initial_weights(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for layer, (n, n_out) in enumerate([(2, 4), (4, 4), (4, 1)]):
        bound = 1 / n if layer == 0 else np.sqrt(6 / n) / 30.0
        np.testing.assert_array_equal(w[f"{layer}.weight"], rng.uniform(-bound, bound, (n_out, n)))
        bias = rng.uniform(-1 / np.sqrt(n), 1 / np.sqrt(n), n_out)
        np.testing.assert_array_equal(w[f"{layer}.bias"], bias)
    assert list(w) == list(phi.adapted)


def test_siren_s_initial_weights_are_those_published():
    width, omega_0 = 200, 30.0
    phi = Siren(width=width, depth=4, omega_0=omega_0).build((3, 4, 4))
    weights = phi.initial_weights(np.random.default_rng(0))
    bounds = {
        "0.weight": 1 / 2,
        "1.weight": np.sqrt(6 / width) / omega_0,
        "2.weight": np.sqrt(6 / width) / omega_0,
        "3.weight": np.sqrt(6 / width) / omega_0,
        "0.bias": 1 / np.sqrt(2),
        "1.bias": 1 / np.sqrt(width),
        "3.bias": 1 / np.sqrt(width),
    }
    for name, bound in bounds.items():
        assert weights[name].abs().max() <= bound
    for name in ("0.weight", "1.weight", "2.weight"):
        assert weights[name].abs().max() > 0.97 * bounds[name]
        assert weights[name].var().item() == pytest.approx(bounds[name] ** 2 / 3, rel=0.15)
    assert weights["3.weight"].shape == (3, width)
    assert set(weights) == set(phi.adapted)
    assert len(weights) == 8


def test_siren_s_hidden_units_are_spread_as_the_paper_says():
    """Theorem 1.8 of its supplement: pre-activations are N(0, 1), so sines are near arcsine."""
    phi = Siren(width=256, depth=5).build((1, 40, 40))
    weights = phi.initial_weights(np.random.default_rng(0))
    h = phi.inputs
    for layer in range(4):
        z = 30.0 * (h @ weights[f"{layer}.weight"].T)
        h = torch.sin(z + 30.0 * weights[f"{layer}.bias"])
        if layer:
            assert z.std().item() == pytest.approx(1, abs=0.1)
        assert h.var().item() == pytest.approx(0.5, abs=0.08)


def test_siren_s_image_is_its_formula_at_every_pixel():
    phi = Siren(width=3, depth=3, omega_0=2.0).build((2, 3, 4), data_range=(-1.0, 3.0))
    w = {k: v.numpy() for k, v in phi.initial_weights(np.random.default_rng(0)).items()}
    image = phi({k: torch.from_numpy(v) for k, v in w.items()})
    assert image.shape == (1, 2, 3, 4)
    for i, row in enumerate([-1, 0, 1]):
        for j, column in enumerate([-1, -1 / 3, 1 / 3, 1]):
            h = np.array([row, column])
            h = np.sin(2 * (w["0.weight"] @ h + w["0.bias"]))
            h = np.sin(2 * (w["1.weight"] @ h + w["1.bias"]))
            expected = 1 + 2 * (w["2.weight"] @ h + w["2.bias"])
            np.testing.assert_allclose(image[0, :, i, j], expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 4)])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_stack_of_siren_s_weights_gives_the_image_of_each(shape, depth):
    phi = Siren(width=6, depth=depth).build(shape)
    sets = [phi.initial_weights(np.random.default_rng(i)) for i in range(3)]
    together = phi({k: torch.stack([w[k] for w in sets]) for k in sets[0]})
    assert together.shape == (3, *shape)
    for image, weights in zip(together, sets, strict=True):
        torch.testing.assert_close(image[None], phi(weights))


# --- networks that are continuous ------------------------------------------------------------


@every
def test_only_coordinate_networks_are_continuous(name):
    assert build(name).continuous == (name in CONTINUOUS)


@every_continuous
@pytest.mark.parametrize("option", ["plain", "encoder"])
def test_every_second_pixel_of_a_finer_image_is_one_of_the_coarse(name, option):
    coarse, fine = build(name, option, (2, 4, 3)), build(name, option, (2, 7, 5))
    w = weights_of(coarse)
    assert {k: v.shape for k, v in w.items()} == {k: v.shape for k, v in weights_of(fine).items()}
    condition = coarse.condition(w, blurred(measured(2, (2, 4, 3))))
    torch.testing.assert_close(fine(w, condition)[..., ::2, ::2], coarse(w, condition))


@every_continuous
def test_an_encoder_s_weights_take_images_of_any_size(name):
    w = weights_of(build(name, "both"))
    for shape in ((2, 1, 1), (2, 9, 17)):
        phi = build(name, "both", shape)
        assert phi(w, phi.condition(w, blurred(measured(2, shape)))).shape == (2, *shape)


# --- Fourier features ------------------------------------------------------------------------


def test_frequencies_have_the_stated_variance_and_a_seed_of_their_own():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    B = FourierMLP(n_frequencies=4000, sigma=3.0).build((1, 1, 1)).frequencies
    assert B.shape == (4000, 2)
    assert B.mean().item() == pytest.approx(0, abs=0.1)
    assert B.var().item() == pytest.approx(9, rel=0.05)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    torch.manual_seed(2)
    np.random.seed(2)
    again = FourierMLP(n_frequencies=4000, sigma=3.0).build((2, 5, 3)).frequencies
    other = FourierMLP(n_frequencies=4000, sigma=3.0, random_state=1).build((1, 1, 1)).frequencies
    assert torch.equal(again, B)
    assert not torch.equal(other, B)


def test_fourier_mlp_s_initial_weights_are_he_s():
    phi = FourierMLP(width=200, depth=3, n_frequencies=150).build((3, 2, 2))
    weights = phi.initial_weights(np.random.default_rng(0))
    for name, n in (("0", 300), ("1", 200)):
        assert weights[f"{name}.weight"].var().item() == pytest.approx(2 / n, rel=0.05)
        assert not weights[f"{name}.bias"].any()
    assert set(weights) == set(phi.adapted)


# --- residual --------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("residual", ["adjoint", "pseudo_inverse"])
def test_a_residual_network_adds_exactly_the_start(name, residual):
    phi = clone(REPRESENTATIONS[name]).set_params(residual=residual).build(SHAPE, RANGE)
    w, data = weights_of(phi), blurred(measured())
    network = build(name)(w) - 1
    torch.testing.assert_close(phi(w, phi.condition(w, data)), data.start(residual) + network)


@pytest.mark.parametrize("part", [Encoder(32).build(15, 2), Refiner(32).build(16)])
def test_convolutions_begin_as_he_et_al_have_it(part):
    """Kernels have variance ``2 / fan-in``, which keeps the variance through ReLUs."""
    weights = part.initial_weights(np.random.default_rng(0))
    kernels = [w for name, w in weights.items() if name.endswith("weight") and w.any()]
    assert len(kernels) >= 2
    for kernel in kernels:
        expected = (2 / kernel[0].numel()) ** 0.5
        assert kernel.std().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("options", [{"residual": "adjoint"}, {"encoder": Encoder()}])
def test_nonlinear_operators_have_no_start_to_add_to(options):
    phi = PixelGrid(**options).build(SHAPE)
    data = Saturation().build(SHAPE).bind(measured())
    with pytest.raises(ValueError, match="needs a linear operator"):
        phi.condition(weights_of(phi), data)


@pytest.mark.parametrize("option", ["residual", "encoder", "both"])
def test_what_depends_on_the_measurement_asks_for_it(option):
    phi = build("siren", option)
    with pytest.raises(ValueError, match=r"condition\(weights, data\)"):
        phi(weights_of(phi))


def test_without_options_nothing_is_taken_of_the_measurement():
    phi = build("siren")
    assert phi.condition(weights_of(phi), blurred(measured())) is None


# --- encoder ---------------------------------------------------------------------------------


def as_modules(weights, width, depth, channels, n_features):
    """The encoder as torch's own modules."""
    convolutions = []
    for layer in range(depth):
        n = channels + 1 if layer == 0 else width
        convolutions += [nn.Conv2d(n, width, 3, stride=2, padding=1), nn.SiLU()]
    net = nn.Sequential(
        *convolutions, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * width, n_features)
    ).double()
    own = {k: v for k, v in weights.items() if k.startswith("encoder.")}
    net.load_state_dict(dict(zip(net.state_dict(), own.values(), strict=True)))
    return net


@every
@every_option
def test_an_encoder_begins_without_effect(name, option):
    phi = build(name, option)
    w, data = phi.initial_weights(np.random.default_rng(0)), blurred(measured())
    without = build(name, {"encoder": "plain", "both": "residual"}.get(option, option))
    if option == "both":
        without.residual = "pseudo_inverse"
    expected = without(w, without.condition(w, data)).expand(3, *SHAPE)
    torch.testing.assert_close(phi(w, phi.condition(w, data)).expand(3, *SHAPE), expected)


@every
def test_features_go_where_each_representation_says(name):
    phi = build(name, "encoder")
    w, data = weights_of(phi), blurred(measured())
    condition = phi.condition(w, data)
    assert condition.start is None
    for image, features in zip(phi(w, condition), condition.features, strict=True):
        expected = 1 + 2 * by_formula(name, w, SHAPE, features.numpy())
        np.testing.assert_allclose(image, expected, rtol=1e-9, atol=1e-12)
    assert condition.features.std(dim=0).min() > 1e-3  # features differ between images


@pytest.mark.parametrize("start", ["adjoint", "pseudo_inverse", "measurement"])
@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 1, 5), (2, 9, 6), (2, 40, 33)])
def test_an_encoder_is_torch_s_modules_on_the_scaled_start(start, shape):
    phi = Siren(4, depth=3, encoder=Encoder(width=3, depth=2, start=start)).build(shape, RANGE)
    w, data = weights_of(phi), blurred(measured(2, shape))
    image = data.y if start == "measurement" else data.start(start)
    x = torch.cat([(image - 1) / 2, torch.ones(2, 1, *shape[1:])], dim=1)
    expected = as_modules(w, 3, 2, 2, 8)(x)
    torch.testing.assert_close(phi.condition(w, data).features, expected.detach())


def test_an_encoder_sees_which_pixels_are_observed():
    """The adjoint is the same for a missing pixel and a measured 0, so it needs the mask."""
    phi = Siren(4, depth=3, encoder=Encoder(width=3, depth=1)).build(SHAPE, RANGE)
    w, y = weights_of(phi), measured(2)
    y[0, :, 1, 2] = 0.0
    missing = y.clone()
    missing[0, :, 1, 2] = torch.nan
    A = MissingPixels(observed=0.5).build(SHAPE)
    seen, unseen = A.bind(y), A.bind(missing)
    assert torch.equal(seen.start("adjoint"), unseen.start("adjoint"))
    features = [phi.condition(w, data).features for data in (seen, unseen)]
    assert (features[0][0] - features[1][0]).abs().max() > 1e-3
    torch.testing.assert_close(features[0][1], features[1][1])
    mask = torch.ones(2, 1, 3, 4, dtype=torch.float64)
    mask[0, 0, 1, 2] = 0
    x = torch.cat([(unseen.start("adjoint") - 1) / 2, mask], dim=1)
    torch.testing.assert_close(features[1], as_modules(w, 3, 1, 2, 8)(x).detach())


def test_one_mask_serves_all_images_and_a_pixel_is_observed_when_a_channel_is():
    phi = PixelGrid(encoder=Encoder(width=3, depth=1)).build(SHAPE, RANGE)
    w, y = weights_of(phi), measured(2)
    data = Inpainting().build(SHAPE).bind(y)
    observed = torch.zeros(2, 1, 3, 4, dtype=torch.float64)
    observed[:] = data.A.observed.expand(2, *SHAPE)[:, :1]
    assert 0 < observed.mean() < 1
    x = torch.cat([(data.start("adjoint") - 1) / 2, observed], dim=1)
    torch.testing.assert_close(
        phi.condition(w, data).features, as_modules(w, 3, 1, 2, 24)(x).detach()
    )
    y[:, 0, 0, 0] = torch.nan  # one channel of the pixel is observed
    data = MissingPixels(observed=0.5).build(SHAPE).bind(y)
    x = torch.cat([(data.start("adjoint") - 1) / 2, torch.ones_like(observed)], dim=1)
    torch.testing.assert_close(
        phi.condition(w, data).features, as_modules(w, 3, 1, 2, 24)(x).detach()
    )


def test_masks_of_anything_but_pixels_are_not_shown():
    phi = Siren(4, depth=3, encoder=Encoder(width=3, depth=1)).build(SHAPE, RANGE)
    w, A = weights_of(phi), FourierSampling().build(SHAPE)
    data = A.bind(A(measured(2)))
    assert data.A.observed is not None
    x = torch.cat([(data.start("adjoint") - 1) / 2, torch.ones(2, 1, 3, 4)], dim=1)
    torch.testing.assert_close(
        phi.condition(w, data).features, as_modules(w, 3, 1, 2, 8)(x).detach()
    )


def test_an_encoder_of_the_measurement_serves_nonlinear_operators():
    phi = PixelGrid(encoder=Encoder(start="measurement")).build(SHAPE)
    w, data = weights_of(phi), Saturation().build(SHAPE).bind(measured())
    assert phi(w, phi.condition(w, data)).std(dim=0).max() > 0


def test_an_encoder_of_the_measurement_needs_one_like_an_image():
    phi = PixelGrid(encoder=Encoder(start="measurement")).build((1, 2, 2))
    data = MatrixOperator(np.ones((3, 4))).build((1, 2, 2)).bind(torch.ones(2, 3).double())
    with pytest.raises(ValueError, match="start 'measurement' needs measurements of the shape"):
        phi.condition(weights_of(phi), data)


# --- a user's module -------------------------------------------------------------------------


def as_weights(module):
    return {k: v.detach() for k, v in module.named_parameters()}


def test_a_user_s_module_gives_its_own_image():
    phi = ModuleRepresentation(Smooth).build(SHAPE)
    module = Smooth(SHAPE).double()
    with torch.no_grad():
        module.noise.copy_(phi.buffer_0)
        torch.testing.assert_close(phi(as_weights(module)), (module() + 1) / 2)


def test_a_user_s_module_is_drawn_from_the_generator_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    phi = ModuleRepresentation(Smooth).build(SHAPE)
    first, again = (phi.initial_weights(np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    rebuilt = ModuleRepresentation(Smooth).build(SHAPE)
    for weights in (again, rebuilt.initial_weights(np.random.default_rng(5))):
        assert all(torch.equal(weights[k], v) for k, v in first.items())
    torch.testing.assert_close(rebuilt(first), phi(first))
    other = phi.initial_weights(np.random.default_rng(6))
    assert not torch.equal(other["gain"], first["gain"])


@pytest.mark.parametrize(
    ("adapted", "expected"),
    [
        (None, ("gain", "head.weight", "head.bias")),
        (["head"], ("head.weight", "head.bias")),
        (("head.bias", "gain"), ("gain", "head.bias")),
        (["head", "head.bias"], ("head.weight", "head.bias")),
    ],
)
def test_a_user_says_which_weights_of_a_module_are_adapted(adapted, expected):
    phi = ModuleRepresentation(Smooth, adapted=adapted).build(SHAPE)
    assert phi.adapted == expected
    sets = [phi.initial_weights(np.random.default_rng(seed)) for seed in range(2)]
    images = phi(stacked(phi, sets))
    for image, own in zip(images, sets, strict=True):
        alone = sets[0] | {k: own[k] for k in expected}
        torch.testing.assert_close(image[None], phi(alone))


def test_a_user_s_own_instance_is_left_as_it_is():
    module = Smooth(SHAPE)
    phi = ModuleRepresentation(lambda shape: module).build(SHAPE)
    w = phi.initial_weights(np.random.default_rng(0))
    assert module.gain.dtype == torch.float32
    assert module.training
    assert w["gain"].item() == pytest.approx(module.gain.item())
    w["gain"] += 1
    assert phi.initial_weights(np.random.default_rng(0))["gain"].item() != w["gain"].item()


def test_tied_weights_of_a_module_stay_tied():
    class Tied(nn.Module):
        def __init__(self, image_shape):
            super().__init__()
            self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 12)
            self.b.weight = self.a.weight

        def forward(self):
            return self.b(self.a(torch.ones_like(self.a.bias))).reshape(1, 3, 4)

    phi = ModuleRepresentation(Tied).build((1, 3, 4))
    w = phi.initial_weights(np.random.default_rng(0))
    assert set(w) == {"a.weight", "a.bias", "b.bias"}
    W, one = w["a.weight"], torch.ones(12, dtype=torch.float64)
    expected = W @ (W @ one + w["a.bias"]) + w["b.bias"]
    torch.testing.assert_close(phi(w).flatten(), (expected + 1) / 2)


def test_a_module_may_be_called_continuous_but_its_encoder_is_not():
    part = ModuleRepresentation(Smooth, continuous=True)
    assert part.build(SHAPE).continuous
    assert not part.set_params(encoder=Encoder()).build(SHAPE).continuous


class WrongShape(Smooth):
    def forward(self):
        return super().forward().mT


class NoImage(Smooth):
    def forward(self):
        return None


class Encoding(Smooth):
    def __init__(self, image_shape):
        super().__init__(image_shape)
        self.encoder = nn.Linear(1, 1)


# --- the protocol ----------------------------------------------------------------------------


def test_a_user_s_image_module_needs_two_methods():
    class Constant(ImageModule):
        adapted = ("value",)

        def initial_weights(self, generator):
            return {"value": torch.zeros(1, dtype=torch.float64)}

        def forward(self, weights, condition=None):
            return weights["value"].reshape(-1, 1, 1, 1).expand(-1, *SHAPE)

    phi = Constant()
    w = phi.initial_weights(np.random.default_rng(0))
    assert phi.condition(w, blurred(measured())) is None
    assert phi(w, None).shape == (1, *SHAPE)
    assert not phi.continuous
    assert phi.autocasts


# --- mixed precision -------------------------------------------------------------------------


class Straight(Smooth):
    """Returns the result of a matrix product without conversion."""

    def forward(self):
        return self.head(self.noise).reshape(self.shape)


WIDE = {
    "siren": Siren(width=64, depth=4),
    "shift": ModulatedSiren(width=64, depth=4),
    "scale_shift": ModulatedSiren(width=64, depth=4, modulation="scale_shift"),
    "latent": ModulatedSiren(width=64, depth=4, modulation="latent"),
    "fourier": FourierMLP(width=64),
    "pixels": PixelGrid(),
    "module": ModuleRepresentation(Straight),
}


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("name", [name for name in WIDE if name != "pixels"])
def test_autocast_images_are_close_and_in_the_type_of_the_weights(name, stack):
    phi = clone(WIDE[name]).build((1, 12, 9)).to(torch.float32)
    w = {k: v.float() for k, v in phi.initial_weights(np.random.default_rng(0)).items()}
    if stack:
        w |= {k: torch.stack([w[k], 0.9 * w[k]]) for k in phi.adapted}
    exact = phi(w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = phi(w)
    assert image.dtype == torch.float32
    assert not torch.equal(image, exact)
    torch.testing.assert_close(image, exact, rtol=0, atol=0.03)


@pytest.mark.parametrize("name", WIDE)
def test_autocast_features_are_close_and_in_the_type_of_the_weights(name):
    shape = (1, 12, 9)
    phi = clone(WIDE[name]).set_params(encoder=Encoder()).build(shape).to(torch.float32)
    w = phi.initial_weights(np.random.default_rng(0))
    last = np.random.default_rng(0).normal(0, 1e-2, w["encoder.3.weight"].shape)
    w["encoder.3.weight"] = torch.from_numpy(last)
    w = {k: v.float() for k, v in w.items()}
    data = GaussianBlur(sigma=0.8).build(shape).to(torch.float32).bind(measured(2, shape).float())
    exact = phi.condition(w, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        condition = phi.condition(w, data)
        image = phi(w, condition)
    assert condition.features.dtype == image.dtype == torch.float32
    assert not torch.equal(condition.features, exact.features)
    torch.testing.assert_close(condition.features, exact.features, rtol=0, atol=0.01)
    torch.testing.assert_close(image, phi(w, exact), rtol=0, atol=0.05)


@pytest.mark.parametrize("name", WIDE)
def test_mixed_precision_of_an_estimator_reaches_the_encoder(name):
    """`condition` is called outside `forward`, so autocast must also apply to it."""
    shape = (1, 12, 9)
    phi = clone(WIDE[name]).set_params(encoder=Encoder()).build(shape).to(torch.float32)
    w = {k: v.float() for k, v in phi.initial_weights(np.random.default_rng(0)).items()}
    last = np.random.default_rng(0).normal(0, 1e-2, w["encoder.3.weight"].shape)
    w["encoder.3.weight"] = torch.from_numpy(last).float()
    data = GaussianBlur(sigma=0.8).build(shape).to(torch.float32).bind(measured(2, shape).float())
    exact = phi.condition(w, data).features
    autocast_networks(phi, torch.device("cpu"))
    features = phi.condition(w, data).features
    assert features.dtype == torch.float32
    assert not torch.equal(features, exact)
    torch.testing.assert_close(features, exact, rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ["siren", "shift", "latent"])
def test_coordinates_pixels_and_starts_are_not_rounded_by_autocast(name):
    """With two layers, one has coordinates as inputs and the other has pixels as outputs."""
    part = clone(WIDE[name]).set_params(depth=2, residual="pseudo_inverse")
    phi = part.build((1, 2, 3)).to(torch.float32)
    w = {k: v.float() for k, v in weights_of(phi).items()}
    w |= {k: torch.stack([w[k], 0.5 * w[k]]) for k in phi.adapted}
    A = (
        MatrixOperator(np.random.default_rng(0).normal(size=(5, 6)))
        .build((1, 2, 3))
        .to(torch.float32)
    )
    data = A.bind(torch.linspace(0, 1, 10).reshape(2, 5))
    exact = phi(w, phi.condition(w, data))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = phi(w, phi.condition(w, data))
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)  # bfloat16 rounds to 4e-3


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Siren(width=0), r"'width' parameter of Siren must be an int in the range \[1, inf\)"),
        (Siren(depth=0), "'depth' parameter of Siren"),
        (Siren(omega_0=0.0), "'omega_0' parameter of Siren"),
        (Siren(residual="zeros"), "'residual' parameter of Siren"),
        (Siren(encoder="adjoint"), "'encoder' parameter of Siren"),
        (Siren(depth=1, encoder=Encoder()), "'encoder' parameter must be None .* 'depth'"),
        (Siren(encoder=Encoder(width=0)), "'width' parameter of Encoder"),
        (Siren(encoder=Encoder(depth=0)), "'depth' parameter of Encoder"),
        (Siren(encoder=Encoder(start="zeros")), "'start' parameter of Encoder"),
        (ModulatedSiren(depth=1), r"'depth' parameter of ModulatedSiren .* \[2, inf\)"),
        (ModulatedSiren(modulation="scale"), "'modulation' parameter of ModulatedSiren"),
        (ModulatedSiren(latent_size=0), "'latent_size' parameter of ModulatedSiren"),
        (FourierMLP(n_frequencies=0), "'n_frequencies' parameter of FourierMLP"),
        (FourierMLP(sigma=0.0), "'sigma' parameter of FourierMLP"),
        (FourierMLP(random_state=None), "'random_state' parameter of FourierMLP"),
        (PixelGrid(residual="zeros"), "'residual' parameter of PixelGrid"),
        (ModuleRepresentation(3), "'factory' parameter of ModuleRepresentation"),
        (ModuleRepresentation(lambda shape: None), "must make a torch.nn.Module. Got None"),
        (
            ModuleRepresentation(WrongShape),
            r"images of shape \(2, 3, 4\) or \(1, 2, 3, 4\). Got \(1, 2, 4, 3\) instead",
        ),
        (ModuleRepresentation(NoImage), "Got NoneType instead"),
        (ModuleRepresentation(Smooth, adapted="head"), "'adapted' parameter"),
        (ModuleRepresentation(Smooth, adapted=["head", "he"]), r"Got \['he'\] instead"),
        (ModuleRepresentation(Smooth, adapted=[]), r"'adapted' parameter .* Got \[\] instead"),
        (ModuleRepresentation(Encoding, encoder=Encoder()), "'factory' parameter .* 'encoder'"),
    ],
)
def test_bad_parameters_are_named(part, message):
    with pytest.raises(ValueError, match=message):
        part.build(SHAPE)
