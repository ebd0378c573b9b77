"""Grouped binary convolutions as ordinary ones, one a group: LCE's default kernel refuses groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from flatbuffers import flexbuffers

from ftbnn_larq.conversion.census import BINARY_CONVOLUTION
from ftbnn_larq.conversion.flatbuffer import INT32, Graph
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.models.config import GROUP_STEP

# LCE packs the signs of so many channels into a word.
WORD = GROUP_STEP


def lower(graph: Graph) -> None:
    """Cut the packed signs that a grouped convolution reads, give each group a convolution, and join the outputs.

    Raises ConversionError where words of packed outputs would hold the signs of several groups.

    Signs are cut behind LceQuantize, as words of 32 channels, where a copy is a thirty-second of the floats'. Where the
    groups were put in another order before, each takes its words from where they are, and nothing is moved.
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
    # Of a packed output the words.
    channels, filters = graph.shape(output)[-1], graph.shape(convolution.inputs[1])[0] // count
    if graph.tensors[output].type == INT32 and filters % WORD:
        raise ConversionError(
            f"the grouped convolution behind {graph.name(packed)} has {filters} filters per group, and its output is "
            f"signs packed in words of {WORD}: take a multiple of {WORD} filters per group, or --groups fused"
        )
    moved = _before_moving(graph, packed, count)
    pieces = split(graph, moved.packed, count)
    options = flexbuffers.Loads(bytes(convolution.customOptions))
    operators, outputs = [*moved.operators, pieces], []
    for group in range(count):
        name = f"{graph.name(output)}/group{group + 1}"
        inputs = [pieces.outputs[moved.order[group]]]
        for tensor in convolution.inputs[1:]:
            values = graph.constant(tensor)
            part = None if values is None else values[group * filters : (group + 1) * filters]
            inputs.append(-1 if part is None else graph.add_constant(part))
        outputs.append(graph.add_tensor((*graph.shape(output)[:-1], channels // count), output, name))
        channels_in = options["channels_in"] // count
        operators.append(graph.copy(convolution, inputs, [outputs[-1]], channels_in=channels_in))
    return [*operators, join(graph, outputs, output)]


class Unmoved(NamedTuple):
    """Signs before groups of them changed places: those of a group come from place `order[group]` of `packed`."""

    operators: list
    packed: int
    order: list[int]


def _before_moving(graph: Graph, packed: int, count: int) -> Unmoved:
    producers = graph.producers()
    quantize = producers.get(packed)
    joined = producers.get(quantize.inputs[0]) if quantize and graph.type(quantize) == "LceQuantize" else None
    untouched = Unmoved([], packed, list(range(count)))
    if joined is None or graph.type(joined) != "CONCATENATION":
        return untouched
    slices = [producers.get(tensor) for tensor in joined.inputs]
    spans = [channel_span(graph, operator) if operator else None for operator in slices]
    if any(span is None for span in spans) or len({operator.inputs[0] for operator in slices}) > 1:
        return untouched
    source = slices[0].inputs[0]
    size = graph.shape(source)[-1] // count
    if graph.shape(source) != graph.shape(joined.outputs[0]) or any(place % size for span in spans for place in span):
        return untouched
    signs = graph.add_tensor(graph.shape(packed), packed, f"{graph.name(packed)}/unmoved")
    order = [place // size for first, last in spans for place in range(first, last, size)]
    return Unmoved([graph.copy(quantize, [source], [signs])], signs, order)


def channel_span(graph: Graph, operator) -> tuple[int, int] | None:
    """The channels (first, behind the last) that an operator cuts out of its input, if it does that and no more."""
    if graph.type(operator) != "STRIDED_SLICE":
        return None
    options, channels = operator.builtinOptions, graph.shape(operator.inputs[0])[-1]
    begin, end, steps = (graph.constant(tensor) for tensor in operator.inputs[1:])
    others = (1 << len(begin) - 1) - 1
    whole_but_last = options.beginMask & others == others and options.endMask & others == others
    if not whole_but_last or steps[-1] != 1 or options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
        return None
    first = 0 if options.beginMask > others else int(begin[-1]) % channels
    last = channels if options.endMask > others or end[-1] >= channels else int(end[-1]) % channels
    return first, last


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
