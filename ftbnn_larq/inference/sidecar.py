"""The JSON file beside a flatbuffer: labels, preprocessing, and what the output is."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.inference import lce


def sidecar_path(flatbuffer: str | os.PathLike) -> Path:
    """Path of the JSON file: the flatbuffer's path with the suffix .json."""
    return Path(flatbuffer).with_suffix(".json")


def gives_probabilities(flatbuffer: str | os.PathLike) -> bool:
    """Whether a flatbuffer's output is probabilities and not logits: as its JSON file says, or its last operator."""
    path = sidecar_path(flatbuffer)
    said = json.loads(path.read_text(encoding="utf-8")).get("output") if path.is_file() else None
    return _ends_in_probabilities(Path(flatbuffer).read_bytes()) if said is None else said == "probabilities"


def _ends_in_probabilities(flatbuffer: bytes) -> bool:
    schema = lce.load("mlir/python/tflite_schema.py")
    model = schema.Model.GetRootAsModel(flatbuffer, 0)
    graph = model.Subgraphs(0)
    code = model.OperatorCodes(graph.Operators(graph.OperatorsLength() - 1).OpcodeIndex())
    softening = (schema.BuiltinOperator.SOFTMAX, schema.BuiltinOperator.LOGISTIC)
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) in softening


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
