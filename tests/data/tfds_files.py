"""TFDS files on disk, as TFDS prepares them, under the name of a data set that it knows."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


def write(folder: Path, name: str, version: str, features, splits: dict[str, list[dict]]) -> None:
    """Write the examples of each split below `folder`."""
    import tensorflow_datasets as tfds

    place = folder / name / version
    place.mkdir(parents=True)
    told = []
    for split, examples in splits.items():
        serialized = [features.serialize_example(features.encode_example(example)) for example in examples]
        with tf.io.TFRecordWriter(str(place / f"{name}-{split}.tfrecord-00000-of-00001")) as records:
            for each in serialized:
                records.write(each)
        template = tfds.core.ShardedFileTemplate(
            data_dir=place, dataset_name=name, split=split, filetype_suffix="tfrecord"
        )
        size = sum(map(len, serialized))
        told.append(
            tfds.core.SplitInfo(name=split, shard_lengths=[len(serialized)], num_bytes=size, filename_template=template)
        )
    tfds.folder_dataset.write_metadata(data_dir=place, features=features, split_infos=told)
