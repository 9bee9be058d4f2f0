"""Errors on bad input name the right input."""

import numpy as np
import pytest
import scipy.sparse
import torch
from operator_registry import Difference

from skmetainv import ClassicalReconstructor
from skmetainv.operators import (
    Blur,
    Composition,
    CompressedSensing,
    DeepInverseOperator,
    Downsampling,
    FourierSampling,
    FunctionOperator,
    GaussianBlur,
    Grayscale,
    Identity,
    Inpainting,
    MatrixOperator,
    MissingPixels,
    Mosaic,
    MotionBlur,
    MultiCoilMRI,
    PhaseRetrieval,
    Radon,
    Saturation,
    Scaled,
    Stack,
    Sum,
)


def constant(x):
    return 1.0


def one_number(x):
    return x.sum()


def plus_one(x):
    return x + 1


def is_positive(x):
    return x > 0


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (GaussianBlur(sigma=0.0), r"'sigma' parameter of GaussianBlur must be a float in the"),
        (GaussianBlur(truncate=-1.0), "'truncate' parameter of GaussianBlur"),
        (Inpainting(fraction=1.0), r"'fraction' parameter of Inpainting .* \(0.0, 1.0\)"),
        (Inpainting(mask="middle"), "'mask' parameter of Inpainting"),
        (Inpainting(mask=np.zeros((4, 4), dtype=bool)), "not all False"),
        (Inpainting(mask=np.ones((4, 4))), "boolean array"),
        (Inpainting(mask=[[True], [True, False]]), "'mask' parameter of Inpainting is not an"),
        (Inpainting(mask="box", box=(True, 0, 1, 1)), r"'box' .* Got \(True, 0, 1, 1\) instead"),
        (MissingPixels(observed=(True, 3)), r"'observed' .* Got \(True, 3\) instead"),
        (
            MatrixOperator(np.ones((4, 16)), measurement_shape=(4, True)),
            r"'measurement_shape' .* Got \(4, True\)",
        ),
        (Composition(GaussianBlur(), MissingPixels()), "missing samples come last"),
        (Blur(np.ones((5, 2)), boundary="valid"), "takes images that are not smaller"),
        (Blur([1.0, 2.0]), "kernel of Blur must be an array of shape"),
        (Blur([[np.nan]]), "'kernel' parameter of Blur must hold finite real numbers"),
        (Blur([[1], [1, 2]]), "'kernel' parameter of Blur is not an array"),
        (Blur([["a"]]), "'kernel' parameter of Blur must hold"),
        (Blur([[1j]]), "'kernel' parameter of Blur must hold finite real numbers"),
        (FourierSampling([[True], [True, False]]), "'pattern' parameter of FourierSampling is not"),
        (MultiCoilMRI([[1.0], [1.0, 2.0]]), "'sensitivities' parameter of MultiCoilMRI is not"),
        (Radon(["a"]), "'angles' parameter of Radon must hold"),
        (Radon([1j]), "'angles' parameter of Radon must hold"),
        (MatrixOperator([[1, 2], [1]]), "'matrix' parameter of MatrixOperator is not an array"),
        (MatrixOperator(np.ones((2, 9))) @ Difference(), r"must have shape \(n_measurements, 16\)"),
        (Stack(Identity()), "list of at least one Operator"),
        (GaussianBlur() @ Difference(), r"GaussianBlur takes images.*gives \(16,\)"),
        (Downsampling() @ FourierSampling(), r"Downsampling takes images.*\(1, 4, 4, 2\)"),
        (CompressedSensing(matrix="cosine") @ Difference(), "CompressedSensing takes images"),
        (FourierSampling() @ Difference(), "FourierSampling takes images"),
        (MultiCoilMRI() @ FourierSampling(), "MultiCoilMRI takes images"),
        (Radon() @ Difference(), "Radon takes images"),
        (Mosaic() @ FourierSampling(), "Mosaic takes images"),
        (Grayscale() @ Difference(), "Grayscale takes images"),
        (FunctionOperator(plus_one, linear=True), "With linear=True.*'function'.*is not linear"),
        (FunctionOperator(is_positive), "of the images' type.*torch.bool"),
        (
            FunctionOperator(torch.cholesky_solve),
            "does not take batches of shape",
        ),
        (Inpainting() @ MatrixOperator(np.ones((3, 16)) * 1j), r"pass a mask of shape \(3,\)"),
        (Blur([[1.0]], boundary="mirror"), "'boundary' parameter of Blur"),
        (MotionBlur(length=0.0), "'length' parameter of MotionBlur"),
        (Sum(Identity(), MissingPixels()), "missing samples come last"),
        (Identity() + Difference(), r"Got \(1, 4, 4\) from Identity\(\) and \(16,\)"),
        (Composition(Identity(), 3), "'inner' parameter of Composition"),
        (Stack([]), "list of at least one Operator"),
        (Stack([Identity(), "blur"]), "Each entry of the .operators. parameter of Stack"),
        (Inpainting(mask=np.ones((4, 5), dtype=bool)), "'mask' .* is for images of 4 x 5 pixels"),
        (Inpainting(mask=np.ones((4, 5))), r"of shape \(4, 4\) or \(4, 4, 1\)"),
        (MissingPixels(observed=0), "'observed' parameter of MissingPixels"),
        (MissingPixels(observed=1.5), "'observed' parameter of MissingPixels"),
        (MissingPixels(observed=17), "at most 16, the number of pixels"),
        (MissingPixels(observed=(3, 2)), "low <= high"),
        (MissingPixels(observed=(0, 2)), "low <= high"),
        (MissingPixels(observed=(1, 20)), "at most 16"),
        (MissingPixels(observed=(1, 2, 3)), "two integers"),
        (MissingPixels(observed=8, pattern="side"), "takes a share of the rows or columns"),
        (MissingPixels(pattern="side", per_channel=True), "without per_channel"),
        (MissingPixels(pattern="box", per_channel=True), "without per_channel"),
        (MissingPixels(pattern="box") @ Difference(), "leaves out a box of images"),
        (MissingPixels(pattern="half"), "'pattern' parameter of MissingPixels"),
        (MissingPixels(pattern="side") @ Difference(), "takes a share of the rows or columns"),
        (Inpainting(mask="box"), "'box' parameter of Inpainting must be .first row"),
        (Inpainting(mask="box", box=(0, 0, 4, 4)), "smaller than the image"),
        (Inpainting(mask="box", box=(2, 2, 3, 1)), "in the image of 4 x 4 pixels"),
        (Inpainting(mask="box", box=(0, 0, 1.5, 1)), "'box' parameter of Inpainting"),
        (Inpainting() @ Difference(), r"pass a mask of shape \(16,\)"),
        (Inpainting(mask=np.ones(15, dtype=bool)) @ Difference(), r"of shape \(16,\)"),
        (Scaled(Identity(), factor=0.0), "'factor' parameter of Scaled must not be 0"),
        (
            GaussianBlur(2.0, boundary="valid"),
            "its kernel, 17 x 17 pixels. .* 4 x 4 pixels",
        ),
        (Downsampling(3), r"multiples of its 'factor', 3.* Crop them to 3 x 3"),
        (Downsampling(0), "'factor' parameter of Downsampling"),
        (Downsampling(2, prefilter="lanczos"), "'prefilter' parameter of Downsampling"),
        (CompressedSensing(17), "at most 16, the number of entries of an image. Got 17"),
        (CompressedSensing(1.5), "'n_measurements' parameter of CompressedSensing"),
        (CompressedSensing(matrix="fourier"), "'matrix' parameter of CompressedSensing"),
        (CompressedSensing(random_state=None), "'random_state' parameter of CompressedSensing"),
        (FourierSampling("spiral"), "'pattern' parameter of FourierSampling"),
        (FourierSampling(np.zeros((4, 4), dtype=bool)), "not all False"),
        (
            FourierSampling(np.ones((4, 5), dtype=bool)),
            "'pattern' .* is for images of 4 x 5",
        ),
        (FourierSampling(np.ones((4, 5))), r"of shape \(4, 4\), True where sampled"),
        (FourierSampling(acceleration=0.5), "'acceleration' parameter of FourierSampling"),
        (
            FourierSampling(complex_image=True),
            "images of 2 channels.*Got images of 1 ",
        ),
        (MultiCoilMRI(0), "'sensitivities' parameter of MultiCoilMRI"),
        (MultiCoilMRI(np.ones((3, 4, 4))), "'sensitivities' .* is for images of 3 x 4 pixels"),
        (MultiCoilMRI(np.ones((4, 4))), r"of shape \(4, 4, 'coils'\)"),
        (MultiCoilMRI(np.full((4, 4, 2), np.nan)), "'sensitivities' parameter of MultiCoilMRI"),
        (Radon(0), "'angles' parameter of Radon"),
        (Radon([[0.0, 1.0]]), r"of shape \(n_angles,\), in degrees"),
        (Radon([0.0, np.inf]), "'angles' parameter of Radon"),
        (Radon(3, n_views=4), "'n_views' parameter of Radon must be at most 3"),
        (Mosaic(), "colour images, of 3 channels. Got images of 1 channel"),
        (Mosaic("RGB"), "'pattern' parameter of Mosaic"),
        (Grayscale(), r"takes colour images, of 3 .*images of 1 channel instead.*fit\(X, y\)"),
        (Grayscale([1.0, 2.0]), "images of 2 channels, one for each of its 'weights'"),
        (Grayscale([[0.0]]), "'weights' parameter of Grayscale must be a number for each"),
        (Downsampling(8), "multiples of its 'factor', 8. Got images of 4 x 4 .* Take another"),
        (Grayscale([0.0]), "not all 0"),
        (Saturation(low=1.0, high=0.0), "'low' parameter of Saturation must be below"),
        (PhaseRetrieval(Saturation()), "must be linear and without missing"),
        (PhaseRetrieval(MissingPixels()), "must be linear and without missing"),
        (FunctionOperator(constant), "must return a tensor or .* of the images. type.*Got 1.0"),
        (FunctionOperator(one_number), "must return a tensor or an array of the images. type"),
        (FunctionOperator(double, adjoint_function=triple), "is not the adjoint of 'function'"),
        (FunctionOperator(3), "'function' parameter of FunctionOperator"),
        (MatrixOperator(np.ones((3, 15))), r"must have shape \(n_measurements, 16\)"),
        (MatrixOperator(np.ones(16)), r"Got \(16,\) instead"),
        (MatrixOperator(scipy.sparse.csr_array((3, 15))), r"Got \(3, 15\) instead"),
        (
            MatrixOperator(np.full((2, 16), np.nan)),
            "'matrix' parameter of MatrixOperator must hold finite",
        ),
        (MatrixOperator(np.ones((6, 16)), measurement_shape=(2, 2)), "with the product 6"),
        (DeepInverseOperator(Identity()), "must be a deepinv.physics.Physics"),
    ],
)
def test_bad_parameters_are_named(operator, message):
    with pytest.raises(ValueError, match=message):
        operator.build((1, 4, 4))


@pytest.mark.parametrize(
    "kind",
    [
        Blur,
        CompressedSensing,
        Downsampling,
        FourierSampling,
        GaussianBlur,
        Grayscale,
        Identity,
        Inpainting,
        MissingPixels,
        Mosaic,
        MotionBlur,
        MultiCoilMRI,
        PhaseRetrieval,
        Radon,
        Saturation,
        Stack,
    ],
)
def test_misspelt_parameters_are_errors(kind):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sgima'|takes no arguments"):
        kind(sgima=1.0)
    with pytest.raises(ValueError, match="Invalid parameter 'sgima'"):
        kind(
            **({"kernel": [[1.0]]} if kind is Blur else {"operators": []} if kind is Stack else {})
        ).set_params(sgima=1.0)


def test_an_array_among_operators_is_not_printed():
    with pytest.raises(ValueError, match=r"Got shape \(300, 9\), float64 instead.*MatrixOperator"):
        Identity() @ np.ones((300, 9))


def test_pairs_the_wrong_way_round_are_told_from_a_wrong_parameter():
    clean, gray = np.ones((2, 8, 8, 3)), np.ones((2, 8, 8))
    with pytest.raises(ValueError, match=r"Grayscale takes colour images.*the measurements X come"):
        ClassicalReconstructor(Grayscale()).fit(clean, gray)


@pytest.mark.parametrize("operators", [Identity(), [], None])
def test_a_stack_of_no_list_is_refused_by_an_estimator_too(operators):
    stack = Stack(operators)
    for build in (
        lambda: stack.build((1, 4, 4)),
        lambda: ClassicalReconstructor(stack).fit(np.ones((2, 4, 4))),
    ):
        with pytest.raises(ValueError, match="parameter of Stack must be a list of at least one"):
            build()


def test_missing_measurements_of_a_user_s_operator_are_refused_with_what_to_write():
    est = ClassicalReconstructor(Difference()).fit(np.ones((2, 4, 4)))
    measured = est.simulate(np.ones((2, 4, 4)))
    measured[0, 0] = np.nan
    with pytest.raises(ValueError, match="write has_missing = True in Difference"):
        est.predict(measured)
