"""What a data set is to the rest of the library, and the table of where they come from.

Readable without TensorFlow; the sources import what they need when they are loaded.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from ftbnn_larq.errors import ConfigError, DataError, ModelFileError


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


def _source(name: str):
    if name == "digits":
        module = "digits"
    elif name.startswith("folder:"):
        module = "folder"
    else:
        module = "tfds"
    return importlib.import_module(f"ftbnn_larq.data.{module}")


def check_name(name: str, data_dir: str | None = None) -> None:
    """Refuse at once, before TensorFlow is loaded, what cannot be a data set.

    Raises:
        UnknownNameError: no such data set; the message has the nearest names.
        DataError: `folder:PATH` is missing, empty or flat, or has a class without pictures.
    """
    _source(name).check(name, data_dir)


def load(
    name: str,
    *,
    data_dir: str | None = None,
    input_size: int | None = None,
    flip: bool | None = None,
    config: DataConfig | None = None,
    download: bool = True,
) -> Data:
    """Load a data set by name.

    Arguments:
        name: `digits`, a TFDS name, or `folder:PATH`.
        data_dir: TFDS's folder; a data set that is not there is downloaded to it, with `download`.
        input_size: side of the square the network sees, in pixels; the data set's own size unless given.
        flip: mirror training pictures or not; the data set's habit unless given.
        config: the configuration a run stored; nothing is measured anew then, and classes are numbered as there.

    Raises:
        UnknownNameError: no such data set.
        DataError: it is empty, damaged, has one class only or other classes than `config`, or is not there.
    """
    if input_size is not None and input_size < 8:
        raise ConfigError(f"input size {input_size}: a picture needs at least 8x8 pixels")
    check_name(name, data_dir)
    data = _source(name).load(name, data_dir=data_dir, input_size=input_size, download=download)
    if config is not None:
        return prepared_as(config, data)
    if flip is not None:
        data = dataclasses.replace(data, config=dataclasses.replace(data.config, flip=flip))
    from ftbnn_larq.data.pipeline import with_statistics

    return with_statistics(data)


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
