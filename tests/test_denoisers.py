"""Classical denoisers, and denoisers of users and of DeepInverse."""

from functools import partial

import numpy as np
import pytest
import pywt
import torch
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from skmetainv import ClassicalReconstructor, MetaInverseSolver, UnrolledReconstructor
from skmetainv.denoisers import (
    DeepInverseDenoiser,
    Denoiser,
    DnCNN,
    FunctionDenoiser,
    GaussianSmoothing,
    SoftThreshold,
    TotalVariation,
    Wavelet,
)
from skmetainv.denoisers.differences import SQUARED_NORM, gradient, gradient_adjoint, project
from skmetainv.denoisers.dual_ascent import dual_ascent
from skmetainv.meta import InnerLoss
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED
from skmetainv.testing import check_denoiser


def shrunk(x, noise_level):
    return (1 - noise_level) * x


CLASSICAL = [
    TotalVariation(noise_level=0.3, n_iter=8),
    SoftThreshold(noise_level=0.3),
    Wavelet(noise_level=0.3),
    GaussianSmoothing(noise_level=0.05),
    FunctionDenoiser(shrunk, noise_level=0.05),
]


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_the_gradient_has_its_adjoint_and_norm():
    x, p = images(2, 3, 5, 6), images(2, 2, 3, 5, 6, seed=1)
    torch.testing.assert_close((gradient(x) * p).sum(), (x * gradient_adjoint(p)).sum())
    z = images(1, 1, 40, 40)
    for _ in range(300):
        z = gradient_adjoint(gradient(z))
        z = z / z.norm()
    largest = float((z * gradient_adjoint(gradient(z))).sum())
    assert 0.98 * SQUARED_NORM < largest <= SQUARED_NORM


def test_projection_onto_the_ball():
    p = images(2, 1, 1, 4, 4)
    q = project(p, 0.5)
    length = q.square().sum(0).sqrt()
    assert length.max() <= 0.5 + 1e-12
    inside = p.square().sum(0).sqrt() <= 0.5
    assert torch.equal(q[:, inside], p[:, inside])
    torch.testing.assert_close(q * p.norm(dim=0), p * length)  # the same direction


@pytest.mark.parametrize("shape", [(1, 13, 17), (3, 8, 8)])
def test_total_variation_is_scikit_image_s(shape):
    z = np.random.default_rng(0).random(shape)
    D = TotalVariation(noise_level=0.05, scale=3.0, n_iter=2000).build(shape)
    ours = D(torch.from_numpy(z)[None])[0]
    for channel, expected in zip(ours, z, strict=True):
        theirs = denoise_tv_chambolle(expected, weight=0.15, eps=0, max_num_iter=20_000)
        np.testing.assert_allclose(channel, theirs, atol=1e-4)


def variation(x):
    return gradient(x).square().sum(0).sqrt()


@pytest.mark.parametrize("level", [0.02, 0.1, 0.5])
def test_total_variation_is_the_proximal_step_to_a_duality_gap(level):
    """The squared error is at most twice the duality gap, for any algorithm."""
    z = images(2, 3, 12, 9)
    gaps = []
    for n_iter in (10, 50, 1000):
        p = dual_ascent(z / level, n_iter)
        assert p.square().sum(0).max() <= 1 + 1e-12
        x = z - level * gradient_adjoint(p)
        torch.testing.assert_close(x, TotalVariation(level, n_iter=n_iter).build((3, 12, 9))(z))
        primal = 0.5 * (x - z).square().sum() + level * variation(x).sum()
        gaps.append(float(primal - 0.5 * (z.square().sum() - x.square().sum())))
    assert gaps[0] > gaps[1] > gaps[2] > -1e-10
    assert gaps[2] < 1e-3 * level


def by_autograd(u, n_iter):
    """The updates of Beck and Teboulle, differentiated by autograd."""
    p = q = u.new_zeros(2, *u.shape)
    t = 1.0
    for _ in range(n_iter):
        p, before = project(q + gradient(u - gradient_adjoint(q)) / SQUARED_NORM, 1), p
        t, t_before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        q = p + (t_before - 1) / t * (p - before)
    return p


@pytest.mark.parametrize("n_iter", [1, 2, 40])
def test_the_dual_s_derivatives_are_those_of_its_updates(n_iter):
    found = []
    for function in (dual_ascent, by_autograd):
        u = (3 * images(2, 2, 7, 5)).requires_grad_()
        p = function(u, n_iter)
        (first,) = torch.autograd.grad(p, u, images(*p.shape, seed=1), create_graph=True)
        (alone,) = torch.autograd.grad(p, u, images(*p.shape, seed=1), retain_graph=True)
        both = (first * images(*u.shape, seed=2)).sum() + (p * images(*p.shape, seed=3)).sum()
        (second,) = torch.autograd.grad(both, u)
        found.append((p.detach(), first.detach(), alone, second))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)


def test_the_dual_is_the_same_with_and_without_a_graph():
    u = 3 * images(2, 1, 7, 5)
    assert torch.equal(dual_ascent(u, 9), dual_ascent(u.clone().requires_grad_(), 9))
    with torch.no_grad():
        assert not dual_ascent(u.requires_grad_(), 9).requires_grad


def test_third_derivatives_of_the_dual_are_refused():
    u = (3 * images(1, 1, 3, 4)).requires_grad_()
    (first,) = torch.autograd.grad(dual_ascent(u, 3).square().sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="a third one was requested"):
        torch.autograd.grad(second.square().sum(), u)
    along = images(*u.shape, seed=1)  # needs no gradient
    (second,) = torch.autograd.grad((first * along).sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="a third one was requested"):
        torch.autograd.grad(second.square().sum(), u)


def test_an_image_that_is_not_finite_leaves_the_others_as_they_are():
    z = images(3, 1, 6, 5)
    D = TotalVariation(0.3).build((1, 6, 5))
    alone = D(z)
    z[1, 0, 2, 3] = np.nan
    z.requires_grad_()
    x = D(z)
    torch.testing.assert_close(x[::2], alone[::2])
    (first,) = torch.autograd.grad(x[::2].square().sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first[::2].square().sum(), z)
    assert first[::2].isfinite().all()
    assert second[::2].isfinite().all()


def test_soft_thresholding_is_the_proximal_step_of_the_l1_norm():
    z = images(1, 1, 6, 6)
    x = SoftThreshold(noise_level=0.2, scale=1.5).build((1, 6, 6))(z)
    values = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    cost = 0.5 * (values - z.flatten()[:, None]).square() + 0.3 * values.abs()
    torch.testing.assert_close(x.flatten(), values[cost.argmin(1)], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("shape", "level"), [((1, 16, 32), 2), ((3, 32, 32), None)])
@pytest.mark.parametrize(
    ("mode", "theirs"), [("symmetric", "symmetric"), ("zero", "zero"), ("periodic", "periodic")]
)
def test_wavelet_shrinkage_is_pywavelets(shape, level, mode, theirs):
    z = np.random.default_rng(0).random(shape)
    denoiser = Wavelet(noise_level=0.1, scale=1.5, wavelet="db2", level=level, mode=mode)
    ours = denoiser.build(shape)(torch.from_numpy(z)[None])[0]
    for channel, expected in zip(ours, z, strict=True):
        most = min(pywt.dwt_max_level(n, "db2") for n in expected.shape)
        coarse, *details = pywt.wavedec2(expected, "db2", mode=theirs, level=level or most)
        shrunk = [tuple(pywt.threshold(d, 0.15, "soft") for d in ds) for ds in details]
        restored = pywt.waverec2([coarse, *shrunk], "db2", mode=theirs)
        np.testing.assert_allclose(channel, restored[: shape[1], : shape[2]], atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 6, 6), (1, 1, 1), (1, 1, 9), (3, 7, 5)])
@pytest.mark.parametrize("denoiser", CLASSICAL)
def test_every_denoiser_has_the_properties_of_denoisers(denoiser, shape):
    check_denoiser(denoiser, shape, device="cpu")


@pytest.mark.parametrize(
    "options", [{}, {"noise_level": (0.0, 0.2), "noise_level_input": True}], ids=["blind", "told"]
)
def test_a_learned_denoiser_has_them_too(options):
    X = np.random.default_rng(0).random((2, 12, 12))
    own = DnCNN(depth=3, width=3, max_epochs=1, random_state=0, device="cpu", **options)
    check_denoiser(own.fit(X), device="cpu")


@pytest.mark.cuda
@pytest.mark.parametrize("denoiser", CLASSICAL)
def test_every_denoiser_agrees_on_a_gpu(denoiser):
    check_denoiser(denoiser, device="cuda")


def test_gaussian_smoothing_is_scipy_s():
    z = np.random.default_rng(0).random((20, 31))
    ours = GaussianSmoothing(noise_level=0.1, scale=20.0).build((1, 20, 31))
    expected = ndimage.gaussian_filter(z, sigma=2.0, mode="reflect", truncate=10)
    result = ours(torch.from_numpy(z)[None, None])[0, 0]
    # SciPy samples the Gaussian in space, ours in frequency
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_gaussian_smoothing_is_symmetric_with_eigenvalues_in_0_1():
    D = GaussianSmoothing(noise_level=0.03).build((1, 4, 5))
    matrix = D(torch.eye(20, dtype=torch.float64).reshape(20, 1, 4, 5)).reshape(20, 20)
    torch.testing.assert_close(matrix, matrix.mT)
    values = torch.linalg.eigvalsh(matrix)
    assert values.min() > 0
    assert values.max().item() == pytest.approx(1)


@pytest.mark.parametrize(
    "denoiser", [TotalVariation(0.1), Wavelet(0.1), GaussianSmoothing(0.1, scale=6.0)]
)
def test_classical_denoisers_denoise(denoiser):
    along = torch.linspace(0, 3, 32, dtype=torch.float64)
    clean = (torch.sin(along)[:, None] * torch.cos(along))[None, None]
    noisy = clean + 0.1 * images(1, 1, 32, 32)
    denoised = denoiser.build((1, 32, 32))(noisy)
    assert (denoised - clean).square().mean() < 0.7 * (noisy - clean).square().mean()


def test_a_module_as_function_is_copied_and_trainable():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, x, noise_level):
            return self.weight * x

    own = Scaled()
    D = FunctionDenoiser(own).build((1, 2, 2)).double()
    assert [p.dtype for p in D.parameters()] == [torch.float64]
    assert own.weight.dtype == torch.float32


@pytest.mark.parametrize("model", ["TVDenoiser", "MedianFilter", "DnCNN"])
def test_deepinverse_s_denoisers(model):
    deepinv = pytest.importorskip("deepinv")
    options = {"DnCNN": {"in_channels": 1, "out_channels": 1, "depth": 3, "pretrained": None}}
    theirs = getattr(deepinv.models, model)(**options.get(model, {}))
    D = DeepInverseDenoiser(theirs, noise_level=0.1).build((1, 8, 8))
    x = images(2, 1, 8, 8).float()
    with torch.no_grad():
        torch.testing.assert_close(D(x, 0.2), theirs(x, 0.2))
        theirs.restart = True  # their total variation would start from its last result
        torch.testing.assert_close(D(x), theirs(x, 0.1))
        torch.testing.assert_close(D(x), D(x), rtol=0, atol=0)
    parameters = zip(D.parameters(), theirs.parameters(), strict=True)
    assert all(own is not other for own, other in parameters)


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (TotalVariation(noise_level=0.0), "'noise_level' parameter of TotalVariation must be a fl"),
        (TotalVariation(n_iter=0), "'n_iter' parameter of TotalVariation"),
        (SoftThreshold(noise_level=-1.0), "'noise_level' parameter of SoftThreshold"),
        (Wavelet(wavelet="wave"), "'wavelet' parameter of Wavelet must be one of bior1.1"),
        (Wavelet(mode="mirror"), "'mode' parameter of Wavelet"),
        (GaussianSmoothing(scale=0.0), "'scale' parameter of GaussianSmoothing"),
        (FunctionDenoiser(function=3), "'function' parameter of FunctionDenoiser must be a calla"),
    ],
)
def test_bad_parameters_are_named(denoiser, message):
    with pytest.raises(ValueError, match=message):
        denoiser.build((1, 4, 4))


def test_what_is_no_model_of_deepinverse_is_refused():
    pytest.importorskip("deepinv")
    with pytest.raises(ValueError, match="'model' parameter of DeepInverseDenoiser must be a deep"):
        DeepInverseDenoiser(model=3).build((1, 4, 4))


def test_a_colour_model_on_gray_images_is_refused():
    deepinv = pytest.importorskip("deepinv")
    model = deepinv.models.DnCNN(depth=3, pretrained=None)
    with pytest.raises(ValueError, match=r"does not denoise images of shape \(1, 8, 8\)"):
        DeepInverseDenoiser(model).build((1, 8, 8))


def test_a_function_that_changes_the_shape_is_refused():
    D = FunctionDenoiser(lambda x, noise_level: x[:, :, 1:]).build((1, 4, 4))
    with pytest.raises(ValueError, match="must return images of the shape that it takes"):
        D(images(1, 1, 4, 4))


def test_a_denoiser_without_build_says_so():
    with pytest.raises(NotImplementedError, match="Denoiser does not define build"):
        Denoiser().build((1, 2, 2))


# ------------------------------------------------------------------ functions of arrays

GRAY, COLOUR = images(2, 1, 12, 10).float(), images(2, 3, 12, 10).float()


def smoothed(x, width=1.0):
    """Return every channel of a batch, smoothed on its own."""
    return torch.from_numpy(ndimage.gaussian_filter(x.numpy(), width, axes=(-2, -1)))


def torch_smoothed(x):
    return smoothed(x.detach())


class Bars:
    """A function that loops over the images of a batch."""

    def __call__(self, batch):
        return np.stack([[ndimage.gaussian_filter(x, 1.0) for x in image] for image in batch])


@pytest.mark.parametrize(
    ("x", "fn"),
    [
        (GRAY, lambda image: ndimage.gaussian_filter(image, 1.0)),
        (GRAY, lambda image: image - (image - ndimage.gaussian_filter(image, 1.0))),
        (GRAY, lambda image, noise_level: ndimage.gaussian_filter(image, 20 * noise_level)),
        (GRAY, lambda image: ndimage.gaussian_filter(image.astype(float), 1.0)),
        (GRAY, Bars()),
        (COLOUR, lambda image: ndimage.gaussian_filter(image, (1.0, 1.0, 0.0))),
        (COLOUR, lambda batch: ndimage.gaussian_filter(batch, 1.0, axes=(-2, -1))),
        (COLOUR, Bars()),
        (COLOUR, torch_smoothed),
        (COLOUR, lambda x: smoothed(x)),
    ],
)
def test_functions_of_arrays_denoise_each_channel_of_each_image(x, fn):
    D = FunctionDenoiser(fn).build(tuple(x.shape[1:]))
    torch.testing.assert_close(D(x), smoothed(x))
    assert D(x.double()).dtype == torch.float64


def test_scikit_image_s_functions_are_denoisers():
    expected = [denoise_tv_chambolle(x.numpy(), channel_axis=0) for x in COLOUR]
    fn = partial(denoise_tv_chambolle, channel_axis=-1)
    D = FunctionDenoiser(fn).build((3, 12, 10))
    torch.testing.assert_close(D(COLOUR), torch.from_numpy(np.stack(expected)))
    one = FunctionDenoiser(denoise_tv_chambolle).build((1, 12, 10))(GRAY[:1])
    np.testing.assert_allclose(one[0, 0], denoise_tv_chambolle(GRAY[0, 0].numpy()), rtol=1e-6)


@pytest.mark.parametrize("fn", ["image", "batch"])
def test_a_function_of_arrays_gets_the_noise_level_of_each_image(fn):
    def of_image(image, level):
        assert isinstance(level, float)
        return level * (image - image.mean())

    def of_batch(batch, level):
        return level * (batch - batch.mean(axis=(1, 2, 3), keepdims=True))

    D = FunctionDenoiser(of_image if fn == "image" else of_batch).build((1, 12, 10))
    levels = torch.tensor([0.1, 0.5]).reshape(2, 1, 1, 1)
    expected = GRAY - GRAY.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(D(GRAY, levels), levels * expected)
    torch.testing.assert_close(D(GRAY, torch.tensor(0.5)), 0.5 * expected)
    torch.testing.assert_close(D(GRAY), 0.05 * expected)


def test_a_second_parameter_with_a_default_of_its_own_keeps_it():
    def weighted(x, weight=0.5):
        return weight * x

    D = FunctionDenoiser(weighted).build((1, 12, 10))
    assert not D.takes_noise_level
    torch.testing.assert_close(D(GRAY), 0.5 * GRAY)
    assert FunctionDenoiser(lambda x, sigma=None: x).build((1, 12, 10)).takes_noise_level


def median(image):
    return ndimage.median_filter(image, size=3)


WITHOUT_DERIVATIVE = [median, torch.no_grad()(torch.tanh), lambda x: smoothed(x)]


@pytest.mark.parametrize("fn", WITHOUT_DERIVATIVE)
def test_what_has_no_derivative_restores_and_does_not_train(fn):
    X, denoiser = np.random.default_rng(0).random((3, 8, 8)), FunctionDenoiser(fn)
    est = ClassicalReconstructor(solver=HQS(denoiser), device="cpu")
    assert np.isfinite(est.fit(X).predict(X)).all()
    options = {"max_epochs": 1, "device": "cpu"}
    small = {"init": Siren(width=4, depth=2), **options}
    for learner in (
        UnrolledReconstructor(solver=HQS(denoiser, rho=1.0, learnable=("rho",)), **options),
        MetaInverseSolver(solver=RED(denoiser), **small),
        MetaInverseSolver(inner_loss=InnerLoss(regularizer=denoiser), **small),
    ):
        with pytest.raises(ValueError, match=r"'function' parameter .* has no derivative: .*torch"):
            learner.fit(X)


def test_a_learned_noise_level_needs_a_derivative_too():
    D = FunctionDenoiser(lambda image, level: level * ndimage.median_filter(image, 3))
    level = torch.tensor(0.1, requires_grad=True)
    with pytest.raises(ValueError, match="has no derivative"):
        D.build((1, 12, 10))(GRAY, level)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (
            lambda x: x.no_such,
            "'function' .* not denoise images of shape .*Tensor.*no_such.*ndarray",
        ),
        (lambda x: x > 0, r"in floating point. Got shape \(2, 1, 12, 10\), torch\.bool"),
        (lambda x: ndimage.zoom(x, 2), "must return images of the shape that it takes"),
    ],
)
def test_a_function_that_denoises_nothing_is_named(fn, message):
    with pytest.raises(ValueError, match=message) as refused:
        FunctionDenoiser(fn).build((1, 12, 10))(GRAY)
    assert len(str(refused.value)) < 1000


# ------------------------------------------------------------------ modules of one size


class OfOneSize(torch.nn.Module):
    """Adds a learned image, so it accepts one image size only."""

    def __init__(self, size):
        super().__init__()
        self.own = torch.nn.Parameter(torch.zeros(1, 1, size, size))

    def forward(self, x):
        return x + self.own


def test_a_module_for_images_of_one_large_size_is_taken():
    D = FunctionDenoiser(OfOneSize(70)).build((1, 70, 70))
    assert D(torch.zeros(1, 1, 70, 70)).shape == (1, 1, 70, 70)


def test_a_module_at_another_size_is_named():
    named = r"OfOneSize, the 'function' parameter .* images of shape \(1, 70, 70\)"
    with pytest.raises(ValueError, match=named):
        FunctionDenoiser(OfOneSize(8)).build((1, 70, 70))
    D = FunctionDenoiser(OfOneSize(8)).build((1, 8, 8))
    with pytest.raises(ValueError, match=named):
        D(torch.zeros(1, 1, 70, 70))
