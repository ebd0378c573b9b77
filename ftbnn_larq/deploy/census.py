"""Which operators a flatbuffer holds, read without running it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ftbnn_larq.deploy import flatbuffer as fb
from ftbnn_larq.errors import ModelFileError

BINARY_CONVOLUTION = "LceBconv2d"


class Operator(NamedTuple):
    """One operator: its type ("CONV_2D", "LceBconv2d", ...) and the name of its output tensor."""

    type: str
    output: str


def operators(flatbuffer: bytes, path: object = "flatbuffer") -> list[Operator]:
    """All operators of a TFLite flatbuffer in order of execution.

    Raises:
        ModelFileError: the bytes are no flatbuffer, or a damaged one.
    """
    try:
        model = fb.unpack(flatbuffer)
        return [
            Operator(fb.operator_type(model, operator), subgraph.tensors[operator.outputs[0]].name.decode())
            for subgraph in model.subgraphs
            for operator in subgraph.operators
        ]
    except Exception as error:  # a damaged file can break the reader anywhere
        raise ModelFileError(f"{path}: damaged flatbuffer ({type(error).__name__}: {error})") from error


def census(found: list[Operator]) -> dict[str, int]:
    """How often each operator type occurs, the most frequent first."""
    return dict(Counter(operator.type for operator in found).most_common())
