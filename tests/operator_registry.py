"""All linear operators on which the operator tests run; add new ones here, with their shapes."""

from dataclasses import dataclass

import numpy as np
import pylops
import scipy.sparse
import torch

from skmetainv.operators import (
    Blur,
    CompressedSensing,
    Downsampling,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    LinearMap,
    MatrixOperator,
    MissingPixels,
    Mosaic,
    MotionBlur,
    MultiCoilMRI,
    Operator,
    Radon,
    Stack,
)

BATCH = 2
ANY = ((1, 1, 1), (1, 1, 6), (2, 5, 1), (1, 4, 4), (3, 5, 4), (2, 7, 9))
GRAY = tuple((1, *shape[1:]) for shape in ANY)
COMPLEX = tuple((2, *shape[1:]) for shape in ANY)
COLOUR = tuple((3, *shape[1:]) for shape in ANY)
TWICE = tuple((c, 2 * h, 2 * w) for c, h, w in ANY)
THRICE = ((1, 3, 3), (2, 6, 3), (3, 3, 9))
LARGE = ((1, 4, 3), (2, 5, 6))  # larger than a 3 x 2 kernel with boundary "valid"
TWELVE = ((1, 4, 3), (1, 2, 6), (3, 2, 2), (2, 2, 3))
SIX = ((1, 2, 3), (3, 1, 2))


@dataclass
class Case:
    """An operator, its image shapes, and small image shapes for numerical derivatives."""

    operator: Operator
    shapes: tuple = ANY
    small: tuple = (1, 3, 4)
    batched: tuple = (2, 5, 4)


class Difference(Operator):
    """A user's linear operator, which defines no adjoint and no closed form."""

    def build(self, image_shape):
        class DifferenceMap(LinearMap):
            def forward(self, x):
                return (x - 0.5 * x.roll(1, -1)).flatten(1)

        return DifferenceMap(image_shape, (int(np.prod(image_shape)),))


class Difference2(Difference):
    """The same operator, with measurements of the shape of images."""

    def build(self, image_shape):
        class DifferenceMap(LinearMap):
            def forward(self, x):
                return x - 0.5 * x.roll(1, -1)

        return DifferenceMap(image_shape, image_shape)


def row_differences(x):
    return x.diff(dim=-1, append=x[..., -1:])


def row_differences_adjoint(v):
    v = torch.cat([v[..., :-1], torch.zeros_like(v[..., -1:])], dim=-1)
    return torch.nn.functional.pad(v, (1, 0))[..., :-1] - v


def doubled(x):
    return 2 * x


def matrix(m, n, seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(m, n))
    return real + 1j * rng.normal(size=(m, n)) if dtype is complex else real


KERNEL = np.arange(1, 7).reshape(2, 3) / 21
RGB = Case(Mosaic(), COLOUR, (3, 2, 3), (3, 5, 4))
EVEN = {"shapes": TWICE, "small": (1, 2, 4), "batched": (2, 6, 4)}
OF_TWELVE = {"shapes": TWELVE, "small": (1, 3, 4), "batched": (1, 3, 4)}

CASES = {
    "identity": Case(Identity()),
    # masks
    "center": Case(Inpainting()),
    "wide_center": Case(Inpainting(fraction=0.7)),
    "box": Case(Inpainting(mask="box", box=(0, 1, 2, 1)), ((1, 2, 2), (3, 5, 4))),
    "missing": Case(MissingPixels()),
    "missing_per_channel": Case(MissingPixels(observed=0.3, per_channel=True)),
    "missing_range": Case(MissingPixels(observed=(1, 1))),
    "missing_box": Case(MissingPixels(observed=0.6, pattern="box")),
    "missing_side": Case(MissingPixels(observed=0.5, pattern="side")),
    "mask_of_mask": Case(MissingPixels(observed=0.6) @ Inpainting()),
    # convolutions
    "blur": Case(GaussianBlur(sigma=0.7)),
    "wide_blur": Case(GaussianBlur(sigma=3.0)),
    "reflected_blur": Case(GaussianBlur(sigma=0.7, boundary="reflect")),
    "kernel": Case(Blur([[0.1, 0.5], [-0.2, 0.3], [0.4, 0.2]])),
    "reflect": Case(Blur(KERNEL, boundary="reflect")),
    "replicate": Case(Blur(KERNEL.T, boundary="replicate")),
    "zero": Case(Blur(np.arange(1, 10).reshape(3, 3) / 45, boundary="zero")),
    "zero_even": Case(Blur(np.arange(1, 9).reshape(2, 4) / 36, boundary="zero")),
    "valid": Case(Blur(KERNEL.T, boundary="valid"), LARGE, (1, 4, 3)),
    "valid_separable": Case(Blur([[1, 2], [2, 4], [1, 2]], boundary="valid"), LARGE, (1, 4, 3)),
    "motion": Case(MotionBlur(length=3.3, angle=30.0)),
    "blur_of_blur": Case(GaussianBlur(sigma=0.7) @ MotionBlur(length=3.3, angle=30.0)),
    "separable_of_separable": Case(
        GaussianBlur(0.5, boundary="zero") @ GaussianBlur(0.6, boundary="replicate")
    ),
    "masked_blur": Case(Inpainting() @ GaussianBlur(sigma=0.7)),
    "missing_of_blur": Case(MissingPixels() @ GaussianBlur(sigma=0.7)),
    # fewer pixels
    "nearest": Case(Downsampling(2, prefilter="nearest"), **EVEN),
    "area": Case(Downsampling(3, prefilter="area"), THRICE, (1, 3, 6), (2, 6, 3)),
    "gaussian": Case(Downsampling(2, prefilter="gaussian"), **EVEN),
    "bicubic": Case(Downsampling(2, prefilter="bicubic"), **EVEN),
    "area_of_blur": Case(Downsampling(2) @ GaussianBlur(sigma=1.0), **EVEN),
    "nearest_of_blur": Case(Downsampling(2, prefilter="nearest") @ Blur(KERNEL), **EVEN),
    "area_of_motion": Case(Downsampling(2) @ Blur(KERNEL), **EVEN),
    "missing_of_area": Case(MissingPixels() @ Downsampling(2), **EVEN),
    "blur_of_area": Case(GaussianBlur(sigma=0.7) @ Downsampling(2), **EVEN),
    # compressed sensing
    "sensing": Case(CompressedSensing(0.4)),
    "signs": Case(CompressedSensing(0.5, matrix="rademacher", random_state=3)),
    "cosine": Case(CompressedSensing(0.4, matrix="cosine")),
    "hadamard": Case(CompressedSensing(0.4, matrix="hadamard")),
    "all_measurements": Case(CompressedSensing(1.0)),
    "missing_of_sensing": Case(MissingPixels(observed=0.7) @ CompressedSensing(0.6)),
    "missing_of_cosine": Case(
        MissingPixels(observed=0.7) @ CompressedSensing(0.6, matrix="cosine")
    ),
    "sensing_of_area": Case(CompressedSensing(0.5) @ Downsampling(2), **EVEN),
    # Fourier
    "cartesian": Case(FourierSampling(acceleration=2)),
    "radial": Case(FourierSampling("radial", acceleration=2)),
    "random": Case(FourierSampling("random", acceleration=3, center_fraction=0.2)),
    "complex_image": Case(
        FourierSampling(acceleration=2, complex_image=True), COMPLEX, (2, 2, 3), (2, 5, 4)
    ),
    "missing_of_fourier": Case(MissingPixels(observed=0.6) @ FourierSampling(acceleration=2)),
    "box_of_fourier": Case(Inpainting() @ FourierSampling(acceleration=1.5)),
    "fourier_of_area": Case(FourierSampling(acceleration=2) @ Downsampling(2), **EVEN),
    "coils": Case(MultiCoilMRI(3, acceleration=2), GRAY, (1, 3, 4), (1, 5, 4)),
    "complex_coils": Case(
        MultiCoilMRI(2, pattern="random", acceleration=2, complex_image=True),
        COMPLEX,
        (2, 2, 3),
        (2, 5, 4),
    ),
    "missing_of_coils": Case(
        MissingPixels(observed=0.6) @ MultiCoilMRI(2, acceleration=2), GRAY, (1, 3, 4), (1, 5, 4)
    ),
    # tomography
    "radon": Case(Radon(angles=4)),
    "radon_at_angles": Case(Radon(angles=[3.0, 50.0, 140.0], n_detectors=4)),
    "radon_views": Case(Radon(angles=5, n_views=2)),
    # colour
    "mosaic": RGB,
    "mosaic_of_blur": Case(Mosaic("GBRG") @ GaussianBlur(0.7), COLOUR, (3, 2, 3), (3, 5, 4)),
    "missing_of_mosaic": Case(MissingPixels() @ Mosaic("BGGR"), COLOUR, (3, 2, 3), (3, 5, 4)),
    "gray": Case(Grayscale(), COLOUR, (3, 2, 3), (3, 5, 4)),
    "blurred_gray": Case(GaussianBlur(0.7) @ Grayscale(), COLOUR, (3, 2, 3), (3, 5, 4)),
    # algebra
    "of_one_s_own": Case(Difference()),
    "missing_of_flat": Case(MissingPixels(observed=0.4) @ Difference()),
    "scaled": Case(-0.5 * GaussianBlur(sigma=0.7)),
    "scaled_sensing": Case(-0.5 * CompressedSensing(0.4)),
    "scaled_user": Case(0.3 * Difference()),
    "scaled_mask": Case(0.5 * Inpainting()),
    "missing_of_scaled": Case(MissingPixels() @ (0.5 * Downsampling(2)), **EVEN),
    "scaled_of_gaussian": Case(
        (0.5 * Identity()) @ (3.0 * Downsampling(2, prefilter="gaussian")), **EVEN
    ),
    "missing_of_scaled_fourier": Case(MissingPixels() @ (0.5 * FourierSampling(acceleration=2))),
    "doubled": Case(FunctionOperator(doubled, linear=True)),
    "sharpening": Case(Identity() + -0.5 * GaussianBlur(sigma=0.7)),
    "sum": Case(Identity() + 0.3 * Difference2()),
    "stack": Case(Stack([Inpainting(), Difference(), GaussianBlur(sigma=0.7)])),
    "stack_of_blurs": Case(Stack([GaussianBlur(sigma=0.7), 0.3 * Blur(KERNEL), Identity()])),
    "stack_of_missing": Case(Stack([MissingPixels(), GaussianBlur(sigma=0.7), Inpainting()])),
    "stack_of_masks": Case(Stack([MissingPixels(), 2.0 * Identity(), Inpainting()])),
    # adapters
    "function": Case(FunctionOperator(row_differences, linear=True)),
    "pair": Case(FunctionOperator(row_differences, adjoint_function=row_differences_adjoint)),
    "wide_matrix": Case(MatrixOperator(matrix(5, 12)), **OF_TWELVE),
    "tall_matrix": Case(MatrixOperator(matrix(18, 12), measurement_shape=(3, 2, 3)), **OF_TWELVE),
    "complex_matrix": Case(
        MatrixOperator(matrix(4, 12, dtype=complex), measurement_shape=(2, 2)), **OF_TWELVE
    ),
    "sparse_matrix": Case(
        MatrixOperator(scipy.sparse.random(7, 12, 0.4, random_state=0)), **OF_TWELVE
    ),
    "missing_of_complex_matrix": Case(
        MissingPixels(0.5) @ MatrixOperator(matrix(4, 12, dtype=complex)), **OF_TWELVE
    ),
    "complex_sparse": Case(
        MatrixOperator(scipy.sparse.csr_matrix(matrix(3, 12, dtype=complex))), **OF_TWELVE
    ),
    "linear_operator": Case(
        MatrixOperator(scipy.sparse.linalg.aslinearoperator(matrix(5, 12))), **OF_TWELVE
    ),
    "pylops": Case(
        MatrixOperator(pylops.FirstDerivative(12, kind="forward"), measurement_shape=(3, 2, 2)),
        **OF_TWELVE,
    ),
    "complex_pylops": Case(
        MatrixOperator(pylops.MatrixMult(matrix(4, 12, dtype=complex), dtype=complex)), **OF_TWELVE
    ),
}


def random_image(shape, seed=0, n=BATCH):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, *shape)))


def drawn_map(operator, shape, n=BATCH):
    """The operator's map, with masks drawn for `n` images."""
    return operator.build(shape).draw([np.random.default_rng(i) for i in range(n)])


def explicit_matrices(A, shape):
    """The matrix of A for each image of a batch, shape (BATCH, measurements, pixels)."""
    pixels = int(np.prod(shape))
    columns = [
        A(e.reshape(1, *shape).expand(BATCH, *shape)).flatten(1)
        for e in torch.eye(pixels, dtype=torch.float64)
    ]
    return torch.stack(columns, dim=2)


def bound(operator, shape):
    """A map, and the data term of noisy measurements of random images."""
    A = drawn_map(operator, shape)
    y = A(random_image(shape, 1)) + 0.1 * random_image(A.measurement_shape, 2)
    return A, A.bind(y)
