"""What can be converted, and where the result goes: asked before TensorFlow is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from ftbnn_larq import runs, zoo
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.inference.sidecar import sidecar_path
from ftbnn_larq.models import keras_files

# What a network is converted to -> name of the result in its run.
FORMATS = {"tflite": "model.tflite", "saved_model": "model", "keras": "model.keras"}


def check_format(to: str) -> None:
    """Raises UnknownNameError with the nearest names."""
    if to not in FORMATS:
        raise UnknownNameError("format", to, FORMATS)


def check_source(source: Path, dataset: str | None) -> None:
    """Refuse a network that cannot be converted, before TensorFlow is loaded and the network built.

    Raises:
        RunError, ModelFileError: there is no such network, or it has no weights.
        ConfigError: nothing is published by that name, or a data set for a network that has its own.
    """
    if keras_files.is_model_file(source):
        keras_files.check(source)
        return
    if zoo.is_reference(source):
        name, own = str(source).split(":", 1)
        zoo.published(name, own)
    else:
        run = runs.open_run(source)
        run.check_weights()
        own = run.config["data"]["name"]
    if dataset is not None:
        raise ConfigError(f"dataset {dataset!r}: {source} has its own, {own}; that option is for a Keras file")


def destination(source: Path, to: str, output: str | os.PathLike | None) -> Path:
    """Where the conversion of a run folder, of a model file, or of NAME:DATASET, to a format goes.

    Raises:
        UnknownNameError: no such format.
        ConfigError: it would take the place of something else: of a folder with other things in it, of the source, or
            its JSON that of a run's config.json; or a .keras file is called otherwise.
    """
    check_format(to)
    suffix = Path(FORMATS[to]).suffix
    if zoo.is_reference(source):
        path = Path(str(source).replace(":", "-") + suffix)
    else:
        path = source.with_suffix(suffix) if source.is_file() else source / FORMATS[to]
    path = Path(output or path)
    if path.resolve() == source.resolve():
        raise ConfigError(f"{path}: would take its own place; name another output")
    if path.is_dir() and not (to == "saved_model" and _may_be_replaced(path)):
        raise ConfigError(
            f"{path} is a folder, whose content would be lost; name a path in it, such as {path / FORMATS[to]}"
        )
    if to == "saved_model" and path.is_file():
        raise ConfigError(f"{path} is a file, and a SavedModel is a folder; name another output")
    if to == "keras" and path.suffix != ".keras":
        raise ConfigError(f"{path}: Keras's format goes by its suffix; call it {path.with_suffix('.keras')}")
    if to == "tflite":
        beside = sidecar_path(path)
        if beside == path:
            raise ConfigError(f"{path}: its labels and preprocessing go to a .json of that name; end it in .tflite")
        if beside.is_file() and '"binary_operators"' not in beside.read_text(encoding="utf-8", errors="replace"):
            raise ConfigError(f"{path}: its labels and preprocessing would overwrite {beside}; choose another name")
    return path


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is empty, or an earlier SavedModel."""
    return (folder / "saved_model.pb").is_file() or not any(folder.iterdir())
