"""Decoding in TensorFlow: the pixels that Pillow gives, upright, and no more of a JPEG than is needed."""

from __future__ import annotations

import io
import resource

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ftbnn_larq import data
from ftbnn_larq.data import augmentation, decoding, pipeline
from ftbnn_larq.data.decoding import Encoded
from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.data.pictures import look, read_picture
from ftbnn_larq.recipe import Recipe
from tests.test_bad_input import picture_folder


def smooth(height, width):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.BICUBIC)


def saved(picture, path, orientation=1, **options):
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, **options)
    return Encoded(path.read_bytes(), tf.constant(orientation))


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "P"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pixels_are_pillows(tmp_path, mode, suffix):
    if suffix == ".jpg" and mode not in ("L", "RGB"):
        pytest.skip("a JPEG has no such pixels")
    path = tmp_path / f"picture{suffix}"
    picture = saved(smooth(30, 41).convert(mode), path)
    assert look(path).plain
    np.testing.assert_array_equal(decoding.whole(picture), read_picture(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright_whole_and_in_parts(tmp_path, orientation):
    path = tmp_path / "turned.jpg"
    picture = saved(smooth(120, 200), path, orientation, quality=95)
    upright = read_picture(path)
    assert upright.shape[:2] == ((120, 200) if orientation < 5 else (200, 120))
    np.testing.assert_array_equal(decoding.whole(picture), upright)
    seen = look(path)
    assert (seen.height, seen.width, seen.orientation) == (*upright.shape[:2], orientation)

    def choose(shape):
        np.testing.assert_array_equal(shape, upright.shape)
        return tf.constant([40, 30]), tf.constant([60, 70])

    part = decoding.part(picture, choose, (60, 70))
    # TensorFlow's faster decoding is off by a few of 255 levels.
    assert np.abs(part - upright[40:100, 30:100].astype(np.float32)).max() < 12


def test_a_part_of_a_large_photograph_is_decoded_small(tmp_path):
    """At a quarter of its size here; the colors are those of the whole."""
    picture = saved(smooth(960, 1280), tmp_path / "large.jpg", quality=95)
    exact = Image.fromarray(decoding.whole(picture).numpy()[100:900, 200:1240]).resize((130, 100), Image.BOX)

    def choose(shape):
        return tf.constant([100, 200]), tf.constant([800, 1040])

    assert np.abs(decoding.part(picture, choose, (100, 130)) - np.asarray(exact, np.float32)).mean() < 3
    # Below the wanted size nothing is shrunk while it is decoded.
    fine = decoding.part(picture, choose, (800, 1040))
    assert np.abs(fine - decoding.whole(picture).numpy()[100:900, 200:1240].astype(np.float32)).max() < 12


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_random_parts_are_repeatable_in_a_pipeline(form):
    file = io.BytesIO()
    smooth(90, 140).save(file, form)
    config = DataConfig("x", (32, 48, 3), ("a", "b"), crop="resized")

    def part(seed):
        return augmentation.augment(Encoded(file.getvalue()), config, tf.stack([seed, 1]))

    rows = tf.data.Dataset.range(20).map(part, num_parallel_calls=4)
    first, second = (np.stack(list(rows.as_numpy_iterator())) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (20, 32, 48, 3) and len({each.tobytes() for each in first}) > 15
    assert first.min() >= 0 and first.max() < 255.1


def test_a_very_thin_picture_is_scaled_in_little_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Grey in the middle, black far from it: scaled to cover the size it would be 128x1,280,000.
    picture = np.zeros((1, 10_000, 3), np.uint8)
    picture[:, 4_900:5_100] = 77
    fitted = augmentation.fit(tf.constant(picture), DataConfig("thin", (128, 128, 3), ("a", "b"), (0,) * 3, (1,) * 3))
    np.testing.assert_array_equal(fitted, np.full((128, 128, 3), 77))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


def test_a_file_that_ends_too_early_is_not_sound(tmp_path):
    for name in ("a.jpg", "a.png"):
        contents = saved(smooth(90, 140), tmp_path / name).contents
        assert decoding.is_sound(contents)
        assert not decoding.is_sound(contents[:-400])


@pytest.mark.parametrize("batches", ["training", "evaluation"])
def test_no_python_runs_while_pictures_are_read(tmp_path, batches):
    """A process whose `tf.data` calls Python while the interpreter goes down may never end."""
    loaded = data.load(picture_folder(tmp_path / "pets", cat=12, dog=12), input_size=128)
    if batches == "training":
        rows = pipeline.training_batches(loaded.train, loaded.config, Recipe(batch_size=4, epochs=2), seed=0)
    else:
        rows = pipeline.batches(loaded.test, loaded.config, 4)
    graph = tf.raw_ops.DatasetToGraphV2(input_dataset=rows._variant_tensor).numpy()
    assert b"ReadFile" in graph and b"PyFunc" not in graph
    assert len(next(iter(rows))[0]) == 4
