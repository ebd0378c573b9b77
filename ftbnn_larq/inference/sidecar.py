"""The JSON file beside a flatbuffer: labels, preprocessing, and what the output is."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.errors import ModelFileError


def sidecar_path(flatbuffer: str | os.PathLike) -> Path:
    """Path of the JSON file: the flatbuffer's path with the suffix .json."""
    return Path(flatbuffer).with_suffix(".json")


def ends_in_probabilities(flatbuffer: str | os.PathLike) -> bool:
    """Whether a flatbuffer's output is probabilities and not logits, according to its JSON file."""
    return json.loads(sidecar_path(flatbuffer).read_text(encoding="utf-8")).get("output") == "probabilities"


def data_config_beside(flatbuffer: str | os.PathLike, *, needed: bool = True) -> DataConfig | None:
    """The labels and preprocessing that `convert` wrote beside a flatbuffer.

    Arguments:
        flatbuffer: the .tflite file.
        needed: False to return None if they are missing.

    Raises:
        ModelFileError: the flatbuffer does not exist, the JSON file is damaged, or, if `needed`, they are missing.
    """
    path = sidecar_path(flatbuffer)
    if not Path(flatbuffer).exists():
        raise ModelFileError(f"{flatbuffer}: no such file")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if "data" in document:
            return DataConfig.from_json(document["data"])
    except FileNotFoundError as error:
        if not needed:
            return None
        raise ModelFileError(
            f"{path} is missing. `ftbnn-larq convert` wrote labels and preprocessing to it, beside "
            f"{Path(flatbuffer).name}: keep the two files together"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: damaged ({type(error).__name__}: {error})") from error
    if needed:
        raise ModelFileError(
            f"{path} names no data set, because the flatbuffer was made from a Keras file: convert that file again "
            "with --dataset NAME"
        )
    return None
