"""Learned denoisers: estimators, networks, files of weights."""

import pickle
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from settings import FACES, small_denoiser
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.denoisers import DnCNN, DRUNet
from skmetainv.denoisers.network import initial_weights
from skmetainv.denoisers.spectral import norm_bound
from skmetainv.metrics import psnr
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import GaussianBlur, MissingPixels
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED
from skmetainv.training import Adam

RNG = np.random.default_rng(0)


small = partial(small_denoiser, depth=3)


# ---------------------------------------------------------------------- the estimator


@pytest.mark.parametrize(
    "denoiser",
    [
        DnCNN(0.1, depth=4, width=12, max_epochs=40, batch_size=8, lr=3e-3, random_state=0),
        DnCNN(0.1, depth=4, width=12, residual=False, max_epochs=40, batch_size=8, lr=3e-3,
              random_state=0),
        DRUNet(0.1, width=6, n_blocks=1, max_epochs=40, batch_size=8, lr=3e-3, random_state=0),
    ],
)  # fmt: skip
def test_a_tiny_one_learns_in_seconds(denoiser):
    denoiser.fit(FACES[:80])
    noisy = denoiser.simulate(FACES[80:], random_state=1)
    assert psnr(FACES[80:], noisy) == pytest.approx(20, abs=0.2)
    assert psnr(FACES[80:], denoiser.predict(noisy)) > 22
    assert denoiser.score(FACES[80:]) > 22
    losses = denoiser.history_["loss"]
    assert len(losses) == len(denoiser.history_["seconds"]) == denoiser.n_epochs_ == 40
    assert losses[-1] < 0.7 * losses[0]


def test_partial_fits_are_one_fit_to_the_bit():
    once = small(max_epochs=3, optimizer=Adam(schedule="constant")).fit(FACES[:9])
    step_by_step = small(optimizer=Adam(schedule="constant"))
    for _ in range(3):
        step_by_step.partial_fit(FACES[:9])
        step_by_step = pickle.loads(pickle.dumps(step_by_step))
    for name, weight in once.weights_.items():
        assert (weight == step_by_step.weights_[name]).all()
    assert once.history_["loss"] == step_by_step.history_["loss"]


def test_weights_that_are_known_learn_slowly(tmp_path):
    learned = small(optimizer=Adam(schedule="constant"))
    path = tmp_path / "weights.safetensors"
    weights = learned.fit(FACES[:9]).weights_
    save_file({name: torch.from_numpy(w) for name, w in weights.items()}, path)
    assert learned.history_["learning_rate"] == [1e-3]
    tuned = clone(learned).set_params(weights=path).fit(FACES[:9])
    assert tuned.history_["learning_rate"] == [1e-4]
    assert clone(tuned).set_params(lr=0.5).fit(FACES[:9]).history_["learning_rate"] == [0.5]


def test_a_seed_gives_the_same_bits_and_another_does_not():
    first, again = small().fit(FACES[:9]), small().fit(FACES[:9])
    other = small(random_state=1).fit(FACES[:9])
    key = "model.0.weight"
    assert (first.weights_[key] == again.weights_[key]).all()
    assert (first.weights_[key] != other.weights_[key]).any()


def test_global_generators_are_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()
    small().fit(FACES[:9]).predict(FACES[:2])
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_images_of_any_size_are_learned_from_and_denoised():
    ragged = [FACES[i, : 15 + i, : 25 - i] for i in range(8)]
    denoiser = small(patch_size=10, max_epochs=2).fit(ragged)
    denoised = denoiser.predict(ragged)
    assert isinstance(denoised, list)
    assert [x.shape for x in denoised] == [x.shape for x in ragged]
    for x, z in zip(ragged, denoised, strict=True):
        np.testing.assert_allclose(denoiser.predict(x[None])[0], z, atol=1e-6)
    assert denoiser.predict(FACES[:2]).shape == (2, 25, 25)
    assert np.isfinite(denoiser.score(ragged))
    assert np.isfinite(denoiser.score(ragged, ragged))
    denoiser.partial_fit(ragged)
    assert denoiser.n_epochs_ == 3


def test_a_small_image_does_not_shrink_the_patches_of_others():
    ragged = [FACES[0], FACES[1, :7, :9]]
    denoiser = small(patch_size=20, patches_per_image=3, batch_size=6, augment=False)
    denoiser._seed_ = 0
    x, _, _ = next(denoiser._batches(denoiser._reader().problem(ragged, None)).epoch(0))
    assert x.shape == (6, 1, 20, 20)
    mirrored = np.pad(FACES[1, :7, :9], ((0, 13), (0, 11)), mode="symmetric")
    assert sum(np.allclose(patch[0], mirrored) for patch in x.numpy()) == 3


def test_noisy_copies_of_images_of_any_size():
    ragged = [FACES[0], FACES[1, :20]]
    noisy = small().simulate(ragged, random_state=0)
    assert [x.shape for x in noisy] == [(25, 25), (20, 25)]
    assert not np.allclose(noisy[0][:20] - ragged[0][:20], noisy[1] - ragged[1])
    with pytest.raises(ValueError, match="noisy images must have the shapes of their clean"):
        small().fit(list(FACES[:2]), ragged)


def test_patches_come_from_everywhere_and_cover_the_image():
    image = np.zeros((1, 30, 20))
    image[0, 29, 19] = 1  # only the last corner is not 0
    denoiser = small(patch_size=10, batch_size=1)
    denoiser._seed_, problem = 0, denoiser._reader().problem(image, None)
    batches = denoiser._batches(problem)
    assert len(batches) == 6
    found = sum(float(x.sum()) for epoch in range(60) for x, _, _ in batches.epoch(epoch))
    assert 0 < found < 60


def test_noise_has_its_level_and_patches_are_turned():
    image = np.arange(400.0).reshape(1, 20, 20) / 400
    denoiser = small(noise_level=(0.0, 0.2), patch_size=20, patches_per_image=64, batch_size=64)
    denoiser._seed_, problem = 0, denoiser._reader().problem(image, None)
    x, y, levels = next(denoiser._batches(problem).epoch(0))
    assert len({tuple(p.flatten().tolist()) for p in x}) == 8  # all flips and rotations
    torch.testing.assert_close((y - x).std(dim=(1, 2, 3)), levels.flatten(), rtol=0.15, atol=0)
    assert 0 <= levels.min() < 0.03
    assert 0.17 < levels.max() <= 0.2
    again = next(denoiser._batches(problem).epoch(0))
    later = next(denoiser._batches(problem).epoch(1))
    assert torch.equal(again.y, y)
    assert not torch.equal(later.y, y)


def test_pairs_of_noisy_and_clean_images():
    """The noise has a mean of 0.5, which a network can learn only from pairs."""
    denoiser = DnCNN(0.1, depth=2, width=4, max_epochs=150, lr=1e-2, random_state=0, patch_size=15)
    denoiser.fit(FACES[:20] + 0.5, FACES[:20])
    assert np.abs(denoiser.predict(FACES[80:] + 0.5) - FACES[80:]).mean() < 0.1
    ragged = [FACES[0], FACES[1, :20]]
    small().fit([x + 0.5 for x in ragged], ragged)


def test_a_noise_level_is_given_where_the_network_takes_one():
    denoiser = DnCNN(
        (0.0, 0.4), depth=3, width=8, noise_level_input=True, max_epochs=30, lr=3e-3, random_state=0
    ).fit(FACES[:80])
    noisy = FACES[80:] + 0.05 * RNG.normal(size=FACES[80:].shape)
    ratios = [psnr(FACES[80:], denoiser.predict(noisy, noise_level=s)) for s in (0.05, 0.4)]
    assert ratios[0] > ratios[1] + 1
    np.testing.assert_array_equal(denoiser.predict(noisy), denoiser.predict(noisy, noise_level=0.2))


def test_data_range_means_the_same_problem_in_other_units():
    unit = small(noise_level=0.1).fit(FACES[:9])
    other = small(noise_level=25.5, data_range=255).fit(255 * FACES[:9])
    np.testing.assert_allclose(
        other.predict(255 * FACES[:2]), 255 * unit.predict(FACES[:2]), rtol=1e-3, atol=0.05
    )


def test_no_batch_statistics():
    denoiser = small().fit(FACES[:9])
    np.testing.assert_allclose(
        denoiser.predict(FACES[:5])[3:4], denoiser.predict(FACES[3:4]), atol=1e-6
    )


def test_colour_images_and_tensors():
    colour = np.stack([FACES[:9]] * 3, axis=-1)
    denoiser = small().fit(colour)
    assert denoiser.predict(colour[:2]).shape == (2, 25, 25, 3)
    assert isinstance(denoiser.predict(torch.from_numpy(colour[:2])), torch.Tensor)
    with pytest.raises(ValueError, match=r"fitted to images of 3 channel\(s\)\. Got images of 1"):
        RED(denoiser).build((1, 8, 8))
    with pytest.raises(
        ValueError,
        match=r"this DnCNN was fitted to images of shape \(25, 25, 3\)",
    ):
        denoiser.predict(FACES[:2])


def test_a_round_trip_to_disk(tmp_path):
    denoiser = small().fit(FACES[:9])
    joblib.dump(denoiser, tmp_path / "denoiser.joblib")
    loaded = joblib.load(tmp_path / "denoiser.joblib")
    assert (loaded.predict(FACES[:2]) == denoiser.predict(FACES[:2])).all()
    assert joblib.hash(loaded.weights_) == joblib.hash(denoiser.weights_)


def test_parameters_set_after_fit_wait_for_the_next():
    denoiser = small().fit(FACES[:9])
    before = denoiser.predict(FACES[:2])
    denoiser.set_params(depth=5, width=7)
    assert (denoiser.predict(FACES[:2]) == before).all()
    denoiser.partial_fit(FACES[:9])


def test_grid_search():
    search = GridSearchCV(small(), {"depth": [2, 3], "lr": [1e-3]}, scoring=psnr_scorer, cv=2)
    assert search.fit(FACES[:12]).best_params_["depth"] in (2, 3)


def test_training_works_where_gradients_are_switched_off():
    with torch.no_grad():
        assert small().fit(FACES[:5]).n_epochs_ == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise_level": 0.0}, "'noise_level' parameter of DnCNN must be a float"),
        ({"noise_level": (-0.1, 0.1)}, "'noise_level' parameter of DnCNN must be positive"),
        (
            {"noise_level": (0.2, 0.1)},
            "'noise_level' parameter .* must be positive, or a range",
        ),
        ({"depth": 1}, "'depth' parameter of DnCNN"),
        ({"spectral_norm": 0.0}, "'spectral_norm' parameter of DnCNN"),
        ({"patch_size": 0}, "'patch_size' parameter of DnCNN"),
        ({"loss": "l3"}, "'loss' parameter of DnCNN"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(FACES[:3])


def test_bad_arrays_and_levels_are_named():
    denoiser = small().fit(FACES[:3])
    with pytest.raises(ValueError, match="NaN"):
        small().fit(np.full((2, 4, 4), np.nan))
    with pytest.raises(ValueError, match="same number of channels"):
        small().fit([FACES[0], np.zeros((5, 5, 3))])
    with pytest.raises(ValueError, match="takes no noise level"):
        denoiser.predict(FACES[:1], noise_level=0.1)
    with pytest.raises(ValueError, match="'noise_level' must be positive"):
        denoiser.predict(FACES[:1], noise_level=-0.1)
    with pytest.raises(NotFittedError):
        small().predict(FACES[:1])
    with pytest.raises(NotFittedError, match=r"pass FrozenEstimator\(DnCNN"):
        RED(small()).build((1, 4, 4))


# ---------------------------------------------------------------------- networks


def conv_norm(weight, size=24, n_iter=500):
    """The norm of a convolution with zero padding, by power iteration."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, weight.shape[1], size, size)))
    for _ in range(n_iter):
        y = torch.nn.functional.conv2d(x, weight, padding=1)
        x = torch.nn.functional.conv_transpose2d(y, weight, padding=1)
        x = x / x.norm()
    return float(torch.nn.functional.conv2d(x, weight, padding=1).norm())


@pytest.mark.parametrize("shape", [(6, 6, 3, 3), (1, 8, 3, 3), (8, 1, 3, 3)])
def test_the_bound_of_a_convolution_s_norm(shape):
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    norm = conv_norm(weight)
    assert norm <= float(norm_bound(weight)) <= 1.07 * norm
    assert float(norm_bound(torch.zeros(shape, dtype=torch.float64))) < 1e-6


def test_the_bound_holds_between_the_frequencies_of_its_grid():
    """The kernel's transfer function peaks between two points of the grid of 16 frequencies."""
    phase = np.exp(2j * np.pi * 0.5 / 16 * np.arange(-1, 2))
    wave = np.outer(phase, phase)
    weight = np.array([[wave.real, -wave.imag], [wave.imag, wave.real]])
    weight = torch.from_numpy(weight)
    assert conv_norm(weight, size=200, n_iter=2000) <= float(norm_bound(weight))
    frequencies = np.linspace(-np.pi, np.pi, 401)
    shifts = np.exp(1j * np.outer(frequencies, np.arange(-1, 2)))
    transfer = np.einsum("oiab,fa,gb->fgoi", weight.numpy(), shifts, shifts)
    assert np.linalg.svd(transfer, compute_uv=False).max() <= float(norm_bound(weight))


def test_spectral_normalisation_holds_after_training():
    denoiser = small(spectral_norm=0.9, max_epochs=20, lr=1e-2).fit(FACES[:20])
    free = small(max_epochs=20, lr=1e-2).fit(FACES[:20])
    norms = {
        name: [conv_norm(torch.from_numpy(w).double()) for w in d.weights_.values() if w.ndim == 4]
        for name, d in (("limited", denoiser), ("free", free))
    }
    assert max(norms["limited"]) <= 0.9 + 1e-6
    assert max(norms["free"]) > 0.95


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(64, 48, 3),
        torch.nn.Conv2d(64, 48, 2, stride=2),
        torch.nn.ConvTranspose2d(64, 48, 2, stride=2),
        torch.nn.ConvTranspose2d(64, 48, 4, stride=2, padding=3),
        torch.nn.Linear(64, 48),
    ],
    ids=str,
)
def test_initial_weights_keep_the_variance_of_rectified_inputs(layer):
    """He et al. (2015): inputs with a mean square of 1 / 2 give outputs of variance 1."""
    rng = np.random.default_rng(0)
    for parameter, value in initial_weights(torch.nn.Sequential(layer), rng).items():
        layer.get_parameter(parameter.removeprefix("0.")).data = value.double()
    shape = (500, 64) if isinstance(layer, torch.nn.Linear) else (20, 64, 16, 16)
    x = torch.from_numpy(rng.standard_normal(shape)) / 2**0.5
    assert layer(x).square().mean().item() == pytest.approx(1.0, rel=0.1)


def test_initial_weights_of_what_no_rectifier_follows():
    network = torch.nn.Sequential(torch.nn.Linear(64, 500), torch.nn.Linear(500, 64))
    weights = initial_weights(network, np.random.default_rng(0), unrectified=[network[1]])
    assert weights["0.weight"].std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.02)
    assert weights["1.weight"].std().item() == pytest.approx((1 / 500) ** 0.5, rel=0.02)


def test_the_published_architectures():
    """DnCNN has 17 layers with KAIR's names, DRUNet 32.6 million weights."""
    dncnn = DnCNN()._network(1, depth=17, width=64, residual=True, noise_level_input=False)
    names = [f"model.{2 * i}.{part}" for i in range(17) for part in ("weight", "bias")]
    assert list(dncnn.state_dict()) == names
    assert sum(p.numel() for p in dncnn.parameters()) == 555_137
    drunet = DRUNet()._network(1, width=64, n_blocks=4)
    assert sum(p.numel() for p in drunet.parameters()) == 32_638_656


@pytest.mark.parametrize("residual", [True, False])
def test_networks_have_exact_second_derivatives(residual):
    denoiser = small(residual=residual, noise_level_input=True, precision="float64")
    D = denoiser.fit(FACES[:3]).build((1, 3, 3))
    x = torch.from_numpy(RNG.normal(size=(1, 1, 3, 3))).requires_grad_()
    level = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(D, (x, level))
    assert torch.autograd.gradgradcheck(D, (x, level))


# ---------------------------------------------------------------------- files of weights


def random_state_dict(network):
    return {
        k: torch.from_numpy(RNG.normal(0, 0.1, v.shape)) for k, v in network.state_dict().items()
    }


@pytest.mark.parametrize("form", ["pth", "safetensors", "nested", "parallel"])
def test_kair_s_files_are_read(form, tmp_path):
    """KAIR's network predicts the noise, which is subtracted from the image."""
    layers = [torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(),
              torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.ReLU(),
              torch.nn.Conv2d(8, 1, 3, padding=1)]  # fmt: skip
    model = torch.nn.Sequential(*layers)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    path = tmp_path / f"dncnn.{'safetensors' if form == 'safetensors' else 'pth'}"
    if form == "safetensors":
        save_file(state, path)
    else:
        prefixed = {f"module.{name}": value for name, value in state.items()}
        torch.save({"nested": {"state_dict": state}, "parallel": prefixed}.get(form, state), path)
    x = torch.from_numpy(FACES[:2])[:, None]
    with torch.no_grad():
        expected = (x.float() - model(x.float())).numpy()[:, 0]
    denoiser = DnCNN(depth=3, width=8, weights=path)
    np.testing.assert_allclose(denoiser.predict(FACES[:2]), expected, atol=1e-5)
    D = denoiser.build((1, 25, 25))
    np.testing.assert_allclose(D(x.double()).detach()[:, 0], expected, atol=1e-5)
    assert np.isfinite(denoiser.score(FACES[:2]))


def test_deepinverse_s_files_are_read(tmp_path):
    """DeepInverse's network adds its output to the image."""
    models = pytest.importorskip("deepinv").models
    theirs = models.DnCNN(1, 1, depth=4, nf=8, pretrained=None)
    torch.save(theirs.state_dict(), tmp_path / "dncnn.pth")
    x = torch.from_numpy(FACES[:2]).float()[:, None]
    ours = DnCNN(depth=4, width=8, weights=tmp_path / "dncnn.pth")
    with torch.no_grad():
        expected = theirs(x)
    np.testing.assert_allclose(ours.predict(FACES[:2]), expected[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match="has residual=True, not residual=False"):
        ours.set_params(residual=False).predict(FACES[:2])


@pytest.mark.parametrize("size", [(32, 40), (37, 45)])
def test_drunet_s_files_are_read(size, tmp_path):
    models = pytest.importorskip("deepinv").models
    theirs = models.DRUNet(1, 1, nc=(4, 8, 16, 32), nb=2, pretrained=None)
    torch.save(theirs.state_dict(), tmp_path / "drunet.pth")
    ours = DRUNet(width=4, n_blocks=2, weights=tmp_path / "drunet.pth")
    images = RNG.random((2, *size))
    z = torch.from_numpy(images).float()[:, None]
    height, width = (-(-n // 8) * 8 for n in size)
    filled = torch.nn.functional.pad(z, (0, width - size[1], 0, height - size[0]), mode="replicate")
    with torch.no_grad():
        expected = theirs(filled, 0.2)[:, 0, : size[0], : size[1]]
    np.testing.assert_allclose(ours.predict(images, noise_level=0.2), expected, atol=1e-5)


def test_the_size_of_a_network_is_read_from_its_file(tmp_path):
    layers = DnCNN()._network(1, depth=20, width=6, residual=True, noise_level_input=False)
    torch.save(random_state_dict(layers), tmp_path / "blind.pth")
    D = DnCNN(weights=tmp_path / "blind.pth").build((1, 8, 8))
    assert len(list(D.parameters())) == 40
    with pytest.raises(ValueError, match=r"DnCNN\(depth=17\).*has depth=20, not depth=17"):
        DnCNN(depth=17, weights=tmp_path / "blind.pth").build((1, 8, 8))


def test_our_own_weights_are_read_and_trained_further(tmp_path):
    first = small().fit(FACES[:9])
    save_file({k: torch.from_numpy(v) for k, v in first.weights_.items()},
              tmp_path / "own.safetensors")  # fmt: skip
    read = small(weights=str(tmp_path / "own.safetensors"))
    assert (read.predict(FACES[:2]) == first.predict(FACES[:2])).all()
    assert not hasattr(read, "weights_")  # predict stores nothing
    tuned = clone(read).fit(FACES[:9])
    assert tuned.n_epochs_ == 1
    assert (tuned.weights_["model.0.weight"] != first.weights_["model.0.weight"]).any()
    assert tuned.history_["loss"][0] < first.history_["loss"][0]


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("short", r"do not fit DnCNN\(depth=3, width=8.*has depth=2, not depth=3. Set depth=2"),
        ("long", r"do not fit DnCNN\(.*'model.6' is neither a convolution"),
        ("wide", r"do not fit DnCNN\(.*has width=9, not width=8. Set width=9"),
        ("list", "is not a state dict"),
        ("code", "is not a file of tensors"),
        ("text", "is not a file of tensors"),
        ("numbers", "is not a state dict"),
        ("nan", "'model.0.weight' is not"),
    ],
)
def test_files_that_do_not_fit_are_refused(content, message, tmp_path, capsys):
    def network(depth, width):
        parts = {"residual": True, "noise_level_input": False}
        return DnCNN()._network(1, depth=depth, width=width, **parts)

    contents = {
        "short": random_state_dict(network(2, 8)),
        "long": {**random_state_dict(network(3, 8)), "model.6.weight": torch.zeros(1)},
        "wide": random_state_dict(network(3, 9)),
        "list": [1, 2],
        "code": Evil(),
        "numbers": {0: torch.zeros(1)},
        "nan": {k: v * np.nan for k, v in random_state_dict(network(3, 8)).items()},
    }  # fmt: skip
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("hello")
    else:
        torch.save(contents[content], path)
    with pytest.raises(ValueError, match=message):
        DnCNN(depth=3, width=8, weights=path).predict(FACES[:1])
    assert "code was run" not in capsys.readouterr().out


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        DnCNN(weights=tmp_path / "nowhere.pth").predict(FACES[:1])


# ---------------------------------------------------------------------- in solvers and estimators


def reconstructors(solver):
    operator = GaussianBlur(sigma=1.0)
    return [
        ClassicalReconstructor(operator, solver, random_state=0),
        MetaInverseSolver(
            operator, solver, init=Siren(width=8, depth=3), max_epochs=1, batch_size=20,
            n_inner=1, random_state=0,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("which", [0, 1])
def test_an_unfitted_denoiser_is_fitted_with_the_estimator(which):
    estimator = reconstructors(RED(small(random_state=None), n_iter=1))[which]
    estimator.fit(FACES[:9])
    fitted = estimator.solver_.denoiser
    assert fitted.n_epochs_ == 1
    assert not hasattr(estimator.solver.denoiser, "weights_")
    again = clone(estimator).fit(FACES[:9])
    measured = estimator.simulate(FACES[:2], random_state=0)
    assert (again.predict(measured) == estimator.predict(measured)).all()
    # the denoiser is fitted to clean images in the estimator's units
    other = clone(estimator).set_params(data_range=255, solver__denoiser__noise_level=25.5)
    assert other.fit(255 * FACES[:9]).solver_.denoiser.data_range_ == (0, 255)


@pytest.mark.parametrize("which", [0, 1])
def test_a_frozen_one_is_taken_as_it_is(which):
    denoiser = small(max_epochs=5).fit(FACES[:20])
    estimator = reconstructors(HQS(FrozenEstimator(denoiser), n_iter=2))[which]
    estimator = clone(estimator).fit(FACES[20:30])
    assert estimator.solver_.denoiser.estimator is denoiser
    name = {0: "solver__n_iter", 1: "n_inner"}[which]
    search = GridSearchCV(estimator, {name: [1, 2]}, scoring=psnr_scorer, cv=2)
    assert np.isfinite(search.fit(FACES[:12]).cv_results_["mean_test_score"]).all()


def test_one_with_weights_of_a_file_is_taken_and_shipped(tmp_path):
    path = tmp_path / "own.safetensors"
    denoiser = small().fit(FACES[:9])
    save_file({k: torch.from_numpy(v) for k, v in denoiser.weights_.items()}, path)
    solver = RED(DnCNN(depth=3, width=4, weights=path), n_iter=2)
    estimator = ClassicalReconstructor(GaussianBlur(), solver).fit(FACES[:9])
    measured = estimator.simulate(FACES[:2])
    before = estimator.predict(measured)
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    path.unlink()
    assert (joblib.load(tmp_path / "estimator.joblib").predict(measured) == before).all()
    frozen = ClassicalReconstructor(GaussianBlur(), RED(FrozenEstimator(denoiser), n_iter=2))
    np.testing.assert_allclose(frozen.fit(FACES[:9]).predict(measured), before, atol=1e-6)


def test_a_frozen_one_of_another_range_is_warned_of():
    denoiser = FrozenEstimator(small().fit(FACES[:9]))
    estimator = ClassicalReconstructor(GaussianBlur(), RED(denoiser), data_range=255)
    with pytest.warns(
        DataConversionWarning, match=r"data_range \(0\.0, 1.0\), but the images here have"
    ):
        estimator.fit(255 * FACES[:9])


def test_its_parameters_are_searched():
    estimator = reconstructors(RED(small(), n_iter=1))[0]
    search = GridSearchCV(estimator, {"solver__denoiser__depth": [2, 3]}, scoring=psnr_scorer, cv=2)
    search.fit(FACES[:10])
    assert (
        len(search.best_estimator_.solver_.denoiser.weights_)
        == 2 * search.best_params_["solver__denoiser__depth"]
    )


def test_clean_images_with_missing_pixels_say_what_is_wrong():
    images = FACES[:5].copy()
    images[0, 0, 0] = np.nan
    estimator = ClassicalReconstructor(MissingPixels(), RED(small()))
    with pytest.raises(ValueError, match="NaN") as raised:
        estimator.fit(images)
    assert "fitting the denoiser of the RED on the clean images" in raised.value.__notes__[0]


@pytest.mark.cuda
def test_training_on_a_gpu_serves_a_cpu():
    denoiser = small(device="cuda").fit(FACES[:9])
    on_gpu = denoiser.predict(FACES[:2])
    np.testing.assert_allclose(denoiser.set_params(device="cpu").predict(FACES[:2]), on_gpu,
                               atol=1e-4)  # fmt: skip
