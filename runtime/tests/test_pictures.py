"""Pictures are prepared as `ftbnn-larq predict` prepares them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import colors

from ftbnn_runtime import Error, pictures

SIZES = [(224, 224), (225, 224), (448, 448), (300, 400), (400, 300), (37, 51), (1, 1), (7, 300), (1000, 20), (613, 877)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(224, 224, 3), (32, 32, 3), (28, 40, 1)])
def test_sizes_are_fitted_as_in_training(size, shape):
    tf = pytest.importorskip("tensorflow")
    augmentation = pytest.importorskip("ftbnn_larq.data.augmentation")
    from ftbnn_larq.data.formats import DataConfig

    config = DataConfig("digits", shape, ("a", "b"))
    for picture in (colors(*size), colors(*size)[..., :1]):
        expected = augmentation.fit(tf.constant(picture), config).numpy().astype(int)
        fitted = pictures.fit(picture, shape)
        assert fitted.dtype == np.uint8 and fitted.shape == shape
        differences = np.abs(fitted - expected)
        assert differences.max() <= 1
        # Halves that two orders of summing round to two sides.
        assert (differences > 0).mean() < 0.001


def test_pixels_are_normalised_as_in_training():
    pytest.importorskip("tensorflow")
    pipeline = pytest.importorskip("ftbnn_larq.data.pipeline")
    from ftbnn_larq.data.formats import DataConfig

    picture = colors(8, 9)
    for mean, std in (((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), ((0.0,) * 3, (1 / 255,) * 3), ((), ())):
        expected = pipeline.normalise(picture, DataConfig("digits", picture.shape, ("a", "b"), mean, std))
        np.testing.assert_array_equal(pictures.normalise(picture, mean, std), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_read_upright(tmp_path, orientation):
    from PIL import Image, ImageOps

    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colors(5, 9)).save(path, exif=exif)
    with Image.open(path) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
        np.testing.assert_array_equal(pictures.read(picture), upright)
    np.testing.assert_array_equal(pictures.read(path), upright)
    np.testing.assert_array_equal(pictures.read(str(path)), upright)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16 pgm"])
def test_files_of_all_modes_are_read_as_predict_reads_them(tmp_path, mode):
    from PIL import Image

    theirs = pytest.importorskip("ftbnn_larq.data.pictures")
    path = tmp_path / f"picture.{'pgm' if 'pgm' in mode else 'png'}"
    deep = Image.fromarray(colors(6, 7)[..., 0].astype(np.uint16) * 257)
    picture = deep if "I;16" in mode else Image.fromarray(colors(6, 7)).convert(mode)
    picture.save(path)
    np.testing.assert_array_equal(pictures.read(path), theirs.read_picture(path))


@pytest.mark.filterwarnings("error")
def test_palettes_with_transparency_are_read_without_a_warning(tmp_path):
    from PIL import Image

    palette = Image.fromarray(colors(6, 7)).convert("P")
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "clear.png", transparency=bytes(range(256)))
    expected = pictures.read(tmp_path / "plain.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "clear.png"), expected)
    theirs = pytest.importorskip("ftbnn_larq.data.pictures")
    np.testing.assert_array_equal(theirs.read_picture(tmp_path / "clear.png"), expected)


def test_grey_of_16_bits_is_read_by_older_versions_of_pillow():
    """They read the PNG file as pixels of 32 bits."""
    from PIL import Image

    deep = Image.fromarray(colors(6, 7)[..., 0].astype(np.int32) * 257)
    deep.format = "PNG"
    assert deep.mode == "I"
    np.testing.assert_array_equal(pictures.read(deep), np.repeat(colors(6, 7)[..., :1], 3, axis=2))


def test_arrays_are_taken_as_they_are():
    picture = colors(4, 5)
    assert pictures.read(picture) is picture
    assert pictures.read(picture[..., 0]).shape == (4, 5, 1)
    assert (pictures.fit(picture[..., :1], (4, 5, 3)) == picture[..., :1]).all()
    alpha = np.concatenate([picture, picture[..., :1]], axis=2)
    np.testing.assert_array_equal(pictures.fit(alpha, (4, 5, 3)), picture)


@pytest.mark.parametrize(
    "picture, told",
    [
        (np.zeros((4, 4, 3)), "an array of float64: give uint8"),
        (np.zeros((4, 4, 2), np.uint8), r"of shape \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"of shape \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"of shape \(0, 4, 3\)"),
        (None, "an array of object"),
        ("/no/photo.jpg", "/no/photo.jpg: cannot be read as a picture \\(No such file"),
    ],
)
def test_what_is_no_picture_is_refused(picture, told):
    with pytest.raises(Error, match=told):
        pictures.read(picture)


def test_damaged_files_are_refused(tmp_path):
    from PIL import Image

    names = ("whole.jpg", "cut.jpg", "text.jpg", "wide.tif", "large.tga")
    whole, cut, text, wide, large = (tmp_path / name for name in names)
    Image.fromarray(colors(64, 64)).save(whole)
    cut.write_bytes(whole.read_bytes()[:-600])
    text.write_text("no picture")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(wide)
    with open(large, "wb") as file:
        # No byte of it is written.
        file.truncate(3 * 10**9)
    told_of = {
        cut: "damaged picture",
        text: "not a picture file",
        wide: "32 bits",
        large: "large.tga: 3.0 GB: pictures have at most 1 GB",
    }
    for path, told in told_of.items():
        with pytest.raises(Error, match=told):
            pictures.read(path)
