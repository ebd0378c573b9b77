"""Data augmentation. Every random change depends only on its seed, so a resumed run repeats it."""

from __future__ import annotations

import functools
import math

import tensorflow as tf

from ftbnn_larq.data.decoding import part, whole
from ftbnn_larq.data.formats import DataConfig

# Number of changes that `random_augment` makes to each picture.
CHANGES_EACH = 2


def fit(picture, config: DataConfig):
    """Bring a picture to the network's size: scale it to cover that size, then crop the center.

    Channels become the network's, too.

    Arguments:
        picture: uint8 (h, w, c) or `Encoded`.
        config: gives the size and the channels.
    """
    height, width, channels = config.input_shape
    picture = with_channels(whole(picture), channels)
    if picture.shape[:2] == (height, width):
        return picture
    fits = tf.reduce_all(tf.equal(tf.shape(picture)[:2], (height, width)))
    # Small pictures are often of the network's size, and resizing them would take longer than decoding.
    return tf.ensure_shape(
        tf.cond(fits, lambda: _as_pixels(picture), lambda: _covering(picture, height, width)), (height, width, channels)
    )


def _covering(picture, height: int, width: int):
    """A picture (h, w, c) scaled to cover this size, and the center of that: uint8."""
    target, size = tf.constant([height, width], tf.float32), tf.shape(picture)[:2]
    scale = tf.reduce_max(target / tf.cast(size, tf.float32))
    # Of a very thin picture no more than 100 times what is seen: all of it, scaled, would fill the memory.
    near = tf.minimum(size, tf.cast(tf.math.ceil(100 * target / scale), tf.int32))
    picture = tf.slice(picture, tf.concat([(size - near) // 2, [0]], 0), tf.concat([near, [-1]], 0))
    size = tf.cast(near, tf.float32)
    resized = tf.cast(tf.math.ceil(size * scale - 1e-3), tf.int32)
    picture = tf.image.resize(picture, resized, antialias=True)
    return _as_pixels(tf.image.resize_with_crop_or_pad(picture, height, width))


def with_channels(picture, channels: int):
    """A picture (h, w, c) with 1 channel, its luminance (ITU-R BT.601), or with 3; unchanged if it has them."""
    if picture.shape[-1] == channels:
        return picture
    if channels == 1:
        luminance = tf.reduce_sum(tf.cast(picture[..., :3], tf.float32) * (0.299, 0.587, 0.114), -1, keepdims=True)
        return tf.cast(tf.round(luminance), picture.dtype)
    return tf.image.grayscale_to_rgb(picture) if picture.shape[-1] == 1 else picture[..., :channels]


def jitter(picture, seed):
    """Shift a uint8 picture (h, w, c) by at most half a pixel and zoom it by at most 10 %; the outside is black."""
    height, width = picture.shape[:2]
    zoom, down, right = tf.unstack(tf.random.stateless_uniform((3,), seed, -1.0, 1.0))
    # crop_and_resize makes all outside of the picture black, without interpolation. A border makes the change gradual.
    picture = tf.pad(tf.cast(picture, tf.float32), [[1, 1], [1, 1], [0, 0]])
    last = tf.constant([height + 1.0, width + 1.0])
    reach = (0.5 + 0.05 * zoom) * (last - 2) / last
    middle = 0.5 + 0.5 * tf.stack([down, right]) / last
    box = tf.concat([middle - reach, middle + reach], 0)
    return _as_pixels(tf.image.crop_and_resize(picture[None], box[None], [0], (height, width))[0])


def augment(picture, config: DataConfig, seed, strength: float = 0.0):
    """Crop and flip a training picture at random as `config` says, then apply `random_augment`.

    Arguments:
        picture: uint8 (h, w, c) or `Encoded`.
        config: gives size, crop and flip.
        seed: two integers.
        strength: of `random_augment`, 0 to 1; 0 is off.

    Returns:
        The picture at the network's size, values 0 to 255: uint8, or float32 where it was resized.
    """
    height, width, channels = config.input_shape
    crop_seed, flip_seed, change_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    if config.crop == "resized":
        picture = part(picture, functools.partial(_random_part, seed=crop_seed), (height, width))
        picture = with_channels(tf.ensure_shape(picture, (height, width, picture.shape[-1])), channels)
    else:
        picture = fit(picture, config)
    if config.crop == "pad":
        down, right = max(1, height // 8), max(1, width // 8)
        picture = tf.pad(picture, [[down, down], [right, right], [0, 0]])
        picture = tf.image.stateless_random_crop(picture, (height, width, channels), crop_seed)
    elif config.crop == "jitter":
        picture = jitter(picture, crop_seed)
    if config.flip:
        picture = tf.image.stateless_random_flip_left_right(picture, flip_seed)
    # The crops above lose the static number of channels, which the changes of color need.
    picture = tf.ensure_shape(picture, (height, width, channels))
    return random_augment(_as_pixels(picture), strength, change_seed) if strength else picture


def _random_part(shape, seed):
    """Begin (y, x) and size (h, w) of a part with 8 to 100 % of the area, and 3:4 to 4:3 in shape."""
    area = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape, area, seed, area_range=(0.08, 1.0), min_object_covered=0.0
    )
    return begin[:2], size[:2]


def random_augment(picture, strength: float, seed):
    """Apply two changes to a uint8 picture (h, w, c), drawn from the twelve of RandAugment (arXiv 1909.13719).

    The changes are: rotation (at most 30 degrees), shear (0.3) and shift (a third of the side) along both axes,
    brightness, contrast, color, solarize, posterize, full range, and none. The amount is drawn from -`strength` to
    `strength`, times these limits; `strength` is 0 to 1. Areas from outside the picture are black.
    """
    for change_seed in tf.unstack(tf.random.experimental.stateless_split(seed, CHANGES_EACH)):
        amount = strength * tf.random.stateless_uniform((), change_seed, -1.0, 1.0)
        which = tf.random.stateless_uniform((), change_seed + 1, 0, len(_CHANGES), tf.int32)
        picture = tf.switch_case(which, [functools.partial(change, picture, amount) for change in _CHANGES])
    return picture


def _as_pixels(values):
    if values.dtype == tf.uint8:
        return values
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)


def _moved(picture, matrix):
    """Apply an affine map of the coordinates, around the center; `matrix` is (a, b, right, c, d, down)."""
    height, width = picture.shape[:2]
    a, b, right, c, d, down = matrix
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    transform = [
        a,
        b,
        middle_x - a * middle_x - b * middle_y + right,
        c,
        d,
        middle_y - c * middle_x - d * middle_y + down,
        0.0,
        0.0,
    ]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(picture, tf.float32)[None],
        transforms=tf.stack([tf.cast(value, tf.float32) for value in transform])[None],
        output_shape=(height, width),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return _as_pixels(moved[0])


def _rotated(picture, amount):
    angle = amount * math.pi / 6
    return _moved(picture, (tf.cos(angle), -tf.sin(angle), 0, tf.sin(angle), tf.cos(angle), 0))


def _blended(picture, other, amount):
    """(1 + amount) * picture - amount * other."""
    picture = tf.cast(picture, tf.float32)
    return _as_pixels(other + (1 + amount) * (picture - other))


def _grey(picture):
    if picture.shape[-1] != 3:
        return tf.cast(picture, tf.float32)
    return tf.image.rgb_to_grayscale(tf.cast(picture, tf.float32))


def _solarized(picture, amount):
    limit = 256 * (1 - tf.abs(amount))
    return tf.where(tf.cast(picture, tf.float32) < limit, picture, 255 - picture)


def _posterized(picture, amount):
    step = tf.bitwise.left_shift(tf.constant(1, tf.uint8), tf.cast(tf.round(4 * tf.abs(amount)), tf.uint8))
    return picture - picture % step


def _full_range(picture, amount):
    values = tf.cast(picture, tf.float32)
    low = tf.reduce_min(values, [0, 1], keepdims=True)
    high = tf.reduce_max(values, [0, 1], keepdims=True)
    return _as_pixels(tf.where(high > low, (values - low) * 255 / tf.maximum(high - low, 1), values))


_CHANGES = (
    lambda picture, amount: picture,
    _rotated,
    lambda picture, amount: _moved(picture, (1, 0.3 * amount, 0, 0, 1, 0)),
    lambda picture, amount: _moved(picture, (1, 0, 0, 0.3 * amount, 1, 0)),
    lambda picture, amount: _moved(picture, (1, 0, amount * picture.shape[1] / 3, 0, 1, 0)),
    lambda picture, amount: _moved(picture, (1, 0, 0, 0, 1, amount * picture.shape[0] / 3)),
    lambda picture, amount: _blended(picture, 0.0, 0.9 * amount),
    lambda picture, amount: _blended(picture, tf.reduce_mean(_grey(picture)), 0.9 * amount),
    lambda picture, amount: _blended(picture, _grey(picture), 0.9 * amount),
    _solarized,
    _posterized,
    _full_range,
)


def mix(pictures, targets, *, mixup: float, cutmix: float, seed):
    """Mix each picture of a batch with a partner, and their targets in the same shares.

    The partner of the first picture is the last one, and so on. With both mixup and cutmix on, each batch gets one of
    them at random.

    Arguments:
        pictures: float32 (n, h, w, c).
        targets: float32 (n, classes).
        mixup: blend the pictures; the partner's share is drawn from Beta(mixup, mixup) (arXiv 1710.09412); 0 is off.
        cutmix: paste a box of the partner; the box's share of the area is drawn from Beta(cutmix, cutmix)
            (arXiv 1905.04899); 0 is off.
        seed: two integers.

    Returns:
        Pictures and targets, of the same shapes.
    """
    if not (mixup or cutmix):
        return pictures, targets
    gamma_seed, other_seed, box_seed, coin_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 4))

    def share(alpha):
        one = tf.random.stateless_gamma((), gamma_seed, alpha)
        other = tf.random.stateless_gamma((), other_seed, alpha)
        return one / tf.maximum(one + other, 1e-12)

    def blended():
        part = share(mixup)
        return (1 - part) * pictures + part * pictures[::-1], part

    def pasted():
        height, width = tf.shape(pictures)[1], tf.shape(pictures)[2]
        size = tf.sqrt(share(cutmix))
        middle = tf.random.stateless_uniform((2,), box_seed)
        top, left = tf.unstack(tf.clip_by_value(middle - size / 2, 0.0, 1.0))
        bottom, right = tf.unstack(tf.clip_by_value(middle + size / 2, 0.0, 1.0))

        def inside(length, first, last):
            place = (tf.cast(tf.range(length), tf.float32) + 0.5) / tf.cast(length, tf.float32)
            return (place >= first) & (place < last)

        box = inside(height, top, bottom)[:, None] & inside(width, left, right)[None]
        return tf.where(box[None, ..., None], pictures[::-1], pictures), tf.reduce_mean(tf.cast(box, tf.float32))

    if mixup and cutmix:
        mixed, part = tf.cond(tf.random.stateless_uniform((), coin_seed) < 0.5, blended, pasted)
    else:
        mixed, part = blended() if mixup else pasted()
    return mixed, (1 - part) * targets + part * targets[::-1]
