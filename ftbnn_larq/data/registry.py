"""Find and load data sets by name. Checking a name does not import TensorFlow; loading does."""

from __future__ import annotations

import dataclasses
import importlib

from ftbnn_larq.data.formats import Data, DataConfig, Split, prepared_as
from ftbnn_larq.documents import MOST_SIDE, quoted
from ftbnn_larq.errors import ConfigError, DataError


def _source(name: str):
    if name == "digits":
        module = "digits"
    elif name.startswith("folder:"):
        module = "folder"
    else:
        module = "tfds"
    return importlib.import_module(f"ftbnn_larq.data.{module}")


def check_name(name: str, data_dir: str | None = None) -> None:
    """Refuse a name that is not a data set. TensorFlow is not needed.

    Raises:
        UnknownNameError: there is no such data set. The message gives the nearest names.
        DataError: `folder:PATH` is missing, is empty, has no class folders, or has a class without pictures.
    """
    _source(name).check(name, data_dir)


def full_name(name: str) -> str:
    """The name that a data set has in a run: that of a folder is its whole path."""
    return _source(name).full_name(name) if name.removeprefix("folder:") not in (name, "") else name


def load(
    name: str,
    *,
    data_dir: str | None = None,
    input_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    flip: bool | None = None,
    config: DataConfig | None = None,
    fold: tuple[int, int] | None = None,
    download: bool = True,
) -> Data:
    """Load a data set by name.

    Arguments:
        name: `digits`, a TFDS name, or `folder:PATH`.
        data_dir: TFDS's folder; None for TFDS's default.
        input_size: height and width of the network's input, in pixels, or one number for both; None for the data set's
            own size.
        channels: of the network's input, 1 or 3; None for the data set's own.
        flip: whether training pictures are mirrored at random; None for the data set's default.
        config: the configuration stored in a run. Mean, standard deviation, the order of classes and the fold are taken
            from it. A note tells if the data set has other pictures since. If it is of another data set, a test split
            is enough; a folder with the same pictures is the same data set.
        fold: number of a fold, from 1, and number of folds: that fold is the test split; None for the data set's own
            splits.
        download: whether TFDS may download a data set that is not in its folder.

    Raises:
        UnknownNameError: there is no such data set.
        DataError: the data set is missing, empty or damaged, has one class only, has other classes than `config`, or
            too few pictures of a class for the folds.
        ConfigError: `input_size` is below 8 or absurdly large, or `channels` is neither 1 nor 3.
    """
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    if size is not None and not (min(size) >= 8 and max(size) <= MOST_SIDE):
        raise ConfigError(
            f"input size {' x '.join(map(quoted, size))}: pictures need 8x8 pixels, and at most {MOST_SIDE} a side"
        )
    if channels not in (None, 1, 3):
        raise ConfigError(f"{channels} channels: pictures have 1 (grey) or 3 (color)")

    def read(for_test: bool) -> Data:
        source = _source(name)
        return source.load(name, data_dir=data_dir, input_size=size, download=download, for_test=for_test)

    is_other = config is not None and full_name(name) != full_name(config.name)
    data = read(is_other)
    if is_other:
        if config.fingerprint and data.fingerprint == config.fingerprint.partition(" ")[0]:
            # A folder that was moved: its pictures for training must not become pictures for testing.
            data, config = read(False), dataclasses.replace(config, name=data.config.name)
        else:
            config = dataclasses.replace(config, name=data.config.name, fold=None, fingerprint=None)
    if fold := config.fold if config else fold:
        from ftbnn_larq.data.folds import folded

        data = folded(data, fold)
    if channels is not None:
        shape = (*data.config.input_shape[:2], channels)
        notes = data.notes
        if channels == 1 and _in_color(data.train):
            notes += (f"pictures of {name} are in color, the network takes grey ones: they are turned grey",)
        data = dataclasses.replace(data, config=dataclasses.replace(data.config, input_shape=shape), notes=notes)
    try:
        # What a run's documents could not say.
        data.config.check()
    except ValueError as error:
        raise DataError(f"data set {name} cannot be used: {error}: take another --input-size") from error
    if config is not None:
        if None not in (config.fingerprint, data.fingerprint) and config.fingerprint != data.fingerprint:
            note = (
                f"{config.name} has other pictures than at the training of this network: what is measured may include "
                "pictures that it was trained on"
            )
            data = dataclasses.replace(data, notes=(*data.notes, note))
        return prepared_as(config, data)
    data = dataclasses.replace(data, config=dataclasses.replace(data.config, fingerprint=data.fingerprint))
    if flip is not None:
        data = dataclasses.replace(data, config=dataclasses.replace(data.config, flip=flip))
    from ftbnn_larq.data.pipeline import with_statistics

    return with_statistics(data)


def _in_color(split: Split) -> bool:
    """Whether there is color in the first pictures of a split; grey ones may be read with 3 channels, too."""
    from ftbnn_larq.data.decoding import whole

    first = split.rows.take(64).map(lambda *row: whole(split.read(*row)[0])).as_numpy_iterator()
    return any((picture != picture[..., :1]).any() for picture in first)
