"""Image classification data sets of TensorFlow Datasets (TFDS), by their TFDS name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from pathlib import Path

from ftbnn_larq.data.formats import SMALL, Data, DataConfig, Split
from ftbnn_larq.errors import DataError, UnknownNameError, one_line

# Splits that stand in for TFDS's "test" where that has no labels.
TEST_SPLITS = {
    "imagenet2012": "validation",
    "i_naturalist2017": "validation",
    "i_naturalist2018": "validation",
    "i_naturalist2021": "val",
    "visual_domain_decathlon": "validation",
}
# Encoded photographs held in memory for shuffling, about 1 GB.
WAITING = 10_000
# Data sets that are not mirrored: a mirrored character or number is not the same one.
NOT_MIRRORED = ("mnist", "svhn", "binary_alpha_digits", "cmaterdb", "smallnorb", "omniglot", "quickdraw")


def _known_names() -> set[str]:
    """Names of TFDS's data sets, from the names of its source files: importing TFDS would take seconds."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None or spec.origin is None:
        return set()
    root = Path(spec.origin).parent
    names = {path.parent.name for path in root.glob("datasets/*/*_dataset_builder.py")}
    for path in root.glob("image_classification/**/*.py"):
        if not path.stem.endswith("_test"):
            for name in re.findall(r"^class (\w+)\(", path.read_text(encoding="utf-8"), re.M):
                if not name.endswith(("Config", "Info", "Builder")):
                    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
                    names.add(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", spaced).lower())
    return names


def _expanded(data_dir: str | None) -> str | None:
    # A shell leaves ~ as it is behind --data-dir=.
    return os.path.expanduser(data_dir) if data_dir else None


def check(name: str, data_dir: str | None) -> None:
    bare, data_dir = re.split(r"[/:]", name)[0], _expanded(data_dir)
    if bare in _known_names() or (data_dir and bare and (Path(data_dir) / bare).is_dir()):
        return
    raise UnknownNameError("data set", name, {*_known_names(), "digits"}, "(or folder:PATH for a folder of yours)")


def _prepared(name: str, data_dir: str | None, download: bool):
    try:
        import numpy as np
        import tensorflow_datasets as tfds

        folder = Path(data_dir or tfds.core.constants.DATA_DIR)
        if not download and not (folder / re.split(r"[/:]", name)[0]).is_dir():
            # TFDS would ask its server about it, for most of a minute where there is no network.
            raise _not_there(name, folder)
        builder = tfds.builder(name, data_dir=data_dir)
        features = dict(builder.info.features.items())
    except DataError:
        raise
    except Exception as error:  # TFDS passes on whatever its readers and parsers raise
        raise DataError(f"TFDS cannot open data set {name!r}: {one_line(error, 200)}") from error
    kinds = tfds.features
    if not (isinstance(features.get("image"), kinds.Image) and isinstance(features.get("label"), kinds.ClassLabel)):
        told = ", ".join(f"{each} ({type(feature).__name__})" for each, feature in sorted(features.items()))
        raise DataError(
            f"{name} is not an image classification data set: its features are {told}, but an 'image' and one 'label' "
            "are needed"
        )
    kind, channels = np.dtype(features["image"].np_dtype), features["image"].shape[-1]
    if kind != np.uint8 or channels not in (None, 1, 3, 4):
        raise DataError(
            f"{name} has pictures of {channels} channels of {kind}: grey and color of 8 bits can be read; take another "
            "data set"
        )
    if not builder.data_path.exists():
        if not download:
            raise _not_there(name, builder.data_path.parent)
        try:
            # TFDS reports progress on standard output, which is for results only.
            with contextlib.redirect_stdout(sys.stderr):
                builder.download_and_prepare()
        except Exception as error:  # network, disk, checksums, manual downloads: TFDS's message says which
            raise DataError(
                f"{name} is not in {builder.data_path.parent} and could not be downloaded: {one_line(error, 200)}"
            ) from error
    return builder


def _not_there(name: str, folder: Path) -> DataError:
    return DataError(f"{name} is not in {folder}: name the folder of your TFDS data sets with --data-dir")


def _split_names(bare: str, splits, for_test: bool) -> tuple[str, str, str]:
    """TFDS's expressions for training, validation and test. A missing split is cut off the training split."""
    train, test = "train", TEST_SPLITS.get(bare, "test")
    if train not in splits:
        if for_test and test in splits:
            return test, test, test
        what = "another data set" if test not in splits else "another data set, or evaluate a trained network on it"
        raise DataError(f"{bare} has no split 'train', only {sorted(splits)}: take {what}")
    if test not in splits:
        test = "validation" if "validation" in splits else None
    if test is None:
        return "train[:70%]", "train[70%:80%]", "train[80%:]"
    if "validation" in splits and test != "validation":
        return train, "validation", test
    return "train[:90%]", "train[90%:]", test


def load(
    name: str, *, data_dir: str | None, input_size: tuple[int, int] | None, download: bool, for_test: bool
) -> Data:
    check(name, data_dir)
    data_dir = _expanded(data_dir)
    builder = _prepared(name, data_dir, download)
    info = builder.info
    bare = info.name
    labels = tuple(info.features["label"].names)
    if len(labels) < 2:
        raise DataError(f"{name} has {len(labels)} class: a classifier needs at least 2")
    height, width, channels = info.features["image"].shape
    fixed = bool(height and width)
    # Of four, the last is transparency.
    shape = (*(input_size or (height or 224, width or 224)), 1 if channels == 1 else 3)

    import tensorflow as tf
    import tensorflow_datasets

    from ftbnn_larq.data.decoding import Encoded, in_memory

    plain = not fixed and channels == 3

    def split(split_name: str) -> Split:
        examples = info.splits[split_name].num_examples
        if not examples:
            raise DataError(f"{name}: split {split_name!r} is empty")
        try:
            rows = builder.as_dataset(
                split=split_name, shuffle_files=False, decoders={"image": tensorflow_datasets.decode.SkipDecoding()}
            )
        except Exception as error:
            raise DataError(f"{name} in {builder.data_path} cannot be read: {one_line(error, 200)}") from error
        rows = rows.map(lambda row: (row["image"], row["label"]), num_parallel_calls=tf.data.AUTOTUNE)
        if next(iter(rows.take(1)))[1] < 0:
            raise DataError(f"{name}: the labels of its split {split_name!r} are not public: take another data set")

        def read(encoded, label):
            # TFDS's own decoding knows more kinds, and no crop while decoding.
            return Encoded(encoded) if plain else info.features["image"].decode_example(encoded), label

        return Split(examples, rows, read, shuffle_buffer=WAITING)

    small = fixed and max(height, width) <= SMALL
    config = DataConfig(
        name=name,
        input_shape=shape,
        labels=labels,
        crop="pad" if small else "resized",
        flip=not any(part in bare for part in NOT_MIRRORED),
        data_dir=str(Path(data_dir).resolve()) if data_dir else None,
    )
    names = _split_names(bare, info.splits, for_test)
    splits = [split(each) for each in names]
    if fixed:
        splits = in_memory(splits, (height, width, channels))
    # One that is cut off the training split is written train[...].
    return Data(config, *splits, own_test=not names[-1].startswith("train"))
