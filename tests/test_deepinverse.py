"""DeepInverse's physics as operators, and compared with our operators."""

import copy
import pickle

import deepinv
import numpy as np
import pytest
import torch
from operator_registry import random_image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skmetainv import MetaInverseSolver
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import (
    Blur,
    CompressedSensing,
    DeepInverseOperator,
    Downsampling,
    FourierSampling,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    LinearMap,
    MissingPixels,
    Mosaic,
    MultiCoilMRI,
    Radon,
    Stack,
)
from skmetainv.operators.maps.hidden_parts import convert, move
from skmetainv.representations import Siren
from skmetainv.solvers import GradientDescent

KERNEL = np.arange(1, 10).reshape(3, 3) / 45
FILTER = torch.from_numpy(KERNEL)[None, None]
MASK = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.4
COILS = FourierSampling("random", acceleration=2)
COIL_MAPS = MultiCoilMRI(3).build((1, 6, 6)).sensitivities


def mri_mask():
    return COILS.build((1, 6, 6)).observed[0, 0, :, :, 0]


LINEAR = {
    "denoising": (deepinv.physics.Denoising(), (2, 6, 6)),
    "inpainting": (deepinv.physics.Inpainting((1, 6, 6), mask=MASK), (1, 6, 6)),
    "blur_fft": (deepinv.physics.BlurFFT((2, 6, 6), filter=FILTER.float()), (2, 6, 6)),
    "blur": (deepinv.physics.Blur(filter=FILTER.float(), padding="reflect"), (2, 6, 6)),
    "mri": (deepinv.physics.MRI(mask=mri_mask().float()), (2, 6, 6)),
    "multi_coil_mri": (
        deepinv.physics.MultiCoilMRI(mask=mri_mask().float(), coil_maps=COIL_MAPS[None]),
        (2, 6, 6),
    ),
    "tomography": (
        deepinv.physics.Tomography(
            angles=5, img_width=6, circle=False, normalize=False, dtype=torch.float64
        ),
        (1, 6, 6),
    ),
    "downsampling": (
        deepinv.physics.Downsampling((1, 6, 6), filter=FILTER.float(), factor=2),
        (1, 6, 6),
    ),
    "stacked": (
        deepinv.physics.StackedLinearPhysics(
            [
                deepinv.physics.Inpainting((1, 6, 6), mask=MASK),
                deepinv.physics.BlurFFT((1, 6, 6), filter=FILTER.float()),
            ]
        ),
        (1, 6, 6),
    ),
}
linear = pytest.mark.parametrize("name", LINEAR)


def built(name):
    physics, shape = LINEAR[name]
    return DeepInverseOperator(physics).build(shape)


@linear
def test_linear_physics_have_all_that_a_linear_map_has(name):
    A = built(name)
    assert isinstance(A, LinearMap)
    x, v = random_image(A.image_shape, 1), random_image(A.measurement_shape, 2)
    left, right = (A(x) * v).sum(), (x * A.adjoint(v)).sum()
    assert abs(left - right) <= 1e-10 * A(x).norm() * v.norm()
    largest = torch.linalg.matrix_norm(A.explicit()[0], ord=2)
    assert A.norm().item() == pytest.approx(largest.item(), rel=1e-4)
    data, z = A.bind(A(x) + 0.1 * v), random_image(A.image_shape, 3)
    for rho in (0.2, torch.tensor([0.2, 0.7], dtype=torch.float64).reshape(2, 1, 1, 1)):
        step = data.prox(z, rho)
        assert (data.gradient(step) + rho * (step - z)).norm() <= 1e-8 * z.norm()


@linear
def test_derivatives_of_the_data_steps(name):
    A = built(name)
    z = random_image(A.image_shape, 3, n=1).requires_grad_()
    y = A(random_image(A.image_shape, 1, n=1)).requires_grad_()
    rho = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def steps(z, y, rho):
        data = A.bind(y)
        return data.prox(z, rho), data.gradient(z).square()

    assert torch.autograd.gradcheck(steps, (z, y, rho), fast_mode=True)
    assert torch.autograd.gradgradcheck(steps, (z, y, rho), fast_mode=True)


@linear
def test_a_physics_is_left_as_it_was_and_shared_by_clones(name):
    physics, shape = LINEAR[name]
    before = {key: value.clone() for key, value in physics.state_dict().items()}
    operator = DeepInverseOperator(physics)
    assert clone(operator).physics is physics
    A = operator.build(shape).float()
    measured = A(random_image(shape).float())
    assert measured.dtype == torch.float32
    for key, value in physics.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@linear
def test_no_tensor_of_a_physics_stays_behind_when_it_moves(name):
    """The "meta" device, as a GPU, computes with no tensor of the CPU."""
    A, x = built(name), random_image(LINEAR[name][1])
    A.adjoint(A(x))
    A.to("meta")
    assert A.adjoint(A(x.to("meta"))).is_meta


def test_hidden_tensors_are_converted_once_and_complex_ones_stay_complex():
    hidden, shown = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    whole = torch.nn.Sequential(shown)
    whole.in_a_list = [hidden, torch.zeros(2), 3.0]
    whole.in_a_dict = {"a": (torch.zeros(2, dtype=torch.complex64), "b")}
    hidden.owner = [whole]  # a cycle
    convert(whole, torch.float64)
    assert {w.dtype for w in (hidden.weight, shown.weight, whole.in_a_list[1])} == {torch.float64}
    assert whole.in_a_list[0] is hidden
    assert whole.in_a_list[2] == 3.0
    assert whole.in_a_dict["a"][0].dtype == torch.complex128
    assert whole.in_a_dict["a"][1] == "b"
    assert move(whole, torch.device("meta")) is whole
    assert hidden.weight.is_meta
    assert whole.in_a_dict["a"][0].is_meta


def test_parameters_in_lists_stay_parameters_and_registered_ones_the_same():
    whole, shared = torch.nn.LSTM(2, 3), torch.nn.Parameter(torch.ones(2))
    whole.hidden, whole.again = [shared], {"a": shared}
    convert(whole, torch.float64)
    assert whole._flat_weights[0] is whole.weight_ih_l0
    assert whole.hidden[0] is whole.again["a"]
    assert isinstance(whole.hidden[0], torch.nn.Parameter)
    assert (whole.hidden[0].dtype, whole.hidden[0].is_leaf) == (torch.float64, True)
    copy.deepcopy(whole)


@pytest.mark.cuda
@linear
def test_cuda_agrees_with_the_cpu(name):
    A, x = built(name), random_image(LINEAR[name][1], 1)
    y = A(x)
    expected = A.bind(y).prox(x, 0.5)
    A.cuda()
    torch.testing.assert_close(A.bind(y.cuda()).prox(x.cuda(), 0.5).cpu(), expected)


def test_nonlinear_physics():
    A = DeepInverseOperator(deepinv.physics.SpatialUnwrapping()).build((1, 3, 3))
    assert not isinstance(A, LinearMap)
    x = random_image((1, 3, 3))
    torch.testing.assert_close(A(x), x - x.round())
    with pytest.raises(ValueError, match="needs a linear operator"):
        A.bind(A(x)).prox(x, 1.0)


def test_tomography_in_single_precision_stays_in_it():
    physics = deepinv.physics.Tomography(angles=5, img_width=6, circle=False, normalize=False)
    A = DeepInverseOperator(physics).build((1, 6, 6))
    x = random_image((1, 6, 6))
    assert A(x).dtype == torch.float64
    torch.testing.assert_close(A(x), physics.A(x.float()).double(), atol=1e-5, rtol=1e-4)
    assert A.float()(x.float()).dtype == torch.float32


def test_a_physics_for_other_images_is_refused():
    operator = DeepInverseOperator(deepinv.physics.Inpainting((1, 6, 6), mask=MASK))
    with pytest.raises(ValueError, match=r"Inpainting, the 'physics' parameter .* does not take"):
        operator.build((1, 5, 5))


def test_a_physics_composes_and_serves_an_estimator():
    physics = deepinv.physics.BlurFFT((1, 6, 6), filter=FILTER.float())
    operator = MissingPixels(0.5) @ DeepInverseOperator(physics)
    est = MetaInverseSolver(
        operator,
        GradientDescent(),
        init=Siren(width=8, depth=2),
        max_epochs=1,
        device="cpu",
        random_state=0,
    )
    images = np.random.default_rng(0).random((8, 6, 6))
    search = GridSearchCV(est, {"operator__outer__observed": [0.3, 0.5]}, scoring=psnr_scorer, cv=2)
    search.fit(images)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ------------------------------------------------------------ compared with our operators

SAME = {
    "identity": (Identity(), deepinv.physics.Denoising(), (2, 6, 6)),
    "inpainting": (
        Inpainting(MASK[0].numpy()),
        deepinv.physics.Inpainting((1, 6, 6), mask=MASK),
        (1, 6, 6),
    ),
    "circular_blur": (
        Blur(KERNEL),
        deepinv.physics.BlurFFT((2, 6, 6), filter=FILTER.float()),
        (2, 6, 6),
    ),
    **{
        f"{ours}_blur": (
            Blur(KERNEL, boundary=ours),
            deepinv.physics.Blur(filter=FILTER.float(), padding=theirs),
            (2, 6, 6),
        )
        for ours, theirs in (
            ("reflect", "reflect"),
            ("replicate", "replicate"),
            ("zero", "constant"),
            ("valid", "valid"),
        )
    },
    "decimated_blur": (
        Downsampling(2, prefilter="nearest") @ Blur(KERNEL),
        deepinv.physics.Downsampling((1, 6, 6), filter=FILTER.float(), factor=2),
        (1, 6, 6),
    ),
    "stack": (Stack([Inpainting(MASK[0].numpy()), Blur(KERNEL)]), LINEAR["stacked"][0], (1, 6, 6)),
    "gray": (
        Grayscale(0.66851 * np.array([0.4472, 0.8781, 0.1706])),
        deepinv.physics.Decolorize(),
        (3, 6, 6),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_ours_are_theirs(name):
    """Up to single precision, that of their kernels; both put the zero frequency in the middle."""
    operator, physics, shape = SAME[name]
    A, B = operator.build(shape), DeepInverseOperator(physics).build(shape)
    x, z = random_image(shape, 1), random_image(shape, 2)
    torch.testing.assert_close(A(x), B(x), atol=1e-6, rtol=1e-5)
    v = A(z)
    torch.testing.assert_close(A.adjoint(v), B.adjoint(v), atol=1e-6, rtol=1e-5)
    ours, theirs = A.bind(v).prox(x, 0.3), B.bind(v).prox(x, 0.3)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_mri_is_theirs_with_real_and_imaginary_parts_last():
    x, z = random_image((2, 6, 6), 1), random_image((2, 6, 6), 2)
    for operator, name in (
        (FourierSampling(mri_mask().numpy(), complex_image=True), "mri"),
        (
            MultiCoilMRI(
                np.moveaxis(COIL_MAPS.numpy(), 0, -1),
                pattern=mri_mask().numpy(),
                complex_image=True,
            ),
            "multi_coil_mri",
        ),
    ):
        A, B = operator.build((2, 6, 6)), built(name)
        measured = A(x).movedim(-1, 1)
        theirs = B(x).reshape(measured.shape if name != "mri" else (2, 2, 1, 6, 6))
        torch.testing.assert_close(measured, theirs, atol=1e-6, rtol=1e-5)
        ours, theirs = A.bind(A(z)).prox(x, 0.3), B.bind(B(z)).prox(x, 0.3)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_demosaicing_keeps_our_mosaic_in_three_channels():
    """Their mosaic begins with blue."""
    x = random_image((3, 6, 5))
    theirs = DeepInverseOperator(deepinv.physics.Demosaicing((3, 6, 5))).build((3, 6, 5))
    torch.testing.assert_close(Mosaic("BGGR").build((3, 6, 5))(x), theirs(x).sum(1, keepdim=True))


def test_tomography_is_theirs_transposed_up_to_the_discretisation():
    """Theirs rotates about the middle detector; with an odd number (91), ours does, too."""
    rows, columns = np.mgrid[:64, :64]
    image = np.exp(-((rows - 29) ** 2 + (columns - 35) ** 2) / 2 / 5.0**2)
    x = torch.from_numpy(image)[None, None]
    physics = deepinv.physics.Tomography(angles=20, img_width=64, circle=False, normalize=False)
    theirs = DeepInverseOperator(physics).build((1, 64, 64))(x).mT
    ours = Radon(20, n_detectors=91).build((1, 64, 64))(x)
    assert (ours - theirs).abs().max() < 5e-3 * theirs.max()


def test_compressed_sensing_is_theirs_with_our_matrix():
    A = CompressedSensing(12).build((1, 6, 6))
    physics = deepinv.physics.CompressedSensing(m=12, img_size=(1, 6, 6))
    physics._A.data, physics._A_adjoint.data = A.matrix.float(), A.matrix.mT.float()
    B = DeepInverseOperator(physics).build((1, 6, 6))
    x, z = random_image((1, 6, 6), 1), random_image((1, 6, 6), 2)
    torch.testing.assert_close(A(x), B(x), atol=1e-6, rtol=1e-5)
    ours, theirs = A.bind(A(z)).prox(x, 0.3), B.bind(B(z)).prox(x, 0.3)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_their_gaussian_filter_is_our_blur_of_the_same_kernel():
    kernel = deepinv.physics.blur.gaussian_blur(sigma=(1.0, 1.0))[0, 0].numpy()
    ours = GaussianBlur(1.0, truncate=len(kernel) // 2).kernel
    np.testing.assert_allclose(kernel, ours, atol=1e-6)


@linear
def test_a_pickle_measures_the_same_bits(name):
    physics, shape = LINEAR[name]
    operator = pickle.loads(pickle.dumps(DeepInverseOperator(physics)))
    assert type(operator.physics) is type(physics)
    x = random_image(shape)
    torch.testing.assert_close(operator.build(shape)(x), built(name)(x), rtol=0, atol=0)


def test_complex_measurements_may_stand_beside_an_odd_number_of_real_ones():
    def fft(x, **kwargs):
        return torch.fft.fft2(x, norm="ortho")

    def inverse(y, **kwargs):
        return torch.fft.ifft2(y, norm="ortho").real

    fourier = deepinv.physics.LinearPhysics(A=fft, A_adjoint=inverse)
    both = deepinv.physics.StackedLinearPhysics([deepinv.physics.Denoising(), fourier])
    A, x = DeepInverseOperator(both).build((1, 5, 5)), random_image((1, 5, 5))
    assert A.measurement_shape == (3 * 25,)
    torch.testing.assert_close(A.adjoint(A(x)), 2 * x)


def test_a_physics_that_cannot_be_deep_copied_is_cloned():
    class Uncopied(deepinv.physics.Denoising):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle 'torch._C.Generator' object")

        def clone(self):
            return deepinv.physics.Denoising()

    A = DeepInverseOperator(Uncopied()).build((1, 4, 4))
    x = random_image((1, 4, 4))
    torch.testing.assert_close(A(x), x)
