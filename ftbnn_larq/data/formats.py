"""The types that describe a data set. TensorFlow is not needed."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from typing import Any

from ftbnn_larq.data import imagenet
from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import DataError, ModelFileError

# Largest side of small pictures: they are shifted where others are cropped.
SMALL = 96


@dataclasses.dataclass(frozen=True)
class Split:
    """Part of a data set.

    Attributes:
        examples: number of pictures.
        rows: `tf.data` with one small element per picture, such as a path or an encoded picture. Rows are shuffled
            before they are read; their own order never changes.
        read: function from a row to (uint8 picture (h, w, c), int64 label); c may be another than the network's.
        shuffle_buffer: number of rows that may be held in memory for shuffling.
        names: of the pictures, in the order of rows, such as paths; empty where they have none.
    """

    examples: int
    rows: Any
    read: Callable = lambda picture, label: (picture, label)
    shuffle_buffer: int = 50_000
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set: its configuration and three disjoint splits.

    Attributes:
        config: preprocessing and labels.
        train: for training.
        validation: for choosing the best epoch.
        test: for evaluation only.
        notes: what the user should know of it, a line each.
        fingerprint: names the content of the splits; None if it is not known.
        own_test: whether the test split is the data set's own, and not cut off here.
    """

    config: DataConfig
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None
    own_test: bool = False


def check_fits(data: Data, input_shape: tuple, classes: int) -> None:
    """Refuse a model whose input shape (h, w, c) or number of classes differs from the data set's.

    Arguments:
        data: with pictures at the model's size, where that can be.
        classes: scores that the model gives; one score is of two classes.

    Raises:
        ModelFileError: they differ.
    """
    theirs, labels = tuple(data.config.input_shape), len(data.config.labels)
    if labels != (2 if classes == 1 else classes):
        scores = "one score, for 2 classes" if classes == 1 else f"scores of {classes} classes"
        raise ModelFileError(
            f"the model gives {scores}, but data set {data.config.name} has {labels} classes: name a data set with the "
            "model's classes"
        )
    if theirs != tuple(input_shape):
        raise ModelFileError(
            f"the model takes pictures of {tuple(input_shape)}, but what lies beside it says that it was trained on "
            f"pictures of {theirs}: keep the two files together that `ftbnn-larq convert` wrote"
        )


def prepared_as(config: DataConfig, data: Data) -> Data:
    """The data set with the preprocessing of `config` and its order of classes.

    WordNet's number of an ImageNet class and its English name are the same class.

    Raises:
        DataError: the data set has other classes.
    """
    theirs, ours = (
        [unicodedata.normalize("NFC", label) for label in imagenet.in_english(each.labels)]
        for each in (data.config, config)
    )
    if sorted(theirs) != sorted(ours):
        odd = sorted(set(theirs) ^ set(ours))[:1]
        raise DataError(
            f"the {len(theirs)} classes of {data.config.name} are not the {len(ours)} classes of the network"
            f"{f': {odd[0]!r} is in one of the two only' if odd else ''}"
        )
    if theirs == ours:
        return dataclasses.replace(data, config=config)
    numbers = [ours.index(label) for label in theirs]

    def renumbered(split: Split) -> Split:
        def read(*row):
            import tensorflow as tf

            picture, label = split.read(*row)
            return picture, tf.gather(tf.constant(numbers, tf.int64), label)

        return dataclasses.replace(split, read=read)

    splits = {name: renumbered(getattr(data, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, config=config, **splits)
