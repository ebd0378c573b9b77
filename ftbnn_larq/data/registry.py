"""Where data sets come from, by name. Names are checked without TensorFlow; a source imports it when it is loaded."""

from __future__ import annotations

import dataclasses
import importlib

from ftbnn_larq.data.formats import Data, DataConfig, prepared_as
from ftbnn_larq.errors import ConfigError


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
