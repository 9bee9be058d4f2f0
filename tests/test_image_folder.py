"""Users' folders: hidden copies, damage, transparency, depth, links, frames."""

import os
import pickle
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from sklearn.model_selection import GroupKFold

from skmetainv import MetaInverseSolver
from skmetainv.datasets import ImageFolder
from skmetainv.exceptions import SkippedFilesWarning
from skmetainv.operators import Inpainting
from skmetainv.representations import Siren

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (8, 8, 4), dtype=np.uint16)
GRAY, RGB, RGBA, GRAY_ALPHA = DEEP[..., 0], DEEP[..., :3], DEEP, DEEP[..., :2]


def save(path, pixels=BYTES[..., 0], **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_png16(path, pixels, key=None):
    """Write a 16-bit PNG from raw scan lines, because Pillow writes no 16-bit colours."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2] if pixels.ndim == 3 else 1]
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    chunks += [] if key is None else [(b"tRNS", np.array(key, dtype=">u2").tobytes())]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def over(values, alpha, background):
    return values * alpha + (1 - alpha) * background


# --- image files


HIDDEN = """.a.png ._a.png __MACOSX/a.png __macosx/x/._a.png .cache/x/a.png $RECYCLE.BIN/a.png
#recycle/a.png @eaDir/a.png/SYNOPHOTO_THUMB_XL.png .ipynb_checkpoints/a-checkpoint.png"""


@pytest.mark.parametrize("name", [*HIDDEN.split(), "x/System Volume Information/a.png"])
def test_hidden_copies_are_no_pictures(tmp_path, name):
    own = save(tmp_path / "x" / "a.PNG")
    save(tmp_path / name)
    assert list(ImageFolder(tmp_path, size=8).files) == [own]


def test_a_hidden_folder_may_be_asked_for(tmp_path):
    own = save(tmp_path / ".cache" / "a.png")
    assert list(ImageFolder(tmp_path / ".cache", size=8).files) == [own]


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    inside, outside = save(tmp_path / "in" / "z" / "a.png"), save(tmp_path / "out" / "b.png")
    folder = tmp_path / "in"
    (folder / "b").symlink_to(outside.parent)
    (folder / "z" / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    assert list(ImageFolder(folder, size=8).files) == [folder / "b" / "b.png", inside]


def test_a_file_that_is_reached_twice_is_one_picture(tmp_path):
    own = save(tmp_path / "in" / "z" / "a.png")
    outside = save(tmp_path / "out" / "b.png")
    folder = tmp_path / "in"
    (folder / "a_folder").symlink_to(folder / "z")
    (folder / "a.png").symlink_to(own)
    for name in ("c.png", "d.png"):
        (folder / name).symlink_to(outside)
    assert list(ImageFolder(folder, size=8).files) == [folder / "c.png", own]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"1 of 2 pictures[^$]*b\.png: .*No such file"):
        ImageFolder(tmp_path, size=8).check()


def test_pictures_of_kinds_that_are_not_read_are_said(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"x")
    (tmp_path / "b.txt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"No pictures \(.*\) in .* It holds 1 \.dcm, 1 \.txt"):
        ImageFolder(tmp_path, size=8)
    save(tmp_path / "c.png")
    with pytest.warns(
        SkippedFilesWarning, match=r"1 \.dcm in .* left out, for example .*a\.dcm"
    ) as record:
        assert len(ImageFolder(tmp_path, size=8)) == 1
    assert len(record) == 1
    assert record[0].filename == __file__


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file: ImageFolder takes the folder"):
        ImageFolder(save(tmp_path / "a.png"), size=8)


KINDS = {"apng": "PNG", "jfif": "JPEG", "jpe": "JPEG", "pgm": "PPM", "pnm": "PPM", "TIF": "TIFF"}


@pytest.mark.parametrize("suffix", [*KINDS, "bmp", "gif", "png", "ppm", "webp"])
def test_kinds_that_are_read(tmp_path, suffix):
    ramp = np.add.outer(np.arange(8), np.arange(8)).astype(np.uint8) * 15
    options = {"lossless": True} if suffix == "webp" else {"quality": 100}
    save(tmp_path / f"a.{suffix}", ramp, format=KINDS.get(suffix, suffix), **options)
    np.testing.assert_allclose(ImageFolder(tmp_path, size=8)[0].astype(int), ramp, atol=2)


# --- damaged files


@pytest.fixture
def damaged(tmp_path):
    """A folder of eight readable and eight damaged images."""
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for i in range(8):
        save(tmp_path / f"good{i}.png", noise)
    for suffix in ("png", "jpg", "webp", "bmp"):
        whole = save(tmp_path / f"short.{suffix}", noise).read_bytes()
        (tmp_path / f"short.{suffix}").write_bytes(whole[: len(whole) // 2])
    tifffile.imwrite(tmp_path / "short.tif", noise.astype(np.uint16))
    whole = (tmp_path / "short.tif").read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    whole = save(tmp_path / "lost.tif", noise, compression="tiff_lzw").read_bytes()
    (tmp_path / "lost.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_bytes(b"<!DOCTYPE html><title>404</title>")
    return tmp_path


NAMES = [
    "empty.jpg",
    "lost.tif",
    "page.jpg",
    *(f"short.{s}" for s in ("bmp", "jpg", "png", "tif", "webp")),
]


def test_a_damaged_file_is_named_where_it_is_read(damaged):
    images = ImageFolder(damaged, size=8)
    by_name = {file.name: i for i, file in enumerate(images.files)}
    for name in NAMES:
        for read in (lambda i: images[i], lambda i: np.asarray(images[[i]])):
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                read(by_name[name])
    with pytest.raises(ValueError, match="the file is empty"):
        images[by_name["empty.jpg"]]
    with pytest.raises(ValueError, match="begins with b'<!DOCTYPE html"):
        images[by_name["page.jpg"]]


def test_check_finds_all_damaged_files(damaged):
    with pytest.raises(ValueError, match="8 of 16 pictures") as error:
        ImageFolder(damaged, size=8).check()
    assert all(name in str(error.value) for name in NAMES)
    assert 'on_error="skip"' in str(error.value)


def test_damaged_files_can_be_left_out(damaged):
    with pytest.warns(SkippedFilesWarning, match=r"8 of 16 .* left out") as record:
        images = ImageFolder(damaged, size=8, on_error="skip")
    assert len(record) == 1
    assert record[0].filename == __file__
    assert "empty.jpg" in str(record[0].message)
    assert [file.name for file in images.files] == [f"good{i}.png" for i in range(8)]
    assert images.shape == np.asarray(images).shape == (8, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.check() is images


def test_the_length_does_not_change_after_construction(damaged):
    with pytest.warns(SkippedFilesWarning):
        images = ImageFolder(damaged, size=8, on_error="skip")
    images.files[3].write_bytes(b"")
    assert len(images) == 8
    with pytest.raises(ValueError, match=r"good3\.png: the file is empty"):
        np.asarray(images)
    with pytest.warns(SkippedFilesWarning, match="1 of 8"):
        assert len(images.check()) == 7
    assert len(images) == 8


def test_a_folder_of_nothing_but_damage(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"None of the pictures can be read:\n.*a\.png"):
        ImageFolder(tmp_path, size=8, on_error="skip")


def test_a_training_on_a_damaged_folder_names_the_file(damaged):
    est = MetaInverseSolver(Inpainting(), init=Siren(width=8, depth=3), max_epochs=1)
    with pytest.raises(ValueError, match=r"\.(jpg|png|bmp|tif|webp): "):
        est.fit(ImageFolder(damaged, size=8))
    with pytest.warns(SkippedFilesWarning):
        images = ImageFolder(damaged, size=8, on_error="skip")
    assert np.isfinite(est.fit(images).history_["outer_loss"]).all()


def test_too_large_a_picture_is_named_with_the_way_out(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", GRAY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match="2 of 2 pictures") as error:
        ImageFolder(tmp_path, size=8, dtype="uint16").check()
    assert str(error.value).count("set PIL.Image.MAX_IMAGE_PIXELS = None") == 2


def test_what_is_wrong_with_the_machine_is_not_the_pictures_fault(tmp_path, monkeypatch):
    save(tmp_path / "a.png")

    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(MemoryError):
        ImageFolder(tmp_path, size=8, on_error="skip")


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_progress_is_a_bar_in_a_terminal_and_a_line_in_a_file(
    on_error, tmp_path, capsys, monkeypatch
):
    def shown(verbose):
        images = ImageFolder(tmp_path, size=8, on_error=on_error, verbose=verbose)
        return (images.check() is images) and capsys.readouterr().err

    for i in range(3):
        save(tmp_path / f"{i}.png")
    n_times = 1 + (on_error == "skip")  # "skip" also checks at construction
    assert shown(0) == ""
    assert shown(1) == n_times * "Checking pictures: 3 read, 0 of them failed\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shown(0) == ""
    in_terminal = shown(True)
    assert in_terminal.count("3/3") >= n_times
    assert "of them failed" not in in_terminal


def test_a_parameter_of_a_folder_is_checked_as_an_estimator_s(tmp_path):
    save(tmp_path / "a.png")
    for parameter, message in (
        ({"size": True}, "a positive int, or two of them. Got True instead"),
        ({"size": (8, True)}, r"Got \(8, True\) instead"),
        ({"color": "L"}, "'color' parameter of ImageFolder must be .*'bool'.* Got 'L'"),
        ({"frames": "All"}, "'frames' .* must be a str among .* or None.*Write frames='all'"),
        ({"on_error": None}, "'on_error' .* must be a str among {'raise', 'skip'}. Got None"),
        ({"dtype": "int8"}, "'dtype' .* must be a str among .*'uint8'.*. Got 'int8' instead"),
        ({"background": True}, "'background' .* must be a gray level in .* Got True instead"),
        ({"verbose": -1}, "'verbose' parameter of ImageFolder must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageFolder(tmp_path, **{"size": 8, **parameter})


# --- transparency


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("background", "levels"), [(255, 255), (0, 0), ((10, 200, 30),) * 2])
def test_transparency_shows_the_background(tmp_path, mode, background, levels):
    pixels = BYTES.copy()
    pixels[..., 3] = RNG.choice([0, 255], (8, 8)) if mode == "P" else BYTES[..., 3]
    picture = Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "a.png")
    straight = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA")).astype(float)
    expected = over(straight[..., :3], straight[..., 3:] / 255, np.array(levels))
    images = ImageFolder(tmp_path, size=8, color=True, background=background)
    np.testing.assert_allclose(images[0], expected, atol=1)
    gray = ImageFolder(tmp_path, size=8, background=background)[0]
    np.testing.assert_allclose(gray, expected @ [0.299, 0.587, 0.114], atol=1.6)


def test_the_default_background_is_white(tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 8, 4), dtype=np.uint8))
    assert (ImageFolder(tmp_path, size=8)[0] == 255).all()


def test_a_transparent_colour_shows_the_background(tmp_path):
    pixels = np.full((8, 8), 7, dtype=np.uint8)
    pixels[2] = 90
    save(tmp_path / "a.png", pixels, transparency=90)
    image = ImageFolder(tmp_path, size=8)[0]
    assert (image[2] == 255).all()
    assert (image[3] == 7).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_premultiplied_tiffs(tmp_path, bits, kind):
    full = 2**bits - 1
    straight, alpha = DEEP[..., :3] / 65535, DEEP[..., 3:] / 65535
    stored = straight * alpha if kind == "assocalpha" else straight
    stored = np.rint(full * np.concatenate([stored, alpha], axis=2)).astype(f"uint{bits}")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[kind])
    image = ImageFolder(tmp_path, size=8, color=True, dtype="float32", background=(0, 255, 51))[0]
    np.testing.assert_allclose(image, over(straight, alpha, np.array([0, 1, 0.2])), atol=4 / full)


# --- depth


def write_deep(path, pixels, **options):
    if path.suffix == ".png":
        return write_png16(path, pixels)
    if path.suffix == ".tif":
        extra = [] if pixels.ndim == 2 or pixels.shape[2] == 3 else ["unassalpha"]
        rgb = pixels.ndim == 3 and pixels.shape[2] > 2
        kind = {"photometric": "rgb" if rgb else "minisblack", "planarconfig": "contig"}
        return tifffile.imwrite(path, pixels, extrasamples=extra, **{**kind, **options})
    header = f"P{5 if pixels.ndim == 2 else 6}\n8 8\n65535\n".encode()
    return path.write_bytes(header + pixels.astype(">u2").tobytes())


FILES = {"a.png": [GRAY, RGB, RGBA, GRAY_ALPHA], "a.tif": [GRAY, RGB, RGBA, GRAY_ALPHA]}
FILES["a.ppm"] = [GRAY, RGB]


@pytest.mark.parametrize(("name", "pixels"), [(name, p) for name in FILES for p in FILES[name]])
def test_16_bits_are_read_in_full_or_refused(tmp_path, name, pixels):
    transparent = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    write_deep(tmp_path / name, pixels)
    with pytest.raises(ValueError, match=r'a\....: its numbers are uint16.*dtype="uint16"\)'):
        ImageFolder(tmp_path, size=8)[0]
    colors = pixels if pixels.ndim == 3 else pixels[..., None]
    expected = colors[..., :3] if colors.shape[2] > 2 else colors[..., :1]
    if transparent:
        expected = over(expected, colors[..., -1:] / 65535, 65535 * 51 / 255)
    expected = np.broadcast_to(np.rint(expected), (8, 8, 3))
    images = ImageFolder(tmp_path, size=8, color=True, dtype="uint16", background=51)
    assert images.dtype == np.asarray(images).dtype == images[0].dtype == np.uint16
    np.testing.assert_array_equal(images[0], expected)
    gray = ImageFolder(tmp_path, size=8, dtype="float32", background=51)[0]
    assert gray.dtype == np.float32
    np.testing.assert_allclose(65535 * gray, expected @ [0.299, 0.587, 0.114], atol=1)


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"bigtiff": True},
        {"tile": (16, 16)},
    ],
)
def test_deep_tiffs_of_any_layout(tmp_path, options):
    pixels = np.moveaxis(RGB, 2, 0) if "planarconfig" in options else RGB
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    images = ImageFolder(tmp_path, size=8, color=True, dtype=np.uint16)
    np.testing.assert_array_equal(images[0], RGB)


def test_compressions_that_tifffile_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tifffile.TiffPage,
        "asarray",
        _raises("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package"),
    )
    save(tmp_path / "a.tif", GRAY, compression="tiff_lzw")
    tifffile.imwrite(tmp_path / "b.tif", RGB, photometric="rgb")
    images = ImageFolder(tmp_path, size=8, dtype="uint16")
    np.testing.assert_array_equal(images[0], GRAY)
    with pytest.raises(ValueError, match=r"b\.tif: .*pip install imagecodecs"):
        images[1]


def _raises(message):
    def function(*args, **options):
        raise ValueError(message)

    return function


def test_white_may_be_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", 65535 - GRAY, photometric="miniswhite")
    np.testing.assert_array_equal(ImageFolder(tmp_path, size=8, dtype="uint16")[0], GRAY)


@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_transparent_colours_of_16_bits(tmp_path, pixels):
    write_png16(tmp_path / "a.png", pixels, key=pixels[2, 5])
    image = ImageFolder(tmp_path, size=8, color=True, dtype="uint16")[0]
    expected = np.broadcast_to(pixels[..., None] if pixels.ndim == 2 else pixels, (8, 8, 3)).copy()
    expected[2, 5] = 65535
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("plain", [True, False])
def test_ppms_of_other_depths(tmp_path, plain):
    values = RGB // 16
    header = f"P{3 if plain else 6}\n8 8\n4095\n".encode()
    numbers = (
        " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
    )
    (tmp_path / "a.ppm").write_bytes(header + numbers)
    image = ImageFolder(tmp_path, size=8, color=True, dtype="uint16")[0]
    np.testing.assert_allclose(image, values * (65535 / 4095), atol=0.5)


def test_pictures_of_8_and_16_bits_in_one_unit(tmp_path):
    save(tmp_path / "a.png", BYTES[..., 0])
    write_png16(tmp_path / "b.png", 257 * BYTES[..., 0].astype(np.uint16))
    first, second = ImageFolder(tmp_path, size=5, dtype="uint16")
    np.testing.assert_array_equal(first, second)
    first, second = ImageFolder(tmp_path, size=8, dtype="float32")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, BYTES[..., 0] / 255, rtol=1e-6)
    coarse = ImageFolder(tmp_path, size=5)[0].astype(float)
    np.testing.assert_allclose(
        255 * ImageFolder(tmp_path, size=5, dtype="float32")[0], coarse, atol=1
    )


@pytest.mark.parametrize(
    "stored", ["int8", "int16", "int32", "uint32", "float16", "float32", "float64"]
)
def test_numbers_with_units_of_their_own(tmp_path, stored):
    numbers = RNG.integers(-100 if stored[0] != "u" else 0, 100, (8, 8)).astype(stored)
    tifffile.imwrite(tmp_path / "a.tif", numbers)
    for dtype in ("uint8", "uint16"):
        with pytest.raises(ValueError, match=rf'its numbers are {stored}.*dtype="float32"\)'):
            ImageFolder(tmp_path, size=8, dtype=dtype)[0]
    image = ImageFolder(tmp_path, size=8, dtype="float32")[0]
    np.testing.assert_array_equal(image, numbers)


def test_colours_in_floating_point(tmp_path):
    colors = RGB / np.float32(1000)
    tifffile.imwrite(tmp_path / "a.tif", colors, photometric="rgb")
    image = ImageFolder(tmp_path, size=8, color=True, dtype="float32")[0]
    np.testing.assert_array_equal(image, colors)


def test_integers_are_not_rounded(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 8), 2**24 + 1, dtype=np.uint32))
    with pytest.raises(ValueError, match=r"a\.tif: its numbers are uint32, too large for float32"):
        ImageFolder(tmp_path, size=8, dtype="float32")[0]


@pytest.mark.parametrize("stored", ["uint8", "uint16"])
def test_what_is_neither_gray_nor_colour(tmp_path, stored):
    for n in (2, 5):
        kind = {
            "photometric": "minisblack",
            "planarconfig": "contig",
            "extrasamples": [0] * (n - 1),
        }
        tifffile.imwrite(tmp_path / f"{n}.tif", np.zeros((8, 8, n), dtype=stored), **kind)
    images = ImageFolder(tmp_path, size=8, dtype=stored)
    for i, n in enumerate((2, 5)):
        with pytest.raises(ValueError, match=rf"{n}\.tif: it has {n} channels of {stored}"):
            images[i]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures_of_any_kind_are_turned_as_the_camera_says(tmp_path, dtype):
    pixels = DEEP[:6, :, 0].astype(dtype)
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "a.tif", pixels, exif=exif)
    save(tmp_path / "b.tif", pixels, exif=exif, compression="tiff_lzw")
    save(tmp_path / "c.png", pixels, exif=exif)
    for image in ImageFolder(tmp_path, size=(8, 6), dtype=dtype):
        np.testing.assert_array_equal(image, np.rot90(pixels, -1))


# --- frames


def write_frames(path, n=3):
    frames = [Image.fromarray(np.full((8, 8), 50 * i, dtype=np.uint8)) for i in range(n)]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_several_frames_are_never_silently_the_first(tmp_path, suffix):
    write_frames(tmp_path / f"a.{suffix}")
    save(tmp_path / "b.png", np.full((8, 8), 200, dtype=np.uint8))
    with pytest.raises(ValueError, match=rf'a\.{suffix}: it holds 3 frames.*"first".*"all"'):
        ImageFolder(tmp_path, size=8)[0]
    first = ImageFolder(tmp_path, size=8, frames="first")
    assert np.asarray(first)[:, 0, 0].tolist() == [0, 200]
    every = ImageFolder(tmp_path, size=8, frames="all")
    assert [file.name for file in every.files] == [f"a.{suffix}"] * 3 + ["b.png"]
    assert np.asarray(every)[:, 0, 0].tolist() == [0, 50, 100, 200]
    assert np.asarray(every[[3, 1]])[:, 0, 0].tolist() == [200, 50]


def test_frames_of_a_file_can_be_kept_together(tmp_path):
    for name in ("a.gif", "b.gif"):
        write_frames(tmp_path / name)
    images = ImageFolder(tmp_path, size=8, frames="all")
    for train, test in GroupKFold(2).split(images, groups=images.files):
        assert not set(images[train].files) & set(images[test].files)


def test_pages_of_16_bits(tmp_path):
    pages = np.stack([GRAY, GRAY[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    images = ImageFolder(tmp_path, size=8, frames="all", dtype="uint16")
    np.testing.assert_array_equal(images, pages)


@pytest.mark.parametrize("options", [{"truncate": True}, {"volumetric": True}])
def test_stacks_and_volumes_in_one_page_are_said(tmp_path, options):
    stack = np.zeros((3, 16, 16), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    with pytest.raises(ValueError, match=r"a\.tif: it holds .* shape \(3, 16, 16\)"):
        ImageFolder(tmp_path, size=8)[0]


def test_smaller_copies_in_a_tiff_are_no_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(BYTES[:4, :4, 0], subfiletype=1)
        tiff.write(BYTES[..., 0])
    np.testing.assert_array_equal(ImageFolder(tmp_path, size=8)[0], BYTES[..., 0])


def test_what_phones_append_to_a_jpeg_is_no_frame(tmp_path):
    first = np.full((8, 8, 3), 90, dtype=np.uint8)
    added = Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8))
    save(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[added])
    images = ImageFolder(tmp_path, size=8, frames="all")
    np.testing.assert_array_equal(images, np.full((1, 8, 8), 90))


# --- colours


def test_colours_of_print_and_of_perception(tmp_path):
    pixels = 64 + BYTES[..., :3] // 2
    colors = Image.fromarray(pixels)
    colors.convert("CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    colors.convert("CMYK").save(tmp_path / "b.tif")
    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    ImageCms.profileToProfile(colors, rgb, lab, outputMode="LAB").save(tmp_path / "c.tif")
    for image, atol in zip(ImageFolder(tmp_path, size=8, color=True), (3, 0, 6), strict=True):
        np.testing.assert_allclose(image.astype(int), pixels.astype(int), atol=atol)


def test_one_bit_is_black_or_white(tmp_path):
    bits = Image.fromarray(BYTES[..., 0]).convert("1")
    for name in ("a.png", "b.tif", "c.pbm", "d.gif"):
        bits.save(tmp_path / name)
    for image in ImageFolder(tmp_path, size=8):
        np.testing.assert_array_equal(image, 255 * np.asarray(bits).astype(np.uint8))


# --- the array


BAD = {
    "dtype": ["float64", "bytes?", None],
    "frames": ["last", 1],
    "on_error": ["ignore", None],
    "background": [256, (1, 2), "white"],
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name in BAD for v in BAD[name]])
def test_parameters_are_checked(tmp_path, name, value):
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=f"The '{name}' parameter of ImageFolder must be"):
        ImageFolder(tmp_path, size=8, **{name: value})


def test_it_survives_pickling(tmp_path):
    write_frames(tmp_path / "a.gif")
    images = ImageFolder(tmp_path, size=8, frames="all", dtype="float32", color=True)
    again = pickle.loads(pickle.dumps(images[1:]))
    assert (again.shape, again.dtype) == ((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(again, np.asarray(images)[1:])


def test_home_is_understood(tmp_path, monkeypatch):
    save(tmp_path / "pictures" / "a.png")
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    assert len(ImageFolder("~/pictures", size=8)) == 1
