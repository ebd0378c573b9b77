"""TFLite's schema: a flatbuffer's bytes as objects. TensorFlow is not needed."""

from __future__ import annotations

import functools
import os

from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.files import check_ends
from ftbnn_larq.inference import lce

IDENTIFIER = b"TFL3"
# Offsets in a flatbuffer have 32 bits, one for the sign.
MOST_BYTES = 2**31


def content(path: str | os.PathLike) -> bytes:
    """The bytes of a flatbuffer.

    Raises:
        OSError: there is none, or it is no file.
        ModelFileError: it is larger than any flatbuffer. The message does not name it.
    """
    check_ends(path)
    with open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
            raise ModelFileError(f"{size / 1e9:,.1f} GB: flatbuffers have at most {MOST_BYTES / 1e9:.1f} GB")
        return file.read()


def schema():
    """The module that LCE brings, with the classes of schema.fbs."""
    return lce.load("mlir/python/tflite_schema.py")


def unpack(flatbuffer: bytes):
    """The `ModelT` of TFLite's schema that the bytes hold; damaged bytes break it with any exception."""
    return schema().ModelT.InitFromObj(schema().Model.GetRootAsModel(flatbuffer, 0))


def operator_type(model, operator) -> str:
    """The name of an operator's type: "CONV_2D" and the like, or a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return _builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


@functools.cache
def _builtin_names() -> dict[int, str]:
    return {code: name for name, code in vars(schema().BuiltinOperator).items() if not name.startswith("_")}
