"""TFLite flatbuffers as objects that can be read and changed, without TensorFlow."""

from __future__ import annotations

import functools

from ftbnn_larq.deploy import lce

IDENTIFIER = b"TFL3"


def unpack(flatbuffer: bytes):
    """The `ModelT` of TFLite's schema that the bytes hold; damaged bytes break it with any exception."""
    schema = _schema()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))


def pack(model) -> bytes:
    """The bytes of a `ModelT`."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def operator_type(model, operator) -> str:
    """The name of an operator's type: "CONV_2D" and the like, or a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return _builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _schema():
    return lce.load("mlir/python/tflite_schema.py")


@functools.cache
def _builtin_names() -> dict[int, str]:
    return {code: name for name, code in vars(_schema().BuiltinOperator).items() if not name.startswith("_")}
