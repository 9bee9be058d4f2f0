import numpy as np
import pytest
import torch

from skmetainv.representations import Siren


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
    """Theorem 1.8 of its supplement: pre-activations N(0, 1), so sines near arcsine."""
    phi = Siren(width=256, depth=5).build((1, 40, 40))
    weights = phi.initial_weights(np.random.default_rng(0))
    h = phi.coordinates
    for layer in range(4):
        z = 30.0 * (h @ weights[f"{layer}.weight"].T)
        h = torch.sin(z + 30.0 * weights[f"{layer}.bias"])
        if layer:
            assert z.std().item() == pytest.approx(1, abs=0.1)
        assert h.var().item() == pytest.approx(0.5, abs=0.08)


def test_siren_s_image_is_its_formula_at_every_pixel():
    phi = Siren(width=3, depth=3, omega_0=2.0).build((2, 3, 4), data_range=(-1.0, 3.0))
    w = {k: v.numpy() for k, v in phi.initial_weights(np.random.default_rng(0)).items()}
    image = phi({k: torch.from_numpy(v) for k, v in w.items()}, None)
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
def test_a_stack_of_weights_gives_the_image_of_each(shape, depth):
    phi = Siren(width=6, depth=depth).build(shape)
    sets = [phi.initial_weights(np.random.default_rng(i)) for i in range(3)]
    together = phi({k: torch.stack([w[k] for w in sets]) for k in sets[0]}, None)
    assert together.shape == (3, *shape)
    for image, weights in zip(together, sets, strict=True):
        torch.testing.assert_close(image[None], phi(weights, None))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Siren(width=0), r"'width' parameter of Siren must be an int in the range \[1, inf\)"),
        (Siren(depth=0), "'depth' parameter of Siren"),
        (Siren(omega_0=0.0), "'omega_0' parameter of Siren"),
    ],
)
def test_bad_parameters_are_named(part, message):
    with pytest.raises(ValueError, match=message):
        part.build((1, 4, 4))
