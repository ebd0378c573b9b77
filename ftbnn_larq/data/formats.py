"""What a data set is to the rest of the library. Readable without TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ftbnn_larq.errors import DataError, ModelFileError


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What travels with a run, so that evaluation, prediction and conversion prepare pictures as training did.

    Attributes:
        name: `digits`, a TFDS name, or `folder:PATH`.
        input_shape: (height, width, channels) the network sees.
        labels: class names, in the order of the network's outputs.
        mean, std: per channel, of pixel values between 0 and 1, measured on the training split.
        crop: training augmentation: "pad" (shift by up to an eighth), "resized" (a random part, resized), "jitter"
            (shift and zoom by fractions of a pixel) or "none".
        flip: mirror half of the training pictures.
        data_dir: where TFDS keeps its data sets; None is its default.
    """

    name: str
    input_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: str = "pad"
    flip: bool = True
    data_dir: str | None = None

    @classmethod
    def from_json(cls, document: dict) -> DataConfig:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in document.items()})

    def to_json(self) -> dict:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Split:
    """Part of a data set.

    Attributes:
        examples: number of pictures.
        rows: `tf.data` of what is shuffled: small things such as paths or encoded pictures, in an order that never
            changes.
        read: a row's elements in; (uint8 picture (h, w, c), int64 class) out.
        shuffle_buffer: rows that may wait in memory to be shuffled.
    """

    examples: int
    rows: Any
    read: Callable = lambda picture, label: (picture, label)
    shuffle_buffer: int = 50_000


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set: its configuration and its disjoint splits.

    `train` is learned from, `validation` picks the best epoch, `test` is touched by evaluation alone.
    """

    config: DataConfig
    train: Split
    validation: Split
    test: Split


def check_fits(data: Data, input_shape: tuple, classes: int) -> None:
    """Raises ModelFileError if a model of pictures (h, w, c) and so many classes is none for `data`."""
    theirs = tuple(data.config.input_shape), len(data.config.labels)
    if theirs != (tuple(input_shape), classes):
        raise ModelFileError(
            f"the model takes pictures of {tuple(input_shape)} in {classes} classes, data set {data.config.name} has "
            f"{theirs[0]} in {theirs[1]}"
        )


def prepared_as(config: DataConfig, data: Data) -> Data:
    """A data set with the preprocessing of `config`, its classes numbered as there.

    Raises:
        DataError: it has other classes, or grey pictures where they were coloured, or the other way round.
    """
    theirs, ours = data.config.labels, config.labels
    if sorted(theirs) != sorted(ours):
        odd = sorted(set(theirs) ^ set(ours))[:1]
        raise DataError(
            f"{data.config.name} has other classes, {len(theirs)} of them, than the {len(ours)} that the network tells "
            f"apart{f': {odd[0]!r} is in one of the two only' if odd else ''}"
        )
    if data.config.input_shape[2] != config.input_shape[2]:
        raise DataError(
            f"{data.config.name} has pictures of {data.config.input_shape[2]} channels, the network sees "
            f"{config.input_shape[2]}"
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

    return Data(config, renumbered(data.train), renumbered(data.validation), renumbered(data.test))
