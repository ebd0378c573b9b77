"""How fast photographs are read for training, beside a plain TensorFlow pipeline; for benchmarks.training."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ftbnn_larq import data as datasets
from ftbnn_larq.recipe import Recipe

# The photographs: number, (width, height) in turn, and JPEG quality. Their size is that of ImageNet's, mostly.
COUNT = 1_024
SIZES = ((500, 375), (375, 500), (640, 480))
QUALITY = 90
SIDE = 224
BATCH = 64


def photographs(root: Path) -> Path:
    """Write JPEG files of smooth noise below `root`, in two class folders."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(COUNT):
        width, height = SIZES[number % len(SIZES)]
        noise = random.integers(0, 256, (height // 12, width // 12, 3), np.uint8)
        path = root / f"class{number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
    return root


def as_tfds(pictures: Path, data_dir: Path) -> str:
    """The same files as TFDS prepares a data set, under a name that it knows. Returns the name."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    name = "tf_flowers"
    builder = tfds.builder(name, data_dir=data_dir)
    place = data_dir / name / str(builder.version)
    place.mkdir(parents=True)
    files, size = sorted(pictures.rglob("*.jpg")), 0
    features = builder.info.features
    with tf.io.TFRecordWriter(str(place / f"{name}-train.tfrecord-00000-of-00001")) as records:
        for number, file in enumerate(files):
            example = {"image": io.BytesIO(file.read_bytes()), "label": number % 5}
            record = features.serialize_example(features.encode_example(example))
            records.write(record)
            size += len(record)
    template = tfds.core.ShardedFileTemplate(
        data_dir=place, dataset_name=name, split="train", filetype_suffix="tfrecord"
    )
    split = tfds.core.SplitInfo(name="train", shard_lengths=[len(files)], num_bytes=size, filename_template=template)
    tfds.folder_dataset.write_metadata(data_dir=place, features=features, split_infos=[split])
    return name


def _plain(contents):
    """What TensorFlow's documentation does with an encoded photograph for training."""
    import tensorflow as tf

    area = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(contents), area, area_range=(0.08, 1.0), min_object_covered=0.0
    )
    picture = tf.image.decode_and_crop_jpeg(contents, tf.concat([begin[:2], size[:2]], 0), channels=3)
    picture = tf.image.random_flip_left_right(tf.image.resize(picture, (SIDE, SIDE)))
    return (picture / 255.0 - 0.5) / 0.25


def _plain_batches(encoded):
    import tensorflow as tf

    return encoded.repeat().map(_plain, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True).prefetch(2)


def _plain_of_folder(pictures: Path):
    import tensorflow as tf

    files = [str(file) for file in pictures.rglob("*.jpg")]
    return _plain_batches(tf.data.Dataset.from_tensor_slices(files).shuffle(len(files)).map(tf.io.read_file))


def _plain_of_tfds(name: str, data_dir: Path):
    import tensorflow_datasets as tfds

    skip = {"image": tfds.decode.SkipDecoding()}
    rows = tfds.load(name, split="train[:70%]", data_dir=data_dir, decoders=skip, shuffle_files=False)
    return _plain_batches(rows.map(lambda row: row["image"]).shuffle(COUNT))


def _ours(name: str, data_dir: Path | None = None):
    from ftbnn_larq.data import pipeline

    loaded = datasets.load(name, data_dir=data_dir and str(data_dir), input_size=SIDE)
    how = Recipe(batch_size=BATCH, epochs=10_000)
    return pipeline.training_batches(loaded.train, loaded.config, how, seed=0)


def in_turn(contenders: dict[str, Callable], rounds: int, batches: int) -> dict[str, float]:
    """Pictures per second of each, the best of `rounds` rounds of so many batches. They are read in turn."""
    running: dict[str, Iterator] = {name: iter(make()) for name, make in contenders.items()}
    best = dict.fromkeys(running, 0.0)
    for round_ in range(rounds + 1):
        for name, iterator in running.items():
            begin = time.perf_counter()
            for _ in range(batches):
                next(iterator)
            # The first round fills buffers and finds the number of threads.
            if round_:
                best[name] = max(best[name], batches * BATCH / (time.perf_counter() - begin))
    return best


def measure(folder: Path, rounds: int = 5, batches: int = 20) -> dict:
    """Pictures per second from a folder and from TFDS, ours and plain, and the ratios of ours to plain."""
    pictures = photographs(folder / "pictures")
    name = as_tfds(pictures, folder / "tfds")
    found = {}
    for kind, ours, plain in (
        ("folder", lambda: _ours(f"folder:{pictures}"), lambda: _plain_of_folder(pictures)),
        ("tfds", lambda: _ours(name, folder / "tfds"), lambda: _plain_of_tfds(name, folder / "tfds")),
    ):
        speeds = in_turn({"ours": ours, "plain": plain}, rounds, batches)
        found[kind] = {**speeds, "ratio": round(speeds["ours"] / speeds["plain"], 2)}
    return {"pictures": COUNT, "sizes": SIZES, "quality": QUALITY, "side": SIDE, "batch_size": BATCH, **found}
