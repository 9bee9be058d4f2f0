import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skmetainv.arrays import ArraySource, Layout, image_layout, measurement_layout

sizes = st.integers(1, 6)


def source(array, layout, **options):
    return ArraySource(array, layout, dtype=torch.float64, device=torch.device("cpu"), **options)


@given(sizes, sizes, sizes, st.integers(1, 4), st.sampled_from(["gray", "colour", "flat"]))
def test_there_and_back(n, height, width, channels, kind):
    shape, image_shape = {
        "gray": ((height, width), None),
        "colour": ((height, width, channels), None),
        "flat": ((height * width * channels,), (height, width, channels)),
    }[kind]
    array = np.random.default_rng(0).normal(size=(n, *shape))
    layout = image_layout(array.shape, image_shape)
    tensor = source(array, layout).read(np.arange(n))
    assert tensor.shape == (n, 1 if kind == "gray" else channels, height, width)
    np.testing.assert_array_equal(layout.to_array(tensor), array)


def test_which_pixel_goes_where():
    array = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    tensor = source(array, image_layout(array.shape, None), rescale_integers=False).read([0, 1])
    assert tensor[1, 3, 0, 2] == array[1, 0, 2, 3]
    flat = source(
        array.reshape(2, -1), image_layout((2, 24), (2, 3, 4)), rescale_integers=False
    ).read([0, 1])
    assert torch.equal(flat, tensor)


@pytest.mark.parametrize(
    ("n_pixels", "expected"), [(25, (1, 5, 5)), (10, (1, 1, 10)), (1, (1, 1, 1))]
)
def test_a_flat_image_is_square_if_it_can_be_else_one_row(n_pixels, expected):
    assert image_layout((7, n_pixels), None).tensor_shape == expected


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5, 3, 2), (3, 0), (3, 4, 0)])
def test_what_is_not_images_is_refused(shape):
    with pytest.raises(ValueError, match="Images must have shape"):
        image_layout(shape, None)


def test_image_shape_must_fit():
    with pytest.raises(ValueError, match=r"'image_shape' parameter says \(4, 6\)"):
        image_layout((3, 25), (4, 6))


@pytest.mark.parametrize(
    ("images", "measurement", "expected"),
    [
        ((8, 8), (1, 4, 4), (4, 4)),
        ((8, 8), (2, 4, 4), (4, 4, 2)),
        ((8, 8, 1), (1, 4, 4), (4, 4, 1)),
        ((8, 8, 3), (3, 4, 4), (4, 4, 3)),
        ((8, 8, 3), (1, 8, 8), (8, 8, 1)),
        ((64,), (1, 4, 4), (16,)),
        ((8, 8), (10,), (10,)),
    ],
)
def test_measurements_are_laid_out_as_images_are(images, measurement, expected):
    layout = measurement_layout(measurement, image_layout((1, *images), None))
    assert layout.shape == expected
    tensor = torch.rand(3, *measurement)
    assert torch.equal(layout.to_tensor(torch.from_numpy(layout.to_array(tensor))), tensor)


@pytest.mark.parametrize(
    ("dtype", "largest"), [("uint8", 255), ("int16", 32767), ("bool", 1), ("float32", 1)]
)
def test_types_become_their_share_of_the_maximum(dtype, largest):
    array = np.array([[0, largest]], dtype=dtype)
    tensor = source(array, Layout((2,), (1, 1, 2))).read(np.array([0]))
    assert tensor.flatten().tolist() == [0, 1]


def test_integers_are_taken_as_they_are_when_told_so():
    array = np.array([[0, 4095]], dtype=np.uint16)
    tensor = source(array, Layout((2,), (1, 1, 2)), rescale_integers=False).read(np.array([0]))
    assert tensor.flatten().tolist() == [0, 4095]


def test_a_read_is_a_copy_of_what_was_asked_for():
    array = np.random.default_rng(0).normal(size=(5, 2, 2))
    before = array.copy()
    tensor = source(array, image_layout(array.shape, None)).read(np.array([1, 3]))
    np.testing.assert_array_equal(tensor[:, 0], array[[1, 3]])
    tensor += 1
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("value", "allow_nan", "message"),
    [
        (np.nan, False, "Input X contains NaN"),
        (np.inf, True, "Input X contains infinity"),
        (np.nan, True, "Entry 2 of X is all NaN"),
    ],
)
def test_bad_values_are_refused_when_they_are_read(value, allow_nan, message):
    array = np.zeros((3, 1, 1))
    array[2] = value
    images = source(array, image_layout(array.shape, None), allow_nan=allow_nan)
    images.read(np.array([0, 1]))
    with pytest.raises(ValueError, match=message):
        images.read(np.array([1, 2]))
