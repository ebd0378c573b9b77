"""What a flatbuffer asks for, read before an interpreter loads it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftbnn_larq import leash
from ftbnn_larq.documents import MOST_SIDE
from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.inference.schema import operator_type, unpack

# A hundred times as many as the largest network of the zoo has.
MOST_OPERATIONS = 10**12
# The slowest that is waited for, in operations a second: LCE's reference kernels on a small board, or in an emulator.
_SLOWEST = 2 * 10**7
# Operators whose outputs are sums over a filter, their second input: (outputs, ...), or (..., outputs).
_FILTERED = ("CONV_2D", "FULLY_CONNECTED", "LceBconv2d", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D")


def seconds(operations: int) -> float:
    """How long an answer of so many operations may take."""
    return leash.SECONDS + operations / _SLOWEST


def operations(flatbuffer: bytes) -> int:
    """Operations of an inference: multiplications with filters, and numbers written or read by all else.

    Words of 32 binary weights count as one. What a loop holds counts once.

    Raises:
        ModelFileError: the bytes are no flatbuffer, a damaged one, or one of an absurd size.
    """
    try:
        model = unpack(flatbuffer)
        graphs = [(graph, _checked(graph)) for graph in model.subgraphs]
        found = sum(sum(_operations(model, graph, sizes)) for graph, sizes in graphs)
    except ModelFileError:
        raise
    except Exception as error:  # a damaged file can break the reader anywhere
        raise ModelFileError(f"damaged flatbuffer ({one_line(error, 160)})") from error
    if found > MOST_OPERATIONS:
        raise ModelFileError(f"{found:.1e} operations a picture: at most {MOST_OPERATIONS:.0e} are run")
    return found


def _checked(graph) -> list[int]:
    """How many numbers each tensor of a graph holds."""
    shapes = [[int(side) for side in tensor.shape] if tensor.shape is not None else [] for tensor in graph.tensors]
    for index in graph.inputs:
        if max(shapes[index], default=0) > MOST_SIDE:
            raise ModelFileError(f"its input is {shapes[index]}: pictures have at most {MOST_SIDE} pixels a side")
    # A side that is not known is -1.
    sizes = [math.prod(max(side, 1) for side in shape) for shape in shapes]
    if max(sizes, default=0) * 4 > leash.memory():
        largest = shapes[sizes.index(max(sizes))]
        raise ModelFileError(f"a tensor of {largest} takes more than {leash.memory() / 1e9:.1f} GB of memory")
    return sizes


def _operations(model, graph, sizes: list[int]) -> Iterator[int]:
    for operator in graph.operators:
        kind = operator_type(model, operator)
        inputs = [int(index) for index in operator.inputs if index >= 0]
        written = sum(sizes[index] for index in operator.outputs)
        if kind in _FILTERED and len(inputs) > 1:
            filters = [max(int(side), 1) for side in graph.tensors[inputs[1]].shape]
            yield written * math.prod(filters[1:-1] if kind == "DEPTHWISE_CONV_2D" else filters[1:])
        else:
            yield written + sum(sizes[index] for index in inputs)
