"""From a split to batches. Random choices depend on (seed, epoch, position) alone: a resumed run repeats them."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from ftbnn_larq.data.formats import Data, DataConfig, Split

# Rows that wait to be shuffled: all of CIFAR; of photographs, about a gigabyte of encoded ones.
SHUFFLE_BUFFER = 50_000
# Pictures that mean and deviation are measured on.
STATISTICS_SAMPLE = 1_000


def with_statistics(data: Data) -> Data:
    """Measure mean and standard deviation per channel on (the first 1,000 pictures of) the training split."""
    sample = pictures(data.train, data.config).take(STATISTICS_SAMPLE).map(lambda picture, _: picture)
    pixels = np.stack(list(sample.as_numpy_iterator())).astype(np.float64) / 255
    mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    config = dataclasses.replace(
        data.config,
        mean=tuple(round(float(value), 6) for value in mean),
        std=tuple(round(float(max(value, 1e-3)), 6) for value in std),
    )
    return dataclasses.replace(data, config=config)


def fit(picture, config: DataConfig):
    """A uint8 picture (h, w, c) at the network's size: resized by its shorter side, then cropped in the middle."""
    height, width, channels = config.input_shape
    if picture.shape[:2] == (height, width):
        return picture
    size = tf.cast(tf.shape(picture)[:2], tf.float32)
    scale = tf.reduce_max(tf.constant([height, width], tf.float32) / size)
    resized = tf.cast(tf.math.ceil(size * scale - 1e-3), tf.int32)
    picture = tf.image.resize(picture, resized, antialias=True)
    picture = tf.image.resize_with_crop_or_pad(picture, height, width)
    picture = tf.cast(tf.clip_by_value(tf.round(picture), 0, 255), tf.uint8)
    return tf.ensure_shape(picture, (height, width, channels))


def normalise(pictures, config: DataConfig):
    """uint8 pictures (..., h, w, c) to the float32 values the network sees: (pixel / 255 - mean) / std."""
    return (tf.cast(pictures, tf.float32) / 255.0 - tf.constant(config.mean)) / tf.constant(config.std)


def jitter(picture, seed):
    """A uint8 picture (h, w, c) shifted by up to half a pixel and zoomed by up to a tenth, either way; black around."""
    height, width = picture.shape[:2]
    zoom, down, right = tf.unstack(tf.random.stateless_uniform((3,), seed, -1.0, 1.0))
    reach = 0.5 + 0.05 * zoom
    middle = tf.stack([0.5 + 0.5 * down / (height - 1), 0.5 + 0.5 * right / (width - 1)])
    box = tf.concat([middle - reach, middle + reach], 0)
    moved = tf.image.crop_and_resize(tf.cast(picture, tf.float32)[None], box[None], [0], (height, width))[0]
    return tf.cast(tf.round(moved), tf.uint8)


def augment(picture, config: DataConfig, seed):
    """A training picture (h, w, c), uint8, changed at random as `config` says; `seed` is two integers."""
    height, width, channels = config.input_shape
    crop_seed, flip_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    if config.crop == "resized":
        area = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(picture), area, crop_seed, area_range=(0.08, 1.0), min_object_covered=0.0
        )
        picture = tf.image.resize(tf.slice(picture, begin, size), (height, width), antialias=True)
        picture = tf.cast(tf.clip_by_value(tf.round(picture), 0, 255), tf.uint8)
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
    return tf.ensure_shape(picture, (height, width, channels))


def pictures(split: Split, config: DataConfig) -> tf.data.Dataset:
    """(uint8 picture (h, w, c) at the network's size, int64 class), once, in order."""

    def read(*row):
        picture, label = split.read(*row)
        return fit(picture, config), label

    return split.rows.map(read, tf.data.AUTOTUNE)


def batches(split: Split, config: DataConfig, batch_size: int) -> tf.data.Dataset:
    """(float32 pictures (n, h, w, c), int64 classes (n,)) once, in order, for evaluation."""
    dataset = pictures(split, config).batch(batch_size)
    return dataset.map(lambda batch, labels: (normalise(batch, config), labels)).prefetch(2)


def training_batches(
    split: Split, config: DataConfig, *, batch_size: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Shuffled and augmented batches of the epochs from `first_epoch` (counted from 0) to `epochs`.

    Every epoch gives `split.examples // batch_size` batches of equal size; which pictures are left over differs from
    epoch to epoch.
    """
    buffer = min(split.examples, SHUFFLE_BUFFER)
    steps = split.examples // batch_size

    def one_epoch(epoch):
        rows = split.rows.shuffle(buffer, seed=epoch * 1_000_003 + seed, reshuffle_each_iteration=False)

        def prepare(index, row):
            picture, label = split.read(*row)
            return augment(picture, config, tf.stack([index + epoch * split.examples, seed])), label

        dataset = rows.enumerate().map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.batch(batch_size, drop_remainder=True).take(steps)

    dataset = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    dataset = dataset.map(lambda batch, labels: (normalise(batch, config), labels))
    return dataset.prefetch(2)
