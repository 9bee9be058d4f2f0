"""All layers of a SIREN as one function: its values and derivatives are autograd's."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skmetainv.representations import ModulatedSiren, Siren, sine_layers
from skmetainv.representations.coordinates import CoordinateModule
from skmetainv.representations.sine_layers import sine_layers as layers

SIZES, N_PIXELS, OMEGA = (2, 5, 4, 3), 7, 3.0
BATCHES = {
    "one per image": (3, 3),
    "shared matrices": (1, 3),
    "shared biases": (3, 1),
    "one image": (1, 1),
}


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def network(batch_of_matrices, batch_of_biases):
    """Inputs, matrices and biases."""
    sizes = list(pairwise(SIZES))
    matrices = [random(batch_of_matrices, n_out, n, seed=n) / n for n, n_out in sizes]
    biases = [random(batch_of_biases, n_out, seed=n) for n, n_out in sizes]
    return random(1, N_PIXELS, 2, seed=9), [p.requires_grad_() for p in (*matrices, *biases)]


def by_layers(inputs, *parameters):
    n = len(parameters) // 2
    return layers(inputs, parameters[:n], parameters[n:], OMEGA)


def by_autograd(inputs, *parameters):
    n, h = len(parameters) // 2, inputs
    for W, b in zip(parameters[:n], parameters[n:], strict=True):
        z = h @ W.mT + b[:, None]
        h = torch.sin(OMEGA * z)
    return z


@pytest.fixture(params=[10**6, 40, 15, 1], ids=lambda n: f"parts of {n}")
def parts(request, monkeypatch):
    """Whole batches, several images, some pixels of one image, and one pixel at a time."""
    monkeypatch.setattr(sine_layers, "_AT_ONCE", request.param)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=list(BATCHES))
def test_values_and_both_derivatives_are_those_of_autograd(batch, parts):
    results = []
    inputs, parameters = network(*batch)
    for function in (by_layers, by_autograd):
        z = function(inputs, *parameters)
        along = random(*z.shape, seed=1)
        alone = torch.autograd.grad(z, parameters, along, retain_graph=True)
        first = torch.autograd.grad((z.square() * along).sum(), parameters, create_graph=True)
        both = sum((g * random(*g.shape, seed=k)).sum() for k, g in enumerate(first))
        second = torch.autograd.grad(both + (z * along).sum(), parameters)
        results.append([z, *alone, *first, *second])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=list(BATCHES))
def test_derivatives_are_those_of_differences(batch):
    inputs, parameters = network(*batch)

    def function(*parameters):
        return by_layers(inputs, *parameters)

    assert torch.autograd.gradcheck(function, parameters, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, parameters, fast_mode=True)


@pytest.mark.parametrize("n", range(len(SIZES) - 1))
@pytest.mark.parametrize("which", ["matrices", "biases"])
def test_only_some_parameters_have_derivatives(n, which):
    """The inner step adapts few parameters, and the outer step all; one layer, then all."""
    inputs, parameters = network(1, 3)
    inner = [parameters[n + (which == "biases") * (len(SIZES) - 1)]]
    results = []
    for function in (by_layers, by_autograd):
        z = function(inputs, *parameters)
        (first,) = torch.autograd.grad(z.square().sum(), inner, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), parameters, allow_unused=True))
    for ours, expected in zip(*results, strict=True):
        zero = torch.zeros(())
        ours, expected = (zero if g is None else g for g in (ours, expected))
        torch.testing.assert_close(ours.expand_as(expected), expected, rtol=1e-11, atol=1e-12)


def test_constant_layers_get_no_gradient():
    inputs, parameters = network(1, 1)
    *constant, matrix = parameters[:3]
    for p in (*constant, *parameters[3:]):
        p.requires_grad_(False)
    results = []
    for function in (by_layers, by_autograd):
        z = function(inputs, *parameters)
        (first,) = torch.autograd.grad(z.pow(3).sum(), matrix, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), matrix)[0])
    torch.testing.assert_close(*results, rtol=1e-11, atol=1e-12)


def test_values_are_the_same_without_a_graph():
    inputs, parameters = network(3, 3)
    z = by_layers(inputs, *parameters)
    assert z.requires_grad
    with torch.no_grad():
        assert torch.equal(by_layers(inputs, *parameters), z)
    assert torch.equal(by_layers(inputs, *(p.detach() for p in parameters)), z)


def test_third_derivatives_are_refused():
    inputs, parameters = network(3, 3)
    z = by_layers(inputs, *parameters)
    first = torch.autograd.grad(z.square().sum(), parameters, create_graph=True)
    total = sum(g.square().sum() for g in first)
    second = torch.autograd.grad(total, parameters, create_graph=True)
    with pytest.raises(RuntimeError, match="a third one was requested"):
        torch.autograd.grad(second[0].square().sum(), parameters)


@pytest.mark.parametrize("inner", [0, 1], ids=["first order", "second order"])
@pytest.mark.parametrize(
    "part",
    [
        Siren(8, depth=3),
        Siren(8, depth=1),
        ModulatedSiren(8, depth=3),
        ModulatedSiren(8, depth=3, modulation="latent"),
    ],
    ids=lambda part: getattr(part, "modulation", "siren") + str(part.depth),
)
@pytest.mark.parametrize("n_images", [1, 3])
def test_the_networks_are_those_of_autograd(part, inner, n_images, monkeypatch):
    """`CoordinateModule.image` is the same network layer by layer."""
    phi = clone(part).set_params(omega_0=3.0).build((2, 3, 4))
    weights = phi.initial_weights(np.random.default_rng(0))
    weights = {k: (w + 0.1 * random(*w.shape)).requires_grad_() for k, w in weights.items()}
    results = []
    for image in (None, CoordinateModule.image):
        if image is not None:
            monkeypatch.setattr(type(phi), "image", image)
        adapted = [weights[name] for name in phi.adapted]
        if n_images > 1:
            adapted = [w.expand(n_images, *w.shape) for w in adapted]
        target = random(n_images, 2, 3, 4)
        for _ in range(inner):
            x = phi({**weights, **dict(zip(phi.adapted, adapted, strict=True))})
            loss = (x - target).square().sum()
            gradients = torch.autograd.grad(loss, adapted, create_graph=True)
            adapted = [w - 1e-3 * g for w, g in zip(adapted, gradients, strict=True)]
        x = phi({**weights, **dict(zip(phi.adapted, adapted, strict=True))})
        loss = (x - target).square().sum()
        results.append([x, *torch.autograd.grad(loss, list(weights.values()))])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)


def saved_bytes(phi, weights):
    sizes = {}

    def keep(x):
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        phi(weights)
    return sum(sizes.values())


@pytest.mark.parametrize("n_images", [1, 3])
def test_hidden_layers_that_are_not_adapted_are_not_stored(n_images):
    phi = Siren(16, depth=5, adapted="last").build((1, 8, 8))
    weights = phi.initial_weights(np.random.default_rng(0))
    adapted = {name: weights[name].expand(n_images, *weights[name].shape) for name in phi.adapted}
    if n_images == 1:
        adapted = {name: weights[name] for name in phi.adapted}
    adapted = {name: weight.clone().requires_grad_() for name, weight in adapted.items()}
    of_one_layer = 8 * 8 * 8 * 16 * n_images
    assert saved_bytes(phi, weights | adapted) < 2 * of_one_layer


@pytest.mark.parametrize("batch", BATCHES.values(), ids=list(BATCHES))
def test_mixed_precision_rounds_to_8_bits(batch, parts):
    """Relative errors are a few roundings; values and gradients keep the parameters' type."""
    results = {}
    inputs, parameters = network(*batch)
    inputs, parameters = inputs.float(), [p.detach().float().requires_grad_() for p in parameters]
    n = len(parameters) // 2
    for dtype in (None, torch.bfloat16):
        z = layers(inputs, parameters[:n], parameters[n:], OMEGA, dtype)
        along = random(*z.shape, seed=1).float()
        first = torch.autograd.grad((z.square() * along).sum(), parameters, create_graph=True)
        both = sum((g * random(*g.shape, seed=k)).sum() for k, g in enumerate(first))
        second = torch.autograd.grad(both + (z * along).sum(), parameters)
        results[dtype] = [z, *first, *second]
        with torch.no_grad():
            assert torch.equal(layers(inputs, parameters[:n], parameters[n:], OMEGA, dtype), z)
    errors = []
    for exact, mixed in zip(results[None], results[torch.bfloat16], strict=True):
        assert exact.dtype == mixed.dtype == torch.float32
        errors.append(float((mixed - exact).norm() / exact.norm()))
    assert min(errors) > 1e-5
    assert max(errors) < 0.03


def test_large_phases_of_the_first_layer_are_not_rounded():
    """The first layer has phases of 30 radians, which 8 bits would round to 1/8."""
    inputs = torch.linspace(-1, 1, 200)[None, :, None]
    weights, biases = [torch.ones(1, 1, 1), torch.ones(1, 1, 1)], [torch.zeros(1, 1)] * 2
    z = layers(inputs, weights, biases, 30.0, torch.bfloat16)
    torch.testing.assert_close(z, torch.sin(30 * inputs), rtol=0, atol=2**-8)


def test_mixed_precision_stores_half():
    phi = Siren(16, depth=5).build((1, 8, 8)).float()
    weights = phi.initial_weights(np.random.default_rng(0))
    weights = {name: weight.float().requires_grad_() for name, weight in weights.items()}
    full = saved_bytes(phi, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = saved_bytes(phi, weights)
    of_weights = 4 * sum(weight.numel() for weight in weights.values())
    assert half - of_weights < 0.55 * (full - of_weights)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_padding_changes_nothing(dtype, parts):
    """Images with few pixels are as they are alone; values of padding are not used."""
    counts, used = (2, 7, 3), torch.zeros(3, N_PIXELS, 1, dtype=torch.float64)
    for row, n in zip(used, counts, strict=True):
        row[:n] = 1.0
    inputs = random(3, N_PIXELS, 2, seed=9)
    _, parameters = network(3, 3)
    n_layers, results = len(parameters) // 2, []
    for own in (counts, None):
        z = layers(inputs, parameters[:n_layers], parameters[n_layers:], OMEGA, dtype, own)
        z = torch.where(used > 0, z, 0.0)
        first = torch.autograd.grad(z.pow(3).sum(), parameters, create_graph=True)
        both = sum((g * random(*g.shape, seed=k)).sum() for k, g in enumerate(first))
        results.append([z, *first, *torch.autograd.grad(both, parameters)])
    for padded, expected in zip(*results, strict=True):
        close = {"rtol": 1e-11, "atol": 1e-12} if dtype is None else {"rtol": 0.02, "atol": 0.02}
        torch.testing.assert_close(padded, expected, **close)


def test_images_with_the_same_weights_share_their_hidden_units():
    """Before the first inner step, weights are expanded along the batch."""
    inputs, parameters = network(1, 1)
    stored, results = [], []
    for n_images in (1, 5):
        expanded = [p.expand(n_images, *p.shape[1:]) for p in parameters]
        stored.append(saved_bytes(lambda weights: by_layers(inputs, *weights), expanded))
        z = by_layers(inputs, *expanded)
        target = random(5, *z.shape[1:], seed=3)[:n_images]
        first = torch.autograd.grad((z - target).pow(2).sum(), expanded, create_graph=True)
        second = torch.autograd.grad(sum(g[0].pow(2).sum() for g in first), parameters)
        results.append([z[:1], *(g[:1] for g in first), *second])
    for alone, together in zip(*results, strict=True):
        torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-12)
    assert stored[1] == stored[0]
