"""model.json beside a flatbuffer: what the flatbuffer cannot say of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.errors import ModelFileError


def sidecar_path(flatbuffer: str | os.PathLike) -> Path:
    return Path(flatbuffer).with_suffix(".json")


def ends_in_probabilities(flatbuffer: str | os.PathLike) -> bool:
    """Whether a flatbuffer's output is probabilities, by its JSON file; else it is logits."""
    return json.loads(sidecar_path(flatbuffer).read_text(encoding="utf-8")).get("output") == "probabilities"


def data_config_beside(flatbuffer: str | os.PathLike, *, needed: bool = True) -> DataConfig | None:
    """The labels and preprocessing that `convert` wrote beside a flatbuffer.

    Raises:
        ModelFileError: there is no such file though `needed`, or it is damaged.
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
            f"{path} is missing: it holds the labels and the preprocessing that `ftbnn-larq convert` wrote beside "
            f"{Path(flatbuffer).name}; keep the two files together"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: damaged ({type(error).__name__}: {error})") from error
    if needed:
        raise ModelFileError(
            f"{path} names no data set, since the flatbuffer came from a Keras file: convert that with --dataset NAME"
        )
    return None
