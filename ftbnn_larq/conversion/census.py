"""Which operators a flatbuffer holds, read without running it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ModelFileError, one_line

BINARY_CONVOLUTION = "LceBconv2d"
POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")

# Operators that, with a constant on one side, do to each element what a layer in front could have done.
_FOLDABLE = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM")


class Operator(NamedTuple):
    """One operator.

    Attributes:
        type: "CONV_2D", "LceBconv2d", ...
        output: the name of its output tensor.
        unfolded: whether it adds, multiplies or compares with a constant, element by element.
    """

    type: str
    output: str
    unfolded: bool = False

    @property
    def foreign(self) -> bool:
        """Whether it is neither TFLite's nor LCE's: no interpreter of LCE has it."""
        return not self.type.isupper() and not self.type.startswith("Lce")


def operators(flatbuffer: bytes, path: object = "flatbuffer") -> list[Operator]:
    """All operators of a TFLite flatbuffer in order of execution.

    Raises:
        ModelFileError: the bytes are no flatbuffer, or a damaged one.
    """
    try:
        return of(fb.unpack(flatbuffer))
    except Exception as error:  # a damaged file can break the reader anywhere
        raise ModelFileError(f"{path}: damaged flatbuffer ({one_line(error, 160)})") from error


def of(model) -> list[Operator]:
    """The same of a `ModelT` that is unpacked already."""
    return [
        _operator(model, subgraph.tensors, operator) for subgraph in model.subgraphs for operator in subgraph.operators
    ]


def _operator(model, tensors, operator) -> Operator:
    kind = fb.operator_type(model, operator)
    constant = any(model.buffers[tensors[tensor].buffer].data is not None for tensor in operator.inputs if tensor >= 0)
    return Operator(kind, tensors[operator.outputs[0]].name.decode(), kind in _FOLDABLE and constant)


def census(found: list[Operator]) -> dict[str, int]:
    """How often each operator type occurs, the most frequent first."""
    return dict(Counter(operator.type for operator in found).most_common())
