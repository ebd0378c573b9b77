"""The JSON file beside a flatbuffer: labels, preprocessing, and what the output is."""

from __future__ import annotations

import os
from pathlib import Path

from ftbnn_larq import documents
from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.files import sha256
from ftbnn_larq.inference.schema import MOST_BYTES, content, schema


def sidecar_path(flatbuffer: str | os.PathLike) -> Path:
    """Path of the JSON file: the flatbuffer's path with the suffix .json."""
    return Path(flatbuffer).with_suffix(".json")


def read(flatbuffer: str | os.PathLike) -> documents.Sidecar:
    """What the JSON file beside a flatbuffer says.

    Raises:
        FileNotFoundError: there is none.
        ModelFileError: it is damaged, or of another flatbuffer.
    """
    path = sidecar_path(flatbuffer)
    document = documents.read(path, documents.Sidecar, ModelFileError)
    # Older files do not say it.
    if document.sha256 is not None and not _is_of(document, flatbuffer):
        raise ModelFileError(
            f"{path} is of another flatbuffer than {Path(flatbuffer).name}, as its size or SHA-256 says: bring the two "
            "files together that `ftbnn-larq convert` wrote, or convert the network again"
        )
    return document


def _is_of(document: documents.Sidecar, flatbuffer) -> bool:
    # Of what is no flatbuffer the sum may take hours.
    size = os.stat(flatbuffer).st_size
    return size <= MOST_BYTES and document.bytes in (None, size) and document.sha256 == sha256(flatbuffer)


def gives_probabilities(flatbuffer: str | os.PathLike) -> bool:
    """Whether a flatbuffer's output is probabilities and not logits: as its JSON file says, or its last operator.

    Raises:
        ModelFileError: the JSON file is damaged, or of another flatbuffer; or there is none and the flatbuffer is.
    """
    try:
        said = read(flatbuffer).output
    except FileNotFoundError:
        said = None
    return _ends_in_probabilities(flatbuffer) if said is None else said == "probabilities"


def _ends_in_probabilities(path) -> bool:
    known = schema()
    try:
        model = known.Model.GetRootAsModel(content(path), 0)
        graph = model.Subgraphs(0)
        leaving = (known.BuiltinOperator.RESHAPE, known.BuiltinOperator.SQUEEZE, known.BuiltinOperator.DEQUANTIZE)
        place, kind = graph.OperatorsLength(), leaving[0]
        while kind in leaving and place:
            place -= 1
            code = model.OperatorCodes(graph.Operators(place).OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    except OSError:
        raise
    except Exception as error:  # a damaged file can break the reader anywhere
        raise ModelFileError(f"{path}: damaged flatbuffer ({one_line(error, 160)})") from error
    return kind in (known.BuiltinOperator.SOFTMAX, known.BuiltinOperator.LOGISTIC)


def data_config_beside(flatbuffer: str | os.PathLike, *, needed: bool = True) -> DataConfig | None:
    """The labels and preprocessing that `convert` wrote beside a flatbuffer.

    Arguments:
        flatbuffer: the .tflite file.
        needed: False to return None if they are missing.

    Raises:
        ModelFileError: the flatbuffer does not exist, the JSON file is damaged or of another flatbuffer, or, if
            `needed`, they are missing.
    """
    path = sidecar_path(flatbuffer)
    if not Path(flatbuffer).is_file():
        raise ModelFileError(f"{flatbuffer}: no such file")
    try:
        document = read(flatbuffer)
    except FileNotFoundError as error:
        if not needed:
            return None
        raise ModelFileError(
            f"{path} is missing. `ftbnn-larq convert` wrote labels and preprocessing to it, beside "
            f"{Path(flatbuffer).name}: keep the two files together"
        ) from error
    if document.data is not None:
        return document.data
    if needed:
        raise ModelFileError(
            f"{path} names no data set, because the flatbuffer was made from a Keras file: convert that file again "
            "with --dataset NAME"
        )
    return None
