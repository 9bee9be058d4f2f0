import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import cross_validate, train_test_split

from skmetainv import MetaInverseSolver
from skmetainv.datasets import ImageFolder, load_faces
from skmetainv.operators import Inpainting
from skmetainv.representations import Siren


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "inside").mkdir()
    names = [f"{i}.png" for i in range(8)] + ["inside/8.jpg", "inside/9.PNG"]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_the_faces():
    faces = load_faces()
    assert faces.shape == (100, 25, 25)
    assert faces.dtype == float
    assert faces.min() >= 0
    assert faces.max() <= 1
    assert faces.std() > 0.1


def test_a_folder_is_an_array(folder):
    gray, colour = ImageFolder(folder, size=(6, 9)), ImageFolder(folder, size=6, color=True)
    assert gray.shape == (10, 6, 9)
    assert colour.shape == (10, 6, 6, 3)
    assert len(gray) == 10
    assert gray.ndim == 3
    for images in (gray, colour):
        array = np.asarray(images)
        assert array.shape == images.shape
        assert array.dtype == images.dtype == np.uint8
        np.testing.assert_array_equal(images[3], array[3])
        np.testing.assert_array_equal(images[-1], array[-1])


@pytest.mark.parametrize(
    "index", [slice(2, 7, 2), np.array([5, 1, 1]), [0, 3], np.arange(10) % 2 == 0]
)
def test_parts_of_a_folder_stay_lazy(folder, index):
    images = ImageFolder(folder, size=6)
    part = images[index]
    assert isinstance(part, ImageFolder)
    np.testing.assert_array_equal(np.asarray(part), np.asarray(images)[index])
    assert "ImageFolder" in repr(part)


def test_pictures_are_read_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    same = ImageFolder(tmp_path, size=(4, 6), color=True)
    np.testing.assert_array_equal(same[0], pixels)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(ImageFolder(tmp_path, size=(4, 6))[0], luma, atol=1)
    middle = ImageFolder(tmp_path, size=4, color=True)
    np.testing.assert_array_equal(middle[0], pixels[:, 1:5])


def test_no_picture_is_read_before_it_is_asked_for(folder, monkeypatch):
    images = ImageFolder(folder, size=6)
    read, original = [], Image.open
    monkeypatch.setattr(Image, "open", lambda f, *a, **kw: read.append(f) or original(f, *a, **kw))
    train, test = train_test_split(images, test_size=4, random_state=0)
    assert read == []
    assert (len(train), len(test)) == (6, 4)
    np.asarray(train[:2])
    assert len(read) == 2


def test_a_folder_can_be_fitted_and_cross_validated(folder):
    images = ImageFolder(folder, size=6, color=True)
    init = Siren(width=8, depth=3)
    est = MetaInverseSolver(Inpainting(), init=init, max_epochs=2, random_state=0)
    lazy = est.fit(images).predict(est.simulate(images))
    array = np.asarray(images)
    np.testing.assert_array_equal(lazy, est.fit(array).predict(est.simulate(array)))
    scores = cross_validate(est, images, cv=2, error_score="raise")["test_score"]
    assert np.isfinite(scores).all()


def test_what_is_not_a_folder_of_pictures(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="No pictures"):
        ImageFolder(tmp_path_factory.mktemp("empty"), size=6)
    for size in (0, 8.5, (8, 8, 3)):
        with pytest.raises(ValueError, match="'size' parameter of ImageFolder must be a positive"):
            ImageFolder(folder, size=size)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        ImageFolder(folder / "nowhere", size=6)
    with pytest.raises(IndexError):
        ImageFolder(folder, size=6)[:, 0]
    with pytest.raises(TypeError):
        ImageFolder(folder, size=6, colour=True)


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    pixels = np.zeros((4, 4), dtype=np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the file's top row is the scene's right column
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(ImageFolder(tmp_path, size=4)[0], np.rot90(pixels, -1))
