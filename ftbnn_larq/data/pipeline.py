"""From a split to batches. Random choices depend only on seed, epoch and position, so a resumed run repeats them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

from ftbnn_larq import documents
from ftbnn_larq.data.augmentation import augment, fit, mix
from ftbnn_larq.data.formats import Data, DataConfig, Split
from ftbnn_larq.errors import DataError
from ftbnn_larq.files import user_cache, write_json
from ftbnn_larq.recipe import Recipe

# Of what is remembered in the user's cache.
FORMAT = 1
# Number of pictures for measuring mean and standard deviation.
STATISTICS_SAMPLE = 1_000


def with_statistics(data: Data) -> Data:
    """The data set with mean and standard deviation per channel, of the first 1,000 pictures of the training split."""
    if data.fingerprint is None:
        return _with(data, *_statistics(data))
    # Decoding large photographs takes longer than all else that a training begins with.
    told = f"{FORMAT} {data.fingerprint} {data.config.input_shape}"
    path = user_cache() / "statistics" / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"
    try:
        return _with(data, *documents.read(path, tuple[list[float], list[float]], DataError))
    except (OSError, DataError, ValueError):
        found = _statistics(data)
    with contextlib.suppress(OSError):
        write_json(path, found)
    return _with(data, *found)


def _with(data: Data, mean, std) -> Data:
    if not len(mean) == len(std) == data.config.input_shape[2]:
        raise ValueError(f"{mean} and {std} are not of {data.config.input_shape[2]} channels")
    mean, std = (tuple(map(float, values)) for values in (mean, std))
    return dataclasses.replace(data, config=dataclasses.replace(data.config, mean=mean, std=std))


def _statistics(data: Data) -> tuple[list[float], list[float]]:
    levels = np.arange(256) / 255
    counts = np.zeros((data.config.input_shape[2], 256), np.int64)
    for picture, _ in pictures(data.train, data.config).take(STATISTICS_SAMPLE).as_numpy_iterator():
        for channel, counted in enumerate(counts):
            counted += np.bincount(picture[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1))
    return [round(float(value), 6) for value in mean], [round(float(max(value, 1e-3)), 6) for value in std]


def normalise(pictures, config: DataConfig):
    """Normalize uint8 pictures (..., h, w, c) to the network's float32 input: (pixel / 255 - mean) / std."""
    *_, width, channels = pictures.shape
    pixels = tf.cast(pictures, tf.float32)
    if not any(config.mean) and all(std == 1 / 255 for std in config.std):
        # Whole numbers, which the divisions would round.
        return pixels
    # Row by row: a subtraction of three numbers at a time takes as long as decoding does.
    mean, std = (tf.tile(tf.constant(values, tf.float32), [width]) for values in (config.mean, config.std))
    shape = tf.shape(pictures)
    rows = tf.reshape(pixels, tf.concat([shape[:-2], [width * channels]], 0))
    return tf.ensure_shape(tf.reshape((rows / 255.0 - mean) / std, shape), pictures.shape)


def pictures(split: Split, config: DataConfig) -> tf.data.Dataset:
    """All (uint8 picture (h, w, c), int64 label) of a split, once and in order, at the network's size."""

    def read(*row):
        picture, label = split.read(*row)
        return fit(picture, config), label

    return split.rows.map(read, tf.data.AUTOTUNE)


def spread(split: Split, at_most: int) -> Split:
    """At most `at_most` pictures of a split, spread evenly over it, because it may be sorted by class."""
    every, some = split.examples, min(at_most, split.examples)
    if some == every:
        return split
    rows = split.rows.enumerate().filter(lambda index, _: index * some % every < some)
    rows = rows.map(lambda _, row: row)
    return dataclasses.replace(split, examples=some, rows=rows)


def batches(split: Split, config: DataConfig, batch_size: int) -> tf.data.Dataset:
    """Batches for evaluation, once and in order: float32 pictures (n, h, w, c), int64 labels (n,)."""
    dataset = pictures(split, config).batch(batch_size)
    return dataset.map(lambda batch, labels: (normalise(batch, config), labels)).prefetch(2)


def sample(split: Split, config: DataConfig, at_most: int) -> np.ndarray:
    """At most `at_most` normalized float32 pictures (n, h, w, c), spread evenly over the split."""
    return np.concatenate([batch for batch, _ in batches(spread(split, at_most), config, 64).as_numpy_iterator()])


def training_batches(
    split: Split,
    config: DataConfig,
    how: Recipe,
    *,
    seed: int,
    first_epoch: int = 0,
    workers: int = 1,
    worker: int = 0,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Shuffled and augmented batches of all epochs of a recipe, from `first_epoch` on.

    Every epoch has `split.examples // batch_size` batches of equal size. The pictures that are left over differ from
    epoch to epoch.

    Arguments:
        split: the training split.
        config: its preprocessing and data augmentation.
        how: the recipe.
        seed: of order and augmentation.
        first_epoch: the first epoch, counted from 0.
        workers: number of workers; each reads its share of every batch.
        worker: number of this worker, from 0.
        replicas: number of replicas of this worker; its share is given in this many parts.

    Returns:
        A data set of float32 pictures (n, h, w, c), float32 targets (n, classes) and, with class weights, float32
            weights (n,).
    """
    buffer = min(split.examples, split.shuffle_buffer)
    steps = split.examples // how.batch_size
    classes = len(config.labels)
    weights = class_weights(split, classes) if how.class_weights == "balanced" else None

    def one_epoch(epoch):
        # TensorFlow cannot compare a seed that is a tensor with a global seed of 0, such as by tf.random.set_seed(0).
        tf.compat.v1.get_default_graph().seed = None
        rows = split.rows.shuffle(buffer, seed=epoch * 1_000_003 + seed, reshuffle_each_iteration=False)

        def prepare(index, row):
            picture, label = split.read(*row)
            seeds = tf.stack([index + epoch * split.examples, seed])
            # One by one, for a picture stays in the processor's cache, where a batch does not.
            return normalise(augment(picture, config, seeds, how.random_augment), config), label

        rows = rows.enumerate().take(steps * how.batch_size).shard(workers, worker)
        dataset = rows.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        dataset = dataset.batch(how.batch_size // workers // replicas, drop_remainder=True)
        return tf.data.Dataset.zip((tf.data.Dataset.range(epoch * steps * replicas, tf.int64.max), dataset))

    def finish(index, batch):
        pictures, labels = batch
        targets = tf.one_hot(labels, classes)
        seeds = tf.stack([index * workers + worker, seed])
        mixed, shares = mix(pictures, targets, mixup=how.mixup, cutmix=how.cutmix, seed=seeds)
        if weights is None:
            return mixed, shares
        # The weight of a mixed picture is the sum of its classes' weights, each times the class's share.
        weighted = shares * weights
        whole = tf.reduce_sum(weighted, axis=1)
        return mixed, weighted / whole[:, None], whole

    dataset = tf.data.Dataset.range(first_epoch, how.epochs).flat_map(one_epoch)
    return dataset.map(finish).prefetch(2)


def class_weights(split: Split, classes: int) -> tf.Tensor:
    """Class weights, float32 (classes,), as scikit-learn's "balanced": pictures / (classes * pictures of the class).

    A class without pictures has weight 0.
    """
    labels = split.rows.map(lambda *row: split.read(*row)[1], tf.data.AUTOTUNE)
    counts = np.bincount(list(labels.as_numpy_iterator()), minlength=classes)
    return tf.constant(np.where(counts, counts.sum() / (classes * np.maximum(counts, 1)), 0), tf.float32)
