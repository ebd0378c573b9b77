"""What is to be converted, how, and where the result goes: all that can be refused before TensorFlow is loaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftbnn_larq.conversion import passes
from ftbnn_larq.data.preprocessing import parse
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.files import check_replaceable
from ftbnn_larq.inference.sidecar import sidecar_path
from ftbnn_larq.zoo.trained import Trained, find

# Format -> the result's name in a run folder.
FORMATS = {"tflite": "model.tflite", "saved_model": "model", "keras": "model.keras"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A conversion that has been checked.

    Attributes:
        source: a trained network, or a Keras model object.
        to: a key of `FORMATS`.
        path: of the result.
        softmax: end in probabilities.
        groups: a word of `passes.GROUPS`.
        passes: the passes to run, in order.
        dataset, data_dir: where the pictures of the proof come from; of a Keras file or model the data set's name.
        preprocessing: how a Keras file's or model's pixels were prepared; None if that is to be found.
    """

    source: Trained | Any
    to: str
    path: Path
    softmax: bool
    groups: str
    passes: tuple[passes.Pass, ...]
    dataset: str | None
    data_dir: str | None
    preprocessing: str | None = None


def check_format(to: str) -> str:
    """The format itself. Raises UnknownNameError with the nearest names."""
    if to not in FORMATS:
        raise UnknownNameError("format", to, FORMATS)
    return to


def plan(
    source,
    *,
    to: str = "tflite",
    output: str | os.PathLike | None = None,
    softmax: bool = False,
    groups: str = passes.SPLIT,
    without: Iterable[str] = (),
    dataset: str | None = None,
    data_dir: str | None = None,
    preprocessing: str | None = None,
    explain: bool = False,
) -> Plan:
    """Check the arguments of `convert`, and raise what it raises before the network is loaded.

    Arguments:
        explain: whether the flatbuffer's layers are asked for.
    """
    check_format(to)
    without = tuple(without)
    chosen = passes.chosen(groups, without)
    if to != "tflite":
        _refuse_what_makes_flatbuffers(
            to,
            {
                "softmax": softmax,
                "explain": explain,
                f"groups {groups!r}": groups != passes.SPLIT,
                **{f"no-{name}": True for name in without},
                f"dataset {dataset!r}": dataset is not None,
                f"data_dir {str(data_dir)!r}": data_dir is not None,
                f"preprocessing {preprocessing!r}": preprocessing is not None,
            },
        )
    if isinstance(source, str | os.PathLike):
        found = find(source)
        if dataset is not None and found.data:
            raise ConfigError(
                f"dataset {dataset!r}: {source} has its own, {found.data.name}; that option is for a Keras file"
            )
        if preprocessing is not None and found.data:
            raise ConfigError(
                f"preprocessing {preprocessing!r}: {source} knows how its pictures were prepared in training; that "
                "option is for a Keras file"
            )
        path = _checked(Path(output or _beside(found, to)), to, Path(source))
    else:
        found, path = source, _checked(Path(output or f"{source.name}{Path(FORMATS[to]).suffix}"), to)
    if preprocessing is not None:
        parse(preprocessing)
        if dataset is None:
            raise ConfigError(
                f"preprocessing {preprocessing!r}: without a data set there are no pictures to prepare; give one "
                "(--dataset)"
            )
    return Plan(found, to, path, softmax, groups, chosen, dataset, data_dir, preprocessing)


def _refuse_what_makes_flatbuffers(to: str, given: dict[str, bool]) -> None:
    """Raise ConfigError if an option is given that changes nothing but a flatbuffer or its proof."""
    unused = [option for option, is_given in given.items() if is_given]
    if unused:
        raise ConfigError(
            f"{', '.join(unused)}: {to} keeps the network as it was trained; leave out what is for a flatbuffer, or "
            "convert to tflite"
        )


def _beside(source: Trained, to: str) -> Path:
    """In the run folder, beside the Keras file, or here for a published network."""
    suffix = Path(FORMATS[to]).suffix
    if source.published:
        return Path("-".join(source.published).replace(":", "-") + suffix)
    return source.run.path / FORMATS[to] if source.run else Path(source.reference).with_suffix(suffix)


def _checked(path: Path, to: str, source: Path | None = None) -> Path:
    """The path of the result.

    Raises:
        ConfigError: it would take the place of something else: of a folder with other things in it, of the source, or
            its JSON that of a run's config.json; or a .keras file has another suffix.
        OSError: it would take the place of a device.
    """
    if source and path.resolve() == source.resolve():
        raise ConfigError(f"{path}: would overwrite the source; name another output")
    check_replaceable(path)
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
