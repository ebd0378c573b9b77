"""TFLite's schema: a flatbuffer's bytes as objects. TensorFlow is not needed."""

from __future__ import annotations

import functools

from ftbnn_larq.inference import lce

IDENTIFIER = b"TFL3"


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
