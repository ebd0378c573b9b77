"""Grouped binary convolutions as ordinary ones, one a group: LCE's default kernel refuses groups."""

from __future__ import annotations

import numpy as np
from flatbuffers import flexbuffers

from ftbnn_larq.deploy.census import BINARY_CONVOLUTION
from ftbnn_larq.deploy.flatbuffer import Graph

# LCE packs the signs of so many channels into a word.
WORD = 32


def lower(graph: Graph) -> None:
    """Cut the packed signs that a grouped convolution reads, give each group a convolution, and join the outputs.

    Signs are cut behind LceQuantize, as words of 32 channels, where a copy is a thirty-second of the floats'.
    """
    for operator in list(graph.operators):
        if graph.type(operator) == BINARY_CONVOLUTION and groups(graph, operator) > 1:
            graph.replace([operator], _lowered(graph, operator))


def groups(graph: Graph, convolution) -> int:
    channels = flexbuffers.Loads(bytes(convolution.customOptions))["channels_in"]
    return max(1, channels // (graph.shape(convolution.inputs[1])[-1] * WORD))


def _lowered(graph: Graph, convolution) -> list:
    count = groups(graph, convolution)
    packed, output = convolution.inputs[0], convolution.outputs[0]
    channels = graph.shape(output)[-1]
    if channels % count:
        # Packed outputs of less than a word each: the signs of several groups share one.
        return [convolution]
    pieces = split(graph, packed, count)
    options = flexbuffers.Loads(bytes(convolution.customOptions))
    operators, outputs = [pieces], []
    filters = graph.shape(convolution.inputs[1])[0] // count
    for group in range(count):
        name = f"{graph.name(output)}/group{group + 1}"
        inputs = [pieces.outputs[group]]
        for tensor in convolution.inputs[1:]:
            values = graph.constant(tensor)
            part = None if values is None else values[group * filters : (group + 1) * filters]
            inputs.append(-1 if part is None else graph.add_constant(part))
        outputs.append(graph.add_tensor((*graph.shape(output)[:-1], channels // count), output, name))
        channels_in = options["channels_in"] // count
        operators.append(graph.copy(convolution, inputs, [outputs[-1]], channels_in=channels_in))
    return [*operators, join(graph, outputs, output)]


def split(graph: Graph, tensor: int, count: int):
    """An operator that cuts the last axis of a tensor into equal parts."""
    shape = graph.shape(tensor)
    axis = graph.add_constant(np.int32(len(shape) - 1))
    parts = [
        graph.add_tensor((*shape[:-1], shape[-1] // count), tensor, f"{graph.name(tensor)}/part{index + 1}")
        for index in range(count)
    ]
    return graph.operator("SPLIT", [axis, tensor], parts, numSplits=count)


def join(graph: Graph, tensors: list[int], output: int):
    """An operator that puts tensors side by side on their last axis."""
    return graph.operator("CONCATENATION", tensors, [output], axis=len(graph.shape(output)) - 1)
