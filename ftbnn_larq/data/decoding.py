"""Encoded pictures in TensorFlow: turned upright, and cropped while a JPEG is decoded.

No Python runs when a picture is read: `tf.data` calls these functions once, to build its graph.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from ftbnn_larq.data.formats import Split

# Most memory for decoded pictures of a data set.
MEMORY = 1 << 30
# At which a JPEG is decoded: one over these.
_RATIOS = (1, 2, 4, 8)
# Pillow decodes a JPEG this way, too, so both give the same pixels.
_ACCURATE = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}


class Encoded(NamedTuple):
    """A picture file in memory: its bytes (a string tensor), and EXIF's orientation, 1 to 8, 1 for upright."""

    contents: Any
    orientation: Any = 1


def is_sound(contents: bytes) -> bool:
    """Whether TensorFlow decodes a file to its end. A JPEG is tried at an eighth of its size, which is faster."""
    try:
        if tf.io.is_jpeg(contents):
            tf.io.decode_jpeg(contents, ratio=8)
        else:
            _decoded(contents)
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError):
        return False
    return True


def _decoded(contents):
    picture = tf.io.decode_image(contents, channels=3, expand_animations=False)
    return tf.ensure_shape(picture, (None, None, 3))


def whole(picture):
    """An `Encoded` picture as uint8 (h, w, 3), upright; a picture that is decoded already is returned as it is."""
    if not isinstance(picture, Encoded):
        return picture

    def jpeg():
        return tf.io.decode_jpeg(picture.contents, **_ACCURATE)

    decoded = tf.cond(tf.io.is_jpeg(picture.contents), jpeg, lambda: _decoded(picture.contents))
    return _upright(decoded, picture.orientation)


def in_memory(splits: Sequence[Split], shape: tuple[int, int, int]) -> list[Split]:
    """The splits, decoded when they are first read and held in memory, if all together take no more than 1 GiB.

    Arguments:
        splits: all of a data set: rows of one are rows of the others.
        shape: (h, w, c) of each picture.
    """
    if sum(split.examples for split in splits) * math.prod(shape) > MEMORY:
        return list(splits)

    def held(split: Split) -> Split:
        def read(*row):
            picture, label = split.read(*row)
            return tf.ensure_shape(whole(picture), shape), label

        rows = split.rows.map(read, num_parallel_calls=tf.data.AUTOTUNE).cache()
        return Split(split.examples, rows, shuffle_buffer=split.examples, names=split.names)

    return [held(split) for split in splits]


def part(picture, choose: Callable, size: tuple[int, int]):
    """A part of a picture, resized: float32 (h, w, c), values 0 to 255.

    Of a JPEG no more than this part is decoded, at a half, a quarter or an eighth of its size as long as that is no
    smaller than `size`. So little is left to shrink that it is not smoothed, which would take longer than decoding.

    Arguments:
        picture: uint8 (h, w, c) or `Encoded`.
        choose: function from the picture's shape (h, w, c), int32, to the part's begin (y, x) and size (h, w).
        size: height and width of the result.
    """
    if not isinstance(picture, Encoded):
        return _resized_part(picture, choose, size)

    def jpeg():
        stored = tf.io.extract_jpeg_shape(picture.contents)[:2]
        upright = tf.where(_lies(picture.orientation), stored[::-1], stored)
        begin, height_width = choose(tf.concat([upright, [3]], 0))
        window = _stored_window(begin, height_width, upright, picture.orientation)
        room = tf.reduce_min(height_width // size)
        ways = [functools.partial(_decoded_part, picture.contents, window, ratio) for ratio in _RATIOS]
        decoded = tf.switch_case(tf.reduce_sum(tf.cast(room >= _RATIOS[1:], tf.int32)), ways)
        return tf.image.resize(_upright(decoded, picture.orientation), size)

    def other():
        return _resized_part(_upright(_decoded(picture.contents), picture.orientation), choose, size)

    return tf.cond(tf.io.is_jpeg(picture.contents), jpeg, other)


def _decoded_part(contents, window, ratio: int):
    return tf.io.decode_and_crop_jpeg(contents, window // ratio, ratio=ratio, channels=3)


def _resized_part(picture, choose, size):
    begin, height_width = choose(tf.shape(picture))
    cut = tf.slice(picture, tf.concat([begin, [0]], 0), tf.concat([height_width, [-1]], 0))
    return tf.image.resize(tf.ensure_shape(cut, (None, None, picture.shape[-1])), size, antialias=True)


# An upright picture is the stored one, transposed if it lies, then mirrored left to right, then top to bottom.
def _lies(orientation):
    return tf.greater_equal(orientation, 5)


def _is_mirrored(orientation):
    return tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))


def _is_upside_down(orientation):
    return tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))


def _upright(picture, orientation):
    if isinstance(orientation, int) and orientation == 1:
        return picture

    def turned():
        upright = tf.cond(_lies(orientation), lambda: tf.transpose(picture, (1, 0, 2)), lambda: picture)
        upright = tf.cond(_is_mirrored(orientation), lambda: upright[:, ::-1], lambda: upright)
        return tf.cond(_is_upside_down(orientation), lambda: upright[::-1], lambda: upright)

    return tf.cond(tf.equal(orientation, 1), lambda: picture, turned)


def _stored_window(begin, size, upright, orientation):
    """Where a part of the upright picture is in the stored one: (y, x, h, w).

    Arguments:
        begin, size: of the part, (y, x) and (h, w).
        upright: height and width of the upright picture.
    """
    opposite = upright - begin - size
    y = tf.where(_is_upside_down(orientation), opposite[0], begin[0])
    x = tf.where(_is_mirrored(orientation), opposite[1], begin[1])
    return tf.where(_lies(orientation), tf.stack([x, y, size[1], size[0]]), tf.stack([y, x, size[0], size[1]]))
