import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skmetainv.arrays import (
    ArraySource,
    Layout,
    image_layout,
    integer_unit,
    is_one_image,
    measurement_layout,
)

sizes = st.integers(1, 6)


def source(array, layout, **options):
    return ArraySource(array, layout, dtype=torch.float64, device=torch.device("cpu"), **options)


@given(sizes, sizes, sizes, st.integers(1, 4), st.sampled_from(["gray", "colour", "first", "flat"]))
def test_there_and_back(n, height, width, channels, kind):
    shape, image_shape = {
        "gray": ((height, width), None),
        "colour": ((height, width, channels), (height, width, channels)),
        "first": ((channels, height, width), (height, width, channels)),
        "flat": ((height * width * channels,), (height, width, channels)),
    }[kind]
    array = np.random.default_rng(0).normal(size=(n, *shape))
    layout = image_layout(array.shape, image_shape)
    tensor = source(array, layout).read(np.arange(n))
    assert tensor.shape == (n, 1 if kind == "gray" else channels, height, width)
    np.testing.assert_array_equal(layout.to_array(tensor), array)


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((5, 3, 9, 8), True),
        ((5, 1, 9, 8), True),
        ((5, 4, 9, 5), True),
        ((5, 9, 8, 3), False),
        ((5, 9, 8, 31), False),
        ((5, 3, 4, 3), False),
    ],
)
def test_channels_in_front_are_known_by_the_shape(shape, first):
    layout = image_layout(shape, None)
    height, width = shape[2:] if first else shape[1:3]
    assert layout.channels_first == first
    assert layout.tensor_shape[1:] == (height, width)
    assert measurement_layout((2, 4, 6), layout).shape == ((2, 4, 6) if first else (4, 6, 2))


def test_channels_in_front_stay_in_front():
    array = np.random.default_rng(0).normal(size=(2, 3, 9, 8))
    images = source(array, image_layout(array.shape, None))
    assert torch.equal(images.read(np.arange(2)), torch.from_numpy(array))
    patch = images.patch(1, slice(2, 6), slice(1, 4))
    assert torch.equal(patch, torch.from_numpy(array[1, :, 2:6, 1:4]))


@pytest.mark.parametrize(
    ("shape", "image_shape", "one"),
    [
        ((20, 30, 3), None, True),
        ((20, 30, 1), None, True),
        ((20, 30, 31), None, False),
        ((3, 20, 30), None, False),
        ((20, 5, 3), None, False),
        ((20, 30), (20, 30), True),
        ((20, 30), (5, 6), False),
        ((3, 20, 30), (20, 30, 3), True),
        ((4, 4), (2, 2), False),
        ((1, 20, 30), (20, 30), False),
    ],
)
def test_one_image_without_its_first_axis(shape, image_shape, one):
    assert is_one_image(shape, image_shape) == one


def test_which_pixel_goes_where():
    array = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    tensor = source(array, image_layout(array.shape, None)).read([0, 1])
    assert tensor[1, 3, 0, 2] == array[1, 0, 2, 3]
    flat = source(array.reshape(2, -1), image_layout((2, 24), (2, 3, 4))).read([0, 1])
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
    ("dtype", "largest", "unit"),
    [
        ("uint8", 255, 255),
        ("uint16", 65535, 65535),
        ("bool", 1, 1),
        ("float32", 1, 1),
        ("int64", 255, 255),
        ("int32", 200, 255),
        ("int16", 1, 1),
        ("int64", 256, 1),
    ],
)
def test_what_numbers_of_a_type_are_divided_by(dtype, largest, unit):
    array = np.array([[0, largest]], dtype=dtype)
    assert integer_unit(array) == unit
    read = source(array, Layout((2,), (1, 1, 2)), unit=float(unit)).read(np.array([0]))
    assert read.flatten().tolist() == [0, largest / unit]


def test_integers_with_a_sign_are_no_pictures():
    assert integer_unit(np.array([-1, 255])) == 1


def test_dark_images_do_not_decide_for_all():
    images = np.zeros((40, 2, 2), dtype=np.int64)
    images[30:] = 200
    assert integer_unit(images) == 255


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
