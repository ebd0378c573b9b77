"""model.json beside model.tflite: what a flatbuffer cannot say of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.errors import ModelFileError


def sidecar_path(flatbuffer: str | os.PathLike) -> Path:
    return Path(flatbuffer).with_suffix(".json")


def data_config_beside(flatbuffer: str | os.PathLike, *, needed: bool = True) -> DataConfig | None:
    """The labels and preprocessing that `convert` wrote beside a flatbuffer.

    Raises:
        ModelFileError: there is no such file though `needed`, or it is damaged.
    """
    path = sidecar_path(flatbuffer)
    if not Path(flatbuffer).exists():
        raise ModelFileError(f"{flatbuffer}: no such file")
    try:
        return DataConfig.from_json(json.loads(path.read_text(encoding="utf-8"))["data"])
    except FileNotFoundError as error:
        if not needed:
            return None
        raise ModelFileError(
            f"{path} is missing: it holds the labels and the preprocessing that `ftbnn-larq convert` wrote beside "
            f"{Path(flatbuffer).name}; keep the two files together"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: damaged ({type(error).__name__}: {error})") from error
